//! What this process has started, so that all of it ends with it.

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::Mutex;

/// All processes that this process started and whose end it has not seen: for [`end_all`](crate::interrupted::end_all).
pub(crate) static STARTED: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Starts a program that ends with this process, with no signal blocked.
///
/// # Panics
/// If it cannot be executed.
pub fn spawn(command: &mut Command) -> Child {
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec only three system calls without allocation are made (sigprocmask,
    // prctl, getppid); all are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
            // Lost if the program changes its user; `Drop` and `end_all` cover that.
            nix::sys::prctl::set_pdeathsig(Some(Signal::SIGTERM))?;
            if nix::unistd::getppid() != parent {
                return Err(std::io::Error::other("the parent is gone"));
            }
            Ok(())
        });
    }
    let child = command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
    STARTED.lock().expect("no panic while locked").push(child.id());
    child
}

/// Its end was seen.
pub(crate) fn forget(pid: u32) {
    STARTED.lock().expect("no panic while locked").retain(|other| *other != pid);
}
