//! `cargo xtask governor-search`: the farthest that a hostile engine can move the clock, beside what docs/governor.md claims.

use ipc::message::privileged::Profile;
use simulation::search::{Effort, HEAD, WORLDS, search};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const USAGE: &str = "usage: cargo xtask governor-search [--seed N] [--minutes M]";

/// Searches all worlds in both profiles; an error if a claim is exceeded.
pub fn run(words: &[&str]) -> Result<(), String> {
    let (mut seed, mut minutes) = (1u64, 4.0f64);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        match *word {
            "--seed" => seed = value.parse().map_err(|_| USAGE)?,
            "--minutes" => {
                minutes =
                    value.parse().ok().filter(|minutes| (0.0..=10_000.0).contains(minutes)).ok_or(USAGE)?;
            }
            _ => return Err(USAGE.into()),
        }
    }
    let profiles = [Profile::Standard, Profile::Strict];
    let all: Vec<_> = WORLDS.iter().flat_map(|world| profiles.map(|profile| (*world, profile))).collect();
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    let each = Duration::from_secs_f64(minutes * 60.0 * threads as f64 / all.len() as f64);
    println!("seed {seed}, {} worlds and profiles, {:.0} s each\n{HEAD}", all.len(), each.as_secs_f64());
    let next = AtomicUsize::new(0);
    let (mut exceeded, mut tried) = (0, 0);
    let rows: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut found = Vec::new();
                    while let Some((world, profile)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let row = search(*world, *profile, seed, Effort::Time(each));
                        print!("{}", row.lines());
                        found.push(row);
                    }
                    found
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a search does not panic")).collect()
    });
    for row in &rows {
        exceeded += u32::from(row.exceeds());
        tried += row.tried;
    }
    println!("{tried} sequences of 30 days tried");
    match exceeded {
        0 => Ok(()),
        _ => Err(format!("{exceeded} rows exceed what docs/governor.md claims")),
    }
}
