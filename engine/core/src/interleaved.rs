//! Interleaved mode as a client (RFC 9769 section 2).
//!
//! A reply cannot contain the moment at which it leaves: what a server writes into it was read before. In interleaved mode the
//! server tells that moment with the *next* reply, as its kernel or its network card stamped it. A reply in this mode therefore
//! measures the exchange before it: T1, T2 and T4 of that one, and its T3. Each exchange is measured once, one poll later than in
//! basic mode; one whose reply was in basic mode was measured by that reply.
//!
//! A reply in this mode is recognised by the second random number of its query, so nobody can forge one who has not seen the
//! query. That it is asked for depends on replies alone, and each state ends by itself: a server that does not answer such queries
//! is asked in basic mode, and again in this mode after a rest.

use crate::measurement::Times;
use core::num::NonZeroU64;

/// Queries in this mode without a usable reply until basic mode is used (as chronyd).
const MISSES: u8 = 4;

/// Queries in basic mode after that, and at most, if it is of no use again and again.
const REST: core::ops::RangeInclusive<u16> = 8..=256;

/// An exchange whose true T3 a server can still tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Earlier {
    /// The server's receive timestamp, by which the exchange is named; 2^-32 s.
    name: NonZeroU64,
    /// Its times; T3 is that of basic mode.
    times: Times,
    /// It was measured, or its time is not to be used.
    spent: bool,
}

/// What a query asks for beyond the current time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Asked {
    /// Its second nonce, which the reply returns instead of the first one if it is in this mode.
    pub(crate) nonce: NonZeroU64,
    earlier: Earlier,
}

impl Asked {
    /// By which the server finds the exchange.
    pub(crate) fn name(&self) -> u64 {
        self.earlier.name.get()
    }

    /// The times of the exchange whose departure T3 the reply tells, nanoseconds since 1970.
    pub(crate) fn times(&self, t3: i64) -> Times {
        Times { t3, ..self.earlier.times }
    }

    /// Whether that exchange is still to be measured.
    pub(crate) fn is_measured_by_it(&self) -> bool {
        !self.earlier.spent
    }
}

/// What is known of a source.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Interleaving {
    /// The last exchange with a valid reply.
    earlier: Option<Earlier>,
    /// Queries in this mode since the last usable reply.
    misses: u8,
    /// Queries in basic mode that are left until this one is tried again.
    rest: u16,
    /// How long the last rest was.
    rested: u16,
}

impl Interleaving {
    /// A query leaves, and `random` draws numbers that nobody can guess: whether it asks for this mode.
    pub(crate) fn ask(&mut self, mut random: impl FnMut() -> u64) -> Option<Asked> {
        if let Some(rest) = self.rest.checked_sub(1) {
            self.rest = rest;
            return None;
        }
        let earlier = self.earlier?;
        let nonce = NonZeroU64::new(random())?;
        self.misses += 1;
        if self.misses == MISSES {
            self.rested = self.rested.saturating_mul(2).clamp(*REST.start(), *REST.end());
            (self.misses, self.rest) = (0, self.rested);
        }
        Some(Asked { nonce, earlier })
    }

    /// A valid reply came to a query, in this mode if `asked` is what the query asked for and the reply has answered. `receive`:
    /// its receive timestamp, 2^-32 s. `times`: those of this exchange. `is_good`: its server has a time to tell.
    pub(crate) fn heard(&mut self, asked: Option<&Asked>, receive: u64, times: Times, is_good: bool) {
        // A server that names two exchanges alike could tell the departure of either.
        let is_other = |name: &NonZeroU64| self.earlier.is_none_or(|earlier| earlier.name != *name);
        let name = NonZeroU64::new(receive).filter(is_other);
        // In basic mode the reply itself was measured.
        let spent = asked.is_none() || !is_good;
        self.earlier = name.map(|name| Earlier { name, times, spent });
        self.misses = 0;
        if asked.is_some() {
            (self.rest, self.rested) = (0, 0);
        }
    }

    /// What was measured before says nothing any more, or would show an eavesdropper that this is the same host.
    pub(crate) fn forget(&mut self) {
        self.earlier = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::Stamps;
    use ipc::message::client::Stamp;
    use ipc::units::RawInstant;

    fn times(at: i64) -> Times {
        let at = |nanos| RawInstant::saturating(at + nanos);
        let stamps = Stamps { sent: Stamp::Kernel, received: Stamp::Kernel };
        Times { sent: at(0), t1: at(1), t2: 5, t3: 6, t4: at(9), received: at(10), stamps }
    }

    /// Asks; the numbers drawn are 7.
    fn ask(of: &mut Interleaving) -> Option<Asked> {
        of.ask(|| 7)
    }

    #[test]
    fn each_exchange_is_measured_once() {
        let mut of = Interleaving::default();
        assert_eq!(ask(&mut of), None, "there is none before");
        of.heard(None, 100, times(0), true);
        let second = ask(&mut of).unwrap();
        assert_eq!((second.name(), second.nonce.get(), second.is_measured_by_it()), (100, 7, false));
        of.heard(Some(&second), 200, times(1000), true);
        let third = ask(&mut of).unwrap();
        assert_eq!((third.name(), third.is_measured_by_it()), (200, true));
        assert_eq!(third.times(77), Times { t3: 77, ..times(1000) });
        of.heard(None, 300, times(2000), true);
        assert!(!ask(&mut of).unwrap().is_measured_by_it(), "its reply was in basic mode");
    }

    #[test]
    fn a_server_without_a_time_has_none_later_for_that_exchange() {
        let mut of = Interleaving::default();
        of.heard(None, 100, times(0), true);
        let asked = ask(&mut of).unwrap();
        of.heard(Some(&asked), 200, times(1000), false);
        assert!(!ask(&mut of).unwrap().is_measured_by_it());
    }

    #[test]
    fn a047_an_exchange_without_a_name_or_with_that_of_another_one_is_not_asked_about() {
        let mut of = Interleaving::default();
        of.heard(None, 0, times(0), true);
        assert_eq!(ask(&mut of), None);
        of.heard(None, 100, times(0), true);
        of.heard(None, 100, times(1000), true);
        assert_eq!(ask(&mut of), None);
        of.heard(None, 101, times(2000), true);
        assert_eq!(ask(&mut of).unwrap().name(), 101);
    }

    #[test]
    fn a047_where_this_mode_is_not_answered_basic_mode_is_used_for_longer_and_longer_and_never_for_good() {
        let mut of = Interleaving::default();
        of.heard(None, 100, times(0), true);
        let mut rests = [0; 8];
        for rest in &mut rests {
            (0..MISSES).for_each(|_| assert!(ask(&mut of).is_some()));
            while of.rest > 0 {
                assert_eq!(ask(&mut of), None);
                *rest += 1;
            }
        }
        assert_eq!(rests, [8, 16, 32, 64, 128, 256, 256, 256]);
        let asked = ask(&mut of).unwrap();
        of.heard(Some(&asked), 200, times(1000), true);
        (0..MISSES).for_each(|_| assert!(ask(&mut of).is_some()));
        assert_eq!(of.rest, 8);
    }

    #[test]
    fn what_is_forgotten_is_not_asked_about() {
        let mut of = Interleaving::default();
        of.heard(None, 100, times(0), true);
        of.forget();
        assert_eq!(ask(&mut of), None);
    }
}
