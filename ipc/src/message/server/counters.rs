//! What the server role counts. The list stands here and nowhere else.

use crate::codec::{Decode, Encode};

macro_rules! counters {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// What the server role did, since its start.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
        #[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
        pub struct Counters {
            $($(#[$doc])+ pub $name: u64,)+
        }

        impl Counters {
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
    /// Datagrams read.
    received,
    /// Replies sent.
    answered,
    /// Silent: not an NTP client request (length, version, mode), or with NTS fields that make no sense or
    /// that can't be answered for want of cookie keys.
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
    /// NTS NAK sent instead of an answer: a cookie that can't be opened, or a wrong tag.
    nak,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_each_counter_once_and_makes_the_same_counters_again() {
        let list = core::array::from_fn(|at| at as u64 + 1);
        let counters = Counters::from_list(list);
        assert_eq!(counters.list(), list);
        assert_eq!((counters.received, counters.nak), (1, Counters::NAMES.len() as u64));
        assert_eq!(Counters::from_list([0; Counters::NAMES.len()]), Counters::ZERO);
    }
}
