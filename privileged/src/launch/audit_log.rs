//! The audit log at a start: where it ends, whether it is unaltered, and whether it contains granted orders.
//! [`ipc::audit_line`] defines its format; the keeper appends to it.

use ipc::audit_line::{End, LINE, LINES, TEXT, chain, parse, place, sequence};
use ipc::message::handover::LogIntegrity;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What is wrong with the log, for the administrator.
pub fn message(integrity: LogIntegrity) -> Option<&'static str> {
    match integrity {
        LogIntegrity::Whole => None,
        LogIntegrity::Cut => Some(
            "audit.log does not end where the governor's record says: lines were cut off or changed, or lost in a \
             power cut; it goes on from its last whole line",
        ),
        LogIntegrity::Altered => Some(
            "audit.log does not hold what was written into it: older lines were overwritten or changed, or lost in a \
             power cut (chimerctl audit --verify says which); it goes on from its last whole line",
        ),
    }
}

/// Finds the end of the ring and checks its integrity; `known` is the end according to the governor's record. A
/// truncated last line is overwritten; if the first line is invalid, the end is that of the last valid line.
pub fn resume(file: &File, known: End) -> (End, LogIntegrity) {
    let sequence_at = |slot: u64| -> Option<u64> {
        let mut text = [0; 32];
        file.read_exact_at(&mut text, slot * LINE as u64).ok()?;
        // Another number in this place is a mixture of two lines, left by a write that was cut short.
        sequence(&text).filter(|sequence| sequence % LINES == slot)
    };
    let last = match sequence_at(0) {
        Some(first) => {
            // Slots 0..=end have consecutive numbers; the end is where the sequence breaks.
            let (mut low, mut high) = (0, LINES - 1);
            while low < high {
                let middle = (low + high).div_ceil(2);
                if sequence_at(middle) == Some(first.saturating_add(middle)) {
                    low = middle;
                } else {
                    high = middle - 1;
                }
            }
            Some(first.saturating_add(low))
        }
        None => (1..LINES).filter_map(sequence_at).max(),
    };
    // At most one line was being written when the daemon ended; more invalid lines were altered.
    let whole_line = |sequence: u64| Some(End { lines: sequence + 1, hash: read_whole(file, sequence)? });
    let end = last.filter(|last| *last < u64::MAX - LINES).and_then(|last| {
        let before = last.saturating_sub(LINES - 1)..=last;
        before.rev().find_map(whole_line)
    });
    let end = end.unwrap_or(End::NONE);
    let is_known = end == known || end.lines > known.lines;
    let integrity = if !is_known {
        LogIntegrity::Cut
    } else if has_gap(file, end.lines) {
        LogIntegrity::Altered
    } else {
        LogIntegrity::Whole
    };
    (end, integrity)
}

/// The hash of the line with this number, if its text matches it. (A truncated line is followed by the rest of the
/// previous line in its slot.)
fn read_whole(file: &File, sequence: u64) -> Option<[u8; 32]> {
    let (line, hash) = read_line(file, sequence)?;
    let before = match sequence {
        0 => [0; 32],
        _ => read_line(file, sequence - 1)?.1,
    };
    (chain(&before, &line[..TEXT]) == hash).then_some(hash)
}

/// The line with this number and the hash in it; `None` if its slot holds something else.
fn read_line(file: &File, sequence: u64) -> Option<([u8; LINE], [u8; 32])> {
    let mut line = [0; LINE];
    file.read_exact_at(&mut line, place(sequence)).ok()?;
    let (found, hash) = parse(&line)?;
    (found == sequence).then_some((line, hash))
}

/// Whether a line before the end `next` is missing or is not the one that was hashed. The search ends at a
/// start that found the log altered, since that start has reported it.
fn has_gap(file: &File, next: u64) -> bool {
    let Some(last) = next.checked_sub(1) else {
        return holds_anything(file);
    };
    // The oldest line of a full ring may be one that a newer one was being written over.
    let first = next.saturating_sub(LINES - 1);
    let Some(mut newer) = read_line(file, last) else { return true };
    for sequence in (first..last).rev() {
        if tells_of_a_gap(&newer.0) {
            return false;
        }
        match read_line(file, sequence) {
            Some(line) if chain(&line.1, &newer.0[..TEXT]) == newer.1 => newer = line,
            _ => return true,
        }
    }
    first == 0 && !tells_of_a_gap(&newer.0) && chain(&[0; 32], &newer.0[..TEXT]) != newer.1
}

/// Whether it is the line of a start that found the log cut or altered.
fn tells_of_a_gap(line: &[u8; LINE]) -> bool {
    let mut words = line[..TEXT].split(|octet| *octet == b' ');
    words.any(|word| word == b"event=start")
        && words.any(|word| matches!(word.strip_prefix(b"log="), Some(log) if log != b"whole"))
}

/// Whether a log without a whole line has more than the beginning of its first one.
fn holds_anything(file: &File) -> bool {
    let mut line = [0; LINE];
    (1..LINES).any(|slot| {
        file.read_exact_at(&mut line, slot * LINE as u64).is_ok() && line.iter().any(|octet| *octet != 0)
    })
}

/// Whether anything may ever have been granted: false only if all lines, from the first on, are readable and report
/// only first starts, ends, refusals and changes by other programs.
pub fn may_have_granted(file: &File) -> bool {
    let mut line = [0; LINE];
    for slot in 0..LINES {
        match file.read_exact_at(&mut line, slot * LINE as u64) {
            Ok(()) => {}
            Err(error) => return error.kind() != io::ErrorKind::UnexpectedEof,
        }
        let Some(found) = sequence(&line) else { continue };
        // Earlier lines were overwritten.
        if found != slot || !is_idle(&line[..TEXT]) {
            return true;
        }
    }
    false
}

/// Whether a line shows that nothing was granted, now or before. A truncated line shows nothing.
fn is_idle(text: &[u8]) -> bool {
    let mut words = text.split(|octet| *octet == b' ');
    let event = words.by_ref().find_map(|word| word.strip_prefix(b"event="));
    match event {
        Some(b"start") => is_idle_start(words, text.contains(&0)),
        None | Some(b"stop" | b"refused" | b"foreign-step" | b"foreign-frequency" | b"resume") => true,
        // The line was cut within this word.
        Some(event) => event.contains(&0),
    }
}

/// Whether a start shows that nothing was granted before: its record was new, or kept beside a whole log. Any other
/// start, and one beside a log that was cut, may have lost what was granted.
fn is_idle_start<'a>(words: impl Iterator<Item = &'a [u8]>, is_cut: bool) -> bool {
    let (mut record, mut log) = (None, None);
    for word in words.filter(|word| !word.contains(&0)) {
        record = record.or(word.strip_prefix(b"record="));
        log = log.or(word.strip_prefix(b"log="));
    }
    let is_idle = |word: Option<&[u8]>, idle: &[&[u8]]| match word {
        Some(word) => idle.contains(&word),
        None => is_cut,
    };
    is_idle(record, &[b"first-start", b"new-by-operator", b"resumed"]) && is_idle(log, &[b"whole"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::audit_line::LENGTH;
    use ipc::units::{RawInstant, WallTime};
    use keeper::audit::Audit;

    fn ring() -> File {
        let file = File::from(
            nix::sys::memfd::memfd_create("ring", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).unwrap(),
        );
        file.set_len(LENGTH).unwrap();
        file
    }

    fn after(file: &File, end: End) -> Audit {
        Audit::after(file.try_clone().unwrap(), end)
    }

    fn append(audit: &mut Audit, count: u64) {
        for _ in 0..count {
            audit.append(WallTime::MIN, RawInstant::MIN, format_args!("event=test")).unwrap();
        }
    }

    fn open(file: &File) -> Audit {
        after(file, resume(file, End::NONE).0)
    }

    #[test]
    fn the_whole_log_is_within_what_this_process_may_write() {
        let file = ring();
        let mut audit = open(&file);
        append(&mut audit, 2 * LINES + 1);
        let most = policies::Role::Privileged.confinement().largest_file;
        assert!(Some(file.metadata().unwrap().len()) <= most);
    }

    #[test]
    fn the_chain_goes_on_after_a_restart_at_any_fill() {
        for count in [0, 1, 2, LINES - 1, LINES, LINES + 1, 2 * LINES + 77] {
            let file = ring();
            let mut audit = open(&file);
            append(&mut audit, count);
            let (again, whole) = resume(&file, audit.end());
            assert_eq!(again, audit.end(), "after {count}");
            assert_eq!(whole, LogIntegrity::Whole, "after {count}");
        }
    }

    #[test]
    fn a140_a_cut_end_and_an_edited_end_are_seen() {
        let file = ring();
        let mut audit = open(&file);
        append(&mut audit, 10);
        let record = audit.end();
        file.write_all_at(&[0; LINE], 9 * LINE as u64).unwrap();
        assert_eq!(resume(&file, record).1, LogIntegrity::Cut);
        let mut audit = open(&file);
        audit.append(WallTime::MIN, RawInstant::MIN, format_args!("event=other")).unwrap();
        assert_eq!(resume(&file, record).1, LogIntegrity::Cut, "replaced");
    }

    #[test]
    fn a140_lines_that_are_overwritten_before_a_whole_end_are_seen_until_a_start_has_said_so() {
        for count in [3, 10, LINES, LINES + 77, 2 * LINES + 9] {
            // Of a full ring the oldest line is one that a crash may have left half written, and the next hangs on it.
            let oldest = (count + 2).saturating_sub(LINES);
            for altered in [oldest, oldest + 1, count - 2] {
                let file = ring();
                let mut audit = open(&file);
                append(&mut audit, count);
                let record = audit.end();
                file.write_all_at(b"x", altered % LINES * LINE as u64 + 200).unwrap();
                let (end, whole) = resume(&file, record);
                let mut again = after(&file, end);
                assert_eq!(whole, LogIntegrity::Altered, "line {altered} of {count}");
                let said =
                    format_args!("event=start version=1 record=resumed log={} clock=Kernel", whole.word());
                again.append(WallTime::MIN, RawInstant::MIN, said).unwrap();
                append(&mut again, 2);
                let (_, whole) = resume(&file, again.end());
                assert_eq!(whole, LogIntegrity::Whole, "line {altered} of {count}, said");
            }
        }
    }

    #[test]
    fn a140_a_log_of_something_else_is_no_new_one() {
        let file = ring();
        file.write_all_at(&[0xff; 2 * LINE], 0).unwrap();
        let record = End::NONE;
        assert_eq!(resume(&file, record).1, LogIntegrity::Altered);
        assert_eq!(resume(&ring(), record).1, LogIntegrity::Whole);
    }

    #[test]
    fn a_line_that_was_cut_short_is_written_over() {
        for count in [1, 2, 10, LINES, LINES + 1, LINES + 2] {
            for cut in [1, 12, 200, TEXT + 20, LINE - 1] {
                let file = ring();
                let mut audit = open(&file);
                append(&mut audit, count - 1);
                let before = audit.end();
                append(&mut audit, 1);
                let place = (count - 1) % LINES * LINE as u64;
                file.write_all_at(&vec![0; LINE - cut], place + cut as u64).unwrap();
                let (again, whole) = resume(&file, audit.end());
                assert_eq!(again, before, "line {count} after {cut} octets");
                assert_eq!(whole, LogIntegrity::Cut, "line {count} after {cut} octets");
            }
        }
    }

    #[test]
    fn a_line_that_was_cut_short_over_an_older_one_is_written_over() {
        for count in [LINES + 1, LINES + 2, LINES + 77, 2 * LINES, 2 * LINES + 1, 2 * LINES + 9] {
            let file = ring();
            let mut audit = open(&file);
            append(&mut audit, count - 1);
            let (before, place) = (audit.end(), (count - 1) % LINES * LINE as u64);
            let mut old = [0; LINE];
            file.read_exact_at(&mut old, place).unwrap();
            append(&mut audit, 1);
            let mut new = [0; LINE];
            file.read_exact_at(&mut new, place).unwrap();
            // Only the hash shows the last of these cuts: number, frame and line feed are valid.
            for cut in [1, 10, 11, 12, 13, 14, 16, 45, 60, 200, TEXT, TEXT + 6, TEXT + 20, LINE - 2] {
                let torn = [&new[..cut], &old[cut..]].concat();
                file.write_all_at(&torn, place).unwrap();
                let (again, whole) = resume(&file, audit.end());
                assert_eq!(again, before, "line {count} after {cut} octets");
                assert_eq!(whole, LogIntegrity::Cut, "line {count} after {cut} octets");
            }
        }
    }
}
