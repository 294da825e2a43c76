//! Starts the other processes: each executed afresh, with an empty environment and exactly the descriptors
//! that it needs, named in its words.

use super::LaunchLink;
use super::configuration;
use super::home::Home;
use super::named;
use super::programs;
use super::service_manager;
use super::sockets::{self, Sockets};
use super::state_files;
use super::time_pages::TimePages;
use super::users::{Users, no_user};
use super::vmclock;
use crate::options::{ClockChoice, Options};
use ipc::file_path::FilePath;
use ipc::message::launch::{CERTIFICATE_WORDS, KEY_WORDS, KeyService, LaunchPlan, ToLaunch};
use ipc::process::{Given as Thing, PerProcess, Process};
use ipc::served_at::ServedAt;
use keeper::ending::Ending;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::pipe2;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The processes, and the ends of their links that they have not been given yet.
#[derive(Debug)]
pub struct Children {
    programs: PathBuf,
    words: PerProcess<Vec<String>>,
    insecure: bool,
    /// Of those that the engine has a link to.
    ends: PerProcess<Option<OwnedFd>>,
    engine_ends: PerProcess<Option<OwnedFd>>,
    /// In which each process leaves the number of the system call that its filter denied.
    denied: PerProcess<Option<File>>,
    started: PerProcess<Option<Child>>,
}

/// This process's ends of its links to the engine.
pub struct EngineEnds {
    /// Of the launch.
    pub launch: OwnedFd,
    /// Of the orders, for the keeper.
    pub orders: OwnedFd,
}

/// What the engine remembers by.
pub struct EngineFiles {
    /// The frequency of its last run.
    pub state: File,
    /// Keys and cookies.
    pub keys: File,
    /// The history of minutes, where one is kept.
    pub history: Option<File>,
    /// Anchors, the same.
    pub anchors: Option<File>,
    /// The last report about Roughtime servers.
    pub report: File,
    /// Both of the directory that is not in use.
    pub aside: [Option<File>; 2],
    /// The state directory, where the engine is to look whether it can be written again.
    pub home: Option<Home>,
    /// A recording, if one was requested.
    pub record: Option<File>,
    /// From which programs compute the time.
    pub time_pages: TimePages,
}

/// How long an engine may take to end whose link is closed, in hundredths of a second.
const ENDING: u32 = 200;

/// The ones that no plan is needed for.
const STARTED_BEFORE: [Process; 2] = [Process::Privileged, Process::Engine];

impl Children {
    /// Makes the links.
    ///
    /// # Errors
    /// No descriptors.
    pub fn prepare(programs: PathBuf, options: &Options, users: &Users) -> Result<Self, Ending> {
        let (mut ends, mut engine_ends) = (PerProcess::default(), PerProcess::default());
        for process in Process::Engine.with_link_to() {
            let (theirs, engines) = pair()?;
            ends[process] = Some(theirs);
            engine_ends[process] = Some(engines);
        }
        Ok(Self {
            programs,
            words: PerProcess::from_fn(|process| users.words(process)),
            insecure: options.insecure,
            ends,
            engine_ends,
            denied: PerProcess::default(),
            started: PerProcess::default(),
        })
    }

    /// The engine reports why the state directory is not used, and may ask for a restart where a service manager makes it.
    pub fn tell_elsewhere(&mut self, why: Option<&str>, is_restarted: bool) {
        let restarted = why.filter(|_| is_restarted).map(|_| "restarted".to_owned());
        let words = why.map(|why| format!("state-elsewhere={why}"));
        self.words[Process::Engine].extend(words.into_iter().chain(restarted));
    }

    /// Starts the engine and gives this process's ends of its links.
    ///
    /// # Errors
    /// The error if the program cannot be started.
    pub fn start_engine(
        &mut self,
        options: &Options,
        config: &configuration::Files,
        control: OwnedFd,
        files: EngineFiles,
        clock: Option<&File>,
    ) -> Result<EngineEnds, Ending> {
        let EngineFiles { state, keys, history, anchors, report, aside, home, record, time_pages } = files;
        let orders = self.ends[Process::Privileged]
            .take()
            .ok_or_else(|| Ending::Internal("an engine twice".into()))?;
        let (launch, engines) = pair()?;
        let engine_ends = std::mem::take(&mut self.engine_ends);
        let denied = self.pipe(Process::Engine)?;
        let mut command = self.command(Process::Engine);
        let mut given = Given::default();
        given.word(&mut command, "denied", denied.as_fd());
        for (process, end) in engine_ends.iter() {
            if let Some(end) = end {
                given.word(&mut command, process.word(), end.as_fd());
            }
        }
        given.word(&mut command, "launch", engines.as_fd());
        given.configuration(&mut command, options, config);
        given.word(&mut command, "control", control.as_fd());
        given.word(&mut command, "state", state.as_fd());
        given.word(&mut command, "keys", keys.as_fd());
        given.word(&mut command, "malfeasance", report.as_fd());
        for (word, file) in ["state-aside", "keys-aside"].into_iter().zip(&aside) {
            if let Some(file) = file {
                given.word(&mut command, word, file.as_fd());
            }
        }
        if let Some(anchors) = &anchors {
            given.word(&mut command, "anchors", anchors.as_fd());
        }
        if let Some(history) = &history {
            given.word(&mut command, "history", history.as_fd());
            if let Ok(id) = super::boot::id() {
                command.arg(format!("boot={:032x}", u128::from_be_bytes(id)));
            }
        }
        if let Some(home) = &home {
            given.word(&mut command, "state-home", home.place.as_fd());
            command.arg(format!("state-needs-kib={}", home.needed.octets.div_ceil(1_024)));
            command.arg(format!("state-needs-files={}", home.needed.files));
            if let Some(mounts) = &home.mounts {
                given.word(&mut command, "state-mounts", mounts.fd());
                command.arg(format!("state-mount={}", mounts.id()));
            }
            if let Some(returns) = &home.returns {
                given.word(&mut command, "state-returns", returns.as_fd());
            }
        }
        for (word, page) in &time_pages.files {
            given.word(&mut command, word, page.as_fd());
        }
        if time_pages.counter {
            command.arg("counter");
        }
        if time_pages.marker {
            command.arg("marker");
        }
        if let Some(record) = &record {
            given.word(&mut command, "record", record.as_fd());
        }
        if let Some(clock) = clock {
            given.word(&mut command, "clock", clock.as_fd());
        }
        let syslog = if options.syslog { connect_log("/dev/log") } else { None };
        if let Some(syslog) = &syslog {
            given.word(&mut command, "syslog", syslog.as_fd());
        }
        if let Some(watchdog) = service_manager::watchdog() {
            // Twice before it is missed; more often than once a second it is not passed on.
            command.arg(format!("heartbeat={}", (watchdog / 3).clamp(1_000, 70_000)));
        }
        let journal = super::journal::reads_stderr().then(|| connect_log(super::journal::SOCKET)).flatten();
        if super::journal::reads_stderr() {
            command.arg("journal");
        }
        if let Some(journal) = &journal {
            given.word(&mut command, "journal-socket", journal.as_fd());
        }
        self.started[Process::Engine] = Some(given.spawn(command)?);
        Ok(EngineEnds { launch, orders })
    }

    /// Starts what else the plan asks for.
    ///
    /// # Errors
    /// The error if the program cannot be started.
    pub fn start_planned(
        &mut self,
        plan: &LaunchPlan,
        sockets: &Sockets,
        clock: Option<&File>,
    ) -> Result<(), Ending> {
        let others = Process::ALL.map(|process| (process, process.is_wanted(plan)));
        let others = || others.into_iter().filter(|(process, _)| !STARTED_BEFORE.contains(process));
        // The links between them; those to the engine are there.
        let mut peer_ends = PerProcess::default();
        for (process, _) in others().filter(|(process, _)| process.linked_to() != Some(Process::Engine)) {
            let (theirs, peers) = pair()?;
            (self.ends[process], peer_ends[process]) = (Some(theirs), Some(peers));
        }
        // One for each thread, so that none waits for the signatures of others.
        let signing = (0..sockets.key_threads).map(|_| pair()).collect::<Result<Vec<_>, _>>()?;
        let (signer, signs_for) =
            if Process::Samba.is_wanted(plan) { Some(pair()?).unzip() } else { (None, None) };
        for (process, is_wanted) in others() {
            // The end of one that isn't there is closed, so that its peer knows.
            let end = self.ends[process].take();
            let Some(end) = end.filter(|_| is_wanted) else { continue };
            let denied = self.pipe(process)?;
            let mut command = self.command(process);
            let mut given = Given::default();
            given.word(&mut command, "denied", denied.as_fd());
            given.word(&mut command, "link", end.as_fd());
            for peer in process.with_link_to() {
                if let Some(end) = &peer_ends[peer] {
                    given.word(&mut command, peer.word(), end.as_fd());
                }
            }
            for thing in process.given() {
                match thing {
                    Thing::Network => {
                        if let Some(network) = &sockets.network {
                            given.word(&mut command, "network", network.as_fd());
                        }
                    }
                    Thing::Sockets => given.list(&mut command, "sockets", &sockets.server),
                    Thing::Served => {
                        let service = plan.key_service.iter().flat_map(|service| service.listen.iter());
                        let served: Vec<_> = match process {
                            Process::KeyService => service.map(ServedAt::to_string).collect(),
                            _ => plan.listen.iter().map(ServedAt::to_string).collect(),
                        };
                        command.arg(format!("served={}", served.join(",")));
                    }
                    Thing::Interfaces => {
                        if let Some(interfaces) = &sockets.interfaces {
                            given.word(&mut command, "interfaces", interfaces.as_fd());
                        }
                    }
                    Thing::Clock => {
                        if let Some(clock) = clock {
                            given.word(&mut command, "clock", clock.as_fd());
                        }
                    }
                    Thing::Roots => {
                        command.args(plan.root_files().map(|(word, path)| path_word(word, path)));
                    }
                    Thing::Listeners => given.list(&mut command, "listeners", &sockets.key_service),
                    Thing::Certificate => {
                        let pairs = plan.key_service.iter().flat_map(KeyService::pairs);
                        let words = CERTIFICATE_WORDS.into_iter().zip(pairs);
                        command.args(words.map(|(word, pair)| path_word(word, &pair.certificate)));
                    }
                    Thing::Key => {
                        let pairs = plan.key_service.iter().flat_map(KeyService::pairs);
                        command.args(
                            KEY_WORDS.into_iter().zip(pairs).map(|(word, pair)| path_word(word, &pair.key)),
                        );
                    }
                    Thing::Signatures => {
                        given.list(&mut command, "signing", signing.iter().map(|(asking, _)| asking));
                    }
                    Thing::Signing => {
                        given.list(&mut command, "signing", signing.iter().map(|(_, signing)| signing));
                    }
                    Thing::Signer => {
                        if let Some(signer) = &signer {
                            given.word(&mut command, "signer", signer.as_fd());
                        }
                    }
                    Thing::SignsFor => {
                        if let Some(signs_for) = &signs_for {
                            given.word(&mut command, "server", signs_for.as_fd());
                        }
                    }
                    Thing::Refclocks => given.list(&mut command, "clocks", &sockets.refclocks),
                    Thing::SambaFolder => {
                        command.args(plan.samba.iter().flat_map(named::samba_words));
                    }
                }
            }
            self.started[process] = Some(given.spawn(command)?);
        }
        Ok(())
    }

    /// Process ids, this one's among them; 0: not started.
    pub fn processes(&self) -> PerProcess<u32> {
        PerProcess::from_fn(|process| match process {
            Process::Privileged => std::process::id(),
            other => self.started[other].as_ref().map_or(0, Child::id),
        })
    }

    /// The pipes in which they leave the numbers of denied system calls.
    pub fn denied(&self) -> &PerProcess<Option<File>> {
        &self.denied
    }

    /// Makes the pipe of a process and returns its end of it.
    fn pipe(&mut self, process: Process) -> Result<OwnedFd, Ending> {
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
            .map_err(|errno| Ending::Internal(format!("pipe: {}", errno.desc())))?;
        self.denied[process] = Some(ours.into());
        Ok(theirs)
    }

    /// Why the engine ended before it sent its plan, if more is known than its closed link. The caller has closed its
    /// end of that link, which ends an engine that still runs: it has another user by then, and this process may not be
    /// permitted to kill it. It does not wait for an engine that hangs.
    pub fn engine_ended(&mut self, otherwise: Ending) -> Ending {
        let Some(engine) = self.started[Process::Engine].as_mut() else { return otherwise };
        let _ = engine.kill();
        for _ in 0..ENDING {
            match engine.try_wait() {
                Ok(Some(status)) if status.code() == Some(78) => return Ending::Configuration(String::new()),
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                _ => return otherwise,
            }
        }
        otherwise
    }

    fn command(&self, process: Process) -> Command {
        let mut command = Command::new(self.programs.join(process.program()));
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).args(&self.words[process]);
        // A child that finds another parent than this one has been orphaned in its first moment.
        command.arg(format!("parent={}", std::process::id()));
        if self.insecure {
            command.arg("insecure");
        }
        command
    }
}

/// Has the configuration checked by an engine that does nothing else.
pub fn check(options: &Options, users: &Users, config: &configuration::Files) -> Ending {
    let run = || -> Result<Ending, Ending> {
        let (engines, ours) = pair()?;
        let folder = programs::folder(options)?;
        let mut command = Command::new(folder.join(Process::Engine.program()));
        command.env_clear().stdin(Stdio::null()).arg("check").args(users.words(Process::Engine));
        command.args(options.insecure.then_some("insecure"));
        let mut given = Given::default();
        given.word(&mut command, "launch", engines.as_fd());
        given.configuration(&mut command, options, config);
        let status = given.spawn(command)?.wait().map_err(|error| Ending::Launch(error.to_string()))?;
        Ok(match status.code() {
            Some(0) => {
                let mut link = LaunchLink::new(ours);
                if let Ok(Some((_, ToLaunch::Plan(plan)))) = link.receive() {
                    while let Ok(Some((_, ToLaunch::Leaves(departure)))) = link.receive() {
                        sockets::warn_of_departure(&departure);
                    }
                    if let Some(name) = users.needed(&plan) {
                        return Ok(Ending::Configuration(no_user(name)));
                    }
                    named::warn(&plan, users);
                    sockets::warn_of_interfaces(&plan);
                    let refusals =
                        [state_files::foretell(&options.state), state_files::foretell_run(&options.run)];
                    state_files::warn_of_room(&options.state);
                    if options.clock == ClockChoice::Kernel {
                        vmclock::tell_evidence(plan.profile, plan.forward_step);
                    }
                    policies::within_owner_and_mode(|| programs::look(&folder, &plan, &options.clock))?;
                    if refusals.contains(&true) {
                        // It is said above.
                        return Ok(Ending::Configuration(String::new()));
                    }
                }
                Ending::Asked
            }
            Some(78) => Ending::Configuration(String::new()),
            _ => Ending::Engine(format!("it ended with {status}")),
        })
    };
    run().unwrap_or_else(|ending| ending)
}

fn pair() -> Result<(OwnedFd, OwnedFd), Ending> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
        .map_err(|errno| Ending::Internal(format!("socketpair: {}", errno.desc())))
}

fn path_word(word: &str, path: &FilePath) -> String {
    format!("{word}={}", path.as_str())
}

fn connect_log(path: &str) -> Option<OwnedFd> {
    let socket = std::os::unix::net::UnixDatagram::unbound().ok()?;
    socket.connect(path).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket.into())
}

/// Descriptors that one child is given; they survive an exec only while that child is being started.
#[derive(Default)]
struct Given<'a>(Vec<BorrowedFd<'a>>);

impl<'a> Given<'a> {
    fn word(&mut self, command: &mut Command, key: &str, fd: BorrowedFd<'a>) {
        command.arg(format!("{key}={}", fd.as_raw_fd()));
        self.fd(fd);
    }

    fn list(&mut self, command: &mut Command, key: &str, fds: impl IntoIterator<Item = &'a OwnedFd>) {
        let first = self.0.len();
        self.0.extend(fds.into_iter().map(AsFd::as_fd));
        let numbers: Vec<_> = self.0[first..].iter().map(|fd| fd.as_raw_fd().to_string()).collect();
        command.arg(format!("{key}={}", numbers.join(",")));
    }

    fn configuration(&mut self, command: &mut Command, options: &Options, files: &'a configuration::Files) {
        self.word(command, "config", files.main.as_fd());
        command.arg(format!("config-name={}", options.config.display()));
        if let Some((path, file)) = &files.keys {
            self.word(command, "key-file", file.as_fd());
            command.arg(format!("key-file-name={}", path.display()));
        }
        if let Some((path, file)) = &files.leap_list {
            self.word(command, "leap-list", file.as_fd());
            command.arg(format!("leap-list-name={}", path.display()));
        }
        for (key, folder) in [("drop-ins", &files.drop_ins), ("programs", &files.programs)] {
            if folder.files.is_empty() {
                continue;
            }
            self.list(command, key, folder.files.iter().map(|(_, file)| file));
            // Their names have no commas.
            let names: Vec<&str> = folder.files.iter().map(|(name, _)| name.as_str()).collect();
            command.arg(format!("{key}-names={}", names.join(",")));
            command.arg(format!("{key}-folder={}", folder.path.display()));
        }
    }

    fn fd(&mut self, fd: BorrowedFd<'a>) {
        self.0.push(fd);
    }

    fn spawn(self, mut command: Command) -> Result<Child, Ending> {
        let mark = |flag: FdFlag| -> Result<(), Errno> {
            self.0.iter().try_for_each(|fd| fcntl(fd, FcntlArg::F_SETFD(flag)).map(drop))
        };
        let child = mark(FdFlag::empty())
            .map_err(std::io::Error::from)
            .and_then(|()| spawn(&mut command))
            .map_err(|error| programs::cannot_be_started(Path::new(command.get_program()), &error));
        // No other child may inherit them.
        let _ = mark(FdFlag::FD_CLOEXEC);
        child
    }
}

/// Starts it with SIGCHLD unblocked, since the signal mask is inherited: a shell between this process and the program
/// would otherwise wait forever. A death in this interval is only noticed by its closed link.
fn spawn(command: &mut Command) -> std::io::Result<Child> {
    let mut deaths = SigSet::empty();
    deaths.add(Signal::SIGCHLD);
    deaths.thread_unblock()?;
    let child = start(command);
    deaths.thread_block()?;
    child
}

/// A container that answers EPERM to clone3 keeps the C library from falling back to clone, unless the child has
/// something to change about itself: then it is forked, by clone.
fn start(command: &mut Command) -> std::io::Result<Child> {
    command.spawn().or_else(|error| match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::ENOSYS) => command.gid(nix::unistd::getegid().as_raw()).spawn(),
        _ => Err(error),
    })
}
