//! What the certificate of a key exchange says of who operates the server. It is text of the server's that an authority has
//! attested, read in the child that verified it; having it proves its form and nothing else.

use crate::codec::{Decode, Encode};
use crate::text::escape;
use crate::units::OutOfRange;
use alloc::string::String;
use core::fmt;

/// Longest organisation, octets.
pub const MAX_ORGANISATION: usize = 64;

/// Longest list of names, octets.
pub const MAX_NAMES: usize = 255;

/// Octets of a fingerprint (SHA-256).
pub const FINGERPRINT: usize = 32;

/// The last character of an organisation that was too long.
const CUT: char = '…';

bounded! {
    /// An organisation: at most 64 octets of printable characters, everything else escaped. Empty: the certificate names none.
    Organisation, RawOrganisation, OrganisationOctets, MAX_ORGANISATION, is_organisation, "[a-zA-Z0-9 .,&'-]{0,64}"
}

bounded! {
    /// Host names and addresses that a certificate is for, in lower case, separated by single spaces; a `*` may stand for
    /// the first label of a name.
    CertifiedNames, RawNames, NamesOctets, MAX_NAMES, is_list, "([a-z0-9.-]{1,20}( [a-z0-9.-]{1,20}){0,5})?"
}

/// What a certificate says of who operates its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Operator {
    /// The organisation of its subject.
    pub organisation: Organisation,
    /// Its names; where there are more than there is room for, those that find some.
    pub names: CertifiedNames,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; FINGERPRINT],
}

fn is_organisation(text: &[u8]) -> bool {
    core::str::from_utf8(text).is_ok_and(|text| escape(text) == text)
}

fn is_list(text: &[u8]) -> bool {
    let lawful = |octet: &u8| {
        octet.is_ascii_lowercase()
            || octet.is_ascii_digit()
            || matches!(octet, b'-' | b'_' | b'.' | b'*' | b':')
    };
    text.is_empty()
        || text.split(|octet| *octet == b' ').all(|name| !name.is_empty() && name.iter().all(lawful))
}

impl Organisation {
    /// None.
    pub const NONE: Self =
        Self(RawOrganisation { length: 0, octets: OrganisationOctets([0; MAX_ORGANISATION]) });

    /// Of any text: what is not to be shown, and what could end a quotation, is escaped; what is too long is cut off, which
    /// `…` marks.
    pub fn of(text: &str) -> Self {
        let (mut shown, mut fits) = (String::new(), 0);
        for character in text.trim().chars() {
            match character {
                '\'' => shown.push(character),
                _ => shown.extend(character.escape_debug()),
            }
            if shown.len() > MAX_ORGANISATION {
                shown.truncate(fits);
                shown.push(CUT);
                break;
            }
            if shown.len() <= MAX_ORGANISATION - CUT.len_utf8() {
                fits = shown.len();
            }
        }
        Self::from_octets(shown.as_bytes()).unwrap_or(Self::NONE)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.octets()).unwrap_or("")
    }

    /// Whether both name the same one, in letters of either case. What was cut off could differ, so that nothing is the same
    /// as an organisation that was too long.
    pub fn is_same(&self, other: &Self) -> bool {
        let (one, other) = (self.as_str(), other.as_str());
        let lower = |text: &'_ str| text.chars().flat_map(char::to_lowercase).collect::<String>();
        !one.is_empty() && !one.ends_with(CUT) && lower(one) == lower(other)
    }
}

impl CertifiedNames {
    /// None.
    pub const NONE: Self = Self(RawNames { length: 0, octets: NamesOctets([0; MAX_NAMES]) });

    /// As many of these as there is room for; what is neither a host name nor an address is left out.
    pub fn of<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut octets = [0; MAX_NAMES];
        let mut length = 0;
        for name in names.filter(|name| !name.contains(&b' ') && !name.is_empty() && is_list(name)) {
            let start = if length == 0 { 0 } else { length + 1 };
            let Some(place) = octets.get_mut(start..start + name.len()) else { continue };
            place.copy_from_slice(name);
            if let Some(space) = start.checked_sub(1).and_then(|space| octets.get_mut(space)) {
                *space = b' ';
            }
            length = start + name.len();
        }
        octets.get(..length).and_then(|names| Self::from_octets(names).ok()).unwrap_or(Self::NONE)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        core::str::from_utf8(self.octets()).unwrap_or("").split(' ').filter(|name| !name.is_empty())
    }

    /// Whether one of them is for this host name or address (RFC 6125 section 6.4.3).
    pub fn cover(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        !name.is_empty()
            && self.iter().any(|pattern| match pattern.strip_prefix("*.") {
                Some(parent) => {
                    name.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent))
                }
                None => name.eq_ignore_ascii_case(pattern),
            })
    }
}

impl Operator {
    /// No certificate is known.
    pub const NONE: Self =
        Self { organisation: Organisation::NONE, names: CertifiedNames::NONE, fingerprint: [0; FINGERPRINT] };

    /// Whether both are the same certificate.
    pub fn is_same(&self, other: &Self) -> bool {
        self.fingerprint != Self::NONE.fingerprint && self.fingerprint == other.fingerprint
    }
}

impl fmt::Debug for Organisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Organisation").field(&self.as_str()).finish()
    }
}

impl fmt::Debug for CertifiedNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::borrow::ToOwned;
    use std::vec::Vec;

    #[test]
    fn a183_an_organisation_is_one_line_that_no_terminal_obeys_and_is_cut_at_a_whole_character() {
        let shown = |text: &str| Organisation::of(text).as_str().to_owned();
        assert_eq!(shown(" Example Ltd. "), "Example Ltd.");
        assert_eq!(shown("a\u{1b}[31m\u{202e}b\n\0"), "a\\u{1b}[31m\\u{202e}b\\n\\0");
        assert_eq!(shown("x\") it's"), "x\\\") it's");
        assert_eq!(shown("Universität"), "Universität");
        assert_eq!(shown(&"ä".repeat(32)), "ä".repeat(32));
        assert_eq!(shown(&"ä".repeat(33)), "ä".repeat(30) + "…");
        assert_eq!(shown(&"\u{1}".repeat(40)), "\\u{1}".repeat(12) + "…");
        assert_eq!(shown(&"x".repeat(1 << 20)), "x".repeat(61) + "…");
        for bad in [&b"a\nb"[..], b"\xff", b"\x1b", &[b'a'; 65]] {
            assert!(Organisation::from_octets(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn organisations_are_the_same_in_letters_of_either_case_and_never_if_cut_or_empty() {
        let same = |one: &str, other: &str| Organisation::of(one).is_same(&Organisation::of(other));
        assert!(same("Example Ltd", " EXAMPLE ltd") && same("ÄÖ", "äö"));
        assert!(!same("", "") && !same("Example Ltd", "Example Ltd 2") && !same("a", ""));
        let long = "x".repeat(64);
        assert!(same(&long, &long));
        assert!(!same(&(long.clone() + "a"), &(long.clone() + "b")), "what differs was cut off");
        assert!(!same(&(long.clone() + "a"), &(long + "a")));
    }

    #[test]
    fn names_have_the_form_of_names_and_as_many_are_taken_as_there_is_room_for() {
        let all = |names: &[&str]| {
            let names = CertifiedNames::of(names.iter().map(|name| name.as_bytes()));
            names.iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            all(&["a.example", "*.b.example", "2001:db8::1"]),
            ["a.example", "*.b.example", "2001:db8::1"]
        );
        assert_eq!(all(&["a b", "", "A", "a\n", "c"]), ["c"]);
        let long = "x".repeat(254);
        assert_eq!(all(&["a", &long, "b"]), ["a", "b"]);
        assert_eq!(all(&[&long]), [long.as_str()]);
        assert!(all(&[]).is_empty() && all(&[&"x".repeat(256)]).is_empty());
        assert!(CertifiedNames::from_octets(b"a  b").is_err());
        assert!(CertifiedNames::from_octets(b"a ").is_err());
    }

    #[test]
    fn a_name_is_covered_as_a_client_of_tls_would_take_it() {
        let names = CertifiedNames::of([&b"a.example"[..], b"*.b.example", b"192.0.2.1"].into_iter());
        for covered in ["a.example", "A.Example.", "x.b.example", "192.0.2.1"] {
            assert!(names.cover(covered), "{covered}");
        }
        for other in ["", ".", "example", "b.example", "x.y.b.example", "xa.example", "192.0.2.2", "*"] {
            assert!(!names.cover(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_organisation_that_is_lawful_on_the_link(text in "\\PC{0,90}|[\\x00-\\x7f]{0,90}|.{0,90}") {
            let organisation = Organisation::of(&text);
            prop_assert!(Organisation::from_octets(organisation.octets()).is_ok());
            prop_assert!(organisation.octets().len() <= MAX_ORGANISATION);
            prop_assert_eq!(organisation.as_str().is_empty(), text.trim().is_empty());
        }

        #[test]
        fn any_names_are_a_list_that_is_lawful_on_the_link(names in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20)) {
            let list = CertifiedNames::of(names.iter().map(Vec::as_slice));
            prop_assert!(list.iter().all(|name| names.iter().any(|given| given == name.as_bytes())));
        }
    }
}
