//! Given hosts with anchors, when files of theirs are manipulated in random ways, then all that touches something older than the last
//! anchor is found; and of as many states that nobody touched, in power cuts too, nothing is reported.
//!
//! 500 of each here; all 10,000 of each by
//! `TRUECHIMER_MANIPULATIONS=10000 cargo test --release -p truechimer-proof manipulations -- --nocapture`.

use super::altered;
use super::by_root::rewrite;
use crate::testing::{Disk, Host, keys};
use crate::{Key, Log, Report, verify};
use history::testing::Writer;
use ipc::anchor::{Anchor, SLOT};
use ipc::audit_line::{End, LINE, ORDERS, Ring, STEPS, finish};
use ipc::history::{RECORD, Record};

/// Octets that a disk writes at once.
const SECTOR: usize = 512;

fn count() -> u64 {
    std::env::var("TRUECHIMER_MANIPULATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(500)
}

/// Random numbers that are the same in each run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below.max(1)
    }

    pub(super) fn within(&mut self, from: u64, until: u64) -> u64 {
        from + self.below(until - from)
    }
}

/// A host at its last anchor, and as it was some hours before.
pub(super) struct Case {
    pub(super) now: Disk,
    before: Disk,
    /// Where both logs ended when the last anchor was made.
    pub(super) anchored: (End, End),
    pub(super) first_line: u64,
    pub(super) first_record: u64,
    anchors: u64,
    /// When it was last let alone, nanoseconds since 1970.
    pub(super) ended: i64,
}

pub(super) fn cases() -> Vec<Case> {
    let case = |seed: u64| {
        let mut host = Host::new(if seed == 2 { 1 } else { 3 }, 32, seed);
        if seed == 3 {
            host.fill(10_100);
        }
        let mut before = None;
        let mut anchors = 0;
        for hour in 0..20 + seed * 5 {
            host.hour();
            host.anchor();
            anchors += 1;
            host.keep_anchors();
            if hour == 12 {
                before = Some(host.disk());
            }
            if hour == 15 {
                host.cut_power();
                host.restart();
            }
        }
        host.write_step("event=permitted asked=step why=Run delta_ns=4711 any_size=false by_leave=false");
        host.persist();
        host.anchor();
        anchors += 1;
        let anchored = host.ends();
        host.hour();
        host.persist();
        let now = host.disk();
        let (log, history) = (Log::read(&now.log, ORDERS), history::History::read(&now.history));
        let first_record = history.survey().first.expect("it has records").0;
        let first_line = log.lines.first().expect("it has lines").sequence;
        // The oldest of a full ring may be mixed with newer ones in a power cut: what is done to them is told as one.
        let first_line = first_line + if first_line > 0 { crate::judged::MIXED } else { 0 };
        let (before, ended) = (before.expect("there was one"), host.history_now());
        Case { now, before, anchored, first_line, first_record, anchors, ended }
    };
    (1..=4).map(case).collect()
}

fn line_at(ring: Ring, number: u64) -> std::ops::Range<usize> {
    let at = ring.place(number) as usize;
    at..at + LINE
}

/// All lines from this one on with a chain computed anew, after a digit of this one is another one.
pub(super) fn rechain_log(
    octets: &mut [u8],
    ring: Ring,
    number: u64,
    heads: Option<&dyn Fn(u64) -> [u8; 32]>,
) {
    let log = octets.to_vec();
    let log = Log::read(&log, ring);
    let mut before =
        number.checked_sub(1).and_then(|before| log.line(before)).map_or([0; 32], |line| line.hash);
    for line in log.lines.iter().filter(|line| line.sequence >= number) {
        let mut new = [b' '; LINE];
        new[..line.text.len()].copy_from_slice(line.text);
        if line.sequence == number {
            let digit = new.iter().rposition(|octet| octet.is_ascii_digit()).expect("a number");
            new[digit] = if new[digit] == b'7' { b'8' } else { b'7' };
        }
        let head = crate::words::head(line.text).filter(|_| heads.is_some());
        if let Some((head, hash_of)) = head.zip(heads) {
            let digits = ipc::text::Hex(&hash_of(head.lines)).to_string();
            let at = new.windows(5).position(|window| window == b"hash=").expect("it has one") + 5;
            new[at..at + 64].copy_from_slice(digits.as_bytes());
        }
        before = finish(&mut new, &before);
        octets[line_at(ring, line.sequence)].copy_from_slice(&new);
    }
}

/// The same of a history.
pub(super) fn rechain_history(octets: &mut [u8], number: u64, end: u64) {
    let room = (octets.len() / RECORD) as u64;
    let place = |number: u64| {
        let at = (number % room) as usize * RECORD;
        at..at + RECORD
    };
    let mut before = match number {
        0 => [0; 32],
        _ => octets[place(number - 1)][ipc::history::BODY..].try_into().expect("a hash"),
    };
    for sequence in number..end {
        let (mut record, _) =
            Record::decode(octets[place(sequence)].first_chunk().expect("a record")).expect("it is one");
        if sequence == number {
            record.wall = record.wall.after(ipc::units::Span::from_secs(1));
        }
        let (new, hash) = record.encode(&before);
        octets[place(sequence)].copy_from_slice(&new);
        before = hash;
    }
}

/// Does something to the files, and says what.
fn manipulate(case: &Case, random: &mut Random) -> (Disk, String) {
    let mut disk = case.now.clone();
    let (lines, records) = (case.anchored.0.lines, case.anchored.1.lines);
    let line = random.within(case.first_line, lines);
    let record = random.within(case.first_record, records);
    let room = (disk.history.len() / RECORD) as u64;
    let place = |number: u64| {
        let at = (number % room) as usize * RECORD;
        at..at + RECORD
    };
    let log_end = |disk: &Disk| Log::read(&disk.log, ORDERS).numbers().end;
    let history_end = |disk: &Disk| history::History::read(&disk.history).end().lines;
    let anchor = random.within(case.anchors.saturating_sub(31), case.anchors - 1);
    let slot = (anchor % 32) as usize * SLOT;
    let said = match random.below(24) {
        0 => {
            let at = line_at(ORDERS, line).start + random.below(LINE as u64) as usize;
            disk.log[at] ^= 1 << random.below(7);
            format!("an octet of line {line}")
        }
        1 => {
            let until = random.within(line + 1, lines + 1).min(line + 40);
            (line..until).for_each(|line| disk.log[line_at(ORDERS, line)].fill(0));
            format!("lines {line} to {until} zeroed")
        }
        2 => {
            let end = log_end(&disk);
            (line..end).for_each(|line| disk.log[line_at(ORDERS, line)].fill(0));
            format!("the log cut off from {line} on")
        }
        3 => {
            let other = random.within(case.first_line, lines);
            let other =
                if other == line { if line > case.first_line { line - 1 } else { line + 1 } } else { other };
            let kept = disk.log[line_at(ORDERS, line)].to_vec();
            disk.log.copy_within(line_at(ORDERS, other), line_at(ORDERS, line).start);
            disk.log[line_at(ORDERS, other)].copy_from_slice(&kept);
            format!("lines {line} and {other} swapped")
        }
        4 => {
            rechain_log(&mut disk.log, ORDERS, line, None);
            format!("the log computed anew from {line} on")
        }
        5 => {
            disk.log.clone_from(&case.before.log);
            "an older log".to_owned()
        }
        6 => {
            let length = disk.log.len() - 1 - random.below(disk.log.len() as u64 / 2) as usize;
            disk.log.truncate(length);
            format!("the file of the log cut to {length}")
        }
        7 => {
            let at = place(record).start + random.below(RECORD as u64) as usize;
            disk.history[at] ^= 1 << random.below(8);
            format!("an octet of record {record}")
        }
        8 => {
            let until = random.within(record + 1, records + 1).min(record + 300);
            (record..until).for_each(|record| disk.history[place(record)].fill(0));
            format!("records {record} to {until} zeroed")
        }
        9 => {
            let end = history_end(&disk);
            (record..end).for_each(|record| disk.history[place(record)].fill(0));
            format!("the history cut off from {record} on")
        }
        10 => {
            let other = random.within(case.first_record, records);
            let other = if other == record {
                if record > case.first_record { record - 1 } else { record + 1 }
            } else {
                other
            };
            let kept = disk.history[place(record)].to_vec();
            disk.history.copy_within(place(other), place(record).start);
            disk.history[place(other)].copy_from_slice(&kept);
            format!("records {record} and {other} swapped")
        }
        11 => {
            let end = history_end(&disk);
            rechain_history(&mut disk.history, record, end);
            format!("the history computed anew from {record} on")
        }
        12 => {
            disk.history.clone_from(&case.before.history);
            "an older history".to_owned()
        }
        13 => {
            // All that a host can compute: the history, the lines that name its hashes, and the log behind them.
            let end = history_end(&disk);
            rechain_history(&mut disk.history, record, end);
            let history = disk.history.clone();
            let hash_of = |lines: u64| -> [u8; 32] {
                let at = ((lines - 1) % room) as usize * RECORD;
                history[at + ipc::history::BODY..at + RECORD].try_into().expect("a hash")
            };
            rechain_log(&mut disk.log, ORDERS, line, Some(&hash_of));
            disk.governor.fill(0);
            format!(
                "history from {record} on, log from {line} on, both computed anew, and no governor's record"
            )
        }
        14 => {
            let at = slot + random.below(4_088) as usize;
            disk.anchors[at] ^= 1 << random.below(8);
            format!("an octet of anchor {anchor}")
        }
        15 => {
            disk.anchors[slot..slot + SLOT].fill(0);
            format!("anchor {anchor} zeroed")
        }
        16 => {
            // With its checksum: another random number, other ends, another answer; signatures cannot be made.
            let octets: &[u8; SLOT] = disk.anchors[slot..].first_chunk().expect("a slot");
            let mut changed = Anchor::decode(octets).expect("an anchor");
            match random.below(4) {
                0 => changed.random[random.below(32) as usize] ^= 1,
                1 => changed.audit.lines -= 1,
                2 => changed.history.hash[random.below(32) as usize] ^= 1,
                _ => {
                    let response = &mut changed.exchanges[0].response;
                    let at = random.below(response.len() as u64) as usize;
                    response[at] ^= 1 << random.below(8);
                }
            }
            disk.anchors[slot..slot + SLOT].copy_from_slice(&changed.encode().expect("it finds room"));
            format!("anchor {anchor} with another content under a right checksum")
        }
        17 => {
            // As a power cut does it, but of what was on the disk.
            let from = Log::read(&case.before.log, ORDERS).numbers().end;
            let sector = |line: u64| ORDERS.place(line) as usize / SECTOR;
            let first = sector(random.within(from + 1, lines - 1));
            let last = sector(lines - 2).max(first);
            let until = (first + 1 + random.below(6) as usize).min(last + 1);
            let octets = first * SECTOR..until * SECTOR;
            disk.log[octets.clone()].copy_from_slice(&case.before.log[octets]);
            format!("sectors {first} to {until} of the log put back")
        }
        18 => {
            let from = history::History::read(&case.before.history).end().lines;
            let until = random.within(from + 4, records) / 4 * 4;
            let first = until.saturating_sub(4 * (1 + random.below(20))).max(from);
            for record in first..until {
                let old = case.before.history.get(place(record)).map(<[u8]>::to_vec);
                disk.history[place(record)].copy_from_slice(&old.unwrap_or_else(|| vec![0; RECORD]));
            }
            format!("records {first} to {until} put back to what was there before, in whole sectors")
        }
        19 => {
            let most = (disk.history.len() / RECORD) as u64;
            let kept = random.below(most.min(records));
            disk.history.truncate(kept as usize * RECORD);
            format!("the file of the history cut to {kept} records")
        }
        20 => {
            let (first, said) = manipulate(case, random);
            let (second, other) = manipulate(case, random);
            disk = first;
            // Of each file, what was done to it last.
            if second.log != case.now.log {
                disk.log = second.log;
            }
            if second.history != case.now.history {
                disk.history = second.history;
            }
            if second.anchors != case.now.anchors {
                disk.anchors = second.anchors;
            }
            format!("{said}, and {other}")
        }
        21 => {
            // The last step came before the last anchor.
            let last = Log::read(&disk.log, STEPS).numbers().end - 1;
            let step = random.within(last.saturating_sub(3), last + 1);
            rechain_log(&mut disk.log, STEPS, step, None);
            disk.governor.fill(0);
            format!("the ring of steps computed anew from {step} on, and no governor's record")
        }
        _ => return rewrite(case, random),
    };
    (disk, said)
}

fn judge(disk: &Disk, keys: &[Key]) -> Report {
    verify(&disk.files(keys))
}

#[test]
fn a140_all_manipulations_of_what_is_older_than_the_last_anchor_are_found() {
    let (cases, keys) = (cases(), keys());
    let clean: Vec<Report> = cases.iter().map(|case| judge(&case.now, &keys)).collect();
    for (case, clean) in cases.iter().zip(&clean) {
        assert_eq!(altered(clean), Vec::<String>::new());
        let claim = clean.proven().expect("an anchor");
        assert_eq!((claim.log, claim.history), case.anchored);
    }
    let mut random = Random(0x5eed_0001);
    let mut missed = Vec::new();
    for number in 0..count() {
        let at = random.below(cases.len() as u64) as usize;
        let (disk, said) = manipulate(&cases[at], &mut random);
        let report = judge(&disk, &keys);
        if altered(&report).is_empty() {
            missed.push(format!("{number}, host {at}: {said}: {:?}", report.findings));
        }
    }
    eprintln!("{} manipulations, {} missed", count(), missed.len());
    assert!(missed.is_empty(), "{} of {}:\n{}", missed.len(), count(), missed.join("\n"));
}

#[test]
fn a140_of_as_many_states_that_nobody_touched_none_is_reported() {
    let keys = keys();
    let (mut states, mut cuts, mut told) = (0, 0, 0);
    let mut seed = 100;
    while states < count() {
        seed += 1;
        let mut host = Host::new(1, 64, seed);
        if seed % 7 == 0 {
            host.fill(10_180);
        }
        for hour in 0..40 {
            host.hour();
            if host.random(4) > 0 {
                host.anchor();
            }
            host.keep_anchors();
            host.orders();
            let is_cut = host.random(5) == 0;
            if is_cut {
                match host.random(3) {
                    0 => host.anchor(),
                    1 => host.unnoted_hour(),
                    _ => {}
                }
                host.cut_power();
                cuts += 1;
            }
            let report = judge(&host.disk(), &keys);
            assert_eq!(
                altered(&report),
                Vec::<String>::new(),
                "seed {seed}, hour {hour}, power cut: {is_cut}"
            );
            states += 1;
            if is_cut {
                told += usize::from(!report.findings.is_empty());
                host.restart();
                let report = judge(&host.disk(), &keys);
                assert_eq!(
                    altered(&report),
                    Vec::<String>::new(),
                    "seed {seed}, hour {hour}, after a power cut"
                );
                states += 1;
            }
        }
    }
    eprintln!("{states} states, {cuts} power cuts, {told} of them seen before the next start");
    assert!(told * 2 > cuts, "{told} of {cuts}");
}

/// What the test's own writer makes is what the library reads.
#[test]
fn a_history_that_is_computed_anew_is_in_order_by_itself() {
    let writer = Writer::simulated(2, 1, 9);
    let mut octets = writer.octets().to_vec();
    let end = writer.end();
    rechain_history(&mut octets, end.lines - 700, end.lines);
    let history = history::History::read(&octets);
    assert_eq!(history.survey().findings, []);
    assert!(history.end().lines == end.lines && history.end().hash != end.hash);
}
