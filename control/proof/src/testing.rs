//! A host for tests: it writes audit log, governor's record, history and anchors as the daemon does, with real signatures of
//! servers of its own, loses power and begins again.

use crate::anchors::Key;
use crate::verify::Files;
use crate::words::found;
use history::testing::Writer;
use ipc::anchor::{Anchor, Exchange, FORM, SLOT, place};
use ipc::audit_line::{End, LENGTH, LINE, ORDERS, Ring, STEPS, TEXT, chain, finish, parse};
use ipc::calendar::Rfc3339;
use ipc::governor_record::{self, Record};
use ipc::text::Hex;
use ipc::units::{BootInstant, WallTime};
use roughtime::double::{Answer, Server};
use roughtime::{Signed, Version, first_nonce, next_nonce};

/// Octets that a disk writes at once.
const SECTOR: usize = 512;
const MINUTE: i64 = 60_000_000_000;

/// Octets of the files of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The audit log.
    pub log: Vec<u8>,
    /// The governor's record.
    pub governor: Vec<u8>,
    /// The history.
    pub history: Vec<u8>,
    /// The anchors.
    pub anchors: Vec<u8>,
}

impl Disk {
    /// All of them, with these keys.
    pub fn files<'a>(&'a self, keys: &'a [Key]) -> Files<'a> {
        Files {
            governor: Some(&self.governor),
            anchors: Some(&self.anchors),
            log: &self.log,
            history: Some(&self.history),
            keys: Some(keys),
        }
    }
}

/// An audit log in which so many lines were written, as text: with nothing of what the daemon writes them by.
pub fn ring(count: u64) -> Vec<u8> {
    let mut octets = vec![0; LENGTH as usize];
    let mut before = [0; 32];
    for sequence in 0..count {
        let text = format!(
            "{:<313}",
            format!(
                "sequence={sequence} at=2026-11-24T19:30:01.123456789Z raw={sequence} event=adjust asked=5"
            )
        );
        before = chain(&before, text.as_bytes());
        let line = format!("{text} hash={}\n", Hex(&before));
        let place = ORDERS.place(sequence) as usize;
        octets[place..place + LINE].copy_from_slice(line.as_bytes());
    }
    octets
}

/// See the module's head.
#[derive(Debug)]
pub struct Host {
    log: Vec<u8>,
    orders: End,
    steps: End,
    record: Record,
    governor: Vec<u8>,
    history: Writer,
    anchors: Vec<u8>,
    /// For so many anchors the file grows; then it is a ring.
    slots: u64,
    next_anchor: u64,
    /// What was on the disk for certain at the last synchronisation.
    synced: Disk,
    synced_records: u64,
}

/// Keys of the servers that sign.
pub fn keys() -> Vec<Key> {
    let key = |seed: u8| Key { name: format!("server-{seed}"), public_key: Server::new(seed).public_key() };
    (1..=3).map(key).collect()
}

impl Host {
    /// A host whose first run begins, with room for a history of `days` and anchors in `slots`.
    pub fn new(days: u64, slots: u64, seed: u64) -> Self {
        let log = vec![0; LENGTH as usize];
        let governor = vec![0; governor_record::LENGTH as usize];
        let mut history = Writer::new(days * ipc::history::OF_A_DAY, seed);
        history.start(0);
        let anchors = Vec::new();
        let synced = Disk {
            log: log.clone(),
            governor: governor.clone(),
            history: history.octets().to_vec(),
            anchors: anchors.clone(),
        };
        let record = Record::born([1; 16], BootInstant::MIN);
        let synced_records = history.end().lines;
        let (orders, steps) = (End::NONE, End::NONE);
        let mut host = Self {
            log,
            orders,
            steps,
            record,
            governor,
            history,
            anchors,
            slots,
            next_anchor: 0,
            synced,
            synced_records,
        };
        host.write("event=start version=0.1.0 record=first-start log=whole");
        host.persist();
        host
    }

    /// The files as they are now, of a host that runs or has ended.
    pub fn disk(&self) -> Disk {
        Disk {
            log: self.log.clone(),
            governor: self.governor.clone(),
            history: self.history.octets().to_vec(),
            anchors: self.anchors.clone(),
        }
    }

    /// Where audit log and history end.
    pub const fn ends(&self) -> (End, End) {
        (self.orders, self.history.end())
    }

    /// A number below `below`.
    pub fn random(&mut self, below: u64) -> u64 {
        self.history.random(below)
    }

    fn append(log: &mut [u8], ring: Ring, end: &mut End, (wall, raw): (i64, i64), words: &str) {
        let mut line = [b' '; LINE];
        let at = Rfc3339(WallTime::saturating(wall));
        let text = format!("sequence={} at={at} raw={raw} {words}", end.lines);
        let length = text.len().min(TEXT);
        line[..length].copy_from_slice(&text.as_bytes()[..length]);
        let hash = finish(&mut line, &end.hash);
        let place = ring.place(end.lines) as usize;
        log[place..place + LINE].copy_from_slice(&line);
        *end = End { lines: end.lines + 1, hash };
    }

    /// Writes a line into the audit log.
    pub fn write(&mut self, words: &str) {
        Self::append(&mut self.log, ORDERS, &mut self.orders, self.history.now(), words);
    }

    /// Writes the line of a step, which is synchronised.
    pub fn write_step(&mut self, words: &str) {
        Self::append(&mut self.log, STEPS, &mut self.steps, self.history.now(), words);
        self.write(words);
        self.synced.log.copy_from_slice(&self.log);
    }

    /// Synchronises the log, and writes the governor's record.
    pub fn persist(&mut self) {
        self.synced.log.copy_from_slice(&self.log);
        self.record.sequence += 1;
        self.record.lines.is_open = true;
        (self.record.audit, self.record.audit_steps) = (self.orders, self.steps);
        let place = self.record.place() as usize;
        self.governor[place..place + governor_record::SLOT].copy_from_slice(&self.record.to_octets());
        self.synced.governor.copy_from_slice(&self.governor);
    }

    /// A part of an hour: orders, now and then a step, and records of the governor.
    pub fn orders(&mut self) {
        for _ in 0..self.random(8) {
            let slew = self.random(1_000_000);
            self.history.pass(1_000_000_000);
            match self.random(20) {
                0 => self.write_step(&format!(
                    "event=permitted asked=step why=Start delta_ns={slew} any_size=false by_leave=false"
                )),
                1..5 => self.persist(),
                _ => self.write(&format!("event=applied asked=adjust frequency={slew} slew_ns=-{slew}")),
            }
        }
    }

    /// The history of an hour, and its end in the log.
    pub fn hour(&mut self) {
        self.orders();
        self.history.hour();
        self.note();
        self.orders();
    }

    /// The history of an hour, which is not synchronised.
    pub fn unnoted_hour(&mut self) {
        self.history.hour();
    }

    /// The history is synchronised, then its end is written into the log, and that is synchronised.
    pub fn note(&mut self) {
        self.synced.history = self.history.octets().to_vec();
        let End { lines, hash } = self.history.end();
        self.synced_records = lines;
        self.write(&format!("event=history records={lines} hash={}", Hex(&hash)));
        self.synced.log.copy_from_slice(&self.log);
    }

    /// A round of Roughtime about both ends, with answers of two or three servers.
    pub fn anchor(&mut self) {
        self.note();
        let (wall, _) = self.history.now();
        let mut random = [0; 32];
        random[..8].copy_from_slice(&self.random(u64::MAX).to_le_bytes());
        let count = 2 + self.random(2);
        let first = self.random(3);
        let anchor = sign(self.next_anchor, self.orders, self.history.end(), wall, random, (first, count));
        let at = place(self.next_anchor, self.slots) as usize;
        self.anchors.resize(self.anchors.len().max(at + SLOT), 0);
        self.anchors[at..at + SLOT].copy_from_slice(&anchor.encode().expect("it finds room"));
        self.next_anchor += 1;
    }

    /// Its anchors are on the disk.
    pub fn keep_anchors(&mut self) {
        self.synced.anchors.clone_from(&self.anchors);
    }

    /// The power fails: of the sectors that were written since they were synchronised, some are on the disk.
    pub fn cut_power(&mut self) {
        let log = self.torn(&self.synced.log.clone(), &self.log.clone());
        let anchors = self.torn(&self.synced.anchors.clone(), &self.anchors.clone());
        (self.log, self.anchors) = (log, anchors);
        self.governor.copy_from_slice(&self.synced.governor);
        let before = self.synced.history.clone();
        self.history.cut_power(&before, self.synced_records);
    }

    fn torn(&mut self, before: &[u8], after: &[u8]) -> Vec<u8> {
        let mut octets = after.to_vec();
        for (at, sector) in octets.chunks_mut(SECTOR).enumerate() {
            let old = |octet: usize| before.get(at * SECTOR + octet).copied().unwrap_or(0);
            let is_written = sector.iter().enumerate().any(|(octet, new)| *new != old(octet));
            if is_written && self.random(2) == 0 {
                for (octet, new) in sector.iter_mut().enumerate() {
                    *new = old(octet);
                }
            }
        }
        octets
    }

    /// It begins again: the log goes on behind the last line that follows from the governor's record, and what stands behind that is
    /// cleared; the history and the anchors go on behind their last whole record.
    pub fn restart(&mut self) {
        self.record = Record::newest(&governor_record::PLACES.map(|place| {
            let place = place as usize;
            self.governor[place..].first_chunk().copied().expect("a slot")
        }))
        .expect("one of two slots is whole");
        let (orders, lost) = Self::resume(&mut self.log, ORDERS, self.record.audit);
        let (steps, lost_steps) = Self::resume(&mut self.log, STEPS, self.record.audit_steps);
        (self.orders, self.steps) = (orders, steps);
        self.history.recover();
        // The number of one that was torn is not given again, if it can be read.
        let numbers = self.anchors.chunks_exact(SLOT).filter_map(|slot| {
            let number: [u8; 8] = *slot.strip_prefix(&FORM)?.first_chunk()?;
            Some(u64::from_le_bytes(number) + 1)
        });
        self.next_anchor = numbers.max().unwrap_or(0);
        let word = if lost || lost_steps { "torn" } else { "whole" };
        self.write(&format!("event=start version=0.1.0 record=resumed log={word}"));
        self.persist();
        self.synced = self.disk();
        self.synced_records = self.history.end().lines;
    }

    fn resume(log: &mut [u8], ring: Ring, known: End) -> (End, bool) {
        let line = |log: &[u8], number: u64| -> [u8; LINE] {
            let place = ring.place(number) as usize;
            log[place..place + LINE].try_into().expect("a line")
        };
        let mut end = known;
        loop {
            let next = line(log, end.lines);
            match parse(&next) {
                Some((number, hash)) if number == end.lines && chain(&end.hash, &next[..TEXT]) == hash => {
                    end = End { lines: number + 1, hash };
                }
                _ => break,
            }
        }
        let reach = (known.lines + 2_048.min(ring.lines - 1)).saturating_sub(end.lines);
        let is_unfinished = |ahead: &u64| {
            let octets = line(log, end.lines + ahead);
            let is_old = parse(&octets).is_some_and(|(number, _)| number + ring.lines == end.lines + ahead);
            octets.iter().any(|octet| *octet != 0) && !is_old
        };
        let last = (0..reach).rev().find(is_unfinished);
        for ahead in 0..last.map_or(0, |last| last + 1) {
            let place = ring.place(end.lines + ahead) as usize;
            log[place..place + LINE].fill(0);
        }
        (end, last.is_some())
    }

    /// So many lines at once, which are synchronised: for a ring that is full.
    pub fn fill(&mut self, lines: u64) {
        for _ in 0..lines {
            self.write("event=applied asked=adjust frequency=1 slew_ns=1");
        }
        self.persist();
    }

    /// What the last line that says how the log was found has said.
    pub fn last_start(&self) -> Option<ipc::message::handover::LogIntegrity> {
        let log = crate::Log::read(&self.log, ORDERS);
        log.lines.iter().rev().find_map(|line| found(line.text))
    }

    /// What the steered clock shows, in ns since 1970.
    pub const fn history_now(&self) -> i64 {
        self.history.now().0
    }

    /// Lets time pass.
    pub fn pass_minutes(&mut self, minutes: i64) {
        self.history.pass(minutes * MINUTE);
    }
}

/// An anchor of these ends, signed at this time by `count` servers from the one with this number on.
pub fn sign(
    sequence: u64,
    audit: End,
    history: End,
    wall: i64,
    random: [u8; 32],
    (first, count): (u64, u64),
) -> Anchor {
    let at = |turn: u64| u64::try_from(wall / 1_000_000_000).unwrap_or(0) + turn;
    let answers: Vec<(u64, u64)> = (0..count).map(|turn| ((first + turn) % 3, at(turn))).collect();
    sign_each(sequence, (audit, history), wall, random, &answers)
}

/// An anchor of these ends, with answers of these servers, from 0, that say that it is this Unix second.
pub fn sign_each(
    sequence: u64,
    (audit, history): (End, End),
    wall: i64,
    random: [u8; 32],
    answers: &[(u64, u64)],
) -> Anchor {
    let mut anchor =
        Anchor { sequence, wall: WallTime::saturating(wall), audit, history, random, exchanges: Vec::new() };
    let (mut nonce, mut rand) = (first_nonce(&anchor.commitment()), [0; 32]);
    for (turn, (number, midpoint)) in (1..).zip(answers) {
        let server = Server::new(1 + *number as u8);
        let signed = Signed { midpoint: *midpoint, radius: 3 };
        let response = server.answer(&nonce, &Answer::of(signed, Version::One));
        let next = [turn; 32];
        nonce = next_nonce(&response, &next);
        let public_key = server.public_key();
        anchor.exchanges.push(Exchange { public_key, rand, version: Version::One.number(), response });
        rand = next;
    }
    anchor
}
