//! When it is tried to connect, and what the engine is told. Pure.

use ipc::message::samba::Contact;
use ipc::units::{RawInstant, Span};

/// Between two attempts, at least: also where a client asks.
const BETWEEN: Span = Span::from_secs(1);

/// Between two attempts that no client asked for, at most.
const LONGEST: Span = Span::from_secs(64);

/// Between two messages to the engine.
const MESSAGES: Span = Span::from_secs(1);

/// When it is tried to connect: at once at first, then after a second, and after twice as long each time up to 64 s. Where a
/// client asks, at once after an attempt that succeeded, and otherwise each second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempts {
    /// The last one.
    last: Option<RawInstant>,
    /// Whether it succeeded.
    is_good: bool,
    /// To the next one that no client asks for.
    pause: Span,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { last: None, is_good: false, pause: BETWEEN }
    }
}

impl Attempts {
    pub(super) fn next(&self) -> RawInstant {
        self.last.map_or(RawInstant::MIN, |last| last.after(self.pause))
    }

    pub(super) fn is_due(&self, now: RawInstant) -> bool {
        self.next() <= now
    }

    pub(super) fn is_due_for_a_client(&self, now: RawInstant) -> bool {
        self.is_good || self.last.is_none_or(|last| last.after(BETWEEN) <= now)
    }

    pub(super) fn failed(&mut self, now: RawInstant) {
        if self.last.is_some() {
            self.pause = self.pause.plus(self.pause).min(LONGEST);
        }
        (self.last, self.is_good) = (Some(now), false);
    }

    pub(super) fn succeeded(&mut self, now: RawInstant) {
        *self = Self { last: Some(now), is_good: true, pause: BETWEEN };
    }
}

/// What the engine was told of Samba, and is to be told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    said: Option<Contact>,
    latest: Option<Contact>,
    at: Option<RawInstant>,
}

impl Told {
    /// There is a connection. One that did not answer, answered wrongly, or was ended again and again, has to answer first.
    pub(super) fn connected(&mut self) {
        if !matches!(self.latest, Some(Contact::Silent | Contact::Wrong | Contact::Ended)) {
            self.latest = Some(Contact::Made);
        }
    }

    pub(super) fn answered(&mut self) {
        self.latest = Some(Contact::Made);
    }

    pub(super) fn lost(&mut self, why: Contact) {
        self.latest = Some(why);
    }

    /// When there is something to say that may not be said yet.
    pub(super) fn next(&self) -> Option<RawInstant> {
        self.at.filter(|_| self.latest != self.said).map(|at| at.after(MESSAGES))
    }

    /// What is to be said now.
    pub(super) fn news(&mut self, now: RawInstant) -> Option<Contact> {
        let is_early = self.at.is_some_and(|at| at.after(MESSAGES) > now);
        let news = self.latest.filter(|_| self.latest != self.said && !is_early)?;
        (self.said, self.at) = (Some(news), Some(now));
        Some(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: i64) -> RawInstant {
        RawInstant::saturating(1 << 40).after(Span::from_millis(millis))
    }

    #[test]
    fn attempts_become_rarer_up_to_one_in_64_s_and_a_client_has_one_each_second() {
        let mut attempts = Attempts::default();
        let mut made = Vec::new();
        for second in 0..400 {
            if attempts.is_due(at(second * 1_000)) {
                attempts.failed(at(second * 1_000));
                made.push(second);
            }
        }
        assert_eq!(made, [0, 1, 3, 7, 15, 31, 63, 127, 191, 255, 319, 383]);
        assert!(!attempts.is_due_for_a_client(at(383_999)) && attempts.is_due_for_a_client(at(384_000)));
        attempts.succeeded(at(400_000));
        assert!(attempts.is_due_for_a_client(at(400_000)), "a connection that was ended is made again");
        assert!(!attempts.is_due(at(400_999)) && attempts.is_due(at(401_000)));
    }

    #[test]
    fn a_change_is_told_once_and_not_more_than_one_a_second() {
        let mut told = Told::default();
        assert_eq!((told.news(at(0)), told.next()), (None, None));
        told.connected();
        assert_eq!((told.news(at(0)), told.news(at(5_000)), told.next()), (Some(Contact::Made), None, None));
        told.lost(Contact::Wrong);
        assert_eq!(told.news(at(5_000)), Some(Contact::Wrong));
        told.answered();
        assert_eq!((told.news(at(5_999)), told.next()), (None, Some(at(6_000))));
        told.lost(Contact::Wrong);
        assert_eq!(told.next(), None, "it is as it was said");
        told.answered();
        assert_eq!(told.news(at(6_000)), Some(Contact::Made));
    }

    #[test]
    fn a_samba_that_was_silent_or_wrong_has_to_answer_before_it_is_said_to_be_there() {
        for why in [Contact::Silent, Contact::Wrong, Contact::Ended] {
            let mut told = Told::default();
            told.lost(why);
            assert_eq!(told.news(at(0)), Some(why));
            told.connected();
            assert_eq!(told.news(at(2_000)), None);
            told.answered();
            assert_eq!(told.news(at(2_000)), Some(Contact::Made));
        }
        let mut told = Told::default();
        told.lost(Contact::Refused(111));
        told.connected();
        assert_eq!(told.news(at(0)), Some(Contact::Made));
    }
}
