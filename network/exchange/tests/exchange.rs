//! The exchange process with real children: honest ones, and ones that misbehave.

use bench::role::Role;
use exchange::{Work, run};
use ipc::message::Shortfall;
use ipc::message::exchange::{
    Addresses, ExchangeId, Failed, Families, FromExchange, HostName, LookupFailure, Resolve, Resolved,
    ToExchange,
};
use ipc::process::Process;
use ipc::units::Span;
use ipc_link::Link;
use network::ending::Ending;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

type Exchange = Role<ToExchange, FromExchange, Ending>;
type Answer = Link<FromExchange, ToExchange>;

fn resolve(id: u64, name: &str) -> ToExchange {
    ToExchange::Resolve(Resolve {
        id: ExchangeId(id),
        name: HostName::parse(name).unwrap(),
        port: 123,
        families: Families::Both,
    })
}

fn resolved(id: ExchangeId) -> FromExchange {
    let address = "192.0.2.1:123".parse::<std::net::SocketAddr>().unwrap();
    FromExchange::Resolved(Resolved { id, addresses: Addresses::new([address.into()]).unwrap() })
}

fn failed(id: u64, reason: LookupFailure) -> FromExchange {
    FromExchange::Failed(Failed { id: ExchangeId(id), reason })
}

fn greeted(mut exchange: Exchange) -> Exchange {
    assert!(matches!(exchange.hear(), FromExchange::Hello(_)));
    exchange
}

/// Children with this body, with a deadline of 500 ms.
fn with_children(body: impl Fn(&Resolve, Answer) + Send + 'static) -> Exchange {
    greeted(Exchange::in_thread(move |link| {
        let body = move |task: &ToExchange, result: Answer| match task {
            ToExchange::Resolve(resolve) => body(resolve, result),
            ToExchange::Ping => panic!("a child is started for nothing"),
            ToExchange::Exchange(_) | ToExchange::Measure(_) => {}
        };
        run(link, Shortfall::NONE, Work::other(body, Span::from_millis(500)))
    }))
}

/// Processes that this one started and has not waited for, by state.
fn zombies() -> usize {
    let me = std::process::id().to_string();
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stats
        .filter(|stat| {
            let mut fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
            fields.next() == Some("Z") && fields.next() == Some(&me)
        })
        .count()
}

fn wait_until_reaped() {
    let begin = Instant::now();
    while zombies() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(5), "children are not waited for");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn names_are_looked_up_by_the_real_program() {
    let mut exchange = greeted(Exchange::in_process(Process::Exchange, "exec", "", &[]));
    exchange.send(&resolve(1, "localhost"));
    match exchange.hear() {
        FromExchange::Resolved(found) => {
            assert_eq!(found.id, ExchangeId(1));
            let used = &found.addresses;
            assert!(
                used.iter().all(|address| address.ip().is_loopback() && address.port() == 123),
                "{used:?}"
            );
        }
        other => panic!("{other:?}"),
    }
    exchange.send(&resolve(2, "no-such-name.invalid"));
    match exchange.next_within(Duration::from_secs(35)).expect("an end") {
        FromExchange::Failed(Failed { id: ExchangeId(2), reason }) => assert!(
            !matches!(reason, LookupFailure::Broken | LookupFailure::NotStarted | LookupFailure::NoAddress),
            "{reason:?}"
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(exchange.status(true).code(), Some(0));
}

#[test]
fn a176_what_a_child_may_not_say_breaks_its_own_look_up_only() {
    let mut exchange = with_children(|resolve, mut result| match resolve.id.0 {
        1 => drop(result.send(&resolved(ExchangeId(6)))),
        2 => drop(nix::unistd::write(result.as_fd(), &[0x41; 2048])),
        3 => drop(nix::unistd::write(result.as_fd(), &[0x41; 60_000])),
        4 => drop(nix::unistd::write(result.as_fd(), &[])),
        5 => {}
        _ => drop((result.send(&resolved(resolve.id)), result.send(&resolved(resolve.id)))),
    });
    for id in 1..=6 {
        exchange.send(&resolve(id, "a.example"));
    }
    let mut ends: Vec<FromExchange> = (1..=6).map(|_| exchange.hear()).collect();
    ends.sort_by_key(|end| match end {
        FromExchange::Resolved(resolved) => resolved.id.0,
        FromExchange::Failed(failed) => failed.id.0,
        other => panic!("{other:?}"),
    });
    for (end, id) in ends.iter().zip(1..=5) {
        assert_eq!(*end, failed(id, LookupFailure::Broken));
    }
    assert_eq!(ends[5], resolved(ExchangeId(6)), "the first of two results counts");
    assert_eq!(exchange.next_within(Duration::from_millis(200)), None, "and the second does not");
    assert_eq!(exchange.hang_up(), Ending::EngineGone);
    wait_until_reaped();
}

#[test]
fn a177_a180_a_child_that_hangs_or_crashes_ends_alone_and_at_its_deadline() {
    let mut exchange = with_children(|resolve, mut result| match resolve.name.as_str() {
        "hangs.example" => hang(),
        "crashes.example" => std::process::abort(),
        "lingers.example" => {
            let _ = result.send(&resolved(resolve.id));
            hang()
        }
        _ => drop(result.send(&resolved(resolve.id))),
    });
    let begin = Instant::now();
    exchange.send(&resolve(1, "hangs.example"));
    exchange.send(&resolve(2, "crashes.example"));
    assert_eq!(exchange.hear(), failed(2, LookupFailure::Broken));
    exchange.send(&resolve(3, "lingers.example"));
    assert_eq!(exchange.hear(), resolved(ExchangeId(3)));
    exchange.send(&resolve(4, "good.example"));
    assert_eq!(exchange.hear(), resolved(ExchangeId(4)));
    assert!(begin.elapsed() < Duration::from_millis(450), "{:?}", begin.elapsed());
    assert_eq!(exchange.hear(), failed(1, LookupFailure::Deadline));
    assert!(begin.elapsed() >= Duration::from_millis(500));
    wait_until_reaped();
    assert_eq!(exchange.hang_up(), Ending::EngineGone);
}

#[test]
fn a177_a_child_holds_no_descriptor_but_its_own_result() {
    let mut exchange = with_children(|resolve, mut result| {
        let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let open = open.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        // The result, and the directory that is being read.
        let others = open.filter(|fd| (3..64).contains(fd)).count();
        if others <= 2 {
            let _ = result.send(&resolved(resolve.id));
        }
    });
    for id in 1..=5 {
        exchange.send(&resolve(id, "a.example"));
        assert_eq!(exchange.hear(), resolved(ExchangeId(id)));
    }
}

#[test]
fn eight_look_ups_go_side_by_side_and_a_ninth_breaks_the_rule() {
    let mut exchange = with_children(|_, _| hang());
    for id in 1..=8 {
        exchange.send(&resolve(id, "hangs.example"));
    }
    for _ in 1..=8 {
        assert!(matches!(
            exchange.hear(),
            FromExchange::Failed(Failed { reason: LookupFailure::Deadline, .. })
        ));
    }
    for id in 9..=17 {
        exchange.send(&resolve(id, "hangs.example"));
    }
    assert!(matches!(exchange.ending(), Ending::Rule(_)));
    wait_until_reaped();
}

#[test]
fn an_id_that_is_not_above_the_one_before_ends_the_role() {
    for second in [5, 4] {
        let mut exchange = with_children(|resolve, mut result| {
            let _ = result.send(&resolved(resolve.id));
        });
        exchange.send(&resolve(5, "a.example"));
        exchange.send(&resolve(second, "a.example"));
        assert!(matches!(exchange.ending(), Ending::Rule(_)));
    }
}
