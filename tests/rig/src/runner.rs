//! Runs cases, a few at a time, and judges them.

use crate::architecture::Architecture;
use crate::cases::{self, Case, Wants, known};
use crate::debian::Release;
use crate::guest::Stand;
use crate::machine::{Form, MACHINE_ENDED};
use crate::recipe::image::{self, Daemon, Packages};
use crate::recipe::{emulator, kernel, tools};
use crate::report::{self, Row, Verdict};
use crate::store::Store;
use crate::world::{self, World};
use caps::{CapSet, Capability};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Cases of these names; a word that is no case's name stands for all that begin with it. Empty: all of them.
    pub names: Vec<String>,
    /// Only the short form.
    pub short: bool,
    /// Only this release.
    pub release: Option<u8>,
    /// Only this daemon.
    pub daemon: Option<String>,
    /// Of the guests.
    pub architecture: Architecture,
    /// How many that work at a time, beside those that mostly wait; 0: as many as there are cores.
    pub jobs: usize,
}

/// One case on one release with one daemon.
type Job = (Case, Release, Daemon);

/// Runs what is asked for and prints the table. `packages` is called once, when it is clear that guests can run.
///
/// # Errors
/// Nothing can run here, with what is missing; or something failed that is not known to.
pub fn run(wish: &Wish, packages: impl FnOnce() -> Result<Packages, String>) -> Result<(), String> {
    let jobs = chosen(wish)?;
    prepare()?;
    let store = Store::open()?;
    store.forget_dead();
    world::forget_dead();
    let packages = packages()?;
    let started = Instant::now();
    let plan = Plan::make(&store, &jobs, &packages, wish)?;
    println!("{} cases, {}", jobs.len(), plan.describe());
    let rows = plan.run(&jobs, wish);
    println!("{}", report::details(&rows));
    let shown: Vec<Case> =
        cases::all().into_iter().filter(|case| rows.iter().any(|row| row.case == case.name)).collect();
    println!("{}", report::table(&shown, &rows));
    let wrong: Vec<&Row> = rows.iter().filter(|row| !row.verdict.is_in_order(row.daemon)).collect();
    println!(
        "{} cases in {:.0} s: {} in order, {} not",
        rows.len(),
        started.elapsed().as_secs_f64(),
        rows.len() - wrong.len(),
        wrong.len()
    );
    if wrong.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = wrong
        .iter()
        .map(|row| format!("{} with {} on Debian {}", row.case, row.daemon.name(), row.release.number()))
        .collect();
    Err(format!("not in order: {}", named.join("; ")))
}

/// From here on neither this process nor any that it starts can set the host's clock.
///
/// # Errors
/// What is missing on this machine.
pub fn prepare() -> Result<(), String> {
    let missing = tools::missing();
    if !missing.is_empty() {
        return Err(format!("the rig cannot run here; missing: {}", missing.join("; ")));
    }
    for set in [CapSet::Bounding, CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted]
    {
        caps::drop(None, set, Capability::CAP_SYS_TIME).map_err(|error| {
            format!("CAP_SYS_TIME cannot be given up ({error}): no guest is started with it")
        })?;
    }
    Ok(())
}

fn chosen(wish: &Wish) -> Result<Vec<Job>, String> {
    let all = cases::all();
    for name in &wish.names {
        if !all.iter().any(|case| case.name.starts_with(name.as_str())) {
            return Err(format!("there is no case {name}; `cargo xtask rig --list` names them"));
        }
    }
    let is_wanted = |case: &Case| {
        let exact = wish.names.iter().any(|name| name == case.name);
        let begins = wish
            .names
            .iter()
            .any(|name| case.name.starts_with(name.as_str()) && !all.iter().any(|other| other.name == name));
        (wish.names.is_empty() || exact || begins) && (!wish.short || case.short)
    };
    let jobs = all.iter().filter(|case| is_wanted(case)).flat_map(|case| {
        case.releases
            .iter()
            .flat_map(move |release| case.daemons.iter().map(move |daemon| (*case, *release, *daemon)))
    });
    let jobs: Vec<Job> = jobs
        .filter(|(_, release, _)| wish.release.is_none_or(|only| only == release.number()))
        .filter(|(_, _, daemon)| wish.daemon.as_ref().is_none_or(|only| only == daemon.name()))
        .filter(|(_, _, daemon)| !wish.short || *daemon != Daemon::Chrony)
        .collect();
    if jobs.is_empty() {
        return Err("nothing to run: no case fits these words".into());
    }
    Ok(jobs)
}

/// What is installed on the disk of a case.
fn on_disk(case: &Case, daemon: Daemon) -> Daemon {
    if case.bare { Daemon::None } else { daemon }
}

/// Everything that takes long, made beforehand.
struct Plan {
    store: Store,
    /// Where no case wants one, no kernel is built.
    quick: Option<Form>,
    about: String,
    whole: BTreeMap<Release, Form>,
    images: BTreeMap<(Release, Daemon), PathBuf>,
}

/// So many guests that mostly wait run beside each one that does not. They wait once they are up; until then each takes a core for
/// ten seconds.
const WAITING_BESIDE: usize = 3;

impl Plan {
    fn make(store: &Store, jobs: &[Job], packages: &Packages, wish: &Wish) -> Result<Self, String> {
        let architecture = wish.architecture;
        let is_quick =
            architecture == Architecture::Amd64 && jobs.iter().any(|(case, ..)| case.wants == Wants::Quick);
        let kernel = is_quick
            .then(|| if wish.short { kernel::at_hand(store) } else { kernel::built(store) })
            .transpose()?;
        let about = kernel.as_ref().map_or_else(
            || format!("of its release for {}", architecture.name()),
            |kernel| kernel.name.clone(),
        );
        let quick = kernel.map(|kernel| Form::Uml { program: kernel.program });
        let mut images = BTreeMap::new();
        let mut whole = BTreeMap::new();
        for (case, release, daemon) in jobs {
            let key = (*release, on_disk(case, *daemon));
            if let std::collections::btree_map::Entry::Vacant(place) = images.entry(key) {
                place.insert(image::of(store, (key.0, architecture), key.1, packages)?);
            }
            if (case.wants == Wants::Whole || quick.is_none()) && !whole.contains_key(release) {
                whole.insert(*release, emulator::form(store, *release, architecture)?);
            }
        }
        Ok(Self { store: store.clone(), quick, about, whole, images })
    }

    fn describe(&self) -> String {
        format!("kernel: {}", self.about)
    }

    fn run(&self, jobs: &[Job], wish: &Wish) -> Vec<Row> {
        let workers = match wish.jobs {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            jobs => jobs,
        };
        let (waiting, working): (Vec<_>, Vec<_>) = jobs.iter().enumerate().partition(|(_, job)| job.0.waits);
        let queues = [(working, workers), (waiting, WAITING_BESIDE * workers)]
            .map(|(jobs, workers)| (Mutex::new(jobs.into_iter()), workers));
        let rows = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for (queue, workers) in &queues {
                for _ in 0..*workers {
                    scope.spawn(|| {
                        loop {
                            let next = queue.lock().expect("no panic while locked").next();
                            let Some((at, job)) = next else { break };
                            let row = self.one(at, job);
                            rows.lock().expect("no panic while locked").push((at, row));
                        }
                    });
                }
            }
        });
        let mut rows = rows.into_inner().expect("no panic while locked");
        rows.sort_by_key(|(at, _)| *at);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    fn one(&self, at: usize, (case, release, daemon): &Job) -> Row {
        let started = Instant::now();
        let run = || self.stand(at, (case, *release, *daemon)).and_then(|stand| (case.run)(&stand));
        let mut outcome = run();
        // A kernel that runs as a program ends where the host refuses it something; that says nothing of a daemon.
        if outcome.as_ref().is_err_and(|why| why.contains(MACHINE_ENDED)) {
            println!("{} on Debian {}: the machine itself ended; once more", case.name, release.number());
            outcome = run();
        }
        let verdict = Verdict::of(outcome, known(case.name, *daemon, *release));
        let row = Row {
            case: case.name,
            release: *release,
            daemon: *daemon,
            verdict,
            took: started.elapsed().as_secs_f64(),
        };
        println!(
            "{:24} {:10} Debian {}: {}",
            row.case,
            row.daemon.name(),
            release.number(),
            report::cell(&row.verdict)
        );
        if let Verdict::Failed(why) = &row.verdict {
            println!("    {}", why.lines().collect::<Vec<_>>().join(" | "));
        }
        row
    }

    fn stand(&self, at: usize, (case, release, daemon): (&Case, Release, Daemon)) -> Result<Stand, String> {
        let form = match case.wants {
            Wants::Quick if self.quick.is_some() => self.quick.as_ref(),
            Wants::Quick | Wants::Whole => self.whole.get(&release),
        };
        Ok(Stand {
            release,
            daemon,
            form: form.ok_or("no machine of this form was made")?.clone(),
            image: self.images.get(&(release, on_disk(case, daemon))).ok_or("no image was made")?.clone(),
            world: World::new()?,
            folder: self.store.path(format!("run-{}-{at}", std::process::id())),
        })
    }
}

/// A guest to look around in: each line of standard input is a script for it, and what it prints comes back.
///
/// # Errors
/// As [`run`]; or the guest does not answer.
pub fn shell(
    release: Release,
    daemon: Daemon,
    (wants, architecture): (Wants, Architecture),
    packages: impl FnOnce() -> Result<Packages, String>,
) -> Result<(), String> {
    prepare()?;
    let store = Store::open()?;
    store.forget_dead();
    world::forget_dead();
    let case = Case { wants, ..cases::LOOK_AROUND };
    let wish = Wish { architecture, ..Wish::default() };
    let plan = Plan::make(&store, &[(case, release, daemon)], &packages()?, &wish)?;
    let stand = plan.stand(0, (&case, release, daemon))?;
    let mut guest = stand.boot(&crate::machine::Start::default())?;
    println!("up after {:.1} s", guest.machine.started().elapsed().as_secs_f64());
    for line in std::io::stdin().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let output = match line.as_str() {
            "offset" => format!("{:?}\n", guest.offset()?),
            "pause" => guest.machine.pause().map(|()| String::new())?,
            "resume" => guest.machine.resume().map(|()| String::new())?,
            script => guest.shell(script)?.text,
        };
        print!("$ {line}\n{output}");
    }
    Ok(())
}
