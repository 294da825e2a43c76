//! The server beside others: replies a second, CPU time a reply, latency, honest clients beside floods, memory.
//!
//! `cargo xtask bench server [PART..] [--runs N] [--json]`; without a part all of them.
//!
//! ```text
//!   speed     one core each, alternating: bursts of 8 clients, and 128 clients with one request each
//!   latency   20,000 requests a second: latency, and how early the transmit timestamp is
//!   cost      the cost of the rate limit and of 4096 access rules
//!   threads   CPU time a reply with one thread and with two; unpinned
//!   flood     an honest client beside a flood at half capacity, from one address and from 100,000
//!   memory    resident memory before and after 1,000,000 source addresses
//!   interleaved  how early the transmit timestamps of interleaved replies are, and what they cost
//! ```
//!
//! Server on one core, generator on the other, all in the same run; figures are medians, and the ratios are what
//! counts: each run's own, then their median. The machine should be otherwise idle.

pub mod contestant;
pub mod figures;

use crate::cargo::{build_release, cargo, run as run_command, with_release_flags};
use bench::interrupted::end_all_when_interrupted;
use contestant::{Contestant, Kind};
use figures::{Figures, spread};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The cores of the servers and of the generator.
pub const SERVER_CORE: &str = "0";
pub const GENERATOR_CORE: &str = "1";

const PARTS: [&str; 7] = ["speed", "latency", "cost", "threads", "flood", "memory", "interleaved"];

/// Measures and prints.
///
/// # Errors
/// An invalid word, a server that does not start, a wrong reply.
pub fn run(words: &[&str]) -> Result<(), String> {
    let Asked { parts, runs, as_json } = Asked::of(words, &PARTS)?;
    let bench = Bench::build(runs, as_json)?;
    for part in parts {
        if !as_json {
            println!("\n== {part}, {} runs ==\n{}", bench.runs, bench::peers::versions());
        }
        match part {
            "speed" => bench.speed()?,
            "latency" => bench.latency()?,
            "cost" => bench.cost()?,
            "threads" => bench.threads()?,
            "flood" => bench.flood()?,
            "memory" => bench.memory()?,
            _ => bench.interleaved()?,
        }
    }
    Ok(())
}

/// The options of a benchmark of servers.
pub struct Asked<'w> {
    /// The parts to run.
    pub parts: Vec<&'w str>,
    /// Rounds.
    pub runs: usize,
    /// One JSON object a line instead of a table.
    pub as_json: bool,
}

impl<'w> Asked<'w> {
    /// Reads the words; without a part among them, all parts are run.
    ///
    /// # Errors
    /// An invalid word.
    pub fn of(words: &[&'w str], all: &[&'w str]) -> Result<Self, String> {
        let (mut parts, mut runs, mut as_json) = (Vec::new(), 5usize, false);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--json" => as_json = true,
                "--runs" => {
                    runs = words.next().and_then(|n| n.parse().ok()).ok_or("--runs takes a number")?
                }
                part if all.contains(&part) => parts.push(part),
                other => {
                    return Err(format!("{other}: no part of this benchmark; there are {}", all.join(", ")));
                }
            }
        }
        if parts.is_empty() {
            parts = all.to_vec();
        }
        Ok(Self { parts, runs, as_json })
    }
}

/// The programs to measure with, and the number of rounds.
pub struct Bench {
    /// Their folder.
    pub programs: PathBuf,
    /// Rounds.
    pub runs: usize,
    /// One JSON object a line instead of a table.
    pub as_json: bool,
}

/// The results of one load, with the server's CPU time.
pub struct Measured {
    said: Value,
    cpu_us_per_reply: f64,
}

impl Measured {
    fn number(&self, name: &str) -> f64 {
        self.said[name].as_f64().unwrap_or(f64::NAN)
    }
}

impl Bench {
    /// Builds the programs, the generators, the floors, and the wrapper that keeps others from the clock.
    ///
    /// # Errors
    /// If they cannot be built.
    pub fn build(runs: usize, as_json: bool) -> Result<Self, String> {
        end_all_when_interrupted();
        let programs = build_release()?;
        run_command(with_release_flags(&mut cargo()).args([
            "build",
            "--release",
            "--locked",
            "-p",
            "truechimer-tests",
            "--bin",
            "load",
            "--bin",
            "floor",
            "--bin",
            "key_load",
            "--bin",
            "key_floor",
            "--bin",
            "pretend",
        ]))?;
        bench::programs::look_in(&programs);
        Ok(Self { programs, runs: runs.max(1), as_json })
    }

    fn load(&self, server: &Contestant, words: &[&str]) -> Result<Measured, String> {
        let before = server.cpu_nanos();
        let said = self.generator(server, words, GENERATOR_CORE)?;
        let cpu = server.cpu_nanos().saturating_sub(before) as f64 / 1e3;
        if said["wrong"].as_object().is_some_and(|wrong| !wrong.is_empty()) {
            return Err(format!("{}: wrong replies: {}", server.name, said["wrong"]));
        }
        let good = said["good"].as_f64().unwrap_or(0.0);
        if good == 0.0 {
            return Err(format!("{} does not answer: {said}", server.name));
        }
        Ok(Measured { said, cpu_us_per_reply: cpu / good })
    }

    fn generator(&self, server: &Contestant, words: &[&str], core: &str) -> Result<Value, String> {
        let mut command = self.generator_command(server, words, core);
        let output = command.output().map_err(|error| format!("load: {error}"))?;
        serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("load against {}: {}", server.name, String::from_utf8_lossy(&output.stderr)))
    }

    fn generator_command(&self, server: &Contestant, words: &[&str], core: &str) -> Command {
        let program = self.programs.join("load");
        let mut all: Vec<String> = server.entrance.clone();
        all.push(program.display().to_string());
        all.push(server.address.to_string());
        all.push(format!("cpu={core}"));
        all.extend(words.iter().map(|word| (*word).to_owned()));
        all.extend(server.words.iter().cloned());
        let mut command = Command::new(&all[0]);
        command.args(&all[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn start(&self, kind: Kind) -> Result<Option<Contestant>, String> {
        let found = Contestant::start(kind, &self.programs)?;
        if let Some(server) = &found {
            server.pin(SERVER_CORE);
        } else if !self.as_json {
            println!("{:<28} not here, not measured", kind.name());
        }
        Ok(found)
    }

    fn start_all(&self, kinds: &[Kind]) -> Result<Vec<Contestant>, String> {
        let mut all = Vec::new();
        for kind in kinds {
            all.extend(self.start(*kind)?);
        }
        Ok(all)
    }

    /// Alternating runs of all servers under one load; figures by name of the quantity.
    ///
    /// # Errors
    /// A server that does not answer, or wrongly.
    pub fn rounds(&self, servers: &[Contestant], words: &[&str]) -> Result<Vec<Figures>, String> {
        self.rounds_of(self.runs, servers, words)
    }

    /// The same, this many times.
    ///
    /// # Errors
    /// As above.
    pub fn rounds_of(
        &self,
        runs: usize,
        servers: &[Contestant],
        words: &[&str],
    ) -> Result<Vec<Figures>, String> {
        let mut all: Vec<Figures> = servers.iter().map(|server| Figures::of(&server.name)).collect();
        for round in 0..runs {
            for at in 0..servers.len() {
                // The order rotates: the first after a pause may have an advantage.
                let at = (at + round) % servers.len();
                all[at].add(&self.load(&servers[at], words)?);
            }
        }
        Ok(all)
    }

    fn speed(&self) -> Result<(), String> {
        let kinds =
            [Kind::Floor, Kind::FloorOfSegments, Kind::ours(), Kind::Chronyd, Kind::Ntpsec, Kind::NtpdRs];
        let servers = self.start_all(&kinds)?;
        for (load, words) in [
            ("8 clients, 16 requests each under way", &["flows=8", "outstanding=16", "seconds=2"][..]),
            ("128 clients, 1 request each under way", &["flows=128", "outstanding=1", "seconds=2"][..]),
        ] {
            let figures = self.rounds(&servers, words)?;
            self.show_speed(load, &figures)?;
        }
        Ok(())
    }

    /// Shows the figures of one load; the first are those of the floor.
    ///
    /// # Errors
    /// If ours are missing.
    pub fn show_speed(&self, load: &str, figures: &[Figures]) -> Result<(), String> {
        let floor = figures.first().ok_or("the floor is missing")?;
        let ours =
            figures.iter().find(|figure| figure.name == "truechimer").ok_or("truechimer is missing")?;
        if self.as_json {
            for figure in figures {
                let mut line = figure.json(floor);
                line["load"] = json!(load);
                println!("{line}");
            }
            return Ok(());
        }
        println!("{load}");
        println!(
            "  {:<28} {:>23} {:>18} {:>9} {:>12} {:>9}",
            "", "replies/s min/med/max", "CPU us a reply", "CPU/floor", "ours/theirs", "p99 us"
        );
        for figure in figures {
            println!(
                "  {:<28} {:>23} {:>18} {:>9.2} {:>12.2} {:>9.0}",
                figure.name,
                figure.rates(),
                figure.cpus(),
                figure.cpu_ratio(floor),
                ours.rate_ratio(figure),
                figure.median_of("p99_us"),
            );
        }
        Ok(())
    }

    fn latency(&self) -> Result<(), String> {
        let servers =
            self.start_all(&[Kind::Floor, Kind::ours(), Kind::Chronyd, Kind::Ntpsec, Kind::NtpdRs])?;
        let figures = self.rounds(&servers, &["rate=20000", "flows=16", "seconds=3"])?;
        self.show_latency("20,000 a second", &figures);
        Ok(())
    }

    /// Shows latency, and how early transmit timestamps are.
    pub fn show_latency(&self, load: &str, figures: &[Figures]) {
        if !self.as_json {
            println!(
                "  {:<28} {:>8} {:>8} {:>8}   T3 early us: {:>7} {:>7} {:>7}   lost",
                "latency us", "p50", "p99", "p99.9", "p1", "p50", "p99"
            );
        }
        for figure in figures {
            let [p50, p99, p999] = ["p50_us", "p99_us", "p999_us"].map(|name| figure.median_of(name));
            let [early01, early50, early99] = ["p01", "p50", "p99"].map(|name| figure.median_of(name));
            if self.as_json {
                println!(
                    "{}",
                    json!({ "load": load, "server": figure.name, "p50_us": p50, "p99_us": p99,
                            "p999_us": p999, "t3_early_us": [early01, early50, early99], "runs": self.runs })
                );
            } else {
                println!(
                    "  {:<28} {p50:>8.1} {p99:>8.1} {p999:>8.1}                {early01:>7.2} {early50:>7.2} {early99:>7.2} {:>6.0}",
                    figure.name,
                    figure.median_of("lost"),
                );
            }
        }
    }

    fn cost(&self) -> Result<(), String> {
        let kinds = [
            Kind::ours(),
            // The difference between this one and the first is the noise.
            Kind::Ours { name: "the same again", more: "rate-limit = false\nthreads = 1", rules: 0 },
            Kind::Ours {
                name: "rate limit on",
                more: "threads = 1\naddress-rate = 10000\nnetwork-rate = 10000\ntotal-rate = 100000000",
                rules: 0,
            },
            Kind::Ours { name: "4096 access rules", more: "rate-limit = false\nthreads = 1", rules: 4096 },
        ];
        let servers = self.start_all(&kinds)?;
        // Source addresses none of which reaches a limit.
        let words = ["flows=2", "outstanding=64", "sources=127.64.0.1+50000+37", "seconds=2"];
        let figures = self.rounds(&servers, &words)?;
        for figure in &figures {
            let ratio = figure.cpu_ratio(&figures[0]);
            self.line(&figure.name, "CPU us a reply", &figure.cpus(), "of the one without", ratio);
        }
        Ok(())
    }

    fn line(&self, name: &str, what: &str, value: &str, of: &str, ratio: f64) {
        if self.as_json {
            println!(
                "{}",
                json!({ "server": name, "what": what, "min_med_max": value, "ratio": ratio, "to": of, "runs": self.runs })
            );
        } else {
            println!("  {name:<28} {what}: {value:>18}   {ratio:.3} {of}");
        }
    }

    fn threads(&self) -> Result<(), String> {
        let servers = self.start_all(&[
            Kind::ours(),
            Kind::Ours { name: "2 threads", more: "rate-limit = false\nthreads = 2", rules: 0 },
            Kind::Ours { name: "1 thread, not pinned", more: "rate-limit = false\nthreads = 1", rules: 0 },
        ])?;
        for server in servers.iter().skip(1) {
            server.unpin();
        }
        let figures = self.rounds(&servers, &["flows=128", "outstanding=1", "seconds=2"])?;
        for figure in &figures {
            let ratio = figure.cpu_ratio(&figures[0]);
            self.line(&figure.name, "CPU us a reply", &figure.cpus(), "of one pinned thread", ratio);
        }
        Ok(())
    }

    fn flood(&self) -> Result<(), String> {
        let kinds = [
            Kind::Ours { name: "truechimer, limits on", more: "threads = 1", rules: 0 },
            Kind::ChronydLimited,
            Kind::NtpdRsLimited,
        ];
        for (what, sources, rate) in [
            ("one address", "source=127.66.0.1", 60_000),
            ("100,000 addresses", "sources=127.66.0.1+100000+1", 60_000),
        ] {
            for kind in kinds {
                let mut shares = (Vec::new(), Vec::new());
                for _ in 0..self.runs {
                    // A fresh server: no run uses the buckets of the one before.
                    let Some(server) = self.start(kind)? else { break };
                    let rate = format!("rate={rate}");
                    let mut command = self.generator_command(
                        &server,
                        &[sources, &rate, "flows=1", "seconds=10", "segments=no"],
                        GENERATOR_CORE,
                    );
                    let flood = command.spawn().map_err(|error| format!("load: {error}"))?;
                    std::thread::sleep(std::time::Duration::from_millis(1_500));
                    let honest = self.generator(
                        &server,
                        &["source=127.99.0.1", "rate=10", "flows=1", "seconds=7"],
                        GENERATOR_CORE,
                    )?;
                    let output = flood.wait_with_output().map_err(|error| format!("load: {error}"))?;
                    let flood: Value =
                        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
                    let share = |said: &Value| {
                        said["good"].as_f64().unwrap_or(0.0) / said["sent"].as_f64().unwrap_or(1.0).max(1.0)
                            * 100.0
                    };
                    shares.0.push(share(&honest));
                    shares.1.push(share(&flood));
                }
                if shares.0.is_empty() {
                    continue;
                }
                let [honest, flooded] = [&shares.0, &shares.1].map(|shares| spread(shares));
                if self.as_json {
                    println!(
                        "{}",
                        json!({ "flood": what, "server": kind.name(), "honest_percent": honest[1], "flood_percent": flooded[1],
                                "honest_min_med_max": honest, "flood_min_med_max": flooded, "runs": self.runs })
                    );
                } else {
                    let [honest, flooded] = [honest, flooded]
                        .map(|[least, median, most]| format!("{least:.1}/{median:.1}/{most:.1} %"));
                    println!(
                        "  flood of {rate} a second from {what:<18} {:<24} answered min/med/max: honest {honest}, flood {flooded}",
                        kind.name()
                    );
                }
            }
        }
        Ok(())
    }

    fn memory(&self) -> Result<(), String> {
        for kind in
            [Kind::Ours { name: "truechimer, limits on", more: "threads = 1", rules: 0 }, Kind::Chronyd]
        {
            let Some(server) = self.start(kind)? else { continue };
            self.generator(
                &server,
                &["flows=2", "outstanding=32", "seconds=1", "sources=127.1.0.1+1000+1"],
                GENERATOR_CORE,
            )?;
            let before = server.resident_kib();
            let mut seen = Vec::new();
            for _ in 0..2 {
                // A million addresses, each at least once.
                let said = self.generator(
                    &server,
                    &["rate=150000", "flows=1", "seconds=10", "sources=127.16.0.1+1000000+1", "segments=no"],
                    GENERATOR_CORE,
                )?;
                seen.push((said["sent"].as_u64().unwrap_or(0), server.resident_kib()));
            }
            if self.as_json {
                println!(
                    "{}",
                    json!({ "server": kind.name(), "resident_kib_before": before, "after": seen })
                );
            } else {
                println!(
                    "  {:<28} resident KiB: {before} before, then (requests, KiB): {seen:?}",
                    kind.name()
                );
            }
        }
        Ok(())
    }

    fn interleaved(&self) -> Result<(), String> {
        let servers = self.start_all(&[Kind::ours(), Kind::Chronyd])?;
        for (what, words) in [
            ("interleaved", &["flows=16", "rate=5000", "seconds=3", "interleaved"][..]),
            ("basic", &["flows=16", "rate=5000", "seconds=3"][..]),
        ] {
            let figures = self.rounds(&servers, words)?;
            for figure in &figures {
                let name = format!("{}, {what}", figure.name);
                let early = if what == "basic" { "p50" } else { "interleaved_p50" };
                let value = format!("{:.2}, CPU us {}", figure.median_of(early), figure.cpus());
                self.line(
                    &name,
                    "T3 early us, median",
                    &value,
                    "of the first (CPU)",
                    figure.cpu_ratio(&figures[0]),
                );
            }
        }
        Ok(())
    }
}

/// A program that was built.
pub fn built(programs: &Path, name: &str) -> Command {
    Command::new(programs.join(name))
}
