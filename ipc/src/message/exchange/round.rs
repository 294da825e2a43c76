//! A round of Roughtime (RFC 10049 section 8.2): a few servers are asked twice in the same order, each nonce made of the answer
//! before. The child looks at the signatures to know whether to wait for another packet; the engine verifies them again.

use super::{ExchangeId, KeyServer, LookupFailure};
use crate::address::Address;
use crate::anchor::MAX_RESPONSE;
use crate::codec::{Decode, Encode};
use crate::list::{Bounded, Empty};
use crate::units::{OutOfRange, RawInstant};
use core::fmt;
use core::ops::Deref;

/// Fewest servers of a round: of three, one may lie.
pub const MIN_ROUND: usize = 3;

/// Most servers of a round.
pub const MAX_ROUND: usize = 5;

/// How often each server of a round gives an answer that counts: what is ahead of true time is only caught by what comes after.
pub const PASSES: u8 = 2;

/// A round that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Measure {
    /// Its name.
    pub id: ExchangeId,
    /// The nonce of the first request.
    pub first_nonce: [u8; 32],
    /// What the random octets of the chain of nonces are made of.
    pub seed: [u8; 32],
    /// Who is asked, in this order.
    pub servers: RoundServers,
}

/// A server of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct RoundServer {
    /// Its long-term public key.
    pub public_key: [u8; 32],
    /// The version that is offered.
    pub version: u32,
    /// Where it is.
    pub host: KeyServer,
    /// Its UDP port.
    pub port: u16,
}

impl Empty for RoundServer {
    fn empty() -> Self {
        Self { public_key: [0; 32], version: 0, host: KeyServer::Address(Address::NONE), port: 0 }
    }
}

/// [`MIN_ROUND`] to [`MAX_ROUND`] servers with different keys, each with a port and a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct RoundServers(Bounded<RoundServer, MAX_ROUND>);

decode_checked!(RoundServers, Bounded<RoundServer, MAX_ROUND>);

impl RoundServers {
    fn try_new(all: Bounded<RoundServer, MAX_ROUND>) -> Result<Self, OutOfRange> {
        let is_first = |at: usize, one: &RoundServer| {
            all.iter().position(|other| other.public_key == one.public_key) == Some(at)
        };
        let mut servers = all.iter().enumerate();
        let is_lawful = servers.all(|(at, one)| one.port != 0 && one.version != 0 && is_first(at, one));
        if is_lawful && all.len() >= MIN_ROUND { Ok(Self(all)) } else { Err(OutOfRange) }
    }

    /// All of these.
    ///
    /// # Errors
    /// [`OutOfRange`]: fewer than three, more than five, two with one key, or one without a port or a version.
    pub fn new(servers: impl IntoIterator<Item = RoundServer>) -> Result<Self, OutOfRange> {
        Self::try_new(Bounded::new(servers)?)
    }
}

impl Deref for RoundServers {
    type Target = [RoundServer];

    fn deref(&self) -> &[RoundServer] {
        &self.0
    }
}

bounded! {
    /// An answer of 1 to [`MAX_RESPONSE`] octets.
    Response, RawResponse, ResponseOctets, MAX_RESPONSE, |octets| !octets.is_empty(),
    proptest::collection::vec(any::<u8>(), 1..=MAX_RESPONSE)
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({})", self.octets().len())
    }
}

/// An answer of a round, in the order in which they came; `Measured` follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Signed {
    /// The round.
    pub id: ExchangeId,
    /// Whose answer, from 0.
    pub server: u8,
    /// What its nonce was made of, with the answer before; of the first one zero.
    pub rand: [u8; 32],
    /// A moment before the request left.
    pub sent: RawInstant,
    /// A moment after the answer came.
    pub received: RawInstant,
    /// The whole packet.
    pub response: Response,
}

/// The end of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Measured {
    /// The round.
    pub id: ExchangeId,
    /// How many records `Signed` came before.
    pub answers: u8,
    /// What came of each server, in their order.
    pub heard: HeardOf,
}

/// Of each server of a round.
pub type HeardOf = Bounded<Heard, MAX_ROUND>;

/// What came of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Heard {
    /// A valid answer, or two.
    Answer,
    /// Its name has no address.
    NoAddress(LookupFailure),
    /// No packet can be sent there.
    Unreachable,
    /// ICMP: nobody listens on its port.
    Refused,
    /// Nothing came.
    Nothing,
    /// What came is no valid answer.
    Invalid,
}

impl Empty for Heard {
    fn empty() -> Self {
        Self::Answer
    }
}

impl Heard {
    /// For a person: the cause, and after a semicolon what to look at.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Answer => "it answered",
            Self::NoAddress(reason) => reason.sentence(),
            Self::Unreachable => "no packet can be sent to it; check network and firewall",
            Self::Refused => {
                "no server listens on its port; check the port in `address` (usually 5319 or 2002)"
            }
            Self::Nothing => {
                "it does not answer; check the port in `address` and that UDP to it is let through, and compare `key` with its operator's: \
                 with another key most servers are silent"
            }
            Self::Invalid => {
                "its answers are not signed by the configured key, or have another version; compare key and version with its \
                 operator's"
            }
        }
    }
}

/// No result of a round at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct MeasureFailed {
    /// The round.
    pub id: ExchangeId,
    /// Why.
    pub reason: MeasureFailure,
}

/// Why there is no result; the parent of the child says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum MeasureFailure {
    /// There can be no child now.
    NotStarted,
    /// The child took longer than its deadline.
    Deadline,
    /// The child died, or said something that it may not say.
    Broken,
    /// The child was ended by its filter, which denied the system call with this number.
    Denied(u16),
}

impl MeasureFailure {
    /// For a person: the cause, and after a semicolon what to look at.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NotStarted => "no process for it could be started; check the host's memory and limits",
            Self::Deadline => "it took too long; check the network and /etc/resolv.conf",
            Self::Broken => "the process that asked failed; the kernel's log may say why",
            Self::Denied(_) => {
                "the process that asked was killed by its system call filter; please report it"
            }
        }
    }
}

#[cfg(test)]
mod arbitrary {
    use super::*;
    use proptest::arbitrary::Arbitrary;
    use proptest::collection::vec;
    use proptest::prelude::*;

    impl Arbitrary for RoundServers {
        type Parameters = ();
        type Strategy = BoxedStrategy<Self>;
        fn arbitrary_with((): ()) -> Self::Strategy {
            vec((1u32.., any::<KeyServer>(), 1u16..), MIN_ROUND..=MAX_ROUND)
                .prop_map(|servers| {
                    let server = |(at, (version, host, port)): (usize, (u32, KeyServer, u16))| RoundServer {
                        public_key: [at as u8; 32],
                        version,
                        host,
                        port,
                    };
                    Self::new(servers.into_iter().enumerate().map(server)).unwrap()
                })
                .boxed()
        }
    }
}
