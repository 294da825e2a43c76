//! `cargo xtask recovery-search`: states from which a host does not come right by itself.

use ipc::message::privileged::Profile;
use simulation::recovery::{Class, HEAD, Row, needs, search};
use std::sync::atomic::{AtomicUsize, Ordering};

const USAGE: &str = "usage: cargo xtask recovery-search [--seed N] [--worlds N]";

/// Searches as the words ask for; an error if a clock did not come right and nothing says so.
pub fn run(words: &[&str]) -> Result<(), String> {
    let (mut seed, mut worlds) = (1, 60);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = words.next().and_then(|value| value.parse::<u64>().ok()).ok_or(USAGE)?;
        match *word {
            "--seed" => seed = value,
            "--worlds" => worlds = value.min(1_000_000) as usize,
            _ => return Err(USAGE.into()),
        }
    }
    let profiles = [Profile::Standard, Profile::Strict];
    let all: Vec<_> = Class::ALL.iter().flat_map(|class| profiles.map(|profile| (*class, profile))).collect();
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    println!("seed {seed}, {worlds} worlds of each class and profile\n{HEAD}");
    let next = AtomicUsize::new(0);
    let mut rows: Vec<(usize, Row)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut found = Vec::new();
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some((class, profile)) = all.get(at) else { return found };
                        let row = search(*class, *profile, seed, worlds);
                        println!("{}", row.line());
                        found.push((at, row));
                    }
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a search does not panic")).collect()
    });
    rows.sort_by_key(|(at, _)| *at);
    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    println!(
        "\nStates that did not come right within three days, by what the administrator reads:\n{}",
        needs(&rows)
    );
    println!("The slowest that came right:");
    for row in &rows {
        if let Some(found) = row.slowest() {
            println!(
                "{}: {:.0} s{}: {}",
                row.class.name(),
                found.seconds,
                if found.stepped { ", stepped" } else { "" },
                found.case.describe()
            );
        }
    }
    match rows.iter().map(|row| row.unsaid().len()).sum::<usize>() {
        0 => Ok(()),
        count => Err(format!("{count} clocks did not come right, and nothing says so")),
    }
}
