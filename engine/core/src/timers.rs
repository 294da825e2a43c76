//! The deadlines of an engine: one for each thing that it does without a fact.

use ipc::units::RawInstant;

/// What can be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Timer {
    /// The next query.
    Poll,
    /// The next address of a name is tried.
    Addresses,
    /// The next look-up.
    LookUp,
    /// The next key exchange.
    KeyExchange,
    /// The next round of Roughtime.
    Signing,
    /// The next selection, or the kernel's status.
    Steering,
    /// The step to a time whose certificates could not be judged.
    Deferred,
    /// The next publication for the server.
    Publication,
    /// A leap second.
    Leap,
    /// The next report of an outage.
    Outage,
    /// The next of all this for sources that are only measured.
    Observation,
}

impl Timer {
    const COUNT: usize = 11;

    /// All of them, in the order in which they are handled: what one of them causes is handled after it.
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Poll,
        Self::Addresses,
        Self::LookUp,
        Self::KeyExchange,
        Self::Signing,
        Self::Steering,
        Self::Deferred,
        Self::Publication,
        Self::Leap,
        Self::Outage,
        Self::Observation,
    ];
}

/// When each of them is due; none: it waits for a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timers([Option<RawInstant>; Timer::COUNT]);

impl Timers {
    pub(crate) const fn new() -> Self {
        Self([None; Timer::COUNT])
    }

    pub(crate) fn set(&mut self, timer: Timer, due: Option<RawInstant>) {
        self.0[timer as usize] = due;
    }

    /// No later than at `due`.
    pub(crate) fn advance(&mut self, timer: Timer, due: RawInstant) {
        let sooner = self.0[timer as usize].map_or(due, |before| before.min(due));
        self.set(timer, Some(sooner));
    }

    /// Whether this one is due, and no other.
    pub(crate) fn is_alone(&self, timer: Timer, now: RawInstant) -> bool {
        let due = |of: Timer| self.0[of as usize].is_some_and(|at| at <= now);
        Timer::ALL.into_iter().all(|other| due(other) == (other == timer))
    }

    /// When the first of them is due.
    pub(crate) fn next(&self) -> Option<RawInstant> {
        self.0.iter().flatten().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_due_counts_and_one_that_is_stopped_does_not() {
        let at = |seconds: i64| RawInstant::saturating(seconds * 1_000_000_000);
        let mut timers = Timers::new();
        assert_eq!(timers.next(), None);
        timers.set(Timer::Poll, Some(at(7)));
        timers.advance(Timer::LookUp, at(9));
        assert_eq!(timers.next(), Some(at(7)));
        timers.advance(Timer::LookUp, at(5));
        timers.advance(Timer::LookUp, at(6));
        assert_eq!(timers.next(), Some(at(5)));
        timers.set(Timer::LookUp, None);
        assert_eq!(timers.next(), Some(at(7)));
    }

    #[test]
    fn one_is_alone_while_no_other_is_due() {
        let at = |seconds: i64| RawInstant::saturating(seconds * 1_000_000_000);
        let mut timers = Timers::new();
        assert!(!timers.is_alone(Timer::Observation, at(9)));
        timers.set(Timer::Observation, Some(at(5)));
        timers.set(Timer::Poll, Some(at(7)));
        let alone = [4, 5, 6, 7].map(|second| timers.is_alone(Timer::Observation, at(second)));
        assert_eq!(alone, [false, true, true, false]);
    }
}
