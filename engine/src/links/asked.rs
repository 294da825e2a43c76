//! Requests to the exchange process that are open. `ipc` decides which answers to them are lawful. Open queries are known to
//! the pure engine.

use ipc::message::exchange::{Asked, ExchangeId, FromExchange, MAX_OPEN, Progress, Violation};
use ipc::units::{RawInstant, Span};
use std::collections::VecDeque;

/// How long a look-up or key exchange may stay open: each has a far shorter deadline.
const ENDLESS: Span = Span::from_secs(120);

/// Look-ups and key exchanges without an end so far, oldest first.
#[derive(Debug, Default)]
pub struct Unended {
    open: VecDeque<(Asked, RawInstant)>,
    /// The one that was found to take too long, and when.
    doubted: Option<(ExchangeId, RawInstant)>,
}

impl Unended {
    /// Whether one more key exchange may be asked for.
    pub fn has_room(&self) -> bool {
        self.open.iter().filter(|(asked, _)| asked.is_exchange()).count() < MAX_OPEN
    }

    /// Something was asked for.
    pub fn begin(&mut self, asked: Option<Asked>, now: RawInstant) {
        self.open.extend(asked.map(|asked| (asked, now)));
    }

    /// Judges a message about one of them.
    pub fn judge(&mut self, said: &FromExchange) -> Result<(), Violation> {
        let Some(id) = said.id() else { return Ok(()) };
        let place = self.open.iter().position(|(asked, _)| asked.id() == id);
        let place = place.ok_or("answered a look-up or key exchange that is not open")?;
        if let Some((asked, _)) = self.open.get_mut(place)
            && asked.judge(said)? == Progress::Ended
        {
            self.open.remove(place);
        }
        Ok(())
    }

    /// Checks whether all end in time. If one does not, it is allowed the same time once more: the whole host may have been
    /// stopped.
    pub fn check(&mut self, now: RawInstant) -> Result<(), Violation> {
        let late = |since: RawInstant| now.since(since).nanos() > ENDLESS.nanos();
        let Some((oldest, _)) = self.open.front().copied().filter(|(_, begun)| late(*begun)) else {
            self.doubted = None;
            return Ok(());
        };
        match self.doubted.filter(|(doubted, _)| *doubted == oldest.id()) {
            None => self.doubted = Some((oldest.id(), now)),
            Some((_, since)) if late(since) => return Err("never ended a look-up or key exchange"),
            Some(_) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::message::exchange::{Failed, Families, HostName, LookupFailure, Resolve, ToExchange};

    fn asked(id: u64) -> Option<Asked> {
        let name = HostName::parse("a.example").unwrap();
        Asked::of(&ToExchange::Resolve(Resolve {
            id: ExchangeId(id),
            name,
            port: 123,
            families: Families::Both,
        }))
    }

    fn end(unended: &mut Unended, id: u64) -> Result<(), Violation> {
        let failed = Failed { id: ExchangeId(id), reason: LookupFailure::NoSuchName };
        unended.judge(&FromExchange::Failed(failed))
    }

    fn at(seconds: i64) -> RawInstant {
        RawInstant::saturating(seconds * 1_000_000_000)
    }

    #[test]
    fn a177_an_exchange_role_that_never_ends_what_it_began_is_found_out_at_the_second_look() {
        let mut unended = Unended::default();
        unended.begin(asked(1), at(0));
        unended.begin(asked(2), at(100));
        assert_eq!(unended.check(at(119)), Ok(()));
        // The whole machine was stopped for a day: nothing is known of the role yet.
        assert_eq!(unended.check(at(86_400)), Ok(()));
        assert_eq!(unended.check(at(86_500)), Ok(()));
        assert_eq!(end(&mut unended, 1), Ok(()));
        assert_eq!(unended.check(at(86_530)), Ok(()), "another one's time begins anew");
        assert_eq!(unended.check(at(86_600)), Ok(()));
        assert!(unended.check(at(86_651)).is_err());
        assert_eq!(end(&mut unended, 2), Ok(()));
        assert_eq!(unended.check(at(90_000)), Ok(()));
    }
}
