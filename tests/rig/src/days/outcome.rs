//! What a day was like: counted in the guest, told on its console, read on the host.

use serde::{Deserialize, Serialize};

/// Before the JSON on a line of the console, where the kernel and others write too.
pub const MARK: &str = "outcome: ";

/// One day of one daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The day's name.
    pub day: String,
    /// Of oscillator and network.
    pub seed: u64,
    /// `truechimer` or `chrony`.
    pub daemon: String,
    /// What the daemon calls itself.
    pub version: String,
    /// True time that passed, s.
    pub simulated_s: f64,
    /// From the first second on.
    pub whole: Errors,
    /// From the scenario's `from` on.
    pub settled: Errors,
    /// First second with an error below the scenario's `first`; none: there was none.
    pub first_s: Option<f64>,
    /// Queries that came to each server's network, lost ones too.
    pub packets: Vec<u64>,
    /// Replies given.
    pub replies: u64,
    /// How much later than drawn a reply was handed over, on average, µs; its stamps account for it.
    pub late_us: f64,
    /// How the daemon ended, where it did not run to the end of the day.
    pub ended: Option<String>,
    /// The daemon's processes at the end, as the kernel sees them.
    #[serde(default)]
    pub processes: Vec<Process>,
    /// Real time that it took, s; known to the host only.
    #[serde(default)]
    pub wall_s: f64,
}

/// A process of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its first fifteen letters.
    pub name: String,
    /// Its user.
    pub uid: u32,
    /// Whether a filter of system calls is in force.
    pub filtered: bool,
    /// Whether it cannot gain privileges.
    pub no_new_privs: bool,
}

impl Process {
    /// From `/proc/PID/status`; `None` for a thread of the kernel.
    pub fn read(status: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()
        };
        field("VmSize")?;
        Some(Self {
            name: field("Name")?.to_owned(),
            uid: field("Uid")?.parse().ok()?,
            filtered: field("Seccomp") == Some("2"),
            no_new_privs: field("NoNewPrivs") == Some("1"),
        })
    }
}

/// The clock's errors over a part of a day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// Root mean square of clock minus true time, µs.
    pub time_rms_us: f64,
    /// Mean of clock minus true time, µs.
    pub mean_us: f64,
    /// Largest, µs.
    pub worst_us: f64,
    /// Root mean square of the clock's frequency error from one reading to the next, slews included, ppb.
    pub rate_rms_ppb: f64,
    /// Root mean square of the error of the kernel's frequency and tick, slews by the loop not included, ppb.
    pub base_rms_ppb: f64,
    /// How many readings.
    pub readings: u64,
}

/// Sums over readings.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    last: Option<(f64, f64)>,
    sum: f64,
    squares: f64,
    worst: f64,
    rates: (f64, f64),
    bases: f64,
    readings: u64,
}

impl Tally {
    /// A reading: seconds from the beginning, error in seconds, error of the base frequency in s/s.
    pub fn read(&mut self, at: f64, error: f64, base: f64) {
        self.sum += error;
        self.squares += error * error;
        self.worst = self.worst.max(error.abs());
        self.bases += base * base;
        self.readings += 1;
        if let Some((then, before)) = self.last.replace((at, error)) {
            let rate = (error - before) / (at - then);
            self.rates = (self.rates.0 + rate * rate, self.rates.1 + 1.0);
        }
    }

    /// What they come to.
    pub fn errors(&self) -> Errors {
        let count = self.readings.max(1) as f64;
        Errors {
            time_rms_us: (self.squares / count).sqrt() * 1e6,
            mean_us: self.sum / count * 1e6,
            worst_us: self.worst * 1e6,
            rate_rms_ppb: (self.rates.0 / self.rates.1.max(1.0)).sqrt() * 1e9,
            base_rms_ppb: (self.bases / count).sqrt() * 1e9,
            readings: self.readings,
        }
    }
}

/// Finds the outcome in what came over the console.
///
/// # Errors
/// The last lines, where there is none or it cannot be read.
pub fn find(console: &str) -> Result<Outcome, String> {
    let told = console.lines().rev().find_map(|line| line.split_once(MARK));
    let Some((_, json)) = told else {
        let lines: Vec<&str> = console.lines().collect();
        let tail = lines[lines.len().saturating_sub(15)..].join("\n    ");
        return Err(format!("the guest told no outcome; its last lines:\n    {tail}"));
    };
    serde_json::from_str(json.trim()).map_err(|error| format!("the guest's outcome cannot be read: {error}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn outcome(day: &str, daemon: &str, rms: f64) -> Outcome {
        let errors = Errors { time_rms_us: rms, readings: 86_400, ..Errors::default() };
        Outcome {
            day: day.into(),
            seed: 1,
            daemon: daemon.into(),
            version: format!("{daemon} 9"),
            simulated_s: 86_400.0,
            whole: errors.clone(),
            settled: errors,
            first_s: Some(2.0),
            packets: vec![350],
            replies: 350,
            late_us: 50.0,
            ended: None,
            processes: Vec::new(),
            wall_s: 16.0,
        }
    }

    #[test]
    fn an_outcome_is_found_among_what_the_kernel_says() {
        let json = serde_json::to_string(&outcome("lan_calm", "chrony", 7.5)).expect("plain data");
        let console = format!("Linux version 6\r\n[ 0.1] {MARK}{json}\r\nreboot: Power down\r\n");
        assert_eq!(find(&console), Ok(outcome("lan_calm", "chrony", 7.5)));
    }

    #[test]
    fn a_guest_without_outcome_is_quoted() {
        let error = find("Linux version 6\nKernel panic - not syncing\n").expect_err("there is none");
        assert!(error.contains("Kernel panic - not syncing"), "{error}");
        let error = find(&format!("{MARK}{{\"day\":1}}")).expect_err("that is no outcome");
        assert!(error.contains("cannot be read"), "{error}");
    }

    #[test]
    fn a_process_is_confined_where_the_kernel_says_so_and_a_thread_of_the_kernel_is_none() {
        let status =
            "Name:\ttruechimerd\nUid:\t902\t902\t902\t902\nVmSize:\t9 kB\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        let process = Process::read(status).expect("a process");
        assert_eq!((process.name.as_str(), process.uid), ("truechimerd", 902));
        assert!(process.filtered && process.no_new_privs);
        let open = Process::read(&status.replace("Seccomp:\t2", "Seccomp:\t0")).expect("a process");
        assert!(!open.filtered);
        assert_eq!(Process::read("Name:\tkthreadd\nUid:\t0\t0\t0\t0\nSeccomp:\t0\n"), None);
    }

    #[test]
    fn a_steady_error_is_mean_and_root_mean_square_and_no_frequency_error() {
        let mut tally = Tally::default();
        (0..100).for_each(|at| tally.read(f64::from(at), -3e-6, 2e-9));
        let errors = tally.errors();
        assert!((errors.time_rms_us - 3.0).abs() < 1e-9 && (errors.mean_us + 3.0).abs() < 1e-9);
        assert!(errors.rate_rms_ppb < 1e-6 && (errors.base_rms_ppb - 2.0).abs() < 1e-9);
        assert_eq!((errors.readings, errors.worst_us.round()), (100, 3.0));
    }

    #[test]
    fn a_clock_that_runs_away_by_a_ppm_has_a_frequency_error_of_a_thousand_ppb() {
        let mut tally = Tally::default();
        (0..10).for_each(|at| tally.read(f64::from(at * 10), f64::from(at) * 10e-6, 0.0));
        assert!((tally.errors().rate_rms_ppb - 1000.0).abs() < 1e-6);
    }
}
