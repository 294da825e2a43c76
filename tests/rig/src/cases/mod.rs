//! The table of cases, and the known failures by name.

mod addresses;
mod apparmor;
mod boot;
mod clock;
mod container;
mod files;
mod known;
mod network;
mod nts;
mod package;
mod pause;
mod power;
mod process;
mod replace;
mod storage;
mod time_page;
mod unit;

pub use known::{known, list as list_of_known};

use crate::debian::Release;
use crate::guest::{Guest, Stand};
use crate::machine::Start;
use crate::recipe::image::Daemon;
use std::time::Duration;

/// Which form of machine a case wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Linux as a program will do.
    Quick,
    /// A real-time clock, or a pause button.
    Whole,
}

/// What a case found, where the daemon did as it should.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Seconds from what the case names to right.
    pub seconds: Option<f64>,
    /// Exit states, counts, whatever belongs beside it.
    pub note: String,
    /// The journal's lines.
    pub journal: Vec<String>,
}

/// One case.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name: what is typed, and what the known failures name.
    pub name: &'static str,
    /// What happens, and what is right.
    pub what: &'static str,
    /// The form of machine.
    pub wants: Wants,
    /// On which releases.
    pub releases: &'static [Release],
    /// With which daemons.
    pub daemons: &'static [Daemon],
    /// It mostly waits: some of these at a time do no harm.
    pub waits: bool,
    /// It is part of the short form.
    pub short: bool,
    /// Its disk has no daemon installed: the package is what is tried.
    pub bare: bool,
    /// The case.
    pub run: fn(&Stand) -> Result<Found, String>,
}

impl Case {
    /// On both releases, ours beside chronyd, on the quick form of machine.
    const fn new(name: &'static str, what: &'static str, run: fn(&Stand) -> Result<Found, String>) -> Self {
        Self {
            name,
            what,
            wants: Wants::Quick,
            releases: BOTH,
            daemons: BESIDE,
            waits: false,
            short: false,
            bare: false,
            run,
        }
    }

    /// It needs a whole machine; these are slow, so the newer release will do.
    const fn whole(self) -> Self {
        Self { wants: Wants::Whole, releases: NEWER, ..self }
    }

    /// Chronyd has nothing to set against it.
    const fn ours(self) -> Self {
        Self { daemons: OURS, ..self }
    }

    /// One release shows it.
    const fn newer(self) -> Self {
        Self { releases: NEWER, ..self }
    }

    /// It mostly waits, and runs beside others.
    const fn waiting(self) -> Self {
        Self { waits: true, ..self }
    }

    /// Nothing is installed: the package is what is tried, so it is ours alone.
    const fn bare(self) -> Self {
        Self { bare: true, daemons: OURS, ..self }
    }

    /// It belongs to the short form.
    const fn short(self) -> Self {
        Self { short: true, ..self }
    }
}

/// Seconds since 1970 by the host's clock.
fn today() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// How long a guest may take from power-on to a right clock, a busy host included.
const BOOT: Duration = Duration::from_secs(240);

/// How long a daemon that runs may take after an event. What is wanted is less, and the table shows it; this is where
/// a case gives up.
const SOON: Duration = Duration::from_secs(90);

/// Shifts the clock far enough for a case to see whether it is put right, by a step that needs no leave.
const OFF: &str = "date -s '+0.4 seconds' > /dev/null";

/// Boots, and waits until the service is active and the clock right.
fn boot_right<'a>(stand: &'a Stand, start: &Start) -> Result<Guest<'a>, String> {
    let mut guest = stand.boot(start)?;
    let since = guest.machine.started();
    guest.wait_until_active(since, BOOT)?;
    guest.wait_until_right(std::time::Instant::now(), SOON)?;
    Ok(guest)
}

/// Both releases.
const BOTH: &[Release] = &Release::ALL;
/// The newer one alone.
const NEWER: &[Release] = &[Release::Trixie];
/// Ours, and chronyd beside it.
const BESIDE: &[Daemon] = &[Daemon::Truechimer, Daemon::Chrony];
/// Ours alone: what chronyd has nothing to set against.
const OURS: &[Daemon] = &[Daemon::Truechimer];

/// No case at all: a guest to look around in.
pub(crate) const LOOK_AROUND: Case =
    Case::new("shell", "", |_| Ok(Found { seconds: None, note: String::new(), journal: Vec::new() }));

/// All cases, in the order in which they are shown.
pub fn all() -> Vec<Case> {
    [
        boot::CASES,
        network::CASES,
        addresses::CASES,
        power::CASES,
        process::CASES,
        pause::CASES,
        clock::CASES,
        storage::CASES,
        unit::CASES,
        time_page::CASES,
        files::CASES,
        nts::CASES,
        apparmor::CASES,
        container::CASES,
        package::CASES,
        replace::CASES,
    ]
    .concat()
}
