//! Whatever a role does for the first time under its filter, its filter lets it: each thing that the daemon can be made to
//! do comes first in a fresh one once, and then the rest in an order of its own.

use bench::authority::{KeyKind, Order};
use bench::daemon::{Daemon, Setup};
use bench::nts::{NAMES, NtsServer};
use bench::packet::Header;
use bench::process::state_of;
use bench::programs::wait_for;
use bench::role::Numbers;
use bench::samba::{self, Conduct, Double, Member};
use bench::{client, key_client};
use ipc::process::Process as Role;
use nix::sys::signal::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Of the orders.
const SEED: u64 = 0x0dd5_ca1e;

/// So many of the daemons run at once.
const AT_ONCE: usize = 4;

/// A daemon with all processes: a server with NTS that is the client of another one, by name and by address, with and
/// without NTS.
struct Host {
    ours: NtsServer,
    daemon: Daemon,
    /// Which signs its replies to members of a domain.
    _samba: Double,
}

impl Host {
    fn new(upstream: &NtsServer, change: impl FnOnce(Setup) -> Setup) -> Self {
        let mut ours = NtsServer::new("from-cold", &["127.0.0.1"], "");
        let file = ours.setup.place().join("truechimer.toml");
        let text = fs::read_to_string(file).expect("it was written");
        let (plain, named) = (upstream.port, upstream.source("localhost", ""));
        let folder = ours.setup.place().join("ntp_signd");
        fs::create_dir(&folder).expect("ours");
        samba::give(&folder, ours.setup.gid(Role::Samba));
        let stratum = "local-stratum = 1\n";
        assert!(text.contains(stratum), "{text}");
        let text = text.replace(stratum, &format!("{stratum}samba-signd = \"{}\"\n", folder.display()));
        ours.setup.configure(&format!(
            "{text}\n[[source]]\naddress = \"127.0.0.1:{plain}\"\nmin-poll = 0\nmax-poll = 0\n{named}"
        ));
        ours.setup = change(ours.setup.with_virtual_clock(3_000_000, 0.0));
        let daemon = ours.setup.start();
        Self { ours, daemon, _samba: Double::listen(&folder, Conduct::Sign) }
    }

    fn time(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ours.port).into()
    }

    fn keys(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ours.key_port).into()
    }

    fn ask(&self, words: &[&str]) {
        let output = self.daemon.chimerctl(words);
        assert!(!output.stdout.is_empty() || output.status.success(), "{words:?}: {output:?}");
    }

    /// Keys for strangers, with whatever certificate.
    fn exchange(&self) -> bool {
        let config = self.ours.trust.authority.client_config();
        key_client::exchange(self.keys(), "localhost", &config, &[30, 15]).is_ok()
    }

    fn connect(&self, octets: &[u8]) {
        let Ok(mut stream) = TcpStream::connect(self.keys()) else { return };
        let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
        let _ = stream.write_all(octets);
        let _ = stream.read(&mut [0; 512]);
    }

    fn renew(&self, key: KeyKind) {
        self.ours.trust.replace(&Order { key, ..Order::new(&NAMES) });
        // The owner is set by this.
        drop(self.ours.setup.command());
        self.reload();
    }

    fn reload(&self) {
        let file = self.ours.setup.place().join("truechimer.toml");
        let output = self.daemon.chimerctl(&["reload", "--config", &file.display().to_string()]);
        // 2: the command line is wrong. A key may be refused.
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    }

    /// All processes are those from the start, and each does its work.
    fn lives(&self, began: &[(u32, String)], what: &str) {
        // Where the machine is quick, the server's rate limit leaves a query unanswered now and then.
        let claim = || (self.pids() == began && client::answers(self.time())).then_some(());
        let claim = || claim().and_then(|()| self.daemon.report().map(drop));
        let counts = || String::from_utf8_lossy(&self.daemon.chimerctl(&["server"]).stdout).into_owned();
        let lives = wait_for(TIMEOUT, claim).is_some();
        assert!(lives, "{what}: {:?}\n{}\n{}", self.pids(), counts(), self.daemon.log());
        let exchanged = wait_for(TIMEOUT, || self.exchange().then_some(()));
        assert!(exchanged.is_some(), "{what}: no keys\n{}", self.daemon.log());
        Member::new("127.0.0.1:0", &self.time().to_string(), 1105).reply_sooner_or_later();
        let log = self.daemon.log();
        assert!(!log.contains("SIGSYS") && !log.contains("exchanged keys failed"), "{what}:\n{log}");
        assert!(!log.contains("looked it up failed"), "{what}:\n{log}");
    }

    /// But for the children that come and go.
    fn pids(&self) -> Vec<(u32, String)> {
        let all = self.daemon.processes().into_iter().map(|process| (process.pid, process.role));
        all.filter(|(_, role)| role != "without_vdso").collect()
    }

    fn is_synchronised(&self) {
        self.daemon.wait_until("synchronised by all its sources", TIMEOUT, |daemon| {
            let sources = daemon.sources();
            daemon.is_synchronised()
                && sources.iter().any(|source| source["nts"]["state"] == "ready")
                && sources.iter().all(|source| source["reach"] != 0)
        });
    }
}

/// What the daemon can be made to do, from outside.
type Action = (&'static str, fn(&Host));

const ACTIONS: [Action; 22] = [
    ("status", |host| host.ask(&["status"])),
    ("sources", |host| host.ask(&["sources"])),
    ("a source", |host| {
        let name = host.daemon.sources()[0]["name"].as_str().map(str::to_owned);
        host.ask(&["source", &name.unwrap_or_default()]);
    }),
    ("keys", |host| host.ask(&["keys"])),
    ("server", |host| host.ask(&["server"])),
    ("reload", Host::reload),
    ("SIGHUP", |host| host.daemon.signal(host.daemon.pid(), Signal::SIGHUP)),
    ("burst", |host| host.ask(&["burst"])),
    ("offline and online", |host| {
        host.ask(&["offline"]);
        host.ask(&["online"]);
    }),
    ("synchronised", Host::is_synchronised),
    ("time", |host| {
        for _ in 0..100 {
            let answered = || client::answers(host.time()).then_some(());
            assert!(wait_for(TIMEOUT, answered).is_some(), "{}", host.daemon.log());
        }
    }),
    ("older versions and other modes", |host| {
        for (version, mode) in (0..8).flat_map(|version| (0..8).map(move |mode| (version, mode))) {
            let query = Header { version, mode, ..Header::query(7) };
            client::send(host.time(), &query.octets(), Duration::from_millis(2));
        }
    }),
    ("datagrams of any length", |host| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let mut numbers = Numbers(SEED);
        for length in (0..2_000).step_by(7) {
            let octets: Vec<u8> = (0..length).map(|_| numbers.draw() as u8).collect();
            socket.send_to(&octets, host.time()).expect("loopback takes it");
        }
    }),
    ("a key exchange", |host| assert!(host.exchange())),
    ("a key exchange by who does not trust it", |host| {
        let other = bench::authority::Authority::new("other").client_config();
        assert!(key_client::exchange(host.keys(), "localhost", &other, &[15]).is_err());
    }),
    ("no TLS", |host| {
        host.connect(b"GET / HTTP/1.0\r\n\r\n");
        host.connect(&[0x16, 3, 1, 0xff, 0xff]);
        host.connect(&[]);
    }),
    ("many connections", |host| {
        let all: Vec<_> = (0..64).map(|_| TcpStream::connect(host.keys())).collect();
        drop(all);
    }),
    ("an Ed25519 key", |host| host.renew(KeyKind::Ed25519)),
    ("an RSA key", |host| host.renew(KeyKind::Rsa)),
    ("a P-256 key", |host| host.renew(KeyKind::P256)),
    ("questions that are none", |host| {
        for question in [&b"{"[..], b"\n", b"{\"verb\":\"none\"}\n", &[0xff; 70_000]] {
            let mut socket = UnixStream::connect(host.daemon.socket()).expect("it listens");
            let _ = socket.set_read_timeout(Some(Duration::from_millis(200)));
            let _ = socket.write_all(question);
            let _ = socket.read(&mut [0; 512]);
        }
        let all: Vec<_> = (0..40).map(|_| UnixStream::connect(host.daemon.socket())).collect();
        drop(all);
    }),
    ("each process stopped and continued", |host| {
        for (pid, role) in host.pids() {
            let has_state = |claim: fn(char) -> bool| {
                wait_for(TIMEOUT, || state_of(pid).is_none_or(claim).then_some(())).is_some()
            };
            host.daemon.signal(pid, Signal::SIGSTOP);
            assert!(has_state(|state| state == 'T' || state == 't'), "{role}");
            host.daemon.signal(pid, Signal::SIGCONT);
            assert!(has_state(|state| state != 'T' && state != 't'), "{role}");
        }
    }),
];

/// The numbers of all actions, `first` at the beginning.
fn order(first: usize, numbers: &mut Numbers) -> Vec<usize> {
    let mut rest: Vec<usize> = (0..ACTIONS.len()).filter(|other| *other != first).collect();
    for last in (1..rest.len()).rev() {
        rest.swap(last, numbers.draw() as usize % (last + 1));
    }
    [vec![first], rest].concat()
}

fn carry_out(host: &Host, order: &[usize]) {
    let began = host.pids();
    assert!(began.len() >= 7, "{began:?}");
    let mut done = Vec::new();
    for at in order {
        let (name, act) = ACTIONS[*at];
        done.push(name);
        act(host);
        host.lives(&began, &format!("{done:?}"));
    }
    host.is_synchronised();
}

#[test]
fn whatever_comes_first_and_in_whatever_order_no_process_dies_of_its_filter() {
    let upstream = NtsServer::new("cold-upstream", &["127.0.0.1"], "");
    let _server = upstream.setup.start();
    let mut numbers = Numbers(SEED);
    let orders: Vec<Vec<usize>> = (0..ACTIONS.len()).map(|first| order(first, &mut numbers)).collect();
    for some in orders.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            for order in some {
                scope.spawn(|| {
                    let host = Host::new(&upstream, |setup| setup);
                    carry_out(&host, order);
                    let exit = host.daemon.stop();
                    assert_eq!(exit.code, Some(0), "{exit:?}");
                });
            }
        });
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn where_clocks_are_read_by_system_calls_no_process_dies_of_its_filter() {
    if !bench::is_root() {
        return bench::skip("to trace a daemon needs root");
    }
    let wrapper = env!("CARGO_BIN_EXE_without_vdso");
    let check = std::process::Command::new(wrapper).args([wrapper, "check"]).status().expect("it is built");
    assert!(check.success(), "there is a vdso");
    let upstream = NtsServer::new("no-vdso-upstream", &["127.0.0.1"], "");
    let _server = upstream.setup.start();
    let host = Host::new(&upstream, |setup| setup.with_wrapper(&[wrapper]));
    carry_out(&host, &order(0, &mut Numbers(SEED)));
    assert_eq!(host.daemon.stop().code, Some(0));
}

/// With a reference clock that says nothing.
fn with_clock(setup: Setup) -> Setup {
    let text = fs::read_to_string(setup.place().join("truechimer.toml")).expect("it was written");
    let socket = setup.place().join("clock.sock").display().to_string();
    setup.configure(&format!(
        "{text}\n[[refclock]]\nsocket = \"{socket}\"\nrefid = \"GPS\"\nnoselect = true\n"
    ));
    setup
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_log_names_every_process_that_its_filter_ends_and_the_call() {
    if !bench::is_root() {
        return bench::skip("to trace a daemon needs root");
    }
    let upstream = NtsServer::new("named-upstream", &["127.0.0.1"], "");
    let _server = upstream.setup.start();
    for process in Role::ALL {
        let Host { mut daemon, ours: _ours, _samba } = Host::new(&upstream, with_clock);
        let pid = daemon.process(process.word()).pid;
        let make_call = || bench::tracer::make_call(pid, libc::SYS_personality).ok();
        assert!(wait_for(TIMEOUT, make_call).is_some(), "{process:?}");
        let exit = daemon.wait_for_end(TIMEOUT);
        let name = match process {
            Role::Privileged => "truechimer-keeper is killed".to_owned(),
            _ => format!("{} (process {pid}) was killed", process.title()),
        };
        let call =
            format!("{name} by its system call filter (SIGSYS): the call personality (135) is not permitted");
        assert!(exit.log.contains(&call), "{process:?}: {exit:?}");
    }
}
