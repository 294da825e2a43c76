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
}

impl Timer {
    const COUNT: usize = 9;

    /// All of them, in the order in which they are handled: what one of them causes is handled after it.
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Poll,
        Self::Addresses,
        Self::LookUp,
        Self::KeyExchange,
        Self::Steering,
        Self::Deferred,
        Self::Publication,
        Self::Leap,
        Self::Outage,
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
}
