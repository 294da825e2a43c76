//! Refusals of the governor, and a clock that may be neither stepped nor slewed.

use super::{Sentence, Text};
use engine_core::io::OrderKind;
use engine_core::notice::{AfterRefusal, Hold, Short, Slewing};
use ipc::message::privileged::{RUN_STEP_SPACING, Refusal};

impl Sentence for Hold {
    fn sentence(&self) -> Text {
        format!("the clock is {} and stays so: {}", off(self.offset), remedy_of_hold(self)).into()
    }
}

impl Sentence for Slewing {
    fn sentence(&self) -> Text {
        format!("the clock is {} and {}", off(self.offset), course(self)).into()
    }
}

/// `8.3 s slow`.
pub(super) fn off(offset: f64) -> String {
    let size = offset.abs();
    let direction = if offset > 0.0 { "slow" } else { "fast" };
    match size {
        0.0..1.0 => format!("{size:.3} s {direction}"),
        1.0..10.0 => format!("{size:.1} s {direction}"),
        _ => format!("{size:.0} s {direction}"),
    }
}

/// What happens to a clock that is off and slewed, and what helps.
pub(super) fn course(slewing: &Slewing) -> String {
    let why = if slewing.is_reduced { ", as the governor's allowance is used up" } else { "" };
    let allow = if slewing.is_unallowed { ALLOW } else { "" };
    let (rate, approve) = (slewing.rate_ppm, approve(slewing.offset));
    // The allowance is earned back meanwhile, which makes it faster than it is now.
    let measure = if slewing.is_reduced { "about" } else { "at least" };
    let short = slewing.short.map_or(String::new(), |short| {
        let Short { needed_ppm: needed, granted_ppm: granted, is_strict } = short;
        let cause = if needed.abs() > QUARTZ {
            "hardly any quartz is so far off, but a clock source that the kernel or the hypervisor has calibrated wrongly may be: \
             boot with another one (kernel option clocksource=; those that this machine has are in \
             /sys/devices/system/clocksource/clocksource0/available_clocksource)"
        } else {
            "the band follows it slowly and no farther than the profile allows: check the sources and the oscillator"
        };
        let anew = "the band anew, once and by hand (commands: truechimerd(8), \"A lost record\")";
        let wider = match needed.abs() {
            size if size > WIDEST => {
                "; no profile allows so much, and --new-record does not help".to_owned()
            }
            size if is_strict && size > WIDEST_STRICT => {
                format!(", or write profile = \"standard\" under [governor] and begin {anew}")
            }
            _ => format!(", or begin {anew}"),
        };
        format!(
            "its oscillator needs a base frequency of {needed:+.0} ppm, and the governor's band ends at {granted:+.0} ppm; \
             {cause}{wider}"
        )
    });
    match slewing.left {
        Some(left) => {
            let left = super::notice::duration(left);
            let short = if short.is_empty() { short } else { format!("; {short}") };
            format!(
                "is slewed to the time of its sources, which takes {measure} {left} at {rate:.1} ppm{why}{short}; {approve} at \
                 once{allow}"
            )
        }
        None if short.is_empty() => format!(
            "does not come nearer now: at the edge of the governor's band a slew is paid from its allowance, which is used up \
             and earned back over a day; {approve} at once{allow}"
        ),
        // A step would not last.
        None => {
            let a_day = -rate * 0.0864;
            format!("goes {a_day:.1} s a day farther from the time of its sources{why}: {short}")
        }
    }
}

/// The largest frequency error in ppm that the quartz of a computer may have: 100 ppm of tolerance, temperature and age, and a
/// margin.
const QUARTZ: f64 = 150.0;

/// The largest base frequency in ppm that the standard profile allows, in the first hour of a record (`search_band` of the
/// governor's limits): no new record allows more.
const WIDEST: f64 = 1_000.0;

/// The same of the strict profile.
const WIDEST_STRICT: f64 = 200.0;

/// The way to all steps of a machine that may be paused.
const ALLOW: &str = ", or allow such steps with allow-forward-steps, if the machine may be paused and has no hardware clock \
                     that shows it";

/// The way to one step of this size.
fn approve(offset: f64) -> String {
    format!("run chimerctl step --approve {} to step it", super::leave_for(offset))
}

fn remedy_of_hold(hold: &Hold) -> String {
    let approve = approve(hold.offset);
    match hold.refusal {
        None => format!("that is too much to slew, and no step is due; {approve}"),
        Some(row @ Refusal::Latest) => {
            format!("the governor refused to set it ({}), because {}", row.name(), row.sentence())
        }
        Some(row @ Refusal::Floor) => format!(
            "the governor refused to set it ({}), because {}; if only that last time was wrong, {approve}",
            row.name(),
            row.sentence()
        ),
        Some(row) => format!(
            "the governor refused to set it ({}), and it is too far off to slew; {approve}{}",
            row.name(),
            if hold.is_unallowed { ALLOW } else { "" }
        ),
    }
}

/// A refused order, what can be done about it, and what follows.
pub(super) fn refused(kind: OrderKind, refusal: Refusal, then: AfterRefusal) -> Text {
    let order = match kind {
        OrderKind::Adjust => "a slew",
        OrderKind::Step => "a step",
        OrderKind::Status => "a status",
        OrderKind::Tai => "an offset of TAI",
    };
    let then = match then {
        AfterRefusal::Nothing => String::new(),
        AfterRefusal::StepRetried => {
            let minutes = RUN_STEP_SPACING.nanos() / 60_000_000_000;
            format!("; a step is ordered again in {minutes} min, if it is still needed then")
        }
        AfterRefusal::StepAwaited(after) => {
            let seconds = (after.nanos() + 999_999_999) / 1_000_000_000;
            format!("; it is ordered again in {seconds} s, if it is still needed then")
        }
        AfterRefusal::Slewed => "; it is slewed instead".to_owned(),
    };
    format!("the governor refused {order} ({}): {}{then}", refusal.name(), refusal.sentence()).into()
}

impl Sentence for Refusal {
    /// The reason, and what an administrator can do about it, or else what happens next.
    fn sentence(&self) -> Text {
        match self {
            Self::Floor => {
                "the sources give a time before this program was built or long before the last good time; check them"
            }
            Self::Latest => {
                "the sources give a time too far ahead for this build; check them, or install a newer build"
            }
            Self::StartBack | Self::StartForward | Self::StartWindow => {
                "too large, too late or one too many for a first setting; if the sources are right, run chimerctl step --approve SECONDS"
            }
            Self::RunStep => {
                "larger than a step may be while running or after a suspend; if the sources are right, run chimerctl step --approve SECONDS"
            }
            Self::Forward => {
                "larger than allow-forward-steps; if the sources are right, run chimerctl step --approve SECONDS"
            }
            Self::TooSoon => {
                "the last such step was too recent, or those of the last 24 hours used up what is allowed of them"
            }
            Self::Evidence => "nothing shows that another program moved the clock, or that the host was suspended or paused",
            Self::Budget => "the day's allowance is used up; slews stay inside the band until some is earned back",
            Self::Band => {
                "the oscillator runs outside the band of its last weeks, which follows it slowly; check the sources, then see \
                 truechimerd(8) about the governor's record"
            }
            Self::Total => "base frequency and slew together are faster than the profile allows; the slew will be gentler",
            Self::Rate | Self::Stale | Self::StaleEpoch => "what to do is decided anew at once",
            Self::Range => "this is a fault of the program; please report it",
            Self::LeapDate | Self::LeapTooSoon => "a leap second cannot occur now; check the sources",
            Self::Tai => {
                "the kernel has another offset of TAI, and it goes by one second at a time; if the list of leap seconds is right, set it by hand"
            }
            Self::NoPersist => "the state directory cannot be written; free some space or remount it",
            Self::Clock => "the kernel refused; see the daemon's log",
            Self::NoClock => "there is no clock to steer here",
            Self::Unproven => "no correction was applied recently; it will be ordered again after one",
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_record_is_advised_where_a_band_that_begins_anew_can_hold_the_frequency() {
        let (anew, standard) =
            ("begin the band anew", "write profile = \"standard\" under [governor] and begin the band anew");
        for (needed, is_strict, advised, unadvised) in [
            (230.0, false, anew, standard),
            (-999.0, false, anew, standard),
            (130.0, true, anew, standard),
            (230.0, true, standard, "no profile"),
            (-999.0, true, standard, "no profile"),
            (1_200.0, false, "no profile allows so much, and --new-record does not help", anew),
            (-1_200.0, true, "no profile allows so much, and --new-record does not help", anew),
        ] {
            let short = Some(Short { needed_ppm: needed, granted_ppm: 50.0, is_strict });
            let slewing = Slewing {
                offset: 1.0,
                rate_ppm: -30.0,
                left: None,
                short,
                is_reduced: false,
                is_unallowed: false,
            };
            let text = course(&slewing);
            assert!(text.contains(advised) && !text.contains(unadvised), "{needed} {is_strict}: {text}");
        }
    }
}
