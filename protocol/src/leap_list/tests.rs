//! Lists that are published, forged, damaged and absurd.

extern crate std;
use super::*;
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

/// What the IERS published in July 2025, without most of its comments.
const PUBLISHED: &str = include_str!("published.list");

type Entries = Vec<(i64, u8)>;

fn seconds_of(entries: &[(i64, u8)]) -> Vec<(u64, u8)> {
    entries.iter().map(|(at, offset)| (*at as u64 + OF_1970, *offset)).collect()
}

/// A list as one would publish it, with the right hash.
fn written(updated: i64, expires: i64, entries: &[(i64, u8)]) -> String {
    let (updated, expires) = (updated as u64 + OF_1970, expires as u64 + OF_1970);
    let mut hashed = Sha1::new();
    hashed.update(updated.to_string());
    hashed.update(expires.to_string());
    let mut text = format!("#$ {updated}\n#@ {expires}\n");
    for (at, offset) in seconds_of(entries) {
        hashed.update(at.to_string());
        hashed.update(offset.to_string());
        text += &format!("{at} {offset} # comment\n");
    }
    let hash = <[u8; 20]>::from(hashed.finalize());
    text += "#h";
    for word in hash.as_chunks::<4>().0 {
        text += &format!(" {:x}", u32::from_be_bytes(*word));
    }
    text + "\n"
}

fn known() -> LeapList {
    LeapList::parse(PUBLISHED).unwrap()
}

#[test]
fn the_published_list_is_read() {
    let list = known();
    assert_eq!((list.updated(), list.expires()), (1_751_846_400, 1_782_604_800));
    assert_eq!(list.entries().len(), 28);
    assert_eq!(list.tai_minus_utc(1_483_228_799), Some(36), "2016-12-31T23:59:59");
    assert_eq!(list.tai_minus_utc(1_483_228_800), Some(37));
    assert_eq!(list.tai_minus_utc(0), None, "before 1972");
    assert_eq!(list.leap_before(1_483_228_800), Leap::Insert);
    assert_eq!(list.leap_before(1_483_228_800 + 181 * DAY), Leap::None);
    assert_eq!(list.leap_before(63_072_000), Leap::None, "that is where it begins");
    let mut entries = list.entries().to_vec();
    entries.push((1_814_400_000, 36));
    let list = LeapList::parse(&written(1_800_000_000, 1_820_000_000, &entries)).unwrap();
    assert_eq!(list.leap_before(1_814_400_000), Leap::Delete);
    assert_eq!(list.tai_minus_utc(1_814_400_000), Some(36));
}

#[test]
fn a236_a_forged_or_damaged_list_is_refused() {
    let text = PUBLISHED;
    for (from, to, error) in [
        // One more second in 2017, with the hash of the true list.
        ("3692217600      37", "3692217600      38", LeapListError::Hash),
        ("#@\t3991593600", "#@\t4000000000", LeapListError::Hash),
        ("#h\t49db2447", "#h\t49db2448", LeapListError::Hash),
        ("#h\t49db2447", "#h\t", LeapListError::Line(34)),
        ("#h\t49db2447", "#h\tx9db2447", LeapListError::Line(34)),
        ("#h\t", "# ", LeapListError::Incomplete),
        ("#$\t", "# ", LeapListError::Incomplete),
        ("#@\t", "#$\t", LeapListError::Line(3)),
        ("2287785600      11", "2287785600      11 12", LeapListError::Line(6)),
        ("2287785600      11", "-2287785600      11", LeapListError::Line(6)),
        ("2287785600      11", "2287785600      300", LeapListError::Line(6)),
        ("2287785600      11", "2287785600", LeapListError::Line(6)),
        ("2287785600      11", "99999999999999      11", LeapListError::Line(6)),
    ] {
        let forged = text.replacen(from, to, 1);
        assert_ne!(forged, text, "{from}");
        assert_eq!(LeapList::parse(&forged), Err(error), "{to}");
    }
}

#[test]
fn a236_a_list_with_a_right_hash_that_cannot_be_true_is_refused() {
    let list = known();
    let (updated, expires) = (list.updated(), list.expires());
    let good = list.entries();
    let with = |change: &dyn Fn(&mut Entries)| {
        let mut entries = good.to_vec();
        change(&mut entries);
        LeapList::parse(&written(updated, expires, &entries))
    };
    assert_eq!(with(&|_| {}), Ok(list));
    assert_eq!(with(&|all| (all[3].0, all[4].0) = (all[4].0, all[3].0)), Err(LeapListError::Disorder));
    assert_eq!(with(&|all| all[27].1 = 38), Err(LeapListError::Gap));
    assert_eq!(with(&|all| all[27].1 = 36), Err(LeapListError::Gap), "no change");
    assert_eq!(with(&|all| all[27].0 += 1), Err(LeapListError::Gap), "not at midnight");
    assert_eq!(with(&|all| all[27].0 += 90 * DAY), Err(LeapListError::Gap), "no day for one");
    assert_eq!(with(&|all| _ = all.remove(0)), Err(LeapListError::Disorder));
    assert_eq!(with(&|all| _ = all.remove(5)), Err(LeapListError::Gap));
    assert_eq!(with(&|all| all.push(all[27])), Err(LeapListError::Disorder));
    assert_eq!(with(&|all| all.clear()), Err(LeapListError::Incomplete));
    assert_eq!(with(&|all| *all = vec![FIRST; 65]), Err(LeapListError::TooLong));
    for (updated, expires) in
        [(expires + 1, expires), (updated, updated + LONGEST_LIFE + 1), (LAST, LAST + 1), (0, 1)]
    {
        let text = written(updated, expires, good);
        assert_eq!(LeapList::parse(&text), Err(LeapListError::Dates), "{updated} {expires}");
    }
}

#[test]
fn a236_a_list_is_bounded() {
    let padded = |line: &str, count: usize| format!("{PUBLISHED}{}", line.repeat(count));
    assert!(LeapList::parse(&padded("#\n", 900)).is_ok());
    assert_eq!(LeapList::parse(&padded("#\n", 1_000)), Err(LeapListError::TooLong));
    assert_eq!(LeapList::parse(&padded(&"#".repeat(1_000), 66)), Err(LeapListError::TooLong));
    assert_eq!(LeapList::parse(""), Err(LeapListError::Incomplete));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_text_panics(text in "(?s).{0,200}") {
        let _ = LeapList::parse(&text);
    }

    #[test]
    fn no_lines_panic(lines in proptest::collection::vec("(#[$@h]?)?[ \t]{0,2}[0-9a-f]{0,20}( [0-9a-f]{1,12}){0,6}( #.*)?", 0..12)) {
        let _ = LeapList::parse(&lines.join("\n"));
    }

    /// Any octet of the published list may be another one: it is refused, or says the same (a comment, a blank).
    #[test]
    fn a236_no_change_of_an_octet_changes_what_a_list_says(at in 0..PUBLISHED.len(), to in "[ -~\n]") {
        let mut text = PUBLISHED.to_string();
        text.replace_range(at..=at, &to);
        if let Ok(list) = LeapList::parse(&text) {
            prop_assert_eq!(list, known());
        }
    }

    #[test]
    fn what_is_written_is_read(count in 1usize..28, life in 0..LONGEST_LIFE) {
        let entries = known().entries()[..count].to_vec();
        let list = LeapList::try_new(1_700_000_000, 1_700_000_000 + life, &entries).unwrap();
        prop_assert_eq!(LeapList::parse(&written(list.updated(), list.expires(), &entries)), Ok(list));
    }
}
