//! Pools with NTS from end to end: one name, several addresses, a server of its own at each, in a network of its own.

use bench::authority::Authority;
use bench::daemon::{Daemon, Setup, spawn};
use bench::netns::Network;
use bench::nts::{NO_NTPD_RS, NO_NTS_POOL, fenced};
use bench::own_files;
use bench::peers::{NO_CHRONYD, behind, chronyd_program};
use bench::programs::{Place, find_peer};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command};
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
        self.client_of(&hosts(addresses), lines)
    }

    fn client_of(&self, hosts: &str, lines: &str) -> (Setup, PathBuf) {
        let setup = Setup::new("nts-pool-client", &self.pool(lines));
        let etc = own_files::etc_of_hosts(&setup, hosts);
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

/// Four of ntpd-rs as time servers, and the key exchange server of its pool, which shares its clients out among them, at the fifth
/// address.
struct SharedPool {
    servers: Vec<Other>,
    _pool: Other,
    _reference: Daemon,
    hosts: String,
}

/// What the pool proves itself with to each of them: SHA3-256 of its secret and of the server's number (its base-shared-secret).
const TOKENS: [&str; 4] = [
    "c2683bf5da2f00029a946ab608a7e31f09a3cd77a1ae675b1d95682daac0ac76",
    "b9d4015ea42e51414d333a538e91c5081be4b6602897a4698f66a03a8fa610c2",
    "d34c5eb5bf36987301197970f7a5d0d963f51351a6edb4af56e33b225c67e9ff",
    "64a1ec30063f911366d8760201c3fa4bcd727b210d6fd0d33703f14f889209ea",
];
const SECRET: &str = "pool secret";

/// A program of somebody else in the network of a test; killed when dropped.
struct Other {
    child: Child,
    place: Place,
}

impl Other {
    fn start(words: &[String], program: &Command, place: Place) -> Self {
        let log = fs::File::create(place.join("log")).expect("a new folder can be written");
        let mut command = behind(words, program);
        command.stdout(log.try_clone().expect("a file can be shared")).stderr(log);
        Self { child: spawn(&mut command), place }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.place.join("log")).unwrap_or_default()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl SharedPool {
    /// The reason why there is none, or one.
    fn start(world: &World) -> Result<Self, &'static str> {
        let time_server = find_peer("ntp-daemon").ok_or(NO_NTPD_RS)?;
        let pool = find_peer("nts-pool-ke").ok_or(NO_NTS_POOL)?;
        let names = (1..=4).map(|n| format!("10.77.0.{n} time-{n}.example\n")).collect::<String>();
        let hosts = format!("127.0.0.1 localhost\n10.77.0.5 {NAME}\n{names}");
        // At an address of an interface ntpd-rs would take it for itself.
        let reference = Setup::new(
            "nts-pool-reference",
            "[server]\nlisten = [\"127.0.0.9:1123\"]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 1\nrate-limit = false\n",
        );
        let etc = own_files::etc_of_hosts(&reference, &hosts);
        let reference = reference.within(&world.network).start();
        let servers = (1..=4).map(|n| {
            let place = Place::new(&format!("pool-ntpd-rs-{n}"));
            let (chain, key) = world.authority.issue(&[&format!("time-{n}.example")]).write(&place);
            let configuration = format!(
                "[synchronization]\nminimum-agreeing-sources = 1\n[source-defaults]\n\
                 poll-interval-limits = {{ min = 0, max = 0 }}\ninitial-poll-interval = 0\n\
                 [[source]]\nmode = \"server\"\naddress = \"127.0.0.9:1123\"\n\
                 [[server]]\nlisten = \"10.77.0.{n}:123\"\n[[nts-ke-server]]\nlisten = \"10.77.0.{n}:4460\"\n\
                 certificate-chain-path = \"{}\"\nprivate-key-path = \"{}\"\n\
                 accepted-pool-authentication-tokens = [\"{}\"]\n",
                chain.display(),
                key.display(),
                TOKENS[n - 1]
            );
            fs::write(place.join("ntp.toml"), configuration).expect("a new folder can be written");
            let mut program = fenced(&time_server);
            program.arg("-c").arg(place.join("ntp.toml"));
            Other::start(&world.network.entrance(), &program, place)
        });
        let servers: Vec<Other> = servers.collect();
        let place = Place::new("pool-nts-pool-ke");
        let (chain, key) = world.authority.issue(&[NAME]).write(&place);
        let all: Vec<String> = (1..=4)
            .map(|n| format!("{{\"uuid\": \"time-{n}\", \"domain\": \"time-{n}.example\", \"port\": 4460}}"))
            .collect();
        fs::write(place.join("servers.json"), format!("[{}]", all.join(", "))).expect("as above");
        fs::write(place.join("secret"), SECRET).expect("as above");
        let file = |name: &str| place.join(name).display().to_string();
        let identity =
            format!("certificate-chain = \"{}\"\nprivate-key = \"{}\"\n", chain.display(), key.display());
        let configuration = format!(
            "[server]\nlisten = \"10.77.0.5:4460\"\n{identity}[backend]\n{identity}upstream-cas = \"{}\"\n\
             allowed-protocols = [0]\nkey-exchange-servers = \"{}\"\nbase-shared-secret = \"{}\"\n",
            world.place.join("roots.pem").display(),
            file("servers.json"),
            file("secret")
        );
        fs::write(place.join("pool.toml"), configuration).expect("as above");
        let mounts = format!("mount --bind '{}' /etc", etc.display());
        let mut program = Command::new(pool);
        program.arg("-c").arg(place.join("pool.toml"));
        let pool = Other::start(&own_files::entrance(&world.network, &mounts), &program, place);
        Ok(Self { servers, _pool: pool, _reference: reference, hosts })
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

#[test]
fn the_pool_of_ntpd_rs_gives_each_member_a_time_server_of_its_own_and_another_one_for_one_that_dies() {
    let Some(world) = World::new("pool-shared", 5) else { return bench::skip(NO_NETWORK) };
    let mut pool = match SharedPool::start(&world) {
        Ok(pool) => pool,
        Err(why) => return bench::skip(why),
    };
    let (setup, _) = world.client_of(&pool.hosts, "members = 3\nexperimental-nts-pool = true");
    let client = setup.start();
    let in_use = |client: &Daemon| asked(client).len() == 3;
    client.wait_until("at three servers", TIMEOUT, in_use);
    client.wait_until_synchronised(TIMEOUT);
    let before = asked(&client);
    // Whoever is in its memory when a server is not ready yet may have been asked twice, and never two for one server.
    assert!(!client.log().contains("asked already"), "{}", client.log());
    let dying = usize::from(*before.first().expect("three"));
    let log = pool.servers[dying - 1].log();
    drop(pool.servers.remove(dying - 1));
    client.wait_until("at the fourth", TIMEOUT, |client| {
        let now = asked(client);
        now.len() == 3 && !now.contains(&(dying as u8))
    });
    assert!(client.is_synchronised(), "{log}");

    // It has three servers now, and is asked for five.
    setup.configure(&world.pool("members = 5\nexperimental-nts-pool = true"));
    page(&client, &["reload"]);
    let refused = "no keys: ";
    client.wait_until("refused", TIMEOUT, |client| client.log().contains(refused));
    assert_eq!(asked(&client).len(), 3, "none counts twice: {:#?} {}", client.sources(), client.log());
    // A restart exchanges nothing.
    assert_eq!(client.stop().code, Some(0));
    let client = setup.start();
    client.wait_until("at three again", TIMEOUT, in_use);
    let restored = client.sources().iter().filter(|source| source["nts"]["restored"] == true).count();
    assert_eq!(restored, 3, "{:#?}\n{}", client.sources(), client.log());
    assert_eq!(client.stop().code, Some(0));
}
