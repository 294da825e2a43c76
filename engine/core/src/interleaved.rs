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
use crate::sanity::Facts;
use core::num::NonZeroU64;
use ipc::units::RawInstant;

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
    /// Root delay and dispersion that the server told then, seconds.
    root: (f64, f64),
    /// How many queries the source had been sent.
    sent: u64,
    /// It was measured by its own reply.
    spent: bool,
}

/// A valid reply and its exchange, of which the next one may tell more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard<'a> {
    /// What its query asked for, if the reply is in this mode.
    pub(crate) asked: Option<&'a Asked>,
    /// Its receive timestamp, 2^-32 s.
    pub(crate) receive: u64,
    /// Its times.
    pub(crate) times: Times,
    /// Root delay and dispersion in it, seconds.
    pub(crate) root: (f64, f64),
    /// How many queries the source had been sent.
    pub(crate) sent: u64,
    /// This exchange was measured by it.
    pub(crate) is_measured: bool,
    /// Its time may be used.
    pub(crate) is_good: bool,
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

    /// How many queries the source had been sent with that of the exchange.
    pub(crate) fn sent(&self) -> u64 {
        self.earlier.sent
    }

    /// What the server said of itself: the larger of what it said then and says now.
    pub(crate) fn facts(&self, now: Facts) -> Facts {
        let (root_delay, root_dispersion) = self.earlier.root;
        Facts {
            root_delay: root_delay.max(now.root_delay),
            root_dispersion: root_dispersion.max(now.root_dispersion),
            ..now
        }
    }
}

/// What is known of a source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Interleaving {
    /// The last exchange with a valid reply.
    earlier: Option<Earlier>,
    /// When the reply of the newest exchange that was measured came here. Of what is older, no more is learnt.
    newest: RawInstant,
    /// Exchanges that began until then are forgotten.
    forgotten: RawInstant,
    /// Queries in this mode since the last usable reply.
    misses: u8,
    /// Queries in basic mode that are left until this one is tried again.
    rest: u16,
    /// How long the last rest was.
    rested: u16,
}

impl Interleaving {
    pub(crate) const fn new() -> Self {
        let (newest, forgotten) = (RawInstant::MIN, RawInstant::MIN);
        Self { earlier: None, newest, forgotten, misses: 0, rest: 0, rested: 0 }
    }

    /// Whether a query is to ask for this mode; `random` draws numbers that nobody can guess.
    pub(crate) fn ask(&self, mut random: impl FnMut() -> u64) -> Option<Asked> {
        let earlier = self.earlier.filter(|_| self.rest == 0)?;
        Some(Asked { nonce: NonZeroU64::new(random())?, earlier })
    }

    /// A query left; `asks`: in this mode.
    pub(crate) fn left(&mut self, asks: bool) {
        if !asks {
            self.rest = self.rest.saturating_sub(1);
        }
    }

    /// A query had no usable reply; `asked`: it was in this mode. Where one in basic mode had none either, it is not this mode that is
    /// lost.
    pub(crate) fn missed(&mut self, asked: bool) {
        if !asked {
            (self.misses, self.rest, self.rested) = (0, 0, 0);
            return;
        }
        self.misses += 1;
        if self.misses >= MISSES {
            self.rested = self.rested.saturating_mul(2).clamp(*REST.start(), *REST.end());
            (self.misses, self.rest) = (0, self.rested);
        }
    }

    /// Whether the exchange that a reply tells of is still to be measured.
    pub(crate) fn is_news(&self, asked: &Asked) -> bool {
        let Earlier { times, spent, .. } = &asked.earlier;
        !spent && times.received > self.newest && times.sent > self.forgotten
    }

    /// An exchange was measured.
    pub(crate) fn measured(&mut self, times: &Times) {
        self.newest = self.newest.max(times.received);
    }

    /// A valid reply came to a query.
    pub(crate) fn heard(&mut self, heard: &Heard<'_>) {
        // A server that names two exchanges alike could tell the departure of either.
        let is_other = |name: &NonZeroU64| self.earlier.is_none_or(|earlier| earlier.name != *name);
        let is_kept = heard.is_good && heard.times.sent > self.forgotten;
        let name = NonZeroU64::new(heard.receive).filter(is_other).filter(|_| is_kept);
        let (times, root, sent, spent) = (heard.times, heard.root, heard.sent, heard.is_measured);
        self.earlier = name.map(|name| Earlier { name, times, root, sent, spent });
        self.misses = 0;
        if heard.asked.is_some() {
            (self.rest, self.rested) = (0, 0);
        }
    }

    /// What was exchanged until now says nothing any more, or would show an eavesdropper that this is the same host.
    pub(crate) fn forget(&mut self, now: RawInstant) {
        self.earlier = None;
        self.forgotten = self.forgotten.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::Stamps;
    use ipc::message::client::Stamp;
    use ipc::units::Leap;

    fn at(nanos: i64) -> RawInstant {
        RawInstant::saturating(nanos)
    }

    fn times(begun: i64) -> Times {
        let stamps = Stamps { sent: Stamp::Kernel, received: Stamp::Kernel };
        let [sent, t1, t4, received] = [0, 1, 9, 10].map(|nanos| at(begun + nanos));
        Times { sent, t1, t2: 5, t3: 6, t4, received, stamps }
    }

    /// A reply in basic mode, or in this one, to the query that was sent at `begun`.
    fn heard(of: &mut Interleaving, asked: Option<&Asked>, receive: u64, begun: i64) {
        if asked.is_none_or(|asked| of.is_news(asked)) {
            of.measured(&asked.map_or(times(begun), |asked| asked.times(0)));
        }
        let (root, sent, is_measured) = ((0.25, 0.5), 3, asked.is_none());
        of.heard(&Heard { asked, receive, times: times(begun), root, sent, is_measured, is_good: true });
    }

    fn ask(of: &Interleaving) -> Option<Asked> {
        of.ask(|| 7)
    }

    #[test]
    fn a047_each_exchange_is_measured_once_and_none_after_a_newer_one() {
        let mut of = Interleaving::new();
        assert_eq!(ask(&of), None, "there is none before");
        heard(&mut of, None, 100, 1_000);
        let second = ask(&of).unwrap();
        assert_eq!((second.name(), second.nonce.get(), of.is_news(&second)), (100, 7, false));
        heard(&mut of, Some(&second), 200, 2_000);
        // Two queries before the reply to either, and both replies tell of the same exchange.
        let [third, fourth] = [(); 2].map(|()| ask(&of).unwrap());
        assert_eq!((third.name(), of.is_news(&third), third.sent()), (200, true, 3));
        assert_eq!(third.times(77), Times { t3: 77, ..times(2_000) });
        heard(&mut of, Some(&third), 300, 3_000);
        assert!(!of.is_news(&fourth));
        let fifth = ask(&of).unwrap();
        heard(&mut of, None, 400, 4_000);
        assert!(!of.is_news(&fifth), "a newer one was measured by its own reply");
        assert!(!of.is_news(&ask(&of).unwrap()), "its reply was in basic mode");
    }

    #[test]
    fn an_exchange_is_worth_what_the_server_said_with_it_or_says_now_whichever_is_worse() {
        let mut of = Interleaving::new();
        heard(&mut of, None, 100, 1_000);
        let asked = ask(&of).unwrap();
        let facts = |root_delay, root_dispersion| Facts {
            leap: Leap::None,
            stratum: 1,
            reference_id: 0,
            root_delay,
            root_dispersion,
        };
        assert_eq!(asked.facts(facts(0.0, 1.0)), facts(0.25, 1.0));
        assert_eq!(asked.facts(facts(1.0, 0.0)), facts(1.0, 0.5));
    }

    #[test]
    fn a_server_without_a_time_is_asked_in_basic_mode_next() {
        let mut of = Interleaving::new();
        heard(&mut of, None, 100, 1_000);
        let asked = ask(&of).unwrap();
        let (root, sent, is_measured) = ((0.0, 0.0), 1, false);
        let times = times(2_000);
        of.heard(&Heard {
            asked: Some(&asked),
            receive: 200,
            times,
            root,
            sent,
            is_measured,
            is_good: false,
        });
        assert_eq!(ask(&of), None);
    }

    #[test]
    fn a047_an_exchange_without_a_name_or_with_that_of_another_one_is_not_asked_about() {
        let mut of = Interleaving::new();
        heard(&mut of, None, 0, 1_000);
        assert_eq!(ask(&of), None);
        heard(&mut of, None, 100, 2_000);
        heard(&mut of, None, 100, 3_000);
        assert_eq!(ask(&of), None);
        heard(&mut of, None, 101, 4_000);
        assert_eq!(ask(&of).unwrap().name(), 101);
    }

    #[test]
    fn a047_where_this_mode_is_not_answered_basic_mode_is_used_for_longer_and_longer_and_never_for_good() {
        let mut of = Interleaving::new();
        heard(&mut of, None, 100, 1_000);
        let lose = |of: &mut Interleaving| {
            assert!(ask(of).is_some());
            of.left(true);
            of.missed(true);
        };
        let mut rests = [0; 8];
        for rest in &mut rests {
            (0..MISSES).for_each(|_| lose(&mut of));
            while ask(&of).is_none() {
                of.left(false);
                *rest += 1;
            }
        }
        assert_eq!(rests, [8, 16, 32, 64, 128, 256, 256, 256]);
        let asked = ask(&of).unwrap();
        heard(&mut of, Some(&asked), 200, 2_000);
        (0..MISSES).for_each(|_| lose(&mut of));
        assert_eq!((of.rest, ask(&of)), (8, None));
        of.missed(false);
        assert!(ask(&of).is_some(), "nothing is answered: it was not this mode that was lost");
    }

    #[test]
    fn a047_what_is_forgotten_is_not_asked_about_nor_measured_by_a_reply_that_comes_later() {
        let mut of = Interleaving::new();
        heard(&mut of, None, 100, 1_000);
        let second = ask(&of).unwrap();
        heard(&mut of, Some(&second), 200, 2_000);
        let third = ask(&of).unwrap();
        assert!(of.is_news(&third));
        of.forget(at(3_005));
        assert_eq!(ask(&of), None);
        assert!(!of.is_news(&third));
        // Its query had left before.
        heard(&mut of, Some(&third), 300, 3_000);
        assert_eq!(ask(&of), None);
        heard(&mut of, None, 400, 4_000);
        assert_eq!(ask(&of).unwrap().name(), 400);
    }
}
