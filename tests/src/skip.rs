//! How a test reports that it cannot run here. libtest has no skipping at run time, so the test passes, and
//! a line in the file named by `TRUECHIMER_SKIPPED` makes `cargo xtask test` count it as skipped.

use std::io::Write;

/// Records that the running test was skipped, and why; the test then returns. The reason names the remedy.
pub fn skip(reason: &str) {
    note("skipped", reason);
}

/// Records that the running test is left for a later run of the same `cargo xtask test`.
pub fn left_for_later(reason: &str) {
    note("later", reason);
}

fn note(kind: &str, reason: &str) {
    // libtest names the thread of a test after the test.
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    eprintln!("{kind}: {name}: {reason}");
    let Some(path) = std::env::var_os("TRUECHIMER_SKIPPED") else { return };
    if let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path) {
        // One write for each line: test programs append concurrently.
        let line = format!("{kind}\t{name}\t{reason}\n");
        file.write_all(line.as_bytes()).expect("the file of skipped tests can be written");
    }
}

/// Whether the test runs as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether neither this process nor anything that it starts can set the host's clock: CAP_SYS_TIME (25) is
/// in no set that survives an exec.
pub fn lacks_clock_control() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let has = |set: &str| {
        crate::process::hexadecimal(&status, set).is_none_or(|capabilities| capabilities & (1 << 25) != 0)
    };
    !has("CapPrm") && (!has("CapBnd") || !is_root())
}
