//! The validity of a certificate (RFC 5280 section 4.1.2.5): webpki handles
//! everything else about certificates, but does not expose this.

use ipc::calendar::Date;
use ipc::units::WallTime;

const NANOS: i64 = 1_000_000_000;

pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, which the first of them had no word for.
pub(crate) const VERSION: u8 = 0xa0;

/// A period, in seconds since 1970; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub from: i64,
    /// The last one.
    pub until: i64,
}

impl Validity {
    /// That of a certificate; `None` if it cannot be found.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let mut fields = Reader::after_serial(certificate)?;
        // The signature's algorithm, and the issuer.
        fields.expect(SEQUENCE)?;
        fields.expect(SEQUENCE)?;
        let mut times = Reader(fields.expect(SEQUENCE)?);
        let (from, until) = (times.time()?, times.time()?);
        times.0.is_empty().then_some(Self { from, until })
    }

    /// What both have in common; may be empty.
    pub fn and(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), until: self.until.min(other.until) }
    }

    /// Whether this second since 1970 belongs to it.
    pub fn contains(self, second: i64) -> bool {
        (self.from..=self.until).contains(&second)
    }

    /// The first and the last nanosecond.
    pub fn wall_times(self) -> (WallTime, WallTime) {
        let last = self.until.saturating_mul(NANOS).saturating_add(NANOS - 1);
        (WallTime::saturating(self.from.saturating_mul(NANOS)), WallTime::saturating(last))
    }
}

/// What is left of a DER text (ITU-T X.690).
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// What follows the serial number of a certificate.
    pub(crate) fn after_serial(certificate: &'a [u8]) -> Option<Self> {
        let mut certificate = Self(Self(certificate).expect(SEQUENCE)?);
        let mut fields = Self(certificate.expect(SEQUENCE)?);
        fields.skip(VERSION)?;
        fields.expect(INTEGER)?;
        Some(fields)
    }

    /// Passes over the next element if it has this tag.
    pub(crate) fn skip(&mut self, tag: u8) -> Option<()> {
        if self.0.first() == Some(&tag) {
            self.expect(tag)?;
        }
        Some(())
    }

    /// The contents of the next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, contents) = self.next()?;
        (found == tag).then_some(contents)
    }

    pub(crate) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // As many octets of length; three are more than a whole handshake may have.
            0x81..=0x83 => {
                let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, contents))
    }

    fn time(&mut self) -> Option<i64> {
        let (tag, text) = self.next()?;
        let digits = text.strip_suffix(b"Z")?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let (year, rest) = match (tag, digits.len()) {
            (UTC_TIME, 12) => match number(&digits[..2]) {
                // RFC 5280 section 4.1.2.5.1.
                year @ 50.. => (1900 + year, &digits[2..]),
                year => (2000 + year, &digits[2..]),
            },
            (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
            _ => return None,
        };
        let mut pairs = rest.chunks(2).map(number);
        let mut within = |low: i64, high: i64| pairs.next().filter(|value| (low..=high).contains(value));
        let (month, day) = (within(1, 12)?, within(1, 31)?);
        let days =
            Date::try_new(u32::try_from(year).ok()?, u32::try_from(month).ok()?, u32::try_from(day).ok()?)?
                .number();
        let (hour, minute, second) = (within(0, 23)?, within(0, 59)?, within(0, 59)?);
        Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
    }
}

fn number(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit.wrapping_sub(b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench::authority::{Authority, Order, Period};
    use proptest::prelude::*;

    /// A certificate with all that is not read left out.
    fn certificate(tag: u8, from: &str, until: &str) -> Vec<u8> {
        let element = |tag: u8, contents: &[u8]| [&[tag, contents.len() as u8], contents].concat();
        let times = [element(tag, from.as_bytes()), element(tag, until.as_bytes())].concat();
        let fields = [
            element(VERSION, &element(INTEGER, &[2])),
            element(INTEGER, &[1]),
            element(SEQUENCE, &[]),
            element(SEQUENCE, &[]),
            element(SEQUENCE, &times),
        ];
        element(SEQUENCE, &element(SEQUENCE, &fields.concat()))
    }

    fn of(tag: u8, from: &str, until: &str) -> Option<(i64, i64)> {
        Validity::of(&certificate(tag, from, until)).map(|period| (period.from, period.until))
    }

    #[test]
    fn both_kinds_of_time_are_read() {
        assert_eq!(of(UTC_TIME, "700101000000Z", "491231235959Z"), Some((0, 2_524_607_999)));
        assert_eq!(of(UTC_TIME, "500101000000Z", "260228235959Z"), Some((-631_152_000, 1_772_323_199)));
        let far = of(GENERALIZED_TIME, "20240229120000Z", "99991231235959Z");
        assert_eq!(far, Some((1_709_208_000, 253_402_300_799)));
        let (_, until) = Validity { from: 0, until: 253_402_300_799 }.wall_times();
        assert_eq!(until, WallTime::MAX);
        assert_eq!(Validity { from: -1, until: 1 }.wall_times().0, WallTime::MIN);
    }

    #[test]
    fn what_is_no_time_is_no_validity() {
        for bad in
            ["", "Z", "700101000000", "70010100000Z", "700001000000Z", "701301000000Z", "700132000000Z"]
        {
            assert_eq!(of(UTC_TIME, bad, "700101000000Z"), None, "{bad}");
        }
        for bad in ["700101240000Z", "700101006000Z", "700101000060Z", "7x0101000000Z", "7001010000+0Z"] {
            assert_eq!(of(UTC_TIME, bad, "700101000000Z"), None, "{bad}");
        }
        assert_eq!(of(0x04, "700101000000Z", "700101000000Z"), None);
        assert_eq!(of(GENERALIZED_TIME, "700101000000Z", "700101000000Z"), None);
    }

    #[test]
    fn a_real_certificate_is_read_as_it_was_ordered() {
        let period = Period { from: 1_500_000_001, until: 4_000_000_002 };
        let order = Order { period, ..Order::new(&["a.example"]) };
        let identity = Authority::new("root").issue_as(&order);
        let expected = Validity { from: period.from, until: period.until };
        assert_eq!(Validity::of(&identity.chain[0]), Some(expected));
    }

    proptest! {
        #[test]
        fn no_octets_panic(
            octets in proptest::collection::vec(any::<u8>(), 0..200),
            at in any::<proptest::sample::Index>(),
            put in any::<u8>(),
        ) {
            let _ = Validity::of(&octets);
            let mut near = certificate(UTC_TIME, "700101000000Z", "491231235959Z");
            let at = at.index(near.len());
            near[at] = put;
            let _ = Validity::of(&near);
            let _ = Validity::of(&near[..at]);
        }
    }
}
