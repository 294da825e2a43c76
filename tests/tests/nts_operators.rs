//! Two NTS servers whose certificates show one operator, or do not, as an administrator sees it: real processes under
//! their users and filters.

use bench::authority::Order;
use bench::daemon::{Daemon, Setup};
use bench::netns::Network;
use bench::nts::NtsServer;
use bench::programs::Place;
use std::os::unix::fs::PermissionsExt;
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

/// Two servers in a network of theirs.
const FAR: [&str; 2] = ["10.77.9.2", "10.77.9.3"];

/// A client of both servers in a network of its own, by these names, which its own /etc/hosts has.
fn client_by_name(servers: &[NtsServer; 2], names: [&str; 2], (place, near): (&Place, &Network)) -> Setup {
    let hosts = place.join("hosts");
    let lines = [0, 1].map(|at| format!("{} {}\n", FAR[at], names[at])).concat();
    std::fs::write(&hosts, lines).expect("ours");
    for path in [place.join("."), hosts.clone()] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("ours");
    }
    let sources = [servers[0].source(names[0], ""), servers[1].source(names[1], "")].concat();
    let mounts = format!("mount --bind '{}' /etc/hosts", hosts.display());
    Setup::new("nts-wildcard", &sources).with_virtual_clock(-1_300_000_000, 0.0).with_mounts(near, &mounts)
}

#[test]
fn a_certificate_for_all_hosts_of_a_domain_tells_of_another_server_in_it_and_of_none_beyond() {
    let (Some(near), Some(far)) = (Network::new(), Network::new()) else {
        return bench::skip("network namespaces need root and the program ip");
    };
    assert!(near.connect(&far, [10, 77, 9, 1].into(), [10, 77, 9, 2].into()));
    assert!(far.ip(&["address", "add", "10.77.9.3/24", "dev", "far"]));
    let place = Place::new("nts-wildcard-hosts");
    let mut servers = [0, 1].map(|at| NtsServer::new(&format!("nts-wildcard-{at}"), &[FAR[at]], ""));
    for server in &mut servers {
        let file = server.setup.place().join("truechimer.toml");
        let text = std::fs::read_to_string(file).expect("it was written");
        server.setup.configure(&text.replace("127.0.0.0/8", "10.77.9.0/24"));
    }
    let servers = servers.map(|server| NtsServer { setup: server.setup.clone().within(&far), ..server });
    let (a, b) = ("a.time.example", "b.time.example");
    for (names, certificates, is_one) in [
        ([a, b], ["*.time.example", "*.time.example"], true),
        ([a, b], ["*.time.example", b], true),
        ([a, b], [a, "*.TIME.example"], true),
        ([a, "b.other.example"], ["*.time.example", "*.other.example"], false),
        // A star is one label.
        ([a, "b.c.time.example"], ["*.time.example", "*.c.time.example"], false),
        ([a, "time.example"], ["*.time.example", "time.example"], false),
    ] {
        for at in [0, 1] {
            servers[at].trust.replace(&Order::new(&[certificates[at]]));
        }
        let daemons = servers.each_ref().map(|server| server.setup.start());
        let client = client_by_name(&servers, names, (&place, &near)).start();
        wait_for_keys(&client);
        let (log, sources) = (client.log(), client.sources());
        assert_eq!(log.matches(TELLS).count(), usize::from(is_one), "{names:?} {certificates:?}:\n{log}");
        assert_eq!(log.contains("by a certificate that is for the names of both"), is_one, "{log}");
        for (at, source) in sources.iter().enumerate() {
            let list = source["nts"]["one_operator"].as_array().expect("a list");
            assert_eq!(list.len(), usize::from(is_one), "{source:#}");
            assert!(
                list.iter().all(|shown| shown.as_str().is_some_and(|shown| shown.contains(names[1 - at])))
            );
        }
        assert_eq!(page(&client, &["sources"]).contains("one operator:"), is_one);
        assert_eq!(client.stop().code, Some(0));
        drop(daemons);
    }
}
