//! The governor's history: its record or, if that is lost, the audit log. No state that a crash or power failure leaves
//! prevents a start.

use super::audit_log;
use ipc::message::handover::Memory;
use keeper::ending::say;
use keeper::governor::record::{Record, SLOT};
use keeper::start::read_slots;
use nix::errno::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// What [`Record::spent`] leaves, for the administrator.
const SPENT: &str = "budgets start empty: no start step in this boot and no resume step for 24 h; the phase budget of a day is \
                     back after 24 h, and for 30 days that of the month lacks one day's part; what somebody else does to \
                     the clock is still undone; restore the file, or start once with --new-record, if that is too little";

/// Reads both slots and, if neither is valid, the audit log. It counts as a first start only if no line of the log
/// grants anything.
fn judge(slots: &[u8; 2 * SLOT], may_have_granted: impl FnOnce() -> bool) -> Memory {
    let (first, second) = slots.split_at(SLOT);
    let is_empty = |slot: &[u8]| slot.iter().all(|octet| *octet == 0);
    match (is_empty(first), is_empty(second)) {
        _ if Record::newest(slots).is_some() => Memory::Resumed,
        (false, false) => Memory::Damaged,
        // Also a first write that was cut short: before it nothing can have been granted.
        _ if may_have_granted() => Memory::Lost,
        _ => Memory::FirstStart,
    }
}

/// What is wrong, for the administrator; what follows from it is [`SPENT`].
fn message(memory: Memory) -> Option<&'static str> {
    match memory {
        Memory::Lost => Some("the governor's record is lost although this is not the first start"),
        Memory::Damaged => Some("the governor's record is damaged"),
        Memory::FirstStart | Memory::Resumed | Memory::NewByOperator => None,
    }
}

/// Which record this run begins with, and the newer whole one of the file. Where it or the audit log was set aside, its
/// absence is no first start.
pub fn recall(file: &File, audit: &File, forget: bool, is_distrusted: bool) -> (Memory, Option<Record>) {
    let slots = read_slots(file);
    let kept = Record::newest(&slots);
    let memory = match forget {
        true => Memory::NewByOperator,
        false if is_distrusted && kept.is_none() => Memory::Lost,
        false => judge(&slots, || audit_log::may_have_granted(audit)),
    };
    if let Some(message) = message(memory) {
        say(3, &format_args!("{message}: {SPENT}"));
    }
    (memory, kept)
}

/// After the record or the audit log was replaced: marks a file without a record as damaged, and synchronises it. If
/// this start ends before it has written a record, the next one must not take an empty file for a first start.
///
/// # Errors
/// The error of the failed system call.
pub fn void(file: &File) -> Result<(), Errno> {
    if Record::newest(&read_slots(file)).is_some() {
        return Ok(());
    }
    file.write_all_at(&[0xff; 2 * SLOT], 0).map_err(|error| super::diagnosis::errno(&error))?;
    nix::unistd::fdatasync(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::audit_line::{LENGTH, LINE, LINES};
    use ipc::message::privileged::Profile;
    use ipc::units::RawInstant;
    use ipc::units::WallTime;
    use keeper::audit::Audit;
    use keeper::governor::{budget, limits};
    use nix::sys::memfd::{MFdFlags, memfd_create};

    fn file(octets: &[u8]) -> File {
        let file = File::from(memfd_create("memory", MFdFlags::MFD_CLOEXEC).unwrap());
        file.write_all_at(octets, 0).unwrap();
        file
    }

    fn log(lines: &[&str]) -> File {
        let file = file(&[]);
        file.set_len(LENGTH).unwrap();
        let mut audit = Audit::after(file.try_clone().unwrap(), (0, [0; 32]));
        for line in lines {
            audit.append(WallTime::MIN, RawInstant::MIN, format_args!("{line}")).unwrap();
        }
        file
    }

    const BEGIN: ([u8; 16], i64, WallTime) = ([2; 16], 77, WallTime::MIN);

    const IDLE: [&str; 5] = [
        "event=start version=1 record=first-start log=whole",
        "event=refused asked=step code=Rate",
        "event=foreign-step moved_ns=1 epoch=2",
        "event=stop code=0 released=true",
        "event=start version=1 record=resumed log=whole",
    ];

    fn audits() -> Vec<(&'static str, File, bool)> {
        let granted = || {
            let mut lines = IDLE.to_vec();
            lines.extend(["event=applied asked=adjust frequency=1", "event=stop code=0 released=true"]);
            log(&lines)
        };
        let torn = |file: File, line: u64, from: u64| {
            file.write_all_at(&vec![0; LINE - from as usize], line * LINE as u64 + from).unwrap();
            file
        };
        let after_loss = log(&["event=start version=1 record=lost log=whole", "event=stop code=0"]);
        let wrapped = log(&vec!["event=refused asked=step code=Rate"; LINES as usize + 3]);
        vec![
            ("missing", file(&[]), false),
            ("zero", log(&[]), false),
            ("without grants", log(&IDLE), false),
            ("with grants", granted(), true),
            ("torn last line without grants", torn(log(&IDLE), 4, 100), false),
            ("torn to its first octets", torn(log(&IDLE), 4, 5), false),
            ("torn last line with grants", torn(granted(), 6, 100), true),
            ("after a loss", after_loss, true),
            ("older lines overwritten", wrapped, true),
            ("beside a log that was cut", log(&["event=start version=1 record=resumed log=CUT"]), true),
            ("a start that says nothing", log(&["event=start version=1"]), true),
            ("a start of another kind", log(&["event=start version=1 record=other log=whole"]), true),
            ("an operator's", log(&["event=start version=1 record=new-by-operator log=whole"]), false),
        ]
    }

    fn slots() -> Vec<(&'static str, Vec<u8>)> {
        let slot = |sequence: u64| {
            let mut record = Record::born([1; 16], 5, WallTime::MIN);
            record.sequence = sequence;
            record.to_octets()
        };
        let torn = |sequence: u64| {
            let mut octets = slot(sequence);
            octets[300..].fill(0);
            octets
        };
        let both = |first: [u8; SLOT], second: [u8; SLOT]| [first, second].concat();
        vec![
            ("missing", Vec::new()),
            ("zero", vec![0; 2 * SLOT]),
            ("first write torn", both([0; SLOT], torn(1))),
            ("one slot torn", both(slot(2), torn(3))),
            ("both torn", both(torn(2), torn(3))),
            ("first write whole", both([0; SLOT], slot(1))),
        ]
    }

    #[test]
    fn a130_every_pair_of_record_and_audit_log_starts_and_only_an_idle_past_has_a_budget() {
        let limits = limits::of(Profile::Standard);
        for (log, audit, granted) in audits() {
            for (kept, octets) in slots() {
                let (memory, newest) = recall(&file(&octets), &audit, false, false);
                let record = Record::of(memory, newest, limits, BEGIN);
                let expected = match kept {
                    "missing" | "zero" | "first write torn" if granted => Memory::Lost,
                    "missing" | "zero" | "first write torn" => Memory::FirstStart,
                    "both torn" => Memory::Damaged,
                    _ => Memory::Resumed,
                };
                assert_eq!(memory, expected, "record {kept}, audit {log}");
                let has_steps = record.start_steps == 0;
                let may_step = matches!(memory, Memory::FirstStart | Memory::Resumed);
                assert_eq!(has_steps, may_step, "record {kept}, audit {log}");
                // Nor anything else: no budget of a day, not all of a month's, no wide band of a first hour.
                let days: i64 = record.days.iter().map(|micros| i64::from(*micros) * 1_000).sum();
                let (left, month, searches) = match may_step {
                    true => (limits.phase_day, limits.phase_month, true),
                    false => (0, limits.phase_month - limits.phase_day, false),
                };
                assert_eq!(budget::remaining(&record, limits), left, "record {kept}, audit {log}");
                assert_eq!(limits.phase_month - days, month, "record {kept}, audit {log}");
                let band = record.commissioned_time < limits::SEARCH;
                assert_eq!(band, searches, "record {kept}, audit {log}");
                // In every case the log continues.
                let (end, _) = audit_log::resume(&audit, record.audit);
                let mut audit = Audit::after(audit.try_clone().unwrap(), end);
                let end = audit.end().0;
                let copy = audit.append(
                    WallTime::MIN,
                    RawInstant::MIN,
                    format_args!("event=start record=resumed log=whole"),
                );
                copy.unwrap_or_else(|error| panic!("record {kept}, audit {log}: {error}"));
                assert_eq!(audit.end().0, end + 1);
            }
        }
    }

    #[test]
    fn a_record_forgotten_by_an_operator_is_new_whatever_was_there() {
        for (kept, octets) in slots() {
            let (memory, newest) = recall(&file(&octets), &log(&IDLE), true, false);
            assert_eq!(memory, Memory::NewByOperator, "{kept}");
            let record = Record::of(memory, newest, limits::of(Profile::Standard), BEGIN);
            assert_eq!(record, Record::born([2; 16], 77, WallTime::MIN), "{kept}");
        }
    }
}
