//! The operator's leave for one step, given to a running keeper.
//!
//! It is a signal with a value, SIGUSR1 by sigqueue(3): the kernel says who may send it (root, and the keeper's own user, whom no
//! other process has), it needs no door to the keeper that another process could use, and the engine cannot make one. The
//! keeper's process id is what the kernel says of who opened the control socket: no answer of the engine is believed.
//!
//! This file contains the unsafe code.

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
    /// Only root may.
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
            Self::Forbidden => f.write_str("only root may permit a step; try with sudo"),
            Self::Kernel(call, errno) => write!(f, "{call}: {}", errno.desc()),
        }
    }
}

impl std::error::Error for LeaveError {}

/// Permits the keeper of the daemon with this control socket one step of at most `seconds`, for a minute; 0 takes it back.
///
/// # Errors
/// [`LeaveError`]; nothing was permitted then.
pub fn permit(control_socket: &Path, seconds: u32) -> Result<(), LeaveError> {
    let keeper = keeper(control_socket)?;
    send(&keeper, seconds).map_err(|errno| match errno {
        Errno::EPERM => LeaveError::Forbidden,
        errno => LeaveError::Kernel("pidfd_send_signal", errno),
    })
}

/// The process that opened the socket, if it is a keeper.
fn keeper(path: &Path) -> Result<OwnedFd, LeaveError> {
    let unreachable = |errno| LeaveError::NotRunning(path.to_owned(), errno);
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let peer = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(unreachable)?;
    connect(peer.as_raw_fd(), &UnixAddr::new(path).map_err(unreachable)?).map_err(unreachable)?;
    let pid = getsockopt(&peer, sockopt::PeerCredentials).map_err(unreachable)?.pid();
    if pid <= 0 {
        return Err(LeaveError::Elsewhere);
    }
    // The descriptor first: from here on the number may be another process's, but not what the descriptor is of.
    let process = open(pid).map_err(|errno| LeaveError::Kernel("pidfd_open", errno))?;
    match nix::fcntl::readlink(format!("/proc/{pid}/exe").as_str()) {
        Ok(program) if is_keeper(&program.to_string_lossy()) => Ok(process),
        Ok(_) => Err(LeaveError::Stranger(pid)),
        Err(Errno::EACCES | Errno::EPERM) => Err(LeaveError::Forbidden),
        Err(errno) => Err(LeaveError::Kernel("readlink", errno)),
    }
}

/// Also where an upgrade has put another file in the program's place.
fn is_keeper(program: &str) -> bool {
    let program = program.strip_suffix(" (deleted)").unwrap_or(program);
    matches!(program.rsplit('/').next(), Some("truechimer-keeper" | "truechimer-keeper-virtual"))
}

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
    value: u32,
    rest: [u32; 25],
}

const _: () = assert!(size_of::<Queued>() == 128 && size_of::<usize>() == 8);

fn send(process: &OwnedFd, value: u32) -> Result<(), Errno> {
    let (pid, uid) = (std::process::id(), nix::unistd::getuid().as_raw());
    let (signal, code) = (libc::SIGUSR1, libc::SI_QUEUE);
    let queued = Queued { signal, errno: 0, code, gap: 0, pid, uid, value, rest: [0; 25] };
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
    fn only_programs_of_that_name_are_keepers_also_when_their_file_was_replaced() {
        for (program, is) in [
            ("/usr/lib/truechimer/truechimer-keeper", true),
            ("/usr/lib/truechimer/truechimer-keeper (deleted)", true),
            ("/x/truechimer-keeper-virtual", true),
            ("/usr/lib/truechimer/truechimer-engine", false),
            ("/tmp/truechimer-keeper/sh", false),
            ("truechimer-keeper2", false),
        ] {
            assert_eq!(is_keeper(program), is, "{program}");
        }
    }

    #[test]
    fn a_stranger_who_opened_the_socket_gets_no_signal() {
        let path = std::env::temp_dir().join(format!("truechimer-leave-{}", std::process::id()));
        let absent = permit(&path, 1).unwrap_err();
        assert_eq!(absent, LeaveError::NotRunning(path.clone(), Errno::ENOENT));
        let _listener = UnixListener::bind(&path).unwrap();
        // SIGUSR1 would end this process.
        let outcome = permit(&path, 1);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(outcome, Err(LeaveError::Stranger(std::process::id() as i32)));
    }
}
