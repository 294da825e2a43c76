//! A datagram of chrony's SOCK: `struct sock_sample` as the machine lays it out.
//!
//! | octets | |
//! |---|---|
//! | 0 to 15 | when the sample was taken by the system's clock (CLOCK_REALTIME): seconds, microseconds |
//! | 16 to 23 | the offset, seconds; positive: the system's clock is behind |
//! | 24 to 27 | not 0: it is the beginning of a second, and only the fraction of the offset counts |
//! | 28 to 31 | leap second to come: 0 none, 1 one more, 2 one less, 3: the clock is not synchronised |
//! | 32 to 35 | unused |
//! | 36 to 39 | [`MAGIC`] |

use ipc::units::Leap;

/// Octets of a sample, where `time_t` has 64 bits.
pub const LENGTH: usize = 40;

/// What each sample ends with: "SOCK".
pub const MAGIC: u32 = 0x534f_434b;

const SECOND: i64 = 1_000_000_000;

/// Seconds of the largest offset: 2^32, as of the largest time, so that a clock that starts in 1970 can be told any. No sum of both
/// overflows.
const LARGEST_OFFSET: f64 = 4_294_967_296.0;

/// What a sample says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// When it was taken, by CLOCK_REALTIME; nanoseconds since 1970.
    pub taken: i64,
    /// What true time was then, the same.
    pub utc: i64,
    /// Only the fraction of a second of `utc` counts.
    pub is_pulse: bool,
    /// Which leap second is announced.
    pub leap: Leap,
}

/// Why these octets are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSample {
    /// Another length, another magic number, or a number without meaning.
    Malformed,
    /// The clock is not to be trusted now, as it says itself.
    Unsynchronised,
}

impl Said {
    /// Reads a datagram.
    ///
    /// # Errors
    /// [`NoSample`].
    pub fn read(octets: &[u8]) -> Result<Self, NoSample> {
        let octets: &[u8; LENGTH] = octets.try_into().map_err(|_| NoSample::Malformed)?;
        let seconds = i64::from_ne_bytes(part(octets, 0)?);
        let micros = i64::from_ne_bytes(part(octets, 8)?);
        let offset = f64::from_ne_bytes(part(octets, 16)?);
        let pulse = i32::from_ne_bytes(part(octets, 24)?);
        let leap = i32::from_ne_bytes(part(octets, 28)?);
        let magic = u32::from_ne_bytes(part(octets, 36)?);
        let is_lawful = magic == MAGIC
            && (0..1 << 32).contains(&seconds)
            && (0..1_000_000).contains(&micros)
            && offset.abs() <= LARGEST_OFFSET;
        if !is_lawful {
            return Err(NoSample::Malformed);
        }
        let leap = match leap {
            0 => Leap::None,
            1 => Leap::Insert,
            2 => Leap::Delete,
            3 => return Err(NoSample::Unsynchronised),
            _ => return Err(NoSample::Malformed),
        };
        // The sum is below 2^63: seconds below 2^32, and an offset of at most 2^32 s.
        let taken = seconds * SECOND + micros * 1_000;
        // Whole seconds and the rest apart: a float has no nanoseconds of a large offset.
        let whole = offset.trunc();
        let utc = taken + whole as i64 * SECOND + ((offset - whole) * 1e9).round() as i64;
        Ok(Self { taken, utc, is_pulse: pulse != 0, leap })
    }
}

fn part<const N: usize>(octets: &[u8; LENGTH], at: usize) -> Result<[u8; N], NoSample> {
    octets.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(NoSample::Malformed)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A sample as a program writes it.
    pub(crate) fn octets(seconds: i64, micros: i64, offset: f64, pulse: i32, leap: i32) -> [u8; LENGTH] {
        let mut octets = [0; LENGTH];
        octets[..8].copy_from_slice(&seconds.to_ne_bytes());
        octets[8..16].copy_from_slice(&micros.to_ne_bytes());
        octets[16..24].copy_from_slice(&offset.to_ne_bytes());
        octets[24..28].copy_from_slice(&pulse.to_ne_bytes());
        octets[28..32].copy_from_slice(&leap.to_ne_bytes());
        octets[36..].copy_from_slice(&MAGIC.to_ne_bytes());
        octets
    }

    #[test]
    fn a_positive_offset_says_that_the_clock_is_behind() {
        let said = Said::read(&octets(1_800_000_000, 250_000, 0.25, 0, 1)).unwrap();
        let taken = 1_800_000_000 * SECOND + 250_000_000;
        assert_eq!((said.taken, said.utc - said.taken), (taken, 250_000_000));
        assert_eq!((said.is_pulse, said.leap), (false, Leap::Insert));
        let said = Said::read(&octets(1_800_000_000, 0, -1.000_000_001, 1, 2)).unwrap();
        assert_eq!((said.utc - said.taken, said.is_pulse, said.leap), (-1_000_000_001, true, Leap::Delete));
    }

    #[test]
    fn a_clock_that_began_in_1970_is_told_the_year() {
        let said = Said::read(&octets(10, 0, 1_790_000_000.25, 0, 0)).unwrap();
        assert_eq!(said.utc, 1_790_000_010 * SECOND + 250_000_000);
        let last = Said::read(&octets((1 << 32) - 1, 999_999, 4_294_967_296.0, 0, 0)).unwrap();
        assert!(last.utc > last.taken);
        assert!(Said::read(&octets(0, 0, -4_294_967_296.0, 0, 0)).unwrap().utc < 0);
    }

    #[test]
    fn a226_other_lengths_other_numbers_and_numbers_without_meaning_are_no_sample() {
        let good = octets(1_800_000_000, 999_999, 0.1, 0, 0);
        assert!(Said::read(&good).is_ok());
        for length in [0, 1, 39] {
            assert_eq!(Said::read(&good[..length]), Err(NoSample::Malformed), "{length}");
        }
        assert_eq!(Said::read(&[&good[..], &[0]].concat()), Err(NoSample::Malformed));
        let mut other = good;
        other[36] ^= 1;
        assert_eq!(Said::read(&other), Err(NoSample::Malformed));
        for bad in [
            octets(-1, 0, 0.0, 0, 0),
            octets(1 << 32, 0, 0.0, 0, 0),
            octets(i64::MIN, 0, 0.0, 0, 0),
            octets(1, -1, 0.0, 0, 0),
            octets(1, 1_000_000, 0.0, 0, 0),
            octets(1, 0, f64::NAN, 0, 0),
            octets(1, 0, f64::INFINITY, 0, 0),
            octets(1, 0, -4.3e9, 0, 0),
            octets(1, 0, 0.0, 0, -1),
            octets(1, 0, 0.0, 0, 4),
        ] {
            assert_eq!(Said::read(&bad), Err(NoSample::Malformed), "{bad:?}");
        }
        assert_eq!(Said::read(&octets(1, 0, 0.0, 0, 3)), Err(NoSample::Unsynchronised));
    }

    proptest! {
        #[test]
        fn a226_no_octets_are_too_much(octets in prop::collection::vec(any::<u8>(), 0..64), magic: bool) {
            let mut octets = octets;
            if magic {
                octets.resize(LENGTH, 0);
                octets[36..].copy_from_slice(&MAGIC.to_ne_bytes());
            }
            if let Ok(said) = Said::read(&octets) {
                prop_assert!(said.utc.abs_diff(said.taken) <= (1 << 32) * SECOND as u64);
            }
        }
    }
}
