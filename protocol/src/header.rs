//! The 48 octets that every NTP packet starts with (RFC 5905 section 7.3).

use core::fmt;
use ipc::message::client::ReplyHeader;
use ipc::units::Leap;

/// Length of the header in octets.
pub const LENGTH: usize = 48;

/// Offset of the transmit timestamp: a server writes it last, right before sending.
pub const TRANSMIT_AT: usize = 40;

/// Mode 1.
pub const MODE_SYMMETRIC_ACTIVE: u8 = 1;
/// Mode 2.
pub const MODE_SYMMETRIC_PASSIVE: u8 = 2;
/// Mode 3.
pub const MODE_CLIENT: u8 = 3;
/// Mode 4.
pub const MODE_SERVER: u8 = 4;

/// Leap indicator: the server is not synchronised.
pub const LEAP_UNKNOWN: u8 = 3;

/// A header, with its fields as on the wire. Having one proves only that there were 48 octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Leap indicator, 0 to 3 (only the low two bits are encoded).
    pub leap: u8,
    /// Version number, 0 to 7 (only the low three bits are encoded).
    pub version: u8,
    /// Mode, 0 to 7 (only the low three bits are encoded).
    pub mode: u8,
    /// Stratum; 0: kiss-o'-death or unspecified.
    pub stratum: u8,
    /// Poll exponent, log2 s.
    pub poll: i8,
    /// Precision, log2 s.
    pub precision: i8,
    /// Root delay in the short format, 2^-16 s.
    pub root_delay: u32,
    /// Root dispersion in the short format, 2^-16 s.
    pub root_dispersion: u32,
    /// Reference id, network order.
    pub reference_id: u32,
    /// Reference timestamp, 64-bit format.
    pub reference_timestamp: u64,
    /// Origin timestamp, 64-bit format.
    pub origin_timestamp: u64,
    /// Receive timestamp, 64-bit format.
    pub receive_timestamp: u64,
    /// Transmit timestamp, 64-bit format.
    pub transmit_timestamp: u64,
}

/// The fields in the form in which the processes send them to each other.
impl From<&Header> for ReplyHeader {
    fn from(header: &Header) -> Self {
        Self {
            leap: match header.leap {
                0 => Leap::None,
                1 => Leap::Insert,
                2 => Leap::Delete,
                _ => Leap::Unknown,
            },
            version: header.version,
            mode: header.mode,
            stratum: header.stratum,
            poll: header.poll,
            precision: header.precision,
            root_delay: header.root_delay,
            root_dispersion: header.root_dispersion,
            reference_id: header.reference_id,
            reference_timestamp: header.reference_timestamp,
            origin_timestamp: header.origin_timestamp,
            receive_timestamp: header.receive_timestamp,
            transmit_timestamp: header.transmit_timestamp,
        }
    }
}

/// Why octets are not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Fewer than 48 octets.
    Short,
    /// A length that is not a multiple of four octets.
    Unaligned,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeaderError::Short => "shorter than an NTP header (48 octets)",
            HeaderError::Unaligned => "length is not a multiple of 4 octets",
        })
    }
}

impl core::error::Error for HeaderError {}

impl Header {
    /// Reads the header of a complete datagram; [`crate::extension_field`] reads what follows it.
    ///
    /// # Errors
    /// [`HeaderError`] for a datagram shorter than 48 octets, or of a length that is not a multiple of 4.
    pub fn decode(datagram: &[u8]) -> Result<Self, HeaderError> {
        let octets: &[u8; LENGTH] = datagram.first_chunk().ok_or(HeaderError::Short)?;
        if !datagram.len().is_multiple_of(4) {
            return Err(HeaderError::Unaligned);
        }
        Ok(Self {
            leap: octets[0] >> 6,
            version: octets[0] >> 3 & 7,
            mode: octets[0] & 7,
            stratum: octets[1],
            poll: octets[2] as i8,
            precision: octets[3] as i8,
            root_delay: word(octets, 4),
            root_dispersion: word(octets, 8),
            reference_id: word(octets, 12),
            reference_timestamp: stamp(octets, 16),
            origin_timestamp: stamp(octets, 24),
            receive_timestamp: stamp(octets, 32),
            transmit_timestamp: stamp(octets, TRANSMIT_AT),
        })
    }

    /// The 48 octets.
    pub fn encode(&self) -> [u8; LENGTH] {
        let mut octets = [0; LENGTH];
        octets[0] = (self.leap & 3) << 6 | (self.version & 7) << 3 | (self.mode & 7);
        octets[1] = self.stratum;
        octets[2] = self.poll as u8;
        octets[3] = self.precision as u8;
        octets[4..8].copy_from_slice(&self.root_delay.to_be_bytes());
        octets[8..12].copy_from_slice(&self.root_dispersion.to_be_bytes());
        octets[12..16].copy_from_slice(&self.reference_id.to_be_bytes());
        octets[16..24].copy_from_slice(&self.reference_timestamp.to_be_bytes());
        octets[24..32].copy_from_slice(&self.origin_timestamp.to_be_bytes());
        octets[32..40].copy_from_slice(&self.receive_timestamp.to_be_bytes());
        octets[TRANSMIT_AT..].copy_from_slice(&self.transmit_timestamp.to_be_bytes());
        octets
    }
}

fn word(octets: &[u8; LENGTH], at: usize) -> u32 {
    u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
}

fn stamp(octets: &[u8; LENGTH], at: usize) -> u64 {
    u64::from(word(octets, at)) << 32 | u64::from(word(octets, at + 4))
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
        octets[0] = 0xE4;
        let header = Header::decode(&octets).unwrap();
        assert_eq!((header.leap, header.version, header.mode), (3, 4, MODE_SERVER));
        assert_eq!((header.stratum, header.poll, header.precision), (1, 2, 3));
        assert_eq!(header.root_delay, 0x0405_0607);
        assert_eq!(header.root_dispersion, 0x0809_0a0b);
        assert_eq!(header.reference_id, 0x0c0d_0e0f);
        assert_eq!(header.reference_timestamp, 0x1011_1213_1415_1617);
        assert_eq!(header.origin_timestamp, 0x1819_1a1b_1c1d_1e1f);
        assert_eq!(header.receive_timestamp, 0x2021_2223_2425_2627);
        assert_eq!(header.transmit_timestamp, 0x2829_2a2b_2c2d_2e2f);
        assert_eq!(header.encode(), octets);
    }

    #[test]
    fn a015_lengths_that_no_ntp_packet_has_are_refused() {
        let octets = [0u8; 65_507];
        for length in 0..LENGTH {
            assert_eq!(Header::decode(&octets[..length]), Err(HeaderError::Short), "{length}");
        }
        for length in [49, 50, 51, 65_507] {
            assert_eq!(Header::decode(&octets[..length]), Err(HeaderError::Unaligned), "{length}");
        }
        assert!(Header::decode(&octets[..52]).is_ok());
    }

    #[test]
    fn negative_exponents_survive() {
        let header = Header { precision: -23, poll: -128, ..Header::default() };
        assert_eq!(Header::decode(&header.encode()), Ok(header));
    }
}
