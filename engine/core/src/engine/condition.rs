//! The condition for the service manager: the state as one value.

use super::Engine;
use super::publishing::UNKNOWN;
use crate::io::Now;
use crate::select::Impasse;
use crate::status::SystemReason;
use ipc::message::privileged::Condition;
use ipc::units::{Offset, Span, WallTime};

/// The last correction is given to the minute, since the clock that dates it is being corrected.
const MINUTE: i64 = 60 * SECOND;

const SECOND: i64 = 1_000_000_000;

impl Engine {
    /// The condition now: the reason of the state, as far as a line of the service manager has room for it.
    pub fn condition(&self, now: Now) -> Condition {
        let heard = count(self.entries.sources().filter(|source| source.is_heard()).count());
        let of = count(self.entries.sources().count().max(self.entries.len()));
        match self.reason(now) {
            SystemReason::Held(hold) => Condition::Held(hold.refusal),
            SystemReason::Obstructed(row) => Condition::Held(Some(row)),
            SystemReason::NoSources => Condition::NoSources,
            SystemReason::Local { stratum, .. } => Condition::Local(stratum),
            SystemReason::Unsteered => Condition::Unsteered,
            SystemReason::NoMajority(found) if found.impasse == Impasse::NoMajority => {
                Condition::Disagreeing { heard, of }
            }
            SystemReason::Unusable { .. } => Condition::Unusable { corrected: None },
            SystemReason::NoReplies(asked) => match asked {
                _ if asked.unusable > 0 => Condition::Unusable { corrected: None },
                _ if asked.queried > 0 => Condition::AwaitingReplies { of },
                _ if asked.unresolved > 0 => Condition::AwaitingNames { of, why: asked.why },
                _ if asked.keyless > 0 => Condition::AwaitingKeys { of },
                _ => Condition::AwaitingReplies { of },
            },
            SystemReason::NoMajority(_) | SystemReason::AwaitingQuorum | SystemReason::Gathering { .. } => {
                Condition::AwaitingMajority { heard, of }
            }
            SystemReason::Holdover(found) => match found.impasse {
                Impasse::TooFew | Impasse::Refuted | Impasse::RequiredMissing | Impasse::Unauthenticated => {
                    Condition::Insufficient { corrected: self.last_update(now) }
                }
                _ if found.answered => Condition::Unusable { corrected: Some(self.last_update(now)) },
                _ => Condition::Unreachable { corrected: self.last_update(now) },
            },
            SystemReason::Correcting { slewing: None, again: false } => Condition::Setting,
            SystemReason::Correcting { slewing, .. } => {
                let offset = slewing.map_or(0.0, |slewing| slewing.offset);
                Condition::Correcting { offset: Offset::saturating(libm::round(offset) as i64 * SECOND) }
            }
            SystemReason::Uncertain { most, .. } => {
                Condition::Uncertain { most: Span::from_secs(libm::ceil(most) as i64) }
            }
            SystemReason::FollowingOrphan { .. } => {
                Condition::Uncertain { most: Span::from_secs(libm::ceil(UNKNOWN) as i64) }
            }
            SystemReason::Following { used, .. } => {
                let reference = self.system.line.as_ref().map(|line| line.reference.stratum);
                let stratum = reference.map_or(16, |stratum| stratum.saturating_add(1).min(16));
                Condition::Synchronised { stratum, used: count(used), of }
            }
        }
    }

    fn last_update(&self, now: Now) -> WallTime {
        let age = self.system.last_update.map_or(0, |at| now.raw.since(at).nanos());
        let at = now.wall.nanos().saturating_sub(age);
        WallTime::saturating(at.saturating_sub(at.rem_euclid(MINUTE)))
    }
}

fn count(sources: usize) -> u32 {
    u32::try_from(sources).unwrap_or(u32::MAX)
}
