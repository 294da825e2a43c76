//! Wake-ups when idle with four plain sources, at the shortest and the longest poll interval that is chosen by default,
//! beside chronyd in the same minutes.

use super::{SETTLE, Started, start_chronyd_with};
use crate::cargo::build_release;
use bench::daemon::Setup;
use bench::forger::Forger;
use bench::interrupted::end_all_when_interrupted;
use bench::peers::chronyd;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

/// How many poll intervals are watched at the longest.
const INTERVALS: f64 = 4.0;

/// One daemon that is watched.
struct Watched {
    name: &'static str,
    poll: u8,
    started: Started,
    /// Its wake-ups at the beginning, by process.
    before: Vec<(String, u64)>,
}

/// Measures and prints.
///
/// # Errors
/// If a program does not start.
pub fn run() -> Result<(), String> {
    end_all_when_interrupted();
    let programs = build_release()?;
    let forgers: Vec<_> =
        (1..=4).map(|last| Forger::honest(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0)).collect();
    let four: Vec<SocketAddr> = forgers.iter().map(Forger::address).collect();
    let one = &four[..1];
    let mut all = Vec::new();
    for (sources, poll) in [(one, 6), (&four, 6), (&four, 8)] {
        all.push(watch(
            "truechimer",
            sources.len(),
            poll,
            Started::Ours(setup(sources, poll, &programs).start()),
        ));
        if chronyd("").is_some() {
            all.push(watch("chronyd", sources.len(), poll, start_chronyd_with(&servers(sources, poll))));
        }
    }
    std::thread::sleep(SETTLE);
    let begun = Instant::now();
    for (_, watched) in &mut all {
        watched.before = counts(&watched.started);
    }
    println!("{}", bench::peers::versions());
    println!("sources  poll interval  program     wake-ups a minute");
    // The short intervals first: their figures are there while the long ones are waited for.
    for poll in [6, 8] {
        let until = Duration::from_secs_f64(INTERVALS * f64::from(1u32 << poll));
        std::thread::sleep(until.saturating_sub(begun.elapsed()));
        for (sources, watched) in all.iter().filter(|(_, watched)| watched.poll == poll) {
            let minutes = begun.elapsed().as_secs_f64() / 60.0;
            let after = counts(&watched.started);
            let of = |(role, after): &(String, u64)| {
                let before =
                    watched.before.iter().find(|(before, _)| before == role).map_or(0, |(_, count)| *count);
                (role.clone(), after.saturating_sub(before) as f64 / minutes)
            };
            let by_role: Vec<_> = after.iter().map(of).collect();
            let sum: f64 = by_role.iter().map(|(_, rate)| rate).sum();
            let parts: Vec<_> = by_role.iter().map(|(role, rate)| format!("{role} {rate:.1}")).collect();
            println!(
                "{sources:>7} {:>11} s   {:<11} {sum:>5.1}   ({})",
                1u32 << poll,
                watched.name,
                parts.join(", ")
            );
        }
    }
    Ok(())
}

fn watch(name: &'static str, sources: usize, poll: u8, started: Started) -> (usize, Watched) {
    (sources, Watched { name, poll, started, before: Vec::new() })
}

fn counts(started: &Started) -> Vec<(String, u64)> {
    let processes = started.processes();
    processes.iter().map(|process| (process.role.clone(), process.wake_ups().unwrap_or(0))).collect()
}

fn setup(sources: &[SocketAddr], poll: u8, programs: &Path) -> Setup {
    let configuration: String = sources
        .iter()
        .map(|address| format!("[[source]]\naddress = \"{address}\"\nmin-poll = {poll}\nmax-poll = {poll}\n"))
        .collect();
    Setup::new("idle", &configuration).with_programs(programs.into()).with_virtual_clock(2_000_000, 5.0)
}

fn servers(sources: &[SocketAddr], poll: u8) -> String {
    let line = |it: &SocketAddr| {
        format!("server {} port {} iburst minpoll {poll} maxpoll {poll}\n", it.ip(), it.port())
    };
    sources.iter().map(line).collect()
}
