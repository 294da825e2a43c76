//! `clock_guard WORDS`: puts the kernel's clock back (`bench::kernel_clock::Found`) when standard input ends, that is, when
//! the test that started it ends, in whatever way. Lines on standard input are the process ids of daemons that steer the
//! clock; a line `over` before the end says that none is left. Without it the guard ends them first: a daemon that has changed
//! its user does not die with the test that started it.

use bench::kernel_clock::Found;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::ExitCode;
use std::time::Duration;

/// Whether this is a daemon of ours still: a number may have passed to another process.
fn is_daemon(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("truechimer"))
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(found) = Found::from_words(&words) else {
        eprintln!("clock_guard: not a clock as found: {words:?}");
        return ExitCode::from(64);
    };
    let said: Vec<String> = std::io::stdin().lines().map_while(Result::ok).collect();
    let mut quiet = 5;
    if said.last().is_none_or(|last| last != "over") {
        quiet = 0;
        for pid in said.iter().filter_map(|line| line.parse().ok()).filter(|pid| is_daemon(*pid)) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    found.put_back();
    for _ in 0..30 {
        if quiet == 5 {
            return ExitCode::SUCCESS;
        }
        std::thread::sleep(Duration::from_secs(1));
        quiet += 1;
        if !found.is_back() {
            found.put_back();
            quiet = 0;
        }
    }
    ExitCode::FAILURE
}
