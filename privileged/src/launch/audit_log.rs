//! The audit log at a start: where it ends, whether it is unaltered, and whether it contains granted orders.
//! [`ipc::audit_line`] defines its format; the keeper appends to it.

use ipc::audit_line::{
    End, LINE, ORDERS, Ring, STEPS, TEXT, UNSYNCHRONISED, chain, found_at_start, parse, sequence,
};
use ipc::message::handover::LogIntegrity;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What is wrong with the log, for the administrator, and how serious it is (a level of syslog).
pub fn message(integrity: LogIntegrity) -> Option<(u8, &'static str)> {
    match integrity {
        LogIntegrity::Whole => None,
        LogIntegrity::Torn => Some((
            5,
            "the last lines of audit.log were lost when the machine went down, or were being written at that moment; all \
             lines up to the last write of the governor's record are there, and each step",
        )),
        LogIntegrity::Cut => Some((
            3,
            "audit.log does not end where the governor's record says: lines that were safe on the disk were cut off or \
             changed; it goes on from its last whole line",
        )),
        LogIntegrity::Altered => Some((
            3,
            "audit.log does not hold what was written into it: lines that were safe on the disk were overwritten or \
             changed (chimerctl audit --verify says which); it goes on from its last whole line",
        )),
    }
}

/// Proves that it can be written: puts back as it is what the next line of each ring replaces, and synchronises it. A line that
/// cannot be read is given up.
///
/// # Errors
/// The file's error.
pub fn prove(file: &File, (orders, steps): (End, End)) -> io::Result<()> {
    for (ring, end) in [(ORDERS, orders), (STEPS, steps)] {
        let (mut line, place) = ([0; LINE], ring.place(end.lines));
        if file.read_exact_at(&mut line, place).is_err() {
            line = [0; LINE];
        }
        file.write_all_at(&line, place)?;
    }
    file.sync_data()
}

/// Where the keeper continues both rings, and whether they are what was written; `known` are the ends of the rings in the
/// governor's record.
pub fn resume(file: &File, known: (End, End)) -> ((End, End), LogIntegrity) {
    let (orders, of_orders) = resume_ring(file, ORDERS, known.0);
    let (steps, of_steps) = resume_ring(file, STEPS, known.1);
    ((orders, steps), of_orders.max(of_steps))
}

/// Finds the end of a ring and checks its integrity. `known` is the end up to which it was synchronised: what is missing
/// before it was taken out, and what is missing after it was never finished.
fn resume_ring(file: &File, ring: Ring, known: End) -> (End, LogIntegrity) {
    let known_line = known.lines.checked_sub(1).and_then(|last| read_line(file, ring, last));
    if known_line.is_some_and(|(_, hash)| hash == known.hash) {
        let end = follow(file, ring, known);
        let cleared = count_cleared(file, ring, known, end);
        let lost = clear_unfinished(file, ring, known, end);
        let is_torn = |lost| lost > 0 && !has_gap(file, ring, end.lines, lost);
        let integrity = match lost {
            0 if !has_gap(file, ring, end.lines, 0) => LogIntegrity::Whole,
            // Another power cut has taken the line of the start that cleared them, and left them cleared.
            lost if is_torn(lost.max(cleared)) => LogIntegrity::Torn,
            _ => LogIntegrity::Altered,
        };
        return (end, integrity);
    }
    // Nothing is known of it, its last line is another one, or the ring has been written all around since.
    let end = search(file, ring);
    let is_known = end == known
        || end.lines > known.lines && (known.lines == 0 || end.lines - known.lines >= ring.lines);
    let integrity = if !is_known {
        LogIntegrity::Cut
    } else if has_gap(file, ring, end.lines, 0) {
        LogIntegrity::Altered
    } else {
        LogIntegrity::Whole
    };
    // What is left behind the end must not look like the work of a power cut to the next start.
    clear_unfinished(file, ring, end, end);
    (end, integrity)
}

/// The end of the unbroken chain from `end` on.
fn follow(file: &File, ring: Ring, mut end: End) -> End {
    for _ in 0..ring.lines {
        match read_line(file, ring, end.lines) {
            Some((line, hash)) if chain(&end.hash, &line[..TEXT]) == hash => {
                end = End { lines: end.lines + 1, hash };
            }
            _ => break,
        }
    }
    end
}

/// Over how many slots behind the end, of a ring that is full, those are spread that hold nothing and that a power cut explains: an
/// earlier start has cleared them.
fn count_cleared(file: &File, ring: Ring, known: End, end: End) -> u64 {
    let reach = (known.lines + UNSYNCHRONISED.min(ring.lines - 1)).saturating_sub(end.lines);
    let is_cleared = |ahead: &u64| {
        let (sequence, mut line) = (end.lines + ahead, [0; LINE]);
        sequence >= ring.lines
            && file.read_exact_at(&mut line, ring.place(sequence)).is_ok()
            && line.iter().all(|octet| *octet == 0)
    };
    (0..reach).rev().find(is_cleared).map_or(0, |last| last + 1)
}

/// Clears what stands behind the end and is neither nothing nor a line of the round before: lines that reached the disk
/// without one before them, and unfinished ones. How many slots behind the end they were spread over.
fn clear_unfinished(file: &File, ring: Ring, known: End, end: End) -> u64 {
    let reach = (known.lines + UNSYNCHRONISED.min(ring.lines - 1)).saturating_sub(end.lines);
    let is_unfinished = |ahead: &u64| {
        let sequence = end.lines + ahead;
        let mut line = [0; LINE];
        let is_old =
            |line: &[u8]| Some(sequence) == parse(line).and_then(|(found, _)| found.checked_add(ring.lines));
        file.read_exact_at(&mut line, ring.place(sequence)).is_ok()
            && line.iter().any(|octet| *octet != 0)
            && !is_old(&line)
    };
    let Some(last) = (0..reach).rev().find(is_unfinished) else { return 0 };
    for ahead in 0..=last {
        // If this fails, the next start finds the same and says it again.
        let _ = file.write_all_at(&[0; LINE], ring.place(end.lines + ahead));
    }
    last + 1
}

/// The end of a ring of which nothing is known: a truncated last line is overwritten; if the first line is invalid, the
/// end is that of the last valid line.
fn search(file: &File, ring: Ring) -> End {
    let sequence_at = |slot: u64| -> Option<u64> {
        let mut text = [0; 32];
        file.read_exact_at(&mut text, ring.slot(slot)).ok()?;
        // Another number in this place is a mixture of two lines, left by a write that was cut short.
        sequence(&text).filter(|sequence| sequence % ring.lines == slot)
    };
    let last = match sequence_at(0) {
        Some(first) => {
            // Slots 0..=end have consecutive numbers; the end is where the sequence breaks.
            let (mut low, mut high) = (0, ring.lines - 1);
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
        None => (1..ring.lines).filter_map(sequence_at).max(),
    };
    // At most one line was being written when the daemon ended; more invalid lines were altered.
    let whole_line =
        |sequence: u64| Some(End { lines: sequence + 1, hash: read_whole(file, ring, sequence)? });
    let end = last.filter(|last| *last < u64::MAX - ring.lines).and_then(|last| {
        let before = last.saturating_sub(ring.lines - 1)..=last;
        before.rev().find_map(whole_line)
    });
    end.unwrap_or(End::NONE)
}

/// The hash of the line with this number, if its text matches it. (A truncated line is followed by the rest of the
/// previous line in its slot.)
fn read_whole(file: &File, ring: Ring, sequence: u64) -> Option<[u8; 32]> {
    let (line, hash) = read_line(file, ring, sequence)?;
    let before = match sequence {
        0 => [0; 32],
        _ => read_line(file, ring, sequence - 1)?.1,
    };
    (chain(&before, &line[..TEXT]) == hash).then_some(hash)
}

/// The line with this number and the hash in it; `None` if its slot holds something else.
fn read_line(file: &File, ring: Ring, sequence: u64) -> Option<([u8; LINE], [u8; 32])> {
    let mut line = [0; LINE];
    file.read_exact_at(&mut line, ring.place(sequence)).ok()?;
    let (found, hash) = parse(&line)?;
    (found == sequence).then_some((line, hash))
}

/// Whether a line before the end `next` is missing or is not the one that was hashed. The search ends at a
/// start that found the log altered, since that start has reported it. `lost`: over how many lines of the round before
/// others were written that are lost.
fn has_gap(file: &File, ring: Ring, next: u64, lost: u64) -> bool {
    let Some(last) = next.checked_sub(1) else {
        return holds_anything(file, ring);
    };
    // The oldest line of a full ring may be one that a newer one was being written over.
    let first = next.saturating_sub(ring.lines - 1 - lost.min(ring.lines - 1)).min(last);
    let Some(mut newer) = read_line(file, ring, last) else { return true };
    for sequence in (first..last).rev() {
        if tells_of_a_gap(&newer.0) {
            return false;
        }
        match read_line(file, ring, sequence) {
            Some(line) if chain(&line.1, &newer.0[..TEXT]) == newer.1 => newer = line,
            _ => return true,
        }
    }
    first == 0 && !tells_of_a_gap(&newer.0) && chain(&[0; 32], &newer.0[..TEXT]) != newer.1
}

/// Whether it is the line of a start that found the log cut or altered.
fn tells_of_a_gap(line: &[u8; LINE]) -> bool {
    found_at_start(&line[..TEXT]).is_some_and(|log| log != LogIntegrity::Whole.word().as_bytes())
}

/// Whether a log without a whole line has more than the beginning of its first one.
fn holds_anything(file: &File, ring: Ring) -> bool {
    let mut line = [0; LINE];
    (1..ring.lines).any(|slot| {
        file.read_exact_at(&mut line, ring.slot(slot)).is_ok() && line.iter().any(|octet| *octet != 0)
    })
}

/// Whether anything may ever have been granted: false only if all lines, from the first on, are readable and report
/// only first starts, ends, refusals and changes by other programs.
pub fn may_have_granted(file: &File) -> bool {
    let mut line = [0; LINE];
    for slot in 0..ORDERS.lines {
        match file.read_exact_at(&mut line, ORDERS.slot(slot)) {
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
        Some(b"unwritten") => words
            .find_map(|word| word.strip_prefix(b"kind="))
            .is_none_or(|kind| matches!(kind, b"refusal" | b"start" | b"stop") || kind.contains(&0)),
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
mod tests;
