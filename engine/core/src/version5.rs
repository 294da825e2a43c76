//! The draft of NTP version 5 with one source: which version it is asked in, and what a reply in version 5 means.
//!
//! Nobody on the path can be kept from making the two sides speak version 4, which is worth no more to it than what it can do
//! with version 4 anyway. So each state ends by itself: what was given up is tried again, and what does not work is given up.

use core::net::IpAddr;
use ipc::message::client::{ReplyHeader, Version5Header};
use ipc::units::Leap;
use protocol::header::MODE_SERVER;
use protocol::ntpv5::header::{NEVER, era_of, short_from_time32};
use protocol::ntpv5::{Filter, Flags, ReferenceId, Timescale, VERSION};
use report::RejectReason;

/// Replies in version 4 without the sign of version 5 until it is no longer asked for.
const OFFERS: u8 = 8;

/// Queries in version 5 without a reply until version 4 is spoken again.
const MISSES: u8 = 2;

/// Queries in version 4 until version 5 is tried again.
const REST: u16 = 256;

/// Queries in version 5 until it is asked in version 4 once more.
const SPEAKS: u8 = 16;

/// Upstream of a server of stratum 2 or more that has named none: all of them have one vote together.
const UNKNOWN_UPSTREAM: u32 = u32::from_be_bytes(*b"NTP5");

/// In which version a query is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// Version 4.
    Version4,
    /// Version 4, with the sign that version 5 is spoken.
    Offer,
    /// Version 5.
    Version5,
}

/// What is known of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is asked in version 4 with the sign: so many replies without it are left.
    Offering(u8),
    /// It is asked in version 4 without the sign: so many queries are left. Whether it has answered since.
    Resting(u16, bool),
    /// It is asked in version 5: so many queries are unanswered, or their replies of no use; so many are left until it is asked in version
    /// 4 once more, in which alone it names its upstream.
    Speaking(u8, u8),
}

/// What a reply in version 5 was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// For a measurement.
    Measured,
    /// For none, and version 4 could do no better: the server has no time, or the source is not used for what it says in either.
    None,
    /// For none, by something that version 4 does not say: an era, a timescale, or which servers its time comes from; or it was
    /// impossible. Anybody can have filled the filter of an honest server, so this costs it version 5 and no more.
    Objected,
}

/// Which version a source is asked in, and which servers it says that its time comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Negotiation {
    state: State,
    /// Of the last measurement in version 5, if that told them.
    pub(crate) filter: Option<Filter>,
    /// Its stratum and reference id in the last reply in version 4 with a time.
    upstream: Option<(u8, u32)>,
}

impl Negotiation {
    pub(crate) const fn new() -> Self {
        Self { state: State::Offering(OFFERS), filter: None, upstream: None }
    }

    /// What it named as its own source when it was asked in version 4, if it is of the same stratum still.
    pub(crate) fn upstream(&self, stratum: u8) -> u32 {
        self.upstream.filter(|(of, _)| *of == stratum).map_or(UNKNOWN_UPSTREAM, |(_, id)| id)
    }

    /// A query is sent now.
    pub(crate) fn ask(&mut self) -> Speech {
        match &mut self.state {
            State::Offering(_) => Speech::Offer,
            State::Resting(0, _) | State::Speaking(_, 0) => {
                self.state = State::Offering(OFFERS);
                Speech::Offer
            }
            State::Speaking(_, left) => {
                *left -= 1;
                Speech::Version5
            }
            State::Resting(left, _) => {
                *left -= 1;
                Speech::Version4
            }
        }
    }

    /// A reply in version 4 came, with the sign or not. Without the question the sign is a date like any other, and its absence
    /// no answer: to a query that was under way, or while version 5 is not configured. `upstream`: its stratum and reference id, if it has a
    /// time; only then version 5 is spoken, which does not say them.
    pub(crate) fn heard_version4(&mut self, speech: Speech, sign: bool, upstream: Option<(u8, u32)>) {
        self.upstream = upstream.or(self.upstream);
        if !sign {
            self.filter = None;
        }
        self.state = match (self.state, speech) {
            (state @ State::Offering(_), Speech::Offer) if sign => match upstream {
                Some(_) => State::Speaking(0, SPEAKS),
                None => state,
            },
            (State::Offering(0 | 1), Speech::Offer) => State::Resting(REST, true),
            (State::Offering(left), Speech::Offer) => State::Offering(left - 1),
            (State::Resting(left, _), _) => State::Resting(left, true),
            (state, _) => state,
        };
    }

    /// A reply in version 5 came, of this stratum.
    pub(crate) fn heard_version5(&mut self, filter: Option<Filter>, good_for: Use, stratum: u8) {
        if good_for == Use::Measured {
            self.filter = filter;
        }
        let is_other = stratum > 0 && self.upstream.is_none_or(|(of, _)| of != stratum);
        match (&mut self.state, good_for) {
            (_, Use::Objected) => self.missed(Speech::Version5),
            // It has another source than the one that it named.
            (State::Speaking(..), Use::Measured) if is_other => self.state = State::Offering(OFFERS),
            (State::Speaking(misses, _), _) => *misses = 0,
            _ => {}
        }
    }

    /// A query was not answered.
    pub(crate) const fn missed(&mut self, speech: Speech) {
        self.state = match (self.state, speech) {
            (State::Speaking(misses, _), Speech::Version5) if misses + 1 >= MISSES => {
                State::Resting(REST, false)
            }
            (State::Speaking(misses, left), Speech::Version5) => State::Speaking(misses + 1, left),
            // It does not answer version 4 either: version 5 was not the reason.
            (State::Resting(_, false), Speech::Version4) => State::Offering(OFFERS),
            (state, _) => state,
        };
    }
}

/// The header of a reply in version 5 as one of version 4 whose origin timestamp is the cookie. What version 5 says without a
/// kiss code becomes one. `poll`: the exponent of the interval in which the source is asked. `upstream`: what it has named
/// in version 4, since version 5 has no reference id.
pub(crate) fn translate(header: &Version5Header, poll: i8, upstream: u32) -> ReplyHeader {
    let is_synchronised = Flags::from_bits(header.flags).is_synchronised() && header.stratum > 0;
    let has_time = header.receive_timestamp != 0;
    let kiss = match header.poll {
        _ if header.stratum > 0 => None,
        NEVER => Some(*b"DENY"),
        wanted if wanted > poll || (wanted > 0 && !has_time) => Some(*b"RATE"),
        _ => None,
    };
    ReplyHeader {
        leap: match header.leap {
            _ if !is_synchronised => Leap::Unknown,
            // It knows nothing of leap seconds: it does not announce one.
            Leap::Unknown => Leap::None,
            leap => leap,
        },
        version: VERSION,
        mode: MODE_SERVER,
        stratum: if is_synchronised { header.stratum } else { 0 },
        poll: header.poll,
        precision: header.precision,
        root_delay: short_from_time32(header.root_delay),
        root_dispersion: short_from_time32(header.root_dispersion),
        reference_id: match kiss {
            Some(code) => u32::from_be_bytes(code),
            None if is_synchronised => upstream,
            None => 0,
        },
        reference_timestamp: 0,
        origin_timestamp: header.client_cookie,
        receive_timestamp: header.receive_timestamp,
        transmit_timestamp: header.transmit_timestamp,
    }
}

/// Why a reply with a time in version 5 is of no use, as far as version 4 cannot say it. `received`: T2, nanoseconds since 1970.
/// `own`: our own reference id, where this host serves time in version 5; then all servers that the source's time comes from were asked
/// for. `addresses`: of this host, where it serves time: who follows it in version 4 knows it by one of them.
pub(crate) fn objection(
    header: &Version5Header,
    filter: Option<&Filter>,
    received: i64,
    own: Option<&ReferenceId>,
    addresses: &[IpAddr],
) -> Option<RejectReason> {
    if header.era != era_of(received) {
        return Some(RejectReason::Date);
    }
    if Timescale::from_number(header.timescale) != Some(Timescale::Utc) {
        return Some(RejectReason::Timescale);
    }
    let is_demanded = own.is_some();
    match filter {
        // A reference clock has no servers.
        None => (is_demanded && header.stratum != 1).then_some(RejectReason::ReferenceIds),
        Some(filter) if filter.count() > Filter::HALF => is_demanded.then_some(RejectReason::ReferenceIds),
        Some(filter) => {
            let names_address = || addresses.iter().any(|ip| filter.has(&ReferenceId::of_address(*ip)));
            let names_us = own.is_some_and(|own| filter.has(own)) || names_address();
            names_us.then_some(RejectReason::Loop)
        }
    }
}

/// What is added to an offset for the time for which the query and the reply were held up on the path, nanoseconds; zero unless both
/// fit into the round trip. Nothing authenticates what the path says: [`crate::measurement::Measurement::held_up`] has what it moves an
/// offset by in the delay.
pub(crate) fn path_correction(held_up: Option<(i64, i64)>, delay: i64) -> i64 {
    match held_up {
        Some((there, back)) if there >= 0 && back >= 0 && there.saturating_add(back) <= delay => {
            (back - there) / 2
        }
        _ => 0,
    }
}

/// The union of these filters for our own clients: no more than half full, since they refuse a fuller one. Of filters that are too
/// full together the fullest are left out.
pub(crate) fn union(own: &ReferenceId, mut filters: alloc::vec::Vec<Filter>) -> Filter {
    filters.sort_by_key(Filter::count);
    let mut all = Filter::EMPTY;
    all.add(own);
    for filter in filters {
        let mut more = all;
        more.join(&filter);
        if more.count() <= Filter::HALF {
            all = more;
        }
    }
    all
}

#[cfg(test)]
mod tests;
