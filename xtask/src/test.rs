//! Everything that a contribution must pass, in two runs: all tests without any power over the clock, several programs at
//! once, then, as root, the few that need the kernel's clock, one at a time. For another C library (`--target`) the same,
//! but for the tools of this machine.

mod programs;

use crate::cargo::{self, cargo, run as run_command, target};
use bench::process::SYS_TIME;
use bench::programs::{find_peer, has_ipv6};
use caps::{CapSet, Capability};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// The tests that need power over the clock: a test program of the package truechimer-tests, and a part of the names
/// of its tests (all of them if it is empty). The first one moves the kernel's clock, by a few milliseconds, and
/// restores it; the others examine a process that could.
const WITH_CLOCK: [(&str, &str); 2] =
    [("kernel_clock", ""), ("escapes", "a_process_that_keeps_the_clock_holds_one_capability")];

/// The packages that a run for another target leaves out, each with the reason.
const OF_THE_HOST: [(&str, &str); 2] = [
    (
        "truechimer-rig",
        "makes machines with this machine's tools; `cargo xtask --target TRIPLE rig` has them try the package",
    ),
    ("xtask", "builds and starts what is for the target, and is itself for the machine that does"),
];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// Runs the tests, or those whose names contain `filter`.
///
/// # Errors
/// If anything fails, or does not compile, or nothing was run.
pub fn run(filter: Option<&str>) -> Result<(), String> {
    let left_out = left_out(cargo::triple().as_deref(), &cargo::host()?)?;
    let moves_the_clock = announce();
    let mut packages = vec!["--workspace"];
    packages.extend(left_out.iter().flat_map(|(package, _)| ["--exclude", package]));
    // Together: for programs alone cargo would take other features of crates, and compile nearly everything twice.
    run_command(cargo().arg("build").args(&packages).args(["--bins", "--tests"]))?;
    let notes = target().join("skipped");
    let _ = std::fs::remove_file(&notes);

    let compiled = programs::compile(&packages)?;
    let at_once = std::thread::available_parallelism().map_or(1, usize::from) + 1;
    let mut variables = vec![("TRUECHIMER_SKIPPED", notes.as_os_str())];
    if moves_the_clock {
        variables.push(("TRUECHIMER_REAL_CLOCK", OsStr::new("later")));
    }
    let mut examples = cargo();
    examples.arg("test").args(&packages).args(["--doc", "--no-fail-fast"]).args(filter);
    let (mut tally, mut in_order) = without_clock(|| {
        let (mut tally, in_order) = programs::run(&compiled, filter, &variables, at_once)?;
        let (more, examples_in_order) = count(&mut examples)?;
        tally.add(more);
        Ok((tally, in_order && examples_in_order))
    })?;

    if moves_the_clock {
        println!("\nthe kernel's clock, one test at a time, by a few milliseconds, put back afterwards");
        forget_second_runs(&notes);
        for (program, part) in WITH_CLOCK {
            let mut clock = cargo();
            clock.args(["test", "--package", "truechimer-tests", "--test", program, "--"]);
            clock.arg("--test-threads=1").args(Some(part).filter(|part| !part.is_empty()).or(filter));
            clock.env("TRUECHIMER_SKIPPED", &notes).env("TRUECHIMER_REAL_CLOCK", "1");
            let (second, second_in_order) = count(&mut clock)?;
            tally.add(second);
            in_order &= second_in_order;
        }
    }
    tally = settle(tally, &notes);
    if !left_out.is_empty() {
        println!("\nleft out, of this machine whatever is built for:");
    }
    for (package, why) in left_out {
        println!("  {package}: {why}");
    }
    println!("\n{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
    if tally.failed > 0 || !in_order {
        return Err("not everything passed".into());
    }
    if tally.passed == 0 {
        return Err("no test was run".into());
    }
    Ok(())
}

/// What of [`OF_THE_HOST`] a run for this target leaves out.
fn left_out(triple: Option<&str>, host: &str) -> Result<&'static [(&'static str, &'static str)], String> {
    let architecture = |triple: &str| triple.split('-').next().map(str::to_owned);
    match triple {
        None => Ok(&[]),
        Some(triple) if triple == host => Ok(&[]),
        Some(triple) if architecture(triple) == architecture(host) => Ok(&OF_THE_HOST),
        Some(triple) => Err(format!(
            "programs for {triple} do not run on this machine ({host}); `cargo xtask --target {triple} rig` tries the \
             package on emulated ones"
        )),
    }
}

/// Prints what cannot be run here and why; returns whether this run may move the kernel's clock.
fn announce() -> bool {
    let root = bench::is_root();
    let mut missing = Vec::new();
    if !root {
        missing.push("not root: nothing that changes users, and not the kernel's clock".to_owned());
    }
    if find_peer("chronyd").is_none() {
        missing.push("no chronyd: interoperability with it (`cargo xtask peers` fetches it)".to_owned());
    }
    if find_peer("ntpd").is_none() {
        missing.push("no ntpd: interoperability with NTPsec (`cargo xtask peers` fetches it)".to_owned());
    }
    if !has_ipv6() {
        missing.push("no IPv6 on the loopback interface: what needs it".to_owned());
    }
    let holds =
        bench::process::Process::read(std::process::id()).is_some_and(|me| me.effective & SYS_TIME != 0);
    if root && !holds {
        missing.push("root, but without CAP_SYS_TIME (a container?): not the kernel's clock".to_owned());
    }
    let moves = root && holds && std::env::var("TRUECHIMER_REAL_CLOCK").as_deref() != Ok("0");
    if root && holds && !moves {
        missing.push("TRUECHIMER_REAL_CLOCK=0: not the kernel's clock".to_owned());
    }
    for line in &missing {
        println!("skipping: {line}");
    }
    moves
}

/// Runs `body` in a thread that has given up CAP_SYS_TIME for good, with everything that it starts. Capabilities
/// belong to threads, so the rest of this process keeps it.
fn without_clock<T: Send>(body: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    let guarded = move || {
        let clock = Capability::CAP_SYS_TIME;
        // Only root needs it: for others an exec restores nothing.
        if bench::is_root() {
            for set in
                [CapSet::Bounding, CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted]
            {
                caps::drop(None, set, clock).map_err(|error| {
                    format!("CAP_SYS_TIME cannot be given up ({error}): the tests do not run with power over the clock")
                })?;
            }
        }
        body()
    };
    std::thread::scope(|scope| {
        scope.spawn(guarded).join().unwrap_or_else(|_| Err("the test run panicked".into()))
    })
}

/// Runs a cargo test, shows its output, and sums up its closing lines.
fn count(command: &mut Command) -> Result<(Tally, bool), String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cargo test cannot be started: {error}"))?;
    let mut tally = Tally::default();
    for line in BufReader::new(child.stdout.take().expect("was piped")).lines() {
        let line = line.map_err(|error| format!("cargo test printed something unreadable: {error}"))?;
        println!("{line}");
        if let Some(one) = closing_line(&line) {
            tally.add(one);
        }
    }
    let status = child.wait().map_err(|error| format!("cargo test: {error}"))?;
    Ok((tally, status.success()))
}

/// `test result: ok. 5 passed; 0 failed; 1 ignored; …`
fn closing_line(line: &str) -> Option<Tally> {
    let rest = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let number =
        |word: &str| rest.split("; ").find_map(|part| part.strip_suffix(word)?.trim().parse::<u64>().ok());
    Some(Tally { passed: number("passed")?, failed: number("failed")?, skipped: number("ignored")? })
}

/// A test that skipped itself in the first run and runs again in the second does not count as skipped.
fn forget_second_runs(notes: &Path) {
    let Ok(text) = std::fs::read_to_string(notes) else { return };
    let again = |line: &str| WITH_CLOCK.iter().any(|(_, part)| !part.is_empty() && line.contains(part));
    let turned: String = text
        .lines()
        .map(|line| match line.strip_prefix("skipped\t") {
            Some(rest) if again(line) => format!("later\t{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    if let Err(error) = std::fs::write(notes, turned) {
        eprintln!("{}: {error}; a test may be counted as skipped that was run", notes.display());
    }
}

/// libtest counts a test that skipped itself as passed; the notes say which ones those were.
fn settle(tally: Tally, notes: &Path) -> Tally {
    let notes = std::fs::read_to_string(notes).unwrap_or_default();
    let mut settled = tally;
    let mut first = true;
    for note in notes.lines() {
        let mut parts = note.split('\t');
        let kind = parts.next().unwrap_or_default();
        settled.passed = settled.passed.saturating_sub(1);
        if kind == "skipped" {
            settled.skipped += 1;
            if first {
                println!("\nskipped:");
                first = false;
            }
            println!("  {}: {}", parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        }
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_of_libtest_is_understood() {
        let line = "test result: FAILED. 12 passed; 3 failed; 4 ignored; 0 measured; 1 filtered out; finished in 0.5s";
        assert_eq!(closing_line(line), Some(Tally { passed: 12, failed: 3, skipped: 4 }));
        assert_eq!(closing_line("test result_of_something ... ok"), None);
    }

    #[test]
    fn what_builds_and_starts_is_left_out_for_another_c_library_alone() {
        let host = "x86_64-unknown-linux-gnu";
        assert_eq!(left_out(None, host), Ok(&[][..]));
        assert_eq!(left_out(Some(host), host), Ok(&[][..]));
        let left: Vec<_> =
            left_out(Some("x86_64-unknown-linux-musl"), host).unwrap().iter().map(|one| one.0).collect();
        assert_eq!(left, ["truechimer-rig", "xtask"]);
        assert!(left_out(Some("aarch64-unknown-linux-gnu"), host).unwrap_err().contains("rig"));
    }

    #[test]
    fn a_test_that_skipped_itself_did_not_pass() {
        let place = bench::programs::Place::new("notes");
        std::fs::write(place.join("notes"), "skipped\ta\tno root\nlater\tb\tx\n").unwrap();
        let tally = settle(Tally { passed: 10, failed: 0, skipped: 1 }, &place.join("notes"));
        assert_eq!(tally, Tally { passed: 8, failed: 0, skipped: 2 });
    }
}
