//! The form of the audit log: text lines of fixed width, each with the hash of the one before it, so that a line that
//! was changed, taken out or cut off at the end shows. The file has two rings of them, each with numbers and a chain of
//! its own: [`ORDERS`] for everything, and [`STEPS`] for the steps alone, which no number of other lines pushes out.
//!
//! A line is [`LINE`] octets: words `key=value`, the first of them `sequence=N`, padded with spaces to [`TEXT`]; then `
//! hash=`, 64 hexadecimal digits and a line feed. hash = SHA-256 (hash before ‖ the first [`TEXT`] octets); before the
//! first line it is zero. An unwritten slot is zero.

use crate::codec::{Decode, Encode};
use core::str::from_utf8;
use hmac_sha256::Hash;

/// Octets of a line.
pub const LINE: usize = 384;
/// Octets of its text.
pub const TEXT: usize = LINE - KEY.len() - 64 - 1;
/// Everything: changes of the clock, refusals, starts and ends. What the keeper writes in a day at most has room in it.
pub const ORDERS: Ring = Ring { first: 0, lines: 10_240 };
/// The steps again.
pub const STEPS: Ring = Ring { first: ORDERS.lines, lines: 2_048 };
/// More lines than these are not written between two writes of the governor's record, which synchronise the log: a power cut takes
/// no more.
pub const UNSYNCHRONISED: u64 = 2_048;
/// Octets of the file.
pub const LENGTH: u64 = (ORDERS.lines + STEPS.lines) * LINE as u64;

const KEY: &[u8] = b" hash=";

/// A ring of lines in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Lines of the file before it.
    first: u64,
    /// Lines that it holds.
    pub lines: u64,
}

impl Ring {
    /// The offset of its slot `slot` in the file, in octets.
    pub const fn slot(&self, slot: u64) -> u64 {
        (self.first + slot) * LINE as u64
    }

    /// The offset of its line `sequence` in the file, in octets.
    pub const fn place(&self, sequence: u64) -> u64 {
        self.slot(sequence % self.lines)
    }
}

/// Where a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct End {
    /// How many lines there have been.
    pub lines: u64,
    /// The hash of the last one; zero before the first.
    pub hash: [u8; 32],
}

impl End {
    /// Of a log without a line.
    pub const NONE: Self = Self { lines: 0, hash: [0; 32] };
}

/// The hash of a line that begins with `text` and follows one with the hash `before`.
pub fn chain(before: &[u8; 32], text: &[u8]) -> [u8; 32] {
    let mut hash = Hash::new();
    hash.update(before);
    hash.update(text);
    hash.finalize()
}

/// The number of the line that begins so.
pub fn sequence(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b"sequence=")?.split(|octet| *octet == b' ').next()?;
    from_utf8(digits).ok()?.parse().ok()
}

/// What the line of a start says of the log that it found; `None`: it is another line, or does not say.
pub fn found_at_start(text: &[u8]) -> Option<&[u8]> {
    let mut words = text.split(|octet| *octet == b' ');
    words.find(|word| *word == b"event=start")?;
    words.find_map(|word| word.strip_prefix(b"log="))
}

/// Ends a line whose text is in place, and gives its hash.
pub fn finish(line: &mut [u8; LINE], before: &[u8; 32]) -> [u8; 32] {
    let hash = chain(before, &line[..TEXT]);
    let (digits, end) = (TEXT + KEY.len(), LINE - 1);
    line[TEXT..digits].copy_from_slice(KEY);
    for (pair, octet) in line[digits..end].chunks_exact_mut(2).zip(hash) {
        pair.copy_from_slice(&[hex(octet >> 4), hex(octet & 15)]);
    }
    line[end] = b'\n';
    hash
}

/// A line's number, and the hash that stands in it; `None` if the text does not have this form.
pub fn parse(line: &[u8]) -> Option<(u64, [u8; 32])> {
    let (text, rest) = line.split_at_checked(TEXT)?;
    let digits = rest.strip_prefix(KEY)?.strip_suffix(b"\n").filter(|digits| digits.len() == 64)?;
    // As they are written: a line that has another form says nothing else, and was not written so.
    let digit = |octet: u8| char::from(octet).to_digit(16).filter(|_| !octet.is_ascii_uppercase());
    let mut hash = [0; 32];
    for (octet, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *octet = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some((sequence(text)?, hash))
}

const fn hex(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_finished_is_parsed_and_one_octet_less_is_no_line() {
        let mut line = [b' '; LINE];
        line[..13].copy_from_slice(b"sequence=4711");
        let hash = finish(&mut line, &[7; 32]);
        assert_eq!(parse(&line), Some((4711, hash)));
        assert_eq!(hash, chain(&[7; 32], &line[..TEXT]));
        assert_eq!(parse(&line[..LINE - 1]), None);
        for at in [0, TEXT, TEXT + 6, LINE - 1] {
            let mut altered = line;
            altered[at] = b'#';
            assert_eq!(parse(&altered), None, "octet {at}");
        }
        let letter = (TEXT + 6..LINE - 1).find(|at| line[*at].is_ascii_lowercase()).unwrap();
        line[letter] ^= 0x20;
        assert_eq!(parse(&line), None, "a capital letter among the digits");
    }
}
