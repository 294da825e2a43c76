//! The names that a certificate is for: its subjectAltName (RFC 5280 section 4.2.1.6), of any kind.

use super::validity::{OBJECT_IDENTIFIER, Reader, SEQUENCE};
use std::collections::BTreeSet;

const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const EXTENSIONS: u8 = 0xa3;

/// id-ce-subjectAltName.
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];

/// The tag of a host name (dNSName).
pub const HOST: u8 = 0x82;

/// The tag of an address (iPAddress): 4 or 16 octets.
pub const ADDRESS: u8 = 0x87;

/// Each name with the tag of its kind; of all but addresses, letters of ASCII in lower case.
pub type Names = BTreeSet<(u8, Vec<u8>)>;

/// Those of a certificate; empty if it has none, or none that can be found.
pub fn of(certificate: &[u8]) -> Names {
    find(certificate).unwrap_or_default()
}

fn find(certificate: &[u8]) -> Option<Names> {
    let mut fields = Reader::after_serial(certificate)?;
    let extensions = loop {
        let (tag, contents) = fields.next()?;
        if tag == EXTENSIONS {
            break contents;
        }
    };
    let mut extensions = Reader(Reader(extensions).expect(SEQUENCE)?);
    loop {
        let mut extension = Reader(extensions.expect(SEQUENCE)?);
        if extension.expect(OBJECT_IDENTIFIER)? != SUBJECT_ALT_NAME {
            continue;
        }
        extension.skip(BOOLEAN)?;
        let mut names = Reader(Reader(extension.expect(OCTET_STRING)?).expect(SEQUENCE)?);
        let mut all = Names::new();
        while !names.0.is_empty() {
            let (tag, name) = names.next()?;
            // The octets of an address are no letters.
            all.insert((tag, if tag == ADDRESS { name.to_vec() } else { name.to_ascii_lowercase() }));
        }
        return Some(all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench::authority::{Authority, Order};
    use proptest::prelude::*;

    #[test]
    fn names_and_addresses_of_a_real_certificate_are_found() {
        let identity = Authority::new("root").issue_as(&Order::new(&["A.example", "192.0.2.1"]));
        let expected = [(0x82, b"a.example".to_vec()), (0x87, vec![192, 0, 2, 1])];
        assert_eq!(of(&identity.chain[0]), Names::from(expected));
    }

    #[test]
    fn the_octets_of_an_address_are_no_letters() {
        let identity = Authority::new("root").issue_as(&Order::new(&["10.65.0.90"]));
        assert_eq!(of(&identity.chain[0]), Names::from([(ADDRESS, vec![10, 65, 0, 90])]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a097_no_damage_to_a_certificate_panics(at in any::<proptest::sample::Index>(), put: u8) {
            let mut octets = Authority::new("root").issue(&["a.example"]).chain[0].to_vec();
            let at = at.index(octets.len());
            octets[at] = put;
            let _ = of(&octets);
            let _ = of(&octets[..at]);
        }
    }
}
