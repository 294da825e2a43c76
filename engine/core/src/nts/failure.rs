//! Why a source has no keys.

use crate::need::Reached;
use ipc::message::exchange::{ExchangeFailure, LookupFailure};

/// Why a key exchange brought no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyExchangeFailure {
    /// It failed.
    Failed(ExchangeFailure),
    /// None of the addresses it brought is one that a server can have.
    NoAddress,
}

impl KeyExchangeFailure {
    /// How far the attempt came.
    pub(crate) fn reached(self) -> Reached {
        match self {
            Self::Failed(
                ExchangeFailure::Lookup(_)
                | ExchangeFailure::NotStarted
                | ExchangeFailure::Unreachable
                | ExchangeFailure::NoInterface
                | ExchangeFailure::NoOwnAddress
                | ExchangeFailure::NoRoots
                | ExchangeFailure::Broken
                | ExchangeFailure::Denied(_),
            ) => Reached::Nobody,
            Self::Failed(ExchangeFailure::Deadline) => Reached::Unknown,
            _ => Reached::Server,
        }
    }

    /// Why the look-up of the server's name failed; none: it did not fail.
    pub(crate) fn of_name(self) -> Option<LookupFailure> {
        match self {
            Self::Failed(ExchangeFailure::Lookup(failure)) => Some(failure),
            _ => None,
        }
    }

    /// Whether only the validity period of the certificate is wrong.
    pub(crate) fn is_of_time(self) -> bool {
        matches!(self, Self::Failed(ExchangeFailure::Expired | ExchangeFailure::NotYetValid))
    }
}
