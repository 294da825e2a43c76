use super::*;
use ipc::history::Minute;
use ipc::units::WallTime;
use nix::sys::memfd::{MFdFlags, memfd_create};

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
    History::begin(Given { file, length }, days, now(0), IDENTITY).unwrap()
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
    assert_eq!((all[0].sequence, history.end.lines), (0, 8));
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
    assert_eq!(history.places, OF_A_DAY);
    assert_eq!(history.write(minutes(2 * places)), None);
    let all = records(&file);
    assert_eq!((all.len() as u64, all[all.len() - 1].sequence + 1), (OF_A_DAY, history.end.lines));
    // One that is not full gets more room, and never less.
    let other = self::file();
    let mut history = begin(&other, 1);
    history.give_room(2);
    assert_eq!(history.places, 2 * OF_A_DAY);
    history.give_room(1);
    assert_eq!(history.places, 2 * OF_A_DAY);
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
    assert_eq!(read.end(), written.end);
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
        let all = history.end.lines;
        drop(history);
        cut(&file, &before, 60, seed);
        let left = octets(&file);
        let findings = ::history::History::read(&left).survey().findings;
        let is_cut = findings.iter().all(::history::Finding::may_be_a_power_cut);
        assert!(is_cut && findings.len() <= 1, "seed {seed}: {findings:?}");
        let mut history = begin(&file, 1);
        let begun = history.end.lines;
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
    let history = begin(&file, 1);
    assert_eq!(history.end.lines, 402);
    let (run, _) = Record::decode(octets(&file)[401 * RECORD..402 * RECORD].try_into().unwrap()).unwrap();
    assert_eq!(torn(&run), Some(0));
}

#[test]
fn a_disk_that_is_full_is_said_once_and_leaves_a_gap() {
    let file = file();
    let mut history = begin(&file, 1);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let whole = std::mem::replace(&mut history.file, full);
    assert!(history.write(minutes(1)).is_some_and(|text| text.contains("cannot be written")));
    assert_eq!(history.write(minutes(1)), None);
    history.file = whole;
    assert!(history.write(minutes(2)).is_some_and(|text| text.contains("written again")));
    let all = records(&file);
    let gaps = all.iter().filter_map(|record| match &record.said {
        Said::Minute(minute) => Some(minute.gap),
        _ => None,
    });
    assert_eq!(gaps.collect::<Vec<_>>(), [true, false]);
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
        let end = history.end;
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
    let blank = file();
    blank.write_all_at(&[0; 200 * RECORD], 0).unwrap();
    assert_eq!(find_end(&blank, 200).unwrap().end, End::NONE);
    assert_eq!(find_end(&file(), 0).unwrap().end, End::NONE);
}
