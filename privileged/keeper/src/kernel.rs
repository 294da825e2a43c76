//! System calls without a safe wrapper in the standard library. This file contains the crate's unsafe code.

use ipc::units::Span;
use libc::{c_int, c_long, c_ulong};
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

/// The errno of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// The C library's description.
impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = io::Error::from_raw_os_error(self.0).to_string();
        f.write_str(words.split(" (os error").next().unwrap_or_default())
    }
}

/// EIO if the error has no number.
impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

fn checked(outcome: c_long) -> Result<c_long, Errno> {
    if outcome < 0 { Err(io::Error::last_os_error().into()) } else { Ok(outcome) }
}

/// Waits until one of the descriptors is ready for its events (POLLIN, POLLOUT) or has an error, for at most this
/// time, and returns which are.
///
/// # Errors
/// The error of the failed system call. An interruption by a signal is not an error; no descriptor is ready then.
pub fn wait<const N: usize>(
    asked: [(BorrowedFd<'_>, libc::c_short); N],
    limit: Span,
) -> Result<[bool; N], Errno> {
    let mut polled = asked.map(|(fd, events)| libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 });
    let limit = libc::timespec { tv_sec: limit.seconds(), tv_nsec: limit.nanos() % 1_000_000_000 };
    // SAFETY: `polled` has N elements that the call reads and fills, `limit` is only read, and both live until it returns.
    let outcome =
        unsafe { libc::ppoll(polled.as_mut_ptr(), N as libc::nfds_t, &raw const limit, std::ptr::null()) };
    match checked(c_long::from(outcome)) {
        Ok(_) => Ok(polled.map(|fd| fd.revents != 0)),
        Err(Errno(libc::EINTR)) => Ok([false; N]),
        Err(errno) => Err(errno),
    }
}

/// The state of a child process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    /// It runs.
    Runs,
    /// It has ended, with this exit code or signal.
    Ended(Result<i32, i32>),
    /// No such process is a child of this one.
    None,
}

/// Queries a child without reaping it.
pub fn child(pid: u32) -> Child {
    let Some(pid) = Some(pid).filter(|pid| *pid > 0) else { return Child::None };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    let mut about = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the pointer is to a live siginfo_t that the call fills.
    let outcome = unsafe { libc::waitid(libc::P_PID, pid, about.as_mut_ptr(), flags) };
    if outcome < 0 {
        return Child::None;
    }
    // SAFETY: all octets were zero before, of which every field may consist, and the kernel fills no more.
    let about = unsafe { about.assume_init() };
    // SAFETY: for a child these are the fields that the kernel has filled; they are zero if it has not ended.
    let (ended, status) = unsafe { (about.si_pid(), about.si_status()) };
    match about.si_code {
        _ if ended == 0 => Child::Runs,
        libc::CLD_EXITED => Child::Ended(Ok(status)),
        _ => Child::Ended(Err(status)),
    }
}

/// Takes ownership of a descriptor by its number; `None` if it is not open or is one of the standard streams.
pub fn given(number: i32) -> Option<OwnedFd> {
    // SAFETY: F_GETFD reads no memory and changes nothing.
    let is_open = number > 2 && unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0;
    // SAFETY: it is open, and the launch has passed each number on once, for one use.
    is_open.then(|| unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes a descriptor without the standard library's debug check that it is open, which needs a system call that the
/// filter denies.
pub fn close(fd: OwnedFd) {
    // SAFETY: the number is that of an open descriptor that no longer has an owner.
    unsafe { libc::close(fd.into_raw_fd()) };
}

/// Exits at once, without flushing or releasing anything.
pub fn exit(code: i32) -> ! {
    // SAFETY: it does not return, and takes a number only.
    unsafe { libc::_exit(code) }
}

/// Keeps only CAP_SYS_TIME, or no capability, permitted and effective. The inheritable set is emptied, and with it the
/// ambient set, so that an executed program has none. A launch as root has also emptied the bounding set.
///
/// # Errors
/// The error of the failed system call; EPERM if the process does not have CAP_SYS_TIME.
pub fn hold_only(sys_time: bool) -> Result<(), Errno> {
    const VERSION_3: u32 = 0x2008_0522;
    const CAP_SYS_TIME: u32 = 25;
    let kept = if sys_time { 1u32 << CAP_SYS_TIME } else { 0 };
    let head: [u32; 2] = [VERSION_3, 0];
    // Effective, permitted and inheritable of the capabilities 0 to 31, and of those above.
    let sets: [u32; 6] = [kept, kept, 0, 0, 0, 0];
    // SAFETY: head and sets have the kernel's layout for version 3, are only read, and live until the call returns.
    checked(unsafe { libc::syscall(libc::SYS_capset, head.as_ptr(), sets.as_ptr()) }).map(drop)
}

/// Disables core dumps, ptrace and /proc/PID/mem for other processes of the same user: an exec resets this.
pub fn undumpable() {
    const NO: c_ulong = 0;
    let option: c_int = libc::PR_SET_DUMPABLE;
    // SAFETY: it takes numbers only.
    let _ = unsafe { libc::prctl(option, NO, NO, NO, NO) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_looked_at_without_being_reaped() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        assert_eq!(super::child(child.id()), Child::Runs);
        child.kill().unwrap();
        while super::child(child.id()) == Child::Runs {
            std::thread::yield_now();
        }
        assert_eq!(super::child(child.id()), Child::Ended(Err(libc::SIGKILL)));
        assert_eq!(super::child(child.id()), Child::Ended(Err(libc::SIGKILL)));
        child.wait().unwrap();
        assert_eq!(super::child(child.id()), Child::None);
        assert_eq!(super::child(0), Child::None);
    }

    #[test]
    fn only_open_descriptors_above_the_standard_streams_are_given() {
        assert!([-1, 0, 1, 2, 60_000].into_iter().all(|number| given(number).is_none()));
        let (_, end) = std::os::unix::net::UnixDatagram::pair().unwrap();
        assert!(given(OwnedFd::from(end).into_raw_fd()).is_some());
    }

    #[test]
    fn an_error_is_said_in_words_alone() {
        assert_eq!(Errno(libc::EACCES).to_string(), "Permission denied");
    }
}
