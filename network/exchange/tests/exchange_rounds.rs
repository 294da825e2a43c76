//! The exchange process with real children that make rounds of Roughtime, in their full confinement.

use bench::role::Role;
use exchange::{Work, run};
use ipc::anchor::Exchange;
use ipc::message::Shortfall;
use ipc::message::exchange::{
    ExchangeId, FromExchange, Heard, HeardOf, HostName, KeyServer, LookupFailure, Measure, MeasureFailed,
    MeasureFailure, Measured, RoundServer, RoundServers, Signed, ToExchange,
};
use ipc::process::Process;
use ipc::units::Span;
use network::ending::Ending;
use roughtime::double::{Answer, Server};
use roughtime::{Nonce, REQUEST, Version, verify_chain};
use std::net::UdpSocket;
use std::time::Duration;

type Parent = Role<ToExchange, FromExchange, Ending>;

const TIME: roughtime::Signed = roughtime::Signed { midpoint: 1_800_000_000, radius: 3 };
const FIRST: Nonce = [5; 32];

/// The packets that a server sends for the request of this number with this nonce.
type Behaviour = fn(&Server, u32, &Nonce) -> Vec<Vec<u8>>;

/// A server on the loopback interface, and how it is asked.
fn serve(key: u8, behaviour: Behaviour) -> RoundServer {
    let server = Server::new(key);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let host = KeyServer::Address(address.into());
    let asked = RoundServer { public_key: server.public_key(), version: 1, host, port: address.port() };
    std::thread::spawn(move || {
        for number in 0.. {
            let mut packet = [0; 2048];
            let (length, from) = socket.recv_from(&mut packet).unwrap();
            assert_eq!(length, REQUEST);
            // Where our own requests have it.
            let nonce: Nonce = packet[88..120].try_into().unwrap();
            for answer in behaviour(&server, number, &nonce) {
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
    asked
}

fn honest(server: &Server, _: u32, nonce: &Nonce) -> Vec<Vec<u8>> {
    vec![server.answer(nonce, &Answer::of(TIME, Version::One))]
}

fn measure(id: u64, servers: impl IntoIterator<Item = RoundServer>) -> Measure {
    let servers = RoundServers::new(servers).unwrap();
    Measure { id: ExchangeId(id), first_nonce: FIRST, seed: [6; 32], servers }
}

/// The exchange process as the real program.
fn parent() -> Parent {
    let mut parent = Parent::confined(Process::Exchange, "");
    let FromExchange::Hello(shortfall) = parent.hear() else { panic!("a hello") };
    assert!(!shortfall.insecure, "{shortfall:?}");
    parent
}

/// Makes a round.
fn outcome(parent: &mut Parent, round: &Measure) -> Result<(Vec<Signed>, Measured), MeasureFailure> {
    parent.send(&ToExchange::Measure(*round));
    let mut answers = Vec::new();
    loop {
        match parent.next_within(Duration::from_secs(120)).expect("an end") {
            FromExchange::Signed(signed) => answers.push(signed),
            FromExchange::Measured(ended) => return Ok((answers, ended)),
            FromExchange::MeasureFailed(MeasureFailed { reason, .. }) => return Err(reason),
            other => panic!("{other:?}"),
        }
    }
}

/// The answers as an anchor keeps them.
fn kept(round: &Measure, answers: &[Signed]) -> Vec<Exchange> {
    let kept = |signed: &Signed| Exchange {
        public_key: round.servers[usize::from(signed.server)].public_key,
        rand: signed.rand,
        version: 1,
        response: signed.response.octets().to_vec(),
    };
    answers.iter().map(kept).collect()
}

#[test]
fn three_servers_are_asked_twice_in_their_order_with_nonces_that_depend_on_the_answers_before() {
    let named =
        RoundServer { host: KeyServer::Name(HostName::parse("localhost").unwrap()), ..serve(2, honest) };
    let round = measure(1, [serve(1, honest), named, serve(3, honest)]);
    let mut parent = parent();
    let (answers, ended) = outcome(&mut parent, &round).unwrap();
    assert_eq!(&*ended.heard, [Heard::Answer; 3]);
    assert_eq!(Vec::from_iter(answers.iter().map(|answer| answer.server)), [0, 1, 2, 0, 1, 2]);
    assert_eq!(verify_chain(&FIRST, &kept(&round, &answers)), [Ok(TIME); 6]);
    assert!(answers.iter().all(|answer| answer.sent <= answer.received));
    assert!(answers.windows(2).all(|pair| pair[0].received <= pair[1].sent));
    // Another one, with another seed, has other nonces.
    let again = Measure { seed: [7; 32], ..measure(2, round.servers.iter().copied()) };
    let (others, _) = outcome(&mut parent, &again).unwrap();
    assert!(others[0].rand == [0; 32] && others[1].rand != answers[1].rand);
}

#[test]
fn who_is_silent_or_signs_nothing_is_named_and_the_others_are_heard() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = RoundServer {
        public_key: [77; 32],
        version: 1,
        host: KeyServer::Address(closed.into()),
        port: closed.port(),
    };
    let nowhere = KeyServer::Name(HostName::parse("no-such-name.invalid").unwrap());
    let nowhere = RoundServer { public_key: [78; 32], host: nowhere, ..closed };
    let foreign: Behaviour =
        |_, _, nonce| vec![Server::new(99).answer(nonce, &Answer::of(TIME, Version::One))];
    let mut parent = parent();
    let silent: Behaviour = |_, _, _| Vec::new();
    let round = measure(1, [closed, serve(1, silent), serve(2, honest), nowhere, serve(3, foreign)]);
    let (answers, ended) = outcome(&mut parent, &round).unwrap();
    let [refused, nothing, answer, no_address, invalid] = *ended.heard else { panic!("{ended:?}") };
    assert_eq!((refused, nothing, answer), (Heard::Refused, Heard::Nothing, Heard::Answer));
    let Heard::NoAddress(reason) = no_address else { panic!("{no_address:?}") };
    assert!(!matches!(reason, LookupFailure::Broken | LookupFailure::Deadline), "{reason:?}");
    assert_eq!(invalid, Heard::Invalid);
    assert_eq!(verify_chain(&FIRST, &kept(&round, &answers)), [Ok(TIME); 2]);
}

#[test]
fn a192_a_lost_request_is_made_again_and_what_is_not_signed_is_passed_over() {
    let late: Behaviour = |server, number, nonce| if number == 0 { vec![] } else { honest(server, 0, nonce) };
    let noisy: Behaviour = |server, _, nonce| {
        let mut forged = honest(server, 0, nonce).remove(0);
        forged[200] ^= 1;
        let long = vec![0; REQUEST + 1];
        [vec![forged, vec![], long, b"ROUGHTIM".to_vec()], honest(server, 0, nonce)].concat()
    };
    let flood: Behaviour = |server, _, nonce| [vec![vec![0; 64]; 40], honest(server, 0, nonce)].concat();
    let round = measure(1, [serve(1, late), serve(2, noisy), serve(3, flood)]);
    let (answers, ended) = outcome(&mut parent(), &round).unwrap();
    assert_eq!(&*ended.heard, [Heard::Answer, Heard::Answer, Heard::Invalid]);
    assert_eq!(verify_chain(&FIRST, &kept(&round, &answers)), [Ok(TIME); 4]);
}

#[test]
fn the_drafts_version_is_asked_for_by_its_number() {
    let draft: Behaviour = |server, _, nonce| vec![server.answer(nonce, &Answer::of(TIME, Version::Draft))];
    let as_draft = |server| RoundServer { version: Version::Draft.number(), ..server };
    let servers = [as_draft(serve(1, draft)), serve(2, honest), serve(3, draft)];
    let (answers, ended) = outcome(&mut parent(), &measure(1, servers)).unwrap();
    assert_eq!((answers.len(), &*ended.heard), (4, &[Heard::Answer, Heard::Answer, Heard::Invalid][..]));
}

#[test]
fn a176_a_child_that_says_what_no_round_can_say_or_nothing_breaks_its_own_round_only() {
    let round = measure(1, [serve(1, honest), serve(2, honest), serve(3, honest)]);
    let mut parent = Parent::in_thread(|link| {
        let body = |task: &ToExchange, mut result: ipc_link::Link<FromExchange, ToExchange>| {
            let ToExchange::Measure(round) = task else { panic!("{task:?}") };
            let heard = match round.id.0 {
                // It says that all have answered, and sends no answer.
                1 => Heard::Answer,
                2 => return std::thread::sleep(Duration::from_secs(60)),
                _ => Heard::Nothing,
            };
            let heard = HeardOf::new([heard; 3]).unwrap();
            result.send(&FromExchange::Measured(Measured { id: round.id, answers: 0, heard })).unwrap();
        };
        run(link, Shortfall::NONE, Work::other(body, Span::from_millis(500)))
    });
    assert!(matches!(parent.hear(), FromExchange::Hello(_)));
    let with_id = |id| Measure { id: ExchangeId(id), ..round };
    assert_eq!(outcome(&mut parent, &with_id(1)), Err(MeasureFailure::Broken));
    assert_eq!(outcome(&mut parent, &with_id(2)), Err(MeasureFailure::Deadline));
    assert_eq!(outcome(&mut parent, &with_id(3)).map(|(answers, _)| answers.len()), Ok(0));
}
