//! Becomes the program that its arguments name, which, with all that it starts, has no vdso: the C library then reads
//! clocks by system calls, as on a host whose clock source cannot be read in user space. As root, on x86_64.
//!
//! `check` as the only argument says by its exit code (0) that this process has none.

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let ended = match &words[1..] {
        [word] if word == "check" => check(),
        [word, pid] if word == "trace" => trace(pid),
        _ => become_program(&words),
    };
    if let Err(error) = ended {
        eprintln!("without_vdso: {error}");
        std::process::exit(70);
    }
}

fn check() -> std::io::Result<()> {
    // SAFETY: the call takes a number and reads what this process was given at its start.
    match unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } {
        0 => Ok(()),
        _ => Err(std::io::Error::other("there is a vdso")),
    }
}

#[cfg(target_arch = "x86_64")]
fn trace(pid: &str) -> std::io::Result<()> {
    bench::tracer::take_vdso_away(pid.parse().map_err(std::io::Error::other)?)
}

#[cfg(not(target_arch = "x86_64"))]
fn trace(_: &str) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Has this process traced by one that is not its child, which the program would not know, and executes it.
fn become_program(words: &[String]) -> std::io::Result<()> {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};
    let own = std::process::id().to_string();
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$0\" trace \"$1\" &", &words[0], &own]).stdin(Stdio::null()).stdout(Stdio::null());
    shell.status()?;
    let is_traced = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        (!status.contains("\nTracerPid:\t0\n")).then_some(())
    };
    bench::programs::wait_for(std::time::Duration::from_secs(10), is_traced)
        .ok_or_else(|| std::io::Error::other("this process cannot be traced"))?;
    let mut command = Command::new(words.get(1).ok_or_else(|| std::io::Error::other("no program is named"))?);
    Err(command.args(&words[2..]).exec())
}
