//! Footprint: from start to the first query, memory, and wake-ups when idle, beside chronyd in the same run; and the
//! memory of a daemon with all of its processes.

pub mod all_roles;
mod first_correction;
pub mod idle;

use crate::cargo::build_release;
use bench::daemon::{Daemon, Setup, spawn};
use bench::forger::Forger;
use bench::interrupted::end_all_when_interrupted;
use bench::packet::Header;
use bench::peers::chronyd;
use bench::process::{Process, children};
use bench::programs::Place;
use first_correction::FirstCorrection;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

const STARTS: usize = 7;
const IDLE: Duration = Duration::from_secs(60);
const SETTLE: Duration = Duration::from_secs(40);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Lowest, median and highest of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

/// One program's figures.
struct Footprint {
    /// Milliseconds from start to the first query heard.
    first_query_ms: Spread,
    processes: usize,
    resident_mib: f64,
    proportional_mib: Option<f64>,
    wake_ups_a_minute: f64,
    details: Vec<String>,
}

/// Measures and prints.
///
/// # Errors
/// If a program does not start or does not query.
pub fn run(as_json: bool) -> Result<(), String> {
    end_all_when_interrupted();
    let programs = build_release()?;
    let peer = chronyd("").is_some();
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..STARTS {
        ours.push(first_query(|port| Started::Ours(our_setup(port, &programs).launch()))?);
        if peer {
            theirs.push(first_query(start_chronyd)?);
        }
    }
    let first_correction = first_correction::measure(&programs)?;
    let forger = Forger::honest(HERE, 0);
    let port = forger.address().port();
    let running = Started::Ours(our_setup(port, &programs).start());
    let other = peer.then(|| start_chronyd(port));
    std::thread::sleep(SETTLE);
    // Both are idle during the same minute.
    let before = (running.wake_ups(), other.as_ref().map(Started::wake_ups));
    std::thread::sleep(IDLE);
    let ours = footprint(&running, &ours, before.0);
    let theirs = other.as_ref().map(|other| footprint(other, &theirs, before.1.unwrap_or_default()));
    if as_json {
        let result = json!({
            "truechimer": ours.json(),
            "chronyd": theirs.as_ref().map(Footprint::json),
            "first_correction_ms": {
                "truechimer": first_correction.plain.json(),
                "truechimer_nts": first_correction.nts.json(),
                "chronyd": first_correction.chronyd.map(Spread::json),
            },
            "starts": STARTS,
            "idle_s": IDLE.as_secs(),
        });
        println!("{result:#}");
    } else {
        println!("{}", bench::peers::versions());
        print(&ours, theirs.as_ref(), &first_correction);
    }
    Ok(())
}

enum Started {
    Ours(Daemon),
    Chronyd(Child, Place),
}

impl Started {
    fn processes(&self) -> Vec<Process> {
        match self {
            Self::Ours(daemon) => daemon.processes(),
            Self::Chronyd(child, _) => {
                Process::read(child.id()).into_iter().chain(children(child.id())).collect()
            }
        }
    }

    fn wake_ups(&self) -> u64 {
        self.processes().iter().filter_map(Process::wake_ups).sum()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Self::Chronyd(child, _) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A client of one server, at the poll interval of a settled host.
fn our_setup(port: u16, programs: &Path) -> Setup {
    Setup::new("footprint", &format!("[[source]]\naddress = \"127.0.0.1:{port}\"\n"))
        .with_programs(programs.into())
        .with_virtual_clock(2_000_000, 5.0)
}

fn start_chronyd(port: u16) -> Started {
    start_chronyd_with(&format!("server 127.0.0.1 port {port} iburst\n"))
}

/// With these lines, and its log in the file `log`.
fn start_chronyd_with(lines: &str) -> Started {
    let place = Place::new("footprint-chronyd");
    let pid_file = place.join("pid");
    let configuration = format!("{lines}port 0\ncmdport 0\nbindcmdaddress /\npidfile {}", pid_file.display());
    let mut command = chronyd(&configuration).expect("chronyd was found before");
    let log = std::fs::File::create(place.join("log")).expect("a new folder can be written");
    command.stdout(log.try_clone().expect("a file can be shared")).stderr(log);
    Started::Chronyd(spawn(&mut command), place)
}

/// Milliseconds until a server receives the program's first query.
fn first_query(start: impl FnOnce(u16) -> Started) -> Result<f64, String> {
    let socket = UdpSocket::bind((HERE, 0)).map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(Duration::from_secs(20))).map_err(|error| error.to_string())?;
    let port = socket.local_addr().map_err(|error| error.to_string())?.port();
    let begun = Instant::now();
    let started = start(port);
    let mut buffer = [0; 2048];
    loop {
        let length = socket.recv(&mut buffer).map_err(|_| match &started {
            Started::Ours(daemon) => format!("no query within 20 s; truechimerd said:\n{}", daemon.log()),
            Started::Chronyd(..) => "no query of chronyd within 20 s".into(),
        })?;
        if Header::from_octets(&buffer[..length]).is_some_and(|header| header.mode == 3) {
            return Ok(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
}

fn footprint(started: &Started, first_queries: &[f64], wake_ups_before: u64) -> Footprint {
    let processes = started.processes();
    let woken = started.wake_ups().saturating_sub(wake_ups_before);
    Footprint {
        first_query_ms: spread(first_queries),
        processes: processes.len(),
        resident_mib: mib(processes.iter().map(|process| process.resident).sum()),
        proportional_mib: proportional(&processes).map(mib),
        wake_ups_a_minute: woken as f64 * 60.0 / IDLE.as_secs_f64(),
        details: processes.iter().map(memory).collect(),
    }
}

fn mib(octets: u64) -> f64 {
    octets as f64 / f64::from(1 << 20)
}

fn proportional(processes: &[Process]) -> Option<u64> {
    processes.iter().map(Process::proportional).sum()
}

/// A line for people.
fn memory(process: &Process) -> String {
    let share = process.proportional().map_or("?".to_owned(), |octets| format!("{:.2}", mib(octets)));
    format!("{:<11} {:>5.1} MiB resident, {share:>5} MiB proportional", process.role, mib(process.resident))
}

fn spread(figures: &[f64]) -> Spread {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    Spread { least: sorted[0], median: sorted[sorted.len() / 2], most: sorted[sorted.len() - 1] }
}

impl Spread {
    fn json(self) -> Value {
        json!({ "min": self.least, "median": self.median, "max": self.most })
    }

    fn text(self) -> String {
        format!("{:.1} / {:.1} / {:.1}", self.least, self.median, self.most)
    }
}

impl Footprint {
    fn json(&self) -> Value {
        json!({
            "first_query_ms": self.first_query_ms.json(),
            "processes": self.processes,
            "resident_mib": self.resident_mib,
            "proportional_mib": self.proportional_mib,
            "wake_ups_a_minute": self.wake_ups_a_minute,
        })
    }
}

fn print(ours: &Footprint, theirs: Option<&Footprint>, corrected: &FirstCorrection) {
    let row = |name: &str, ours: String, theirs: Option<String>, ratio: Option<f64>| {
        let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
        println!("{name:<38} {ours:>22} {:>22} {ratio:>7}", theirs.unwrap_or_else(|| "-".into()));
    };
    let start = |f: &Footprint| f.first_query_ms.text();
    println!("{:<38} {:>22} {:>22} {:>7}", "", "truechimer", "chronyd", "ratio");
    row(
        "start to first query, ms (min/med/max)",
        start(ours),
        theirs.map(start),
        theirs.map(|t| ours.first_query_ms.median / t.first_query_ms.median),
    );
    row(
        "to first correction, 4 sources, ms",
        corrected.plain.text(),
        corrected.chronyd.map(Spread::text),
        corrected.chronyd.map(|theirs| corrected.plain.median / theirs.median),
    );
    row("the same over NTS", corrected.nts.text(), None, None);
    row("processes", ours.processes.to_string(), theirs.map(|t| t.processes.to_string()), None);
    row(
        "resident memory, MiB",
        format!("{:.1}", ours.resident_mib),
        theirs.map(|t| format!("{:.1}", t.resident_mib)),
        theirs.map(|t| ours.resident_mib / t.resident_mib),
    );
    let share = |f: &Footprint| f.proportional_mib.map_or("needs root".into(), |mib| format!("{mib:.1}"));
    row(
        "proportional memory, MiB",
        share(ours),
        theirs.map(share),
        theirs.and_then(|t| Some(ours.proportional_mib? / t.proportional_mib?)),
    );
    row(
        "wake-ups a minute when idle",
        format!("{:.0}", ours.wake_ups_a_minute),
        theirs.map(|t| format!("{:.0}", t.wake_ups_a_minute)),
        theirs.map(|t| ours.wake_ups_a_minute / t.wake_ups_a_minute),
    );
    println!("\ntruechimer's processes:");
    for line in &ours.details {
        println!("  {line}");
    }
    if theirs.is_none() {
        println!("\nchronyd is not here to compare with; `cargo xtask peers` fetches it");
    }
}

#[cfg(test)]
mod tests {
    use super::{Spread, spread};

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(spread(&[3.0, 1.0, 9.0]), Spread { least: 1.0, median: 3.0, most: 9.0 });
    }
}
