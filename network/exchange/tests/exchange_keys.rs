//! The exchange process with real children that exchange keys, in their full confinement.

use bench::authority::{Authority, DAY, KeyKind, Order, Period, now};
use bench::key_server::{KeyServer, answer, cookies};
use bench::programs::Place;
use bench::role::Role;
use exchange::{Work, run};
use ipc::aead::{Aead, AeadOffer};
use ipc::message::Shortfall;
use ipc::message::exchange::{
    Addresses, AssociationKeys, Cookie, Denied, Exchange, ExchangeFailed, ExchangeFailure, ExchangeId,
    Exchanged, Families, FromExchange, HostName, KeyServer as KeyServerName, Resolved, ToExchange, Validity,
};
use ipc::packet::CookieOctets;
use ipc::process::Process;
use ipc::secret::{KeyPair, Secret};
use ipc::units::{Span, WallTime};
use ipc_link::Link;
use network::ending::Ending;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

type Parent = Role<ToExchange, FromExchange, Ending>;

fn exchange(id: u64, port: u16) -> Exchange {
    Exchange {
        id: ExchangeId(id),
        server: KeyServerName::Name(HostName::parse("localhost").unwrap()),
        port,
        roots: 0,
        now: WallTime::saturating(now() * 1_000_000_000),
        not_before: None,
        offer: AeadOffer::GCM_SIV_FIRST,
        turn: 0,
        at: None,
        denied: Denied::NONE,
        departure: ipc::departure::Departure::USUAL,
        families: Families::Both,
    }
}

/// An authority, and the exchange process that trusts only this one.
fn world() -> (Authority, Place, Parent) {
    let (authority, place) = (Authority::new("root"), Place::new("keys"));
    let path = place.join("roots.pem");
    authority.write(&path);
    let mut parent = Parent::confined(Process::Exchange, &format!("system-roots={}", path.display()));
    let FromExchange::Hello(shortfall) = parent.hear() else { panic!("a hello") };
    assert!(!shortfall.insecure, "{shortfall:?}");
    if shortfall != Shortfall::NONE {
        eprintln!("not confined as it could be: {shortfall:?}");
    }
    (authority, place, parent)
}

/// The outcome of an exchange, with the cookies before it.
fn outcome(parent: &mut Parent, id: u64) -> Result<(Exchanged, Vec<Vec<u8>>), ExchangeFailure> {
    let mut cookies = Vec::new();
    loop {
        match parent.next_within(Duration::from_secs(20)).expect("an end") {
            FromExchange::Cookie(cookie) if cookie.id.0 == id => {
                cookies.push(cookie.octets.octets().to_vec())
            }
            FromExchange::Exchanged(exchanged) if exchanged.id.0 == id => return Ok((exchanged, cookies)),
            FromExchange::ExchangeFailed(ExchangeFailed { id: of, reason }) if of.0 == id => {
                return Err(reason);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn keys_are_exchanged_by_the_real_program_in_its_full_confinement() {
    let (authority, _place, mut parent) = world();
    let server =
        KeyServer::start(authority.issue(&["localhost"]).server_config(), |_| answer(30, &cookies(8)));
    for id in 1..=3 {
        parent.send(&ToExchange::Exchange(exchange(id, server.address().port())));
        let (exchanged, found) = outcome(&mut parent, id).unwrap();
        // The server records a conversation after it has answered.
        let all_seen = || Some(server.conversations()).filter(|seen| seen.len() as u64 == id);
        let seen = bench::programs::wait_for(Duration::from_secs(5), all_seen).unwrap().pop().unwrap();
        assert_eq!(found, cookies(8));
        assert_eq!(exchanged.keys.pair().client_to_server.octets()[..16], seen.gcm_siv[0]);
        assert_eq!(exchanged.keys.pair().server_to_client.octets()[..16], seen.gcm_siv[1]);
    }
    assert_eq!(parent.status(true).code(), Some(0));
}

#[test]
fn a059_a060_a_server_that_drips_or_keeps_silent_is_given_up_at_the_deadline_and_others_go_on() {
    let (authority, _place, mut parent) = world();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let begin = Instant::now();
    parent.send(&ToExchange::Exchange(exchange(1, silent.local_addr().unwrap().port())));
    let server =
        KeyServer::start(authority.issue(&["localhost"]).server_config(), |_| answer(15, &cookies(1)));
    parent.send(&ToExchange::Exchange(exchange(2, server.address().port())));
    assert!(outcome(&mut parent, 2).is_ok());
    assert!(begin.elapsed() < Duration::from_secs(16));
    assert_eq!(outcome(&mut parent, 1).unwrap_err(), ExchangeFailure::Deadline);
    assert!(begin.elapsed() >= Duration::from_secs(16));
}

#[test]
fn a059_a_server_that_drips_an_octet_at_a_time_and_one_that_never_ends_are_cut_off() {
    let (_authority, _place, mut parent) = world();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (accepted, is_accepted) = mpsc::channel();
    std::thread::spawn(move || {
        for (stream, endless) in listener.incoming().flatten().zip([false, true]) {
            let _ = accepted.send(());
            std::thread::spawn(move || {
                let mut stream = stream;
                let octets = [22, 3, 3, 0x40, 0, 2, 0, 0xff, 0xff, 3, 3];
                // A record of 16 KiB, one octet at a time or as fast as it goes.
                for at in 0.. {
                    let octet = octets.get(at).copied().unwrap_or(0);
                    let sent =
                        if endless && at > 16 { stream.write(&[22; 65_536]) } else { stream.write(&[octet]) };
                    if sent.is_err() {
                        break;
                    }
                    if !endless {
                        // Slow enough that the record is not complete at the deadline.
                        std::thread::sleep(Duration::from_millis(500));
                    }
                }
            });
        }
    });
    parent.send(&ToExchange::Exchange(exchange(1, port)));
    is_accepted.recv_timeout(Duration::from_secs(10)).expect("the first connection");
    parent.send(&ToExchange::Exchange(exchange(2, port)));
    assert_eq!(outcome(&mut parent, 2).unwrap_err(), ExchangeFailure::Tls);
    assert_eq!(outcome(&mut parent, 1).unwrap_err(), ExchangeFailure::Deadline);
}

#[test]
fn a060_a_connection_that_is_reset_in_the_middle_leaves_the_role_alive() {
    let (authority, _place, mut parent) = world();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Closed with octets that were not read: the kernel resets the connection.
            let _ = stream.read(&mut [0; 10]);
        }
    });
    parent.send(&ToExchange::Exchange(exchange(1, port)));
    assert_eq!(outcome(&mut parent, 1).unwrap_err(), ExchangeFailure::Reset);
    let server =
        KeyServer::start(authority.issue(&["localhost"]).server_config(), |_| answer(15, &cookies(1)));
    parent.send(&ToExchange::Exchange(exchange(2, server.address().port())));
    assert!(outcome(&mut parent, 2).is_ok());
}

#[test]
fn a061_ten_thousand_certificates_are_not_even_read() {
    let (authority, _place, mut parent) = world();
    let mut identity = authority.issue(&["localhost"]);
    identity.chain.extend(vec![authority.certificate().clone(); 10_000]);
    let server = KeyServer::start(identity.server_config(), |_| answer(15, &cookies(1)));
    parent.send(&ToExchange::Exchange(exchange(1, server.address().port())));
    assert_eq!(outcome(&mut parent, 1).unwrap_err(), ExchangeFailure::Tls);
    identity.chain.truncate(9);
    let server = KeyServer::start(identity.server_config(), |_| answer(15, &cookies(1)));
    parent.send(&ToExchange::Exchange(exchange(2, server.address().port())));
    assert_eq!(outcome(&mut parent, 2).unwrap_err(), ExchangeFailure::BadCertificate);
}

/// Each exchange is in a new process, under a filter that none of it was tried under before.
#[test]
fn certificates_of_every_kind_and_fault_are_judged_under_the_filter() {
    let (authority, _place, mut parent) = world();
    let between = authority.intermediate("between", Period::current());
    let stranger = Authority::new("stranger");
    let names = ["localhost"];
    let good = Order::new(&names);
    let past = Period { from: now() - 90 * DAY, until: now() - DAY };
    let coming = Period { from: now() + DAY, until: now() + 90 * DAY };
    let mut cases = Vec::new();
    for key in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519, KeyKind::Rsa, KeyKind::Rsa4096] {
        cases.push((authority.issue_as(&Order { key, ..good.clone() }), None));
        cases.push((between.issue_as(&Order { key, ..good.clone() }), None));
        // Keys of this size take their time to be made.
        if key == KeyKind::Rsa4096 {
            continue;
        }
        cases.push((stranger.issue_as(&Order { key, ..good.clone() }), Some(ExchangeFailure::UnknownIssuer)));
        let late = Order { key, period: past, ..good.clone() };
        cases.push((authority.issue_as(&late), Some(ExchangeFailure::Expired)));
        let early = Order { key, period: coming, ..good.clone() };
        cases.push((authority.issue_as(&early), Some(ExchangeFailure::NotYetValid)));
        let other = Order { key, ..Order::new(&["elsewhere.example"]) };
        cases.push((authority.issue_as(&other), Some(ExchangeFailure::WrongName)));
        let client = Order { key, for_servers: false, ..good.clone() };
        cases.push((authority.issue_as(&client), Some(ExchangeFailure::NotForServers)));
    }
    for (id, (identity, failure)) in (1..).zip(cases) {
        let server = KeyServer::start(identity.server_config(), |_| answer(15, &cookies(1)));
        parent.send(&ToExchange::Exchange(exchange(id, server.address().port())));
        assert_eq!(outcome(&mut parent, id).err(), failure, "case {id}");
    }
}

#[test]
fn roots_that_are_replaced_count_from_the_next_exchange_on() {
    let (authority, place, mut parent) = world();
    let server =
        KeyServer::start(authority.issue(&["localhost"]).server_config(), |_| answer(15, &cookies(1)));
    let port = server.address().port();
    parent.send(&ToExchange::Exchange(exchange(1, port)));
    assert!(outcome(&mut parent, 1).is_ok());
    Authority::new("another").write(&place.join("new.pem"));
    std::fs::rename(place.join("new.pem"), place.join("roots.pem")).unwrap();
    parent.send(&ToExchange::Exchange(exchange(2, port)));
    assert_eq!(outcome(&mut parent, 2).unwrap_err(), ExchangeFailure::UnknownIssuer);
    std::fs::remove_file(place.join("roots.pem")).unwrap();
    parent.send(&ToExchange::Exchange(exchange(3, port)));
    assert_eq!(outcome(&mut parent, 3).unwrap_err(), ExchangeFailure::NoRoots);
    parent.send(&ToExchange::Exchange(Exchange { roots: 4, ..exchange(4, port) }));
    assert_eq!(outcome(&mut parent, 4).unwrap_err(), ExchangeFailure::NoRoots);
}

#[test]
fn a177_of_our_own_folder_the_role_sees_the_roots_and_nothing_else() {
    if !bench::is_root() {
        return bench::skip("another /etc for one process needs root");
    }
    let (authority, place) = (Authority::new("root"), Place::new("etc"));
    let ours = place.join("truechimer");
    std::fs::create_dir_all(ours.join("roots")).unwrap();
    for file in ["office.pem", "roots/office.pem", "other.pem"] {
        authority.write(&ours.join(file));
    }
    std::fs::write(ours.join("truechimer.toml"), "secret").unwrap();
    std::fs::write(place.join("hosts"), "127.0.0.1 localhost\n").unwrap();
    let script = format!(
        "mount -t tmpfs none /etc && cp -r {}/. /etc && chmod 755 /etc && exec \"$@\"",
        place.path().display()
    );
    let before = format!("exec unshare --mount sh -c '{script}' sh");
    let words = "system-roots=/etc/truechimer/office.pem roots-1=/etc/truechimer/roots/office.pem";
    let mut parent = Parent::confined_after(Process::Exchange, &before, words);
    let FromExchange::Hello(shortfall) = parent.hear() else { panic!("a hello") };
    if shortfall.file_view {
        return bench::skip("no view of files of its own is permitted here");
    }
    let server =
        KeyServer::start(authority.issue(&["localhost"]).server_config(), |_| answer(15, &cookies(1)));
    for (id, roots, expected) in [(1, 0, true), (2, 1, true)] {
        parent.send(&ToExchange::Exchange(Exchange { roots, ..exchange(id, server.address().port()) }));
        assert_eq!(outcome(&mut parent, id).is_ok(), expected, "{roots}");
    }
    let seen = std::fs::read_dir(format!("/proc/{}/root/etc/truechimer", parent.process_id())).unwrap();
    let mut seen: Vec<_> = seen.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    seen.sort();
    assert_eq!(seen, ["office.pem", "roots"]);
}

fn exchanged(id: ExchangeId, cookies: u8) -> FromExchange {
    let address = "192.0.2.1:123".parse::<std::net::SocketAddr>().unwrap();
    let key = || Secret::of(&[1; 32]).unwrap();
    let pair = KeyPair { client_to_server: key(), server_to_client: key() };
    FromExchange::Exchanged(Exchanged {
        id,
        keys: AssociationKeys::new(Aead::AesSivCmac256, pair, None).unwrap(),
        cookies,
        addresses: Addresses::new([address.into()]).unwrap(),
        redirected: false,
        named: None,
        validity: Validity::new(WallTime::MIN, WallTime::MAX).unwrap(),
        deferred: false,
        operator: ipc::message::exchange::Operator::NONE,
    })
}

#[test]
fn a176_what_the_child_of_an_exchange_may_not_say_breaks_its_own_exchange_only() {
    let cookie =
        |id| FromExchange::Cookie(Cookie { id, octets: CookieOctets::from_octets(&[1; 100]).unwrap() });
    let body = move |task: &ToExchange, mut result: Link<FromExchange, ToExchange>| {
        let mut say = |said: FromExchange| {
            let _ = result.send(&said);
        };
        let id = match task {
            ToExchange::Exchange(Exchange { id, .. }) => id,
            ToExchange::Resolve(resolve) => {
                let address = std::net::SocketAddr::from(([192, 0, 2, 1], resolve.port));
                let addresses = Addresses::new([address.into()]).unwrap();
                return say(FromExchange::Resolved(Resolved { id: resolve.id, addresses }));
            }
            ToExchange::Measure(_) | ToExchange::Ping => panic!("a child is started for nothing"),
        };
        match id.0 {
            // Another exchange's.
            1 => [cookie(*id), exchanged(ExchangeId(6), 1)].into_iter().for_each(say),
            2 => [cookie(ExchangeId(6)), exchanged(*id, 1)].into_iter().for_each(say),
            // Too many, too few, and none.
            3 => (0..1000).for_each(|_| say(cookie(*id))),
            4 => [cookie(*id), exchanged(*id, 2)].into_iter().for_each(say),
            5 => say(cookie(*id)),
            // Not a message; and an end that is not an exchange's.
            6 => drop(nix::unistd::write(result.as_fd(), &[0x41; 60_000])),
            7 => say(FromExchange::Failed(ipc::message::exchange::Failed {
                id: *id,
                reason: ipc::message::exchange::LookupFailure::NoSuchName,
            })),
            // Two ends.
            _ => [cookie(*id), exchanged(*id, 1), cookie(*id), exchanged(*id, 1)].into_iter().for_each(say),
        }
    };
    let mut parent =
        Parent::in_thread(move |link| run(link, Shortfall::NONE, Work::other(body, Span::from_millis(500))));
    assert!(matches!(parent.hear(), FromExchange::Hello(_)));
    for id in 1..=7 {
        parent.send(&ToExchange::Exchange(exchange(id, 9)));
        // No cookie comes before the end is known to be good.
        assert_eq!(
            parent.hear(),
            FromExchange::ExchangeFailed(ExchangeFailed {
                id: ExchangeId(id),
                reason: ExchangeFailure::Broken
            })
        );
    }
    parent.send(&ToExchange::Exchange(exchange(8, 9)));
    assert_eq!(outcome(&mut parent, 8).unwrap().1.len(), 1);
    assert_eq!(parent.next_within(Duration::from_millis(200)), None);
    assert_eq!(parent.hang_up(), Ending::EngineGone);
}

#[test]
fn look_ups_and_exchanges_count_up_together_and_share_their_bound() {
    let started = || {
        let hang = |_: &ToExchange, _: Link<FromExchange, ToExchange>| {
            loop {
                nix::unistd::pause();
            }
        };
        let mut parent = Parent::in_thread(move |link| {
            run(link, Shortfall::NONE, Work::other(hang, Span::from_millis(300)))
        });
        assert!(matches!(parent.hear(), FromExchange::Hello(_)));
        parent
    };
    let look_up = |id| {
        let name = HostName::parse("a.example").unwrap();
        ToExchange::Resolve(ipc::message::exchange::Resolve {
            id: ExchangeId(id),
            name,
            port: 123,
            families: Families::Both,
        })
    };
    let mut parent = started();
    parent.send(&look_up(5));
    parent.send(&ToExchange::Exchange(exchange(5, 9)));
    assert!(matches!(parent.ending(), Ending::Rule(_)));
    let mut parent = started();
    (1..=4).for_each(|id| parent.send(&look_up(id)));
    (5..=9).for_each(|id| parent.send(&ToExchange::Exchange(exchange(id, 9))));
    assert!(matches!(parent.ending(), Ending::Rule(_)));
}
