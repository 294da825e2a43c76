//! Up to so many values of a kind, without allocation: how many, then all places, those beyond them empty.

use crate::address::Address;
use crate::codec::{Decode, Encode};
use crate::units::OutOfRange;
use core::ops::Deref;

/// At most `N` values, in their order; it is read as a slice of those that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct Bounded<T, const N: usize> {
    count: u8,
    all: [T; N],
}

/// What stands in an empty place.
pub trait Empty: PartialEq + Sized {
    /// The value.
    fn empty() -> Self;
}

impl<T: Empty, const N: usize> Bounded<T, N> {
    /// None of them.
    pub fn none() -> Self {
        Self { count: 0, all: core::array::from_fn(|_| T::empty()) }
    }

    /// All of these.
    ///
    /// # Errors
    /// [`OutOfRange`]: more than `N`.
    pub fn new(values: impl IntoIterator<Item = T>) -> Result<Self, OutOfRange> {
        let mut list = Self::none();
        for value in values {
            *list.all.get_mut(usize::from(list.count)).ok_or(OutOfRange)? = value;
            list.count = list.count.checked_add(1).ok_or(OutOfRange)?;
        }
        Ok(list)
    }
}

impl<const N: usize> Bounded<Address, N> {
    /// No address.
    pub const NONE: Self = Self { count: 0, all: [Address::NONE; N] };
}

impl<T: Copy, const N: usize> Bounded<T, N> {
    /// None, with what stands in an empty place.
    pub(crate) const fn filled(empty: T) -> Self {
        Self { count: 0, all: [empty; N] }
    }
}

impl Empty for Address {
    fn empty() -> Self {
        Self::NONE
    }
}

impl<T, const N: usize> Deref for Bounded<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.all.get(..usize::from(self.count)).unwrap_or_default()
    }
}

impl<C, T: Decode<C> + Empty + 'static, const N: usize> Decode<C> for Bounded<T, N> {
    fn decode<D: crate::codec::Decoder<Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, crate::codec::DecodeError> {
        let list = Self { count: u8::decode(decoder)?, all: <[T; N]>::decode(decoder)? };
        match list.all.get(usize::from(list.count)..) {
            Some(rest) if rest.iter().all(|place| *place == T::empty()) => Ok(list),
            _ => Err(crate::codec::DecodeError::Other("out of range")),
        }
    }
}

impl<'de, C, T: Decode<C> + Empty + 'static, const N: usize> crate::codec::BorrowDecode<'de, C>
    for Bounded<T, N>
{
    fn borrow_decode<D: crate::codec::BorrowDecoder<'de, Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, crate::codec::DecodeError> {
        <Self as Decode<C>>::decode(decoder)
    }
}

#[cfg(test)]
impl<T: proptest::arbitrary::Arbitrary + Empty + Clone + 'static, const N: usize>
    proptest::arbitrary::Arbitrary for Bounded<T, N>
{
    type Parameters = ();
    type Strategy = proptest::strategy::BoxedStrategy<Self>;
    fn arbitrary_with((): ()) -> Self::Strategy {
        use proptest::prelude::*;
        proptest::collection::vec(any::<T>(), 0..=N).prop_map(|values| Self::new(values).unwrap()).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Empty for u16 {
        fn empty() -> Self {
            0
        }
    }

    fn read(octets: &[u8]) -> Result<Bounded<u16, 3>, crate::codec::CodecError> {
        crate::codec::one(octets).map(|(list, _)| list)
    }

    #[test]
    fn a_list_has_what_it_was_made_of_and_no_more_than_fits() {
        let two = Bounded::<u16, 3>::new([7, 9]).unwrap();
        assert_eq!((&*two, two.len()), (&[7, 9][..], 2));
        assert!(Bounded::<u16, 3>::new([1; 3]).is_ok() && Bounded::<u16, 3>::new([1; 4]).is_err());
        assert!(Bounded::<u16, 3>::none().is_empty());
    }

    #[test]
    fn a096_a_count_beyond_the_places_and_a_value_behind_the_count_are_refused() {
        assert_eq!(&*read(&[2, 7, 0, 9, 0, 0, 0]).unwrap(), [7, 9]);
        for bad in [[4, 7, 0, 9, 0, 0, 0], [255, 7, 0, 9, 0, 0, 0], [1, 7, 0, 9, 0, 0, 0]] {
            assert!(read(&bad).is_err(), "{bad:?}");
        }
    }
}
