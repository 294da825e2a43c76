//! Kiss codes: what a server says instead of the time (RFC 5905 section 7.4, RFC 8915 section 5.7).

use core::fmt;

/// A kiss code, from the reference id of a reply of stratum 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KissCode {
    /// DENY: access denied for good.
    Deny,
    /// RSTR: access denied by local policy.
    Restricted,
    /// RATE: queries come too often.
    Rate,
    /// NTSN: the cookie or the tag of an NTS request was invalid.
    NtsNak,
    /// Any other code: the server has no time to tell. Printed escaped.
    Other([u8; 4]),
}

impl KissCode {
    /// Reads the reference id of a reply of stratum 0.
    pub const fn from_reference_id(id: u32) -> Self {
        match &id.to_be_bytes() {
            b"DENY" => KissCode::Deny,
            b"RSTR" => KissCode::Restricted,
            b"RATE" => KissCode::Rate,
            b"NTSN" => KissCode::NtsNak,
            other => KissCode::Other(*other),
        }
    }
}

/// Four characters; an octet that is neither a letter nor a digit is written as `\xHH`, so that no code can
/// forge a log line.
impl fmt::Display for KissCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KissCode::Deny => f.write_str("DENY"),
            KissCode::Restricted => f.write_str("RSTR"),
            KissCode::Rate => f.write_str("RATE"),
            KissCode::NtsNak => f.write_str("NTSN"),
            KissCode::Other(code) => code.iter().try_for_each(|octet| {
                if octet.is_ascii_alphanumeric() {
                    write!(f, "{}", char::from(*octet))
                } else {
                    write!(f, "\\x{octet:02x}")
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn known_codes_are_known() {
        for (text, code) in [
            (*b"DENY", KissCode::Deny),
            (*b"RSTR", KissCode::Restricted),
            (*b"RATE", KissCode::Rate),
            (*b"NTSN", KissCode::NtsNak),
            (*b"INIT", KissCode::Other(*b"INIT")),
        ] {
            assert_eq!(KissCode::from_reference_id(u32::from_be_bytes(text)), code);
            assert_eq!(code.to_string().as_bytes(), text);
        }
    }

    #[test]
    fn a011_strange_codes_are_printed_escaped() {
        for (code, text) in [
            (*b"A\nB\x1b", r"A\x0aB\x1b"),
            ([0, 0xff, 0x80, b'"'], r"\x00\xff\x80\x22"),
            (*b"\\x0a", r"\x5cx0a"),
        ] {
            assert_eq!(KissCode::from_reference_id(u32::from_be_bytes(code)).to_string(), text);
        }
    }
}
