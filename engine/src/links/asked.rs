//! What was asked of the client and exchange roles, as far as the form of their answers hangs on it.

use ipc::address::Address;
use ipc::message::client::{MAX_CANDIDATES, QueryId};
use ipc::message::exchange::{
    AeadOffer, Exchange, ExchangeId, Exchanged, MAX_ADDRESSES, MAX_COOKIES, Resolved,
};
use ipc::secret::{Aead, KeyPair, MAX_KEY, Secret};
use ipc::units::{RawInstant, Span};
use std::collections::VecDeque;

/// Protected queries that are remembered, open or not: a candidate may be under way when its query is cancelled.
const MOST_QUERIES: usize = 256;

/// Key exchanges that may be open at a time.
const MOST_EXCHANGES: usize = 8;

/// How long a look-up or key exchange may be without an end: each has a deadline far below it.
const ENDLESS: Span = Span::from_secs(120);

/// A rule that an answer broke, as the rest of a sentence that starts with its process.
pub type Deed = &'static str;

/// The last protected queries, each with how many candidates came for it.
#[derive(Debug, Default)]
pub struct ProtectedQueries {
    last: VecDeque<(QueryId, u8)>,
}

impl ProtectedQueries {
    /// A protected query is on its way.
    pub fn open(&mut self, id: QueryId) {
        if self.last.len() >= MOST_QUERIES {
            self.last.pop_front();
        }
        self.last.push_back((id, 0));
    }

    /// A packet that may be its reply has come.
    pub fn count(&mut self, id: QueryId) -> Result<(), Deed> {
        let query = self.last.iter_mut().rev().find(|(known, _)| *known == id);
        let (_, candidates) = query.ok_or("answered a protected query that nobody sent")?;
        if *candidates >= MAX_CANDIDATES {
            return Err("passed on more than 4 packets for one query");
        }
        *candidates += 1;
        Ok(())
    }

    /// A query has ended in the way of a plain one.
    pub fn check_plain(&self, id: QueryId) -> Result<(), Deed> {
        match self.last.iter().any(|(known, _)| *known == id) {
            true => Err("answered a protected query as if it were a plain one"),
            false => Ok(()),
        }
    }

    /// A query has ended without a reply.
    pub fn close(&mut self, id: QueryId) {
        self.last.retain(|(known, _)| *known != id);
    }
}

/// Key exchanges without an end so far.
#[derive(Debug, Default)]
pub struct KeyExchanges {
    open: Vec<KeyExchange>,
}

#[derive(Debug)]
struct KeyExchange {
    id: ExchangeId,
    offer: AeadOffer,
    may_defer: bool,
    cookies: u8,
}

impl KeyExchanges {
    /// Whether one more may be asked for.
    pub fn has_room(&self) -> bool {
        self.open.len() < MOST_EXCHANGES
    }

    /// A key exchange was asked for.
    pub fn open(&mut self, asked: &Exchange) {
        let Exchange { id, offer, not_before, .. } = *asked;
        self.open.push(KeyExchange { id, offer, may_defer: not_before.is_some(), cookies: 0 });
    }

    /// A cookie came.
    pub fn count(&mut self, id: ExchangeId) -> Result<(), Deed> {
        let exchange = self.open.iter_mut().find(|open| open.id == id);
        let exchange = exchange.ok_or("sent a cookie of a key exchange that is not open")?;
        if exchange.cookies >= MAX_COOKIES {
            return Err("sent more than 8 cookies of one key exchange");
        }
        exchange.cookies += 1;
        Ok(())
    }

    /// It ended without keys.
    pub fn fail(&mut self, id: ExchangeId) -> Result<(), Deed> {
        self.close(id).map(|_| ())
    }

    /// It ended with these keys.
    pub fn end(&mut self, ended: &Exchanged) -> Result<(), Deed> {
        let asked = self.close(ended.id)?;
        if ended.cookies == 0 || ended.cookies != asked.cookies {
            return Err("sent another number of cookies than it says");
        }
        check_addresses(ended.count, &ended.addresses)?;
        let is_offered = match asked.offer {
            AeadOffer::GcmSivFirst => true,
            AeadOffer::SivOnly => ended.algorithm == Aead::AesSivCmac256,
        };
        if !is_offered {
            return Err("chose an algorithm that was not offered");
        }
        if ended.alternate.is_some() && ended.algorithm != Aead::Aes128GcmSiv {
            return Err("sent other keys for an algorithm that has one kind");
        }
        if ![Some(&ended.keys), ended.alternate.as_ref()]
            .into_iter()
            .flatten()
            .all(|keys| has_length(keys, ended.algorithm))
        {
            return Err("sent keys of another length than the algorithm's");
        }
        if ended.valid_from > ended.valid_until {
            return Err("sent a validity that ends before it begins");
        }
        if ended.deferred && !asked.may_defer {
            return Err("put off the question of validity without leave");
        }
        Ok(())
    }

    fn close(&mut self, id: ExchangeId) -> Result<KeyExchange, Deed> {
        let place = self.open.iter().position(|open| open.id == id);
        place.map(|place| self.open.swap_remove(place)).ok_or("ended a key exchange that is not open")
    }
}

/// Look-ups and key exchanges without an end so far, oldest first.
#[derive(Debug, Default)]
pub struct Unended {
    open: VecDeque<(ExchangeId, RawInstant)>,
    /// The one that was found to take too long, and when.
    doubted: Option<(ExchangeId, RawInstant)>,
}

impl Unended {
    /// One was asked for.
    pub fn begin(&mut self, id: ExchangeId, now: RawInstant) {
        self.open.push_back((id, now));
    }

    /// One has ended.
    pub fn end(&mut self, id: ExchangeId) {
        self.open.retain(|(open, _)| *open != id);
    }

    /// Looks whether all end in time. The first look that finds one that doesn't is no proof: the clock may
    /// have jumped with the whole machine, so it has as long once more.
    pub fn check(&mut self, now: RawInstant) -> Result<(), Deed> {
        let late = |since: RawInstant| now.since(since).nanos() > ENDLESS.nanos();
        let Some((oldest, _)) = self.open.front().copied().filter(|(_, begun)| late(*begun)) else {
            self.doubted = None;
            return Ok(());
        };
        match self.doubted.filter(|(doubted, _)| *doubted == oldest) {
            None => self.doubted = Some((oldest, now)),
            Some((_, since)) if late(since) => return Err("never ended a look-up or key exchange"),
            Some(_) => {}
        }
        Ok(())
    }
}

/// A look-up ended with these addresses.
pub fn check_resolved(resolved: &Resolved) -> Result<(), Deed> {
    match (1..=MAX_ADDRESSES).contains(&usize::from(resolved.count)) {
        true => Ok(()),
        false => Err("sent a number of addresses that can't be"),
    }
}

fn check_addresses(count: u8, addresses: &[Address; MAX_ADDRESSES]) -> Result<(), Deed> {
    let count = usize::from(count);
    if !(1..=MAX_ADDRESSES).contains(&count) {
        return Err("sent a number of addresses that can't be");
    }
    let (used, rest) = addresses.split_at_checked(count).unwrap_or((addresses, &[]));
    match used.iter().all(Address::is_unicast) && rest.iter().all(|address| *address == Address::NONE) {
        true => Ok(()),
        false => Err("sent an address that no server has"),
    }
}

/// Octets of a key of this algorithm (RFC 8915 section 5.1); a shorter one is followed by zeros.
fn key_length(algorithm: Aead) -> usize {
    match algorithm {
        Aead::AesSivCmac256 => MAX_KEY,
        Aead::Aes128GcmSiv => 16,
    }
}

fn has_length(keys: &KeyPair, algorithm: Aead) -> bool {
    let rest =
        |key: &Secret| key.octets().iter().skip(key_length(algorithm)).fold(0, |all, octet| all | octet) == 0;
    rest(&keys.client_to_server) && rest(&keys.server_to_client)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> RawInstant {
        RawInstant::saturating(seconds * 1_000_000_000)
    }

    #[test]
    fn a177_an_exchange_role_that_never_ends_what_it_began_is_found_out_at_the_second_look() {
        let mut unended = Unended::default();
        unended.begin(ExchangeId(1), at(0));
        unended.begin(ExchangeId(2), at(100));
        assert_eq!(unended.check(at(119)), Ok(()));
        // The whole machine was stopped for a day: nothing is known of the role yet.
        assert_eq!(unended.check(at(86_400)), Ok(()));
        assert_eq!(unended.check(at(86_500)), Ok(()));
        unended.end(ExchangeId(1));
        assert_eq!(unended.check(at(86_530)), Ok(()), "another one's time begins anew");
        assert_eq!(unended.check(at(86_600)), Ok(()));
        assert!(unended.check(at(86_651)).is_err());
        unended.end(ExchangeId(2));
        assert_eq!(unended.check(at(90_000)), Ok(()));
    }
}
