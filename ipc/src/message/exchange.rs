//! The link to the exchange role: each look-up in a child of its own.

use super::Shortfall;
use crate::address::Address;
use crate::codec::{Decode, Encode};
use crate::units::OutOfRange;

/// Most addresses that are taken from one answer.
pub const MAX_ADDRESSES: usize = 16;

/// Longest host name in octets (RFC 1035 section 2.3.4).
pub const MAX_NAME: usize = 253;

/// Engine to exchange role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ToExchange {
    /// Look this name up in a child of its own. The id was never used before; at most 8 are open.
    Resolve(Resolve),
}

/// Exchange role to engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum FromExchange {
    /// First message, once: the process is confined.
    Hello(Shortfall),
    /// End of a look-up.
    Resolved(Resolved),
    /// End of a look-up without an address.
    Failed(Failed),
}

/// A look-up's name: the engine counts up and never uses one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct ExchangeId(pub u64);

/// One look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Resolve {
    /// Its name.
    pub id: ExchangeId,
    /// The host name.
    pub name: HostName,
    /// Copied into each address.
    pub port: u16,
}

/// Addresses of a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Resolved {
    /// The look-up.
    pub id: ExchangeId,
    /// How many of `addresses` count, 1 to 16.
    pub count: u8,
    /// In the resolver's order; unused places are [`Address::NONE`].
    pub addresses: [Address; MAX_ADDRESSES],
}

/// No address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Failed {
    /// The look-up.
    pub id: ExchangeId,
    /// Why.
    pub reason: LookupFailure,
}

/// Why there is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum LookupFailure {
    /// The name does not exist or has no address.
    NoSuchName,
    /// The resolver can't be reached or says to try again.
    TryAgain,
    /// The child took longer than its deadline.
    Deadline,
    /// The child died, or answered something else than addresses.
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub(crate) struct RawName {
    length: u8,
    octets: NameOctets,
}

/// The array, apart, so that its test strategy can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub(crate) struct NameOctets([u8; MAX_NAME]);

/// A host name: 1 to 253 octets of letters, digits, `-`, `_` and `.`, not starting with `-` or `.`.
/// Having one proves only its form, not that it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct HostName(RawName);

decode_checked!(HostName, RawName);

impl HostName {
    fn try_new(raw: RawName) -> Result<Self, OutOfRange> {
        let (name, rest) = raw.octets.0.split_at_checked(usize::from(raw.length)).ok_or(OutOfRange)?;
        let lawful = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
        if name.is_empty()
            || matches!(name[0], b'-' | b'.')
            || !name.iter().all(lawful)
            || rest.iter().any(|octet| *octet != 0)
        {
            return Err(OutOfRange);
        }
        Ok(Self(raw))
    }

    /// Checks the form.
    ///
    /// # Errors
    /// [`OutOfRange`] for anything that is not a host name.
    pub fn parse(name: &str) -> Result<Self, OutOfRange> {
        let mut octets = [0; MAX_NAME];
        octets.get_mut(..name.len()).ok_or(OutOfRange)?.copy_from_slice(name.as_bytes());
        let length = u8::try_from(name.len()).map_err(|_| OutOfRange)?;
        Self::try_new(RawName { length, octets: NameOctets(octets) })
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        // ASCII was checked in try_new.
        core::str::from_utf8(&self.0.octets.0[..usize::from(self.0.length)]).unwrap_or("")
    }
}

#[cfg(test)]
mod arbitrary {
    use super::*;
    use proptest::{arbitrary::Arbitrary, collection::vec, prelude::*};

    impl Arbitrary for NameOctets {
        type Parameters = ();
        type Strategy = BoxedStrategy<Self>;
        fn arbitrary_with((): ()) -> Self::Strategy {
            vec(any::<u8>(), MAX_NAME).prop_map(|octets| NameOctets(octets.try_into().unwrap())).boxed()
        }
    }

    impl Arbitrary for HostName {
        type Parameters = ();
        type Strategy = BoxedStrategy<Self>;
        fn arbitrary_with((): ()) -> Self::Strategy {
            "[a-z0-9_][a-zA-Z0-9._-]{0,252}".prop_map(|name| HostName::parse(&name).unwrap()).boxed()
        }
    }
}
