use super::ring::find_end;
use super::*;
use ipc::history::{Minute, OF_A_DAY, RECORD, Record, chain};
use ipc::units::WallTime;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::os::unix::fs::FileExt;

const IDENTITY: Identity<'static> = Identity { boot: [7; 16], version: "0.1.0", configuration: [1; 32] };

fn file() -> File {
    memfd_create("history", MFdFlags::MFD_CLOEXEC).unwrap().into()
}

fn now(second: i64) -> Now {
    let nanos = second * 1_000_000_000;
    Now { raw: RawInstant::saturating(nanos), wall: WallTime::saturating(1_800_000_000_000_000_000 + nanos) }
}

fn begin(file: &File, days: u16) -> History {
    let file = file.try_clone().unwrap();
    let length = file.metadata().unwrap().len();
    let mut history = History::new(Given { file, length }, days, now(0), (IDENTITY, None));
    assert_eq!(history.write([]), None);
    history
}

fn minutes(count: i64) -> impl Iterator<Item = Lasting> {
    (1..=count)
        .map(|minute| Lasting::Minute(now(minute * 60), Minute { length_ms: 60_000, ..Minute::default() }))
}

fn octets(file: &File) -> Vec<u8> {
    let mut octets = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut octets, 0).unwrap();
    octets
}

/// All records in order of their numbers, each of which follows from the one before it.
fn records(file: &File) -> Vec<Record> {
    let octets = octets(file);
    let mut all: Vec<_> = octets
        .chunks_exact(RECORD)
        .filter(|octets| octets.iter().any(|octet| *octet != 0))
        .map(|octets| {
            let octets: [u8; RECORD] = octets.try_into().unwrap();
            let (record, hash) = Record::decode(&octets).expect("a record");
            (record, octets, hash)
        })
        .collect();
    all.sort_by_key(|(record, ..)| record.sequence);
    for pair in all.windows(2) {
        let [(before, _, hash), (after, octets, own)] = pair else { continue };
        assert_eq!(after.sequence, before.sequence + 1);
        assert_eq!(chain(hash, &octets[..BODY]), *own, "record {}", after.sequence);
    }
    all.into_iter().map(|(record, ..)| record).collect()
}

fn torn(record: &Record) -> Option<u8> {
    match &record.said {
        Said::Run(run) => Some(run.torn),
        _ => None,
    }
}

#[test]
fn runs_go_on_where_the_one_before_ended_and_say_what_they_are() {
    let file = file();
    let mut history = begin(&file, 1);
    let name = "x".repeat(PART) + "\u{e9}yz";
    let numbered = Lasting::Numbered { at: now(1), number: 3, name, authenticated: true };
    assert_eq!(history.write(minutes(2).chain([numbered])), None);
    assert_eq!(history.configure(now(130), [1; 32]), None);
    assert_eq!(history.configure(now(131), [2; 32]), None);
    history.finish(now(140));
    drop(history);
    let history = begin(&file, 1);
    let all = records(&file);
    let kinds: Vec<_> = all.iter().map(|record| std::mem::discriminant(&record.said)).collect();
    assert_eq!(kinds.len(), 8);
    assert_eq!(all.iter().filter_map(torn).collect::<Vec<_>>(), [0, 0]);
    assert_eq!((all[0].sequence, history.ring.end.lines), (0, 8));
    let parts: Vec<_> = all
        .iter()
        .filter_map(|record| match &record.said {
            Said::Source(source) => Some((source.number, source.part, source.parts, source.text.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(parts, [(3, 0, 2, "x".repeat(PART).as_str()), (3, 1, 2, "yz")]);
    assert_eq!(all[5].said, Said::Configuration { configuration: [2; 32] });
    assert_eq!(all[6].said, Said::Ended);
}

#[test]
fn a_full_file_keeps_its_size_and_its_last_records() {
    let file = file();
    let places = i64::from(OF_A_DAY as u16);
    let mut history = begin(&file, 1);
    for _ in 0..places + 10 {
        assert_eq!(history.write(minutes(1)), None);
        // As after each minute.
        history.give_room(1);
    }
    assert_eq!(octets(&file).len(), places as usize * RECORD);
    drop(history);
    // Begun again, with more days, it is what it was.
    let mut history = begin(&file, 9);
    assert_eq!(history.ring.places, OF_A_DAY);
    assert_eq!(history.write(minutes(2 * places)), None);
    let all = records(&file);
    assert_eq!((all.len() as u64, all[all.len() - 1].sequence + 1), (OF_A_DAY, history.ring.end.lines));
    // One that is not full gets more room, and never less.
    let other = self::file();
    let mut history = begin(&other, 1);
    history.give_room(2);
    assert_eq!(history.ring.places, 2 * OF_A_DAY);
    history.give_room(1);
    assert_eq!(history.ring.places, 2 * OF_A_DAY);
}

/// A power cut: of the last `unsure` records, blocks are as they were `before`, zero where the file was shorter, or one is torn.
fn cut(file: &File, before: &[u8], unsure: u64, seed: u64) {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |most: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % most.max(1)
    };
    let octets = octets(file);
    let put_back = |from: u64, length: u64| {
        let old = (from as usize..(from + length) as usize).map(|at| before.get(at).copied().unwrap_or(0));
        file.write_all_at(&old.collect::<Vec<_>>(), from).unwrap();
    };
    let newest = octets
        .chunks_exact(RECORD)
        .enumerate()
        .filter_map(|(place, octets)| Some((Record::decode(octets.try_into().unwrap())?.0.sequence, place)))
        .max()
        .unwrap();
    let places = (octets.len() / RECORD) as u64;
    match next(3) {
        // As many blocks of the disk as there may be.
        0 => {
            for _ in 0..=next(4) {
                let place = (newest.1 as u64 + places - next(unsure)) % places;
                let block = place * RECORD as u64 / 512 * 512;
                let from = block.min(octets.len() as u64 - 512);
                // What was synchronised stays.
                if newest.1 as u64 >= unsure && from / (RECORD as u64) <= newest.1 as u64 - unsure {
                    continue;
                }
                put_back(from, 512);
            }
        }
        // In the middle of a record.
        1 => file.write_all_at(&[0; 70], newest.1 as u64 * RECORD as u64 + 58).unwrap(),
        // The file has its length, and nothing of it has come to the disk.
        _ => {
            let length = next(unsure).min(newest.1 as u64 - 1) * RECORD as u64;
            let from = (newest.1 as u64 + 1) * RECORD as u64 - length;
            put_back(from, length);
        }
    }
}

/// What auditors read of the file is in order, and ends where the next record goes.
fn is_read(file: &File, written: &History) {
    let octets = octets(file);
    let read = ::history::History::read(&octets);
    assert_eq!(read.survey().findings, []);
    assert_eq!(read.end(), written.ring.end);
}

#[test]
fn after_any_power_cut_the_chain_is_whole_and_what_was_synchronised_is_there() {
    for seed in 1..600 {
        let file = file();
        // In a second round, as the first one begins again, and before.
        let kept = match seed % 3 {
            0 => OF_A_DAY as i64 + 300,
            1 => OF_A_DAY as i64 - 30,
            _ => 300,
        };
        let mut history = begin(&file, 1);
        assert_eq!(history.write(minutes(kept)), None);
        let synchronised = history.note_due(now(3_700).raw).expect("it is time");
        let before = octets(&file);
        assert_eq!(history.write(minutes(60)), None);
        let all = history.ring.end.lines;
        drop(history);
        cut(&file, &before, 60, seed);
        let left = octets(&file);
        let findings = ::history::History::read(&left).survey().findings;
        let is_cut = findings.iter().all(::history::Finding::may_be_a_power_cut);
        assert!(is_cut && findings.len() <= 1, "seed {seed}: {findings:?}");
        let mut history = begin(&file, 1);
        let begun = history.ring.end.lines;
        assert_eq!(::history::History::read(&left).end().lines + 1, begun, "seed {seed}");
        is_read(&file, &history);
        assert!((synchronised.lines + 1..=all + 1).contains(&begun), "{seed}: {begun} of {all}");
        for _ in 0..7 {
            assert_eq!(history.write(minutes(10)), None);
            is_read(&file, &history);
        }
        let records = records(&file);
        let run = records.iter().find(|record| record.sequence + 1 == begun).expect("it began");
        let lost = all + 1 - begun;
        // Of blocks that never came to the disk nobody can say how many they were.
        assert!(torn(run).is_some_and(|torn| u64::from(torn) <= lost), "{seed}: {run:?} {lost}");
        // And once more, without one.
        drop(history);
        begin(&file, 1);
        assert_eq!(self::records(&file).last().and_then(torn), Some(0), "{seed}");
    }
}

#[test]
fn what_was_altered_is_not_thrown_away() {
    let file = file();
    let mut history = begin(&file, 1);
    assert_eq!(history.write(minutes(400)), None);
    drop(history);
    file.write_all_at(&[0xff], 100 * RECORD as u64 + 41).unwrap();
    let mut history = begin(&file, 1);
    assert_eq!(history.ring.end.lines, 402);
    assert_eq!(history.take_lack(), None, "in the middle it is for who reads all of it");
    let (run, _) = Record::decode(octets(&file)[401 * RECORD..402 * RECORD].try_into().unwrap()).unwrap();
    assert_eq!(torn(&run), Some(0));
}

/// A full disk in place of the file, until it is put back.
fn full(history: &mut History) -> File {
    let full = File::options().write(true).open("/dev/full").unwrap();
    std::mem::replace(&mut history.ring.file, full)
}

fn gaps(file: &File) -> Vec<(i64, bool)> {
    let all = records(file);
    let gap = |record: &Record| match &record.said {
        Said::Minute(minute) => Some((record.raw.nanos() / 1_000_000_000, minute.gap)),
        _ => None,
    };
    all.iter().filter_map(gap).collect()
}

#[test]
fn a_disk_that_is_full_for_a_while_is_said_once_and_loses_nothing() {
    let file = file();
    let mut history = begin(&file, 1);
    let whole = full(&mut history);
    let told = history.write(minutes(1)).unwrap();
    assert!(told.0 == Event::StateUnwritten && told.1.contains("cannot be written"), "{told:?}");
    // The name comes with its minutes, also where its first part was written alone.
    let name = "x".repeat(PART + 1);
    let numbered = Lasting::Numbered { at: now(70), number: 3, name: name.clone(), authenticated: true };
    assert_eq!(history.write([numbered]), None);
    assert_eq!(history.configure(now(80), [2; 32]), None);
    history.ring.file = whole;
    let told = history.write(minutes(2).skip(1)).unwrap();
    assert!(told.0 == Event::StateBack && told.1.contains("nothing is missing"), "{told:?}");
    assert_eq!(gaps(&file), [(60, false), (120, false)]);
    let octets = octets(&file);
    let read = ::history::History::read(&octets);
    let last = read.walk().last().unwrap().unwrap();
    assert_eq!(last.names.name(3).map(|name| name.text.as_str()), Some(name.as_str()));
    let has = |wanted: &Said| records(&file).iter().any(|record| record.said == *wanted);
    assert!(has(&Said::Configuration { configuration: [2; 32] }));
}

#[test]
fn a_disk_that_is_full_for_a_day_leaves_a_gap_that_is_told_with_its_length_and_names_survive_it() {
    let file = file();
    let mut history = begin(&file, 2);
    let whole = full(&mut history);
    let numbered = |number, name: &str| Lasting::Numbered {
        at: now(1),
        number,
        name: name.to_owned(),
        authenticated: true,
    };
    history.write([numbered(1, "first"), numbered(2, "second"), numbered(1, "third")]);
    for minute in 1..=1_440 {
        history.write(minutes(minute).skip(minute as usize - 1));
    }
    assert!(history.waiting.len() <= WAITING && history.kept.len() <= 3, "it is bounded");
    history.ring.file = whole;
    let told = history.write(minutes(1_441).skip(1_440)).unwrap();
    let lost = 1_440 - WAITING;
    assert!(told.1.contains(&format!("behind a gap of {lost} minutes")), "{told:?}");
    let gaps = gaps(&file);
    assert_eq!(
        (gaps.len(), gaps[0], gaps[1]),
        (WAITING + 1, ((lost as i64 + 1) * 60, true), ((lost as i64 + 2) * 60, false))
    );
    let octets = octets(&file);
    let read = ::history::History::read(&octets);
    assert_eq!(read.survey().findings, []);
    let last = read.walk().last().unwrap().unwrap();
    let name = |number| last.names.name(number).map(|name| name.text.clone());
    assert_eq!((name(1).as_deref(), name(2).as_deref()), (Some("third"), Some("second")));
}

#[test]
fn a_start_that_finds_the_disk_full_begins_the_history_once_it_is_not_and_says_when_the_run_began() {
    let file = file();
    drop(begin(&file, 1));
    // What a power cut has left behind the end is cleared as soon as that can be.
    let stray = Record { sequence: 3, wall: now(0).wall, raw: now(0).raw, said: Said::Ended };
    file.write_all_at(&stray.encode(&[9; 32]).0, 3 * RECORD as u64).unwrap();
    let length = file.metadata().unwrap().len();
    let given = Given { file: file.try_clone().unwrap(), length };
    let mut history = History::new(given, 1, now(10), (IDENTITY, None));
    let read_only = File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file))).unwrap();
    let whole = std::mem::replace(&mut history.ring.file, read_only);
    let told = history.write([]).unwrap();
    assert_eq!(told.0, Event::StateUnwritten, "{told:?}");
    assert_eq!(history.write(minutes(1)), None, "it is said once");
    assert_eq!(history.note_due(now(600).raw), None, "nothing of this run is there");
    history.ring.file = whole;
    assert_eq!(history.write(minutes(2).skip(1)).unwrap().0, Event::StateBack);
    let all = records(&file);
    let runs: Vec<_> = all.iter().filter_map(|record| Some((torn(record)?, record.raw))).collect();
    assert_eq!(runs, [(0, now(0).raw), (3, now(10).raw)]);
    assert_eq!(gaps(&file), [(60, false), (120, false)]);
    assert!(history.note_due(now(600).raw).is_some());
    is_read(&file, &history);
}

#[test]
fn between_two_synchronisations_are_not_more_records_than_a_power_cut_may_take() {
    let file = file();
    let mut history = begin(&file, 2);
    let before = history.ring.unsynchronised();
    assert_eq!(before, 0);
    let mut most = 0;
    for _ in 0..5 {
        history.write(minutes(200));
        most = most.max(history.ring.unsynchronised());
    }
    assert!(most <= ipc::history::TORN, "{most}");
}

#[test]
fn the_end_is_noted_a_minute_after_the_start_and_then_each_hour() {
    let mut history = begin(&file(), 1);
    let mut due = |second, answers: bool| {
        let end = history.note_due(now(second).raw);
        assert_eq!(history.write(minutes(1)), None);
        if let Some(end) = end.filter(|_| answers) {
            history.note(HistoryNoted { history: end, log: End::NONE });
        }
        end.is_some()
    };
    for (second, expected) in
        [(0, false), (59, false), (60, true), (61, false), (3_659, false), (3_660, true)]
    {
        assert_eq!(due(second, second == 60), expected, "{second}");
    }
    assert!(!due(5_459, false), "the second one was not answered");
    assert!(due(5_460, true));
}

#[test]
fn a_record_that_cannot_be_read_is_not_the_end_wherever_it_is() {
    for rounds in [1, 2] {
        let whole = file();
        let mut history = begin(&whole, 1);
        assert_eq!(history.write(minutes(i64::from(OF_A_DAY as u16) * rounds - 700)), None);
        let end = history.ring.end;
        drop(history);
        for place in [0, 1, 2, 100, 375, 399, 400, 500] {
            let copy = file();
            copy.write_all_at(&octets(&whole), 0).unwrap();
            copy.write_all_at(&[0xff; RECORD], place * RECORD as u64).unwrap();
            let there = octets(&copy).len() as u64 / RECORD as u64;
            let found = find_end(&copy, there).unwrap();
            assert_eq!((found.end, found.torn, found.first > 0), (end, 0, rounds > 1), "{rounds} {place}");
        }
        // Where the ring begins again after a power cut, its beginning may be zeros.
        let copy = file();
        copy.write_all_at(&octets(&whole), 0).unwrap();
        copy.write_all_at(&[0; 40 * RECORD], 0).unwrap();
        let there = octets(&copy).len() as u64 / RECORD as u64;
        assert_eq!(find_end(&copy, there).unwrap().end, end, "{rounds}");
    }
}

#[test]
fn what_is_no_history_is_left_as_it_is() {
    let other = file();
    other.write_all_at(&[b'x'; 200 * RECORD], 0).unwrap();
    assert!(find_end(&other, 200).is_err());
    let given = Given { file: other.try_clone().unwrap(), length: 200 * RECORD as u64 };
    let mut history = History::new(given, 1, now(0), (IDENTITY, None));
    assert!(history.write([]).is_some_and(|(event, _)| event == Event::StateUnusable));
    // No waiting mends that.
    assert_eq!((history.write(minutes(3)), history.waiting.len()), (None, 0));
    assert_eq!(octets(&other), [b'x'; 200 * RECORD]);
    let blank = file();
    blank.write_all_at(&[0; 200 * RECORD], 0).unwrap();
    assert_eq!(find_end(&blank, 200).unwrap().end, End::NONE);
    assert_eq!(find_end(&file(), 0).unwrap().end, End::NONE);
}

#[test]
fn a_history_that_was_lost_or_whose_end_was_altered_is_told_at_the_start_once() {
    let whole = file();
    let mut history = begin(&whole, 1);
    assert_eq!(history.write(minutes(700)), None);
    let known = history.records();
    assert_eq!(known, Some(701));
    drop(history);
    let start = |edit: &dyn Fn(&File), known| {
        let copy = file();
        copy.write_all_at(&octets(&whole), 0).unwrap();
        edit(&copy);
        let length = copy.metadata().unwrap().len();
        let mut history = History::new(Given { file: copy, length }, 1, now(0), (IDENTITY, known));
        assert_eq!(history.write([]), None);
        let lack = history.take_lack();
        assert_eq!(history.take_lack(), None);
        lack.map(|(event, text)| {
            assert_eq!(event, Event::StateUnusable);
            text
        })
    };
    assert_eq!(start(&|_| {}, known), None);
    // A power cut takes no more than that.
    assert_eq!(start(&|file| file.set_len(446 * RECORD as u64).unwrap(), known), None);
    let cut = start(&|file| file.set_len(400 * RECORD as u64).unwrap(), known).unwrap();
    assert!(cut.contains("701 records had been written, and it ends after 400"), "{cut}");
    let lost = start(&|file| file.set_len(0).unwrap(), known).unwrap();
    assert!(lost.contains("it is empty"), "{lost}");
    assert_eq!(start(&|file| file.set_len(0).unwrap(), None), None, "a first start");
    let altered = |file: &File| {
        for place in 400..701 {
            file.write_all_at(&[0x5a], place * RECORD as u64 + 41).unwrap();
        }
    };
    assert!(start(&altered, known).is_some_and(|text| text.contains("was altered")));
}
