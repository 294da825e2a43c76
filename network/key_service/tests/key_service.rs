//! The key exchange service with its key holder, both as real processes under their filters.

mod support;

use bench::authority::{KeyKind, Order};
use bench::key_client::{Keys, exchange, request};
use bench::key_pair::{CookieSecret, GENEROUS, KeyPair, heard};
use bench::skip;
use ipc::message::exchange::HostName;
use ipc::message::key_service::{
    FromKeyHolder, FromKeyService, KeyCounters, KeyPolicy, KeyRead, Loaded, Request, ToKeyHolder,
    ToKeyService, Unread,
};
use ipc::message::launch::MAX_KEY_THREADS;
use ipc::message::{Shortfall, server};
use ipc::units::WallTime;
use rustls::pki_types::ServerName;
use rustls::server::ServerSessionMemoryCache;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use support::{Setting, plan};

fn asked(setting: &Setting, address: SocketAddr, offer: &[u16]) -> std::io::Result<Keys> {
    exchange(address, "localhost", &setting.authority.client_config(), offer)
}

/// Opens a cookie as the server does, and compares the keys in it with those of the client.
fn holds_the_clients_keys(keys: &Keys, secret: CookieSecret) -> bool {
    let secret = secret.keys();
    keys.cookies.len() == 8
        && keys.cookies.iter().all(|cookie| {
            secret.open(cookie).is_some_and(|inside| {
                inside.keys.client_to_server.octets() == keys.client_to_server
                    && inside.keys.server_to_client.octets() == keys.server_to_client
            })
        })
}

#[test]
fn keys_and_cookies_are_exchanged_over_both_families_with_either_algorithm() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 2, true));
    pair.open(KeyPolicy::DEFAULT);
    for address in pair.addresses.clone() {
        for (offer, chosen, length) in [(&[30, 15][..], 30, 68), (&[15], 15, 100), (&[15, 30], 15, 100)] {
            let keys = asked(&setting, address, offer).unwrap();
            assert_eq!(
                (keys.algorithm, keys.error, keys.server.as_deref(), keys.port),
                (chosen, None, None, None)
            );
            assert!(keys.cookies.iter().all(|cookie| cookie.len() == length));
            assert!(holds_the_clients_keys(&keys, CookieSecret(7)));
            assert_eq!(keys.is_compliant, chosen == 30);
        }
    }
    let counters = pair.counters(|counters| counters.exchanged > 0);
    assert_eq!((counters.limited, counters.tls, counters.refused, counters.late), (0, 0, 0, 0));
}

#[test]
fn nothing_is_missing_of_their_confinement_and_they_end_with_the_engine() {
    let setting = Setting::new();
    let pair = KeyPair::start(&plan(&setting, 1, false));
    if pair.shortfall != Shortfall::NONE {
        return skip("this host does not let a process be confined in full");
    }
    let process = bench::process::Process::read(pair.pids().0).unwrap();
    assert_eq!((process.seccomp, process.permitted, process.no_new_privileges), (2, 0, 1));
    let status = pair.ending(|pair| {
        // Another descriptor takes the place of the engine's end, which is closed by that.
        let (one, _) = std::os::unix::net::UnixStream::pair().unwrap();
        pair.engine = ipc_link::Link::new(one.into());
    });
    assert_eq!(status.code(), Some(0));
}

#[test]
fn the_answer_names_the_server_and_the_port_of_the_policy_and_new_keys_seal_from_then_on() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 1, false));
    let ntp_server = Some(HostName::parse("time.example.org").unwrap());
    pair.open(KeyPolicy { ntp_server, ntp_port: Some(4123), ..KeyPolicy::DEFAULT });
    let address = pair.addresses[0];
    let keys = asked(&setting, address, &[15]).unwrap();
    assert_eq!((keys.server.as_deref(), keys.port), (Some("time.example.org"), Some(4123)));
    pair.send(&ToKeyService::CookieKeys(CookieSecret(9).given()));
    let is_new = |keys: &Keys| holds_the_clients_keys(keys, CookieSecret(9));
    let renewed = bench::programs::wait_for(Duration::from_secs(5), || {
        asked(&setting, address, &[15]).ok().filter(is_new)
    });
    assert!(renewed.is_some());
    assert!(!holds_the_clients_keys(&renewed.unwrap(), CookieSecret(7)));
}

#[test]
fn each_kind_of_key_signs() {
    for kind in [KeyKind::P256, KeyKind::Ed25519, KeyKind::Rsa] {
        let setting = Setting::with(kind);
        let mut pair = KeyPair::start(&plan(&setting, 1, false));
        pair.open(KeyPolicy::DEFAULT);
        for _ in 0..3 {
            assert!(asked(&setting, pair.addresses[0], &[15]).is_ok(), "{kind:?}");
        }
    }
}

/// What a library does for the first time must be permitted, whatever comes first: each service is a new one.
#[test]
fn the_first_client_of_a_service_may_be_of_any_cipher_suite_and_group_and_any_key_may_follow_any_other() {
    let whole = rustls::crypto::aws_lc_rs::default_provider();
    let kinds = [KeyKind::Ed25519, KeyKind::P256, KeyKind::Rsa, KeyKind::Rsa4096];
    let suites = whole.cipher_suites.iter().filter(|suite| suite.tls13().is_some());
    let ways: Vec<_> =
        suites.flat_map(|suite| whole.kx_groups.iter().map(move |group| (*suite, *group))).collect();
    assert!(ways.len() >= 9, "{ways:?}");
    let setting = Setting::new();
    let identities =
        kinds.map(|key| setting.authority.issue_as(&Order { key, ..Order::new(&["localhost"]) }));
    let use_next = |identity: &bench::authority::Identity| {
        setting.write(&setting.chain, identity.chain_pem.as_bytes());
        setting.write(&setting.key, identity.key_pem.as_bytes());
    };
    for (number, (suite, group)) in ways.into_iter().enumerate() {
        let provider = rustls::crypto::CryptoProvider {
            cipher_suites: vec![suite],
            kx_groups: vec![group],
            ..whole.clone()
        };
        let begin = number % kinds.len();
        use_next(&identities[begin]);
        let config = setting.authority.client_config_with(Arc::new(provider));
        let mut pair = KeyPair::start(&plan(&setting, 1, false));
        pair.open(GENEROUS);
        let address = pair.addresses[0];
        let works = || exchange(address, "localhost", &config, &[15]).map(drop);
        // Not every group has to be supported; a handshake that fails is a first one, too.
        let first = works().map_err(|error| error.to_string());
        for at in (0..kinds.len()).chain([begin]) {
            let kind = kinds[at];
            use_next(&identities[at]);
            pair.send(&reload_now());
            assert!(matches!(pair.loaded(), Loaded::InUse { .. }), "{suite:?} {group:?} {kind:?}");
            let again = works().map_err(|error| error.to_string());
            assert_eq!(
                again.is_ok(),
                first.is_ok(),
                "{suite:?} {group:?} {kind:?}: {again:?}, first {first:?}"
            );
        }
    }
}

/// The C library's allocator counts the processors when there are many threads.
#[test]
fn as_many_threads_as_there_may_be_exchange_keys_under_the_filter() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, MAX_KEY_THREADS.into(), false));
    pair.open(GENEROUS);
    let address = pair.addresses[0];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..64).for_each(|_| drop(asked(&setting, address, &[15]).expect("keys"))));
        }
    });
    let all = 8 * 64;
    let counters = pair.counters(|counters| counters.exchanged == all);
    assert_eq!((counters.limited, counters.tls, counters.refused, counters.late), (0, 0, 0, 0));
}

#[test]
fn no_connection_is_accepted_before_there_are_keys_and_a_certificate() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 1, false));
    assert!(matches!(pair.loaded(), Loaded::InUse { .. }));
    let mut early = TcpStream::connect(pair.addresses[0]).unwrap();
    early.set_read_timeout(Some(Duration::from_millis(2_500))).unwrap();
    assert!(early.read(&mut [0; 1]).is_err(), "it waits, longer than an exchange may take");
    pair.send(&ToKeyService::CookieKeys(CookieSecret(7).given()));
    assert!(asked(&setting, pair.addresses[0], &[15]).is_ok());
}

#[test]
fn a_certificate_is_replaced_under_load_without_an_exchange_lost() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 2, false));
    pair.open(KeyPolicy {
        network_connections: 512,
        rate: 100_000,
        network_rate: 100_000,
        ..KeyPolicy::DEFAULT
    });
    let (is_over, done, address) = (AtomicBool::new(false), AtomicU64::new(0), pair.addresses[0]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    let keys = asked(&setting, address, &[15]);
                    if !keys.as_ref().is_ok_and(|keys| keys.cookies.len() == 8) {
                        is_over.store(true, Relaxed);
                        panic!("{keys:?}");
                    }
                    done.fetch_add(1, Relaxed);
                }
            });
        }
        for kind in [KeyKind::Ed25519, KeyKind::P256, KeyKind::P256, KeyKind::Ed25519, KeyKind::Rsa] {
            let before = done.load(Relaxed);
            setting.replace(kind);
            pair.send(&reload_now());
            let loaded = pair.loaded();
            if !matches!(loaded, Loaded::InUse { .. }) {
                is_over.store(true, Relaxed);
            }
            assert!(matches!(loaded, Loaded::InUse { .. }), "{loaded:?}");
            while done.load(Relaxed) < before + 20 && !is_over.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        is_over.store(true, Relaxed);
    });
    let counters = pair.counters(|counters| counters.exchanged == done.load(Relaxed));
    assert_eq!((counters.tls, counters.refused, counters.late, counters.gone), (0, 0, 0, 0));
}

/// By the host's clock.
fn reload_now() -> ToKeyService {
    let now = WallTime::saturating(bench::authority::now() * 1_000_000_000);
    ToKeyService::Reload(Request { now, drops_names: false })
}

#[test]
fn what_can_not_be_used_is_told_and_what_was_in_use_stays() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 2, false));
    pair.open(KeyPolicy::DEFAULT);
    let works = |pair: &KeyPair| asked(&setting, pair.addresses[0], &[15]).is_ok();
    let reload = |pair: &mut KeyPair| {
        pair.send(&reload_now());
        pair.loaded()
    };
    let (chain, key) = (std::fs::read(&setting.chain).unwrap(), std::fs::read(&setting.key).unwrap());
    let other = setting.authority.issue(&["localhost"]);

    setting.write(&setting.key, other.key_pem.as_bytes());
    assert_eq!(reload(&mut pair), Loaded::Mismatch);
    assert!(works(&pair), "the key that was read is not used");
    for bad in
        [&b""[..], b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", &vec![b'x'; 100_000]]
    {
        setting.write(&setting.key, bad);
        assert!(matches!(reload(&mut pair), Loaded::NoKey(Unread::Unsupported | Unread::TooLong)));
    }
    std::fs::remove_file(&setting.key).unwrap();
    assert_eq!(reload(&mut pair), Loaded::NoKey(Unread::Refused(2)), "ENOENT");
    assert!(works(&pair));
    setting.write(&setting.key, &key);
    for bad in [&b""[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &chain.repeat(9)]
    {
        setting.write(&setting.chain, bad);
        assert_eq!(reload(&mut pair), Loaded::NoCertificate(Unread::Unsupported));
    }
    std::fs::remove_file(&setting.chain).unwrap();
    assert_eq!(reload(&mut pair), Loaded::NoCertificate(Unread::Refused(2)), "ENOENT");
    assert!(works(&pair));
    setting.write(&setting.chain, &chain);
    assert!(matches!(reload(&mut pair), Loaded::InUse { .. }));
    assert!(works(&pair));
}

#[test]
fn the_period_of_the_certificate_is_told() {
    let setting = Setting::new();
    let period = bench::authority::Period { from: 1_700_000_000, until: 2_600_000_000 };
    let identity = setting.authority.issue_as(&Order { period, ..Order::new(&["localhost"]) });
    setting.write(&setting.chain, identity.chain_pem.as_bytes());
    setting.write(&setting.key, identity.key_pem.as_bytes());
    let mut pair = KeyPair::start(&plan(&setting, 1, false));
    assert_eq!(pair.loaded(), Loaded::InUse { not_before: period.from, not_after: period.until });
}

#[test]
fn a_file_that_is_a_link_into_another_folder_is_found_there_anew_each_time() {
    let setting = Setting::new();
    let place = bench::programs::Place::new("live");
    let [chain, key] = ["fullchain.pem", "privkey.pem"].map(|name| place.join(name));
    let link = |generation: &str| {
        for (at, name) in [(&chain, "fullchain"), (&key, "key")] {
            let _ = std::fs::remove_file(at);
            let target = setting.place.join(&format!("{name}{generation}.pem"));
            std::os::unix::fs::symlink(target, at).unwrap();
        }
    };
    link("");
    let mut plan = plan(&setting, 1, false);
    (plan.certificate, plan.key) = (chain.clone(), key.clone());
    let mut pair = KeyPair::start(&plan);
    pair.open(KeyPolicy::DEFAULT);
    let identity = setting.authority.issue_as(&Order { key: KeyKind::Ed25519, ..Order::new(&["localhost"]) });
    setting.write(&setting.place.join("fullchain2.pem"), identity.chain_pem.as_bytes());
    setting.write(&setting.place.join("key2.pem"), identity.key_pem.as_bytes());
    link("2");
    pair.send(&reload_now());
    assert!(matches!(pair.loaded(), Loaded::InUse { .. }));
    assert!(asked(&setting, pair.addresses[0], &[15]).is_ok());
}

#[test]
fn several_wishes_to_reload_are_answered_and_none_is_lost() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 2, false));
    pair.open(KeyPolicy::DEFAULT);
    for _ in 0..5 {
        pair.send(&reload_now());
    }
    let mut answers = 0;
    while let Some(message) = pair.next_within(Duration::from_millis(500)) {
        answers += u32::from(matches!(message, FromKeyService::Certificate(0, Loaded::InUse { .. })));
    }
    assert!((1..=5).contains(&answers), "{answers}");
    setting.replace(KeyKind::Ed25519);
    pair.send(&reload_now());
    assert!(matches!(pair.loaded(), Loaded::InUse { .. }));
}

#[test]
fn counts_are_told_at_most_once_a_second_and_each_client_is_in_one() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 2, false));
    pair.open(KeyPolicy::DEFAULT);
    let address = pair.addresses[0];
    drop(TcpStream::connect(address).unwrap());
    TcpStream::connect(address).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(asked(&setting, address, &[16]).unwrap().algorithm, 0);
    let _late = TcpStream::connect(address).unwrap();
    for _ in 0..3 {
        asked(&setting, address, &[15]).unwrap();
    }
    let counters = pair.counters(|counters| counters.late == 1);
    let expected =
        KeyCounters { accepted: 7, exchanged: 3, tls: 1, refused: 1, late: 1, gone: 1, ..KeyCounters::ZERO };
    assert_eq!(counters, expected);
}

#[test]
fn an_engine_that_breaks_a_rule_and_a_holder_that_is_gone_end_the_service() {
    let setting = Setting::new();
    let start = || KeyPair::start(&plan(&setting, 1, false));
    let impossible = [
        KeyPolicy { connections: 0, ..KeyPolicy::DEFAULT },
        KeyPolicy { connections: 513, ..KeyPolicy::DEFAULT },
        KeyPolicy { network_connections: 0, ..KeyPolicy::DEFAULT },
        KeyPolicy { connections: 8, network_connections: 9, ..KeyPolicy::DEFAULT },
        KeyPolicy { rate: 0, ..KeyPolicy::DEFAULT },
        KeyPolicy { network_rate: 100_001, ..KeyPolicy::DEFAULT },
    ];
    for policy in impossible {
        let status = start().ending(|pair| pair.send(&ToKeyService::Policy(policy)));
        assert_eq!(status.code(), Some(70), "{policy:?}");
    }
    let keys = server::CookieKeys { current: 1, ..CookieSecret(7).given() };
    let status = start().ending(|pair| pair.send(&ToKeyService::CookieKeys(keys)));
    assert_eq!(status.code(), Some(70));
    assert_eq!(start().ending(KeyPair::kill_holder).code(), Some(70));
}

#[test]
fn a_holder_out_of_turn_ends_the_service() {
    let setting = Setting::new();
    let wrong = [
        vec![FromKeyHolder::NotSigned],
        vec![FromKeyHolder::Key(KeyRead::Unreadable(Unread::Unsupported))],
        vec![FromKeyHolder::Hello(Shortfall::NONE), FromKeyHolder::Hello(Shortfall::NONE)],
        vec![
            FromKeyHolder::Hello(Shortfall::NONE),
            FromKeyHolder::Key(KeyRead::Unreadable(Unread::Unsupported)),
            FromKeyHolder::Key(KeyRead::Unreadable(Unread::Unsupported)),
        ],
    ];
    for words in wrong {
        let (pair, mut ends) = KeyPair::start_without_holder(&plan(&setting, 1, false));
        let status = pair.ending(|_| {
            for word in &words {
                ends[0].send(word).unwrap();
            }
        });
        assert_eq!(status.code(), Some(70), "{words:?}");
    }
}

#[test]
fn a179_a_holder_that_signs_nothing_or_nonsense_or_late_costs_a_handshake_and_no_more() {
    let setting = Setting::new();
    let (mut pair, mut ends) = KeyPair::start_without_holder(&plan(&setting, 1, false));
    // The real holder's report on this key, to be repeated.
    let fingerprint = KeyRead::Read(setting.fingerprint());
    ends[0].send(&FromKeyHolder::Hello(Shortfall::NONE)).unwrap();
    ends[0].send(&FromKeyHolder::Key(fingerprint)).unwrap();
    assert!(matches!(pair.hear(), FromKeyService::HolderHello(Shortfall::NONE)));
    pair.open(KeyPolicy::DEFAULT);
    let nonsense = ipc::message::key_service::Signature::from_octets(&[0x30; 70]).unwrap();
    assert!(matches!(heard(&mut ends[1], Duration::from_secs(5)), Some(ToKeyHolder::Use(0))));
    let answers = [
        Some(FromKeyHolder::NotSigned),
        Some(FromKeyHolder::Signed(nonsense)),
        None,
        Some(FromKeyHolder::NotSigned),
    ];
    for answer in answers {
        let failed = std::thread::scope(|scope| {
            let client = scope.spawn(|| asked(&setting, pair.addresses[0], &[15]).is_err());
            if let Some(answer) = answer {
                // The outstanding answer comes first, and is dropped.
                let order = heard(&mut ends[1], Duration::from_secs(5));
                assert!(matches!(order, Some(ToKeyHolder::Sign(_))), "{order:?}");
                ends[1].send(&answer).unwrap();
            }
            client.join().unwrap()
        });
        assert!(failed, "{answer:?}");
        if answer.is_none() {
            let order = heard(&mut ends[1], Duration::from_secs(5));
            assert!(matches!(order, Some(ToKeyHolder::Sign(_))), "{order:?}");
            ends[1].send(&FromKeyHolder::NotSigned).unwrap();
        }
    }
    assert!(pair.counters(|counters| counters.tls >= 3).exchanged == 0);
}

/// A server that offers its clients resumption with early data, for one connection.
fn welcome_early_data(setting: &Setting, config: &Arc<ClientConfig>) -> u32 {
    let identity = setting.authority.issue(&["localhost"]);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .unwrap();
    server.alpn_protocols = vec![b"ntske/1".to_vec()];
    server.session_storage = ServerSessionMemoryCache::new(8);
    server.max_early_data_size = 1_000;
    server.send_tls13_tickets = 1;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let tls = ServerConnection::new(Arc::new(server)).unwrap();
            let mut stream = StreamOwned::new(tls, listener.accept().unwrap().0);
            stream.read_exact(&mut [0; 5]).unwrap();
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        });
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::clone(config), name).unwrap();
        let mut stream = StreamOwned::new(client, TcpStream::connect(address).unwrap());
        stream.write_all(b"hello").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        stream.conn.tls13_tickets_received()
    })
}

#[test]
fn a053_early_data_is_never_accepted_and_no_ticket_invites_to_it() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 1, false));
    pair.open(KeyPolicy::DEFAULT);
    let mut config = ClientConfig::clone(&setting.authority.client_config());
    config.enable_early_data = true;
    let config = Arc::new(config);
    // The only way to offer a ticket is one from another server with this name.
    assert_eq!(welcome_early_data(&setting, &config), 1);
    for offers in [true, false] {
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::clone(&config), name).unwrap();
        assert_eq!(client.early_data().is_some(), offers);
        if let Some(mut early) = client.early_data() {
            early.write_all(&request(&[15])).unwrap();
        }
        let mut stream = StreamOwned::new(client, TcpStream::connect(pair.addresses[0]).unwrap());
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        assert!(!stream.conn.is_early_data_accepted());
        assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Full));
        // Early data was ignored; an exchange needs its own request.
        stream.write_all(&request(&[15])).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.len() > 8 * 100, "{answer:?}");
        assert_eq!(stream.conn.tls13_tickets_received(), 0);
    }
    let counters = pair.counters(|counters| counters.exchanged == 2);
    assert_eq!((counters.accepted, counters.tls, counters.refused), (2, 0, 0));
}
