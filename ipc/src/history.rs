//! The form of the history: what was true of the clock in each minute, for auditors. A ring of records of fixed length, each with
//! the hash of the one before it, which the engine writes and chimerctl reads, also on another machine.
//!
//! A record is [`RECORD`] octets, little-endian: its kind, the number of its form, what belongs to the kind, its sequence number,
//! the steered clock and CLOCK_MONOTONIC_RAW, and to the end of [`BODY`] what belongs to the kind again; then SHA-256 (hash
//! before ‖ the first [`BODY`] octets), before the first record zero. Record `sequence` has the place `sequence` modulo the
//! number of records that the file has room for. An unwritten place is zero.
//!
//! A source has a number of a few bits in the masks of a minute: the last [`Source`] records with that number before it say
//! which one. Each run of the engine begins with a [`Run`] record, after which no number is given.

use crate::units::{Frequency, RawInstant, WallTime};
use alloc::string::String;
use hmac_sha256::Hash;

/// Octets of a record.
pub const RECORD: usize = 128;
/// Octets of it that its hash is of.
pub const BODY: usize = RECORD - 32;
/// Records that a day takes at most: its minutes, and sixty others (starts, sources that come and go).
pub const OF_A_DAY: u64 = 1_500;
/// The most days that a file may have room for.
pub const MOST_DAYS: u16 = 800;
/// Octets of the longest file.
pub const LARGEST: u64 = MOST_DAYS as u64 * OF_A_DAY * RECORD as u64;
/// A power cut takes at most so many records: the history is synchronised once an hour, also one in which sources come and go.
pub const TORN: u64 = 256;
/// No record, no line of a log and no anchor has this number or a later one: whoever finds one has found other octets.
pub const NUMBERS: u64 = 1 << 62;
/// The most sources that have a number at a time.
pub const SOURCES: usize = 32;
/// Octets of a source's name that are in one record.
pub const PART: usize = BODY - 32;
/// The most octets of a source's name that are kept.
pub const NAME: usize = 5 * PART;

/// Where a history ends: how many records there have been, and the hash of the last one.
pub use crate::audit_line::End;

const FORM: u8 = 1;

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// What was true since the record before it.
    Minute(Minute),
    /// A part of a source's name.
    Source(Source),
    /// The engine began.
    Run(Run),
    /// Another configuration is in force.
    Configuration {
        /// SHA-256 of its text.
        configuration: [u8; 32],
    },
    /// The engine ended, and has written all that it had.
    Ended,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub sequence: u64,
    /// The steered clock at its end.
    pub wall: WallTime,
    /// CLOCK_MONOTONIC_RAW, at the same moment.
    pub raw: RawInstant,
    /// See there.
    pub said: Said,
}

/// What was true of the clock for at most a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// Milliseconds on CLOCK_MONOTONIC_RAW.
    pub length_ms: u32,
    /// The clock was synchronised all the time.
    pub synchronised: bool,
    /// The clock stood still, or nothing is known of a part of the time.
    pub gap: bool,
    /// The daemon stepped the clock.
    pub stepped: bool,
    /// Another program stepped the clock.
    pub stepped_by_another: bool,
    /// A leap second passed.
    pub leap: bool,
    /// Every correction of the clock rested on authenticated sources alone, all the time.
    pub authenticated: bool,
    /// True time was limited by signed answers of Roughtime servers, all the time.
    pub signed: bool,
    /// Least and largest offset of the clock in ns (positive: the clock is behind); none: not known at any time of it.
    pub offset: Option<(i64, i64)>,
    /// Largest error bound in ns; none: at some time of it there was none.
    pub bound: Option<u64>,
    /// Largest likely error in ns; none: at some time of it nothing was likely.
    pub likely: Option<u64>,
    /// Base frequency in force at its end; none: no clock is steered.
    pub frequency: Option<Frequency>,
    /// Sum of the steps in ns (positive: forward).
    pub steps: i64,
    /// The largest of them in size, in µs, rounded away from zero (positive: forward); at the ends of its range, or beyond.
    pub largest_step_us: i32,
    /// The smallest number of sources that were used at a time.
    pub used_at_least: u8,
    /// The smallest number of authenticated ones among them at a time.
    pub authenticated_at_least: u8,
    /// Stratum at its end; 16: unsynchronised.
    pub stratum: u8,
    /// Sources that were used at any time of it, a bit for each number.
    pub used: u32,
    /// Those of them that were authenticated.
    pub used_authenticated: u32,
    /// Falsetickers at any time of it.
    pub falsetickers: u32,
}

/// A part of the name of the source with this number, which had another one, or none, before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Below [`SOURCES`].
    pub number: u8,
    /// Its packets are authenticated.
    pub authenticated: bool,
    /// Which part, from 0.
    pub part: u8,
    /// How many there are.
    pub parts: u8,
    /// Printable ASCII, at most [`PART`] octets.
    pub text: String,
}

/// The beginning of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// SHA-256 of the text of the configuration.
    pub configuration: [u8; 32],
    /// Which boot of the machine it is.
    pub boot: [u8; 16],
    /// The version of the program, printable ASCII, at most 16 octets.
    pub version: String,
    /// How many records behind the last one that follows from the one before it were thrown away: a power cut, or a disk.
    pub torn: u8,
}

/// The hash of a record whose body this is, behind one with the hash `before`.
pub fn chain(before: &[u8; 32], body: &[u8]) -> [u8; 32] {
    crate::audit_line::chain(before, body)
}

/// SHA-256 of texts or octets, one behind the other, as of a configuration and its drop-ins.
pub fn digest(parts: impl IntoIterator<Item: AsRef<[u8]>>) -> [u8; 32] {
    let mut hash = Hash::new();
    parts.into_iter().for_each(|part| hash.update(part));
    hash.finalize()
}

const FLAGS: usize = 2;
const SEQUENCE: usize = 8;
const WALL: usize = 16;
const RAW: usize = 24;
const REST: usize = 32;

const KNOWN: u16 = 1 << 8;
const STEERED: u16 = 1 << 9;

impl Minute {
    /// The largest step in size, or what all of them come to if that is larger, in ns (positive: forward).
    pub fn step(&self) -> i64 {
        let largest = i64::from(self.largest_step_us) * 1_000;
        if largest.unsigned_abs() > self.steps.unsigned_abs().saturating_add(1_000) {
            largest
        } else {
            self.steps
        }
    }

    fn flags(&self) -> u16 {
        let flags = [
            self.synchronised,
            self.gap,
            self.stepped,
            self.stepped_by_another,
            self.leap,
            self.authenticated,
            self.signed,
        ];
        let bits = flags.into_iter().enumerate().map(|(at, flag)| u16::from(flag) << at);
        let known = if self.offset.is_some() { KNOWN } else { 0 };
        let steered = if self.frequency.is_some() { STEERED } else { 0 };
        bits.fold(known | steered, |all, bit| all | bit)
    }
}

impl Record {
    /// Its octets, behind a record with the hash `before`, and its own hash.
    pub fn encode(&self, before: &[u8; 32]) -> ([u8; RECORD], [u8; 32]) {
        let mut octets = [0; RECORD];
        put(&mut octets, 1, &[FORM]);
        put(&mut octets, SEQUENCE, &self.sequence.to_le_bytes());
        put(&mut octets, WALL, &self.wall.nanos().to_le_bytes());
        put(&mut octets, RAW, &self.raw.nanos().to_le_bytes());
        let kind = match &self.said {
            Said::Minute(minute) => {
                put(&mut octets, FLAGS, &minute.flags().to_le_bytes());
                put(&mut octets, 4, &[minute.used_at_least, minute.authenticated_at_least, minute.stratum]);
                let (least, largest) = minute.offset.unwrap_or_default();
                put(&mut octets, REST, &minute.length_ms.to_le_bytes());
                put(&mut octets, 36, &minute.frequency.map_or(0, Frequency::scaled).to_le_bytes());
                put(&mut octets, 40, &least.to_le_bytes());
                put(&mut octets, 48, &largest.to_le_bytes());
                put(&mut octets, 56, &minute.bound.unwrap_or(u64::MAX).to_le_bytes());
                put(&mut octets, 64, &minute.likely.unwrap_or(u64::MAX).to_le_bytes());
                put(&mut octets, 72, &minute.steps.to_le_bytes());
                put(&mut octets, 80, &minute.used.to_le_bytes());
                put(&mut octets, 84, &minute.used_authenticated.to_le_bytes());
                put(&mut octets, 88, &minute.falsetickers.to_le_bytes());
                put(&mut octets, 92, &minute.largest_step_us.to_le_bytes());
                1
            }
            Said::Source(source) => {
                let text = source.text.as_bytes();
                let text = text.get(..PART).unwrap_or(text);
                let flags = u16::from(source.authenticated);
                put(&mut octets, FLAGS, &flags.to_le_bytes());
                // A part is not longer than an octet can say.
                put(&mut octets, 4, &[source.number, source.part, source.parts, text.len() as u8]);
                put(&mut octets, REST, text);
                2
            }
            Said::Run(run) => {
                put(&mut octets, 4, &[run.torn]);
                put(&mut octets, REST, &run.configuration);
                put(&mut octets, 64, &run.boot);
                let version = run.version.as_bytes();
                put(&mut octets, 80, version.get(..BODY - 80).unwrap_or(version));
                3
            }
            Said::Configuration { configuration } => {
                put(&mut octets, REST, configuration);
                4
            }
            Said::Ended => 5,
        };
        put(&mut octets, 0, &[kind]);
        let hash = chain(before, &octets[..BODY]);
        put(&mut octets, BODY, &hash);
        (octets, hash)
    }

    /// The record of these octets, and the hash that stands in it; none: they are no record.
    ///
    /// That it is the one that was written is shown by the hash alone.
    pub fn decode(octets: &[u8; RECORD]) -> Option<(Self, [u8; 32])> {
        let octet = |at: usize| octets[at];
        if octet(1) != FORM {
            return None;
        }
        let flags = u16::from_le_bytes(array(octets, FLAGS));
        let said = match octet(0) {
            1 => {
                let flag = |at: u16| flags >> at & 1 == 1;
                let limit = |at| Some(u64::from_le_bytes(array(octets, at))).filter(|ns| *ns != u64::MAX);
                let signed = |at| i64::from_le_bytes(array(octets, at));
                let mask = |at| u32::from_le_bytes(array(octets, at));
                let frequency = Frequency::try_new(i32::from_le_bytes(array(octets, 36))).ok()?;
                Said::Minute(Minute {
                    length_ms: mask(REST),
                    synchronised: flag(0),
                    gap: flag(1),
                    stepped: flag(2),
                    stepped_by_another: flag(3),
                    leap: flag(4),
                    authenticated: flag(5),
                    signed: flag(6),
                    offset: (flags & KNOWN != 0).then(|| (signed(40), signed(48))),
                    bound: limit(56),
                    likely: limit(64),
                    frequency: (flags & STEERED != 0).then_some(frequency),
                    steps: signed(72),
                    used_at_least: octet(4),
                    authenticated_at_least: octet(5),
                    stratum: octet(6),
                    used: mask(80),
                    used_authenticated: mask(84),
                    falsetickers: mask(88),
                    largest_step_us: i32::from_le_bytes(array(octets, 92)),
                })
            }
            2 => {
                let text = octets.get(REST..REST.checked_add(usize::from(octet(7)))?)?;
                Said::Source(Source {
                    number: Some(octet(4)).filter(|number| usize::from(*number) < SOURCES)?,
                    authenticated: flags & 1 == 1,
                    part: octet(5),
                    parts: octet(6),
                    text: Some(text).filter(|text| text.len() <= PART).and_then(printable)?,
                })
            }
            3 => {
                let version = octets.get(80..BODY)?.split(|octet| *octet == 0).next()?;
                Said::Run(Run {
                    configuration: array(octets, REST),
                    boot: array(octets, 64),
                    version: printable(version)?,
                    torn: octet(4),
                })
            }
            4 => Said::Configuration { configuration: array(octets, REST) },
            5 => Said::Ended,
            _ => return None,
        };
        let record = Self {
            sequence: u64::from_le_bytes(array(octets, SEQUENCE)),
            wall: WallTime::try_new(i64::from_le_bytes(array(octets, WALL))).ok()?,
            raw: RawInstant::try_new(i64::from_le_bytes(array(octets, RAW))).ok()?,
            said,
        };
        Some((record, array(octets, BODY)))
    }
}

fn printable(text: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(text).ok()?;
    text.bytes().all(|octet| matches!(octet, b' '..=b'~')).then(|| text.into())
}

fn put(octets: &mut [u8; RECORD], at: usize, what: &[u8]) {
    octets[at..at + what.len()].copy_from_slice(what);
}

fn array<const N: usize>(octets: &[u8; RECORD], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&octets[at..at + N]);
    array
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn record(said: Said) -> Record {
        let (wall, raw) =
            (WallTime::try_new(1_800_000_000_123_456_789).unwrap(), RawInstant::try_new(5).unwrap());
        Record { sequence: 4_711, wall, raw, said }
    }

    #[test]
    fn what_is_encoded_is_decoded_and_has_its_hash() {
        let minute = Minute {
            length_ms: 60_000,
            synchronised: true,
            stepped_by_another: true,
            signed: true,
            offset: Some((-7, i64::MAX)),
            bound: Some(0),
            frequency: Some(Frequency::try_new(-655_360).unwrap()),
            steps: i64::MIN,
            largest_step_us: i32::MIN,
            used_at_least: 3,
            authenticated_at_least: 2,
            stratum: 16,
            used: 1 << 31 | 1,
            used_authenticated: 1,
            falsetickers: 6,
            ..Minute::default()
        };
        let source = Source { number: 31, authenticated: true, part: 1, parts: 2, text: "x".repeat(PART) };
        let run = Run { configuration: [1; 32], boot: [2; 16], version: "0.1.0".into(), torn: 9 };
        let all = vec![
            Said::Minute(minute),
            Said::Minute(Minute {
                gap: true,
                stepped: true,
                leap: true,
                authenticated: true,
                ..Minute::default()
            }),
            Said::Source(source),
            Said::Run(run),
            Said::Configuration { configuration: [3; 32] },
            Said::Ended,
        ];
        for said in all {
            let record = record(said);
            let (octets, hash) = record.encode(&[7; 32]);
            assert_eq!(Record::decode(&octets), Some((record, hash)));
            assert_eq!(hash, chain(&[7; 32], &octets[..BODY]));
        }
    }

    #[test]
    fn what_is_no_record_is_not_decoded() {
        let (whole, _) = record(Said::Ended).encode(&[0; 32]);
        for (at, octet) in [(0, 0), (0, 6), (1, 0), (1, 2), (WALL + 7, 0x80)] {
            let mut octets = whole;
            octets[at] = octet;
            assert_eq!(Record::decode(&octets), None, "octet {at}");
        }
        let source = Source { number: 0, authenticated: false, part: 0, parts: 1, text: "a".into() };
        let (whole, _) = record(Said::Source(source)).encode(&[0; 32]);
        for (at, octet) in [(4, 32), (7, 65), (REST, 7), (REST, 0xff)] {
            let mut octets = whole;
            octets[at] = octet;
            assert_eq!(Record::decode(&octets), None, "octet {at}");
        }
        assert_eq!(Record::decode(&[0; RECORD]), None);
    }
}
