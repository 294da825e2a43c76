//! Why a source has no keys.

use crate::candidates::Fault;
use crate::need::Reached;
use ipc::message::exchange::{ExchangeFailure, LookupFailure};

/// Why a key exchange brought no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyExchangeFailure {
    /// It failed.
    Failed(ExchangeFailure),
    /// None of the addresses it brought is one that a server can have.
    NoAddress,
    /// It leads to a time server that another member of the pool, or another source with NTS, asks already.
    Taken,
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

    /// What it says of the address at which it failed.
    pub(crate) fn fault(self) -> Fault {
        match self {
            Self::Taken => Fault::Unready,
            Self::Failed(_) | Self::NoAddress => Fault::NoKeys(self.reached()),
        }
    }

    /// Whether only the validity period of the certificate is wrong.
    pub(crate) fn is_of_time(self) -> bool {
        matches!(self, Self::Failed(ExchangeFailure::Expired | ExchangeFailure::NotYetValid))
    }
}
