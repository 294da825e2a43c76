//! How loops are detected (section 7 of the draft): each server has a random id, and tells in a Bloom filter the ids of all the
//! servers that its time comes from, its own included. Who finds its own id in a filter follows itself.
//!
//! The draft says nothing of the order of the bits in an octet; here the lowest comes first, as in the other implementations.

use core::net::IpAddr;
use md5::{Digest, Md5};

/// Bits of a filter.
const BITS: u32 = 4096;

/// Bits that an id sets.
const SET: usize = 10;

/// A reference id: the ten places that it sets in a filter, all of them different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceId([u16; SET]);

impl ReferenceId {
    /// Octets of an id.
    pub const LENGTH: usize = 15;

    /// Of 120 bits: ten numbers of twelve bits, the highest first. They may be the same; those of a random id must not
    /// ([`Self::is_distinct`]).
    pub fn from_octets(octets: &[u8; Self::LENGTH]) -> Self {
        let mut places = [0; SET];
        let (triples, _) = octets.as_chunks::<3>();
        for ([first, middle, last], pair) in triples.iter().zip(places.chunks_exact_mut(2)) {
            pair[0] = u16::from(*first) << 4 | u16::from(*middle >> 4);
            pair[1] = u16::from(*middle & 0xf) << 8 | u16::from(*last);
        }
        Self(places)
    }

    /// Of a server that speaks no version 5, by its address.
    pub fn of_address(address: IpAddr) -> Self {
        let hash = match address.to_canonical() {
            IpAddr::V4(v4) => Md5::digest(v4.octets()),
            IpAddr::V6(v6) => Md5::digest(v6.octets()),
        };
        Self::from_octets(hash.first_chunk().unwrap_or(&[0; Self::LENGTH]))
    }

    /// Whether its places are all different, so that a filter has it by chance as rarely as can be.
    pub fn is_distinct(&self) -> bool {
        self.0.iter().enumerate().all(|(at, place)| !self.0.iter().skip(at + 1).any(|other| other == place))
    }
}

/// A set of reference ids. What is in it is found; something else may be found by chance, the more often the fuller it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Filter([u8; Self::LENGTH]);

impl Filter {
    /// Octets.
    pub const LENGTH: usize = BITS as usize / 8;

    /// Without any id.
    pub const EMPTY: Self = Self([0; Self::LENGTH]);

    /// Most bits of a filter that tells anything: in one that is half full, every 1024th id is found by chance.
    pub const HALF: u32 = BITS / 2;

    /// From the wire.
    pub const fn from_octets(octets: [u8; Self::LENGTH]) -> Self {
        Self(octets)
    }

    /// To the wire.
    pub const fn octets(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// Adds an id.
    pub fn add(&mut self, id: &ReferenceId) {
        for place in id.0 {
            if let Some(octet) = self.0.get_mut(usize::from(place / 8)) {
                *octet |= 1 << (place % 8);
            }
        }
    }

    /// Adds all ids of another one.
    pub fn join(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(octet, more)| *octet |= more);
    }

    /// Whether it has this id, or seems to.
    pub fn has(&self, id: &ReferenceId) -> bool {
        let is_set = |place: &u16| {
            self.0.get(usize::from(place / 8)).is_some_and(|octet| octet >> (place % 8) & 1 == 1)
        };
        id.0.iter().all(is_set)
    }

    /// Bits that are set.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|octet| octet.count_ones()).sum()
    }

    /// The part that was asked for.
    pub fn part(&self, asked: ChunkRequest) -> Option<&[u8]> {
        self.0.get(asked.offset..asked.offset + asked.length)
    }
}

impl core::fmt::Debug for Filter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Filter({} of {BITS} bits)", self.count())
    }
}

/// A part of a filter that exists: 1 to 512 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRequest {
    offset: usize,
    length: usize,
}

impl ChunkRequest {
    /// All of it.
    pub const WHOLE: Self = Self { offset: 0, length: Filter::LENGTH };

    /// Of an offset and a length in octets; none: there is no such part.
    pub(super) fn try_new(offset: u16, length: usize) -> Option<Self> {
        let offset = usize::from(offset);
        (length > 0 && offset <= Filter::LENGTH.checked_sub(length)?).then_some(Self { offset, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> ReferenceId {
        ReferenceId::of_address(address.parse().unwrap())
    }

    #[test]
    fn an_address_has_the_places_and_the_octets_that_others_give_it() {
        let id = of("192.0.2.1");
        assert_eq!(id.0, [2848, 497, 1086, 2500, 3392, 1164, 1215, 1566, 1931, 2286]);
        assert_eq!(of("::ffff:192.0.2.1"), id);
        let mut filter = Filter::EMPTY;
        filter.add(&id);
        let expected = [
            (62, 0x02),
            (135, 0x40),
            (145, 0x10),
            (151, 0x80),
            (195, 0x40),
            (241, 0x08),
            (285, 0x40),
            (312, 0x10),
            (356, 0x01),
            (424, 0x01),
        ];
        for (at, octet) in filter.octets().iter().enumerate() {
            let set = expected.iter().find(|(place, _)| *place == at).map_or(0, |(_, octet)| *octet);
            assert_eq!(*octet, set, "{at}");
        }
        assert_ne!(of("2001:db8::1"), id);
    }

    #[test]
    fn what_was_added_is_found_and_the_rest_is_not() {
        let (mut one, mut other) = (Filter::EMPTY, Filter::EMPTY);
        one.add(&of("192.0.2.1"));
        other.add(&of("192.0.2.2"));
        assert!(one.has(&of("192.0.2.1")) && !one.has(&of("192.0.2.2")));
        one.join(&other);
        assert!(one.has(&of("192.0.2.1")) && one.has(&of("192.0.2.2")));
        assert_eq!(one.count(), 20);
        assert!(!one.has(&of("192.0.2.3")));
        assert!(
            Filter::from_octets([0xff; 512]).has(&of("192.0.2.3")),
            "one that has everything has this too"
        );
    }

    #[test]
    fn places_that_are_the_same_are_known() {
        assert!(of("192.0.2.1").is_distinct());
        assert!(!ReferenceId::from_octets(&[0; 15]).is_distinct());
    }

    #[test]
    fn no_part_is_beyond_the_end() {
        let filter = Filter::from_octets(core::array::from_fn(|at| at as u8));
        for (offset, length) in [(0, 512), (511, 1), (496, 16), (3, 5)] {
            let asked = ChunkRequest::try_new(offset, length).unwrap();
            assert_eq!(filter.part(asked).unwrap()[0], offset as u8);
            assert_eq!(filter.part(asked).unwrap().len(), length);
        }
        for (offset, length) in [(0, 0), (1, 512), (512, 1), (u16::MAX, 1), (0, 513), (0, 65_531)] {
            assert_eq!(ChunkRequest::try_new(offset, length), None, "{offset} {length}");
        }
        assert_eq!(filter.part(ChunkRequest::WHOLE), Some(&filter.octets()[..]));
    }
}
