//! The counters of the roles that answer clients. Each list is defined only here.

use crate::codec::{Decode, Encode};

macro_rules! counters {
    ($(#[$about:meta])+ $kind:ident: $($(#[$doc:meta])+ $name:ident,)+) => {
        $(#[$about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
        #[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
        pub struct $kind {
            $($(#[$doc])+ pub $name: u64,)+
        }

        impl $kind {
            /// The names of the counters, in the order of the fields.
            pub const NAMES: [&str; [$(stringify!($name)),+].len()] = [$(stringify!($name)),+];

            /// Nothing counted.
            pub const ZERO: Self = Self { $($name: 0),+ };

            /// All of them, in the order of the fields.
            pub const fn list(&self) -> [u64; Self::NAMES.len()] {
                let Self { $($name),+ } = *self;
                [$($name),+]
            }

            /// From all of them, in the order of the fields.
            pub const fn from_list(list: [u64; Self::NAMES.len()]) -> Self {
                let [$($name),+] = list;
                Self { $($name),+ }
            }
        }
    };
}

counters! {
    /// What the server did, since its start.
    Counters:
    /// Datagrams read.
    received,
    /// Replies sent.
    answered,
    /// Silent: not an NTP client request (length, version, mode), or with NTS fields that are invalid or cannot be
    /// answered without cookie keys.
    malformed,
    /// Silent: mode 6 or 7.
    control,
    /// Silent: the access rules say so.
    denied,
    /// Silent: too many requests from there.
    limited,
    /// Silent: not synchronised, and the policy says to keep silent then.
    unsynchronised,
    /// The kernel would not take the reply.
    failed,
    /// Of the answered: too many requests from there, answered all the same (see the rate limit's leak).
    spared,
    /// Of the answered: interleaved.
    interleaved,
    /// Kiss-o'-death RATE sent instead of an answer; counted in `limited` too.
    kissed,
    /// Of the answered: protected by NTS.
    protected,
    /// NTS NAK sent instead of an answer: a cookie that cannot be opened, or a wrong tag.
    nak,
    /// Of the answered: authenticated by a symmetric key.
    keyed,
    /// Silent: a MAC of an unknown key, or a wrong one.
    unauthenticated,
    /// Of the answered: signed by Samba.
    signed,
    /// Silent: Samba will not sign for the account that was named.
    unsigned,
    /// Silent: no signature in time, because Samba cannot be asked or too many replies wait for it.
    unsigned_late,
}

counters! {
    /// What the key exchange service did, since its start.
    KeyCounters:
    /// Connections accepted.
    accepted,
    /// Exchanges that ended with cookies.
    exchanged,
    /// Connections that were closed at once: too many, in all or from there.
    limited,
    /// Connections that were closed at once: not over an interface that `listen` names.
    denied,
    /// TLS failed.
    tls,
    /// Requests that were answered with an error record, or that found nothing in common.
    refused,
    /// The deadline passed.
    late,
    /// The client went away.
    gone,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_each_counter_once_and_makes_the_same_counters_again() {
        let list = core::array::from_fn(|at| at as u64 + 1);
        let counters = Counters::from_list(list);
        assert_eq!(counters.list(), list);
        assert_eq!((counters.received, counters.unsigned_late), (1, Counters::NAMES.len() as u64));
        assert_eq!(Counters::from_list([0; Counters::NAMES.len()]), Counters::ZERO);
    }
}
