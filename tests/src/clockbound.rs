//! ClockBound: its daemon, which is built so that it sets no clock and has no leave to, and its clients.

use crate::daemon::spawn;
use crate::netns::Network;
use crate::programs::{Place, find_peer};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The reason for a skipped test without the clients.
pub const NO_CLIENTS: &str = "ClockBound's clients are missing; `cargo xtask peers --more` builds them";

/// What a client was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// CLOCK_REALTIME before it asked, nanoseconds since 1970.
    pub before: i64,
    /// Not before, nanoseconds since 1970.
    pub earliest: i64,
    /// Not after.
    pub latest: i64,
    /// In ClockBound's words.
    pub status: String,
    /// CLOCK_REALTIME afterwards.
    pub after: i64,
}

impl Answer {
    /// It promises that true time is in the interval.
    pub fn is_promise(&self) -> bool {
        matches!(self.status.as_str(), "Synchronized" | "FreeRunning")
    }
}

/// A client, which asks as often as it was told to for each line that it is given, and once at its start; killed when dropped.
pub struct Client {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Client {
    /// Of version `3` or `2`, on that segment, `count` questions at a time. `None` if it was not built.
    ///
    /// # Panics
    /// If it cannot be executed.
    pub fn start(version: &str, segment: &Path, count: u32, vmclock: Option<&Path>) -> Option<Self> {
        let mut command = Command::new(find_peer("clockbound-clients")?);
        command.arg(version).arg(segment).arg(count.to_string()).args(vmclock);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(&mut command);
        let (input, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        Some(Self { child, input, output: BufReader::new(output) })
    }

    /// Its next answers, and how it failed instead of them; `None`: it has ended.
    pub fn answers(&mut self) -> Option<Vec<Result<Answer, String>>> {
        let mut answers = Vec::new();
        loop {
            let mut line = String::new();
            self.output.read_line(&mut line).ok().filter(|length| *length > 0)?;
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |word: &str| word.parse::<i64>().ok();
            match words.as_slice() {
                ["end"] => return Some(answers),
                [before, earliest, latest, status, after] => answers.push(Ok(Answer {
                    before: number(before)?,
                    earliest: number(earliest)?,
                    latest: number(latest)?,
                    status: (*status).to_owned(),
                    after: number(after)?,
                })),
                _ => answers.push(Err(line.trim_end().to_owned())),
            }
        }
    }

    /// Asks again.
    pub fn ask(&mut self) -> Option<Vec<Result<Answer, String>>> {
        self.input.write_all(b"\n").ok()?;
        self.answers()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// ClockBound's daemon in that network, in files of its own; killed when dropped.
pub struct Daemon {
    child: Child,
    place: Place,
}

impl Daemon {
    /// With these NTP servers, at port 123. With a page of vmclock it is made to believe that it runs on Amazon's machines, where alone
    /// it reads that; it then has 169.254.169.123 for a source too. `None` if it was not built.
    ///
    /// # Panics
    /// If its files cannot be written.
    pub fn start(network: &Network, servers: &[IpAddr], vmclock: Option<&Path>) -> Option<Self> {
        let program = find_peer("clockbound")?;
        let place = Place::new("clockbound");
        let run = place.join("run");
        fs::create_dir(&run).expect("a new folder can be written");
        let servers: String =
            servers.iter().map(|server| format!("[[sources.ntp]]\nserver = \"{server}\"\n")).collect();
        fs::write(place.join("clockbound.toml"), servers).expect("a new folder can be written");
        // What it reads and writes has fixed names. It may not set a clock, beside that it was built not to.
        let mut script = format!(
            "mount -t tmpfs none /run && mkdir /run/clockbound && mount --bind {} /run/clockbound",
            run.display()
        );
        if let Some(page) = vmclock {
            script += &format!(
                " && mount -t tmpfs none /sys/devices/virtual && mkdir -p /sys/devices/virtual/dmi/id \
                 && echo Amazon EC2 > /sys/devices/virtual/dmi/id/sys_vendor \
                 && echo m5.large > /sys/devices/virtual/dmi/id/product_name \
                 && mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 \
                 && : > /dev/vmclock0 && mount --bind {} /dev/vmclock0",
                page.display()
            );
        }
        script += &format!(
            " && exec setpriv --bounding-set=-sys_time --inh-caps=-sys_time {} --configuration {}",
            program.display(),
            place.join("clockbound.toml").display()
        );
        let [enter, which, end] = network.entrance();
        let mut command = Command::new(enter);
        command.args([&which, &end, "unshare", "--mount", "--", "sh", "-c", &script]);
        let log = fs::File::create(place.join("log")).expect("a new folder can be written");
        command.stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file can be shared")).stderr(log);
        Some(Self { child: spawn(&mut command), place })
    }

    /// Its segment of this name, `shm0` or `shm1`.
    pub fn segment(&self, name: &str) -> PathBuf {
        self.place.join("run").join(name)
    }

    /// Its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.place.join("log")).unwrap_or_default()
    }

    /// Ends it at once, as `kill -9` does; its segments stay.
    ///
    /// # Panics
    /// If it is gone already.
    pub fn kill(&mut self) {
        assert_eq!(self.child.try_wait().expect("a child"), None, "{}", self.log());
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the kernel keeps time by the counter that ClockBound's clients read.
pub fn counts_with_the_kernel() -> bool {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    fs::read_to_string(path).is_ok_and(|name| ["tsc", "arch_sys_counter"].contains(&name.trim()))
}
