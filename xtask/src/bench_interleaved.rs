//! Interleaved mode beside basic mode: what a client measures of a server on the same host, whose time is its own, so that each offset is
//! an error. Ours and chronyd, each as client of each; all pairs of a round run side by side.
//!
//! The median of a client's offsets is what the server's T3 adds (half of how early it is) with whatever else differs between the
//! two directions; the scatter is the half of the distance between their quartiles. chronyd keeps a clock of its own that follows what it
//! measures: the middle of its offsets is near zero whatever the server's T3 is, so its error is that of this clock.

use crate::cargo::build_release;
use bench::chronyd_client::ChronydClient;
use bench::daemon::{Daemon, Setup};
use bench::interrupted::end_all_when_interrupted;
use bench::peers::{NO_CHRONYD, Peer, chronyd_server};
use bench::programs::{Place, free_port, look_in};
use std::time::{Duration, Instant};

const USAGE: &str = "usage: cargo xtask bench interleaved [--rounds N] [--seconds N]";

/// What a client has measured, seconds.
#[derive(Default)]
struct Measured {
    offsets: Vec<f64>,
    /// Of its own clock; empty: it has none.
    errors: Vec<f64>,
    /// How many of the offsets came in interleaved mode.
    in_mode: usize,
}

/// Median and half the distance of the quartiles.
fn middle_and_scatter(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = share * sorted.len().saturating_sub(1) as f64;
        sorted.get(place as usize).copied().unwrap_or(f64::NAN)
    };
    (at(0.5), (at(0.75) - at(0.25)) / 2.0)
}

enum Client {
    Ours { daemon: Daemon, counted: u64 },
    Chronyd { client: ChronydClient, logs: Place },
}

impl Client {
    fn start(is_ours: bool, port: u16, interleaved: bool) -> Result<Self, String> {
        if is_ours {
            let configuration = format!(
                "[[source]]\naddress = \"127.0.0.1:{port}\"\nmin-poll = -2\nmax-poll = -2\ninterleaved = {interleaved}\n"
            );
            return Ok(Self::Ours { daemon: Setup::new("interleaved", &configuration).start(), counted: 0 });
        }
        let logs = Place::new("chronyd-logs");
        let mode = if interleaved { "xleave" } else { "" };
        let sources = format!(
            "server 127.0.0.1 port {port} minpoll -2 maxpoll -2 {mode}\nlogdir {}\nlog measurements",
            logs.path().display()
        );
        let client = ChronydClient::start(&sources, &[]).ok_or(NO_CHRONYD)?;
        Ok(Self::Chronyd { client, logs })
    }

    /// What has come since the last time. `is_settled`: it counts.
    fn look(&mut self, measured: &mut Measured, is_settled: bool) {
        match self {
            Self::Ours { daemon, counted } => {
                let Some(reply) = daemon.measured(*counted) else { return };
                *counted = reply["counted"].as_u64().unwrap_or(*counted);
                let all = reply["measured"].as_array().into_iter().flatten().filter(|_| is_settled);
                for one in all.filter(|one| one["outcome"] != "failed") {
                    measured.offsets.extend(one["offset_s"].as_f64());
                    measured.in_mode += usize::from(one["interleaved"] == true);
                }
            }
            Self::Chronyd { client, .. } => {
                let tracking = client.tracking().filter(|it| is_settled && it.synchronised);
                let (raw, wall) = bench::clock::pair();
                measured.errors.extend(tracking.map(|it| (it.clock - (wall - (raw - it.raw))) as f64 * 1e-9));
            }
        }
    }

    /// What is told at the end alone.
    fn end(&self, measured: &mut Measured, settled: usize) {
        let Self::Chronyd { logs, .. } = self else { return };
        let text = std::fs::read_to_string(logs.join("measurements.log")).unwrap_or_default();
        for line in text.lines().filter(|line| line.starts_with("20")).skip(settled) {
            let words: Vec<&str> = line.split_whitespace().collect();
            measured.offsets.extend(words.get(11).and_then(|word| word.parse::<f64>().ok()));
            measured.in_mode += usize::from(words.contains(&"4I"));
        }
    }
}

enum Server {
    Ours { _daemon: Daemon, port: u16 },
    Chronyd(Peer),
}

impl Server {
    fn start(is_ours: bool) -> Result<Self, String> {
        if !is_ours {
            return chronyd_server().map(Self::Chronyd).ok_or_else(|| NO_CHRONYD.into());
        }
        let port = free_port();
        let configuration = format!(
            "[server]\nlisten = [\"127.0.0.1:{port}\"]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 4\nrate-limit = false\n"
        );
        Ok(Self::Ours { _daemon: Setup::new("interleaving", &configuration).start(), port })
    }

    const fn port(&self) -> u16 {
        match self {
            Self::Ours { port, .. } => *port,
            Self::Chronyd(peer) => peer.port,
        }
    }
}

/// Client and server, and whether interleaved mode is asked for.
const CASES: [(bool, bool, bool); 8] = [
    (true, true, false),
    (true, true, true),
    (true, false, false),
    (true, false, true),
    (false, true, false),
    (false, true, true),
    (false, false, false),
    (false, false, true),
];

/// Measures and prints.
///
/// # Errors
/// If a program does not start.
pub fn run(words: &[&str]) -> Result<(), String> {
    let (mut rounds, mut seconds) = (5, 40);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let number = words.next().and_then(|text| text.parse::<u64>().ok()).filter(|number| *number > 0);
        match (*word, number) {
            ("--rounds", Some(number)) => rounds = number,
            ("--seconds", Some(number)) => seconds = number,
            _ => return Err(USAGE.into()),
        }
    }
    end_all_when_interrupted();
    look_in(&build_release()?);
    let mut found: Vec<Vec<[f64; 4]>> = CASES.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        eprintln!("round {} of {rounds}: {seconds} s", round + 1);
        for (found, figures) in found.iter_mut().zip(play(Duration::from_secs(seconds))?) {
            found.push(figures);
        }
    }
    println!("{}", bench::peers::versions());
    println!(
        "µs, median of {rounds} rounds (least to most)\n{:<12} {:<12} {:<12} {:>26} {:>26} {:>8}",
        "client", "server", "mode", "median error", "scatter of offsets", "in mode"
    );
    for ((is_ours, of_ours, interleaved), found) in CASES.iter().zip(&found) {
        let name = |is_ours: bool| if is_ours { "truechimer" } else { "chronyd" };
        let shown = |index: usize| {
            let mut all: Vec<f64> = found.iter().map(|figures| figures[index] * 1e6).collect();
            all.sort_by(f64::total_cmp);
            let [least, middle, most] = [0, all.len() / 2, all.len() - 1].map(|at| all[at]);
            format!("{middle:.2} ({least:.2} to {most:.2})")
        };
        let share =
            found.iter().map(|figures| figures[2]).sum::<f64>() / found.iter().map(|it| it[3]).sum::<f64>();
        let mode = if *interleaved { "interleaved" } else { "basic" };
        println!(
            "{:<12} {:<12} {mode:<12} {:>26} {:>26} {:>7.0}%",
            name(*is_ours),
            name(*of_ours),
            shown(0),
            shown(1),
            share * 100.0
        );
    }
    Ok(())
}

/// For each case: error and scatter, seconds, how many offsets came in interleaved mode, and how many there were.
fn play(length: Duration) -> Result<Vec<[f64; 4]>, String> {
    let servers = [Server::start(true)?, Server::start(false)?];
    let mut all = Vec::new();
    for (is_ours, of_ours, interleaved) in CASES {
        let port = servers[usize::from(!of_ours)].port();
        all.push((Client::start(is_ours, port, interleaved)?, Measured::default()));
    }
    let begun = Instant::now();
    while begun.elapsed() < length {
        std::thread::sleep(Duration::from_secs(1));
        for (client, measured) in &mut all {
            client.look(measured, begun.elapsed() * 4 > length);
        }
    }
    let settled = length.as_secs() as usize;
    let figures = all.into_iter().map(|(client, mut measured)| {
        client.end(&mut measured, settled);
        let (middle, scatter) = middle_and_scatter(&measured.offsets);
        let error = if measured.errors.is_empty() { middle } else { middle_and_scatter(&measured.errors).0 };
        [error, scatter, measured.in_mode as f64, measured.offsets.len() as f64]
    });
    Ok(figures.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scatter_is_half_of_what_the_middle_half_covers() {
        let values: Vec<f64> = (0..101).rev().map(f64::from).collect();
        assert_eq!(middle_and_scatter(&values), (50.0, 25.0));
    }
}
