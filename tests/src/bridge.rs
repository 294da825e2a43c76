//! A running truechimer-chronyc-bridge, and chronyc before it.

use crate::chronyd_client::{ChronydClient, chronyc};
use crate::daemon::{Daemon, Setup, source, spawn};
use crate::forger::Forger;
use crate::programs::{Place, program, wait_for};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Lines of comma-separated values.
pub fn rows(said: &str) -> Vec<Vec<String>> {
    said.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// How long what is waited for may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What the servers, those of chronyd too, are ahead of the host's clock, in nanoseconds.
pub const AHEAD: i64 = 40_000_000;

/// Three servers, and one that is silent.
pub struct Servers(Vec<Forger>, Forger);

impl Servers {
    /// Starts them.
    ///
    /// # Panics
    /// If an address cannot be bound.
    #[must_use]
    pub fn start() -> Self {
        let honest = (1..=3).map(|host| Forger::honest([127, 0, 0, host].into(), AHEAD)).collect();
        Self(honest, Forger::start([127, 0, 0, 4].into(), 0, |_| Vec::new()))
    }

    /// The first one.
    #[must_use]
    pub fn first(&self) -> &Forger {
        &self.0[0]
    }

    /// Where they are.
    pub fn addresses(&self) -> impl Iterator<Item = std::net::SocketAddr> {
        self.0.iter().chain([&self.1]).map(Forger::address)
    }

    /// truechimerd with these servers, synchronised.
    ///
    /// # Panics
    /// If it is not in time.
    pub fn follow(&self) -> Daemon {
        let sources: String = self.addresses().map(source).collect();
        let client = Setup::new("chronyc", &sources).with_virtual_clock(0, 20.0).start();
        client.wait_until("synchronised, with all polls answered", TIMEOUT, |client| {
            client.is_synchronised() && client.sources().iter().take(3).all(|source| source["reach"] == 255)
        });
        client
    }

    /// chronyd with these servers, and an option for each; none: it is not installed.
    pub fn chronyd(&self, option: &str) -> Option<ChronydClient> {
        let line = |address: std::net::SocketAddr| {
            format!("server {} port {} iburst minpoll 0 maxpoll 2 {option}\n", address.ip(), address.port())
        };
        ChronydClient::start(&self.addresses().map(line).collect::<String>(), &[])
    }
}

/// A running bridge; killed when dropped.
pub struct Bridge {
    child: Child,
    place: Place,
}

impl Bridge {
    /// Starts it for the daemon of this control socket, and waits for its own.
    ///
    /// # Panics
    /// If it does not open one.
    pub fn start(control: &Path) -> Self {
        let place = Place::new("bridge");
        let listen = place.join("run/chronyd.sock");
        let log = std::fs::File::create(place.join("log")).expect("a new folder can be written");
        let mut command = Command::new(program("truechimer-chronyc-bridge"));
        command.arg("--socket").arg(control).arg("--listen").arg(&listen);
        let child = spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log));
        let bridge = Self { child, place };
        wait_for(Duration::from_secs(30), || listen.exists().then_some(()))
            .unwrap_or_else(|| panic!("{}", bridge.log()));
        bridge
    }

    /// Whether it runs.
    ///
    /// # Panics
    /// If that cannot be found out.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// How many threads it has.
    ///
    /// # Panics
    /// If it is gone.
    pub fn threads(&self) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        tasks.expect("it runs").count()
    }

    /// The socket on which it answers chronyc.
    pub fn socket(&self) -> PathBuf {
        self.place.join("run/chronyd.sock")
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.place.join("log")).unwrap_or_default()
    }

    /// What chronyc prints to these words, and whether it is content.
    ///
    /// # Panics
    /// If chronyc is not installed.
    pub fn chronyc(&self, words: &[&str]) -> (bool, String) {
        let output = chronyc(&self.socket(), words).expect("chronyc is installed");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Its table, as values: lines of fields.
    ///
    /// # Panics
    /// If chronyc is not content.
    #[track_caller]
    pub fn table(&self, words: &[&str]) -> Vec<Vec<String>> {
        let (is_content, said) = self.chronyc(&[&["-c"], words].concat());
        assert!(is_content, "{words:?}: {said}\n{}", self.log());
        rows(&said)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
