//! What a case has at hand: a place to switch machines on, and questions to the one that runs.

use crate::cases::Found;
use crate::debian::Release;
use crate::machine::{Disk, Form, Machine, Output, Start};
use crate::recipe::image::Daemon;
use crate::world::World;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A clock is right when it is not farther from the truth than this, in seconds.
pub const RIGHT: f64 = 0.010;

/// How long a guest may take from power-on to its agent's first word: a busy host is slow.
const UP: Duration = Duration::from_secs(600);

/// One case on one release with one daemon.
pub struct Stand {
    /// The release.
    pub release: Release,
    /// The daemon on the disk.
    pub daemon: Daemon,
    /// How its machines are run.
    pub form: Form,
    /// The image that its disks begin with.
    pub image: PathBuf,
    /// The network and its servers.
    pub world: World,
    /// Where disks are.
    pub folder: PathBuf,
}

impl Stand {
    /// A new disk.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn disk(&self) -> Result<Disk, String> {
        Disk::fresh(&self.image, &self.folder)
    }

    /// Switches a machine on with a new disk, and waits until it can be spoken to.
    ///
    /// # Errors
    /// It cannot be started, or says nothing.
    pub fn boot(&self, start: &Start) -> Result<Guest<'_>, String> {
        self.boot_from(self.disk()?, start)
    }

    /// The same with a disk that is there.
    ///
    /// # Errors
    /// As there.
    pub fn boot_from(&self, disk: Disk, start: &Start) -> Result<Guest<'_>, String> {
        let mut machine = Machine::power_on(&self.form, &self.world, disk, start)?;
        if start.saved.is_none() {
            machine.wait_until_up(UP)?;
        }
        Ok(Guest { stand: self, machine })
    }

    /// A disk for a second machine.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn second_disk(&self) -> Result<Disk, String> {
        Disk::fresh(&self.image, &self.folder.with_extension("second"))
    }

    /// Switches a machine on without waiting for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn power_on(&self, disk: Disk, start: &Start) -> Result<Machine, String> {
        Machine::power_on(&self.form, &self.world, disk, start)
    }

    /// A source of random numbers that is the same in every run of this case.
    pub fn random(&self) -> XorShift64 {
        XorShift64(0x9e37_79b9_7f4a_7c15 ^ u64::from(self.release.number()))
    }
}

/// Random numbers from a seed (xorshift64*).
pub struct XorShift64(u64);

impl XorShift64 {
    /// From 0 up to, and without, 1.
    pub fn part(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A machine that runs, and what is outside of it.
pub struct Guest<'a> {
    /// What it is for.
    pub stand: &'a Stand,
    /// The machine.
    pub machine: Machine,
}

impl Guest<'_> {
    /// What the script prints.
    ///
    /// # Errors
    /// It ends with another code than 0, or the guest does not answer.
    pub fn read(&mut self, script: &str) -> Result<String, String> {
        self.machine.read(script)
    }

    /// Runs a script, whatever it ends with.
    ///
    /// # Errors
    /// The guest does not answer.
    pub fn shell(&mut self, script: &str) -> Result<Output, String> {
        self.machine.shell(script)
    }

    /// The guest's clock minus the truth, and how much of that the question itself may be, in seconds: the best of
    /// five questions.
    ///
    /// # Errors
    /// The guest does not answer.
    pub fn offset(&mut self) -> Result<(f64, f64), String> {
        let mut best = (0.0, f64::INFINITY);
        for _ in 0..5 {
            let (guest, before, after) = self.machine.clock()?;
            let truth = self.stand.world.truth() as f64 / 1e9 - after.elapsed().as_secs_f64();
            let half = after.duration_since(before).as_secs_f64() / 2.0;
            if half < best.1 {
                best = (guest - (truth - half), half);
            }
        }
        Ok(best)
    }

    /// Waits until the clock is right; gives the seconds since `since`.
    ///
    /// # Errors
    /// It is not within `limit` of `since`.
    pub fn wait_until_right(&mut self, since: Instant, limit: Duration) -> Result<f64, String> {
        loop {
            let (offset, doubt) = self.offset()?;
            if offset.abs() - doubt <= RIGHT && doubt < 0.2 {
                return Ok(since.elapsed().as_secs_f64());
            }
            if since.elapsed() > self.machine.limit(limit) {
                return Err(format!(
                    "after {:.0} s its clock is {offset:+.3} s off{}",
                    since.elapsed().as_secs_f64(),
                    self.last_words()
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until the script ends with 0; gives the seconds since `since`.
    ///
    /// # Errors
    /// It does not within `limit` of `since`; with what it printed last.
    pub fn wait_for(&mut self, script: &str, since: Instant, limit: Duration) -> Result<f64, String> {
        loop {
            let output = self.shell(script)?;
            if output.code == 0 {
                return Ok(since.elapsed().as_secs_f64());
            }
            if since.elapsed() > self.machine.limit(limit) {
                return Err(format!(
                    "after {:.0} s still not: {script}: {}{}",
                    since.elapsed().as_secs_f64(),
                    output.text.trim_end(),
                    self.last_words()
                ));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until the daemon's service is active.
    ///
    /// # Errors
    /// It is not within `limit` of `since`.
    pub fn wait_until_active(&mut self, since: Instant, limit: Duration) -> Result<f64, String> {
        let script = format!("systemctl is-active --quiet {}", self.stand.daemon.unit());
        self.wait_for(&script, since, limit)
    }

    /// Says what the service manager knows of the service.
    ///
    /// # Errors
    /// The guest does not answer.
    pub fn state(&mut self) -> Result<String, String> {
        let script = format!(
            "systemctl show {} -P ActiveState -P SubState -P Result -P ExecMainStatus -P NRestarts | paste -sd ' '",
            self.stand.daemon.unit()
        );
        Ok(self.read(&script)?.trim().to_owned())
    }

    /// The lines that an administrator sees of the service, without their dates.
    ///
    /// # Errors
    /// The guest does not answer.
    pub fn journal(&mut self) -> Result<Vec<String>, String> {
        let script = format!("journalctl -b -u {} -o cat --no-pager", self.stand.daemon.unit());
        Ok(self.read(&script)?.lines().map(str::to_owned).collect())
    }

    /// The process ids of the daemon's processes, each with a word for what it is.
    ///
    /// # Errors
    /// The guest does not answer.
    pub fn processes(&mut self) -> Result<Vec<(String, u32)>, String> {
        let script = format!(
            "for pid in $(cat /sys/fs/cgroup$(systemctl show -P ControlGroup {})/cgroup.procs); do \
             echo $pid $(tr '\\0' ' ' </proc/$pid/cmdline); done",
            self.stand.daemon.unit()
        );
        let text = self.read(&script)?;
        let process = |line: &str| {
            let mut words = line.split_whitespace();
            let pid = words.next()?.parse().ok()?;
            let program = words.next()?.rsplit('/').next()?;
            Some((program.to_owned(), pid))
        };
        Ok(text.lines().filter_map(process).collect())
    }

    /// What a case that went well hands in.
    ///
    /// # Errors
    /// The guest does not answer.
    pub fn found(&mut self, seconds: f64, note: &str) -> Result<Found, String> {
        let state = self.state()?;
        let note = if note.is_empty() { state } else { format!("{note}; service: {state}") };
        Ok(Found { seconds: Some(seconds), note, journal: self.journal()? })
    }

    fn last_words(&mut self) -> String {
        let state = self.state().unwrap_or_default();
        let journal = self.journal().unwrap_or_default();
        let tail = journal[journal.len().saturating_sub(4)..].join(" | ");
        format!("; service: {state}; journal: {tail}")
    }
}
