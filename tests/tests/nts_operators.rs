//! Two NTS servers whose certificates show one operator, or do not, as an administrator sees it: real processes under
//! their users and filters.

use bench::authority::Order;
use bench::daemon::{Daemon, Setup};
use bench::nts::NtsServer;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);
const ADDRESSES: [&str; 2] = ["127.0.0.1", "127.0.0.2"];
const TELLS: &str = "shows the same operator as that of";

/// What each certificate is for, their organisations, and by what the log knows the operator.
type Case<'a> = ([&'a [&'a str]; 2], [Option<&'a str>; 2], Option<&'a str>);

/// A client of both servers, a second wrong.
fn client_of(servers: &[NtsServer; 2]) -> Setup {
    let sources = [servers[0].source(ADDRESSES[0], ""), servers[1].source(ADDRESSES[1], "")].concat();
    Setup::new("nts-operators", &sources).with_virtual_clock(-1_300_000_000, 0.0)
}

fn wait_for_keys(client: &Daemon) {
    client.wait_until("supplied with keys of both servers", TIMEOUT, |client| {
        client.is_synchronised() && client.sources().iter().all(|source| source["nts"]["state"] == "ready")
    });
}

/// What `chimerctl` prints.
fn page(client: &Daemon, words: &[&str]) -> String {
    String::from_utf8_lossy(&client.chimerctl(words).stdout).into_owned()
}

#[test]
fn two_servers_of_one_operator_are_told_of_by_their_certificates_and_strangers_are_not() {
    let servers = [0, 1].map(|at| NtsServer::new(&format!("nts-operator-{at}"), &[ADDRESSES[at]], ""));
    let each = [&ADDRESSES[..1], &ADDRESSES[1..]];
    let cases: [Case<'_>; 4] = [
        (each, [None; 2], None),
        (each, [Some("Example Ltd"), Some("Example Inc")], None),
        (
            each,
            [Some("Example \u{1b}[2J Ltd"), Some("EXAMPLE \u{1b}[2J Ltd")],
            Some("by the organisation \"E"),
        ),
        ([&ADDRESSES, each[1]], [None; 2], Some("by a certificate that is for the names of both")),
    ];
    for (names, organisations, expected) in cases {
        for at in [0, 1] {
            let order = Order { organisation: organisations[at], ..Order::new(names[at]) };
            servers[at].trust.replace(&order);
        }
        let daemons = servers.each_ref().map(|server| server.setup.start());
        let setup = client_of(&servers);
        let client = setup.start();
        wait_for_keys(&client);
        let (log, sources) = (client.log(), client.sources());
        assert!(!log.contains('\u{1b}'), "{log}");
        for (at, source) in sources.iter().enumerate() {
            let others = if expected.is_some() { &ADDRESSES[1 - at..=1 - at] } else { &[] };
            let list = source["nts"]["one_operator"].as_array().expect("a list");
            assert_eq!(list.len(), others.len(), "{source:#}");
            assert!(list.iter().zip(others).all(|(shown, other)| shown.as_str().unwrap().contains(other)));
        }
        assert_eq!(log.matches(TELLS).count(), usize::from(expected.is_some()), "{names:?}:\n{log}");
        assert!(log.contains(expected.unwrap_or_default()), "{log}");
        let (sources, status) = (page(&client, &["sources"]), page(&client, &["status"]));
        assert_eq!(sources.contains("one operator:"), expected.is_some(), "{sources}");
        assert_eq!(status.contains("one operator"), expected.is_some(), "{status}");
        assert_eq!(client.stop().code, Some(0));
        if expected.is_none() {
            continue;
        }
        // Kept keys are kept with what their certificate said, and that is no news.
        let told = setup.start();
        wait_for_keys(&told);
        assert!(page(&told, &["sources"]).contains("one operator:"));
        assert!(told.sources().iter().all(|source| source["nts"]["exchanges"] == 0));
        drop(daemons);
    }
}
