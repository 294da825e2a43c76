//! `cargo xtask simulate`: whole days in virtual time, over several seeds.

use simulation::figures::Figures;
use simulation::scenario::{Scenario, catalogue, find, parse};
use simulation::table::{HEAD, Row};
use simulation::world::{World, run as run_day};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Seeds of the printed table begin here: tuning uses lower ones.
const FRESH: u64 = 7_001;

const USAGE: &str = "\
usage: cargo xtask simulate [SCENARIO|accuracy|own|attacks|starts|fast|still|bursts|paths|weeks|likely|traces|FILE.toml ...] [--seeds N] [--first-seed N] [--json] [--plot FILE.svg]
       cargo xtask simulate --list";

struct Wishes {
    scenarios: Vec<Scenario>,
    seeds: u64,
    first_seed: u64,
    json: bool,
    plot: Option<String>,
    log: bool,
}

/// Runs what the words ask for.
pub fn run(words: &[&str]) -> Result<(), String> {
    if words == ["--list"] {
        for scenario in catalogue() {
            println!("{:<34} {}", scenario.name, scenario.about);
        }
        return Ok(());
    }
    let wishes = understand(words)?;
    if wishes.log {
        tell(&wishes);
        return Ok(());
    }
    if let Some(file) = &wishes.plot {
        return picture(&wishes, file);
    }
    if !wishes.json {
        println!("{HEAD}");
    }
    for scenario in &wishes.scenarios {
        let row =
            Row { scenario: scenario.clone(), figures: days(scenario, wishes.first_seed, wishes.seeds) };
        if wishes.json {
            println!("{}", serde_json::to_string(&row.summary()).map_err(|error| error.to_string())?);
        } else {
            println!("{}", row.line());
        }
    }
    Ok(())
}

fn understand(words: &[&str]) -> Result<Wishes, String> {
    let mut wishes =
        Wishes { scenarios: Vec::new(), seeds: 11, first_seed: FRESH, json: false, plot: None, log: false };
    let mut words = words.iter();
    let number = |word: Option<&&str>| word.and_then(|word| word.parse().ok()).ok_or(USAGE.to_owned());
    while let Some(word) = words.next() {
        match *word {
            "--seeds" => wishes.seeds = number(words.next())?,
            "--first-seed" => wishes.first_seed = number(words.next())?,
            "--json" => wishes.json = true,
            "--log" => wishes.log = true,
            "--plot" => wishes.plot = Some((*words.next().ok_or(USAGE)?).to_owned()),
            file if file.ends_with(".toml") => {
                let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
                wishes.scenarios.extend(parse(&text).map_err(|error| format!("{file}: {error}"))?);
            }
            option if option.starts_with("--") => return Err(USAGE.into()),
            name => {
                let found = find(name);
                if found.is_empty() {
                    return Err(format!(
                        "there is no scenario {name}; `cargo xtask simulate --list` has all"
                    ));
                }
                wishes.scenarios.extend(found);
            }
        }
    }
    if wishes.scenarios.is_empty() {
        wishes.scenarios = catalogue();
    }
    Ok(wishes)
}

/// The days of one scenario, as many in parallel as there are processors.
fn days(scenario: &Scenario, first: u64, seeds: u64) -> Vec<Figures> {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(seeds.max(1) as usize);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut found = Vec::new();
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed) as u64;
                        if seed >= seeds {
                            return found;
                        }
                        found.push(run_day(scenario, first + seed));
                    }
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a day does not panic")).collect()
    })
}

/// Prints the events for the log and the state at the end.
fn tell(wishes: &Wishes) {
    for scenario in &wishes.scenarios {
        let mut world = World::new(scenario, wishes.first_seed);
        world.run_until(scenario.days * 86_400.0);
        for (at, notice) in &world.notices {
            println!("{at:>9.1} <{}> {notice:?}", notice.severity());
        }
        println!("{:#?}", world.status());
    }
}

fn picture(wishes: &Wishes, file: &str) -> Result<(), String> {
    let [scenario] = wishes.scenarios.as_slice() else { return Err("--plot takes one scenario".into()) };
    let mut world = World::new(scenario, wishes.first_seed);
    world.keep_seconds();
    world.run_until(scenario.days * 86_400.0);
    let seconds = world.into_ledger().seconds.unwrap_or_default();
    let drawing = simulation::plot::draw(&scenario.name, &seconds, scenario.from.min(600.0));
    std::fs::write(file, drawing).map_err(|error| format!("{file}: {error}"))
}
