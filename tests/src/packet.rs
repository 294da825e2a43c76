//! The 48 octets of NTP (RFC 5905 section 7.3), implemented a second time on purpose: a double that shared the
//! daemon's code would share its bugs.

use crate::clock;

/// A header, field by field, times as NTP timestamps (seconds since 1900 in the upper half).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Leap indicator, 0 to 3.
    pub leap: u8,
    /// Version, 0 to 7.
    pub version: u8,
    /// Mode, 0 to 7.
    pub mode: u8,
    /// Stratum.
    pub stratum: u8,
    /// Poll exponent.
    pub poll: i8,
    /// Precision, log2 s.
    pub precision: i8,
    /// Root delay, 2^-16 s.
    pub root_delay: u32,
    /// Root dispersion, 2^-16 s.
    pub root_dispersion: u32,
    /// Reference id, or kiss code.
    pub reference_id: [u8; 4],
    /// Reference timestamp.
    pub reference: u64,
    /// Origin timestamp.
    pub origin: u64,
    /// Receive timestamp.
    pub receive: u64,
    /// Transmit timestamp.
    pub transmit: u64,
}

/// Octets of a header.
pub const HEADER: usize = 48;

impl Header {
    /// A client's query with this transmit timestamp.
    pub fn query(transmit: u64) -> Self {
        Self {
            leap: 0,
            version: 4,
            mode: 3,
            stratum: 0,
            poll: 6,
            precision: 0x20,
            root_delay: 0,
            root_dispersion: 0,
            reference_id: [0; 4],
            reference: 0,
            origin: 0,
            receive: 0,
            transmit,
        }
    }

    /// As octets.
    pub fn octets(&self) -> [u8; HEADER] {
        let mut octets = [0; HEADER];
        octets[0] = self.leap << 6 | (self.version & 7) << 3 | self.mode & 7;
        octets[1] = self.stratum;
        octets[2] = self.poll as u8;
        octets[3] = self.precision as u8;
        octets[4..8].copy_from_slice(&self.root_delay.to_be_bytes());
        octets[8..12].copy_from_slice(&self.root_dispersion.to_be_bytes());
        octets[12..16].copy_from_slice(&self.reference_id);
        for (place, time) in
            octets[16..].chunks_exact_mut(8).zip([self.reference, self.origin, self.receive, self.transmit])
        {
            place.copy_from_slice(&time.to_be_bytes());
        }
        octets
    }

    /// From octets; `None` for fewer than 48. What follows the header is ignored.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        let octets = octets.get(..HEADER)?;
        let word =
            |at: usize| u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
        let time = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        Some(Self {
            leap: octets[0] >> 6,
            version: octets[0] >> 3 & 7,
            mode: octets[0] & 7,
            stratum: octets[1],
            poll: octets[2] as i8,
            precision: octets[3] as i8,
            root_delay: word(4),
            root_dispersion: word(8),
            reference_id: [octets[12], octets[13], octets[14], octets[15]],
            reference: time(16),
            origin: time(24),
            receive: time(32),
            transmit: time(40),
        })
    }
}

const FROM_1900_TO_1970: i64 = 2_208_988_800;

/// An NTP timestamp from nanoseconds since 1970.
pub fn timestamp(nanos: i64) -> u64 {
    let seconds = nanos.div_euclid(1_000_000_000);
    let fraction = (nanos.rem_euclid(1_000_000_000) as u128) << 32;
    // A fraction is rounded down, as a counter would show it; eras follow one another without a seam.
    ((seconds + FROM_1900_TO_1970) as u64) << 32 | (fraction / 1_000_000_000) as u64
}

/// Nanoseconds since 1970 of an NTP timestamp, in the era that is nearest to the host's time.
pub fn nanos(timestamp: u64) -> i64 {
    let now = clock::wall();
    // The difference of two timestamps is right in any era as long as it is below 68 years.
    let away = timestamp.wrapping_sub(self::timestamp(now)) as i64;
    now + ((i128::from(away) * 1_000_000_000) >> 32) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_round_trips() {
        let header =
            Header { leap: 3, stratum: 16, poll: -3, precision: -23, ..Header::query(0x0123_4567_89ab_cdef) };
        assert_eq!(Header::from_octets(&header.octets()), Some(header));
        assert_eq!(Header::from_octets(&header.octets()[..47]), None);
    }

    #[test]
    fn a_timestamp_of_now_reads_as_now() {
        let now = clock::wall();
        assert!((nanos(timestamp(now)) - now).abs() < 1_000_000);
        assert_eq!(timestamp(0) >> 32, 2_208_988_800);
        assert_eq!(timestamp(500_000_000) as u32, 0x8000_0000);
    }
}
