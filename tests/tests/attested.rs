//! The profile attested, as a service manager and an administrator see it: real processes under their users and filters.

use bench::authority::Order;
use bench::daemon::{Daemon, Exit, Setup, source};
use bench::forger::Forger;
use bench::manager::Manager;
use bench::nts::NtsServer;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(60);
const ADDRESSES: [&str; 2] = ["127.0.0.1", "127.0.0.2"];
const PROFILE: &str = "[governor]\nprofile = \"attested\"\n";

fn servers(word: &str, organisations: [&'static str; 2]) -> [NtsServer; 2] {
    [0, 1].map(|at| {
        let server = NtsServer::new(&format!("{word}-{at}"), &[ADDRESSES[at]], "");
        let names = &ADDRESSES[at..=at];
        server.trust.replace(&Order { organisation: Some(organisations[at]), ..Order::new(names) });
        server
    })
}

fn client_of(word: &str, servers: &[NtsServer; 2], more: &str) -> Setup {
    let sources = [servers[0].source(ADDRESSES[0], ""), servers[1].source(ADDRESSES[1], "")].concat();
    Setup::new(word, &(sources + PROFILE + more)).with_virtual_clock(-1_300_000_000, 0.0)
}

/// How many valid replies of each source there were; none before the daemon answers.
fn valid(daemon: &Daemon) -> Vec<u64> {
    let answer = daemon.ask("sources").unwrap_or_default();
    let sources = answer["sources"].as_array().cloned().unwrap_or_default();
    sources.iter().map(|source| source["valid"].as_u64().unwrap_or(0)).collect()
}

fn asserts(daemon: &Daemon, words: &[&str]) -> (Option<i32>, String) {
    let output = daemon.chimerctl(&[&["assert"], words].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn check(configuration: &str) -> Exit {
    let setup = Setup::new("attested-check", configuration);
    let output = setup.command().arg("--check").output().expect("it can be executed");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    Exit { code: output.status.code(), signal: None, log }
}

#[test]
fn it_is_ready_when_two_operators_agree_and_not_before() {
    let servers = servers("attested", ["Example Ltd", "Other Inc"]);
    let _first = servers[0].setup.start();
    let setup = client_of("attested-client", &servers, "");
    let manager = Manager::listen(setup.place());
    let daemon = manager.watch(setup).launch();
    // One operator answers, and more time is asked for.
    let asks = |daemon: &Daemon| {
        let is_heard = valid(daemon).iter().any(|count| *count >= 4);
        is_heard && manager.heard().matches("EXTEND_TIMEOUT_USEC=").count() >= 4
    };
    daemon.wait_until("waiting for the second operator", TIMEOUT, asks);
    assert!(!manager.heard().contains("READY=1"), "{}", manager.heard());
    assert!(!daemon.is_synchronised());
    assert_eq!(asserts(&daemon, &["--attested"]).0, Some(1));
    let _second = servers[1].setup.start();
    assert!(daemon.chimerctl(&["burst"]).status.success());
    daemon.wait_until("ready", TIMEOUT * 3, |_| manager.heard().contains("READY=1"));
    daemon.wait_until("attested", TIMEOUT, |daemon| {
        asserts(daemon, &["--attested", "--max-error", "0.1"]).0 == Some(0)
    });
    assert!(asserts(&daemon, &["--attested"]).1.contains("attested"));
    // Nothing else is let in while it runs.
    let forger = Forger::honest(HERE, 0);
    let added = daemon.chimerctl(&["add", &forger.address().to_string()]);
    assert!(
        !added.status.success() && String::from_utf8_lossy(&added.stderr).contains("attested"),
        "{added:?}"
    );
    daemon.setup().configure(&source(forger.address()));
    let reloaded = daemon.chimerctl(&["reload"]);
    assert!(String::from_utf8_lossy(&reloaded.stderr).contains("it is attested in this run"), "{reloaded:?}");
    assert_eq!(daemon.sources().len(), 2);
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn two_servers_of_one_operator_are_one_and_nobody_is_told_a_time() {
    let servers = servers("attested-one", ["Example Ltd", "EXAMPLE Ltd"]);
    let _daemons = servers.each_ref().map(|server| server.setup.start());
    let setup = client_of("attested-one-client", &servers, "");
    let manager = Manager::listen(setup.place());
    let daemon = manager.watch(setup).launch();
    daemon.wait_until("both heard", TIMEOUT, |daemon| {
        let valid = valid(daemon);
        valid.len() == 2 && valid.iter().all(|count| *count >= 5)
    });
    assert!(!manager.heard().contains("READY=1"), "{}", manager.heard());
    assert!(!daemon.is_synchronised());
    let (code, said) = asserts(&daemon, &["--attested"]);
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn a_time_that_is_known_less_well_than_asked_for_is_told_to_nobody() {
    let servers = servers("attested-bound", ["Example Ltd", "Other Inc"]);
    let _daemons = servers.each_ref().map(|server| server.setup.start());
    // Not even over loopback.
    let daemon = client_of("attested-bound-client", &servers, "[clock]\nmax-error = 0.000001\n").launch();
    daemon.wait_until("both heard", TIMEOUT, |daemon| {
        let valid = valid(daemon);
        valid.len() == 2 && valid.iter().all(|count| *count >= 5)
    });
    assert!(!daemon.is_synchronised());
    let (code, said) = asserts(&daemon, &[]);
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn what_decides_beside_two_authenticated_operators_is_refused_with_what_to_do() {
    let nts = |name: &str| format!("[[source]]\naddress = \"{name}\"\nmode = \"nts\"\n");
    let two = nts("a.example") + &nts("b.example");
    for (text, expected) in [
        (nts("a.example"), "at least two operators"),
        (nts("a.example:4460") + &nts("a.example:4461"), "at least two operators"),
        (two.clone() + "[[source]]\naddress = \"c.example\"\n", "each source that decides is authenticated"),
        (two.clone() + "trust = true\n", "leave trust out"),
        (two.clone() + "[dhcp]\nuse = true\n", "leave [dhcp] out"),
        (two.clone() + "[clock]\nminimum-sources = 1\n", "minimum-sources"),
        (two.clone() + "[clock]\nrequire-nts = false\n", "in the profile attested it is always so"),
        (two.clone() + "[clock]\nallow-forward-steps = 60.0\n", "allow-forward-steps"),
        (
            two.clone()
                + "[server]\nlisten = [\"127.0.0.1:123\"]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 9\n",
            "local-stratum",
        ),
    ] {
        let exit = check(&(text.clone() + PROFILE));
        assert_eq!(exit.code, Some(78), "{text}: {exit:?}");
        assert!(exit.log.contains(expected), "{text}: {}", exit.log);
    }
    let measured = "[[source]]\naddress = \"c.example\"\nnoselect = true\n";
    let exit = check(&(two + measured + PROFILE));
    assert_eq!(exit.code, Some(0), "{exit:?}");
}
