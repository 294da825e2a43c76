//! The correction field: how long a request and its reply were held up in devices on the path, as these devices say (section 6
//! of the draft). Nothing authenticates it.

/// A correction that is too large for the field.
const TOO_LARGE: i64 = i64::MAX;

/// The content of a correction field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Correction {
    /// In replies what was said of the request's way, 2^-16 ns.
    pub origin: i64,
    /// The path that this is of.
    pub origin_path: u16,
    /// What is said of the packet's own way, 2^-16 ns.
    pub delay: i64,
    /// The path that this is of.
    pub delay_path: u16,
}

impl Correction {
    /// Octets of the field's content.
    pub const LENGTH: usize = 24;

    pub(super) fn from_octets(octets: &[u8; Self::LENGTH]) -> Self {
        let [origin @ .., _, _, _, _] = octets.first_chunk::<12>().unwrap_or(&[0; 12]);
        let [delay @ .., _, _, _, _] = octets.last_chunk::<12>().unwrap_or(&[0; 12]);
        Self {
            origin: i64::from_be_bytes(*origin),
            origin_path: u16::from_be_bytes([octets[8], octets[9]]),
            delay: i64::from_be_bytes(*delay),
            delay_path: u16::from_be_bytes([octets[20], octets[21]]),
        }
    }

    pub(super) fn to_octets(self) -> [u8; Self::LENGTH] {
        let mut octets = [0; Self::LENGTH];
        octets[..8].copy_from_slice(&self.origin.to_be_bytes());
        octets[8..10].copy_from_slice(&self.origin_path.to_be_bytes());
        octets[12..20].copy_from_slice(&self.delay.to_be_bytes());
        octets[20..22].copy_from_slice(&self.delay_path.to_be_bytes());
        octets
    }

    /// What a server sends back: what the request's field said when it arrived, and nothing of the way back yet.
    pub(super) const fn returned(self) -> Self {
        Self { origin: self.delay, origin_path: self.delay_path, delay: 0, delay_path: 0 }
    }

    /// How long the request and the reply were held up, nanoseconds; none: not known, or less than no time.
    pub fn held_up(self) -> Option<(i64, i64)> {
        let is_known = |correction: i64| (0..TOO_LARGE).contains(&correction);
        (is_known(self.origin) && is_known(self.delay)).then_some((self.origin >> 16, self.delay >> 16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_its_place_and_a_server_returns_what_came() {
        let mut octets = [0; 24];
        octets[7] = 1;
        octets[9] = 2;
        octets[19] = 3;
        octets[21] = 4;
        let correction = Correction::from_octets(&octets);
        assert_eq!(correction, Correction { origin: 1, origin_path: 2, delay: 3, delay_path: 4 });
        assert_eq!(correction.to_octets(), octets);
        let returned = Correction { origin: 3, origin_path: 4, delay: 0, delay_path: 0 };
        assert_eq!(correction.returned(), returned);
    }

    #[test]
    fn a217_a_correction_that_cannot_be_is_none() {
        let of = |origin, delay| Correction { origin, delay, ..Correction::default() }.held_up();
        assert_eq!(of(0, 0), Some((0, 0)));
        assert_eq!(of(5 << 16, 7 << 16), Some((5, 7)));
        for impossible in [-1, i64::MIN, i64::MAX] {
            assert_eq!((of(impossible, 0), of(0, impossible)), (None, None));
        }
    }
}
