use super::{
    Addresses, Cookie, Exchange, ExchangeFailed, ExchangeFailure, Exchanged, Families, FromExchange, IpAddr,
    Response, RootFiles, SocketAddr, exchange_keys, time_servers,
};
use bench::authority::{Authority, DAY, Identity, KeyKind, Order, Period, now};
use bench::key_client::record;
use bench::key_server::{Conversation, KeyServer, answer, cookies};
use bench::programs::{Place, wait_for};
use ipc::aead::{Aead, AeadOffer};
use ipc::message::exchange::{Denied, ExchangeId, HostName, KeyServer as KeyServerName};
use ipc::secret::KeyPair;
use ipc::units::WallTime;
use policies::Inherited;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

const ID: ExchangeId = ExchangeId(7);

/// Root files, and the authorities in them.
struct World {
    authority: Authority,
    place: Place,
}

impl World {
    fn new() -> Self {
        let (authority, place) = (Authority::new("root"), Place::new("exchange"));
        authority.write(&place.join("roots.pem"));
        Self { authority, place }
    }

    fn files(&self) -> RootFiles {
        let path = self.place.join("roots.pem");
        RootFiles::from_words(&Inherited::from_words([format!("roots-1={}", path.display())]).unwrap())
    }

    fn serve(&self, answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> KeyServer {
        KeyServer::start(self.authority.issue(&["localhost"]).server_config(), answer)
    }

    fn ask(&self, task: &Exchange) -> Result<(Exchanged, Vec<Vec<u8>>), ExchangeFailure> {
        let known = Addresses::new([SocketAddr::from(([127, 0, 0, 1], task.port)).into()]).unwrap();
        let mut said = exchange_keys(task, Some(known), Families::Both, &self.files());
        let end = said.pop().unwrap();
        let cookies = said.into_iter().map(|said| match said {
            FromExchange::Cookie(Cookie { id: ID, octets }) => octets.octets().to_vec(),
            other => panic!("{other:?}"),
        });
        match end {
            FromExchange::Exchanged(exchanged) => Ok((exchanged, cookies.collect())),
            FromExchange::ExchangeFailed(ExchangeFailed { id: ID, reason }) => Err(reason),
            other => panic!("{other:?}"),
        }
    }

    fn fails(&self, answer: Vec<u8>) -> ExchangeFailure {
        let server = self.serve(move |_| answer.clone());
        self.ask(&task(server.address().port())).unwrap_err()
    }

    /// What comes of a server that serves this identity, in all else a good one.
    fn presents(
        &self,
        identity: &Identity,
        task: impl Fn(u16) -> Exchange,
    ) -> Result<Exchanged, ExchangeFailure> {
        let server = KeyServer::start(identity.server_config(), |_| answer(15, &cookies(1)));
        self.ask(&task(server.address().port())).map(|(exchanged, _)| exchanged)
    }
}

fn at(seconds: i64) -> WallTime {
    WallTime::saturating(seconds * 1_000_000_000)
}

fn task(port: u16) -> Exchange {
    Exchange {
        id: ID,
        server: KeyServerName::Name(HostName::parse("localhost").unwrap()),
        port,
        roots: 1,
        now: at(now()),
        not_before: None,
        offer: AeadOffer::GCM_SIV_FIRST,
        turn: 0,
        at: None,
        denied: Denied::NONE,
        departure: ipc::departure::Departure::USUAL,
        families: Families::Both,
    }
}

fn octets(pair: &KeyPair, length: usize) -> [Vec<u8>; 2] {
    [&pair.client_to_server, &pair.server_to_client].map(|key| {
        assert!(key.octets()[length..].iter().all(|octet| *octet == 0));
        key.octets()[..length].to_vec()
    })
}

fn conversation(server: &KeyServer) -> Conversation {
    wait_for(Duration::from_secs(5), || server.conversations().pop()).expect("a conversation")
}

#[test]
fn keys_cookies_and_the_servers_address_come_out() {
    let world = World::new();
    let server = world.serve(|_| answer(15, &cookies(8)));
    let (exchanged, found) = world.ask(&task(server.address().port())).unwrap();
    let seen = conversation(&server);
    assert_eq!(seen.request, bench::key_client::request(&[30, 15]));
    assert_eq!((exchanged.keys.algorithm(), exchanged.keys.alternate()), (Aead::AesSivCmac256, None));
    assert_eq!(octets(exchanged.keys.pair(), 32), seen.siv);
    assert_eq!((exchanged.cookies, found), (8, cookies(8)));
    assert_eq!((exchanged.addresses.len(), exchanged.redirected, exchanged.deferred), (1, false, false));
    assert_eq!(exchanged.addresses[0].socket_address(), "127.0.0.1:123".parse().unwrap());
    let period = Period::current();
    assert!((exchanged.validity.from().minus(at(period.from)).magnitude().nanos()) < 60_000_000_000);
    assert!((exchanged.validity.until().minus(at(period.until)).magnitude().nanos()) < 60_000_000_000);
}

#[test]
fn time_servers_that_are_denied_are_told_and_the_one_that_is_named_comes_out() {
    let world = World::new();
    let names = ["t1.example", "192.0.2.7"].map(|name| HostName::parse(name).unwrap());
    // A server that has three, in the way of such a pool: the first that is not denied.
    let server = world.serve(|request| {
        let is_denied = |name: &str| {
            let denied = record(13, name.as_bytes());
            request.windows(denied.len()).any(|window| window == denied)
        };
        let left = ["192.0.2.7", "127.0.0.1", "192.0.2.9"].into_iter().find(|name| !is_denied(name));
        let all = answer(15, &cookies(1));
        [record(0x8006, left.unwrap().as_bytes()), all].concat()
    });
    let denied = Denied::of(names.iter());
    let (exchanged, _) = world.ask(&Exchange { denied, ..task(server.address().port()) }).unwrap();
    assert!(exchanged.redirected);
    assert_eq!(exchanged.named, HostName::parse("127.0.0.1").ok());
    assert_eq!(exchanged.addresses[0].socket_address(), "127.0.0.1:123".parse().unwrap());
    let request = conversation(&server).request;
    let plain = bench::key_client::request(&[30, 15]);
    let records = names.map(|name| record(13, name.as_str().as_bytes())).concat();
    let expected = [&plain[..plain.len() - 4], &records, &[0x80, 0, 0, 0]].concat();
    assert_eq!(request, expected);
}

#[test]
fn aead_30_is_exported_by_its_own_number_where_both_sides_say_so_and_else_by_the_old_one_first() {
    let world = World::new();
    let server = world.serve(|_| answer(30, &cookies(1)));
    let (exchanged, _) = world.ask(&task(server.address().port())).unwrap();
    assert_eq!((exchanged.keys.algorithm(), exchanged.keys.alternate()), (Aead::Aes128GcmSiv, None));
    assert_eq!(octets(exchanged.keys.pair(), 16), conversation(&server).gcm_siv);

    let old = [record(0x8001, &[0, 0]), record(0x8004, &[0, 30]), record(5, &[1; 64]), record(0x8000, &[])];
    let old = old.concat();
    let server = world.serve(move |_| old.clone());
    let (exchanged, _) = world.ask(&task(server.address().port())).unwrap();
    let seen = conversation(&server);
    assert_eq!(octets(exchanged.keys.pair(), 16), seen.legacy);
    assert_eq!(octets(exchanged.keys.alternate().unwrap(), 16), seen.gcm_siv);
}

#[test]
fn every_kind_of_key_and_an_intermediate_are_taken_and_the_shortest_validity_counts() {
    let world = World::new();
    let short = Period { from: now() - DAY, until: now() + DAY };
    let between = world.authority.intermediate("between", short);
    for key in [KeyKind::P256, KeyKind::Ed25519, KeyKind::Rsa] {
        let identity = between.issue_as(&Order { key, ..Order::new(&["localhost"]) });
        let exchanged = world.presents(&identity, task).unwrap();
        assert_eq!(exchanged.validity.until().nanos() / 1_000_000_000, short.until, "{key:?}");
    }
}

#[test]
fn a_server_may_be_known_by_its_address() {
    let world = World::new();
    let by_address = |port| {
        let address: SocketAddr = ([127, 0, 0, 1], 9).into();
        Exchange { server: KeyServerName::Address(address.into()), ..task(port) }
    };
    let identity = world.authority.issue(&["127.0.0.1"]);
    assert!(world.presents(&identity, by_address).is_ok());
    assert_eq!(world.presents(&identity, task).unwrap_err(), ExchangeFailure::WrongName);
    let named = world.authority.issue(&["localhost"]);
    assert_eq!(world.presents(&named, by_address).unwrap_err(), ExchangeFailure::WrongName);
}

#[test]
fn a053_without_tls_1_3_or_the_protocol_nothing_is_asked() {
    let world = World::new();
    let identity = world.authority.issue(&["localhost"]);
    for (protocols, reason) in [
        (vec![], ExchangeFailure::NoAlpn),
        (vec![b"h2".to_vec()], ExchangeFailure::NoAlpn),
        (vec![b"ntske/2".to_vec(), b"http/1.1".to_vec()], ExchangeFailure::NoAlpn),
    ] {
        let mut config = identity.server_config();
        config.alpn_protocols = protocols.clone();
        let server = KeyServer::start(config, |_| answer(15, &cookies(8)));
        assert_eq!(world.ask(&task(server.address().port())).unwrap_err(), reason, "{protocols:?}");
        assert!(conversation(&server).request.is_empty(), "no request was sent");
    }
    // A TLS 1.2 server answers our hello with an alert, or with a hello for its version.
    let alert = [21, 3, 3, 0, 2, 2, 70];
    let hello = [&[22, 3, 3, 0, 44, 2, 0, 0, 40, 3, 3][..], &[7; 32], &[0, 0xc0, 0x2f, 0, 0, 0]].concat();
    for octets in [&alert[..], &hello] {
        assert_eq!(world.ask(&task(says(octets.to_vec()))).unwrap_err(), ExchangeFailure::Tls);
    }
}

/// The port of a server that says this to the first client, whatever it asks, and hangs up when it does.
fn says(octets: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 2048];
        let _ = stream.read(&mut hello);
        let _ = stream.write_all(&octets);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        while stream.read(&mut hello).is_ok_and(|read| read > 0) {}
    });
    port
}

#[test]
fn a054_an_algorithm_that_was_not_offered_ends_the_exchange() {
    let world = World::new();
    let with = |list: &[u8]| {
        let head = [record(0x8001, &[0, 0]), record(0x8004, list)].concat();
        [head, record(5, &[1; 100]), record(0x8000, &[])].concat()
    };
    for (list, reason) in [
        (&[0u8, 17][..], ExchangeFailure::BadResponse),
        (&[0, 1], ExchangeFailure::BadResponse),
        (&[0, 30, 0, 15], ExchangeFailure::BadResponse),
        (&[0], ExchangeFailure::BadResponse),
        (&[], ExchangeFailure::NothingInCommon),
    ] {
        assert_eq!(world.fails(with(list)), reason, "{list:?}");
    }
    let server = world.serve(move |_| answer(30, &cookies(8)));
    let only = Exchange { offer: AeadOffer::only(Aead::AesSivCmac256), ..task(server.address().port()) };
    assert_eq!(world.ask(&only).unwrap_err(), ExchangeFailure::BadResponse);
}

#[test]
fn a055_a_redirect_leads_to_a_unicast_address_and_never_to_another_certificate() {
    let world = World::new();
    let to = |server: &str, port: u16| {
        let head = [record(0x8001, &[0, 0]), record(0x8004, &[0, 15]), record(5, &[1; 100])].concat();
        [head, record(6, server.as_bytes()), record(7, &port.to_be_bytes()), record(0x8000, &[])].concat()
    };
    for (server, port, reason) in [
        ("224.0.1.1", 123, ExchangeFailure::BadServer),
        ("255.255.255.255", 123, ExchangeFailure::BadServer),
        ("0.0.0.0", 123, ExchangeFailure::BadServer),
        ("240.0.0.1", 123, ExchangeFailure::BadServer),
        ("::", 123, ExchangeFailure::BadServer),
        ("ff02::101", 123, ExchangeFailure::BadServer),
        ("fe80::1", 123, ExchangeFailure::BadServer),
        ("::ffff:192.0.2.1", 123, ExchangeFailure::BadServer),
        ("a b", 123, ExchangeFailure::BadServer),
        ("192.0.2.1", 0, ExchangeFailure::BadServer),
    ] {
        assert_eq!(world.fails(to(server, port)), reason, "{server} {port}");
    }
    for (server, port) in [("192.0.2.1", 4123), ("2001:db8::1", 53), ("localhost", 124), ("127.0.0.1", 125)] {
        let said = to(server, port);
        let double = world.serve(move |_| said.clone());
        let (exchanged, _) = world.ask(&task(double.address().port())).unwrap();
        assert!(exchanged.redirected);
        let found = exchanged.addresses[0];
        assert_eq!(found.port(), port);
        match server.parse::<IpAddr>() {
            Ok(ip) => assert_eq!((found.ip(), exchanged.addresses.len()), (ip, 1)),
            Err(_) => assert!(found.ip().is_loopback(), "{found:?}"),
        }
    }
    // The certificate has to bear the configured name, whatever the server calls itself.
    let identity = world.authority.issue(&["other.example"]);
    let server = KeyServer::start(identity.server_config(), move |_| to("other.example", 123));
    assert_eq!(world.ask(&task(server.address().port())).unwrap_err(), ExchangeFailure::WrongName);
}

#[test]
fn a055_a_server_elsewhere_does_not_send_us_to_this_host() {
    let message = [record(0x8001, &[0, 0]), record(0x8004, &[0, 15]), record(5, &[1; 100])].concat();
    let message = [message, record(6, b"localhost"), record(0x8000, &[])].concat();
    let offer = AeadOffer::only(Aead::AesSivCmac256);
    for (peer, expected) in [("192.0.2.1:4460", Err(ExchangeFailure::BadServer)), ("127.0.0.1:4460", Ok(()))]
    {
        let peer: SocketAddr = peer.parse().unwrap();
        let response = Response::decode(&message, offer, peer.ip()).unwrap();
        assert_eq!(time_servers(&response, peer, Families::Both).map(drop), expected, "{peer}");
    }
}

#[test]
fn a057_cookies_are_bounded_in_number_and_length() {
    let world = World::new();
    for count in [1u16, 8, 9, 600] {
        let many: Vec<Vec<u8>> = (0..count).map(|number| vec![number as u8; 100]).collect();
        let said = answer(15, &many);
        let server = world.serve(move |_| said.clone());
        let (exchanged, found) = world.ask(&task(server.address().port())).unwrap();
        let kept = many.len().min(8);
        assert_eq!((usize::from(exchanged.cookies), &found[..]), (kept, &many[..kept]));
    }
    assert_eq!(world.fails(answer(15, &[])), ExchangeFailure::BadResponse);
    assert_eq!(
        world.fails(answer(15, &vec![vec![1; 100]; 700])),
        ExchangeFailure::BadResponse,
        "over 64 KiB"
    );
    for length in [0, 1025, 65_000, 65_535] {
        assert_eq!(world.fails(answer(15, &[vec![1; length]])), ExchangeFailure::BadResponse, "{length}");
    }
    for length in [1, 3, 1024] {
        let said = answer(15, &[vec![1; length]]);
        let server = world.serve(move |_| said.clone());
        assert_eq!(world.ask(&task(server.address().port())).unwrap().1, [vec![1; length]]);
    }
}

#[test]
fn a058_an_answer_that_breaks_a_rule_ends_the_exchange() {
    let world = World::new();
    let good = answer(15, &cookies(1));
    let body = good[..good.len() - 4].to_vec();
    let end = record(0x8000, &[]);
    let with = |extra: Vec<u8>| [body.clone(), extra, end.clone()].concat();
    for (said, reason) in [
        (with(record(0x8000 | 99, &[])), ExchangeFailure::BadResponse),
        ([record(0x8002, &[0, 1]), end.clone()].concat(), ExchangeFailure::ServerError(1)),
        ([record(0x8002, &[0, 2]), good.clone()].concat(), ExchangeFailure::ServerError(2)),
        (with(record(0x8001, &[0, 0])), ExchangeFailure::BadResponse),
        (with(record(0x8004, &[0, 15])), ExchangeFailure::BadResponse),
        (with(record(0x8003, &[0, 0])), ExchangeFailure::BadResponse),
        ([good.clone(), vec![0]].concat(), ExchangeFailure::BadResponse),
        (body.clone(), ExchangeFailure::BadResponse),
        (vec![], ExchangeFailure::BadResponse),
        ([record(0x8001, &[]), end.clone()].concat(), ExchangeFailure::NothingInCommon),
        ([body.clone(), record(0, &[])].concat(), ExchangeFailure::BadResponse),
    ] {
        assert_eq!(world.fails(said.clone()), reason, "{said:?}");
    }
    let said = with(record(99, b"whatever"));
    let server = world.serve(move |_| said.clone());
    assert!(world.ask(&task(server.address().port())).is_ok(), "what is not critical is left out");
}

#[test]
fn a059_a_server_that_never_stops_is_cut_off() {
    let world = World::new();
    // Cookies without end, then records of TLS without anything in them.
    let endless = answer(15, &[]).repeat(1)[..12].to_vec();
    let endless = [endless, record(5, &[1; 1000]).repeat(1000)].concat();
    assert_eq!(world.fails(endless), ExchangeFailure::BadResponse);
    // Before TLS stands.
    let empty_records = [20, 3, 3, 0, 1, 1].repeat(100_000);
    assert_eq!(world.ask(&task(says(empty_records))).unwrap_err(), ExchangeFailure::Tls);
    let long_hello = [&[22, 3, 3, 0x40, 0][..], &[2, 0xff, 0xff, 0xff], &[0; 0x3ffc]].concat().repeat(50);
    assert_eq!(world.ask(&task(says(long_hello))).unwrap_err(), ExchangeFailure::Tls);
    // A hello of nearly 64 KiB, of which a little is missing: no more is read.
    let head = [22, 3, 3, 0x40, 0];
    let hello = [&head[..], &[2, 0, 0xff, 0xff], &[0; 0x3ffc]].concat();
    let hello = [hello, [&head[..], &[0; 0x4000]].concat().repeat(3)].concat();
    assert_eq!(world.ask(&task(says(hello))).unwrap_err(), ExchangeFailure::Tls);
}

#[test]
fn a059_a_message_in_records_of_one_octet_each_is_read_as_far_as_its_share() {
    let world = World::new();
    for (cookies, is_read) in [(1, true), (12, false)] {
        let config = std::sync::Arc::new(world.authority.issue(&["localhost"]).server_config());
        let said = answer(15, &vec![vec![1; 1000]; cookies]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut connection = rustls::ServerConnection::new(config).unwrap();
            while connection.is_handshaking() {
                connection.complete_io(&mut stream).unwrap();
            }
            for octet in said {
                let _ = connection.writer().write(&[octet]);
                if connection.write_tls(&mut stream).is_err() {
                    break;
                }
            }
            while stream.read(&mut [0; 256]).is_ok_and(|read| read > 0) {}
        });
        let outcome = world.ask(&task(port)).map(drop);
        assert_eq!(outcome, if is_read { Ok(()) } else { Err(ExchangeFailure::BadResponse) });
    }
}

#[test]
fn a060_a_connection_that_ends_early_is_named() {
    let world = World::new();
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(world.ask(&task(deaf)).unwrap_err(), ExchangeFailure::Refused);
    assert_eq!(world.ask(&task(says(vec![]))).unwrap_err(), ExchangeFailure::Reset);
    assert_eq!(world.ask(&task(says(vec![22, 3, 3]))).unwrap_err(), ExchangeFailure::Reset);
}

#[test]
fn a120_what_is_changed_on_the_way_never_makes_keys() {
    let world = World::new();
    let server = world.serve(|_| answer(15, &cookies(8)));
    for flipped in [3, 20, 60, 130, 200, 400, 700, 900, 1100] {
        let relay = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = relay.local_addr().unwrap().port();
        let behind = server.address();
        std::thread::spawn(move || {
            let (client, _) = relay.accept().unwrap();
            let upstream = std::net::TcpStream::connect(behind).unwrap();
            // A changed length leaves both sides waiting.
            upstream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Write);
            });
            let (mut from, mut to) = (upstream, client);
            let mut passed = 0;
            let mut octets = [0; 256];
            while let Ok(read @ 1..) = from.read(&mut octets) {
                if (passed..passed + read).contains(&flipped) {
                    octets[flipped - passed] ^= 0x40;
                }
                passed += read;
                if to.write_all(&octets[..read]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
        let failure = world.ask(&task(port)).unwrap_err();
        let lawful = matches!(
            failure,
            ExchangeFailure::Tls
                | ExchangeFailure::Reset
                | ExchangeFailure::BadCertificate
                | ExchangeFailure::NoAlpn
                | ExchangeFailure::UnknownIssuer
        );
        assert!(lawful, "octet {flipped}: {failure:?}");
    }
}

#[test]
fn a120_an_exchange_that_is_led_to_another_server_ends() {
    let world = World::new();
    let other = world.authority.issue(&["other.example"]);
    assert_eq!(world.presents(&other, task).unwrap_err(), ExchangeFailure::WrongName);
}

#[test]
fn roots_are_read_for_each_exchange_and_only_from_the_file_that_was_named() {
    let world = World::new();
    let identity = world.authority.issue(&["localhost"]);
    assert!(world.presents(&identity, task).is_ok());
    for roots in [0, 2, 5, 255] {
        let from = |port| Exchange { roots, ..task(port) };
        assert_eq!(world.presents(&identity, from).unwrap_err(), ExchangeFailure::NoRoots);
    }
    Authority::new("another").write(&world.place.join("roots.pem"));
    assert_eq!(world.presents(&identity, task).unwrap_err(), ExchangeFailure::UnknownIssuer);
    std::fs::remove_file(world.place.join("roots.pem")).unwrap();
    assert_eq!(world.presents(&identity, task).unwrap_err(), ExchangeFailure::NoRoots);
}

#[test]
fn a_pin_is_trusted_as_it_is_and_vouches_for_no_other_server() {
    let world = World::new();
    let pinned = Identity::self_signed(&Order::new(&["localhost"]));
    std::fs::write(world.place.join("roots.pem"), &pinned.chain_pem).unwrap();
    assert!(world.presents(&pinned, task).is_ok());
    let impostor = Identity::self_signed(&Order::new(&["localhost"]));
    assert_eq!(world.presents(&impostor, task).unwrap_err(), ExchangeFailure::UnknownIssuer);
    // The certificate without its key.
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(impostor.key.clone_key()).unwrap();
    let mut config = impostor.server_config();
    let thief = rustls::sign::CertifiedKey::new(pinned.chain.clone(), key);
    config.cert_resolver = std::sync::Arc::new(rustls::sign::SingleCertAndKey::from(thief));
    let server = KeyServer::start(config, |_| answer(15, &cookies(1)));
    assert_eq!(world.ask(&task(server.address().port())).unwrap_err(), ExchangeFailure::Tls);
}
