//! How much depends on an answer: it limits how rarely a source that does not answer is tried.
//!
//! A source that is silent while others are followed is asked ever more rarely. While none is followed, the silence may
//! be that of the network, and the clock waits for its end: then the intervals are limited, at a price that each server
//! can bear. A server that is dead gets two packets a minute of a host that has never been synchronised, and one in four
//! minutes of a host that has lost all its sources.

use crate::poll::whole_millis;
use ipc::message::exchange::LookupFailure;
use ipc::units::Span;

/// The first wait between two attempts at a key exchange or a look-up, seconds; each further one is half as long again.
const FIRST_WAIT: f64 = 10.0;

/// How long to wait after the attempt with this number, counted from 0, and at most so many seconds, five days or less (RFC 8915
/// section 4.2).
pub(crate) fn back_off(attempt: u32, longest: f64) -> Span {
    // 1.5^27 times ten seconds is above five days.
    let seconds = FIRST_WAIT * libm::pow(1.5, f64::from(attempt.min(30)));
    whole_millis(seconds.min(longest))
}

/// How much depends on an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// No source has been followed since the start, or since the host slept.
    First,
    /// Sources were followed, and none of those that have a vote answers any more.
    Lost,
    /// Some source answers.
    Little,
}

impl Need {
    /// The longest interval between two queries to a source that does not answer, seconds; none: its poll interval and the
    /// back-off decide.
    pub(crate) const fn longest_interval(self) -> Option<f64> {
        match self {
            Self::First => Some(32.0),
            Self::Lost => Some(256.0),
            Self::Little => None,
        }
    }

    /// The same after a query that has not left the network of this host, and so cost no server anything.
    pub(crate) const fn longest_unsent(self) -> Option<f64> {
        match self {
            Self::First => Some(8.0),
            Self::Lost => Some(64.0),
            Self::Little => None,
        }
    }

    /// The longest rest of an address that answers without a time that can be used, seconds; none: the general one.
    pub(crate) const fn longest_unready(self) -> Option<f64> {
        match self {
            Self::First => Some(64.0),
            Self::Lost => Some(256.0),
            Self::Little => None,
        }
    }

    /// The longest wait between two look-ups of a name, seconds. Where no name server was reached, the cause is on this host
    /// or near it, and may end at any moment.
    pub(crate) fn longest_lookup(self, reason: Option<LookupFailure>) -> f64 {
        match (self, reason.is_some_and(is_local)) {
            (Self::First, true) => 15.0,
            (Self::First, false) => 60.0,
            (Self::Lost, true) => 64.0,
            (Self::Lost, false) => 256.0,
            (Self::Little, true) => 120.0,
            (Self::Little, false) => 3600.0,
        }
    }

    /// The longest wait between two key exchanges, seconds, by what the last one came to.
    pub(crate) const fn longest_exchange(self, reached: Reached) -> f64 {
        match (self, reached) {
            (_, Reached::Server) => 432_000.0,
            (Self::First, Reached::Nobody) => 15.0,
            (Self::First, Reached::Unknown) => 60.0,
            (Self::Lost, Reached::Nobody | Reached::Unknown) => 256.0,
            (Self::Little, Reached::Nobody) => 3600.0,
            (Self::Little, Reached::Unknown) => 432_000.0,
        }
    }
}

/// How far a key exchange came that brought no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// No server can have noticed it.
    Nobody,
    /// There was no answer: a server may have noticed it or not.
    Unknown,
    /// A server answered.
    Server,
}

/// Once in this time at most, a sign that the network is there hastens what waits: the signs come from others.
pub(crate) const BETWEEN_SIGNS: Span = Span::from_secs(8);

/// Whether the failure says nothing about the name.
fn is_local(reason: LookupFailure) -> bool {
    match reason {
        LookupFailure::TryAgain
        | LookupFailure::NoResolver
        | LookupFailure::NotStarted
        | LookupFailure::Deadline
        | LookupFailure::NoInterface => true,
        LookupFailure::NoSuchName
        | LookupFailure::NoAddress
        | LookupFailure::Refused
        | LookupFailure::Broken
        | LookupFailure::Denied(_) => false,
    }
}
