//! A guest: user-mode Linux whose time is simulated, from its start to its outcome.
//!
//! Its CPU is infinitely fast (`time-travel=inf-cpu`): simulated time passes only while all processes wait, and by 256 ns
//! with each reading of the clock. So neither the host's load nor its speed is in the figures.

use super::daemons::Daemon;
use super::outcome::{self, Outcome};
use super::truth::beginning;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// Kernel, built for `ARCH=um` with simulated time.
    pub kernel: &'a Path,
    /// The guest's file system.
    pub root: &'a Path,
    /// Where the kernel may keep its files, a folder that is made and removed.
    pub base: &'a Path,
    /// The day's name.
    pub day: &'a str,
    /// Of oscillator and network.
    pub seed: u64,
    /// Under test.
    pub daemon: Daemon,
    /// How much of the day.
    pub hours: f64,
    /// Real time after which the guest is ended.
    pub limit: Duration,
    /// Whether the daemon's log comes to the host's standard error.
    pub tell: bool,
}

/// A guest that runs, with all its processes; they end with their owner.
struct Guest {
    child: Child,
    folder: PathBuf,
}

impl Guest {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Whether its kernel has ended; it is not waited for, so that its number stays its own.
    fn has_ended(&self) -> Result<bool, String> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let status = waitid(Id::Pid(self.pid()), flags).map_err(|errno| errno.desc().to_owned())?;
        Ok(status != WaitStatus::StillAlive)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Only what the guest's kernel started is in its group, and no other process can have the number before the wait.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Runs a day.
///
/// # Errors
/// If the kernel cannot be executed, the guest tells no outcome, or the limit is reached.
pub fn run(order: &Order<'_>) -> Result<Outcome, String> {
    let what = format!("{} with {}, seed {}", order.day, order.daemon, order.seed);
    let name = format!("uml-{}-{}-{}-{}", std::process::id(), order.day, order.daemon, order.seed);
    let folder = order.base.join(name);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let started = Instant::now();
    let mut guest = Guest { child: start(order, &folder)?, folder };
    let mut output = guest.child.stdout.take().expect("it was asked for");
    let reader = std::thread::spawn(move || {
        let mut octets = Vec::new();
        let _ = output.read_to_end(&mut octets);
        String::from_utf8_lossy(&octets).into_owned()
    });
    let mut in_time = true;
    while !guest.has_ended()? {
        in_time = started.elapsed() < order.limit;
        if !in_time {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // What the kernel left running would hold the console open.
    drop(guest);
    let console = reader.join().unwrap_or_default();
    if order.tell {
        eprint!("{console}");
    }
    if !in_time {
        let tail: Vec<&str> = console.lines().rev().take(5).collect();
        let seconds = order.limit.as_secs();
        return Err(format!("{what}: ended after {seconds} s, it had not finished; last lines: {tail:?}"));
    }
    let mut outcome = outcome::find(&console).map_err(|error| format!("{what}: {error}"))?;
    outcome.wall_s = started.elapsed().as_secs_f64();
    Ok(outcome)
}

fn start(order: &Order<'_>, folder: &Path) -> Result<Child, String> {
    let begin = beginning();
    // Killed with the thread that waits for it, however that ends.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(order.kernel)
        .arg("mem=128M")
        .arg("time-travel=inf-cpu")
        .arg(format!("time-travel-start={begin}"))
        .args(["root=/dev/root", "rootfstype=hostfs", "ro"])
        .arg(format!("rootflags={}", order.root.display()))
        .args(["con0=null,fd:1", "con=null", "ssl=null", "quiet", "init=/day"])
        .arg(format!("uml_dir={}", folder.display()))
        .arg(format!("BEGIN={begin}"))
        .arg(format!("DAY={}", order.day))
        .arg(format!("SEED={}", order.seed))
        .arg(format!("DAEMON={}", order.daemon))
        .arg(format!("HOURS={}", order.hours))
        // The guest's memory is a file there.
        .env("TMPDIR", "/dev/shm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    if order.tell {
        command.arg("TELL=1");
    }
    command.spawn().map_err(|error| format!("setpriv {}: {error}", order.kernel.display()))
}
