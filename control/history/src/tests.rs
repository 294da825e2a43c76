//! Given a history that was written as the engine does it, when something is done to its octets, then this is found.

use crate::testing::{Writer, long_name};
use crate::{Finding, Head, History, What};
use ipc::history::{OF_A_DAY, RECORD, Said};
use proptest::prelude::*;

fn found(octets: &[u8]) -> Vec<(u64, What)> {
    let findings = History::read(octets).survey().findings;
    findings.iter().map(|finding| (finding.sequence, finding.what)).collect()
}

fn place(writer: &Writer, sequence: u64) -> std::ops::Range<usize> {
    let at = sequence as usize * RECORD % writer.octets().len();
    at..at + RECORD
}

#[test]
fn what_was_left_alone_is_in_order_from_the_oldest_to_the_newest_at_any_fill() {
    assert_eq!(found(&[]), []);
    for days in [0, 1, 2, 3, 5] {
        let writer = Writer::simulated(days, 2, days + 1);
        let history = History::read(writer.octets());
        let survey = history.survey();
        assert_eq!((survey.findings, survey.more), (vec![], 0), "{days} days");
        assert_eq!(history.end(), writer.end());
        let first = writer.end().lines.saturating_sub(history.room());
        assert_eq!(survey.first.unwrap().0, first);
        assert_eq!(survey.last.unwrap().0, writer.end().lines - 1);
        assert_eq!(survey.records, writer.end().lines - first);
        let numbers = history.walk().map(|entry| entry.unwrap().record.sequence);
        assert!(numbers.eq(first..writer.end().lines));
        assert_eq!(history.head(writer.end().lines), Head::Held(writer.end().hash));
        assert_eq!(history.head(writer.end().lines + 1), Head::Beyond);
        assert_eq!(history.head(first), if first == 0 { Head::None } else { Head::Overwritten });
    }
}

#[test]
fn each_number_has_the_name_that_was_given_last_and_none_from_before_a_start() {
    let mut writer = Writer::new(OF_A_DAY, 1);
    writer.start(0);
    let minute = writer.minute();
    writer.append(Said::Minute(minute));
    writer.source(0, true, "other.example.org");
    writer.append(Said::Minute(minute));
    writer.append(Said::Ended);
    writer.start(0);
    writer.append(Said::Minute(minute));
    let names = |at: u64| {
        let history = History::read(writer.octets());
        let entry = history.walk().nth(at as usize).unwrap().unwrap();
        [0, 1].map(|number| entry.names.name(number).map(|name| (name.text.clone(), name.authenticated)))
    };
    let given = |text: &str, authenticated| Some((text.to_owned(), authenticated));
    assert_eq!(names(0), [None, None]);
    assert_eq!(names(2), [given("192.0.2.1", false), None], "half a name is none");
    assert_eq!(names(4), [given("192.0.2.1", false), given(&long_name(1), true)]);
    assert_eq!(names(6), [given("other.example.org", true), given(&long_name(1), true)]);
    assert_eq!(names(8), [None, None]);
    assert_eq!(names(12), [given("192.0.2.1", false), given(&long_name(1), true)]);
}

#[test]
fn each_octet_that_is_changed_is_found_at_its_record() {
    let writer = Writer::simulated(3, 2, 9);
    let first = writer.end().lines - History::read(writer.octets()).room();
    let last = writer.end().lines - 1;
    for sequence in [first + 1, first + 700, last - 700, last] {
        for octet in 0..RECORD {
            let mut octets = writer.octets().to_vec();
            octets[place(&writer, sequence).start + octet] ^= 0x10;
            let found = found(&octets);
            // What stands where the newest record should be may as well be the one that it would have replaced.
            let number = found.first().map(|found| found.0);
            let is_it = number == Some(sequence) || sequence == last && number == Some(first - 1);
            assert!(is_it, "record {sequence}, octet {octet}: {found:?}");
            // The newest one may never have been finished.
            let is_torn = matches!(found[0].1, What::Torn(_));
            assert!(!is_torn || sequence == last, "record {sequence}, octet {octet}: {found:?}");
        }
    }
}

#[test]
fn a_record_whose_hash_was_made_anew_breaks_the_next_one() {
    let mut writer = Writer::simulated(1, 2, 9);
    let (before, at) = (place(&writer, 299), place(&writer, 300));
    let octets = writer.octets_mut();
    octets[at.start + 40] ^= 1;
    let hash = ipc::history::chain(
        octets[before][96..].try_into().unwrap(),
        &octets[at.start..at.start + ipc::history::BODY],
    );
    octets[at.start + ipc::history::BODY..at.end].copy_from_slice(&hash);
    assert_eq!(found(writer.octets()), [(301, What::Chain)]);
    let history = History::read(writer.octets());
    assert!(matches!(history.head(301), Head::Held(_)));
    assert_eq!(history.head(302), Head::Broken);
}

#[test]
fn records_that_were_taken_out_are_counted_where_they_were() {
    let writer = Writer::simulated(2, 2, 3);
    let without = |from: u64, count: u64| {
        let mut octets = writer.octets().to_vec();
        (from..from + count).for_each(|sequence| octets[place(&writer, sequence)].fill(0));
        found(&octets)
    };
    assert_eq!(without(0, 5), [(0, What::Beginning(5))]);
    assert_eq!(without(700, 1), [(700, What::Missing(1))]);
    assert_eq!(without(700, 90), [(700, What::Missing(90))]);
    let last = writer.end().lines;
    // Within a sector no power cut takes one and leaves the next.
    let within = (last - 60) / 4 * 4;
    assert_eq!(without(within, 1), [(within, What::Missing(1))]);
    assert_eq!(without(within, 4), [(within, What::Torn(last - within))]);
    // What lacks at the very end shows elsewhere only: heads of the history say that there was more.
    assert_eq!(without(last - 20, 20), []);
}

#[test]
fn records_in_another_order_of_another_round_and_of_no_history_are_found() {
    let writer = Writer::simulated(3, 2, 5);
    let edited = |edit: &dyn Fn(&mut [u8])| {
        let mut octets = writer.octets().to_vec();
        edit(&mut octets);
        found(&octets)
    };
    let last = writer.end().lines;
    let (one, other) = (place(&writer, last - 900), place(&writer, last - 901));
    let swapped = edited(&|octets| {
        let kept = octets[one.clone()].to_vec();
        octets.copy_within(other.clone(), one.start);
        octets[other.clone()].copy_from_slice(&kept);
    });
    assert_eq!(
        swapped,
        [(last - 901, What::Misplaced(last - 900)), (last - 900, What::Misplaced(last - 901))]
    );
    let noise = edited(&|octets| octets[one.clone()].fill(0xa5));
    assert_eq!(noise, [(last - 900, What::Unreadable)]);
    let far = last + 40 * History::read(writer.octets()).room() - 900;
    let future = edited(&|octets| octets[one.start + 8..one.start + 16].copy_from_slice(&far.to_le_bytes()));
    assert_eq!(future, [(last - 900, What::Misplaced(far))]);
    let longer = [writer.octets(), &[0; 5]].concat();
    assert_eq!(found(&longer), [(last, What::Length(5))]);
    let garbage = vec![0x55; 10 * RECORD];
    assert_eq!((found(&garbage).len(), found(&garbage)[0]), (10, (0, What::Torn(1))));
    assert_eq!(found(&vec![0; 10 * RECORD]), []);
    // A file that has not grown to a ring is as long as its records.
    let young = Writer::simulated(1, 2, 5);
    assert_eq!(young.octets().len() as u64, young.end().lines * RECORD as u64);
    let cut = &young.octets()[..700 * RECORD];
    assert_eq!((found(cut), History::read(cut).head(young.end().lines)), (vec![], Head::Beyond));
    // A ring that was cut has other places.
    let ring = &writer.octets()[..writer.octets().len() - 7 * RECORD];
    assert!(!found(ring).is_empty() && History::read(ring).head(last) != Head::Held(writer.end().hash));
}

#[test]
fn a_start_after_a_power_cut_goes_on_and_what_it_threw_away_is_no_finding() {
    for seed in 1..40 {
        // Before the ring is full, when it begins anew, and in its second round.
        let days = 1 + seed % 4;
        let mut writer = Writer::simulated(days, 2, seed);
        let (synced, before) = (writer.end().lines, writer.octets().to_vec());
        writer.hour();
        let last = writer.end().lines;
        writer.cut_power(&before, synced);
        let survey = History::read(writer.octets()).survey();
        assert!(survey.findings.iter().all(Finding::may_be_a_power_cut), "{seed}: {:?}", survey.findings);
        assert!(survey.findings.len() <= 1, "{seed}");
        let end = History::read(writer.octets()).end().lines;
        assert!(end >= synced && end <= last, "{seed}: {synced} {end} {last}");
        for hour in 0..30 {
            match hour {
                0 => writer.recover(),
                _ => writer.hour(),
            }
            let history = History::read(writer.octets());
            assert_eq!(history.survey().findings, [], "seed {seed}, hour {hour}");
            assert_eq!(history.end(), writer.end(), "seed {seed}, hour {hour}");
        }
    }
}

#[test]
fn a_start_excuses_as_many_places_as_it_says_and_no_more() {
    for torn in [1, 40, 255] {
        let mut writer = Writer::simulated(3, 2, 5);
        let run = writer.end().lines;
        let places = if torn == 255 { crate::TORN } else { u64::from(torn) };
        for sequence in run..run + places {
            let at = place(&writer, sequence);
            writer.octets_mut()[at].fill(0);
        }
        let room = History::read(writer.octets()).room();
        writer.start(torn);
        let end = writer.end().lines;
        let cleared = |octets: &[u8]| History::read(octets).cleared();
        let expected = (end < run + places).then(|| (end - room..run + places - room, run));
        assert_eq!((found(writer.octets()), cleared(writer.octets())), (vec![], expected.clone()), "{torn}");
        // One more of the oldest, and hundreds.
        for more in [1, 250] {
            let mut forged = writer.octets().to_vec();
            (0..more).for_each(|ahead| forged[place(&writer, end.max(run + places) + ahead)].fill(0));
            let first = end - room;
            let count = end.max(run + places) + more - end;
            assert_eq!(found(&forged), [(first, What::Beginning(count))], "{torn}, {more} more");
        }
        // The place of each is written again, and then none is excused.
        for _ in 0..6 {
            writer.hour();
        }
        let first = writer.end().lines - room;
        assert_eq!((found(writer.octets()), cleared(writer.octets())), (vec![], None));
        let at = place(&writer, first);
        writer.octets_mut()[at].fill(0);
        assert_eq!(found(writer.octets()), [(first, What::Beginning(1))]);
    }
}

#[test]
fn the_oldest_of_a_young_history_are_missed_after_a_power_cut_too() {
    let mut writer = Writer::simulated(1, 4, 5);
    let kept = writer.octets().to_vec();
    let synced = writer.end().lines;
    writer.hour();
    writer.cut_power(&kept, synced);
    writer.recover();
    (0..5).for_each(|_| writer.hour());
    // A file that is one record longer is no full ring.
    for longer in [0, RECORD] {
        let mut octets = writer.octets().to_vec();
        octets[..200 * RECORD].fill(0);
        octets.resize(octets.len() + longer, 0);
        assert_eq!(found(&octets), [(0, What::Beginning(200))], "{longer}");
    }
}

#[test]
fn no_number_is_too_high() {
    for sequence in [u64::MAX, u64::MAX - 1, crate::NUMBERS, crate::NUMBERS - 1] {
        let wall = ipc::units::WallTime::MAX;
        let record =
            ipc::history::Record { sequence, wall, raw: ipc::units::RawInstant::MIN, said: Said::Ended };
        let (octets, _) = record.encode(&[0; 32]);
        let history = History::read(&octets);
        let _ = (history.survey(), history.head(u64::MAX), history.head(sequence), history.head(0));
        assert_eq!(history.survey().records, u64::from(sequence < crate::NUMBERS), "{sequence}");
    }
}

#[test]
fn a_finding_says_number_time_and_what_it_is() {
    let mut writer = Writer::simulated(1, 1, 5);
    let at = place(&writer, 600);
    writer.octets_mut()[at].fill(0);
    let survey = History::read(writer.octets()).survey();
    let text = survey.findings[0].to_string();
    assert!(text.starts_with("record 600 is missing (2026-11-30T"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
    #[test]
    fn no_octets_are_too_strange(octets in prop::collection::vec(any::<u8>(), 0..4_000)) {
        let survey = History::read(&octets).survey();
        prop_assert!(survey.records == 0);
        prop_assert_eq!(survey.findings.is_empty(), octets.is_empty());
    }

    #[test]
    fn no_edit_makes_a_reader_panic(
        edits in prop::collection::vec((0_usize..OF_A_DAY as usize * RECORD - 8, any::<[u8; 8]>()), 1..20),
    ) {
        let mut writer = Writer::simulated(2, 1, 7);
        for (at, octets) in edits {
            writer.octets_mut()[at..at + 8].copy_from_slice(&octets);
        }
        let history = History::read(writer.octets());
        let survey = history.survey();
        prop_assert!(!survey.findings.is_empty());
        let _ = history.head(u64::MAX);
    }
}
