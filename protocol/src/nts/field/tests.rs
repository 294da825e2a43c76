extern crate std;
use super::*;
use crate::nts::hex::hex;
use std::vec::Vec;

/// A packet of a zero header and these fields, each given as the type and length of its value.
fn packet(fields: &[(u16, usize)]) -> Vec<u8> {
    let mut packet = std::vec![0; LENGTH];
    for (kind, length) in fields {
        packet.extend(kind.to_be_bytes());
        packet.extend(u16::try_from(length + FIELD_HEAD).unwrap().to_be_bytes());
        let mut value = std::vec![0; *length];
        if *kind == NTS_AUTHENTICATOR {
            value[..4].copy_from_slice(&[0, 16, 0, 16]);
        }
        packet.extend(value);
    }
    packet
}

const ID: (u16, usize) = (UNIQUE_IDENTIFIER, 32);
const COOKIE: (u16, usize) = (NTS_COOKIE, 100);
const PLACEHOLDER: (u16, usize) = (NTS_COOKIE_PLACEHOLDER, 100);
const AUTH: (u16, usize) = (NTS_AUTHENTICATOR, 36);

fn find(fields: &[(u16, usize)]) -> Result<Fields, FieldError> {
    locate(&packet(fields))
}

#[test]
fn fields_are_found_where_they_stand() {
    let fields = find(&[ID, (0xf323, 12), COOKIE, PLACEHOLDER, PLACEHOLDER, AUTH]).unwrap();
    assert_eq!(fields.unique_identifier, Some(52..84));
    assert_eq!(fields.cookie, Some(104..204));
    assert_eq!(fields.placeholders, 2);
    let authenticator = fields.authenticator.unwrap();
    assert_eq!((authenticator.at, authenticator.nonce_room), (412, 16));
    assert!(!fields.is_followed);
}

#[test]
fn a064_what_may_be_there_once_is_refused_twice() {
    for twice in [ID, COOKIE] {
        assert_eq!(find(&[ID, COOKIE, twice, AUTH]).unwrap_err(), FieldError::Twice);
    }
    assert_eq!(find(&[ID, COOKIE, AUTH, AUTH]).unwrap_err(), FieldError::Twice);
    assert_eq!(find(&[ID, COOKIE, AUTH, ID, AUTH]).unwrap_err(), FieldError::Twice);
    assert_eq!(find(&[(UNIQUE_IDENTIFIER, 28), COOKIE, AUTH]).unwrap_err(), FieldError::ShortIdentifier);
}

#[test]
fn a065_fields_after_the_authenticator_are_not_looked_at() {
    let fields = find(&[ID, AUTH, COOKIE, PLACEHOLDER, (UNIQUE_IDENTIFIER, 32)]).unwrap();
    assert_eq!((fields.cookie, fields.placeholders, fields.is_followed), (None, 0, true));
    assert_eq!(fields.unique_identifier, Some(52..84));
}

#[test]
fn a081_a_placeholder_unlike_the_cookie_is_refused() {
    for unlike in [(NTS_COOKIE_PLACEHOLDER, 96), (NTS_COOKIE_PLACEHOLDER, 104)] {
        for fields in [
            &[ID, COOKIE, unlike, AUTH][..],
            &[ID, unlike, COOKIE, AUTH],
            &[ID, COOKIE, PLACEHOLDER, unlike, AUTH],
            &[ID, PLACEHOLDER, AUTH],
        ] {
            assert_eq!(find(fields).unwrap_err(), FieldError::Placeholder, "{fields:?}");
        }
    }
}

#[test]
fn a064_authenticator_lengths_beyond_the_field_are_refused() {
    for (nonce, text, is_lawful) in [
        (16u16, 16u16, true),
        (1, 16, true),
        (13, 16, true),
        (1, 28, true),
        (12, 20, true),
        (0, 16, false),
        (16, 15, false),
        (16, 0, false),
        (17, 16, false),
        (16, 17, false),
        (65_535, 16, false),
        (16, 65_535, false),
        (65_535, 65_535, false),
        (1, 29, false),
    ] {
        let mut octets = packet(&[ID, COOKIE, AUTH]);
        let at = octets.len() - 36;
        octets[at..at + 2].copy_from_slice(&nonce.to_be_bytes());
        octets[at + 2..at + 4].copy_from_slice(&text.to_be_bytes());
        let found = locate(&octets);
        assert_eq!(found.is_ok(), is_lawful, "{nonce} {text}");
        if let Err(error) = found {
            assert_eq!(error, FieldError::Authenticator);
        } else {
            let authenticator = found.unwrap().authenticator.unwrap();
            let sealed = authenticator.split(&mut octets).unwrap();
            assert_eq!((sealed.nonce.len(), sealed.text.len()), (nonce.into(), text.into()));
            assert_eq!(sealed.associated.len(), at - FIELD_HEAD);
        }
    }
}

#[test]
fn a_mac_is_only_passed_over_where_there_is_no_nts() {
    for trailer in [&[0; 4][..], &[1; 20], &[1; 24]] {
        let mut octets = packet(&[ID]);
        octets.extend(trailer);
        assert!(locate(&octets).is_ok());
        let mut octets = packet(&[ID, COOKIE, AUTH]);
        octets.extend(trailer);
        assert_eq!(locate(&octets).unwrap_err(), FieldError::Mac);
    }
}

#[test]
fn encrypted_fields_may_be_shorter_than_others() {
    let octets = hex("02040004 0304000801020304 0204000c0000000000000000");
    let found: Vec<_> = EncryptedFields::new(&octets).map(Result::unwrap).collect();
    assert_eq!(
        found,
        [(NTS_COOKIE, &[][..]), (NTS_COOKIE_PLACEHOLDER, &[1, 2, 3, 4]), (NTS_COOKIE, &[0; 8])]
    );
}

#[test]
fn a064_encrypted_fields_of_impossible_lengths_end_the_walk() {
    for octets in
        ["020400", "02040000", "02040003", "02040005", "0204000600000000", "02040008000000", "0204ffff"]
    {
        let octets = hex(octets);
        let found: Vec<_> = EncryptedFields::new(&octets).collect();
        assert_eq!(found, [Err(BrokenField)], "{octets:02x?}");
    }
}
