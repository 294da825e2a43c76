//! The 48 octets that every packet starts with (section 5 of the draft).

use super::{Flags, VERSION};
use crate::header::{HeaderError, LENGTH};

/// "Never ask again", in the poll exponent of a reply.
pub const NEVER: i8 = 127;

/// Leap indicator: the server knows nothing of leap seconds. Whether it is synchronised is a flag.
pub const NO_LEAP_INFORMATION: u8 = 3;

/// A second in nanoseconds.
const SECOND: i64 = 1_000_000_000;

/// What a timestamp counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timescale {
    /// UTC.
    Utc,
    /// International atomic time.
    Tai,
    /// Earth's rotation.
    Ut1,
    /// UTC with each leap second spread over hours.
    Smeared,
}

impl Timescale {
    /// From the wire; none: unknown.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Utc),
            1 => Some(Self::Tai),
            2 => Some(Self::Ut1),
            3 => Some(Self::Smeared),
            _ => None,
        }
    }

    /// To the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// A header, with its fields as on the wire. Having one proves that there were 48 octets of this version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Leap indicator, 0 to 3 (only the low two bits are encoded).
    pub leap: u8,
    /// Mode, 0 to 7 (only the low three bits are encoded).
    pub mode: u8,
    /// Stratum; 0: unknown, or the server tells no time.
    pub stratum: u8,
    /// In replies the exponent of the shortest interval that the server allows, log2 s; [`NEVER`].
    pub poll: i8,
    /// Precision, log2 s.
    pub precision: i8,
    /// Root delay, 2^-28 s.
    pub root_delay: u32,
    /// Root dispersion, 2^-28 s.
    pub root_dispersion: u32,
    /// Number of the timescale, which may be an unknown one.
    pub timescale: u8,
    /// Era of the receive timestamp.
    pub era: u8,
    /// Flags.
    pub flags: Flags,
    /// Names an earlier reply, in interleaved mode.
    pub server_cookie: u64,
    /// The request's random number.
    pub client_cookie: u64,
    /// T2, 64-bit format.
    pub receive_timestamp: u64,
    /// T3, 64-bit format.
    pub transmit_timestamp: u64,
}

impl Header {
    /// Reads the header of a complete datagram of this version; [`super::field`] reads what follows it. `None` also stands for
    /// another version: what is said of its form then is said elsewhere.
    ///
    /// # Errors
    /// [`HeaderError`] for a datagram shorter than 48 octets, or of a length that is not a multiple of 4.
    pub fn decode(datagram: &[u8]) -> Result<Option<Self>, HeaderError> {
        let octets: &[u8; LENGTH] = datagram.first_chunk().ok_or(HeaderError::Short)?;
        if !datagram.len().is_multiple_of(4) {
            return Err(HeaderError::Unaligned);
        }
        let word =
            |at: usize| u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
        let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        Ok((octets[0] >> 3 & 7 == VERSION).then(|| Self {
            leap: octets[0] >> 6,
            mode: octets[0] & 7,
            stratum: octets[1],
            poll: octets[2] as i8,
            precision: octets[3] as i8,
            root_delay: word(4),
            root_dispersion: word(8),
            timescale: octets[12],
            era: octets[13],
            flags: Flags::from_bits(u16::from_be_bytes([octets[14], octets[15]])),
            server_cookie: long(16),
            client_cookie: long(24),
            receive_timestamp: long(32),
            transmit_timestamp: long(40),
        }))
    }

    /// The 48 octets.
    pub fn encode(&self) -> [u8; LENGTH] {
        let mut octets = [0; LENGTH];
        octets[0] = (self.leap & 3) << 6 | VERSION << 3 | (self.mode & 7);
        octets[1] = self.stratum;
        octets[2] = self.poll as u8;
        octets[3] = self.precision as u8;
        octets[4..8].copy_from_slice(&self.root_delay.to_be_bytes());
        octets[8..12].copy_from_slice(&self.root_dispersion.to_be_bytes());
        octets[12] = self.timescale;
        octets[13] = self.era;
        octets[14..16].copy_from_slice(&self.flags.bits().to_be_bytes());
        octets[16..24].copy_from_slice(&self.server_cookie.to_be_bytes());
        octets[24..32].copy_from_slice(&self.client_cookie.to_be_bytes());
        octets[32..40].copy_from_slice(&self.receive_timestamp.to_be_bytes());
        octets[40..].copy_from_slice(&self.transmit_timestamp.to_be_bytes());
        octets
    }
}

/// A value of version 4's short format, 2^-16 s, in that of this version, 2^-28 s: at most just below 16 s.
pub const fn time32_from_short(short: u32) -> u32 {
    if short >= 1 << 20 { u32::MAX } else { short << 12 }
}

/// The other way, rounded up: an error is never understated. What is saturated here is 16 s there.
pub const fn short_from_time32(time32: u32) -> u32 {
    time32.div_ceil(1 << 12)
}

/// The era of a time in nanoseconds since 1970: how often 2^32 seconds have passed since 1900, modulo 256.
pub const fn era_of(nanos: i64) -> u8 {
    let seconds = nanos.div_euclid(SECOND) + crate::timestamp::UNIX_EPOCH;
    (seconds >> 32) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_has_its_place() {
        let mut octets = [0u8; LENGTH];
        for (at, octet) in octets.iter_mut().enumerate() {
            *octet = at as u8;
        }
        octets[0] = 0xEC;
        let header = Header::decode(&octets).unwrap().unwrap();
        assert_eq!((header.leap, header.mode, header.stratum), (3, 4, 1));
        assert_eq!((header.poll, header.precision), (2, 3));
        assert_eq!((header.root_delay, header.root_dispersion), (0x0405_0607, 0x0809_0a0b));
        assert_eq!((header.timescale, header.era, header.flags.bits()), (12, 13, 0x0e0f));
        assert_eq!(header.server_cookie, 0x1011_1213_1415_1617);
        assert_eq!(header.client_cookie, 0x1819_1a1b_1c1d_1e1f);
        assert_eq!(header.receive_timestamp, 0x2021_2223_2425_2627);
        assert_eq!(header.transmit_timestamp, 0x2829_2a2b_2c2d_2e2f);
        assert_eq!(header.encode(), octets);
    }

    #[test]
    fn lengths_that_no_packet_has_and_other_versions_are_no_header() {
        let mut octets = [0u8; 64];
        octets[0] = 0x2b;
        for length in 0..LENGTH {
            assert_eq!(Header::decode(&octets[..length]), Err(HeaderError::Short), "{length}");
        }
        assert_eq!(Header::decode(&octets[..49]), Err(HeaderError::Unaligned));
        assert!(Header::decode(&octets).unwrap().is_some());
        for version in (0..8).filter(|version| *version != VERSION) {
            octets[0] = version << 3 | 3;
            assert_eq!(Header::decode(&octets), Ok(None), "{version}");
        }
    }

    #[test]
    fn delays_are_converted_without_being_understated() {
        for (short, time32) in
            [(0, 0), (0x400, 0x0040_0000), (0x1_0000, 0x1000_0000), (0xf_ffff, 0xffff_f000)]
        {
            assert_eq!(time32_from_short(short), time32);
            assert_eq!(short_from_time32(time32), short);
        }
        for short in [1 << 20, u32::MAX] {
            assert_eq!(time32_from_short(short), u32::MAX);
        }
        assert_eq!((short_from_time32(1), short_from_time32(u32::MAX)), (1, 1 << 20));
    }

    #[test]
    fn eras_change_when_the_seconds_of_a_timestamp_begin_anew() {
        for (seconds, era) in [(0, 0), (2_085_978_495, 0), (2_085_978_496, 1), (6_380_945_792, 2)] {
            assert_eq!(era_of(seconds * SECOND), era, "{seconds}");
        }
        assert_eq!(era_of(i64::MIN), 0xfe, "1677");
    }
}
