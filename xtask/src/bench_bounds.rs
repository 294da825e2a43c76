//! Bounds beside ClockBound's: both daemons follow the very same NTP servers at the same time, and true time is known. How many of the
//! intervals that programs read had it in them, and how wide they were.
//!
//! `cargo xtask bench bounds [SCENARIO..] [--seconds N] [--json]`; root, for network namespaces. True time is the host's clock, which
//! nobody touches: ours steers a virtual clock, and ClockBound's daemon is built with its actuator taken out, and has no CAP_SYS_TIME. A
//! machine that stood still for ten seconds is one whose servers are ten seconds ahead all at once: daemons and readers
//! have nothing but a counter and what the servers say. All scenarios run side by side, each in networks of its own.

mod scenario;
mod stage;
mod tally;

use crate::cargo::{cargo, run as run_command};
use bench::interrupted::end_all_when_interrupted;
use scenario::{SCENARIOS, Scenario};
use serde_json::json;
use stage::Stage;
use tally::Tally;

const USAGE: &str = "usage: cargo xtask bench bounds [SCENARIO..] [--seconds N] [--json]";

struct Wishes {
    seconds: u64,
    json: bool,
    scenarios: Vec<&'static Scenario>,
}

/// Measures and prints.
///
/// # Errors
/// Without root or ClockBound's daemon; if a daemon tells no time; an interval of ours without true time in it where that is promised.
pub fn run(words: &[&str]) -> Result<(), String> {
    let wishes = understand(words)?;
    end_all_when_interrupted();
    if !bench::clockbound::counts_with_the_kernel() {
        return Err(
            "the kernel does not keep time by the counter that ClockBound's clients read: choose tsc".into(),
        );
    }
    crate::peers::fetch_clockbound()?;
    // Nothing of this depends on how fast the programs are.
    run_command(cargo().args(["build", "--workspace", "--bins"]))?;
    // Networks and children belong to the thread that makes them.
    let outcomes: Vec<Result<[Tally; 2], String>> = std::thread::scope(|scope| {
        let play =
            |scenario: &'static Scenario| scope.spawn(move || Stage::set(scenario)?.play(wishes.seconds));
        let threads: Vec<_> = wishes.scenarios.iter().copied().map(play).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a daemon failed".into())))
            .collect()
    });
    let outcomes: Vec<[Tally; 2]> = outcomes.into_iter().collect::<Result<_, _>>()?;
    if wishes.json {
        print_json(&wishes, &outcomes);
    } else {
        print(&wishes, &outcomes);
    }
    for (scenario, [ours, _]) in wishes.scenarios.iter().zip(&outcomes) {
        if scenario.is_promised && ours.wrong > 0 {
            return Err(format!(
                "{}: {} of our intervals had not true time in them",
                scenario.name, ours.wrong
            ));
        }
    }
    Ok(())
}

fn understand(words: &[&str]) -> Result<Wishes, String> {
    let mut wishes = Wishes { seconds: 60, json: false, scenarios: Vec::new() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--seconds" => {
                let number = words.next().and_then(|number| number.parse().ok()).filter(|number| *number > 0);
                wishes.seconds = number.ok_or(USAGE)?;
            }
            "--json" => wishes.json = true,
            name => {
                let known = SCENARIOS.iter().find(|scenario| scenario.name == name);
                wishes.scenarios.push(known.ok_or_else(|| {
                    let names = SCENARIOS.map(|scenario| scenario.name).join(", ");
                    format!("{name} is no scenario; there are {names}\n{USAGE}")
                })?);
            }
        }
    }
    if wishes.scenarios.is_empty() {
        wishes.scenarios = SCENARIOS.iter().collect();
    }
    Ok(wishes)
}

fn print(wishes: &Wishes, outcomes: &[[Tally; 2]]) {
    println!(
        "intervals read in {} s after the event: with true time in them, without it, and none given (nothing is known, says the \
         daemon's page); width of those given: median, most\n\n\
         {:<13} {:<11} {:>8} {:>8} {:>8} {:>8} {:>11} {:>11}  wrong by, and when",
        wishes.seconds, "scenario", "", "reads", "true", "wrong", "none", "median µs", "most µs",
    );
    for (scenario, outcome) in wishes.scenarios.iter().zip(outcomes) {
        for (who, tally) in ["truechimer", "ClockBound"].iter().zip(outcome) {
            println!(
                "{:<13} {:<11} {:>8} {:>8} {:>8} {:>8} {:>11.1} {:>11.1}  {}",
                scenario.name,
                who,
                tally.reads,
                tally.held,
                tally.wrong,
                tally.none,
                tally.width(0.5),
                tally.width(1.0),
                tally.fault(),
            );
        }
    }
    println!();
    for scenario in &wishes.scenarios {
        println!("{:<13} {}", scenario.name, scenario.about);
    }
}

fn print_json(wishes: &Wishes, outcomes: &[[Tally; 2]]) {
    let rows = wishes.scenarios.iter().zip(outcomes).map(|(scenario, [ours, theirs])| {
        json!({ "scenario": scenario.name, "truechimer": ours.json(), "clockbound": theirs.json() })
    });
    println!("{:#}", json!({ "seconds": wishes.seconds, "scenarios": rows.collect::<Vec<_>>() }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_or_refused() {
        let wishes = understand(&["honest", "--seconds", "5", "--json"]).unwrap();
        assert!(wishes.json && wishes.seconds == 5 && wishes.scenarios.len() == 1);
        assert_eq!(understand(&[]).unwrap().scenarios.len(), SCENARIOS.len());
        for wrong in [&["--seconds"][..], &["--seconds", "0"], &["dishonest"]] {
            assert!(understand(wrong).is_err(), "{wrong:?}");
        }
    }
}
