//! Debian's chronyc asks truechimer, by way of truechimer-chronyc-bridge, beside a chronyd with the same servers.

use bench::bridge::{Bridge, Servers, rows};
use bench::chronyd_client::{ChronydClient, chronyc};
use bench::daemon::{Daemon, Setup, source};
use bench::nts::NtsServer;
use bench::peers::NO_CHRONYD;
use bench::programs::{Place, wait_for};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use serde_json::Value;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Longer than the bridge repeats what it knows.
const REPEATED: Duration = Duration::from_millis(1_100);

/// Prints what chronyc shows of both (`--nocapture`), for docs/chronyc.md.
fn beside(bridge: &Bridge, chronyd: &ChronydClient) {
    // In the same situation: it too has had an answer to each of its last eight queries.
    wait_for(TIMEOUT, || {
        std::thread::sleep(Duration::from_millis(200));
        let said = chronyc(&chronyd.socket(), &["-c", "sources"]).expect("it was there before");
        let all = rows(&String::from_utf8_lossy(&said.stdout));
        all.iter().take(3).all(|row| row[5] == "377").then_some(())
    });
    for words in [
        &["tracking"][..],
        &["sources", "-v"],
        &["sourcestats"],
        &["selectdata"],
        &["authdata"],
        &["ntpdata", "127.0.0.1"],
        &["activity"],
        &["serverstats"],
        &["clients"],
        &["waitsync", "1"],
        &["sourcename", "127.0.0.1"],
        &["rtcdata"],
        &["smoothing"],
    ] {
        for (who, socket) in [("chronyd", chronyd.socket()), ("truechimer", bridge.socket())] {
            let output = chronyc(&socket, words).expect("it was there before");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            println!("--- {who}: {} ({:?})\n{said}", words.join(" "), output.status.code());
        }
    }
}

#[track_caller]
fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

/// The value is what the daemon said before or after, or between the two.
#[track_caller]
fn between(text: &str, before: &Value, after: &Value, sign: f64, slack: f64) {
    let (before, after) =
        (before.as_f64().expect("a number") * sign, after.as_f64().expect("a number") * sign);
    let (value, low, high) = (number(text), before.min(after) - slack, before.max(after) + slack);
    assert!((low..=high).contains(&value), "{value} is not between {low} and {high}");
}

#[test]
fn chronyc_reads_what_chimerctl_reads() {
    let servers = Servers::start();
    let Some(chronyd) = servers.chronyd("") else { return bench::skip(NO_CHRONYD) };
    let client = servers.follow();
    let bridge = Bridge::start(&client.socket());
    beside(&bridge, &chronyd);
    std::thread::sleep(REPEATED);

    let before = client.status();
    let tracking = bridge.table(&["tracking"]).remove(0);
    let after = client.status();
    let selected = |sources: &[Value]| sources.iter().find(|source| source["state"] == "selected").cloned();
    let reference = selected(&client.sources()).expect("a reference");
    let id = before["reference_id"].as_str().expect("a text").to_uppercase();
    let host = reference["address"].as_str().expect("a text").split(':').next().expect("a host").to_owned();
    assert_eq!(tracking[..3], [id, host, before["stratum"].to_string()]);
    assert_eq!(tracking[13], "Normal");
    let age = number(&tracking[3]) - std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs_f64();
    assert!((-10.0..=1.0).contains(&age), "the reference time is {age} s from now");
    let bound = before["error_bound_s"].as_f64().expect("a number");
    assert!(number(&tracking[4]).abs() <= bound, "{tracking:?} {bound}");
    let jitter = 1e-4;
    between(&tracking[4], &before["offset_s"], &after["offset_s"], 1.0, jitter);
    between(&tracking[5], &before["offset_s"], &after["offset_s"], -1.0, jitter);
    between(&tracking[7], &before["frequency_ppm"], &after["frequency_ppm"], -1.0, 0.01);
    between(&tracking[9], &before["frequency_error_ppm"], &after["frequency_error_ppm"], 1.0, 0.01);
    between(&tracking[10], &before["root_delay_s"], &after["root_delay_s"], 1.0, jitter);
    between(&tracking[11], &before["root_dispersion_s"], &after["root_dispersion_s"], 1.0, jitter);

    std::thread::sleep(REPEATED);
    let before = client.sources();
    let tables = ["sources", "sourcestats", "selectdata", "authdata"].map(|word| bridge.table(&[word]));
    let after = client.sources();
    let [sources, statistics, selection, authentication] = tables;
    for lines in [&sources, &statistics, &selection, &authentication] {
        assert_eq!(lines.len(), 4, "{lines:?}");
    }
    for (at, (before, after)) in before.iter().zip(&after).enumerate() {
        let row = &sources[at];
        let is_selected = |source: &Value| source["state"] == "selected" || source["state"] == "combined";
        let host = format!("127.0.0.{}", at + 1);
        let polls = [before, after].map(|source| source["poll"].to_string());
        assert_eq!((&row[0][..], &row[2]), ("^", &host));
        assert!(polls.contains(&row[4]), "{row:?} {polls:?}");
        if at == 3 {
            assert_eq!((&row[1][..], &row[3][..], &row[5][..], &row[6][..]), ("?", "0", "0", "4294967295"));
            assert_eq!((&selection[at][0][..], &statistics[at][1][..]), ("s", "0"));
            continue;
        }
        assert!(is_selected(before) && ["*", "+"].contains(&&row[1][..]), "{row:?} {before:#}");
        assert_eq!(row[3], before["stratum"].to_string());
        // The lowest bit may be that of a query which is under way.
        let reach = u8::from_str_radix(&row[5], 8).expect("an octal number");
        assert_eq!(reach | 1, 0o377, "{row:?}");
        between(&row[7], &before["offset_s"], &after["offset_s"], -1.0, jitter);
        between(&row[9], &before["root_distance_s"], &after["root_distance_s"], 1.0, jitter);
        for (column, key, slack) in [(1, "samples", 0.0), (3, "span_s", 1.0), (7, "deviation_s", jitter)] {
            between(&statistics[at][column], &before[key], &after[key], 1.0, slack);
        }
        between(&statistics[at][4], &before["frequency_ppm"], &after["frequency_ppm"], -1.0, 0.01);
        assert_eq!((&selection[at][0], &selection[at][2][..]), (&row[1], "N"));
        let (low, high) = (number(&selection[at][15]), number(&selection[at][16]));
        assert!(low < number(&row[7]) && number(&row[7]) < high, "{:?}", selection[at]);
        assert_eq!(authentication[at][1], "-");
    }

    std::thread::sleep(REPEATED);
    let before = client.sources();
    let replies = bridge.table(&["ntpdata"]);
    let after = client.sources();
    assert_eq!(replies.len(), 4);
    for (row, (before, after)) in replies.iter().zip(before.iter().zip(&after)).take(3) {
        let address = before["address"].as_str().expect("a text");
        assert_eq!(format!("{}:{}", row[0], row[2]), address);
        let id = before["reference_id"].as_str().expect("a text").to_uppercase();
        assert_eq!((&row[8], &row[15]), (&before["stratum"].to_string(), &id));
        // Unlike everywhere else in chronyc, and as in truechimer, positive if the clock is behind.
        between(&row[18], &before["offset_s"], &after["offset_s"], 1.0, jitter);
        between(&row[19], &before["delay_s"], &after["delay_s"], 1.0, jitter);
        between(&row[row.len() - 4], &before["sent"], &after["sent"], 1.0, 0.0);
    }
    assert_eq!(bridge.table(&["activity"]), [["4", "0", "0", "0", "0"]]);
    assert_eq!(bridge.table(&["clients"]), Vec::<Vec<String>>::new());
    assert_eq!(bridge.table(&["serverstats"])[0][0], "0");
    let name = client.sources()[1]["name"].as_str().expect("a text").to_owned();
    assert_eq!(bridge.table(&["sourcename", "127.0.0.2"]), [[name]]);
    let (is_content, said) = bridge.chronyc(&["waitsync", "1"]);
    assert!(is_content && said.starts_with("try: 1, refid: 7F0000"), "{said}");
}

#[test]
fn a185_chronyc_changes_nothing() {
    let servers = Servers::start();
    let client = servers.follow();
    let bridge = Bridge::start(&client.socket());
    if chronyc(&bridge.socket(), &["activity"]).is_none() {
        return bench::skip(NO_CHRONYD);
    }
    let counts = |client: &Daemon| (client.status()["steps"].clone(), client.sources().len());
    let before = counts(&client);
    for words in [
        &["makestep"][..],
        &["makestep", "0.1", "1"],
        &["burst", "1/2"],
        &["online"],
        &["offline"],
        &["onoffline"],
        &["add", "server", "127.0.0.9"],
        &["delete", "127.0.0.1"],
        &["minpoll", "127.0.0.1", "3"],
        &["maxdelay", "127.0.0.1", "0.1"],
        &["allow", "all"],
        &["deny", "all"],
        &["cmdallow", "all"],
        &["accheck", "127.0.0.1"],
        &["local", "stratum", "5"],
        &["local", "off"],
        &["manual", "on"],
        &["manual", "list"],
        &["settime", "12:00"],
        &["dfreq", "1"],
        &["doffset", "1"],
        &["dump"],
        &["cyclelogs"],
        &["rekey"],
        &["refresh"],
        &["reload", "sources"],
        &["reselect"],
        &["reset", "sources"],
        &["smoothtime", "reset"],
        &["trimrtc"],
        &["writertc"],
        &["shutdown"],
    ] {
        let (is_content, said) = bridge.chronyc(words);
        assert!(!is_content && said.contains("501 Not authorised"), "{words:?}: {said}");
    }
    for (words, status) in [(&["rtcdata"], "513"), (&["smoothing"], "505")] {
        let (is_content, said) = bridge.chronyc(words);
        assert!(!is_content && said.contains(status), "{words:?}: {said}");
    }
    assert_eq!(counts(&client), before);
    assert!(client.is_synchronised());
    assert_eq!(bridge.table(&["activity"]), [["4", "0", "0", "0", "0"]]);
}

#[test]
fn chronyc_reads_keys_and_cookies_of_an_nts_source_and_counters_of_its_server() {
    let server = NtsServer::new("chronyc-nts", &["127.0.0.1"], "");
    let daemon = server.setup.start();
    let sources = server.source("127.0.0.1", "aead = \"siv\"");
    let client = Setup::new("chronyc-keys", &sources).with_virtual_clock(0, 0.0).start();
    let full = |client: &Daemon| client.sources()[0]["nts"]["cookies"].as_u64() >= Some(7);
    client.wait_until("supplied with cookies", TIMEOUT, |client| client.is_synchronised() && full(client));
    let [of_client, of_server] = [&client, &daemon].map(|daemon| Bridge::start(&daemon.socket()));
    if chronyc(&of_client.socket(), &["activity"]).is_none() {
        return bench::skip(NO_CHRONYD);
    }
    std::thread::sleep(REPEATED);
    let age = || client.sources()[0]["nts"]["key_age_s"].as_f64().expect("a number");
    let before = age();
    let keys = of_client.table(&["authdata"]).remove(0);
    assert_eq!(keys[1..5], ["NTS", "1", "15", "256"]);
    assert!((before.floor()..=age()).contains(&number(&keys[5])), "{keys:?}");
    assert_eq!(keys[6..8], ["0", "0"], "attempts, NAKs");
    assert!((7.0..=8.0).contains(&number(&keys[8])), "{keys:?}");
    assert_eq!(of_client.table(&["selectdata"])[0][2], "Y");
    // The server reports its counters once in a while.
    let told = wait_for(TIMEOUT, || {
        let counters = of_server.table(&["serverstats"]).remove(0);
        let of = |at: usize| number(&counters[at]);
        (of(0) >= 1.0 && of(5) == 1.0 && of(7) >= 1.0).then_some(counters)
    });
    assert!(told.is_some(), "{:?}", of_server.table(&["serverstats"]));
}

/// A request of the protocol's version 6.
fn request(command: u16, length: usize) -> Vec<u8> {
    let mut octets = vec![6, 1, 0, 0];
    octets.extend(command.to_be_bytes());
    octets.extend([0, 0, 1, 2, 3, 4]);
    octets.resize(length, 0);
    octets
}

#[test]
fn a185_hostile_datagrams_get_no_reply_or_a_refusal_and_nothing_ends() {
    let client = Setup::new("hostile", &source("127.0.0.1:9")).start();
    let mut bridge = Bridge::start(&client.socket());
    let place = Place::new("senders");
    let own = place.join("own.sock");
    let socket = UnixDatagram::bind(&own).unwrap();
    socket.connect(bridge.socket()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // The number of a request that none of the others has.
    const OWN: [u8; 4] = [0xa1, 0xb2, 0xc3, 0xd4];
    // What is answered after a datagram is the answer to the question that follows it: none to the datagram itself.
    let ask = |datagram: &[u8]| {
        let mut replies = Vec::new();
        let mut octets = [0; 2000];
        let mut question = request(14, 32);
        question[8..12].copy_from_slice(&OWN);
        for sent in [datagram, &question] {
            socket.send(sent).unwrap();
        }
        loop {
            let length = socket.recv(&mut octets).expect("the question is answered");
            if octets[16..20] == OWN {
                return replies;
            }
            replies.push(octets[..length].to_vec());
        }
    };
    let with = |at: usize, value: u8| {
        let mut octets = request(33, 104);
        octets[at] = value;
        octets
    };
    for noise in [
        Vec::new(),
        vec![0],
        request(33, 27),
        request(33, 861),
        vec![0xff; 60_000],
        with(0, 4),
        with(0, 0),
        with(1, 2),
        with(2, 1),
        with(3, 1),
    ] {
        assert_eq!(ask(&noise), Vec::<Vec<u8>>::new(), "{} octets", noise.len());
    }
    for (refused, status) in [
        (with(0, 5), 18),
        (with(0, 7), 18),
        (request(0, 100), 3),
        (request(75, 100), 3),
        (request(65_535, 100), 3),
        (request(33, 103), 19),
        (request(54, 47), 19),
        (request(68, 519), 19),
        (request(57, 60), 4),
        (request(15, 76), 0),
        (request(43, 28), 2),
    ] {
        let replies = ask(&refused);
        let [reply] = &replies[..] else { panic!("{refused:?}: {replies:?}") };
        assert!(reply.len() <= refused.len());
        assert_eq!((&reply[..4], &reply[8..10]), (&[6, 2, 0, 0][..], &[0, status][..]), "{refused:?}");
    }
    // A thousand datagrams of no sense, of which each gets one reply at most, and none that is longer.
    let mut state: u64 = 14;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for _ in 0..1_000 {
        let mut octets = request((random() % 80) as u16, random() % 900);
        for _ in 0..random() % 20 {
            let at = random() % octets.len().max(1);
            if let Some(octet) = octets.get_mut(at) {
                *octet = random() as u8;
            }
        }
        let replies = ask(&octets);
        assert!(replies.len() <= 1 && replies.iter().all(|reply| reply.len() <= octets.len()));
    }
    // Senders without a name, and one that never reads.
    let nameless = UnixDatagram::unbound().unwrap();
    let deaf = UnixDatagram::bind(place.join("deaf.sock")).unwrap();
    for _ in 0..500 {
        for sender in [&nameless, &deaf] {
            sender.send_to(&request(33, 104), bridge.socket()).unwrap();
        }
    }
    assert_eq!(ask(&request(43, 28)).len(), 1);
    assert!(bridge.runs(), "{}", bridge.log());
    assert!(client.report().is_some());
}

#[test]
fn without_a_daemon_chronyc_is_told_so_and_with_one_it_is_answered_again() {
    let place = Place::new("no-daemon");
    let bridge = Bridge::start(&place.join("control.sock"));
    if chronyc(&bridge.socket(), &["activity"]).is_none() {
        return bench::skip(NO_CHRONYD);
    }
    let (is_content, said) = bridge.chronyc(&["tracking"]);
    assert!(!is_content && said.contains("500 Failure"), "{said}");
    assert_eq!(bridge.log().lines().count(), 1, "said once: {}", bridge.log());
    let setup = Setup::new("comes-and-goes", &source("127.0.0.1:9"));
    let client = setup.start();
    std::os::unix::fs::symlink(client.socket(), place.join("control.sock")).unwrap();
    std::thread::sleep(REPEATED);
    let (is_content, said) = bridge.chronyc(&["tracking"]);
    assert!(is_content && said.contains("Not synchronised"), "{said}");
    let (is_content, _) = bridge.chronyc(&["waitsync", "1"]);
    assert!(!is_content);
    client.stop();
    std::thread::sleep(REPEATED);
    let (is_content, said) = bridge.chronyc(&["tracking"]);
    assert!(!is_content && said.contains("500 Failure"), "{said}");
}

/// How long a daemon that was too slow is not asked again.
const REST: Duration = Duration::from_secs(11);

/// A connection, if the queue of the socket has room.
fn connect_at_once(path: &Path) -> Option<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None).expect("a socket");
    connect(socket.as_raw_fd(), &UnixAddr::new(path).expect("a short path")).ok()?;
    Some(UnixStream::from(socket))
}

#[test]
fn a185_a_daemon_that_hangs_costs_neither_threads_nor_an_answer() {
    let client = Setup::new("hangs", &source("127.0.0.1:9")).start();
    let bridge = Bridge::start(&client.socket());
    if chronyc(&bridge.socket(), &["activity"]).is_none() {
        return bench::skip(NO_CHRONYD);
    }
    let engine = client.process("engine").pid;
    client.signal(engine, Signal::SIGSTOP);
    std::thread::sleep(REPEATED);
    for _ in 0..3 {
        let (is_content, said) = bridge.chronyc(&["tracking"]);
        assert!(!is_content && said.contains("500 Failure"), "{said}");
    }
    assert_eq!(bridge.threads(), 1);
    // Others have filled the queue of its socket, in which a connection would wait without a limit.
    let mut waiting: Vec<UnixStream> = Vec::new();
    while let Some(stream) = connect_at_once(&client.socket()) {
        assert!(waiting.len() < 1_000, "the queue has an end");
        waiting.push(stream);
    }
    std::thread::sleep(REST);
    let (is_content, said) = bridge.chronyc(&["tracking"]);
    assert!(!is_content && said.contains("500 Failure"), "{said}");
    drop(waiting);
    client.signal(engine, Signal::SIGCONT);
    let answered = wait_for(TIMEOUT, || bridge.chronyc(&["tracking"]).0.then_some(()));
    assert!(answered.is_some(), "{}", bridge.log());
}
