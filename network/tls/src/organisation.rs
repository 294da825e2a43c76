//! Whose certificate it is: the organisation of its subject (RFC 5280 section 4.1.2.6), which authorities attest or leave
//! out.

use super::validity::{OBJECT_IDENTIFIER, Reader, SEQUENCE};

const SET: u8 = 0x31;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;

/// id-at-organizationName.
const ORGANISATION: [u8; 3] = [0x55, 0x04, 0x0a];

/// That of a certificate, as it is written there; `None` if it has none, more than one, or none that can be read.
pub fn of(certificate: &[u8]) -> Option<&str> {
    let mut fields = Reader::after_serial(certificate)?;
    // The signature's algorithm, the issuer, the validity.
    for _ in 0..3 {
        fields.expect(SEQUENCE)?;
    }
    let mut subject = Reader(fields.expect(SEQUENCE)?);
    let mut found = None;
    while !subject.0.is_empty() {
        let mut part = Reader(subject.expect(SET)?);
        while !part.0.is_empty() {
            let mut attribute = Reader(part.expect(SEQUENCE)?);
            if attribute.expect(OBJECT_IDENTIFIER)? != ORGANISATION {
                continue;
            }
            let (tag, value) = attribute.next()?;
            if found.is_some() || !matches!(tag, UTF8_STRING | PRINTABLE_STRING) {
                return None;
            }
            found = Some(core::str::from_utf8(value).ok()?);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validity::{INTEGER, VERSION};
    use bench::authority::{Authority, Order};
    use proptest::prelude::*;

    fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
        [&[tag, contents.len() as u8], contents].concat()
    }

    /// A certificate with a subject of these attributes, each in a set of its own, and with all that is not read left out.
    fn certificate(attributes: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
        let subject = attributes.iter().map(|(kind, tag, value)| {
            let attribute = [element(OBJECT_IDENTIFIER, kind), element(*tag, value)].concat();
            element(SET, &element(SEQUENCE, &attribute))
        });
        let subject = element(SEQUENCE, &subject.collect::<Vec<_>>().concat());
        let empty = element(SEQUENCE, &[]);
        let version = element(VERSION, &element(INTEGER, &[2]));
        let fields = [version, element(INTEGER, &[1]), empty.clone(), empty.clone(), empty, subject].concat();
        element(SEQUENCE, &element(SEQUENCE, &fields))
    }

    #[test]
    fn the_organisation_of_a_real_certificate_is_found_where_it_has_one() {
        let authority = Authority::new("root");
        let with =
            authority.issue_as(&Order { organisation: Some("Example Ltd"), ..Order::new(&["a.example"]) });
        assert_eq!(of(&with.chain[0]), Some("Example Ltd"));
        assert_eq!(of(&authority.issue(&["a.example"]).chain[0]), None);
    }

    #[test]
    fn a183_two_organisations_or_one_that_cannot_be_read_are_none() {
        const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
        let name = (COMMON_NAME, UTF8_STRING, &b"Not Ltd"[..]);
        let one = |tag, value| (&ORGANISATION[..], tag, value);
        let found = |attributes: &[(&[u8], u8, &[u8])]| of(&certificate(attributes)).map(str::to_owned);
        assert_eq!(found(&[name, one(UTF8_STRING, "Größe".as_bytes()), name]).as_deref(), Some("Größe"));
        assert_eq!(found(&[one(PRINTABLE_STRING, b"Example")]).as_deref(), Some("Example"));
        for bad in [
            &[name][..],
            &[],
            &[one(UTF8_STRING, b"A"), one(UTF8_STRING, b"A")],
            &[one(UTF8_STRING, b"\xff"), one(UTF8_STRING, b"A")],
            // A string of two octets a character.
            &[one(0x1e, b"\0A"), one(UTF8_STRING, b"A")],
        ] {
            assert_eq!(found(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a097_a183_no_octets_panic(
            octets in proptest::collection::vec(any::<u8>(), 0..120),
            at in any::<proptest::sample::Index>(),
            put: u8,
        ) {
            let _ = of(&octets);
            let mut near = certificate(&[(&ORGANISATION, UTF8_STRING, b"Example Ltd")]);
            let at = at.index(near.len());
            near[at] = put;
            let _ = of(&near);
            let _ = of(&near[..at]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a097_a183_no_damage_to_a_certificate_panics(at in any::<proptest::sample::Index>(), put: u8) {
            let order = Order { organisation: Some("Example Ltd"), ..Order::new(&["a.example"]) };
            let mut octets = Authority::new("root").issue_as(&order).chain[0].to_vec();
            let at = at.index(octets.len());
            octets[at] = put;
            let _ = of(&octets);
            let _ = of(&octets[..at]);
        }
    }
}
