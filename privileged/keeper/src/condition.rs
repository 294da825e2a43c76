//! The daemon's condition, as one status line for the service manager.

use ipc::calendar::Rfc3339;
use ipc::message::exchange::LookupFailure;
use ipc::message::privileged::Condition;
use ipc::units::WallTime;
use std::fmt;

/// Displays a condition.
pub struct StatusLine(pub Condition);

impl fmt::Display for StatusLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Condition::AwaitingReplies { of } => {
                write!(f, "waiting for the network: no reply yet from {}", Count(of))
            }
            Condition::AwaitingNames { of, why } => {
                let whose =
                    if of == 1 { "the name of 1 source is" } else { &format!("names of {of} sources are") };
                let why = why.map_or("the look-up is under way", LookupFailure::cause);
                write!(f, "waiting for the resolver: {whose} not resolved ({why})")
            }
            Condition::AwaitingKeys { of } => {
                write!(f, "waiting for keys of {}: chimerctl keys says why", Count(of))
            }
            Condition::AwaitingMajority { of: 1, .. } => f.write_str("measuring: the only source was heard"),
            Condition::AwaitingMajority { heard, of } if heard == of => {
                write!(f, "waiting for a majority: all {} heard", Count(of))
            }
            Condition::AwaitingMajority { heard, of } => {
                write!(f, "waiting for a majority: {heard} of {} heard", Count(of))
            }
            Condition::Disagreeing { heard, of } if heard == of => {
                write!(
                    f,
                    "no majority: all {} heard, and too few of them agree; the clock runs on",
                    Count(of)
                )
            }
            Condition::Disagreeing { heard, of } => {
                write!(f, "no majority: {heard} of {} heard, and too few agree; the clock runs on", Count(of))
            }
            Condition::Setting => f.write_str("setting the clock"),
            Condition::Correcting { offset } if offset.nanos() == 0 => {
                f.write_str("not synchronised: the clock is being brought back to its sources")
            }
            Condition::Correcting { offset } => {
                let direction = if offset.nanos() > 0 { "slow" } else { "fast" };
                let seconds = offset.nanos().unsigned_abs() / 1_000_000_000;
                write!(
                    f,
                    "not synchronised: the clock is {seconds} s {direction} and is slewed to its sources"
                )
            }
            Condition::Uncertain { most } => {
                write!(
                    f,
                    "not synchronised: the clock may be off by up to {} s",
                    most.nanos() / 1_000_000_000
                )
            }
            Condition::Unusable { corrected: None } => {
                f.write_str("sources answer, and none can be followed: chimerctl sources says why")
            }
            Condition::Unusable { corrected: Some(corrected) } => write!(
                f,
                "sources answer, and none can be followed; last correction {}; the clock runs on",
                Minute(corrected)
            ),
            Condition::Synchronised { stratum, of: 1, .. } => {
                write!(f, "synchronised: stratum {stratum}, following the only source")
            }
            Condition::Synchronised { stratum, used, of } => {
                write!(f, "synchronised: stratum {stratum}, following {used} of {}", Count(of))
            }
            Condition::Held(Some(row)) => {
                write!(f, "held by the governor ({}): see REFUSALS in truechimerd(8)", row.name())
            }
            Condition::Held(None) => {
                f.write_str("held: the clock is too far off to be slewed; see chimerctl step")
            }
            Condition::Unreachable { corrected } => {
                write!(f, "no source reachable, last correction {}; the clock runs on", Minute(corrected))
            }
            Condition::Insufficient { corrected } => write!(
                f,
                "not enough of the sources asked for, last correction {}; the clock runs on",
                Minute(corrected)
            ),
            Condition::Unsteered => f.write_str("clock none: serving and watching, never setting the clock"),
            Condition::Local(stratum) => {
                write!(f, "no source configured: serving this host's own time at stratum {stratum}")
            }
            Condition::NoSources => f.write_str("no source configured"),
        }
    }
}

struct Count(u32);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} source{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

struct Minute(WallTime);

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = Rfc3339(self.0).to_string();
        let (day, time) = date.split_once('T').unwrap_or((&date, ""));
        write!(f, "{day} {} UTC", time.get(..5).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::message::privileged::Refusal;
    use ipc::units::{Offset, Span};

    #[test]
    fn each_condition_is_one_short_line() {
        let corrected = WallTime::try_new(1_784_462_400_000_000_000).unwrap();
        for (condition, line) in [
            (Condition::AwaitingReplies { of: 1 }, "waiting for the network: no reply yet from 1 source"),
            (Condition::AwaitingMajority { heard: 1, of: 4 }, "waiting for a majority: 1 of 4 sources heard"),
            (
                Condition::AwaitingNames { of: 1, why: Some(LookupFailure::NoSuchName) },
                "waiting for the resolver: the name of 1 source is not resolved (the name does not exist)",
            ),
            (
                Condition::AwaitingNames { of: 2, why: None },
                "waiting for the resolver: names of 2 sources are not resolved (the look-up is under way)",
            ),
            (Condition::AwaitingKeys { of: 1 }, "waiting for keys of 1 source: chimerctl keys says why"),
            (Condition::AwaitingReplies { of: 2 }, "waiting for the network: no reply yet from 2 sources"),
            (Condition::AwaitingMajority { heard: 1, of: 1 }, "measuring: the only source was heard"),
            (Condition::AwaitingMajority { heard: 2, of: 2 }, "waiting for a majority: all 2 sources heard"),
            (
                Condition::Disagreeing { heard: 3, of: 3 },
                "no majority: all 3 sources heard, and too few of them agree; the clock runs on",
            ),
            (
                Condition::Synchronised { stratum: 2, used: 1, of: 1 },
                "synchronised: stratum 2, following the only source",
            ),
            (Condition::Setting, "setting the clock"),
            (
                Condition::Correcting { offset: Offset::saturating(61_000_000_000) },
                "not synchronised: the clock is 61 s slow and is slewed to its sources",
            ),
            (
                Condition::Correcting { offset: Offset::saturating(-3_000_000_000) },
                "not synchronised: the clock is 3 s fast and is slewed to its sources",
            ),
            (
                Condition::Correcting { offset: Offset::ZERO },
                "not synchronised: the clock is being brought back to its sources",
            ),
            (
                Condition::Uncertain { most: Span::from_secs(2) },
                "not synchronised: the clock may be off by up to 2 s",
            ),
            (
                Condition::Unusable { corrected: None },
                "sources answer, and none can be followed: chimerctl sources says why",
            ),
            (
                Condition::Unusable { corrected: Some(corrected) },
                "sources answer, and none can be followed; last correction 2026-07-19 12:00 UTC; the clock runs on",
            ),
            (
                Condition::Synchronised { stratum: 3, used: 4, of: 5 },
                "synchronised: stratum 3, following 4 of 5 sources",
            ),
            (
                Condition::Held(Some(Refusal::StartForward)),
                "held by the governor (start-forward): see REFUSALS in truechimerd(8)",
            ),
            (
                Condition::Unreachable { corrected },
                "no source reachable, last correction 2026-07-19 12:00 UTC; the clock runs on",
            ),
        ] {
            assert_eq!(StatusLine(condition).to_string(), line);
        }
    }
}
