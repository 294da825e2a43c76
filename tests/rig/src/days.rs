//! `cargo xtask rig days`: whole days of the real daemons on the real kernel's clock, in simulated time.
//!
//! `cargo xtask simulate` has the engine and the governor, and a clock that does at once and exactly what it is told.
//! Here all of the daemon runs, its processes confined as anywhere, against the loop and the timekeeping of a Linux
//! kernel, and so does chronyd. A day takes ten seconds to a minute, since user-mode Linux skips the time in which all wait.
//!
//! ```text
//!   root      the guest's file system: a few programs and their libraries
//!   machine   a guest from its start to its outcome
//!   guest     the first process in it: two networks, the servers, a reading of the clock each second
//!   truth     what time it is: the guest's counter is perfect, so the truth wanders
//!   daemons   what is under test
//!   outcome   what a day was like, and how the host hears of it
//!   table     for people
//! ```

pub mod daemons;
pub mod guest;
pub mod machine;
pub mod outcome;
pub mod root;
pub mod table;
pub mod truth;

use crate::recipe::kernel;
use crate::runner;
use crate::store::Store;
use daemons::Daemon;
use outcome::Outcome;
use simulation::scenario::{self, Scenario};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use table::{HEAD, Row};

const CATALOGUE: &str = include_str!("../days/days.toml");

const USAGE: &str = "\
usage: cargo xtask rig days [--days N|DAY,DAY..] [--seeds N] [--first-seed N] [--daemons truechimer,chrony]
                            [--hours N] [--limit SECONDS] [--jobs N] [--json] [--tell]
       cargo xtask rig days --list";

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The daemon's release build, and `day` of this package.
    pub programs: PathBuf,
    /// What `cargo xtask peers` unpacked.
    pub peers: PathBuf,
}

struct Wishes {
    days: Vec<Scenario>,
    seeds: u64,
    first_seed: u64,
    daemons: Vec<Daemon>,
    hours: Option<f64>,
    limit: Duration,
    jobs: usize,
    json: bool,
    tell: bool,
}

/// Runs the days that the words ask for. `build` is called once it is known that they can run, and says where
/// the programs are.
///
/// # Errors
/// What is missing, and what a day ended with that told no outcome.
pub fn run(words: &[&str], build: impl FnOnce() -> Result<Tools, String>) -> Result<(), String> {
    if words == ["--list"] {
        catalogue().iter().for_each(|day| println!("{:<15} {}", day.name, day.about));
        return Ok(());
    }
    let wishes = understand(words)?;
    runner::prepare()?;
    let store = Store::open()?;
    let kernel = kernel::built(&store)?.program;
    let tools = build()?;
    let base = store.path("days");
    std::fs::create_dir_all(&base).map_err(|error| format!("{}: {error}", base.display()))?;
    let root = root::Root::new(&base, &tools, &wishes.daemons)?;
    if !wishes.json {
        println!("{HEAD}");
    }
    let mut failed = Vec::new();
    let mut versions = std::collections::BTreeSet::new();
    for day in &wishes.days {
        let seeds = wishes.first_seed..wishes.first_seed + wishes.seeds;
        let orders: Vec<_> = seeds
            .flat_map(|seed| wishes.daemons.iter().map(move |&daemon| (seed, daemon)))
            .map(|(seed, daemon)| machine::Order {
                kernel: &kernel,
                root: root.path(),
                base: &base,
                day: &day.name,
                seed,
                daemon,
                hours: wishes.hours.unwrap_or(day.days * 24.0),
                limit: wishes.limit,
                tell: wishes.tell,
            })
            .collect();
        let mut outcomes = Vec::new();
        for result in at_once(&orders, wishes.jobs) {
            match result {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => failed.push(error),
            }
        }
        versions.extend(outcomes.iter().map(|outcome| outcome.version.clone()));
        show(&wishes, day, &outcomes)?;
    }
    if !wishes.json {
        let versions: Vec<String> = versions.into_iter().collect();
        println!("{}; {} seeds from {}", versions.join(", "), wishes.seeds, wishes.first_seed);
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// Runs so many guests at once; their outcomes in the order of the orders.
fn at_once(orders: &[machine::Order<'_>], jobs: usize) -> Vec<Result<Outcome, String>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(order) = orders.get(place) else { return done };
            done.push((place, machine::run(order)));
        }
    };
    let mut all = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.min(orders.len())).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("it does not panic")).collect::<Vec<_>>()
    });
    all.sort_by_key(|(place, _)| *place);
    all.into_iter().map(|(_, result)| result).collect()
}

fn show(wishes: &Wishes, day: &Scenario, outcomes: &[Outcome]) -> Result<(), String> {
    if wishes.json {
        for outcome in outcomes {
            println!("{}", serde_json::to_string(outcome).map_err(|error| error.to_string())?);
        }
        return Ok(());
    }
    let mut same = day.clone();
    same.days = wishes.hours.map_or(day.days, |hours| hours / 24.0);
    let seeds = wishes.first_seed..wishes.first_seed + wishes.seeds;
    let pure: Vec<_> = seeds.map(|seed| simulation::world::run(&same, seed)).collect();
    print!("{}", Row { day: &day.name, outcomes, pure: &pure }.lines());
    Ok(())
}

/// The kernel of the guests, where it has been built.
///
/// # Errors
/// The rig's folder cannot be made.
pub fn kernel() -> Result<Option<PathBuf>, String> {
    Ok(kernel::built_before(&Store::open()?))
}

/// The ten days.
pub fn catalogue() -> Vec<Scenario> {
    scenario::parse(CATALOGUE).unwrap_or_else(|error| panic!("the catalogue is broken: {error}"))
}

/// A day of the catalogue, or of the pure simulation's.
///
/// # Errors
/// There is none of this name, or it has what cannot be had in a guest.
pub fn find(name: &str) -> Result<Scenario, String> {
    let mut known = catalogue().into_iter().chain(scenario::catalogue());
    let day = known.find(|day| day.name == name);
    let day = day.ok_or_else(|| {
        format!(
            "there is no day {name}; `cargo xtask rig days --list` and `cargo xtask simulate --list` have all"
        )
    })?;
    let odd_source = |path: &scenario::Path| {
        path.prefer || path.trust || path.require || path.authenticated || path.announces != 0 || path.smears
    };
    let odd_event =
        |event: &scenario::Event| event.sleep.is_some() || event.meddle.is_some() || event.restart;
    let odd = day.leap_day || day.saved_ppm.is_some();
    if odd || day.source.iter().any(odd_source) || day.event.iter().any(odd_event) {
        return Err(format!(
            "{name} has what only the pure simulation can do; `cargo xtask simulate {name}`"
        ));
    }
    Ok(day)
}

fn understand(words: &[&str]) -> Result<Wishes, String> {
    let mut wishes = Wishes {
        days: catalogue(),
        seeds: 1,
        first_seed: 1,
        daemons: Daemon::ALL.to_vec(),
        hours: None,
        limit: Duration::from_secs(300),
        jobs: std::thread::available_parallelism().map_or(1, |n| n.get()),
        json: false,
        tell: false,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut next = || words.next().copied().ok_or_else(|| USAGE.to_owned());
        let number =
            |word: &str| word.parse::<f64>().ok().filter(|n| *n > 0.0).ok_or_else(|| USAGE.to_owned());
        match *word {
            "--days" => wishes.days = chosen(next()?)?,
            "--seeds" => wishes.seeds = number(next()?)? as u64,
            "--first-seed" => wishes.first_seed = number(next()?)? as u64,
            "--daemons" => wishes.daemons = next()?.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--hours" => wishes.hours = Some(number(next()?)?),
            "--limit" => wishes.limit = Duration::from_secs_f64(number(next()?)?),
            "--jobs" => wishes.jobs = (number(next()?)? as usize).max(1),
            "--json" => wishes.json = true,
            "--tell" => wishes.tell = true,
            _ => return Err(USAGE.into()),
        }
    }
    Ok(wishes)
}

/// The first so many, or those named.
fn chosen(word: &str) -> Result<Vec<Scenario>, String> {
    match word.parse() {
        Ok(count) => Ok(catalogue().into_iter().take(count).collect()),
        Err(_) => word.split(',').map(find).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_ten_days_on_three_networks_all_of_which_a_guest_can_have() {
        let days = catalogue();
        assert_eq!(days.len(), 10);
        days.iter().for_each(|day| drop(find(&day.name).expect("a guest can have it")));
        let kinds: std::collections::BTreeSet<_> =
            days.iter().flat_map(|day| day.source.iter().map(|path| path.kind.as_str())).collect();
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["bad", "lan", "wan"]);
    }

    #[test]
    fn a_day_with_what_a_guest_cannot_do_is_refused_with_the_command_that_can() {
        let error = find("a161_sleep").expect_err("a guest does not sleep");
        assert!(error.contains("cargo xtask simulate a161_sleep"), "{error}");
        assert!(find("nonsense").is_err());
    }

    #[test]
    fn days_are_chosen_by_number_or_by_name() {
        let names =
            |word| chosen(word).expect("known days").into_iter().map(|day| day.name).collect::<Vec<_>>();
        assert_eq!(names("2"), ["lan_calm", "lan_restless"]);
        assert_eq!(names("outage,wan_w9"), ["outage", "wan_w9"]);
        assert!(understand(&["--days", "nonsense"]).is_err());
        assert!(understand(&["--seeds", "0"]).is_err());
    }
}
