//! Starts the other processes: each executed afresh, with an empty environment and exactly the descriptors
//! that it needs, named in its words.

use super::users::Users;
use crate::ending::Ending;
use crate::options::Options;
use ipc::message::privileged::LaunchPlan;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The processes, and the ends of their links that they haven't been given yet.
#[derive(Debug)]
pub struct Children {
    programs: PathBuf,
    words: [Vec<String>; 5],
    insecure: bool,
    ends: [Option<OwnedFd>; 3],
    engine_ends: [Option<OwnedFd>; 3],
    engine: Option<Child>,
    network: [Option<Child>; 3],
}

/// Roles of truechimer-network, in the order of all arrays here.
const ROLES: [&str; 3] = ["client", "server", "exchange"];

impl Children {
    /// Makes the links.
    ///
    /// # Errors
    /// No descriptors, or no way to find the programs.
    pub fn prepare(options: &Options, users: &Users) -> Result<Self, Ending> {
        let mut ends = [const { None }; 3];
        let mut engine_ends = [const { None }; 3];
        for at in 0..3 {
            let (theirs, engines) = pair()?;
            ends[at] = Some(theirs);
            engine_ends[at] = Some(engines);
        }
        Ok(Self {
            programs: programs(options)?,
            words: [0, 1, 2, 3, 4].map(|child| users.words(child)),
            insecure: options.insecure,
            ends,
            engine_ends,
            engine: None,
            network: [const { None }; 3],
        })
    }

    /// Starts the engine and gives this process's end of its link.
    ///
    /// # Errors
    /// The program can't be started.
    pub fn start_engine(
        &mut self,
        options: &Options,
        config: File,
        control: OwnedFd,
        state: File,
        clock: Option<&File>,
    ) -> Result<OwnedFd, Ending> {
        let (engines, ours) = pair()?;
        let mut command = self.command("truechimer-engine", 1);
        let mut given = Given::default();
        given.word(&mut command, "privileged", engines.as_fd());
        for (role, end) in ROLES.iter().zip(&self.engine_ends) {
            if let Some(end) = end {
                given.word(&mut command, role, end.as_fd());
            }
        }
        given.word(&mut command, "config", config.as_fd());
        command.arg(format!("config-name={}", options.config.display()));
        given.word(&mut command, "control", control.as_fd());
        given.word(&mut command, "state", state.as_fd());
        if let Some(clock) = clock {
            given.word(&mut command, "clock", clock.as_fd());
        }
        let syslog = if options.syslog { connect_syslog() } else { None };
        if let Some(syslog) = &syslog {
            given.word(&mut command, "syslog", syslog.as_fd());
        }
        if std::env::var_os("JOURNAL_STREAM").is_some() {
            command.arg("journal");
        }
        self.engine = Some(given.spawn(command)?);
        self.engine_ends = [const { None }; 3];
        Ok(ours)
    }

    /// Starts the network roles that the plan asks for.
    ///
    /// # Errors
    /// The program can't be started.
    pub fn start_network(
        &mut self,
        plan: &LaunchPlan,
        sockets: Vec<OwnedFd>,
        clock: Option<&File>,
    ) -> Result<(), Ending> {
        let wanted = [true, plan.listen_count > 0, plan.exchange];
        for (at, role) in ROLES.iter().enumerate() {
            let Some(end) = self.ends[at].take() else { continue };
            if !wanted[at] {
                continue;
            }
            let mut command = self.command("truechimer-network", at + 2);
            let mut given = Given::default();
            command.arg(format!("role={role}"));
            given.word(&mut command, "link", end.as_fd());
            if *role == "server" {
                let list = sockets.iter().map(|fd| fd.as_raw_fd().to_string()).collect::<Vec<_>>().join(",");
                command.arg(format!("sockets={list}"));
                sockets.iter().for_each(|fd| given.fd(fd.as_fd()));
                if let Some(clock) = clock {
                    given.word(&mut command, "clock", clock.as_fd());
                }
            }
            self.network[at] = Some(given.spawn(command)?);
        }
        Ok(())
    }

    /// Process ids, in the order of `Welcome`.
    pub fn processes(&self) -> [u32; 7] {
        let id = |child: &Option<Child>| child.as_ref().map_or(0, Child::id);
        let [client, server, exchange] = &self.network;
        [std::process::id(), id(&self.engine), id(client), id(server), id(exchange), 0, 0]
    }

    /// Why the engine ended during the launch, where it is known better than by its closed link.
    pub fn engine_ended(&mut self, otherwise: Ending) -> Ending {
        let status = self.engine.as_mut().and_then(|engine| {
            // The link is closed: it is ending or has broken the protocol and must end.
            let _ = engine.kill();
            engine.wait().ok()
        });
        match status.and_then(|status| status.code()) {
            Some(78) => Ending::Configuration(String::new()),
            _ => otherwise,
        }
    }

    fn command(&self, program: &str, child: usize) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).args(&self.words[child]);
        // A child that finds another parent than this one has been orphaned in its first moment.
        command.arg(format!("parent={}", std::process::id()));
        if self.insecure {
            command.arg("insecure");
        }
        command
    }
}

/// Has the configuration checked by an engine that does nothing else.
pub fn check(options: &Options, users: &Users, config: File) -> Ending {
    let run = || -> Result<Ending, Ending> {
        let (engines, _ours) = pair()?;
        let mut command = Command::new(programs(options)?.join("truechimer-engine"));
        command.env_clear().stdin(Stdio::null()).arg("check").args(users.words(1));
        command.args(options.insecure.then_some("insecure"));
        let mut given = Given::default();
        given.word(&mut command, "privileged", engines.as_fd());
        given.word(&mut command, "config", config.as_fd());
        command.arg(format!("config-name={}", options.config.display()));
        let status = given.spawn(command)?.wait().map_err(|error| Ending::Launch(error.to_string()))?;
        Ok(match status.code() {
            Some(0) => Ending::Asked,
            Some(78) => Ending::Configuration(String::new()),
            _ => Ending::Engine(format!("it ended with {status}")),
        })
    };
    run().unwrap_or_else(|ending| ending)
}

fn programs(options: &Options) -> Result<PathBuf, Ending> {
    if let Some(directory) = &options.programs {
        return Ok(directory.clone());
    }
    let own = std::env::current_exe()
        .map_err(|error| Ending::Launch(format!("where this program is: {error}; give --programs DIR")))?;
    Ok(own.parent().map_or_else(PathBuf::new, Into::into))
}

fn pair() -> Result<(OwnedFd, OwnedFd), Ending> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
        .map_err(|errno| Ending::Internal(format!("socketpair: {}", errno.desc())))
}

fn connect_syslog() -> Option<OwnedFd> {
    let socket = std::os::unix::net::UnixDatagram::unbound().ok()?;
    socket.connect("/dev/log").ok()?;
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

    fn fd(&mut self, fd: BorrowedFd<'a>) {
        self.0.push(fd);
    }

    fn spawn(self, mut command: Command) -> Result<Child, Ending> {
        let mark = |flag: FdFlag| -> Result<(), Errno> {
            self.0.iter().try_for_each(|fd| fcntl(fd, FcntlArg::F_SETFD(flag)).map(drop))
        };
        let child = mark(FdFlag::empty())
            .map_err(std::io::Error::from)
            .and_then(|()| command.spawn())
            .map_err(|error| Ending::Launch(format!("{}: {error}", command.get_program().display())));
        // No other child may inherit them.
        let _ = mark(FdFlag::FD_CLOEXEC);
        child
    }
}
