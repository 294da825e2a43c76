//! The form of the governor's record: what it remembers over a restart, in two slots of fixed size, each with sequence
//! number and checksum.
//!
//! The keeper charges and synchronises it before it changes the clock, and writes the slots in turn: a write that is
//! cut short leaves the other slot whole. The launch reads it and hands it over.

use crate::audit_line::End;
use crate::codec::{self, Decode, Encode};
use crate::units::{BootInstant, Frequency, FrequencySum, Offset, Span, WallTime};
use hmac_sha256::Hash;

/// Octets of one slot.
pub const SLOT: usize = 1024;

/// Daily means of the base frequency that are kept.
pub const MEANS: usize = 31;

/// Where the slots begin in the file. A disk writes whole sectors of at most 4096 octets, so one that is torn holds one
/// slot only.
pub const PLACES: [u64; 2] = [0, 4096];

/// Octets of the file.
pub const LENGTH: u64 = 8192;

/// First octets of a slot; another number with each change of [`Record`].
const VERSION: u64 = 0x7472_7565_676f_7641;
const CHECK: usize = SLOT - 32;

/// Kinds of lines of the audit log that have a quota.
pub const LINE_KINDS: usize = 6;

/// What the audit log may still take, by kind of line, and what it did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Lines {
    /// The age of the record at which all lines taken of a burst are given back.
    pub due: [Span; LINE_KINDS],
    /// Lines that were not written since the last one of the kind.
    pub unwritten: [u32; LINE_KINDS],
    /// The adjustments among them.
    pub adjustments: Adjustments,
    /// A run has begun and has not ended in order: lines may have been written after this record was.
    pub is_open: bool,
}

impl Lines {
    /// Nothing taken and nothing to sum up.
    pub const NONE: Self = Self {
        due: [Span::ZERO; LINE_KINDS],
        unwritten: [0; LINE_KINDS],
        adjustments: Adjustments::NONE,
        is_open: false,
    };
}

/// The sum of adjustments that have no line of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Adjustments {
    /// Phase charged, saturating.
    pub charged: Span,
    /// The least base frequency; of no adjustment the greatest that there is.
    pub least: Frequency,
    /// The greatest base frequency; of no adjustment the least that there is.
    pub greatest: Frequency,
    /// The sum of the slews as ordered, saturating; positive: forward.
    pub slew_net: Offset,
    /// The sum of their magnitudes, saturating.
    pub slew_sum: Span,
}

impl Adjustments {
    /// Of none.
    pub const NONE: Self = Self {
        charged: Span::ZERO,
        least: Frequency::MAX,
        greatest: Frequency::MIN,
        slew_net: Offset::ZERO,
        slew_sum: Span::ZERO,
    };

    /// With another one, that was charged so much.
    pub fn with(self, base: Frequency, slew: Offset, charged: Span) -> Self {
        Self {
            charged: self.charged.plus(charged),
            least: self.least.min(base),
            greatest: self.greatest.max(base),
            slew_net: self.slew_net.plus(slew),
            slew_sum: self.slew_sum.plus(slew.magnitude()),
        }
    }
}

/// The governor's memory.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Record {
    /// Grows with each write; the slot with the higher one counts.
    pub sequence: u64,
    /// The boot that `boot_time` and the start steps belong to.
    pub boot_id: [u8; 16],
    /// The time of the last write.
    pub boot_time: BootInstant,
    /// Governed time since the record was born: what budgets are counted in.
    pub age: Span,
    /// The first order to change the clock that was granted in this boot.
    pub first_change: Option<BootInstant>,
    /// Start steps made in this boot.
    pub start_steps: u8,
    /// The start step of any size was made in this boot.
    pub any_start_used: bool,
    /// A time that is past for certain, as far as the governor knows; 1970 if it never was.
    pub last_good: WallTime,
    /// The time that the clock has shown, or was later than, for `kept_for` while synchronised.
    pub kept: Option<WallTime>,
    /// See `kept`.
    pub kept_for: Span,
    /// The steered clock at the last write.
    pub wall: WallTime,
    /// Base frequency of the last lawful order.
    pub base: Frequency,
    /// Time under orders since the record was born.
    pub under_orders: Span,
    /// The part of it that is in the current day of time under orders.
    pub day_time: Span,
    /// Sum of the base frequency in that day.
    pub day_sum: FrequencySum,
    /// Whole days under orders.
    pub day_count: u32,
    /// Means of the base frequency in the last of these days, by day number modulo 31; until the first one has ended,
    /// that of the first hour is the first of them.
    pub means: [Frequency; MEANS],
    /// Age of the last run-time step.
    pub run_step_age: Option<Span>,
    /// What steps after a suspend have moved in each of the last 25 hours of age, µs, by hour number modulo 25.
    pub resumed: [u32; 25],
    /// When the last leap second was armed.
    pub leap_at: Option<WallTime>,
    /// Changes of TAI − UTC that were granted in this boot.
    pub tai_changes: u8,
    /// Phase charged for the slew in progress that it has not moved yet: it is counted beside the hours and days below, and
    /// moves into them as the clock moves.
    pub reserved: Span,
    /// Phase charged in each of the last 25 hours of age, µs, by hour number modulo 25.
    pub hours: [u32; 25],
    /// Phase charged in each of the last 31 days of age, µs, by day number modulo 31.
    pub days: [u32; 31],
    /// Steps after a pause in each of the last 25 hours of age, by hour number modulo 25.
    pub pauses: [u8; 25],
    /// Steps forward without evidence, in the same way.
    pub forwards: [u8; 25],
    /// Means nothing: an earlier build had a word here, and what follows keeps its place.
    pub spare_too: u8,
    /// The size of the step that an operator approved and that was made in this boot.
    pub approved_used: Option<Span>,
    /// Where the audit log ended; it had been synchronised to there.
    pub audit: End,
    /// The same of its ring of steps.
    pub audit_steps: End,
    /// Quotas of the audit log.
    pub lines: Lines,
}

impl Record {
    /// Of a first start, in this boot at this time.
    pub const fn born(boot_id: [u8; 16], now: BootInstant) -> Self {
        Self {
            sequence: 0,
            boot_id,
            boot_time: now,
            age: Span::ZERO,
            first_change: None,
            start_steps: 0,
            any_start_used: false,
            last_good: WallTime::MIN,
            kept: None,
            kept_for: Span::ZERO,
            wall: WallTime::MIN,
            base: Frequency::ZERO,
            under_orders: Span::ZERO,
            day_time: Span::ZERO,
            day_sum: FrequencySum::ZERO,
            day_count: 0,
            means: [Frequency::ZERO; MEANS],
            run_step_age: None,
            resumed: [0; 25],
            leap_at: None,
            tai_changes: 0,
            reserved: Span::ZERO,
            hours: [0; 25],
            days: [0; 31],
            pauses: [0; 25],
            forwards: [0; 25],
            spare_too: 0,
            approved_used: None,
            audit: End::NONE,
            audit_steps: End::NONE,
            lines: Lines::NONE,
        }
    }

    /// After the loss of both slots: every budget starts empty. It may all have been spent just before, so the budget of
    /// a day is restored after a day, and for 30 days the monthly budget lacks one `day`'s. `searched`: the time after which
    /// the first, widest band ends; the destruction of a record must not give it again.
    pub fn spent(boot_id: [u8; 16], now: BootInstant, day: Span, searched: Span) -> Self {
        let mut record = Self::born(boot_id, now);
        record.start_steps = u8::MAX;
        record.any_start_used = true;
        record.run_step_age = Some(Span::ZERO);
        // Hour and day number −1, which end when this record begins.
        record.hours[24] = u32::MAX;
        record.resumed[24] = u32::MAX;
        record.pauses[24] = u8::MAX;
        record.forwards[24] = u8::MAX;
        record.days[30] = u32::try_from(day.nanos() / 1_000).unwrap_or(u32::MAX);
        record.under_orders = searched;
        record
    }

    /// As one slot.
    pub fn to_octets(&self) -> [u8; SLOT] {
        let mut slot = [0; SLOT];
        codec::put((VERSION, self), &mut slot[..CHECK]);
        let check = Hash::hash(&slot[..CHECK]);
        slot[CHECK..].copy_from_slice(&check);
        slot
    }

    /// From one slot; `None` if it is torn, of another version or out of range.
    pub fn from_octets(slot: &[u8; SLOT]) -> Option<Self> {
        let (kept, check) = slot.split_at(CHECK);
        if Hash::hash(kept)[..] != *check {
            return None;
        }
        let (version, head) = codec::one::<u64>(kept).ok()?;
        if version != VERSION {
            return None;
        }
        let (record, _) = codec::one::<Self>(&kept[head..]).ok()?;
        // Later than now nothing has happened.
        record.run_step_age.is_none_or(|age| age <= record.age).then_some(record)
    }

    /// The newer valid one of two slots.
    pub fn newest(slots: &[[u8; SLOT]; 2]) -> Option<Self> {
        let [first, second] = slots.each_ref().map(Self::from_octets);
        match (first, second) {
            (Some(first), Some(second)) => {
                // The number begins again after its last one.
                let is_newer = first.sequence.wrapping_sub(second.sequence) <= u64::MAX / 2;
                Some(if is_newer { first } else { second })
            }
            (first, second) => first.or(second),
        }
    }

    /// Where this record is written: the place of the older slot.
    pub const fn place(&self) -> u64 {
        PLACES[(self.sequence % 2) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> Record {
        let mut record = Record::born([7; 16], BootInstant::saturating(5));
        record.sequence = 41;
        record.age = Span::from_secs(9);
        record.audit = End { lines: 77, hash: [3; 32] };
        record.run_step_age = Some(Span::from_secs(9));
        record
    }

    /// With a checksum that is right whatever the octets are.
    fn sealed(mut slot: [u8; SLOT]) -> [u8; SLOT] {
        let check = Hash::hash(&slot[..CHECK]);
        slot[CHECK..].copy_from_slice(&check);
        slot
    }

    /// A record of an earlier build is read by a later one after an upgrade.
    #[test]
    fn a_changed_layout_of_the_record_has_a_new_number() {
        use proptest::{strategy::ValueTree, test_runner::TestRunner};
        let mut runner = TestRunner::deterministic();
        let mut all = Hash::new();
        for _ in 0..64 {
            all.update(any::<Record>().new_tree(&mut runner).unwrap().current().to_octets());
        }
        let known = (VERSION, u64::from_le_bytes(all.finalize()[..8].try_into().unwrap()));
        assert_eq!(
            known,
            (0x7472_7565_676f_7641, 14_267_156_402_529_308_159),
            "raise VERSION, or keep the places of what was there before; then note both numbers here"
        );
        // In the octets of 28 November 2026 a byte told of TAI stood in each of the two places.
        let octets = codec_length(&record());
        assert_eq!(octets, codec_length(&Record { tai_changes: 1, spare_too: 37, ..record() }));
        let slot = Record { tai_changes: 1, spare_too: 37, ..record() }.to_octets();
        let read = Record::from_octets(&slot).unwrap();
        assert_eq!(Record { tai_changes: 0, spare_too: 0, ..read }, record());
    }

    fn codec_length(record: &Record) -> usize {
        codec::put((VERSION, record), &mut [0; SLOT])
    }

    proptest! {
        #[test]
        fn each_record_fits_its_slot_and_is_read_as_it_was_written(record: Record) {
            let latest = Record { age: Span::MAX, ..record };
            prop_assert_eq!(Record::from_octets(&latest.to_octets()), Some(latest));
        }

        #[test]
        fn octets_under_a_right_checksum_are_a_record_in_range_or_none(
            record: Record,
            edits in prop::collection::vec((8..CHECK - 8, prop::array::uniform8(any::<u8>())), 0..8),
        ) {
            let mut slot = record.to_octets();
            for (at, octets) in edits {
                slot[at..at + 8].copy_from_slice(&octets);
            }
            if let Some(read) = Record::from_octets(&sealed(slot)) {
                prop_assert!(read.run_step_age.is_none_or(|age| age <= read.age));
                prop_assert_eq!(Record::from_octets(&read.to_octets()), Some(read));
            }
        }
    }

    #[test]
    fn a165_the_newer_valid_slot_counts_and_any_torn_octet_voids_one() {
        let (old, new) = (Record { sequence: 40, ..record() }, record());
        let slots = [old.to_octets(), new.to_octets()];
        assert_eq!(Record::newest(&slots), Some(new));
        for at in 0..SLOT {
            let mut torn = slots;
            torn[1][at] ^= 0x10;
            assert_eq!(Record::newest(&torn).as_ref(), Some(&old), "octet {at}");
            torn[0][at] ^= 0x10;
            assert_eq!(Record::newest(&torn), None, "octet {at}");
        }
    }

    #[test]
    fn the_number_after_the_last_one_is_newer() {
        let (last, first) = (Record { sequence: u64::MAX, ..record() }, Record { sequence: 0, ..record() });
        assert_eq!(Record::newest(&[first.to_octets(), last.to_octets()]), Some(first));
    }

    #[test]
    fn one_torn_sector_holds_one_slot() {
        let sectors = [0, 1].map(|slot| {
            let record = Record { sequence: slot, ..record() };
            (record.place() / 4096, (record.place() + SLOT as u64 - 1) / 4096)
        });
        assert_eq!(sectors, [(0, 0), (1, 1)]);
        assert_eq!(PLACES.map(|place| place + SLOT as u64 <= LENGTH), [true; 2]);
    }

    #[test]
    fn a175_a_record_of_another_version_is_not_read() {
        let mut slot = record().to_octets();
        slot[0] ^= 1;
        assert_eq!(Record::from_octets(&sealed(slot)), None);
    }

    #[test]
    fn what_is_older_than_the_record_itself_is_damage() {
        let wrong = Record { run_step_age: Some(Span::from_secs(10)), ..record() };
        assert_eq!(Record::from_octets(&wrong.to_octets()), None);
    }
}
