//! `pretend PROGRAM ARGUMENT…`: runs a program that believes it can set the clock. Each call that would set it is
//! answered with success and has no effect: other implementations can be tested as clients, on a clock that
//! they cannot change, even as root.

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};

/// All calls that can change the clock on 64 bits; 32-bit programs (another architecture) are killed immediately.
const SETTERS: [libc::c_long; 4] =
    [libc::SYS_clock_adjtime, libc::SYS_adjtimex, libc::SYS_clock_settime, libc::SYS_settimeofday];

fn main() {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else { fail("pretend PROGRAM ARGUMENT…") };
    if let Err(error) = forbid() {
        fail(&format!("pretend: {error}"));
    }
    let error = Command::new(&program).args(words).exec();
    fail(&format!("pretend: {}: {error}", program.display()));
}

fn forbid() -> Result<(), Box<dyn std::error::Error>> {
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
        SETTERS.iter().map(|call| (*call, Vec::new())).collect();
    // An "error" of 0 is success, without the call being made.
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(0),
        std::env::consts::ARCH.try_into()?,
    )?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)?;
    Ok(())
}

fn fail(text: &str) -> ! {
    eprintln!("{text}");
    exit(2)
}
