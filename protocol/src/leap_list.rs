//! The list of leap seconds that the IERS publishes and NIST and tzdata pass on (`leap-seconds.list`).
//!
//! Lines: `#$` when it was changed last, `#@` when it ends, `SECONDS TAI-UTC # comment` from when on TAI − UTC is so much, `#h` SHA-1
//! of the numbers before it in five words; all times in seconds since 1900, also beyond 2^32. Other lines with `#` are comments.
//! The hash shows damage, not who wrote the list: whoever can change the file can write another one.
//!
//! A list is whole or refused: it begins in 1972 with 10 s, changes by one second at a time, at the end of a June or December.

use core::fmt;
use ipc::calendar::Date;
use ipc::units::Leap;
use sha1::{Digest, Sha1};

/// Octets of the longest list.
pub const MAX_LENGTH: usize = 64 * 1024;
/// Lines of the longest one.
pub const MAX_LINES: usize = 1_024;
/// Entries of the longest one; there were 28 from 1972 to 2026.
pub const MAX_ENTRIES: usize = 64;

/// 1970 in seconds since 1900.
const OF_1970: u64 = 2_208_988_800;
const DAY: i64 = 86_400;
/// 1972-01-01, seconds since 1970, and TAI − UTC from then on, seconds.
const FIRST: (i64, u8) = (63_072_000, 10);
/// 2200-01-01: nobody announces a leap second so far ahead.
const LAST: i64 = 7_258_118_400;
/// A list that claims to be good for longer is none; the published ones are for a year.
const LONGEST_LIFE: i64 = 2 * 366 * DAY;

/// A whole list. A value was checked: it is in order, and each entry differs by a second from the one before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LeapList {
    updated: i64,
    expires: i64,
    entries: [(i64, u8); MAX_ENTRIES],
    count: usize,
}

/// Why a text is no list; `Display` says what an administrator can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeapListError {
    /// Longer than [`MAX_LENGTH`], or more than [`MAX_LINES`] or [`MAX_ENTRIES`].
    TooLong,
    /// This line, counted from 1, has not the form of one.
    Line(usize),
    /// It does not say when it was changed, when it ends, or what its hash is.
    Incomplete,
    /// The hash is not that of its numbers.
    Hash,
    /// Its entries are not in order, or do not begin in 1972 with 10 s.
    Disorder,
    /// TAI − UTC changes by something else than one second, or on a day on which it cannot.
    Gap,
    /// It ends before it was changed, or more than two years after, or a date is beyond 2200.
    Dates,
}

impl fmt::Display for LeapListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => {
                f.write_str("is longer than a list of leap seconds may be (is it the right file?)")
            }
            Self::Line(line) => {
                write!(f, "line {line} is none of a list of leap seconds (is it the right file?)")
            }
            Self::Incomplete => {
                f.write_str("lacks its date (#$), its end (#@), its hash (#h) or its entries")
            }
            Self::Hash => {
                f.write_str("its hash (#h) is not that of its numbers: it is damaged or was changed by hand")
            }
            Self::Disorder => f.write_str("its entries are not in order, or do not begin in 1972 with 10 s"),
            Self::Gap => f.write_str(
                "an entry is not one second from the one before, at the end of a June or December",
            ),
            Self::Dates => f.write_str("its date (#$) and its end (#@) cannot be true"),
        }
    }
}

impl core::error::Error for LeapListError {}

impl fmt::Debug for LeapList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeapList(updated {}, expires {}, {} entries)", self.updated, self.expires, self.count)
    }
}

impl LeapList {
    /// A list of these entries: seconds since 1970, and TAI − UTC in seconds from then on; `updated` and `expires` in seconds
    /// since 1970.
    ///
    /// # Errors
    /// [`LeapListError`], but of lines and of the hash.
    pub fn try_new(updated: i64, expires: i64, all: &[(i64, u8)]) -> Result<Self, LeapListError> {
        let mut entries = [(0, 0); MAX_ENTRIES];
        entries.get_mut(..all.len()).ok_or(LeapListError::TooLong)?.copy_from_slice(all);
        if all.first() != Some(&FIRST) {
            return Err(if all.is_empty() { LeapListError::Incomplete } else { LeapListError::Disorder });
        }
        for (before, after) in all.iter().zip(all.iter().skip(1)) {
            if after.0 <= before.0 {
                return Err(LeapListError::Disorder);
            }
            let is_leap_day =
                after.0 % DAY == 0 && Date::of_day(after.0 / DAY - 1).may_end_with_leap_second();
            if after.1.abs_diff(before.1) != 1 || !is_leap_day {
                return Err(LeapListError::Gap);
            }
        }
        let last = all.last().map_or(0, |(at, _)| *at);
        let is_life = updated >= FIRST.0 && (0..=LONGEST_LIFE).contains(&expires.saturating_sub(updated));
        if !is_life || last > LAST || expires > LAST {
            return Err(LeapListError::Dates);
        }
        Ok(Self { updated, expires, entries, count: all.len() })
    }

    /// Reads a list.
    ///
    /// # Errors
    /// [`LeapListError`].
    pub fn parse(text: &str) -> Result<Self, LeapListError> {
        if text.len() > MAX_LENGTH {
            return Err(LeapListError::TooLong);
        }
        let (mut updated, mut expires, mut hash) = (None, None, None);
        let (mut entries, mut count) = ([(0, 0); MAX_ENTRIES], 0);
        let mut hashed = Sha1::new();
        for (index, line) in text.lines().enumerate() {
            let fault = LeapListError::Line(index + 1);
            if index >= MAX_LINES {
                return Err(LeapListError::TooLong);
            }
            let line = line.trim_ascii();
            if let Some(rest) = line.strip_prefix("#$") {
                updated = Some(once(updated, one_time(rest, &mut hashed)).ok_or(fault)?);
            } else if let Some(rest) = line.strip_prefix("#@") {
                expires = Some(once(expires, one_time(rest, &mut hashed)).ok_or(fault)?);
            } else if let Some(rest) = line.strip_prefix("#h") {
                hash = Some(once(hash, words(rest)).ok_or(fault)?);
            } else if !line.starts_with('#') && !line.is_empty() {
                let (time, offset) = entry(line, &mut hashed).ok_or(fault)?;
                *entries.get_mut(count).ok_or(LeapListError::TooLong)? = (time, offset);
                count += 1;
            }
        }
        let (Some(updated), Some(expires), Some(hash)) = (updated, expires, hash) else {
            return Err(LeapListError::Incomplete);
        };
        if <[u8; 20]>::from(hashed.finalize()) != hash {
            return Err(LeapListError::Hash);
        }
        Self::try_new(updated, expires, entries.get(..count).unwrap_or_default())
    }

    /// When it was changed last, seconds since 1970.
    pub const fn updated(&self) -> i64 {
        self.updated
    }

    /// When it ends, seconds since 1970. What comes after is not known.
    pub const fn expires(&self) -> i64 {
        self.expires
    }

    /// From when on, in seconds since 1970, TAI − UTC is how many seconds; the oldest first.
    pub fn entries(&self) -> &[(i64, u8)] {
        self.entries.get(..self.count).unwrap_or_default()
    }

    /// TAI − UTC at this time (seconds since 1970), in seconds; none before 1972.
    pub fn tai_minus_utc(&self, at: i64) -> Option<u8> {
        self.entries().iter().rev().find(|(from, _)| *from <= at).map(|(_, offset)| *offset)
    }

    /// The leap second right before this midnight (seconds since 1970).
    pub fn leap_before(&self, midnight: i64) -> Leap {
        let at = self.entries().iter().position(|(from, _)| *from == midnight).filter(|at| *at > 0);
        let pair = at.and_then(|at| Some((self.entries().get(at - 1)?.1, self.entries().get(at)?.1)));
        match pair {
            Some((before, after)) if after > before => Leap::Insert,
            Some(_) => Leap::Delete,
            None => Leap::None,
        }
    }
}

/// A value that may be said once.
fn once<T>(before: Option<T>, said: Option<T>) -> Option<T> {
    if before.is_none() { said } else { None }
}

/// A number of digits alone, which are hashed.
fn number(word: &str, hashed: &mut Sha1) -> Option<u64> {
    if word.is_empty() || word.len() > 12 || !word.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    hashed.update(word.as_bytes());
    word.parse().ok()
}

/// A time as it is written, in seconds since 1970.
fn time(word: &str, hashed: &mut Sha1) -> Option<i64> {
    i64::try_from(number(word, hashed)?.checked_sub(OF_1970)?).ok()
}

/// Nothing but a time.
fn one_time(rest: &str, hashed: &mut Sha1) -> Option<i64> {
    let mut words = rest.split_ascii_whitespace();
    let (word, None) = (words.next()?, words.next()) else { return None };
    time(word, hashed)
}

/// An entry, with a comment or without.
fn entry(line: &str, hashed: &mut Sha1) -> Option<(i64, u8)> {
    let numbers = line.split('#').next()?;
    let mut words = numbers.split_ascii_whitespace();
    let (from, offset, None) = (words.next()?, words.next()?, words.next()) else { return None };
    Some((time(from, hashed)?, u8::try_from(number(offset, hashed)?).ok()?))
}

/// Five words of a hash; leading zeroes may be missing.
fn words(rest: &str) -> Option<[u8; 20]> {
    let mut hash = [0; 20];
    let mut words = rest.split_ascii_whitespace();
    for place in hash.as_chunks_mut::<4>().0 {
        let word = words.next().filter(|word| word.bytes().all(|octet| octet.is_ascii_hexdigit()))?;
        *place = u32::from_str_radix(word, 16).ok()?.to_be_bytes();
    }
    words.next().is_none().then_some(hash)
}

#[cfg(test)]
mod tests;
