//! A guest that runs: its power switch, its disk, and a shell in it.

mod link;
mod qemu;
mod uml;

pub use link::{MACHINE_ENDED, Output};

use crate::architecture::Architecture;
use crate::world::World;
use link::Link;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

/// How a guest is run.
#[derive(Clone, Debug)]
pub enum Form {
    /// Linux as a program: quick, with the host's clock source.
    Uml {
        /// The kernel.
        program: PathBuf,
    },
    /// A whole emulated machine: slow, with a real-time clock and a pause button.
    Qemu {
        /// The machine's.
        architecture: Architecture,
        /// The guest's kernel.
        kernel: PathBuf,
        /// What finds its disk.
        initrd: PathBuf,
    },
}

impl Form {
    /// How many times longer than others its guests may take, where a case or a question gives up.
    fn patience(&self) -> u32 {
        match self {
            Self::Qemu { architecture: Architecture::Arm64, .. } => 5,
            Self::Qemu { .. } | Self::Uml { .. } => 1,
        }
    }
}

/// What a guest finds when its power is switched on.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Where its real-time clock stands, in seconds since 1970; none: at the host's time.
    pub clock: Option<i64>,
    /// Words for its kernel's command line.
    pub words: Vec<String>,
    /// Begin from this saved state.
    pub saved: Option<PathBuf>,
    /// It is the second guest of its world, 10.77.0.3.
    pub second: bool,
}

impl Start {
    /// As ever, with the real-time clock at these seconds since 1970.
    pub fn at(seconds: i64) -> Self {
        Self { clock: Some(seconds), ..Self::default() }
    }

    /// The last octet of its addresses.
    fn number(&self) -> u8 {
        if self.second { 3 } else { 2 }
    }
}

/// A guest's disk: an image that never changes, and what the guest changed.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    folder: PathBuf,
}

impl Disk {
    /// As the image is; what is written goes into `folder`, which is made anew.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn fresh(image: &Path, folder: &Path) -> Result<Self, String> {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self { image: image.to_owned(), folder: folder.to_owned() })
    }

    fn changes(&self) -> PathBuf {
        self.folder.join("changes")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if std::env::var_os("TRUECHIMER_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A guest under power. Dropped, it loses it.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    link: Link,
    disk: Option<Disk>,
    monitor: Option<qemu::Monitor>,
    started: Instant,
    console: PathBuf,
    patience: u32,
}

impl Machine {
    /// Switches the power on.
    ///
    /// # Errors
    /// The program of the machine cannot be started.
    pub fn power_on(form: &Form, world: &World, disk: Disk, start: &Start) -> Result<Self, String> {
        let started = Instant::now();
        let console = disk.folder.join("console");
        let (child, link, monitor) = match form {
            Form::Uml { program } => uml::power_on(program, world, &disk, start, &console)?,
            Form::Qemu { architecture, kernel, initrd } => {
                qemu::power_on(*architecture, (kernel, initrd), world, &disk, start, &console)?
            }
        };
        Ok(Self { child, link, disk: Some(disk), monitor, started, console, patience: form.patience() })
    }

    /// Waits until the guest's agent speaks; gives the time since the power was switched on.
    ///
    /// # Errors
    /// It does not within `limit`; with the end of what the console shows.
    pub fn wait_until_up(&mut self, limit: Duration) -> Result<Duration, String> {
        self.link.wait_until_up(self.limit(limit)).map_err(|error| format!("{error}\n{}", self.console()))?;
        Ok(self.started.elapsed())
    }

    /// This limit, for a machine of this form.
    pub fn limit(&self, limit: Duration) -> Duration {
        limit * self.patience
    }

    /// When the power was switched on.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Runs a script in the guest, for at most `limit`.
    ///
    /// # Errors
    /// The guest does not answer.
    pub fn shell_within(&mut self, limit: Duration, script: &str) -> Result<Output, String> {
        self.link.run(script, self.limit(limit)).map_err(|error| format!("{error}\n{}", self.console()))
    }

    /// The same with a minute and a half, which is long for a command that does not wait.
    ///
    /// # Errors
    /// As there.
    pub fn shell(&mut self, script: &str) -> Result<Output, String> {
        self.shell_within(Duration::from_secs(90), script)
    }

    /// What the script prints.
    ///
    /// # Errors
    /// As there; also when the script ends with another code than 0.
    pub fn read(&mut self, script: &str) -> Result<String, String> {
        let output = self.shell(script)?;
        if output.code != 0 {
            return Err(format!("`{script}` ended with {}: {}", output.code, output.text.trim_end()));
        }
        Ok(output.text)
    }

    /// The guest's clock, and the instants between which it was read.
    ///
    /// # Errors
    /// The guest does not answer.
    pub fn clock(&mut self) -> Result<(f64, Instant, Instant), String> {
        self.link.clock()
    }

    /// Cuts the power; gives the disk as it is then.
    ///
    /// # Errors
    /// None that is known; the disk was given before.
    pub fn cut_power(mut self) -> Result<Disk, String> {
        self.end();
        self.disk.take().ok_or_else(|| "the disk is gone".into())
    }

    /// Shuts down in order; gives the disk.
    ///
    /// # Errors
    /// It does not end within `limit`.
    pub fn shut_down(mut self, limit: Duration) -> Result<Disk, String> {
        let _ = self.link.send("systemctl --no-block poweroff", Duration::from_secs(30));
        let deadline = Instant::now() + self.limit(limit);
        while Instant::now() < deadline {
            if self.child.try_wait().map_err(|error| error.to_string())?.is_some() {
                return self.cut_power();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("it did not shut down within {} s\n{}", limit.as_secs(), self.console()))
    }

    /// Stops it where it is: its clock stands still if the form has a clock of its own.
    ///
    /// # Errors
    /// The monitor's.
    pub fn pause(&mut self) -> Result<(), String> {
        match &mut self.monitor {
            Some(monitor) => monitor.execute("stop", "{}").map(drop),
            None => self.signal(Signal::SIGSTOP),
        }
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// The monitor's.
    pub fn resume(&mut self) -> Result<(), String> {
        match &mut self.monitor {
            Some(monitor) => monitor.execute("cont", "{}").map(drop),
            None => self.signal(Signal::SIGCONT),
        }
    }

    /// Saves its state into a file and ends it; gives the disk, which the saved state goes on with.
    ///
    /// # Errors
    /// The monitor's; a form without a monitor cannot.
    pub fn save(mut self, file: &Path) -> Result<Disk, String> {
        let monitor = self.monitor.as_mut().ok_or("this form of machine has no state to save")?;
        monitor.save(file)?;
        self.cut_power()
    }

    /// The last lines of the console.
    pub fn console(&self) -> String {
        let text = fs::read(&self.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        format!("console: {}", lines[lines.len().saturating_sub(6)..].join(" | "))
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        killpg(self.group(), signal).map_err(|errno| format!("the machine's processes: {}", errno.desc()))
    }

    fn group(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process id fits"))
    }

    fn end(&mut self) {
        // The group was made for this machine. Its first process is waited for below and nowhere else, so its number
        // belongs to no other guest.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = self.signal(Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
    }
}
