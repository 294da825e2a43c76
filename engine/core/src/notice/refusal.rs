//! Refusals of the governor, and a clock that may not be corrected.

use crate::io::OrderKind;
use alloc::format;
use alloc::string::String;
use ipc::message::privileged::{RUN_STEP_SPACING, Refusal};

/// What becomes of the clock after a refusal, where no other notice says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterRefusal {
    /// Nothing that is to be said.
    Nothing,
    /// A step is asked for again.
    AskedAgain,
    /// It is slewed.
    Slewed,
}

/// That the clock may neither be stepped nor slewed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hold {
    /// How far it is off, seconds; positive: it is behind.
    pub offset: f64,
    /// Which row refused a step; none: no step is due.
    pub refusal: Option<Refusal>,
}

impl Hold {
    /// That it is so, why, and what lifts it.
    pub fn sentence(self) -> String {
        let size = self.offset.abs();
        let way = if self.offset > 0.0 { "slow" } else { "fast" };
        format!("the clock is {size:.0} s {way} and stays so: {}", self.what_lifts_it())
    }

    fn what_lifts_it(self) -> String {
        let size = self.offset.abs();
        // With room for what it drifts until then.
        let approve =
            format!("restart with --approve-step {:.0} to allow one step", libm::ceil(size * 1.01 + 1.0));
        match self.refusal {
            None => format!("that is too much to slew, and no step is due; {approve}"),
            Some(Refusal::Latest) => {
                format!("the governor refused to set it (latest), because {}", remedy(Refusal::Latest))
            }
            Some(Refusal::Floor) => format!(
                "the governor refused to set it (floor), because {}; if only that last time was wrong, {approve}",
                remedy(Refusal::Floor)
            ),
            Some(row) => format!(
                "the governor refused to set it ({}), and it is too far off to slew; {approve}",
                row.name()
            ),
        }
    }
}

/// What was refused, what an administrator can do about it, and what follows.
pub(super) fn sentence(kind: OrderKind, code: Refusal, then: AfterRefusal) -> String {
    let what = match kind {
        OrderKind::Adjust => "a slew",
        OrderKind::Step => "a step",
        OrderKind::Status => "a status",
    };
    let minutes = RUN_STEP_SPACING.nanos() / 60_000_000_000;
    let then = match then {
        AfterRefusal::Nothing => String::new(),
        AfterRefusal::AskedAgain => {
            format!("; a step is asked for again in {minutes} min, if it is still needed then")
        }
        AfterRefusal::Slewed => "; it is slewed instead".into(),
    };
    format!("the governor refused {what} ({}): {}{then}", code.name(), remedy(code))
}

/// What an administrator can do about a refusal; where nothing, what happens by itself.
fn remedy(code: Refusal) -> &'static str {
    match code {
        Refusal::Floor => {
            "the sources say a time before this program was built or long before the last good time; check them"
        }
        Refusal::Latest => {
            "the sources say a time too far ahead for this build; check them, or install a newer build"
        }
        Refusal::StartBack | Refusal::StartForward | Refusal::StartWindow => {
            "too large, or too late, for a first setting; if the sources are right, restart with --approve-step SECONDS"
        }
        Refusal::RunStep => {
            "larger than a step may be while running; if the sources are right, restart with --approve-step SECONDS"
        }
        Refusal::TooSoon => "the last such step was made too short a time ago",
        Refusal::Evidence => "nothing shows that somebody else moved the clock or that the machine slept",
        Refusal::Budget => "the day's allowance is used up; slews stay gentle until some is earned back",
        Refusal::Band => {
            "the oscillator runs outside the band that it was commissioned in; check the sources, then see truechimerd(8) about the governor's record"
        }
        Refusal::Total => "the oscillator is too far off for this clock; the slew will be gentler",
        Refusal::Rate | Refusal::Stale | Refusal::StaleEpoch => "what to do is decided anew at once",
        Refusal::Range => "this is a fault of the program; please report it",
        Refusal::LeapDate | Refusal::LeapTooSoon => "a leap second can't be now; check the sources",
        Refusal::Tai => "the sources' TAI offset is impossible; check them",
        Refusal::NoPersist => "the state directory can't be written; free some space or remount it",
        Refusal::Clock => "the kernel refused; see the daemon's log",
        Refusal::NoClock => "there is no clock to steer here",
        Refusal::Unproven => "no correction was applied of late; it will be asked again after one",
    }
}
