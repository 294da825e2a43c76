//! The condition for the service manager: the state as one value.

use super::Engine;
use crate::io::Now;
use crate::select::{Impasse, Standing};
use ipc::message::privileged::Condition;
use ipc::units::WallTime;

/// The last correction is given to the minute, since the clock that dates it is being corrected.
const MINUTE: i64 = 60_000_000_000;

impl Engine {
    /// The condition now: the same cases, in the same order, as the reason of the state.
    pub fn condition(&self, now: Now) -> Condition {
        let system = &self.system;
        let heard = count(self.entries.sources().filter(|source| source.is_heard()).count());
        let of = count(self.entries.sources().count().max(self.entries.len()));
        if system.held {
            return Condition::Held(system.step_refusal);
        }
        if self.entries.is_empty() {
            let local = self.settings.server.as_ref().and_then(|server| server.local_stratum);
            return local.map_or(Condition::NoSources, Condition::Local);
        }
        if !self.steers() && self.basis.is_some() {
            return Condition::Unsteered;
        }
        match system.impasse {
            Some(Impasse::NoMajority) if !system.counted_unheard => Condition::Disagreeing { heard, of },
            Some(Impasse::NoQuorum) if !system.counted_unheard => Condition::AwaitingMajority { heard, of },
            _ if system.first_update.is_none() && heard == 0 => {
                let asked = self.entry_counts();
                match asked {
                    _ if asked.queried > 0 => Condition::AwaitingReplies { of },
                    _ if asked.unresolved > 0 => Condition::AwaitingNames { of, why: asked.why },
                    _ if asked.keyless > 0 => Condition::AwaitingKeys { of },
                    _ => Condition::AwaitingReplies { of },
                }
            }
            _ if system.first_update.is_none() => Condition::AwaitingMajority { heard, of },
            Some(Impasse::TooFew | Impasse::RequiredMissing | Impasse::Unauthenticated) => {
                Condition::Insufficient { corrected: self.last_update(now) }
            }
            Some(_) => Condition::Unreachable { corrected: self.last_update(now) },
            None if !self.is_synchronised(now) => Condition::Setting,
            None => {
                let survives = |standing: &Option<Standing>| *standing == Some(Standing::Survivor);
                let used = self.entries.sources().filter(|source| survives(&source.track.standing)).count();
                let reference = system.line.as_ref().map(|line| line.reference.stratum);
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
