//! The end of what this process started, when it is interrupted.

use crate::process::state_of;
use crate::programs::wait_for;
use crate::started::STARTED;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use std::time::Duration;

/// Ends everything that this process started, then exits with this code. For an interrupt.
pub fn end_all(code: i32) -> ! {
    let all = STARTED.lock().expect("no panic while locked").clone();
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        for pid in &all {
            let _ = kill(Pid::from_raw(*pid as i32), signal);
        }
        let is_over = |pid: &u32| matches!(state_of(*pid), None | Some('Z'));
        if wait_for(Duration::from_secs(2), || all.iter().all(is_over).then_some(())).is_some() {
            break;
        }
    }
    crate::programs::remove_places();
    std::process::exit(code);
}

/// From now on an interrupt (Ctrl-C, SIGTERM) ends what this process started, and then this process. Call it
/// before any thread is created.
///
/// # Panics
/// If the kernel refuses a signal mask.
pub fn end_all_when_interrupted() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGHUP);
    signals.thread_block().expect("a signal mask can be set");
    std::thread::spawn(move || {
        let signal = signals.wait().expect("a blocked signal can be waited for");
        eprintln!("\ninterrupted: ending what was started");
        end_all(128 + signal as i32);
    });
}
