//! Histories for tests: written record by record as the engine does it, simulated days of one, and what a power cut leaves.

use ipc::history::{End, Minute, OF_A_DAY, PART, RECORD, Record, Run, Said, Source};
use ipc::units::{Frequency, RawInstant, WallTime};

/// 2026-11-30T00:00:00Z in ns, with which simulated days begin.
pub const BEGIN: i64 = 1_795_996_800_000_000_000;

const MINUTE: i64 = 60_000_000_000;

/// A history that grows in memory.
#[derive(Clone, Debug)]
pub struct Writer {
    octets: Vec<u8>,
    /// For so many records the file grows; then it is a ring.
    room: u64,
    end: End,
    wall: i64,
    raw: i64,
    seed: u64,
}

impl Writer {
    /// With room for so many records, before any of them; random things follow from the seed.
    pub fn new(room: u64, seed: u64) -> Self {
        Self { octets: Vec::new(), room, end: End::NONE, wall: BEGIN, raw: 0, seed: seed | 1 }
    }

    /// So many days with room for `room` days: starts, sources that come and go, steps, hours without synchronisation.
    pub fn simulated(days: u64, room: u64, seed: u64) -> Self {
        let mut writer = Self::new(room * OF_A_DAY, seed);
        writer.start(0);
        for _ in 0..days * 24 {
            writer.hour();
        }
        writer
    }

    /// The file.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Its octets, to be altered.
    pub fn octets_mut(&mut self) -> &mut [u8] {
        &mut self.octets
    }

    /// Where it ends.
    pub const fn end(&self) -> End {
        self.end
    }

    /// The time of the last record in ns: of the steered clock, and of the raw one.
    pub const fn now(&self) -> (i64, i64) {
        (self.wall, self.raw)
    }

    /// A number below `below`.
    pub fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) % below.max(1)
    }

    /// Lets time pass.
    pub fn pass(&mut self, nanos: i64) {
        self.wall += nanos;
        self.raw += nanos;
    }

    /// Moves the steered clock alone.
    pub fn step(&mut self, nanos: i64) {
        self.wall += nanos;
    }

    /// Writes a record now.
    pub fn append(&mut self, said: Said) {
        let record = Record {
            sequence: self.end.lines,
            wall: WallTime::saturating(self.wall),
            raw: RawInstant::saturating(self.raw),
            said,
        };
        let (octets, hash) = record.encode(&self.end.hash);
        let place = self.place(self.end.lines);
        self.octets.resize(self.octets.len().max(place + RECORD), 0);
        self.octets[place..place + RECORD].copy_from_slice(&octets);
        self.end = End { lines: self.end.lines + 1, hash };
    }

    fn place(&self, sequence: u64) -> usize {
        usize::try_from(sequence % self.room).expect("it is in memory") * RECORD
    }

    /// The engine begins in a new boot and has two sources, of which the second is authenticated and has a name of two parts.
    pub fn start(&mut self, torn: u8) {
        self.raw = 5_000_000_000;
        let mut boot = [0; 16];
        boot[..8].copy_from_slice(&self.seed.to_le_bytes());
        let version = "0.1.0".into();
        self.append(Said::Run(Run { configuration: [7; 32], boot, version, torn }));
        self.source(0, false, "192.0.2.1");
        self.source(1, true, &long_name(1));
    }

    /// This number is this source's.
    pub fn source(&mut self, number: u8, authenticated: bool, name: &str) {
        let parts: Vec<&[u8]> = name.as_bytes().chunks(PART).collect();
        for (part, text) in parts.iter().enumerate() {
            let text = String::from_utf8_lossy(text).into_owned();
            let (part, parts) = (part as u8, parts.len() as u8);
            self.append(Said::Source(Source { number, authenticated, part, parts, text }));
        }
    }

    /// A minute of an ordinary clock.
    pub fn minute(&mut self) -> Minute {
        let around = |writer: &mut Self, most: u64| writer.random(2 * most + 1) as i64 - most as i64;
        let (one, other) = (around(self, 80_000), around(self, 80_000));
        Minute {
            length_ms: 60_000,
            synchronised: true,
            authenticated: true,
            offset: Some((one.min(other), one.max(other))),
            bound: Some(1_500_000 + self.random(900_000)),
            likely: Some(900_000 + self.random(400_000)),
            frequency: Some(Frequency::saturating(around(self, 90_000) as i32)),
            used_at_least: 2,
            authenticated_at_least: 1,
            stratum: 2,
            used: 0b11,
            used_authenticated: 0b10,
            ..Minute::default()
        }
    }

    /// An hour: sixty minutes, now and then with something that happens.
    pub fn hour(&mut self) {
        let (what, when) = (self.random(24), self.random(60));
        for minute in 0..60 {
            self.pass(MINUTE);
            let mut said = self.minute();
            match what {
                0 if minute == when => {
                    (said.stepped, said.steps) = (true, 250_000_000);
                    self.wall += 250_000_000;
                }
                1 if minute >= when => {
                    (said.synchronised, said.bound, said.likely, said.offset) = (false, None, None, None);
                    (said.used, said.used_authenticated, said.stratum) = (0, 0, 16);
                    (said.used_at_least, said.authenticated_at_least) = (0, 0);
                }
                2 if minute == when => {
                    let name = format!("192.0.2.{}", self.random(200) + 2);
                    self.source(0, false, &name);
                }
                3 if minute == when => said.falsetickers = 1,
                4 if minute == when => {
                    self.append(Said::Ended);
                    self.pass(5 * MINUTE);
                    self.start(0);
                    (said.gap, said.length_ms) = (true, 1);
                }
                _ => {}
            }
            self.append(Said::Minute(said));
        }
    }

    /// What a power cut leaves of a history of which `synced` records were synchronised: of the sectors that were written
    /// since, some reached the disk and the others are as they were in `before`, the file at that time. Where it has grown, these are
    /// zero, or not there at the end.
    pub fn cut_power(&mut self, before: &[u8], synced: u64) {
        const SECTOR: usize = 512;
        for sequence in synced..self.end.lines {
            let sector = self.place(sequence) / SECTOR * SECTOR;
            let is_first = sequence == synced || self.place(sequence).is_multiple_of(SECTOR);
            if is_first && self.random(3) == 0 {
                let until = (sector + SECTOR).min(self.octets.len());
                for at in sector..until {
                    self.octets[at] = before.get(at).copied().unwrap_or(0);
                }
            }
        }
        let grown = self.octets.len().saturating_sub(before.len()) / RECORD;
        // Before its first place is written again, the engine synchronises its length.
        if self.end.lines <= self.room && self.random(2) == 0 {
            let lost = self.random(grown as u64 + 1) as usize;
            self.octets.truncate(self.octets.len() - lost * RECORD);
        }
    }

    /// The engine begins again after that: throws away what does not follow from the record before it, and goes on behind.
    pub fn recover(&mut self) {
        let end = crate::History::read(&self.octets).end();
        let thrown = self.end.lines.saturating_sub(end.lines);
        for sequence in end.lines..self.end.lines {
            let place = self.place(sequence);
            if let Some(octets) = self.octets.get_mut(place..place + RECORD) {
                octets.fill(0);
            }
        }
        self.end = end;
        self.pass(10 * MINUTE);
        self.start(thrown.min(255) as u8);
    }
}

/// A name that takes two records.
pub fn long_name(number: u8) -> String {
    format!("a-server-with-a-rather-long-name-{number}.of-an-institute-with-a-long-one.example.org")
}
