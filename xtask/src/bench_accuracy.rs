//! Accuracy of real processes: the daemon and chronyd follow the same server, at the same time, over paths
//! of the same known delays, and the true time is known.
//!
//! The server is truechimerd on a virtual clock that is 30 ms and 20 ppm away from the host's: what it shows
//! *is* true time here. The clients have the same task: a clock that shows the host's time. The daemon steers
//! a virtual clock, with the kernel's slews; chronyd runs with `-x` and keeps the host's time plus a
//! correction that takes effect immediately, so its actuator is ideal. Each has its own relay, with the same
//! distribution and the same random numbers. All paths of a round run side by side.

mod figures;
mod scenario;
mod stage;

use crate::cargo::build_release;
use bench::interrupted::end_all_when_interrupted;
use figures::{Figures, Round, middle};
use scenario::SCENARIOS;
use serde_json::{Value, json};
use stage::Stage;

const USAGE: &str = "usage: cargo xtask bench accuracy [--seconds N] [--rounds N] [--poll N] [--json]";

struct Wishes {
    seconds: u64,
    rounds: u64,
    /// Shortest and longest poll exponent of both clients.
    polls: (u64, u64),
    json: bool,
}

/// Measures and prints.
///
/// # Errors
/// If a program does not start.
pub fn run(words: &[&str]) -> Result<(), String> {
    let wishes = understand(words)?;
    end_all_when_interrupted();
    let programs = build_release()?;
    let mut rounds: Vec<Vec<Round>> = SCENARIOS.iter().map(|_| Vec::new()).collect();
    for round in 0..wishes.rounds {
        eprintln!("round {} of {}: {} s", round + 1, wishes.rounds, wishes.seconds);
        let stage = Stage::set(&programs, round, wishes.polls)?;
        for (all, one) in rounds.iter_mut().zip(stage.play(wishes.seconds)?) {
            all.push(one);
        }
    }
    if wishes.json {
        println!("{:#}", as_json(&wishes, &rounds));
    } else {
        println!("{}", bench::peers::versions());
        print(&rounds);
    }
    Ok(())
}

fn understand(words: &[&str]) -> Result<Wishes, String> {
    let mut wishes = Wishes { seconds: 100, rounds: 5, polls: (0, 2), json: false };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let text = words.next().ok_or_else(|| format!("{word} needs a number\n{USAGE}"))?;
            text.parse::<u64>().map_err(|_| format!("{text} is not a number\n{USAGE}"))
        };
        match *word {
            "--seconds" => wishes.seconds = number()?,
            "--rounds" => wishes.rounds = number()?,
            "--poll" => wishes.polls = number().map(|poll| (poll, poll))?,
            "--json" => wishes.json = true,
            _ => return Err(USAGE.into()),
        }
    }
    if wishes.seconds < 20 {
        return Err("--seconds: at least 20, or nothing has settled".into());
    }
    if wishes.rounds == 0 || wishes.polls.1 > 6 {
        return Err(format!("at least one round, and polls of 2^0 to 2^6 s\n{USAGE}"));
    }
    Ok(wishes)
}

/// The median of all rounds, with the lowest and the highest.
fn spread(figures: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut sorted: Vec<_> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    (middle(&sorted), sorted.first().copied().unwrap_or(0.0), sorted.last().copied().unwrap_or(0.0))
}

fn print(rounds: &[Vec<Round>]) {
    println!(
        "error of the clock, RMS in µs after the first third: median of the rounds (least to most);\n\
         pairs: truechimer / chronyd; relay: how late its packets left on average\n\n\
         {:<11} {:>24} {:>9} {:>24} {:>6} {:>13} {:>13} {:>17} {:>10}",
        "path", "truechimer", "estimate", "chronyd", "ratio", "first s", "packets", "bound µs", "relay µs"
    );
    for (scenario, rounds) in SCENARIOS.iter().zip(rounds) {
        let of = |figure: &dyn Fn(&Figures) -> f64| {
            (
                spread(rounds.iter().map(|round| figure(&round.ours))),
                spread(rounds.iter().filter_map(|round| round.theirs.as_ref()).map(figure)),
            )
        };
        let shown = |(median, least, most): (f64, f64, f64)| format!("{median:.1} ({least:.1} to {most:.1})");
        let pair = |figure: &dyn Fn(&Figures) -> f64, digits: usize| {
            let (ours, theirs) = of(figure);
            format!("{:.digits$} / {:.digits$}", ours.0, theirs.0)
        };
        let (ours, theirs) = of(&|figures| figures.clock_rms_us);
        let estimate = of(&|figures| figures.estimate_rms_us).0;
        println!(
            "{:<11} {:>24} {:>9.1} {:>24} {:>6.2} {:>13} {:>13} {:>17} {:>10.1}",
            scenario.name,
            shown(ours),
            estimate.0,
            shown(theirs),
            ours.0 / theirs.0,
            pair(&|figures| figures.first_s, 1),
            pair(&|figures| figures.packets as f64, 0),
            pair(&|figures| figures.bound_us, 0),
            of(&|figures| figures.relay_late_us).0.0,
        );
        let missed = |figures: &Figures| figures.outside;
        let ours: usize = rounds.iter().map(|round| missed(&round.ours)).sum();
        let theirs: usize = rounds.iter().filter_map(|round| round.theirs.as_ref()).map(missed).sum();
        if ours + theirs > 0 {
            println!("{:<11} readings outside the bound: {ours} / {theirs}", "");
        }
    }
    println!();
    for scenario in &SCENARIOS {
        println!("{:<11} {}", scenario.name, scenario.about);
    }
    if rounds.iter().flatten().all(|round| round.theirs.is_none()) {
        println!("\nchronyd is not here to compare with; `cargo xtask peers` fetches it");
    }
}

fn as_json(wishes: &Wishes, rounds: &[Vec<Round>]) -> Value {
    let scenarios = SCENARIOS.iter().zip(rounds).map(|(scenario, rounds)| {
        let all = |pick: &dyn Fn(&Round) -> Option<Value>| rounds.iter().map(pick).collect::<Vec<_>>();
        json!({
            "scenario": scenario.name,
            "truechimer": all(&|round| Some(round.ours.json())),
            "chronyd": all(&|round| round.theirs.as_ref().map(Figures::json)),
        })
    });
    json!({
        "seconds": wishes.seconds,
        "rounds": wishes.rounds,
        "polls": [wishes.polls.0, wishes.polls.1],
        "scenarios": scenarios.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_or_refused() {
        let wishes = understand(&["--rounds", "7", "--json"]).unwrap();
        assert!(wishes.rounds == 7 && wishes.seconds == 100 && wishes.json);
        for wrong in [&["--rounds"][..], &["--rounds", "0"], &["--poll", "9"], &["--seconds", "5"], &["fast"]]
        {
            assert!(understand(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_middle_stands_between_least_and_most() {
        assert_eq!(spread([3.0, 1.0, 9.0].into_iter()), (3.0, 1.0, 9.0));
    }
}
