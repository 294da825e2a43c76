//! Octets of a bounded number without allocation: the length, then all octets, those beyond it zero.

/// A type of at most `$most` octets whose content `$check` approves; decoding refuses what building refuses,
/// and octets other than zero behind the length.
macro_rules! bounded {
    ($(#[$meta:meta])* $name:ident, $raw:ident, $array:ident, $most:expr, $check:expr, $strategy:expr) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
        #[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
        pub(crate) struct $raw {
            length: u16,
            octets: $array,
        }

        /// The array, apart, so that its test strategy can be given.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
        #[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
        pub(crate) struct $array([u8; $most]);

        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Encode)]
        #[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
        pub struct $name($raw);

        decode_checked!($name, $raw);

        impl $name {
            fn try_new(raw: $raw) -> Result<Self, OutOfRange> {
                let (used, rest) =
                    raw.octets.0.split_at_checked(usize::from(raw.length)).ok_or(OutOfRange)?;
                let lawful: fn(&[u8]) -> bool = $check;
                if lawful(used) && rest.iter().all(|octet| *octet == 0) { Ok(Self(raw)) } else { Err(OutOfRange) }
            }

            /// Copies `octets`.
            ///
            /// # Errors
            /// [`OutOfRange`]: too many, or not what this type holds.
            pub fn from_octets(octets: &[u8]) -> Result<Self, OutOfRange> {
                let mut all = [0; $most];
                all.get_mut(..octets.len()).ok_or(OutOfRange)?.copy_from_slice(octets);
                let length = u16::try_from(octets.len()).map_err(|_| OutOfRange)?;
                Self::try_new($raw { length, octets: $array(all) })
            }

            /// The octets that count.
            pub fn octets(&self) -> &[u8] {
                &self.0.octets.0[..usize::from(self.0.length)]
            }
        }

        #[cfg(test)]
        impl proptest::arbitrary::Arbitrary for $array {
            type Parameters = ();
            type Strategy = proptest::strategy::BoxedStrategy<Self>;
            fn arbitrary_with((): ()) -> Self::Strategy {
                use proptest::prelude::*;
                proptest::collection::vec(any::<u8>(), $most)
                    .prop_map(|octets| $array(octets.try_into().unwrap()))
                    .boxed()
            }
        }

        #[cfg(test)]
        impl proptest::arbitrary::Arbitrary for $name {
            type Parameters = ();
            type Strategy = proptest::strategy::BoxedStrategy<Self>;
            fn arbitrary_with((): ()) -> Self::Strategy {
                use proptest::prelude::*;
                $strategy.prop_map(|octets| $name::from_octets(octets.as_ref()).unwrap()).boxed()
            }
        }
    };
}
