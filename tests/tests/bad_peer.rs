//! A source that answers nonsense, refuses, forges and floods: it does not move the clock, and the output says why it
//! is not used.

use bench::daemon::{Daemon, Setup, source};
use bench::forger::{Act, Forger, Request};
use bench::packet::HEADER;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(30);

/// A clock that is 40 ms fast, its only source a forger with this script. All its replies contain a
/// time 5 s ahead, so that accepting one would show.
fn listen_to(script: impl FnMut(&Request) -> Vec<Act> + Send + 'static) -> (Daemon, Forger) {
    let forger = Forger::start(HERE, 5_000_000_000, script);
    let setup = Setup::new("bad-peer", &source(forger.address())).with_virtual_clock(40_000_000, 0.0);
    (setup.start(), forger)
}

/// Asserts that the clock is unchanged: same rate, no slew, no step, not synchronised.
fn assert_untouched(daemon: &Daemon) {
    let clock = daemon.setup().virtual_clock();
    let (page, error) = (clock.page(), clock.error_ns());
    assert!((error - 40_000_000).abs() < 1_000_000, "the clock was moved: {error} ns; {page:?}");
    assert_eq!((page.frequency.scaled(), page.slew.nanos()), (0, 0), "{page:?}");
    assert!(!daemon.is_synchronised());
}

/// Whether the source's rejections have this reason.
fn rejects_for(daemon: &Daemon, reason: &str) -> bool {
    daemon.sources()[0]["rejected"][reason].as_u64().is_some_and(|count| count > 0)
}

/// The script's answers move nothing, and the reason gets its name.
fn moves_nothing(reason: &str, script: impl FnMut(&Request) -> Vec<Act> + Send + 'static) -> Daemon {
    let (daemon, forger) = listen_to(script);
    daemon.wait_until(&format!("rejecting for {reason}"), TIMEOUT, |daemon| {
        forger.heard() >= 4 && rejects_for(daemon, reason)
    });
    assert_untouched(&daemon);
    daemon
}

/// Pseudo-random octets, the same in every run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn a015_noise_of_any_length_moves_nothing() {
    moves_nothing("malformed", |request| {
        let lengths = [0, 1, 47, 48, 49, 51, 52, 60, 68, 76, 200, 1232, 1400];
        lengths.map(|length| Act::Reply(noise(request.number * 100 + length as u64, length))).to_vec()
    });
}

#[test]
fn a015_a_truncated_reply_moves_nothing() {
    moves_nothing("malformed", |request| vec![Act::Reply(request.honest().octets()[..HEADER - 4].to_vec())]);
}

#[test]
fn a001_a002_a_reply_with_another_origin_moves_nothing() {
    moves_nothing("bad_origin", |request| {
        vec![
            request.with(|header| header.origin = header.origin.wrapping_add(1)),
            request.with(|header| header.origin = 0),
        ]
    });
}

#[test]
fn a005_a_reply_from_elsewhere_moves_nothing() {
    // The query's socket is connected, so the kernel itself drops these: nothing is counted.
    let (daemon, forger) = listen_to(|request| {
        let octets = request.honest().octets().to_vec();
        vec![Act::FromAnotherPort(octets.clone()), Act::FromAddress([127, 0, 0, 66].into(), octets)]
    });
    daemon.wait_until("asking again", TIMEOUT, |_| forger.heard() >= 5);
    assert_untouched(&daemon);
    assert_eq!(daemon.sources()[0]["valid"], 0);
}

#[test]
fn a013_a_reply_in_another_mode_moves_nothing() {
    moves_nothing("bad_mode", |request| {
        [1, 2, 3, 5, 6, 7].map(|mode| request.with(|header| header.mode = mode)).to_vec()
    });
}

#[test]
fn a014_a_reply_in_another_version_moves_nothing() {
    moves_nothing("bad_version", |request| {
        [0, 1, 2, 5, 7].map(|version| request.with(|header| header.version = version)).to_vec()
    });
}

#[test]
fn a018_times_that_cannot_be_move_nothing() {
    moves_nothing("bad_interval", |request| {
        vec![match request.number % 3 {
            0 => request.with(|header| header.receive = 0),
            1 => request.with(|header| header.transmit = 0),
            _ => request.with(|header| header.receive = header.transmit + (1 << 33)),
        }]
    });
}

#[test]
fn a016_a_server_that_is_not_synchronised_moves_nothing() {
    moves_nothing("unsynchronised", |request| vec![request.with(|header| header.stratum = 16)]);
    moves_nothing("leap_unknown", |request| vec![request.with(|header| header.leap = 3)]);
}

#[test]
fn a017_a_server_far_from_any_clock_moves_nothing() {
    moves_nothing("root_distance", |request| {
        vec![request.with(|header| (header.root_delay, header.root_dispersion) = (u32::MAX, u32::MAX))]
    });
}

#[test]
fn a008_a010_a011_kisses_move_nothing() {
    let codes: [&[u8; 4]; 5] = [b"DENY", b"RSTR", b"RATE", b"\x1b[2J", b"ZZZZ"];
    let daemon = moves_nothing("kiss", move |request| vec![request.kiss(codes[request.number as usize % 5])]);
    let said = serde_json::to_string(&daemon.ask("sources")).expect("it is JSON") + &daemon.log();
    assert!(!said.contains('\u{1b}'), "an escape character from the network reached people");
}

#[test]
fn a008_a_source_that_refused_is_used_again_when_it_answers() {
    let (daemon, forger) = listen_to(|request| vec![request.kiss(b"DENY")]);
    daemon.wait_until("refused", TIMEOUT, |daemon| rejects_for(daemon, "kiss"));
    assert_untouched(&daemon);
    forger.change(|request| vec![request.with(|_| ())]);
    daemon.wait_until("used", TIMEOUT, |daemon| {
        daemon.sources()[0]["valid"].as_u64().is_some_and(|valid| valid > 0)
    });
}

#[test]
fn a009_a_kiss_with_the_wrong_nonce_is_not_even_noted() {
    let daemon = moves_nothing("bad_origin", |request| {
        let Act::Reply(mut octets) = request.kiss(b"DENY") else { return Vec::new() };
        octets[24] ^= 0x80;
        vec![Act::Reply(octets)]
    });
    assert!(!rejects_for(&daemon, "kiss"));
}

#[test]
fn a003_a_reply_that_comes_twice_counts_once() {
    let forger = Forger::start(HERE, 0, |request| {
        let octets = request.honest().octets().to_vec();
        vec![Act::Reply(octets.clone()), Act::Reply(octets.clone()), Act::Reply(octets)]
    });
    let client = Setup::new("twice", &source(forger.address())).with_virtual_clock(3_000_000, 0.0).start();
    client.wait_until_synchronised(TIMEOUT);
    let source = &client.sources()[0];
    let (sent, valid) = (source["sent"].as_u64(), source["valid"].as_u64());
    assert!(valid <= sent && valid > Some(0), "{source:#}");
}

#[test]
fn a004_a_reply_to_the_query_before_moves_nothing() {
    let mut last = None;
    moves_nothing("bad_origin", move |request| {
        let now = request.honest().octets().to_vec();
        last.replace(now).map(Act::Reply).into_iter().collect()
    });
}

#[test]
fn a001_a_flood_of_forged_replies_does_not_keep_the_honest_one_out() {
    const FLOOD: usize = 50_000;
    let mut flooded = false;
    let forger = Forger::start(HERE, 0, move |request| {
        if std::mem::replace(&mut flooded, true) {
            return vec![request.with(|_| ())];
        }
        let forged = |seed: usize| request.with(|header| header.origin ^= seed as u64 + 1);
        let mut acts: Vec<_> = (0..FLOOD).map(forged).collect();
        acts.push(request.with(|_| ()));
        acts
    });
    let client = Setup::new("flood", &source(forger.address())).with_virtual_clock(40_000_000, 0.0).start();
    client.wait_until("synchronised in spite of the flood", TIMEOUT, |client| {
        client.is_synchronised() && rejects_for(client, "bad_origin")
    });
    let processes = client.processes();
    assert!(processes.iter().all(|process| process.resident < 64 << 20), "memory grew: {processes:#?}");
    let log = client.log();
    assert!(log.lines().count() < 100, "a line for each packet:\n{log}");
}

#[test]
fn a021_a_date_that_cannot_be_moves_nothing() {
    // 1980, long before this program was built, in the nearest era.
    let past = 3_155_673_600u64 - 631_152_000;
    moves_nothing("bad_date", move |request| {
        vec![request.with(|header| {
            header.reference = past << 32;
            header.receive = past << 32;
            header.transmit = (past << 32) + 1000;
        })]
    });
}
