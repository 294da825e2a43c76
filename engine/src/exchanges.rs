//! Queries that are under way. The client role may say only what belongs to one of them, and each thing
//! once: anything else ends the trust in it.

use crate::io::Now;
use crate::measurement::Times;
use alloc::vec::Vec;
use ipc::address::Address;
use ipc::message::client::{PlainReply, QueryId, Sent, Stamp};
use ipc::units::{RawInstant, Span};

/// Most queries under way at once (the client role's own limit).
const MOST: usize = 60;

/// How long after its deadline a query's end is waited for.
const GRACE: Span = Span::from_secs(2);

/// A stamp outside the engine's own readings by no more than this is bad luck of a busy machine, and only
/// its sample is lost; beyond, the client role lies. Nanoseconds.
const BAD_LUCK: i64 = 2_000_000;

/// Why the client role is no longer trusted.
pub(crate) type Breach = &'static str;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Exchange {
    pub(crate) id: QueryId,
    pub(crate) source: u32,
    pub(crate) nonce: u64,
    destination: Address,
    sent: RawInstant,
    deadline: RawInstant,
    t1: Option<(RawInstant, Stamp)>,
    /// Time was not continuous since it left.
    pub(crate) cut: bool,
}

/// How the four times of a reply stand to the engine's own readings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Readings {
    /// Inside; T2 and T3 are still to be filled in.
    Inside(Times),
    /// Slightly outside, or cut.
    Useless,
}

/// All queries that are under way, and the last that were given up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Exchanges {
    open: Vec<Exchange>,
    /// Given up here, but their end may still be on its way.
    forgotten: Vec<QueryId>,
    next: u64,
}

impl Exchanges {
    pub(crate) fn new() -> Self {
        Self { open: Vec::new(), forgotten: Vec::new(), next: 1 }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.open.len() >= MOST
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.open.len()
    }

    /// Opens one.
    pub(crate) fn begin(
        &mut self,
        source: u32,
        nonce: u64,
        destination: Address,
        sent: RawInstant,
        deadline: RawInstant,
    ) -> QueryId {
        let id = QueryId(self.next);
        self.next += 1;
        self.open.push(Exchange { id, source, nonce, destination, sent, deadline, t1: None, cut: false });
        id
    }

    /// T1 is known.
    ///
    /// # Errors
    /// [`Breach`] for a query that isn't open or has left before.
    pub(crate) fn sent(&mut self, sent: &Sent) -> Result<(), Breach> {
        match self.open.iter_mut().find(|exchange| exchange.id == sent.id) {
            Some(exchange) if exchange.t1.is_none() => {
                exchange.t1 = Some((sent.t1, sent.stamp));
                Ok(())
            }
            Some(_) => Err("it said twice that a query has left"),
            None if self.forgotten.contains(&sent.id) => Ok(()),
            None => Err("it said that a query has left that was not open"),
        }
    }

    /// Closes a query; none where it was given up before.
    ///
    /// # Errors
    /// [`Breach`] for a query that isn't open.
    pub(crate) fn end(&mut self, id: QueryId) -> Result<Option<Exchange>, Breach> {
        if let Some(at) = self.open.iter().position(|exchange| exchange.id == id) {
            return Ok(Some(self.open.swap_remove(at)));
        }
        match self.forgotten.iter().position(|forgotten| *forgotten == id) {
            Some(at) => {
                self.forgotten.swap_remove(at);
                Ok(None)
            }
            None => Err("it ended a query that was not open"),
        }
    }

    /// Gives a query up; its end may still come.
    fn forget(&mut self, id: QueryId) {
        if self.forgotten.len() >= MOST {
            self.forgotten.remove(0);
        }
        self.forgotten.push(id);
    }

    /// Gives up those whose end should have come long ago, and those of `gone` sources.
    pub(crate) fn expire(&mut self, now: RawInstant, gone: impl Fn(u32) -> bool) -> Vec<QueryId> {
        let late: Vec<QueryId> = self
            .open
            .iter()
            .filter(|exchange| exchange.deadline.after(GRACE) < now || gone(exchange.source))
            .map(|exchange| exchange.id)
            .collect();
        self.open.retain(|exchange| !late.contains(&exchange.id));
        late.iter().for_each(|id| self.forget(*id));
        late
    }

    /// Time was not continuous: no exchange that is under way can be measured.
    pub(crate) fn cut_all(&mut self) {
        self.open.iter_mut().for_each(|exchange| exchange.cut = true);
    }
}

impl Exchange {
    /// Whether the stamps of its reply lie within the engine's own readings.
    ///
    /// # Errors
    /// [`Breach`] where the client role lies.
    pub(crate) fn readings(&self, reply: &PlainReply, now: Now) -> Result<Readings, Breach> {
        let Some((t1, t1_stamp)) = self.t1 else {
            return Err("it passed a reply on before its query had left");
        };
        if reply.source != self.destination {
            return Err("it passed a reply on from an address that was not asked");
        }
        if self.cut {
            return Ok(Readings::Useless);
        }
        let early = self.sent.since(t1).nanos();
        let late = reply.t4.since(now.raw).nanos();
        let backwards = t1.since(reply.t4).nanos();
        let worst = early.max(late).max(backwards);
        if worst > BAD_LUCK {
            return Err("its stamps lie outside the time that the exchange took");
        }
        if worst > 0 {
            return Ok(Readings::Useless);
        }
        let rank = |stamp| match stamp {
            Stamp::Hardware => 0,
            Stamp::Kernel => 1,
            Stamp::User => 2,
        };
        let stamp = if rank(t1_stamp) > rank(reply.stamp) { t1_stamp } else { reply.stamp };
        Ok(Readings::Inside(Times {
            sent: self.sent,
            t1,
            t2: 0,
            t3: 0,
            t4: reply.t4,
            received: now.raw,
            stamp,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::SocketAddr;
    use ipc::message::client::{Rejected, ReplyHeader};
    use ipc::units::{Leap, WallTime};

    fn address(text: &str) -> Address {
        text.parse::<SocketAddr>().unwrap().into()
    }

    fn at(micros: i64) -> RawInstant {
        RawInstant::saturating(1_000_000_000 + micros * 1000)
    }

    fn now(micros: i64) -> Now {
        Now { raw: at(micros), wall: WallTime::MIN }
    }

    fn opened() -> (Exchanges, QueryId) {
        let mut exchanges = Exchanges::new();
        let id = exchanges.begin(7, 1, address("192.0.2.1:123"), at(0), at(1_000_000));
        (exchanges, id)
    }

    fn sent(id: QueryId, t1: i64) -> Sent {
        Sent { id, t1: at(t1), stamp: Stamp::User, local: Address::NONE }
    }

    fn reply(id: QueryId, t4: i64) -> PlainReply {
        PlainReply {
            id,
            source: address("192.0.2.1:123"),
            t4: at(t4),
            stamp: Stamp::Kernel,
            header: ReplyHeader {
                leap: Leap::None,
                version: 4,
                mode: 4,
                stratum: 1,
                poll: 6,
                precision: -20,
                root_delay: 0,
                root_dispersion: 0,
                reference_id: 0,
                reference_timestamp: 0,
                origin_timestamp: 1,
                receive_timestamp: 1,
                transmit_timestamp: 1,
            },
            rejected: Rejected::NONE,
        }
    }

    #[test]
    fn a099_a_reply_to_a_query_that_is_not_open_is_a_breach() {
        let (mut exchanges, id) = opened();
        assert!(exchanges.end(QueryId(id.0 + 1)).is_err());
        assert!(exchanges.end(id).unwrap().is_some());
        assert!(exchanges.end(id).is_err(), "closed");
    }

    #[test]
    fn a099_a_reply_from_an_address_that_was_not_asked_is_a_breach() {
        let (mut exchanges, id) = opened();
        exchanges.sent(&sent(id, 10)).unwrap();
        let exchange = exchanges.end(id).unwrap().unwrap();
        let stranger = PlainReply { source: address("192.0.2.2:123"), ..reply(id, 90) };
        assert!(exchange.readings(&stranger, now(100)).is_err());
        let other_port = PlainReply { source: address("192.0.2.1:124"), ..reply(id, 90) };
        assert!(exchange.readings(&other_port, now(100)).is_err());
        assert!(exchange.readings(&reply(id, 90), now(100)).is_ok());
    }

    #[test]
    fn a100_nothing_is_said_twice_or_before_its_time() {
        let (mut exchanges, id) = opened();
        let early = exchanges.open[0].clone();
        assert!(early.readings(&reply(id, 90), now(100)).is_err(), "a reply before Sent");
        exchanges.sent(&sent(id, 10)).unwrap();
        assert!(exchanges.sent(&sent(id, 10)).is_err());
        assert!(exchanges.sent(&sent(QueryId(99), 10)).is_err());
    }

    #[test]
    fn a101_stamps_outside_the_engines_own_readings_are_a_breach() {
        for (t1, t4, received) in [(-5_000, 90, 100), (10, 5_200, 100), (50_000, 40_000, 60_000)] {
            let (mut exchanges, id) = opened();
            exchanges.sent(&sent(id, t1)).unwrap();
            let exchange = exchanges.end(id).unwrap().unwrap();
            assert!(exchange.readings(&reply(id, t4), now(received)).is_err(), "{t1} {t4}");
        }
        // By a little it is bad luck: the sample is lost, nothing else.
        for (t1, t4) in [(-100, 90), (10, 200), (95, 90)] {
            let (mut exchanges, id) = opened();
            exchanges.sent(&sent(id, t1)).unwrap();
            let exchange = exchanges.end(id).unwrap().unwrap();
            assert_eq!(exchange.readings(&reply(id, t4), now(100)), Ok(Readings::Useless), "{t1} {t4}");
        }
    }

    #[test]
    fn a101_equal_stamps_are_left_to_the_shortfall_rule() {
        let (mut exchanges, id) = opened();
        exchanges.sent(&sent(id, 50)).unwrap();
        let exchange = exchanges.end(id).unwrap().unwrap();
        assert!(matches!(exchange.readings(&reply(id, 50), now(100)), Ok(Readings::Inside(_))));
    }

    #[test]
    fn what_was_given_up_may_still_end_once() {
        let (mut exchanges, id) = opened();
        assert!(exchanges.expire(at(2_000_000), |_| false).is_empty());
        assert_eq!(exchanges.expire(at(3_000_001), |_| false), [id]);
        assert_eq!(exchanges.end(id), Ok(None));
        assert!(exchanges.end(id).is_err());
    }

    #[test]
    fn an_exchange_across_a_discontinuity_is_useless() {
        let (mut exchanges, id) = opened();
        exchanges.sent(&sent(id, 10)).unwrap();
        exchanges.cut_all();
        let exchange = exchanges.end(id).unwrap().unwrap();
        assert_eq!(exchange.readings(&reply(id, 9_000_000), now(100)), Ok(Readings::Useless));
    }
}
