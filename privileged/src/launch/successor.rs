//! The end of the launch: this process is confined and executes the keeper, which inherits its process id, its
//! children and the listed descriptors, and nothing else.

use super::programs;
use super::users::Users;
use crate::options::Options;
use ipc::message::Shortfall;
use ipc::message::handover::{Descriptors, Handover};
use ipc::message::privileged::ClockKind;
use ipc::process::{KEEPERS, PerProcess, Process};
use keeper::ending::{Ending, say};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::timerfd::TimerFd;
use nix::unistd::{dup2_stdin, pipe2};
use policies::{KeeperView, Role};
use std::convert::Infallible;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The state with which the keeper continues.
pub struct Files<'a> {
    /// The link of the orders.
    pub link: &'a OwnedFd,
    /// Signals to this process.
    pub signals: &'a File,
    /// The governor's record.
    pub record: &'a File,
    /// The audit log.
    pub audit: &'a File,
    /// Of directories. The keeper does not use them: they stay open, and the directories locked, until the process ends.
    pub locks: &'a [Option<OwnedFd>],
    /// A timer that becomes readable when CLOCK_REALTIME is set.
    pub set_clock: Option<&'a TimerFd>,
    /// The service manager.
    pub notify: Option<BorrowedFd<'a>>,
    /// What the service manager reads a line feed from when everything runs.
    pub ready: Option<BorrowedFd<'a>>,
    /// What the battery-backed clock shows.
    pub rtc: Option<&'a File>,
    /// The page of the hypervisor's vmclock.
    pub vmclock: Option<&'a File>,
    /// The file of a virtual clock.
    pub clock: Option<&'a File>,
    /// The pipes in which the others leave the numbers of denied system calls.
    pub denied: &'a PerProcess<Option<File>>,
}

/// A keeper's program.
pub struct Program {
    role: Role,
    path: PathBuf,
}

impl Program {
    /// Finds the keeper of this kind of clock in the folder of the programs.
    ///
    /// # Errors
    /// If it does not exist.
    pub fn find(programs: &Path, clock: ClockKind) -> Result<Self, Ending> {
        let [of_kernel, of_others] = KEEPERS;
        let (role, name) = match clock {
            ClockKind::Kernel => (Role::Privileged, of_kernel),
            ClockKind::Virtual | ClockKind::None => (Role::PrivilegedVirtual, of_others),
        };
        let path = programs.join(name);
        // The file system view in which it is executed has no symbolic links to it.
        match path.canonicalize() {
            Ok(path) => Ok(Self { role, path }),
            Err(error) => Err(programs::cannot_be_started(&path, &error)),
        }
    }
}

/// Confines this process and executes the keeper; `handover` makes its record from the numbers of the files.
///
/// # Errors
/// If this process cannot be confined, or the keeper cannot be executed.
pub fn become_keeper(
    program: &Program,
    (options, users): (&Options, &Users),
    files: &Files<'_>,
    handover: impl FnOnce(Descriptors) -> Handover,
) -> Result<Infallible, Ending> {
    let failed = |errno: Errno| {
        Ending::Internal(format!("the files of the keeper cannot be passed on: {}", errno.desc()))
    };
    let pass = |fd: BorrowedFd<'_>| fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).map(|_| fd.as_raw_fd());
    for lock in files.locks.iter().flatten() {
        pass(lock.as_fd()).map_err(failed)?;
    }
    let pass_all = || -> Result<Descriptors, Errno> {
        let mut denied = PerProcess::default();
        for (process, pipe) in files.denied.iter() {
            denied[process] = pipe.as_ref().map(|pipe| pass(pipe.as_fd())).transpose()?;
        }
        Ok(Descriptors {
            link: pass(files.link.as_fd())?,
            signals: pass(files.signals.as_fd())?,
            record: pass(files.record.as_fd())?,
            audit: pass(files.audit.as_fd())?,
            set_clock: files.set_clock.map(|timer| pass(timer.as_fd())).transpose()?,
            notify: files.notify.map(pass).transpose()?,
            ready: files.ready.map(pass).transpose()?,
            rtc: files.rtc.map(|file| pass(file.as_fd())).transpose()?,
            vmclock: files.vmclock.map(|file| pass(file.as_fd())).transpose()?,
            clock: files.clock.map(|file| pass(file.as_fd())).transpose()?,
            denied,
        })
    };
    pass_all().and_then(|descriptors| leave(handover(descriptors))).map_err(failed)?;

    let shortfall = policies::confine_keeper(
        program.role,
        &program.path,
        users.identity(Process::Privileged),
        if options.container { KeeperView::Container } else { KeeperView::Own },
        options.insecure,
    )
    .map_err(|error| Ending::Launch(format!("this process cannot be confined: {error}")))?;
    if shortfall != Shortfall::NONE {
        say(
            4,
            &format_args!(
                "this process runs with less confinement: {shortfall} (the kernel or a filter lacks it)"
            ),
        );
    }
    Err(programs::cannot_be_started(&program.path, &Command::new(&program.path).env_clear().exec()))
}

/// Puts the handover on standard input. A pipe holds far more than one record.
fn leave(handover: Handover) -> Result<(), Errno> {
    let mut frame = [0; ipc::MAX_FRAME];
    let length = ipc::encode(0, &handover, &mut frame);
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    File::from(write).write_all(&frame[..length]).map_err(|error| super::diagnosis::errno(&error))?;
    dup2_stdin(read)
}
