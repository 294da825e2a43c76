//! An unsafe call: fork.
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::unistd::{ForkResult, Pid, fork};
use std::process::exit;

/// Runs `work` in a new child of this process, which ends with the exit code that `work` returns; returns
/// the child's id here.
///
/// # Errors
/// The kernel's error if no process can be created.
pub(super) fn fork_into(work: impl FnOnce() -> i32) -> Result<Pid, Errno> {
    // SAFETY: the exchange process has one thread (confinement requires it, and no other is started), so no
    // other thread can hold a lock that the child inherits in a locked state; both sides may then do all that
    // a process may. The child ends here, so it never runs on in the parent's loop.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => exit(work()),
    }
}
