use super::*;
use crate::answer::error;
use crate::shared::Settings;
use bench::authority::{Authority, Identity};
use bench::key_client::{record, request};
use bench::key_pair::CookieSecret;
use ipc::message::key_service::KeyPolicy;
use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::io::Write;
use std::sync::LazyLock;
use threads::Versions;

static AUTHORITY: LazyLock<(Authority, Identity)> = LazyLock::new(|| {
    let authority = Authority::new("root");
    let identity = authority.issue(&["localhost"]);
    (authority, identity)
});

fn context() -> Context {
    let mut config = AUTHORITY.1.server_config();
    config.send_tls13_tickets = 0;
    let settings = Settings {
        policy: KeyPolicy::DEFAULT,
        cookies: Some(Arc::new(CookieSecret(7).keys())),
        certificates: Vec::new(),
    };
    Context { settings: Versions::new(settings).newest(), config: Some(Arc::new(config)) }
}

fn client(protocols: &[&[u8]]) -> ClientConnection {
    let mut config = ClientConfig::clone(&AUTHORITY.0.client_config());
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap()
}

/// What a client and the server sent to each other, and the outcome.
struct Heard {
    end: Option<End>,
    answer: Vec<u8>,
    is_closed: bool,
    failure: Option<rustls::Error>,
}

/// The complete session of a client that sends these octets, in pieces of at most that size.
fn session(client: &mut ClientConnection, says: &[u8], piece: usize) -> Heard {
    let (context, mut session) = (context(), Session::new());
    client.writer().write_all(says).unwrap();
    let mut heard = Heard { end: None, answer: Vec::new(), is_closed: false, failure: None };
    for _ in 0..1_000 {
        let mut out = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut out).unwrap();
        }
        if out.is_empty() {
            break;
        }
        for octets in out.chunks(piece) {
            let mut told = Vec::new();
            heard.end = heard.end.or(session.hear(octets, &context, || true, &mut told));
            let mut told = &told[..];
            while !told.is_empty() {
                client.read_tls(&mut told).unwrap();
                match client.process_new_packets() {
                    Ok(state) => {
                        heard.is_closed |= state.peer_has_closed();
                        let _ = client.reader().read_to_end(&mut heard.answer);
                    }
                    Err(failure) => heard.failure = heard.failure.or(Some(failure)),
                }
            }
        }
    }
    heard
}

fn answer_to(says: &[u8]) -> Vec<u8> {
    let heard = session(&mut client(&[ALPN]), says, usize::MAX);
    assert_eq!(heard.end, Some(End::Refused), "{:?}", heard.failure);
    assert!(heard.is_closed, "the end is said");
    heard.answer
}

#[test]
fn the_same_is_said_however_small_the_pieces_are() {
    for piece in [1, 2, 7, 100, usize::MAX] {
        let heard = session(&mut client(&[ALPN]), &request(&[30, 15]), piece);
        assert_eq!((heard.end, heard.is_closed, heard.failure), (Some(End::Exchanged), true, None));
        assert_eq!(heard.answer.len(), 6 + 6 + 4 + 8 * (4 + 68) + 4);
    }
}

#[test]
fn a053_a_client_that_names_no_protocol_or_another_one_gets_nothing_but_an_alert() {
    for protocols in [&[][..], &[&b"h2"[..]], &[b"ntske/2", b"http/1.1"]] {
        let heard = session(&mut client(protocols), &request(&[15]), usize::MAX);
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol);
        assert_eq!((heard.end, heard.failure), (Some(End::Tls), Some(alert)), "{protocols:?}");
        assert!(heard.answer.is_empty());
    }
    let heard = session(&mut client(&[b"h2", ALPN]), &request(&[15]), usize::MAX);
    assert_eq!(heard.end, Some(End::Exchanged), "ours among others is enough");
}

/// The first message of a client that supports TLS up to 1.2.
fn hello_of_tls_1_2() -> Vec<u8> {
    let extension = |kind: u16, body: &[u8]| record(kind, body);
    let extensions =
        [extension(10, &[0, 2, 0, 29]), extension(13, &[0, 2, 4, 3]), extension(16, b"\0\x08\x07ntske/1")]
            .concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let length = body.len() as u32;
    let message = [&[1][..], &length.to_be_bytes()[1..], &body].concat();
    [&[22, 3, 1][..], &(message.len() as u16).to_be_bytes(), &message].concat()
}

#[test]
fn a053_a_client_that_knows_tls_1_2_gets_nothing_but_an_alert() {
    let mut out = Vec::new();
    let end = Session::new().hear(&hello_of_tls_1_2(), &context(), || true, &mut out);
    assert_eq!(
        (end, out.get(..2), &out[out.len() - 2..]),
        (Some(End::Tls), Some(&[21, 3][..]), &[2, 70][..])
    );
}

#[test]
fn a088_whose_handshake_is_one_too_many_is_told_nothing() {
    let mut client = client(&[ALPN]);
    let (mut hello, mut out) = (Vec::new(), Vec::new());
    client.write_tls(&mut hello).unwrap();
    let mut session = Session::new();
    let asked = std::cell::Cell::new(0);
    let mut hear = |octets: &[u8]| {
        let begins = || {
            asked.set(asked.get() + 1);
            false
        };
        session.hear(octets, &context(), begins, &mut out)
    };
    assert_eq!(hear(&hello[..hello.len() - 1]), None);
    assert_eq!(asked.get(), 0, "nothing is counted before the message is whole");
    assert_eq!(hear(&hello[hello.len() - 1..]), Some(End::Limited));
    assert_eq!((asked.get(), out.len()), (1, 0));
}

#[test]
fn a089_each_malformed_request_is_told_what_is_wrong_with_it() {
    let (protocol, aead) = (record(0x8001, &[0, 0]), record(0x8004, &[0, 15]));
    let end = record(0x8000, &[]);
    let (unknown, bad) = (ErrorCode::UnrecognizedCriticalRecord, ErrorCode::BadRequest);
    let cases: &[(&str, &[&[u8]], ErrorCode)] = &[
        ("three protocol records", &[&protocol, &protocol, &protocol, &aead, &end], bad),
        ("no protocol record", &[&aead, &end], bad),
        ("no algorithm record", &[&protocol, &end], bad),
        ("an unknown critical record", &[&protocol, &aead, &record(0xc000, &[]), &end], unknown),
        ("an error record", &[&protocol, &aead, &record(0x8002, &[0, 0]), &end], bad),
        ("a warning record", &[&protocol, &aead, &record(0x8003, &[0, 0]), &end], bad),
        ("a cookie", &[&protocol, &aead, &record(5, &[1; 100]), &end], bad),
        ("a list of odd length", &[&protocol, &record(0x8004, &[0]), &end], bad),
        ("an empty list", &[&record(0x8001, &[]), &aead, &end], bad),
        ("a list that is not critical", &[&record(1, &[0, 0]), &aead, &end], bad),
        ("an end with a body", &[&protocol, &aead, &record(0x8000, &[0])], bad),
        ("an end that is not critical", &[&protocol, &aead, &record(0, &[])], bad),
        ("octets behind the end", &[&protocol, &aead, &end, &[0]], bad),
        ("a body beyond what is taken", &[&protocol, &[0, 9, 0x10, 0]], bad),
        ("too many records", &[&protocol, &aead, &record(9, &[0; 4_100]), &end], bad),
        ("too much in all", &[&vec![0x7f; 20_000]], bad),
    ];
    for (name, records, code) in cases {
        assert_eq!(answer_to(&records.concat()), error(*code), "{name}");
    }
    let nothing_in_common = |records: &[&[u8]]| answer_to(&records.concat());
    let expected = [record(0x8001, &[]), end.clone()].concat();
    assert_eq!(nothing_in_common(&[&record(0x8001, &[0x40, 1]), &aead, &end]), expected);
    let expected = [protocol.clone(), record(0x8004, &[]), end.clone()].concat();
    assert_eq!(nothing_in_common(&[&protocol, &record(0x8004, &[0, 16, 0, 18]), &end]), expected);
}

#[test]
fn a089_a_request_of_4096_octets_is_answered_and_one_more_is_too_long() {
    let around = request(&[15]).len() + 4;
    for (length, answered) in [(4_096, true), (4_097, false)] {
        let mut says = record(9, &vec![0; length - around]);
        says.extend(request(&[15]));
        assert_eq!(says.len(), length);
        let heard = session(&mut client(&[ALPN]), &says, usize::MAX);
        assert_eq!(heard.end == Some(End::Exchanged), answered, "{length}");
    }
}

#[test]
fn a087_a_client_that_never_ends_its_request_is_told_so_when_its_time_is_over() {
    let (context, mut session) = (context(), Session::new());
    let mut client = client(&[ALPN]);
    client.writer().write_all(&request(&[15])[..9]).unwrap();
    for _ in 0..4 {
        let (mut out, mut told) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut out).unwrap();
        }
        assert_eq!(session.hear(&out, &context, || true, &mut told), None);
        let mut told = &told[..];
        while !told.is_empty() {
            client.read_tls(&mut told).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    let mut told = Vec::new();
    session.run_out(&mut told);
    client.read_tls(&mut &told[..]).unwrap();
    assert!(client.process_new_packets().unwrap().peer_has_closed());
    let mut answer = Vec::new();
    let _ = client.reader().read_to_end(&mut answer);
    assert_eq!(answer, error(ErrorCode::BadRequest));
    assert_eq!(
        session.hear(&[22, 3, 3], &context, || true, &mut told),
        None,
        "nothing is heard after the end"
    );
}

#[test]
fn without_keys_for_cookies_a_client_is_told_that_it_is_our_fault() {
    let mut context = context();
    let settings = Settings { cookies: None, ..Settings::clone(&*context.settings) };
    context.settings = Versions::new(settings).newest();
    let (mut client, mut session) = (client(&[ALPN]), Session::new());
    client.writer().write_all(&request(&[15])).unwrap();
    let mut answer = Vec::new();
    for _ in 0..4 {
        let (mut out, mut told) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut out).unwrap();
        }
        session.hear(&out, &context, || true, &mut told);
        let mut told = &told[..];
        while !told.is_empty() {
            client.read_tls(&mut told).unwrap();
            client.process_new_packets().unwrap();
        }
        let _ = client.reader().read_to_end(&mut answer);
    }
    assert_eq!(answer, error(ErrorCode::InternalServerError));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a097_no_first_octets_panic_or_go_on_for_ever(octets in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let (context, mut out) = (context(), Vec::new());
        Session::new().hear(&octets, &context, || true, &mut out);
        prop_assert!(out.len() < 20_000);
    }

    #[test]
    fn a097_no_damage_to_a_hello_panics(at in 0usize..400, octet: u8, cut in 1usize..500) {
        let mut hello = Vec::new();
        client(&[ALPN]).write_tls(&mut hello).unwrap();
        if let Some(place) = hello.get_mut(at) {
            *place ^= octet;
        }
        let (context, mut out, mut session) = (context(), Vec::new(), Session::new());
        for piece in hello.chunks(cut) {
            session.hear(piece, &context, || true, &mut out);
        }
    }

    #[test]
    fn a097_no_request_panics(says in proptest::collection::vec(any::<u8>(), 0..600)) {
        session(&mut client(&[ALPN]), &says, usize::MAX);
    }
}
