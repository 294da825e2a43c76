//! Starting the probe, and what became of it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

pub const NOBODY: u32 = 65_534;

/// The probe, open: another user may not be let through to where it was built.
static PROBE: LazyLock<File> =
    LazyLock::new(|| File::open(env!("CARGO_BIN_EXE_probe")).expect("the probe is built"));

pub fn program() -> String {
    format!("/proc/self/fd/{}", PROBE.as_raw_fd())
}

/// Who starts the process: root, and it becomes somebody; or somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    AsRoot,
    WithoutRoot,
}

pub fn starts() -> Vec<Start> {
    if bench::is_root() {
        vec![Start::AsRoot, Start::WithoutRoot]
    } else {
        bench::skip("the half that starts as root: run the tests as root too");
        vec![Start::WithoutRoot]
    }
}

pub fn probe(start: Start, words: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.env_clear().args(words).stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
    match start {
        Start::AsRoot => {
            command.args([format!("uid={NOBODY}"), format!("gid={NOBODY}")]);
        }
        Start::WithoutRoot if bench::is_root() => {
            command.uid(NOBODY).gid(NOBODY);
        }
        Start::WithoutRoot => {}
    }
    command
}

/// How a probe ended.
#[derive(Debug)]
pub struct Ending {
    pub confined: bool,
    pub signal: Option<i32>,
    pub code: Option<i32>,
    /// Result and errno of the thing tried, where it came back.
    pub returned: Option<(i64, i32)>,
    pub text: String,
}

impl Ending {
    pub fn was_killed_by_the_filter(&self) -> bool {
        self.confined && self.signal == Some(libc::SIGSYS) && self.returned.is_none()
    }

    pub fn fell_short_of(&self, part: &str) -> bool {
        self.text.contains(&format!(" {part}=true"))
    }
}

pub fn run(mut command: Command) -> Ending {
    let output = command.output().expect("the probe starts");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let returned = text.lines().find_map(|line| {
        let mut numbers = line.strip_prefix("returned ")?.split(' ');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    });
    let confined = text.contains("confined ");
    Ending { confined, signal: output.status.signal(), code: output.status.code(), returned, text }
}

pub fn try_in(start: Start, role: &str, case: &str) -> Ending {
    run(probe(start, &[&format!("role={role}"), &format!("case={case}")]))
}

/// An ordinary process of the user that the probes become or are.
pub struct Victim(pub Child);

impl Victim {
    pub fn start() -> Self {
        let mut command = Command::new("sleep");
        command.arg("60").stdout(Stdio::null());
        if bench::is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let victim = Self(command.spawn().expect("sleep starts"));
        // A process that has just been forked is not yet the program.
        let name = format!("/proc/{}/comm", victim.0.id());
        while std::fs::read_to_string(&name).is_ok_and(|name| name != "sleep\n") {
            std::thread::yield_now();
        }
        victim
    }

    pub fn word(&self) -> String {
        format!("victim={}", self.0.id())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A probe that is confined and waits, and the other end of its standard input.
pub fn holding(start: Start, role: &str) -> Child {
    let mut command = probe(start, &[&format!("role={role}"), "case=hold"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the probe starts");
    let mut line = String::new();
    // The first line is its word that it is confined.
    BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("it says so");
    assert!(line.starts_with("confined "), "{line}");
    child
}

pub fn release(mut child: Child) {
    drop(child.stdin.take());
    child.wait().expect("it is ours");
}
