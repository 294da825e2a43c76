//! When the next key exchange may begin.
//!
//! After the n-th attempt the next one waits min(10 · 1.5^(n−1), 432,000) s (RFC 8915 section 4.2), and n
//! is reset only when a reply has been authenticated with the keys: an exchange whose keys do not work is no success.
//!
//! Who can drop or forge packets (NTS NAKs, replies without cookies) makes new keys necessary as often as they are
//! exchanged. So each exchange whose keys were good also lengthens the wait, in the same way, up to an hour; an hour
//! without one shortens it again. A server that lost its keys is asked again within seconds; the key exchange server is
//! asked about fifteen times in the first hours, and from then on 24 times a day.

use crate::need::{Need, Reached, back_off};
use ipc::message::exchange::ExchangeId;
use ipc::units::{RawInstant, Span};

/// The longest wait after keys that were good, seconds, and how long one such exchange is remembered.
const LONGEST_SPACING: f64 = 3600.0;
const FORGOTTEN_AFTER: Span = Span::from_secs(3600);

/// The key exchanges of one association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    wanted: bool,
    not_before: RawInstant,
    /// Since keys were last proved good.
    attempts: u32,
    /// Exchanges with keys that are remembered, and since when as many as these.
    recent: u32,
    recent_since: RawInstant,
    open: Option<ExchangeId>,
    /// Where the last attempt brought no keys: how far it came.
    reached: Option<Reached>,
}

impl Schedule {
    pub(crate) fn new(now: RawInstant, wanted: bool) -> Self {
        Self { wanted, not_before: now, attempts: 0, recent: 0, recent_since: now, open: None, reached: None }
    }

    /// When a key exchange is due; none: none is needed, or one is in progress.
    pub(crate) fn due(&self) -> Option<RawInstant> {
        (self.wanted && self.open.is_none()).then_some(self.not_before)
    }

    pub(crate) fn open(&self) -> Option<ExchangeId> {
        self.open
    }

    /// Whether a key exchange has ended since keys were last proved good.
    pub(crate) fn was_tried(&self) -> bool {
        self.attempts > 0
    }

    /// Requests a key exchange as soon as possible.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// Ends the back-off, because earlier failures no longer matter.
    pub(crate) fn hurry(&mut self, now: RawInstant) {
        self.not_before = self.not_before.min(now);
    }

    pub(crate) fn begin(&mut self, id: ExchangeId) {
        self.open = Some(id);
    }

    /// The key exchange ended, and is repeated immediately in another mode.
    pub(crate) fn retry(&mut self, now: RawInstant) {
        self.open = None;
        self.wanted = true;
        self.not_before = now;
    }

    /// The key exchange ended without keys.
    pub(crate) fn failed(&mut self, now: RawInstant, reached: Reached, need: Need) {
        self.end(now, need.longest_exchange(reached));
        self.wanted = true;
        self.reached = Some(reached);
    }

    /// What was in the way of an attempt without an answer may be over.
    pub(crate) fn retry_unanswered(&mut self, now: RawInstant) {
        if self.open.is_none() && matches!(self.reached, Some(Reached::Nobody | Reached::Unknown)) {
            self.hurry(now);
        }
    }

    /// The key exchange ended with keys, which have not been used yet.
    pub(crate) fn succeeded(&mut self, now: RawInstant) {
        self.end(now, Need::Little.longest_exchange(Reached::Server));
        self.wanted = false;
        self.reached = None;
        self.forget(now);
        self.recent = self.recent.saturating_add(1);
    }

    /// Of the exchanges that are remembered one is forgotten in each hour.
    fn forget(&mut self, now: RawInstant) {
        let hours = now.since(self.recent_since).nanos().max(0) / FORGOTTEN_AFTER.nanos();
        self.recent = self.recent.saturating_sub(u32::try_from(hours).unwrap_or(u32::MAX));
        self.recent_since = match self.recent {
            0 => now,
            _ => self.recent_since.after(Span::saturating(hours.saturating_mul(FORGOTTEN_AFTER.nanos()))),
        };
    }

    fn end(&mut self, now: RawInstant, longest: f64) {
        self.open = None;
        self.wait(now, longest);
        self.attempts = self.attempts.saturating_add(1);
    }

    fn wait(&mut self, now: RawInstant, longest: f64) {
        self.not_before = now.after(back_off(self.attempts, longest));
    }

    /// The keys are good: a reply was authenticated with them.
    pub(crate) fn proved(&mut self, now: RawInstant) {
        self.forget(now);
        self.attempts = self.recent.saturating_sub(1);
        self.wait(now, LONGEST_SPACING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn waits(mut end: impl FnMut(&mut Schedule, RawInstant), count: usize) -> Vec<i64> {
        let mut schedule = Schedule::new(RawInstant::MIN, true);
        let mut now = RawInstant::MIN;
        (0..count)
            .map(|number| {
                schedule.begin(ExchangeId(number as u64));
                assert_eq!(schedule.due(), None, "one at a time");
                end(&mut schedule, now);
                schedule.want();
                let due = schedule.due().unwrap();
                let wait = due.since(now).nanos() / 1_000_000;
                now = due;
                wait
            })
            .collect()
    }

    #[test]
    fn a060_waits_grow_by_half_up_to_five_days() {
        let found = waits(|schedule, now| schedule.failed(now, Reached::Server, Need::First), 40);
        assert_eq!(found[..4], [10_000, 15_000, 22_500, 33_750]);
        assert_eq!(found[26], (10_000.0 * libm::pow(1.5, 26.0)) as i64);
        assert_eq!(found[27..], [432_000_000; 13]);
    }

    #[test]
    fn a062_keys_that_prove_nothing_do_not_shorten_the_wait() {
        let found = waits(|schedule, now| schedule.succeeded(now), 4);
        assert_eq!(found, [10_000, 15_000, 22_500, 33_750]);
    }

    #[test]
    fn what_no_server_has_answered_is_tried_again_the_sooner_the_more_depends_on_it() {
        for (reached, need, longest) in [
            (Reached::Nobody, Need::Little, 3600),
            (Reached::Nobody, Need::Lost, 256),
            (Reached::Nobody, Need::First, 15),
            (Reached::Unknown, Need::Little, 432_000),
            (Reached::Unknown, Need::Lost, 256),
            (Reached::Unknown, Need::First, 60),
            (Reached::Server, Need::Lost, 432_000),
            (Reached::Server, Need::First, 432_000),
        ] {
            let found = waits(|schedule, now| schedule.failed(now, reached, need), 40);
            assert_eq!(found[39], longest * 1000, "{reached:?} {need:?}");
        }
    }

    #[test]
    fn a_sign_of_the_network_ends_the_back_off_only_after_attempts_without_an_answer() {
        for (reached, is_hurried) in
            [(Reached::Nobody, true), (Reached::Unknown, true), (Reached::Server, false)]
        {
            let mut schedule = Schedule::new(RawInstant::MIN, true);
            schedule.begin(ExchangeId(1));
            schedule.failed(RawInstant::MIN, reached, Need::Little);
            schedule.retry_unanswered(RawInstant::MIN);
            assert_eq!(schedule.due() == Some(RawInstant::MIN), is_hurried, "{reached:?}");
        }
    }

    /// An attacker on the path lets each key exchange and one reply through, and then makes new keys necessary.
    fn forced(schedule: &mut Schedule, mut now: RawInstant, until: RawInstant) -> Vec<RawInstant> {
        let mut all = Vec::new();
        loop {
            schedule.want();
            now = now.max(schedule.due().unwrap());
            if now >= until {
                return all;
            }
            all.push(now);
            schedule.begin(ExchangeId(all.len() as u64));
            schedule.succeeded(now);
            schedule.proved(now);
        }
    }

    #[test]
    fn a062_whoever_forces_key_exchanges_gets_few_of_them_and_a_server_with_new_keys_is_asked_at_once() {
        let day = |count: i64| RawInstant::MIN.after(Span::from_secs(count * 86_400));
        let mut schedule = Schedule::new(RawInstant::MIN, true);
        let first = forced(&mut schedule, RawInstant::MIN, day(1));
        let waits: Vec<i64> =
            first.windows(2).map(|pair| pair[1].since(pair[0]).nanos() / 1_000_000).collect();
        assert_eq!(waits[..4], [10_000, 15_000, 22_500, 33_750]);
        assert!((30..=45).contains(&first.len()), "{}", first.len());
        for number in 1..4 {
            let count = forced(&mut schedule, day(number), day(number + 1)).len();
            assert!((23..=26).contains(&count), "day {number}: {count}");
        }
        // Failures in between bring few more.
        let (mut now, mut asked) = (day(4), 0);
        while now < day(5) {
            schedule.want();
            now = now.max(schedule.due().unwrap());
            schedule.begin(ExchangeId(1));
            asked += 1;
            match asked % 3 {
                0 => {
                    schedule.succeeded(now);
                    schedule.proved(now);
                }
                _ => schedule.failed(now, Reached::Server, Need::First),
            }
        }
        assert!(asked <= 72, "{asked}");
        // After a day of peace it is as in the beginning.
        let later = forced(&mut schedule, now.max(day(6)), day(7));
        assert_eq!(later[1], later[0].after(Span::from_secs(10)));
        assert!(later.len() <= 45, "{}", later.len());
    }

    #[test]
    fn keys_that_were_good_end_the_back_off() {
        let mut schedule = Schedule::new(RawInstant::MIN, true);
        for number in 0..20 {
            schedule.begin(ExchangeId(number));
            schedule.failed(RawInstant::MIN, Reached::Server, Need::Little);
        }
        schedule.succeeded(RawInstant::MIN);
        schedule.proved(RawInstant::MIN);
        assert_eq!(schedule.due(), None, "none is wanted");
        schedule.want();
        assert_eq!(schedule.due().map(RawInstant::nanos), Some(10_000_000_000));
        schedule.hurry(RawInstant::MIN);
        assert_eq!(schedule.due(), Some(RawInstant::MIN));
    }
}
