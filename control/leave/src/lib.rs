//! The operator's leave for one step, given to a running keeper.
//!
//! It is a signal with a value, SIGUSR1 by sigqueue(3): the kernel says who may send it (root, and the keeper's own user, whom no
//! other process has), it needs no door to the keeper that another process could use, and the engine cannot make one. The
//! keeper's process id is what the kernel says of who opened the control socket: no answer of the engine is believed. The value has
//! the moment at which the leave ends, so that a signal that is read late, or a later one that the kernel drops while one is pending,
//! makes it no longer.
//!
//! This file contains the unsafe code.

use ipc::leave::{HOLDS, Permission};
use ipc_clock::boot;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket, sockopt};
use std::fmt;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Why nothing was permitted; `Display` says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaveError {
    /// No process listens on the socket, or it is too busy to accept.
    NotRunning(PathBuf, Errno),
    /// The kernel does not show the process that opened the socket: it is in another PID namespace.
    Elsewhere,
    /// That process is no keeper.
    Stranger(i32),
    /// The kernel does not let us signal it.
    Forbidden,
    /// A system call failed.
    Kernel(&'static str, Errno),
}

impl fmt::Display for LeaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning(path, errno) => {
                write!(f, "no truechimer daemon can be reached at {} ({})", path.display(), errno.desc())
            }
            Self::Elsewhere => f.write_str(
                "the daemon runs in another PID namespace: permit the step there, or restart it with --approve-step",
            ),
            Self::Stranger(pid) => {
                write!(f, "process {pid}, which opened the control socket, is not truechimer-keeper; nothing was permitted")
            }
            Self::Forbidden => f.write_str(
                "only root may permit a step (in a container, with CAP_KILL); try with sudo, or restart with --approve-step",
            ),
            Self::Kernel(call, errno) => write!(f, "{call}: {}", errno.desc()),
        }
    }
}

impl std::error::Error for LeaveError {}

/// The keeper of a daemon.
#[derive(Debug)]
pub struct Keeper(OwnedFd);

impl Keeper {
    /// The process that opened this control socket, if it is a keeper.
    ///
    /// # Errors
    /// [`LeaveError`].
    pub fn of(control_socket: &Path) -> Result<Self, LeaveError> {
        let unreachable = |errno| LeaveError::NotRunning(control_socket.to_owned(), errno);
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let peer = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(unreachable)?;
        let address = UnixAddr::new(control_socket).map_err(unreachable)?;
        connect(peer.as_raw_fd(), &address).map_err(unreachable)?;
        let pid = getsockopt(&peer, sockopt::PeerCredentials).map_err(unreachable)?.pid();
        if pid <= 0 {
            return Err(LeaveError::Elsewhere);
        }
        // The descriptor first: from here on the number may be another process's, but not what the descriptor is of.
        let process = open(pid).map_err(|errno| LeaveError::Kernel("pidfd_open", errno))?;
        // Its name, which everybody may read: what it is a link to would take CAP_SYS_PTRACE, which root of a container lacks.
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if name.trim_end() == NAME { Ok(Self(process)) } else { Err(LeaveError::Stranger(pid)) }
    }

    /// Permits one step of at most `seconds` from now on, for a minute.
    ///
    /// # Errors
    /// [`LeaveError`]; nothing was permitted then.
    pub fn permit(&self, seconds: u32) -> Result<(), LeaveError> {
        let until = boot().nanos().saturating_add(HOLDS.nanos()) / 1_000_000_000;
        self.say(Permission { seconds, until: u32::try_from(until).unwrap_or(0) })
    }

    /// Takes back what was permitted and not used.
    ///
    /// # Errors
    /// [`LeaveError`]; it ends by itself then.
    pub fn take_back(&self) -> Result<(), LeaveError> {
        self.say(Permission::NONE)
    }

    fn say(&self, permission: Permission) -> Result<(), LeaveError> {
        send(&self.0, permission.value()).map_err(|errno| match errno {
            Errno::EPERM => LeaveError::Forbidden,
            errno => LeaveError::Kernel("pidfd_send_signal", errno),
        })
    }
}

/// What the kernel calls it: the first 15 characters of truechimer-keeper, and of truechimer-keeper-virtual.
const NAME: &str = "truechimer-keep";

fn open(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: the call takes two numbers and no memory.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for us, and nothing else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A siginfo_t of sigqueue(3), as the kernel reads it on 64-bit machines.
#[repr(C)]
struct Queued {
    signal: i32,
    errno: i32,
    code: i32,
    gap: i32,
    pid: u32,
    uid: u32,
    value: u64,
    rest: [u64; 12],
}

const _: () = assert!(size_of::<Queued>() == 128 && size_of::<usize>() == 8);

fn send(process: &OwnedFd, value: u64) -> Result<(), Errno> {
    let (pid, uid) = (std::process::id(), nix::unistd::getuid().as_raw());
    let (signal, code) = (libc::SIGUSR1, libc::SI_QUEUE);
    let queued = Queued { signal, errno: 0, code, gap: 0, pid, uid, value, rest: [0; 12] };
    let fd = process.as_raw_fd();
    // SAFETY: the kernel reads 128 octets behind the pointer, which is to a live value of that size, and writes none.
    let done = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, &raw const queued, 0) };
    Errno::result(done).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_stranger_who_opened_the_socket_is_no_keeper() {
        let path = std::env::temp_dir().join(format!("truechimer-leave-{}", std::process::id()));
        let absent = Keeper::of(&path).unwrap_err();
        assert_eq!(absent, LeaveError::NotRunning(path.clone(), Errno::ENOENT));
        let _listener = UnixListener::bind(&path).unwrap();
        let outcome = Keeper::of(&path).map(drop);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(outcome, Err(LeaveError::Stranger(std::process::id() as i32)));
    }
}
