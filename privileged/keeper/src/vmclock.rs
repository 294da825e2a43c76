//! The page of vmclock (`include/uapi/linux/vmclock-abi.h` of Linux, version 1), of which only the markers are read.
//!
//! All fields are little-endian, at fixed places. `seq_count` is odd while the hypervisor changes the page. The kernel's driver
//! (`ptp_vmclock`) reads the page under that protocol, within 100 ms, so it needs no mapping here; what is torn all the same is read
//! again. What is not understood is no evidence, and never an error.

use crate::governor::Marker;

/// As much of the page as is read: up to the generation counter.
pub const READ: usize = 0x70;

/// A page that is being changed is read this many times.
const TRIES: u32 = 3;

const MAGIC: u32 = 0x4b4c_4356;
const VERSION: u16 = 1;
/// The generation counter is there.
const HAS_GENERATION: u64 = 1 << 8;
/// More than the kernel hands out.
const LARGEST: u32 = 65_536;

/// Reads the markers by `read`, which fills the octets from the beginning of the page and returns how many it could.
pub fn read(mut read: impl FnMut(&mut [u8]) -> Option<usize>) -> Option<Marker> {
    let mut octets = [0; READ];
    for _ in 0..TRIES {
        let length = read(&mut octets)?;
        let page = octets.get(..length)?;
        if is_settled(page)? {
            return markers(page);
        }
    }
    None
}

fn is_settled(page: &[u8]) -> Option<bool> {
    Some(u32::from_le_bytes(at(page, 0x0c)?) % 2 == 0)
}

fn markers(page: &[u8]) -> Option<Marker> {
    let size = u32::from_le_bytes(at(page, 0x04)?);
    let is_ours = u32::from_le_bytes(at(page, 0)?) == MAGIC
        && u16::from_le_bytes(at(page, 0x08)?) == VERSION
        && (0x20..=LARGEST).contains(&size);
    if !is_ours {
        return None;
    }
    let flags = u64::from_le_bytes(at(page, 0x18)?);
    let has_generation = flags & HAS_GENERATION != 0 && size as usize >= READ;
    Some(Marker {
        disruption: u64::from_le_bytes(at(page, 0x10)?),
        generation: if has_generation { at(page, 0x68).map(u64::from_le_bytes) } else { None },
    })
}

fn at<const N: usize>(page: &[u8], place: usize) -> Option<[u8; N]> {
    page.get(place..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As QEMU 10 lays it out, and later versions with the generation counter.
    fn page(marker: u64, generation: Option<u64>) -> [u8; READ] {
        let mut page = [0; READ];
        let mut put = |place: usize, octets: &[u8]| page[place..place + octets.len()].copy_from_slice(octets);
        put(0, b"VCLK");
        put(0x04, &4_096u32.to_le_bytes());
        put(0x08, &1u16.to_le_bytes());
        put(0x0a, &[0xff]);
        put(0x0c, &2u32.to_le_bytes());
        put(0x10, &marker.to_le_bytes());
        put(0x18, &generation.map_or(0, |_| HAS_GENERATION).to_le_bytes());
        put(0x68, &generation.unwrap_or(7).to_le_bytes());
        page
    }

    fn of(page: &[u8]) -> Option<Marker> {
        read(|octets| {
            let length = page.len().min(octets.len());
            octets[..length].copy_from_slice(&page[..length]);
            Some(length)
        })
    }

    #[test]
    fn the_markers_are_at_the_places_of_the_kernels_header() {
        assert_eq!(of(&page(5, None)), Some(Marker { disruption: 5, generation: None }));
        assert_eq!(of(&page(u64::MAX, Some(3))), Some(Marker { disruption: u64::MAX, generation: Some(3) }));
        // A page that ends with the flags has no generation.
        let mut short = page(5, Some(3));
        short[0x04..0x08].copy_from_slice(&0x20u32.to_le_bytes());
        assert_eq!(of(&short), Some(Marker { disruption: 5, generation: None }));
        assert_eq!(of(&short[..0x20]), Some(Marker { disruption: 5, generation: None }));
    }

    #[test]
    fn a_page_that_is_torn_foreign_short_or_of_another_version_shows_nothing() {
        let good = page(5, Some(3));
        for (place, octet) in [(0, 0), (3, 0), (0x08, 0), (0x08, 2), (0x09, 1), (0x07, 1), (0x0c, 3)] {
            let mut bad = good;
            bad[place] = octet;
            assert_eq!(of(&bad), None, "{place}");
        }
        let mut tiny = good;
        tiny[0x04..0x08].copy_from_slice(&0x1fu32.to_le_bytes());
        assert_eq!(of(&tiny), None);
        for length in 0..0x20 {
            assert_eq!(of(&good[..length]), None, "{length}");
        }
        assert_eq!(of(&[0xff; READ]), None);
        assert_eq!(read(|_| None), None);
        assert_eq!(read(|_| Some(usize::MAX)), None);
    }

    #[test]
    fn a_page_that_is_being_changed_is_read_again_and_not_without_end() {
        let mut tries = 0;
        let mut read_when = |settled: u32| {
            tries = 0;
            read(|octets| {
                tries += 1;
                octets.copy_from_slice(&page(5, None));
                octets[0x0c] = if tries < settled { 3 } else { 4 };
                Some(READ)
            })
        };
        assert!(read_when(2).is_some() && read_when(TRIES).is_some());
        assert_eq!(read_when(TRIES + 1), None);
        assert_eq!(tries, TRIES);
    }
}
