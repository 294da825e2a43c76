//! The governor's persistent state: fixed size, two slots, sequence number and checksum. It is charged and synchronised
//! before the clock is changed; a torn write leaves the previous slot intact.

use super::limits::Limits;
use hmac_sha256::Hash;
use ipc::message::handover::Memory;
use ipc::units::{Frequency, WallTime};

/// Octets of one slot; the file holds two.
pub const SLOT: usize = 512;

const MAGIC: u64 = 0x7472_7565_676f_7633;
const CHECK: usize = SLOT - 32;

/// The governor's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Grows with each write; the higher valid slot counts.
    pub sequence: u64,
    /// The boot that `boot_time` and the start window belong to.
    pub boot_id: [u8; 16],
    /// CLOCK_BOOTTIME at the last write, ns.
    pub boot_time: i64,
    /// Governed time since the record was born, ns: what budgets are counted in.
    pub age: i64,
    /// CLOCK_BOOTTIME of the first start in this boot, ns.
    pub start_opened: i64,
    /// Start steps made in this boot.
    pub start_steps: u8,
    /// The clock was set from below the floor in this boot.
    pub below_floor_used: bool,
    /// Last time at which the clock was synchronised.
    pub last_good: WallTime,
    /// The steered clock at the last write.
    pub wall: WallTime,
    /// Base frequency of the last lawful order.
    pub base: Frequency,
    /// Centre of the band; 0 until the search has ended.
    pub centre: Frequency,
    /// Age up to which the centre has followed.
    pub centre_age: i64,
    /// Time under orders during the search and the commissioning, ns.
    pub commissioned_time: i64,
    /// Sum of base frequency (2^-16 ppm) × whole seconds in that time.
    pub commissioned_sum: i64,
    /// Age of the last run-time step; −1: never.
    pub run_step_age: i64,
    /// Ages of the last resume steps, oldest first; −1: never.
    pub resume_ages: [i64; 4],
    /// Day of the last leap second that was armed; 0: never.
    pub leap_at: WallTime,
    /// Phase charged in each of the last 25 hours of age, µs, by hour number modulo 25.
    pub hours: [u32; 25],
    /// The hour number that `hours` reaches to.
    pub hour: i64,
    /// Phase charged in each of the last 31 days of age, µs, by day number modulo 31.
    pub days: [u32; 31],
    /// The day number that `days` reaches to.
    pub day: i64,
    /// TAI − UTC as last set, s; 0: never.
    pub tai: u8,
    /// The size of the step that an operator approved and that was made in this boot, ns; 0: none.
    pub approved_used: i64,
    /// Audit records written, and the hash of the last one.
    pub audit: (u64, [u8; 32]),
}

impl Record {
    /// A first start.
    pub fn born(boot_id: [u8; 16], boot_time: i64, wall: WallTime) -> Self {
        Self {
            sequence: 0,
            boot_id,
            boot_time,
            age: 0,
            start_opened: boot_time,
            start_steps: 0,
            below_floor_used: false,
            last_good: WallTime::MIN,
            wall,
            base: Frequency::ZERO,
            centre: Frequency::ZERO,
            centre_age: 0,
            commissioned_time: 0,
            commissioned_sum: 0,
            run_step_age: -1,
            resume_ages: [-1; 4],
            leap_at: WallTime::MIN,
            hours: [0; 25],
            hour: 0,
            days: [0; 31],
            day: 0,
            tai: 0,
            approved_used: 0,
            audit: (0, [0; 32]),
        }
    }

    /// After the loss of both slots: every budget starts empty. It may all have been spent just before, so the budget
    /// of a day is restored after a day, and for 30 days the monthly budget lacks one day's.
    pub fn spent(limits: &Limits, boot_id: [u8; 16], boot_time: i64, wall: WallTime) -> Self {
        let mut record = Self::born(boot_id, boot_time, wall);
        record.start_steps = u8::MAX;
        record.below_floor_used = true;
        record.run_step_age = 0;
        record.resume_ages = [0; 4];
        // Hour and day number −1, which end when this record begins.
        record.hours[24] = u32::MAX;
        record.days[30] = u32::try_from(limits.phase_day / 1_000).unwrap_or(u32::MAX);
        // Destroying the record must not give an attacker the wide band of the first hour again.
        record.commissioned_time = super::limits::SEARCH;
        record
    }

    /// The record at the start of a run, derived from the previous one; `kept` is the newer valid slot.
    pub fn of(
        memory: Memory,
        kept: Option<Self>,
        limits: &Limits,
        (boot_id, boot_time, wall): ([u8; 16], i64, WallTime),
    ) -> Self {
        match (memory, kept) {
            (Memory::Resumed, Some(record)) => record,
            (Memory::FirstStart | Memory::NewByOperator, _) => Self::born(boot_id, boot_time, wall),
            _ => Self::spent(limits, boot_id, boot_time, wall),
        }
    }

    /// As one slot.
    pub fn to_octets(&self) -> [u8; SLOT] {
        let mut slot = [0; SLOT];
        let mut writer = Cursor { slot: &mut slot, at: 0 };
        writer.put(&MAGIC.to_le_bytes());
        writer.put(&self.sequence.to_le_bytes());
        writer.put(&self.boot_id);
        for value in [
            self.boot_time,
            self.age,
            self.start_opened,
            self.last_good.nanos(),
            self.wall.nanos(),
            i64::from(self.base.scaled()),
            i64::from(self.centre.scaled()),
            self.centre_age,
            self.commissioned_time,
            self.commissioned_sum,
            self.run_step_age,
            self.leap_at.nanos(),
            self.hour,
            self.day,
            self.approved_used,
        ]
        .into_iter()
        .chain(self.resume_ages)
        {
            writer.put(&value.to_le_bytes());
        }
        for value in self.hours.into_iter().chain(self.days) {
            writer.put(&value.to_le_bytes());
        }
        writer.put(&[self.start_steps, u8::from(self.below_floor_used), self.tai]);
        writer.put(&self.audit.0.to_le_bytes());
        writer.put(&self.audit.1);
        let check = Hash::hash(&slot[..CHECK]);
        slot[CHECK..].copy_from_slice(&check);
        slot
    }

    /// From one slot; `None` if it is torn, foreign or out of range.
    pub fn from_octets(slot: &[u8; SLOT]) -> Option<Self> {
        if Hash::hash(&slot[..CHECK])[..] != slot[CHECK..] {
            return None;
        }
        let mut reader = Reader { slot, at: 0 };
        if u64::from_le_bytes(reader.take()) != MAGIC {
            return None;
        }
        let sequence = u64::from_le_bytes(reader.take());
        let boot_id = reader.take();
        let wall_time = |value| WallTime::try_new(value).ok();
        let frequency = |value: i64| Frequency::try_new(i32::try_from(value).ok()?).ok();
        let (boot_time, age, start_opened) = (reader.signed(), reader.signed(), reader.signed());
        let (last_good, wall) = (wall_time(reader.signed())?, wall_time(reader.signed())?);
        let (base, centre) = (frequency(reader.signed())?, frequency(reader.signed())?);
        let (centre_age, commissioned_time, commissioned_sum) =
            (reader.signed(), reader.signed(), reader.signed());
        let (run_step_age, leap_at) = (reader.signed(), wall_time(reader.signed())?);
        let (hour, day, approved_used) = (reader.signed(), reader.signed(), reader.signed());
        let resume_ages = [reader.signed(), reader.signed(), reader.signed(), reader.signed()];
        let mut hours = [0; 25];
        hours.iter_mut().for_each(|value| *value = u32::from_le_bytes(reader.take()));
        let mut days = [0; 31];
        days.iter_mut().for_each(|value| *value = u32::from_le_bytes(reader.take()));
        let [start_steps, below_floor_used, tai] = reader.take();
        let audit = (u64::from_le_bytes(reader.take()), reader.take());
        if below_floor_used > 1 || age < 0 || hour < 0 || day < 0 {
            return None;
        }
        Some(Self {
            sequence,
            boot_id,
            boot_time,
            age,
            start_opened,
            start_steps,
            below_floor_used: below_floor_used == 1,
            last_good,
            wall,
            base,
            centre,
            centre_age,
            commissioned_time,
            commissioned_sum,
            run_step_age,
            resume_ages,
            leap_at,
            hours,
            hour,
            days,
            day,
            tai,
            approved_used,
            audit,
        })
    }

    /// The newer valid one of two slots.
    pub fn newest(file: &[u8; 2 * SLOT]) -> Option<Self> {
        let (first, second) = file.split_at(SLOT);
        let slot = |octets: &[u8]| Self::from_octets(octets.try_into().ok()?);
        match (slot(first), slot(second)) {
            (Some(a), Some(b)) => Some(if a.sequence >= b.sequence { a } else { b }),
            (a, b) => a.or(b),
        }
    }

    /// The file offset of the slot for this record's sequence number, octets.
    pub fn position(&self) -> i64 {
        (self.sequence % 2) as i64 * SLOT as i64
    }
}

struct Cursor<'a> {
    slot: &'a mut [u8; SLOT],
    at: usize,
}

impl Cursor<'_> {
    fn put(&mut self, octets: &[u8]) {
        self.slot[self.at..self.at + octets.len()].copy_from_slice(octets);
        self.at += octets.len();
    }
}

struct Reader<'a> {
    slot: &'a [u8; SLOT],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut octets = [0; N];
        octets.copy_from_slice(&self.slot[self.at..self.at + N]);
        self.at += N;
        octets
    }

    fn signed(&mut self) -> i64 {
        i64::from_le_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let mut record = Record::born([7; 16], 5, WallTime::try_new(6).unwrap());
        record.sequence = 41;
        record.hours[24] = 9;
        record.days[30] = 8;
        record.audit = (77, [3; 32]);
        record.resume_ages = [1, 2, 3, 4];
        record
    }

    fn file(even: &Record, odd: &Record) -> [u8; 2 * SLOT] {
        let mut file = [0; 2 * SLOT];
        file[..SLOT].copy_from_slice(&even.to_octets());
        file[SLOT..].copy_from_slice(&odd.to_octets());
        file
    }

    #[test]
    fn a_record_round_trips() {
        assert_eq!(Record::from_octets(&record().to_octets()), Some(record()));
    }

    #[test]
    fn a165_the_newer_valid_slot_counts_and_any_torn_octet_voids_one() {
        let (old, new) = (Record { sequence: 40, ..record() }, record());
        assert_eq!(Record::newest(&file(&old, &new)), Some(new.clone()));
        for at in 0..SLOT {
            let mut torn = file(&old, &new);
            torn[SLOT + at] ^= 0x10;
            assert_eq!(Record::newest(&torn), Some(old.clone()), "octet {at}");
            torn[at] ^= 0x10;
            assert_eq!(Record::newest(&torn), None, "octet {at}");
        }
    }

    #[test]
    fn a175_a_record_of_another_version_is_not_read() {
        let mut slot = record().to_octets();
        slot[0] ^= 1;
        let check = Hash::hash(&slot[..CHECK]);
        slot[CHECK..].copy_from_slice(&check);
        assert_eq!(Record::from_octets(&slot), None);
    }
}
