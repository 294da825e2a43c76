mod clients;
mod nts;

use super::*;
use ipc::address::Address;
use ipc::list::Bounded;
use ipc::message::client::{Rejected, Silence, Unanswered};
use ipc::message::exchange::{Addresses, Failed, Families, HostName, LookupFailure};
use ipc::message::exchange::{ExchangeId, Resolved};
use ipc::message::key_service::{FromKeyService, ToKeyService};
use ipc::message::privileged::{ClockEvent, ClockEventKind, ClockKind, ClockReading, Refusal, Refused};
use ipc::message::server::Interface;
use ipc::process::PerProcess;
use ipc::units::{Frequency, Offset, TimeConstant, WallTime};
use ipc_link::Link;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};

struct Bench {
    /// Nothing reads the link to the launch.
    _launch: OwnedFd,
    links: Links,
    privileged: Link<FromPrivileged, ToPrivileged>,
    client: Link<FromClient, ToClient>,
    exchange: Link<FromExchange, ToExchange>,
    server: Link<FromServer, ToServer>,
    key_service: Link<FromKeyService, ToKeyService>,
}

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap()
}

fn bench() -> Bench {
    let (launch, launch_peer) = pair();
    let (mut ours, mut theirs) = (PerProcess::default(), PerProcess::default());
    for process in Process::Engine.with_link_to() {
        let (end, peer) = pair();
        (ours[process], theirs[process]) = (Some(end), Some(peer));
    }
    let links = Links::new(Ends { launch, links: ours }).unwrap();
    let mut peer = |process| -> OwnedFd { theirs[process].take().unwrap() };
    Bench {
        links,
        _launch: launch_peer,
        privileged: Link::new(peer(Process::Privileged)),
        client: Link::new(peer(Process::Client)),
        exchange: Link::new(peer(Process::Exchange)),
        server: Link::new(peer(Process::Server)),
        key_service: Link::new(peer(Process::KeyService)),
    }
}

fn at(seconds: i64) -> RawInstant {
    RawInstant::try_new(seconds * 1_000_000_000).unwrap()
}

fn reading() -> ClockReading {
    ClockReading {
        wall: WallTime::MIN,
        raw: at(1),
        frequency: Frequency::ZERO,
        slew_left: Offset::ZERO,
        tai: 0,
    }
}

fn welcome() -> FromPrivileged {
    FromPrivileged::Welcome(Welcome {
        epoch: 7,
        clock: ClockKind::Virtual,
        found: reading(),
        floor: WallTime::MIN,
        latest: WallTime::MAX,
        start_steps: 3,
        base_frequency: Frequency::ZERO,
        band: Frequency::ZERO,
        band_centre: Frequency::ZERO,
        processes: PerProcess::default(),
        pauses: Default::default(),
        marker: None,
    })
}

fn adjust() -> Adjust {
    Adjust {
        epoch: 7,
        frequency: Frequency::ZERO,
        slew: Offset::ZERO,
        time_constant: TimeConstant::MIN,
        asked_at: at(1),
    }
}

fn refused(answers: u32) -> FromPrivileged {
    FromPrivileged::Refused(Refused { answers, code: Refusal::Band, limit: 0, remaining: 0 })
}

fn event(epoch: u32) -> FromPrivileged {
    let kind = ClockEventKind::ForeignStep;
    FromPrivileged::ClockEvent(ClockEvent { epoch, kind, moved: Offset::ZERO, now: reading(), marker: None })
}

fn unanswered() -> FromClient {
    let reason = Silence::Deadline;
    FromClient::Unanswered(Unanswered { id: QueryId(1), reason, rejected: Rejected::NONE })
}

fn counters(received: u64) -> FromServer {
    let none = Counters { received, ..Counters::ZERO };
    FromServer::Counters(none)
}

fn plan() -> LaunchPlan {
    LaunchPlan {
        listen: Bounded::NOWHERE,
        threads: 0,
        dscp: 0,
        profile: ipc::message::privileged::Profile::Standard,
        leap_seconds: true,
        run_step: ipc::units::Span::ZERO,
        forward_step: ipc::units::Span::ZERO,
        exchange: false,
        ..LaunchPlan::CLIENT
    }
}

fn violation(outcome: Result<Option<Fact>, Breach>) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn a098_each_process_says_hello_first_and_once() {
    let mut bench = bench();
    bench.client.send(&FromClient::Hello(Shortfall::NONE)).unwrap();
    bench.client.send(&unanswered()).unwrap();
    bench.client.send(&FromClient::Hello(Shortfall::NONE)).unwrap();
    let hello = Fact::Hello(Process::Client, Shortfall::NONE);
    assert_eq!(bench.links.receive(at(1), Process::Client), Ok(Some(hello)));
    assert!(matches!(
        bench.links.receive(at(1), Process::Client),
        Ok(Some(Fact::Input(Input::Unanswered(_))))
    ));
    let twice = bench.links.receive(at(1), Process::Client).unwrap_err();
    assert_eq!(twice.to_string(), "the client said hello twice; the daemon ends");
    assert_eq!(twice.process, Process::Client);

    bench.server.send(&counters(1)).unwrap();
    let early = bench.links.receive(at(1), Process::Server).unwrap_err();
    assert!(early.violation.contains("before its hello"));
    assert_eq!(early.process, Process::Server);
}

#[test]
fn a096_a_closed_link_names_the_process() {
    let Bench { mut links, _launch, privileged, client, exchange, server, key_service } = bench();
    drop((client, exchange, server, key_service));
    for process in [Process::Client, Process::Server, Process::Exchange, Process::KeyService] {
        let breach = links.receive(at(1), process).unwrap_err();
        assert_eq!(breach.process, process);
        assert!(breach.violation.contains("is gone"));
    }
    drop(privileged);
    assert_eq!(links.receive(at(1), Process::Privileged).unwrap_err().process, Process::Privileged);
}

#[test]
fn an_order_is_answered_once_by_its_number_and_in_any_order() {
    let mut bench = bench();
    bench.links.send_plan(at(1), plan()).unwrap();
    bench.links.send_hello(at(1)).unwrap();
    bench.links.send_adjust(at(1), adjust()).unwrap();
    bench.links.send_heartbeat(at(1)).unwrap();
    let status = Status {
        epoch: 7,
        leap: ipc::units::Leap::None,
        synchronised: false,
        maxerror: ipc::units::Span::ZERO,
        esterror: ipc::units::Span::ZERO,
    };
    bench.links.send_status(at(1), status).unwrap();
    bench.privileged.send(&welcome()).unwrap();
    bench.privileged.send(&refused(2)).unwrap();
    bench.privileged.send(&refused(0)).unwrap();
    bench.privileged.send(&refused(0)).unwrap();
    let mut receive = || bench.links.receive(at(2), Process::Privileged);
    assert!(matches!(receive(), Ok(Some(Fact::Input(Input::Welcome(_))))));
    assert!(matches!(receive(), Ok(Some(Fact::Input(Input::Refused(OrderKind::Status, _))))));
    assert!(matches!(receive(), Ok(Some(Fact::Input(Input::Refused(OrderKind::Adjust, _))))));
    assert!(violation(receive()).contains("not open"));
}

#[test]
fn privileged_says_welcome_first_and_once_and_its_epoch_grows() {
    let mut early = bench();
    early.privileged.send(&event(8)).unwrap();
    assert!(violation(early.links.receive(at(1), Process::Privileged)).contains("before its welcome"));

    let mut twice = bench();
    twice.privileged.send(&welcome()).unwrap();
    twice.privileged.send(&welcome()).unwrap();
    twice.links.receive(at(1), Process::Privileged).unwrap();
    assert!(violation(twice.links.receive(at(1), Process::Privileged)).contains("welcome twice"));

    let mut back = bench();
    for message in [welcome(), event(8), event(8)] {
        back.privileged.send(&message).unwrap();
    }
    back.links.receive(at(1), Process::Privileged).unwrap();
    back.links.receive(at(1), Process::Privileged).unwrap();
    assert!(violation(back.links.receive(at(1), Process::Privileged)).contains("earlier epoch"));
}

#[test]
fn a107_a_client_that_does_not_read_is_skipped_and_after_a_minute_given_up() {
    let (ours, theirs) = pair();
    setsockopt(&ours, sockopt::SndBuf, &4608).unwrap();
    let mut link = QueuedLink::<ToClient, FromClient>::new(Process::Client, ours).unwrap();
    let mut sent = 0;
    while link.send(at(1), ToClient::Cancel(QueryId(sent))) == Ok(Taken::Yes) {
        sent += 1;
        assert!(sent < 10_000, "the queue has no end");
    }
    assert_eq!(link.deadline(), Some(at(61)));
    assert_eq!(link.send(at(60), ToClient::Cancel(QueryId(0))), Ok(Taken::Skipped));
    assert!(link.send(at(61), ToClient::Cancel(QueryId(0))).unwrap_err().violation.contains("for a minute"));
    drop(theirs);
}

#[test]
fn what_waited_goes_out_in_order_under_the_numbers_that_were_told() {
    let (ours, theirs) = pair();
    setsockopt(&ours, sockopt::SndBuf, &4608).unwrap();
    let mut link = QueuedLink::<ToClient, FromClient>::new(Process::Client, ours).unwrap();
    let mut peer: Link<FromClient, ToClient> = Link::new(theirs);
    let mut numbers = Vec::new();
    for id in 0..40 {
        numbers.push(link.next_sequence());
        assert_eq!(link.send(at(1), ToClient::Cancel(QueryId(id))), Ok(Taken::Yes));
    }
    assert!(link.is_waiting());
    for (id, number) in (0..40).zip(numbers) {
        link.flush(at(2)).unwrap();
        assert_eq!(peer.receive(), Ok(Some((number, ToClient::Cancel(QueryId(id))))));
    }
    assert_eq!((link.is_waiting(), link.deadline()), (false, None));
}

#[test]
fn a121_answers_to_look_ups_that_are_not_open_end_the_trust() {
    let asked = |port| {
        let name = HostName::parse("a.example").unwrap();
        Resolve { id: ExchangeId(7), name, port, families: Families::Both }
    };
    let resolved = |id| {
        let address = "192.0.2.1:123".parse::<std::net::SocketAddr>().unwrap().into();
        FromExchange::Resolved(Resolved { id, addresses: Addresses::new([address]).unwrap() })
    };
    let failed = |id| FromExchange::Failed(Failed { id, reason: LookupFailure::NoSuchName });
    let (ours, other) = (ExchangeId(7), ExchangeId(8));
    let says = |port, records: &[FromExchange]| {
        let mut bench = bench();
        assert_eq!(bench.links.send_resolve(at(1), asked(port)), Ok(Taken::Yes));
        bench.exchange.send(&FromExchange::Hello(Shortfall::NONE)).unwrap();
        bench.links.receive(at(1), Process::Exchange).unwrap();
        records.iter().try_for_each(|record| {
            bench.exchange.send(record).unwrap();
            bench.links.receive(at(2), Process::Exchange).map(|_| ()).map_err(|breach| breach.violation)
        })
    };
    assert_eq!(says(123, &[resolved(ours)]), Ok(()));
    assert_eq!(says(123, &[failed(ours)]), Ok(()));
    for (port, records, violation) in [
        (123, vec![resolved(other)], "that is not open"),
        (123, vec![failed(other)], "that is not open"),
        (123, vec![resolved(ours), resolved(ours)], "that is not open"),
        (123, vec![resolved(ours), failed(ours)], "that is not open"),
        (124, vec![resolved(ours)], "another port"),
    ] {
        let said = says(port, &records).unwrap_err();
        assert!(said.contains(violation), "{said} is not {violation}");
    }
}

#[test]
fn a122_counters_that_fall_or_come_too_often_are_a_breach() {
    let mut often = bench();
    often.server.send(&FromServer::Hello(Shortfall::NONE)).unwrap();
    often.links.receive(at(0), Process::Server).unwrap();
    let mut breach = None;
    for number in 0..600 {
        often.server.send(&counters(number)).unwrap();
        breach = often.links.receive(at(1), Process::Server).err();
        if breach.is_some() {
            break;
        }
    }
    assert!(breach.unwrap().violation.contains("more than once a second"));

    let mut honest = bench();
    honest.server.send(&FromServer::Hello(Shortfall::NONE)).unwrap();
    honest.links.receive(at(0), Process::Server).unwrap();
    for second in 0..200 {
        honest.server.send(&counters(second)).unwrap();
        let received = honest.links.receive(at(second as i64), Process::Server);
        assert!(received.is_ok(), "{received:?}");
    }
    honest.server.send(&counters(3)).unwrap();
    assert!(violation(honest.links.receive(at(300), Process::Server)).contains("fell"));
}

#[test]
fn a122_words_about_interfaces_or_the_network_that_come_too_often_are_a_breach() {
    let none = OwnAddresses::new([]).unwrap();
    let entries = ["0.0.0.0%eth0:123", "0.0.0.0%eth1:123"].map(|text| ServedAt::parse(text).unwrap());
    // Records, so many of each kind in every `second`.
    let tell = |rounds: i64, second: fn(i64) -> i64| {
        let mut bench = bench();
        let listen = Bounded::new(entries).unwrap();
        bench.links.send_plan(at(0), LaunchPlan { listen, ..plan() }).unwrap();
        bench.server.send(&FromServer::Hello(Shortfall::NONE)).unwrap();
        bench.client.send(&FromClient::Hello(Shortfall::NONE)).unwrap();
        bench.links.receive(at(0), Process::Server).unwrap();
        bench.links.receive(at(0), Process::Client).unwrap();
        let mut breaches = [None, None];
        for round in 0..rounds {
            let now = at(second(round));
            for entry in [0, 1] {
                let interface = Interface { entry, is_there: round % 2 == 1 };
                bench.server.send(&FromServer::Interface(interface)).unwrap();
                let heard = bench.links.receive(now, Process::Server);
                breaches[0] = breaches[0].take().or(heard.err().map(|breach| (round, breach.violation)));
            }
            bench.client.send(&FromClient::Network(none)).unwrap();
            let heard = bench.links.receive(now, Process::Client);
            breaches[1] = breaches[1].take().or(heard.err().map(|breach| (round, breach.violation)));
        }
        breaches
    };
    assert_eq!(tell(200, |round| round), [None, None], "what is said once a second");
    for breach in tell(600, |_| 1) {
        let (round, violation) = breach.unwrap();
        assert!(violation.contains("more than once a second") && round == 512, "{round}: {violation}");
    }
}

#[test]
fn what_is_said_of_interfaces_is_of_one_that_an_entry_names_and_never_twice_the_same() {
    let entries =
        ["192.0.2.1:123", "0.0.0.0%eth0:123", "[::%eth0]:123"].map(|text| ServedAt::parse(text).unwrap());
    // An entry that only the other process has, for which its own list is too short.
    let other = [ServedAt::parse("192.0.2.1:123").unwrap()];
    let says = |service, words: &[(u8, bool)]| {
        let mut bench = bench();
        let path = ipc::file_path::FilePath::parse("/a").unwrap();
        let is_time = service == Service::Time;
        let key_service = ipc::message::launch::KeyService {
            listen: if is_time { Bounded::new(other) } else { Bounded::new(entries) }.unwrap(),
            threads: 0,
            first: ipc::message::launch::Pair { certificate: path, key: path },
            further: Default::default(),
        };
        let listen = if is_time { Bounded::new(entries) } else { Bounded::new(other) }.unwrap();
        let plan = LaunchPlan { listen, key_service: Some(key_service), ..plan() };
        bench.links.send_plan(at(0), plan).unwrap();
        let process = if is_time { Process::Server } else { Process::KeyService };
        bench.server.send(&FromServer::Hello(Shortfall::NONE)).unwrap();
        bench.key_service.send(&FromKeyService::Hello(Shortfall::NONE)).unwrap();
        bench.links.receive(at(0), process).unwrap();
        let mut heard = Ok(None);
        for (entry, is_there) in words {
            let interface = Interface { entry: *entry, is_there: *is_there };
            match is_time {
                true => bench.server.send(&FromServer::Interface(interface)).unwrap(),
                false => bench.key_service.send(&FromKeyService::Interface(interface)).unwrap(),
            };
            heard = bench.links.receive(at(1), process);
            if heard.is_ok() {
                let missing = if *is_there { &[][..] } else { &entries[1..] };
                let unserved: Vec<_> = missing.iter().map(|entry| (service, *entry)).collect();
                assert_eq!(bench.links.unserved(), unserved, "{words:?}");
            }
        }
        heard
    };
    let name = entries[1].interface.unwrap();
    for service in [Service::Time, Service::Keys] {
        let says = |words: &[(u8, bool)]| says(service, words);
        assert_eq!(says(&[(1, false)]), Ok(Some(Fact::Interface(service, name, false))));
        let again = says(&[(1, false), (1, true), (1, false)]);
        assert_eq!(again, Ok(Some(Fact::Interface(service, name, false))));
        for words in [&[(0, false)][..], &[(3, false)], &[(255, false)]] {
            assert!(violation(says(words)).contains("no entry names"), "{words:?}");
        }
        for words in [&[(1, true)][..], &[(1, false), (1, false)]] {
            assert!(violation(says(words)).contains("twice the same"), "{words:?}");
        }
    }
}
