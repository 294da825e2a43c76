//! What a change of this host's network leads to: what failed before is tried again, names are looked up again, and each
//! source shows whether it is still there.
//!
//! The first change is answered at once, and the last of a series too, but no more often than the series allows: each
//! answer waits twice as long after the one before, up to [`LONGEST`]. So a network that comes up in several steps is
//! found at the latest after twice the time that it has taken, and one that never comes to rest costs each server two
//! packets a minute and each name two look-ups.

use super::Engine;
use crate::need::Need;
use ipc::units::{RawInstant, Span};

const SHORTEST: Span = Span::from_secs(1);
const LONGEST: Span = Span::from_secs(32);
/// After so long without an answer to a change, a series is over.
const QUIET: Span = Span::from_secs(64);
/// So long after a change an address that has left its name is given up at once when it is silent.
const MOVING: Span = Span::from_secs(128);

/// The changes that are not answered yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NetworkChanges {
    pending: bool,
    /// When one was answered last, and how long the next answer waits after it.
    last: Option<(RawInstant, Span)>,
    /// When the network may have become another one: since the first time, and the last, of those that follow each other
    /// within [`MOVING`].
    moving: Option<(RawInstant, RawInstant)>,
}

impl NetworkChanges {
    pub(super) fn note(&mut self) {
        self.pending = true;
    }

    /// When one is to be answered.
    pub(super) fn due(&self) -> Option<RawInstant> {
        self.pending.then(|| self.last.map_or(RawInstant::MIN, |(last, wait)| last.after(wait)))
    }

    /// The network may be another one from now on.
    pub(super) fn meet(&mut self, now: RawInstant) {
        self.moving = Some((self.moving_since(now).unwrap_or(now), now));
    }

    /// Since when it may be another one; none: for a long time it has not changed.
    pub(super) fn moving_since(&self, now: RawInstant) -> Option<RawInstant> {
        self.moving.filter(|(_, last)| last.after(MOVING) > now).map(|(first, _)| first)
    }

    fn take(&mut self, now: RawInstant) -> bool {
        if self.due().is_none_or(|due| due > now) {
            return false;
        }
        let wait = match self.last {
            Some((last, wait)) if last.after(QUIET) > now => {
                LONGEST.min(Span::saturating(wait.nanos().saturating_mul(2)))
            }
            _ => SHORTEST,
        };
        (self.pending, self.last) = (false, Some((now, wait)));
        true
    }
}

impl Engine {
    /// Answers a change, if it is time.
    pub(super) fn answer_network_change(&mut self, now: RawInstant) {
        if self.is_offline() || !self.changes.take(now) {
            return;
        }
        if self.need() != Need::Little {
            self.system.last_sign = Some(now);
        }
        self.try_again(now);
        self.renew_names(now);
        self.ask_each(|source, nonces| source.poll_process.probe(now, nonces));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(seconds_of_changes: i64, until: i64) -> alloc::vec::Vec<i64> {
        let mut changes = NetworkChanges::default();
        (0..until)
            .filter(|at| {
                if *at < seconds_of_changes {
                    changes.note();
                }
                changes.take(RawInstant::saturating(at * 1_000_000_000))
            })
            .collect()
    }

    #[test]
    fn the_first_change_and_the_last_of_a_series_are_answered_and_no_more_than_two_a_minute() {
        assert_eq!(answered(1, 3600), [0]);
        assert_eq!(answered(2, 3600), [0, 1]);
        assert_eq!(answered(6, 3600), [0, 1, 3, 7]);
        assert_eq!(answered(200, 3600), [0, 1, 3, 7, 15, 31, 63, 95, 127, 159, 191, 223]);
    }

    #[test]
    fn after_a_time_of_quiet_the_next_change_is_answered_at_once_and_so_is_the_one_after_it() {
        let at = |seconds: i64| RawInstant::saturating(seconds * 1_000_000_000);
        let mut changes = NetworkChanges::default();
        for second in (0..100).chain([300, 301]) {
            changes.note();
            let is_answered = changes.take(at(second));
            assert!(is_answered || second < 100, "{second}");
        }
        assert_eq!(changes.due(), None);
    }
}
