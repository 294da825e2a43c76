//! Pools with NTS from end to end: one name, several addresses, a server of its own at each, in a network of its own.

use bench::authority::Authority;
use bench::daemon::{Daemon, Setup, spawn};
use bench::netns::Network;
use bench::own_files;
use bench::peers::{NO_CHRONYD, behind, chronyd_program};
use bench::programs::Place;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(120);
const NAME: &str = "pool.example";
const NO_NETWORK: &str = "network namespaces need root and the program ip";

/// A network with these addresses, and an authority that all of it trusts.
struct World {
    network: Network,
    authority: Authority,
    place: Place,
    /// Those of servers, which live as long.
    files: RefCell<Vec<Place>>,
}

impl World {
    fn new(word: &str, addresses: u8) -> Option<Self> {
        let network = Network::new()?;
        for n in 1..=addresses {
            assert!(network.ip(&["addr", "add", &format!("10.77.0.{n}/32"), "dev", "lo"]));
        }
        let (authority, place) = (Authority::new(word), Place::new(word));
        authority.write(&place.join("roots.pem"));
        Some(Self { network, authority, place, files: RefCell::default() })
    }

    /// A server of time and of key exchanges at an address, with a certificate for that name. `more` is added to `[server.nts]`.
    fn server(&self, n: u8, name: &str, more: &str) -> Setup {
        let files = Place::new(&format!("pool-server-{n}"));
        let (chain, key) = self.authority.issue(&[name]).write(&files);
        let configuration = format!(
            "[server]\nlisten = [\"10.77.0.{n}:123\"]\nallow = [\"10.77.0.0/24\"]\nlocal-stratum = 1\nrate-limit = false\n\
             [server.nts]\nlisten = [\"10.77.0.{n}:4460\"]\ncertificate = \"{}\"\nkey = \"{}\"\n{more}\n",
            chain.display(),
            key.display()
        );
        self.files.borrow_mut().push(files);
        let setup = Setup::new("nts-pool-server", &configuration).within(&self.network);
        // It may hold the secret of a fleet.
        let file = setup.place().join("truechimer.toml");
        fs::set_permissions(file, Permissions::from_mode(0o600)).expect("it is ours");
        setup
    }

    /// A client with these lines, whose name has these addresses; and its file of hosts.
    fn client(&self, addresses: &[u8], lines: &str) -> (Setup, PathBuf) {
        let setup = Setup::new("nts-pool-client", &self.pool(lines));
        let etc = own_files::etc_of_hosts(&setup, &hosts(addresses));
        let mounts = format!("mount --bind '{}' /etc", etc.display());
        (
            setup.with_virtual_clock(-1_300_000_000, 30.0).with_mounts(&self.network, &mounts),
            etc.join("hosts"),
        )
    }

    fn pool(&self, lines: &str) -> String {
        format!(
            "[[source]]\naddress = \"{NAME}\"\nmode = \"nts\"\npool = true\nroots = \"{}\"\nmin-poll = 0\nmax-poll = 0\n{lines}\n",
            self.place.join("roots.pem").display()
        )
    }
}

/// The name has these addresses.
fn hosts(addresses: &[u8]) -> String {
    let lines = addresses.iter().map(|n| format!("10.77.0.{n} {NAME}\n")).collect::<String>();
    format!("127.0.0.1 localhost\n{lines}")
}

fn name(file: &std::path::Path, addresses: &[u8]) {
    own_files::write(file, &hosts(addresses));
}

/// The last octets of the addresses that are asked with keys.
fn asked(client: &Daemon) -> BTreeSet<u8> {
    let last = |source: &serde_json::Value| {
        let is_ready = source["nts"]["state"] == "ready" && source["reach"].as_u64() > Some(0);
        let address = source["address"].as_str().filter(|_| is_ready)?;
        address.strip_prefix("10.77.0.")?.split(':').next()?.parse().ok()
    };
    client.sources().iter().filter_map(last).collect()
}

fn wait_until_asked(client: &Daemon, wanted: &[u8]) {
    let wanted: BTreeSet<u8> = wanted.iter().copied().collect();
    client.wait_until(&format!("at {wanted:?}"), TIMEOUT, |client| asked(client) == wanted);
}

fn page(client: &Daemon, words: &[&str]) -> String {
    let output = client.chimerctl(words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a205_one_of_a_pool_with_a_certificate_for_another_name_is_refused_alone() {
    let Some(world) = World::new("pool-refused", 4) else { return bench::skip(NO_NETWORK) };
    let names = [(1, NAME), (2, "other.example"), (3, NAME), (4, NAME)];
    let servers: Vec<Daemon> = names.iter().map(|(n, name)| world.server(*n, name, "").start()).collect();
    let (setup, _) = world.client(&[1, 2, 3, 4], "members = 3");
    let client = setup.start();
    client.wait_until_synchronised(TIMEOUT);
    wait_until_asked(&client, &[1, 3, 4]);
    assert!(
        client
            .log()
            .contains("source pool.example: no keys from 10.77.0.2: the certificate names another server"),
        "{}",
        client.log()
    );
    let exchanges: Vec<_> =
        client.sources().iter().map(|source| source["nts"]["exchanges"].as_u64()).collect();
    assert_eq!(exchanges, [Some(1); 3], "each has its own keys");
    // What an administrator is shown: a row for each association.
    let keys = page(&client, &["keys"]);
    assert_eq!(keys.matches(NAME).count(), 3, "{keys}");
    let detail = page(&client, &["source", NAME]);
    for n in [1, 3, 4] {
        assert!(detail.contains(&format!("10.77.0.{n}")), "{detail}");
    }
    for server in &servers {
        assert!(!page(server, &["server"]).is_empty());
    }
    assert_eq!(client.stop().code, Some(0));
    // A restart costs no key exchange.
    let client = setup.start();
    wait_until_asked(&client, &[1, 3, 4]);
    assert!(client.sources().iter().all(|source| source["nts"]["restored"] == true));
    assert_eq!(client.stop().code, Some(0));
}

#[test]
fn members_that_die_are_replaced_and_a_pool_that_was_dead_comes_again() {
    let Some(world) = World::new("pool-dead", 3) else { return bench::skip(NO_NETWORK) };
    let setups: Vec<Setup> = (1..=3).map(|n| world.server(n, NAME, "")).collect();
    let mut servers: Vec<Daemon> = setups.iter().map(Setup::start).collect();
    let (setup, hosts) = world.client(&[1, 2, 3, 1], "members = 2");
    let client = setup.start();
    client.wait_until_synchronised(TIMEOUT);
    wait_until_asked(&client, &[1, 2]);
    assert_eq!(servers.remove(0).stop().code, Some(0));
    wait_until_asked(&client, &[2, 3]);
    assert!(client.is_synchronised());

    // All of them.
    servers.into_iter().for_each(|server| assert_eq!(server.stop().code, Some(0)));
    client.wait_until("without any", TIMEOUT, |client| asked(client).is_empty());
    let servers: Vec<Daemon> = setups.iter().map(Setup::start).collect();
    client.wait_until("with two again", TIMEOUT, |client| asked(client).len() == 2);
    client.wait_until_synchronised(TIMEOUT);

    // More members than addresses, then fewer members, then another pool.
    let more = world.pool("members = 8");
    setup.configure(&more);
    page(&client, &["reload"]);
    wait_until_asked(&client, &[1, 2, 3]);
    assert_eq!(client.sources().len(), 3, "those without an address are nowhere");
    setup.configure(&world.pool("members = 2"));
    page(&client, &["reload"]);
    assert_eq!(asked(&client).len(), 2);
    assert!(client.is_synchronised());
    page(&client, &["remove", NAME]);
    assert!(client.sources().is_empty());
    name(&hosts, &[3]);
    page(&client, &["reload"]);
    wait_until_asked(&client, &[3]);
    assert_eq!(client.stop().code, Some(0));
    drop(servers);
}

#[test]
fn a206_servers_that_name_one_time_server_are_one_source() {
    let Some(world) = World::new("pool-one", 3) else { return bench::skip(NO_NETWORK) };
    // The second names the first; their cookie keys are those of one operator.
    let fleet = format!("fleet-secret = \"{}\"\nfleet-since = 2026-11-01", "5a".repeat(32));
    let to_first = format!("{fleet}\nntp-server = \"10.77.0.1\"");
    let servers: Vec<Daemon> = [(1, &fleet), (2, &to_first), (3, &to_first)]
        .iter()
        .map(|(n, more)| world.server(*n, NAME, more).start())
        .collect();
    let (setup, _) = world.client(&[1, 2, 3], "members = 3\n[clock]\nminimum-sources = 2");
    let client = setup.start();
    let taken = "the key exchange leads to a time server that is asked already";
    client.wait_until("aware of it", TIMEOUT, |client| client.log().contains(taken));
    wait_until_asked(&client, &[1]);
    client.wait_until("asked often enough", TIMEOUT, |client| {
        client.sources().iter().any(|source| source["valid"].as_u64() >= Some(12))
    });
    assert!(!client.is_synchronised(), "one server is not two: {:#?}", client.sources());
    assert_eq!(client.stop().code, Some(0));
    drop(servers);
}

#[test]
fn a_pool_of_chronyd_and_of_our_own_server_is_followed() {
    let Some(world) = World::new("pool-chronyd", 2) else { return bench::skip(NO_NETWORK) };
    let Some(program) = chronyd_program("chronyd") else { return bench::skip(NO_CHRONYD) };
    let files = Place::new("pool-chronyd-files");
    let (chain, key) = world.authority.issue(&[NAME]).write(&files);
    let lines = format!(
        "port 123\nallow 10.77.0.0/24\nlocal stratum 2\ncmdport 0\nbindcmdaddress /\npidfile {}\nntsport 4460\n\
         ntsserverkey {}\nntsservercert {}\nntsprocesses 1\nbindaddress 10.77.0.2",
        files.join("pid").display(),
        key.display(),
        chain.display()
    );
    let mut chronyd = spawn(behind(&world.network.entrance(), &program).args(lines.lines()));
    let server = world.server(1, NAME, "").start();
    let (setup, _) = world.client(&[1, 2], "[clock]\nminimum-sources = 2");
    let client = setup.start();
    client.wait_until_synchronised(TIMEOUT);
    wait_until_asked(&client, &[1, 2]);
    assert_eq!(client.stop().code, Some(0));
    kill(Pid::from_raw(chronyd.id() as i32), Signal::SIGTERM).expect("it runs");
    chronyd.wait().expect("it was started here");
    drop(server);
}
