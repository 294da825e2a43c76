//! The log after every kind of end.

use super::*;
use ipc::audit_line::LENGTH;
use ipc::units::{RawInstant, WallTime};
use keeper::audit::Audit;

fn ring() -> File {
    let file =
        File::from(nix::sys::memfd::memfd_create("ring", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).unwrap());
    file.set_len(LENGTH).unwrap();
    file
}

fn after(file: &File, end: End) -> Audit {
    Audit::after(file.try_clone().unwrap(), end, End::NONE)
}

fn append(audit: &mut Audit, count: u64) {
    for _ in 0..count {
        audit.append(WallTime::MIN, RawInstant::MIN, format_args!("event=test")).unwrap();
    }
}

fn open(file: &File) -> Audit {
    after(file, resume_ring(file, ORDERS, End::NONE).0)
}

#[test]
fn the_whole_log_is_within_what_this_process_may_write() {
    let file = ring();
    let mut audit = open(&file);
    append(&mut audit, 2 * ORDERS.lines + 1);
    let most = policies::Role::Privileged.confinement().largest_file;
    assert!(Some(file.metadata().unwrap().len()) <= most);
}

#[test]
fn the_chain_goes_on_after_a_restart_at_any_fill() {
    for count in [0, 1, 2, ORDERS.lines - 1, ORDERS.lines, ORDERS.lines + 1, 2 * ORDERS.lines + 77] {
        let file = ring();
        let mut audit = open(&file);
        append(&mut audit, count);
        let (again, whole) = resume_ring(&file, ORDERS, audit.ends().0);
        assert_eq!(again, audit.ends().0, "after {count}");
        assert_eq!(whole, LogIntegrity::Whole, "after {count}");
    }
}

#[test]
fn a140_a_cut_end_and_an_edited_end_are_seen() {
    let file = ring();
    let mut audit = open(&file);
    append(&mut audit, 10);
    let record = audit.ends().0;
    file.write_all_at(&[0; LINE], 9 * LINE as u64).unwrap();
    assert_eq!(resume_ring(&file, ORDERS, record).1, LogIntegrity::Cut);
    let mut audit = open(&file);
    audit.append(WallTime::MIN, RawInstant::MIN, format_args!("event=other")).unwrap();
    assert_eq!(resume_ring(&file, ORDERS, record).1, LogIntegrity::Cut, "replaced");
}

#[test]
fn a140_lines_that_are_overwritten_before_a_whole_end_are_seen_until_a_start_has_said_so() {
    for count in [3, 10, ORDERS.lines, ORDERS.lines + 77, 2 * ORDERS.lines + 9] {
        // Of a full ring the oldest line is one that a crash may have left half written, and the next hangs on it.
        let oldest = (count + 2).saturating_sub(ORDERS.lines);
        for altered in [oldest, oldest + 1, count - 2] {
            let file = ring();
            let mut audit = open(&file);
            append(&mut audit, count);
            let record = audit.ends().0;
            file.write_all_at(b"x", altered % ORDERS.lines * LINE as u64 + 200).unwrap();
            let (end, whole) = resume_ring(&file, ORDERS, record);
            let mut again = after(&file, end);
            assert_eq!(whole, LogIntegrity::Altered, "line {altered} of {count}");
            let said = format_args!("event=start version=1 record=resumed log={} clock=Kernel", whole.word());
            again.append(WallTime::MIN, RawInstant::MIN, said).unwrap();
            append(&mut again, 2);
            let (_, whole) = resume_ring(&file, ORDERS, again.ends().0);
            assert_eq!(whole, LogIntegrity::Whole, "line {altered} of {count}, said");
        }
    }
}

#[test]
fn a140_a_log_of_something_else_is_no_new_one() {
    let file = ring();
    file.write_all_at(&[0xff; 2 * LINE], 0).unwrap();
    let record = End::NONE;
    assert_eq!(resume_ring(&file, ORDERS, record).1, LogIntegrity::Altered);
    assert_eq!(resume_ring(&ring(), ORDERS, record).1, LogIntegrity::Whole);
}

#[test]
fn a_line_that_was_cut_short_is_written_over() {
    for count in [1, 2, 10, ORDERS.lines, ORDERS.lines + 1, ORDERS.lines + 2] {
        for cut in [1, 12, 200, TEXT + 20, LINE - 1] {
            let file = ring();
            let mut audit = open(&file);
            append(&mut audit, count - 1);
            let before = audit.ends().0;
            append(&mut audit, 1);
            let place = (count - 1) % ORDERS.lines * LINE as u64;
            file.write_all_at(&vec![0; LINE - cut], place + cut as u64).unwrap();
            let (again, whole) = resume_ring(&file, ORDERS, audit.ends().0);
            assert_eq!(again, before, "line {count} after {cut} octets");
            assert_eq!(whole, LogIntegrity::Cut, "line {count} after {cut} octets");
        }
    }
}

#[test]
fn a_line_that_was_cut_short_over_an_older_one_is_written_over() {
    for count in [
        ORDERS.lines + 1,
        ORDERS.lines + 2,
        ORDERS.lines + 77,
        2 * ORDERS.lines,
        2 * ORDERS.lines + 1,
        2 * ORDERS.lines + 9,
    ] {
        let file = ring();
        let mut audit = open(&file);
        append(&mut audit, count - 1);
        let (before, place) = (audit.ends().0, (count - 1) % ORDERS.lines * LINE as u64);
        let mut old = [0; LINE];
        file.read_exact_at(&mut old, place).unwrap();
        append(&mut audit, 1);
        let mut new = [0; LINE];
        file.read_exact_at(&mut new, place).unwrap();
        // Only the hash shows the last of these cuts: number, frame and line feed are valid.
        for cut in [1, 10, 11, 12, 13, 14, 16, 45, 60, 200, TEXT, TEXT + 6, TEXT + 20, LINE - 2] {
            let torn = [&new[..cut], &old[cut..]].concat();
            file.write_all_at(&torn, place).unwrap();
            let (again, whole) = resume_ring(&file, ORDERS, audit.ends().0);
            assert_eq!(again, before, "line {count} after {cut} octets");
            assert_eq!(whole, LogIntegrity::Cut, "line {count} after {cut} octets");
        }
    }
}

/// A power cut after the record knew `kept` lines and `more` were written: of these the disk has an arbitrary part.
fn cut_power(kept: u64, more: u64, random: &mut u64) -> (File, End) {
    let file = ring();
    let mut audit = open(&file);
    append(&mut audit, kept);
    let known = audit.ends().0;
    let mut before = vec![0; LENGTH as usize];
    file.read_exact_at(&mut before, 0).unwrap();
    append(&mut audit, more);
    for sector in 0..LENGTH / 512 {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if *random >> 62 == 0 {
            let at = (sector * 512) as usize;
            file.write_all_at(&before[at..at + 512], at as u64).unwrap();
        }
    }
    (file, known)
}

#[test]
fn a_power_cut_is_told_from_tampering_and_the_log_goes_on_whole() {
    let mut random = 1;
    for (kept, more) in
        [(1, 0), (1, 40), (10, 3), (ORDERS.lines - 2, 30), (ORDERS.lines + 5, 100), (3 * ORDERS.lines, 7)]
    {
        let (file, known) = cut_power(kept, more, &mut random);
        let (end, first) = resume_ring(&file, ORDERS, known);
        assert!(end.lines >= known.lines, "{kept} and {more}");
        assert!(matches!(first, LogIntegrity::Whole | LogIntegrity::Torn), "{kept} and {more}: {first:?}");
        let mut again = after(&file, end);
        let words = format_args!("event=start version=1 record=resumed log={} clock=Kernel", first.word());
        again.append(WallTime::MIN, RawInstant::MIN, words).unwrap();
        append(&mut again, 5);
        let (end, second) = resume_ring(&file, ORDERS, again.ends().0);
        assert_eq!((end, second), (again.ends().0, LogIntegrity::Whole), "{kept} and {more}");
        if kept > 1 {
            // What the record knows to be on the disk no power cut takes.
            let (file, known) = cut_power(kept, more, &mut random);
            file.write_all_at(b"x", ORDERS.place(kept - 2) + 200).unwrap();
            let (_, integrity) = resume_ring(&file, ORDERS, known);
            assert_eq!(integrity, LogIntegrity::Altered, "{kept} and {more}");
            file.write_all_at(b"x", ORDERS.place(kept - 1) + 200).unwrap();
            let (_, integrity) = resume_ring(&file, ORDERS, known);
            assert!(integrity > LogIntegrity::Torn, "{kept} and {more}");
        }
    }
}

#[test]
fn a_power_cut_before_the_line_of_the_start_after_one_is_on_the_disk_is_no_tampering() {
    let mut random = 1;
    for (kept, more) in [(ORDERS.lines + 5, 100), (3 * ORDERS.lines, 60), (2 * ORDERS.lines - 3, 40)] {
        let (file, known) = cut_power(kept, more, &mut random);
        let first = resume_ring(&file, ORDERS, known);
        assert_eq!(first.1, LogIntegrity::Torn, "{kept} and {more}");
        // What that start has cleared is on the disk, and its line is not.
        let second = resume_ring(&file, ORDERS, known);
        assert_eq!(second, first, "{kept} and {more}");
        let mut again = after(&file, second.0);
        again
            .append(
                WallTime::MIN,
                RawInstant::MIN,
                format_args!("event=start record=resumed log=torn clock=Kernel"),
            )
            .unwrap();
        append(&mut again, 3);
        assert_eq!(resume_ring(&file, ORDERS, again.ends().0).1, LogIntegrity::Whole, "it has been told");
        // Beyond what a power cut takes, a missing line is none.
        file.write_all_at(&[0; LINE], ORDERS.place(second.0.lines - 1)).unwrap();
        assert_eq!(
            resume_ring(&file, ORDERS, again.ends().0).1,
            LogIntegrity::Whole,
            "behind the line that tells"
        );
        let (file, known) = cut_power(kept, more, &mut random);
        resume_ring(&file, ORDERS, known);
        let far = known.lines + ipc::audit_line::UNSYNCHRONISED + 9;
        file.write_all_at(&[0; LINE], ORDERS.place(far)).unwrap();
        assert_eq!(resume_ring(&file, ORDERS, known).1, LogIntegrity::Altered, "{kept} and {more}");
    }
}

#[test]
fn steps_are_there_after_any_number_of_other_lines() {
    let file = ring();
    let mut audit = open(&file);
    audit.append_step(WallTime::MIN, RawInstant::MIN, format_args!("event=permitted asked=step")).unwrap();
    append(&mut audit, 2 * ORDERS.lines);
    let (ends, integrity) = resume(&file, audit.ends());
    assert_eq!((ends, integrity), (audit.ends(), LogIntegrity::Whole));
    let (line, _) = read_line(&file, STEPS, 0).unwrap();
    assert!(String::from_utf8_lossy(&line).contains("event=permitted asked=step"));
}
