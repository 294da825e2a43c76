//! truechimerd with its own configuration, its processes, and its end.

use crate::clock::VirtualClock;
use crate::netns::Network;
use crate::process::{Process, children};
use crate::programs::{Place, folder, program, wait_for};
use crate::started::forget;
pub use crate::started::spawn;
use ipc::process::Process as Role;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The clock that the daemon steers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Steered {
    Nothing,
    Virtual,
    Kernel,
}

/// A daemon that can be started any number of times; its state folder is kept.
#[derive(Clone, Debug)]
pub struct Setup {
    place: Arc<Place>,
    steered: Steered,
    arguments: Vec<String>,
    wrapper: Vec<String>,
    /// `None`: the folder of cargo.
    programs: Option<PathBuf>,
    first_uid: u32,
    /// The private key that the configuration names.
    key: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

static UIDS: AtomicU32 = AtomicU32::new(0);

impl Setup {
    /// A daemon without control of a clock, with this configuration file; `word` appears in the
    /// process list.
    ///
    /// # Panics
    /// If the folder for temporary files cannot be written.
    pub fn new(word: &str, configuration: &str) -> Self {
        let place = Place::new(word);
        for name in ["state", "run"] {
            fs::create_dir(place.join(name)).expect("a new folder can be written");
            // Independent of the umask: the daemon refuses files that other users could change.
            fs::set_permissions(place.join(name), Permissions::from_mode(0o755)).expect("it is ours");
        }
        let file = place.join("truechimer.toml");
        fs::write(&file, configuration).expect("a new folder can be written");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("it is ours");
        // User ids that no package assigns; each daemon has nine of its own.
        let key = configuration.lines().find_map(|line| line.strip_prefix("key = \"")?.strip_suffix('"'));
        let first_uid = 61_400 + (UIDS.fetch_add(1, Ordering::Relaxed) % 400) * 9;
        Self {
            place: Arc::new(place),
            steered: Steered::Nothing,
            arguments: Vec::new(),
            wrapper: Vec::new(),
            programs: None,
            first_uid,
            key: key.map(PathBuf::from),
            environment: Vec::new(),
        }
    }

    /// With a virtual clock that is wrong by `error_ns` and gains `oscillator_ppm`.
    pub fn with_virtual_clock(mut self, error_ns: i64, oscillator_ppm: f64) -> Self {
        VirtualClock::create(&self.place.join("clock"), error_ns, oscillator_ppm);
        self.steered = Steered::Virtual;
        self
    }

    /// With the kernel's clock. Only tests that save and restore it may do this.
    pub fn with_kernel_clock(mut self) -> Self {
        self.steered = Steered::Kernel;
        self
    }

    /// With an additional command line argument.
    pub fn with_argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Started by another program, with these words before truechimerd's.
    pub fn with_wrapper(mut self, words: &[&str]) -> Self {
        self.wrapper = words.iter().map(ToString::to_string).collect();
        self
    }

    /// Started in that network.
    pub fn within(self, network: &Network) -> Self {
        self.with_wrapper(&network.entrance().each_ref().map(String::as_str))
    }

    /// With the programs from another folder.
    pub fn with_programs(mut self, folder: PathBuf) -> Self {
        self.programs = Some(folder);
        self
    }

    /// With a variable in its environment.
    pub fn with_environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The virtual clock, from outside.
    ///
    /// # Panics
    /// If there is none.
    pub fn virtual_clock(&self) -> VirtualClock {
        assert_eq!(self.steered, Steered::Virtual, "this daemon has no virtual clock");
        VirtualClock::at(self.place.join("clock"))
    }

    /// The lines of the audit log so far.
    pub fn audit_log(&self) -> String {
        let octets = fs::read(self.place().join("state/audit.log")).expect("the daemon made it");
        let all = ipc::audit_line::STEPS.slot(0) as usize;
        String::from_utf8_lossy(&octets[..all.min(octets.len())]).trim_end_matches('\0').to_owned()
    }

    /// Its folder: `truechimer.toml`, `state/`, `run/`, `clock`.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Sets another configuration for the next start.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn configure(&self, configuration: &str) {
        fs::write(self.place.join("truechimer.toml"), configuration)
            .expect("the configuration can be written");
    }

    /// With symmetric keys in the file beside the configuration, which root alone may read.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn with_keys(self, keys: &str) -> Self {
        let file = self.place.join("truechimer.keys");
        fs::write(&file, keys).expect("a new folder can be written");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
        self
    }

    /// The group of one of its processes, if it has one of its own.
    pub fn gid(&self, role: Role) -> u32 {
        self.first_uid + role as u32
    }

    /// The command that starts it, without redirections.
    pub fn command(&self) -> Command {
        self.give_key();
        let mut words = self.wrapper.clone();
        let programs = self.programs.clone().unwrap_or_else(folder);
        words.push(programs.join("truechimerd").display().to_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        for (option, name) in
            [("--config", "truechimer.toml"), ("--state-dir", "state"), ("--run-dir", "run")]
        {
            command.arg(option).arg(self.place.join(name));
        }
        command.arg("--clock").arg(match self.steered {
            Steered::Nothing => "none".to_owned(),
            Steered::Kernel => "kernel".to_owned(),
            Steered::Virtual => format!("virtual:{}", self.place.join("clock").display()),
        });
        if crate::is_root() {
            command.arg("--first-uid").arg(self.first_uid.to_string());
        }
        command.args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Gives the configured private key to the user of the key holder, as an administrator does.
    fn give_key(&self) {
        if let Some(key) = self.key.as_ref().filter(|key| crate::is_root() && key.exists()) {
            let user = self.first_uid + Role::KeyHolder as u32;
            std::os::unix::fs::chown(key, Some(user), Some(user)).expect("root may");
        }
    }

    /// Gives another private key to the user of the key holder.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn give(&self, key: &Path) {
        if crate::is_root() {
            let user = self.first_uid + Role::KeyHolder as u32;
            std::os::unix::fs::chown(key, Some(user), Some(user)).expect("root may");
        }
    }

    /// Starts it and returns at once.
    ///
    /// # Panics
    /// If the program cannot be executed.
    pub fn launch(&self) -> Daemon {
        let stderr = self.place.join("stderr");
        let file = fs::File::create(&stderr).expect("the log can be written");
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let started = Instant::now();
        let child = spawn(&mut command);
        Daemon { child: Some(child), setup: self.clone(), started }
    }

    /// Starts it and waits until it answers on its control socket.
    ///
    /// # Panics
    /// If it ends, or does not answer within 20 s; the message contains its log.
    pub fn start(&self) -> Daemon {
        let mut daemon = self.launch();
        let mut ended = None;
        let ready = wait_for(Duration::from_secs(20), || {
            ended = daemon.has_ended();
            if ended.is_some() { Some(()) } else { daemon.ask("status").map(drop) }
        });
        if let Some(exit) = ended {
            panic!("truechimerd ended at its start: {exit:?}");
        }
        assert!(
            ready.is_some(),
            "truechimerd does not answer on its control socket; it said:\n{}",
            daemon.log()
        );
        daemon
    }

    /// Runs it to its end, for starts that must be refused.
    ///
    /// # Panics
    /// If it still runs after 20 s.
    pub fn run_to_end(&self) -> Exit {
        self.launch().wait_for_end(Duration::from_secs(20))
    }
}

/// One `[[source]]`, polled as fast as possible.
pub fn source(address: impl std::fmt::Display) -> String {
    format!("[[source]]\naddress = \"{address}\"\nmin-poll = 0\nmax-poll = 2\nburst = true\n")
}

/// The end of a daemon.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Exit code; `None` if a signal killed it.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// Everything that it wrote to standard error.
    pub log: String,
}

/// A running daemon; killed when dropped.
pub struct Daemon {
    child: Option<Child>,
    setup: Setup,
    started: Instant,
}

impl Daemon {
    /// Process id of truechimerd.
    ///
    /// # Panics
    /// After its end.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the daemon runs").id()
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// How it was started.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Its output to standard error so far.
    pub fn log(&self) -> String {
        let octets = fs::read(self.setup.place.join("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// Its processes, truechimerd first.
    pub fn processes(&self) -> Vec<Process> {
        let pid = self.pid();
        Process::read(pid).into_iter().chain(children(pid)).collect()
    }

    /// One of them.
    ///
    /// # Panics
    /// If there is none of this role.
    pub fn process(&self, role: &str) -> Process {
        let all = self.processes();
        all.iter()
            .find(|process| process.role == role)
            .unwrap_or_else(|| panic!("no {role}: {all:?}"))
            .clone()
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.setup.place.join("run/control.sock")
    }

    /// chimerctl for this daemon, with as much on a line as belongs together.
    pub fn chimerctl(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(program("chimerctl"))
            .arg("--socket")
            .arg(self.socket())
            .args(arguments)
            .env("COLUMNS", "10000")
            .stdin(Stdio::null())
            .output()
            .expect("chimerctl can be executed")
    }

    /// The answer of the control socket to this verb (`status`, `sources`, `server`, …); `None` if there
    /// is no answer.
    pub fn ask(&self, verb: &str) -> Option<Value> {
        self.request(&format!("{{\"verb\":\"{verb}\"}}"))
    }

    /// The answer of the control socket to the measurements and corrections with a higher number than this.
    pub fn measured(&self, after: u64) -> Option<Value> {
        self.request(&format!("{{\"verb\":\"measured\",\"after\":{after}}}"))
    }

    fn request(&self, document: &str) -> Option<Value> {
        let mut socket = UnixStream::connect(self.socket()).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        socket.write_all(format!("{document}\n").as_bytes()).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        serde_json::from_str(&answer).ok()
    }

    /// How many lines of its log contain these words.
    pub fn lines(&self, words: &str) -> usize {
        self.log().lines().filter(|line| line.contains(words)).count()
    }

    /// Its report on its clock: the names are those of `report::SystemReport`.
    ///
    /// # Panics
    /// If the daemon does not answer.
    pub fn status(&self) -> Value {
        self.report().unwrap_or_else(|| panic!("no status; the daemon said:\n{}", self.log()))
    }

    /// The same; `None` while it does not answer.
    pub fn report(&self) -> Option<Value> {
        self.ask("status").map(|status| status["report"].clone())
    }

    /// The sources, in the order of the configuration.
    ///
    /// # Panics
    /// If the daemon does not answer.
    pub fn sources(&self) -> Vec<Value> {
        let answer = self.ask("sources").unwrap_or_else(|| panic!("no sources; it said:\n{}", self.log()));
        answer["sources"].as_array().unwrap_or_else(|| panic!("not a list of sources: {answer}")).clone()
    }

    /// Whether it reports that its clock follows its sources.
    pub fn is_synchronised(&self) -> bool {
        self.report().is_some_and(|report| report["synchronised"] == true)
    }

    /// Waits until it reports so.
    ///
    /// # Panics
    /// If it does not within `deadline`.
    pub fn wait_until_synchronised(&self, deadline: Duration) -> Duration {
        self.wait_until("synchronised", deadline, Self::is_synchronised);
        self.started.elapsed()
    }

    /// Waits until `claim` holds.
    ///
    /// # Panics
    /// If it does not within `deadline`; the message contains status, sources and log.
    pub fn wait_until(&self, what: &str, deadline: Duration, claim: impl Fn(&Self) -> bool) {
        let holds = wait_for(deadline, || claim(self).then_some(()));
        assert!(
            holds.is_some(),
            "not {what} after {deadline:?}\nstatus: {:#}\nsources: {:#}\nlog:\n{}",
            self.ask("status").unwrap_or_default(),
            self.ask("sources").unwrap_or_default(),
            self.log()
        );
    }

    /// Sends a signal to one of its processes.
    ///
    /// # Panics
    /// If it is gone.
    pub fn signal(&self, pid: u32, signal: Signal) {
        kill(Pid::from_raw(pid as i32), signal).expect("the process is there");
    }

    /// Its end, if it has ended.
    pub fn has_ended(&mut self) -> Option<Exit> {
        let status = self.child.as_mut()?.try_wait().expect("a child can be waited for")?;
        Some(self.end(status))
    }

    fn end(&mut self, status: ExitStatus) -> Exit {
        if let Some(child) = self.child.take() {
            forget(child.id());
        }
        Exit { code: status.code(), signal: status.signal(), log: self.log() }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it still runs after `deadline`.
    pub fn wait_for_end(&mut self, deadline: Duration) -> Exit {
        wait_for(deadline, || self.has_ended())
            .unwrap_or_else(|| panic!("truechimerd still runs after {deadline:?}; it said:\n{}", self.log()))
    }

    /// Asks it to end, and waits.
    ///
    /// # Panics
    /// If it still runs 10 s later.
    pub fn stop(mut self) -> Exit {
        self.signal(self.pid(), Signal::SIGTERM);
        self.wait_for_end(Duration::from_secs(10))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = Pid::from_raw(child.id() as i32);
        let _ = kill(pid, Signal::SIGTERM);
        if wait_for(Duration::from_secs(3), || child.try_wait().ok().flatten()).is_none() {
            let orphans = children(child.id());
            let _ = child.kill();
            let _ = child.wait();
            for orphan in orphans {
                let _ = kill(Pid::from_raw(orphan.pid as i32), Signal::SIGKILL);
            }
        }
        forget(child.id());
    }
}
