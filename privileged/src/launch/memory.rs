//! The governor's history: its record or, if that is lost, the audit log. No state that a crash or power failure leaves
//! prevents a start.

use super::audit_log;
use ipc::audit_line::End;
use ipc::governor_record::{LENGTH, PLACES, Record, SLOT};
use ipc::message::handover::Memory;
use ipc::message::privileged::Profile;
use keeper::ending::say;
use keeper::governor::limits;
use nix::errno::Errno;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

/// What [`Record::spent`] leaves, for the administrator.
const SPENT: &str = "budgets start empty: no start step in this boot and no resume step for 24 h; the phase budget of a day is \
                     back after 24 h, and for 30 days that of the month lacks one day's part; changes of the clock by other \
                     programs are still undone; if that is too little, restore the file, or start once with --new-record";

/// Octets from one slot's place to the next.
const SECTOR: usize = (PLACES[1] - PLACES[0]) as usize;

/// The file, as two sectors that begin with a slot each; one that cannot be read counts as torn.
fn read_sectors(file: &File) -> [[u8; SECTOR]; 2] {
    PLACES.map(|place| read_sector(file, place).unwrap_or([0xff; SECTOR]))
}

fn read_sector(file: &File, place: u64) -> Result<[u8; SECTOR], Errno> {
    let (mut sector, mut at) = ([0; SECTOR], 0);
    loop {
        match file.read_at(&mut sector[at..], place + at as u64) {
            Ok(0) => return Ok(sector),
            Ok(count) => at += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(super::diagnosis::errno(&error)),
        }
    }
}

/// The newest record in the file.
fn newest(sectors: &[[u8; SECTOR]; 2]) -> Option<Record> {
    Record::newest(&sectors.each_ref().map(|sector| sector.first_chunk().copied().unwrap_or([0; SLOT])))
}

/// Without a valid slot the audit log decides: it is a first start only if no line of the log grants anything.
fn judge([first, second]: &[[u8; SECTOR]; 2], may_have_granted: impl FnOnce() -> bool) -> Memory {
    // The first write goes to the second slot. If anything stands elsewhere, more was written, or by another version.
    if first.iter().chain(&second[SLOT..]).any(|octet| *octet != 0) {
        Memory::Damaged
    } else if may_have_granted() {
        Memory::Lost
    } else {
        // Also a first write that was cut short: nothing can have been granted before it.
        Memory::FirstStart
    }
}

/// What is wrong, for the administrator; what follows from it is [`SPENT`].
fn message(memory: Memory) -> Option<&'static str> {
    match memory {
        Memory::Lost => Some("the governor's record is lost although this is not the first start"),
        Memory::Damaged => Some("the governor's record is damaged, or of another version of truechimer"),
        Memory::FirstStart | Memory::Resumed | Memory::NewByOperator => None,
    }
}

/// How the record of a run is found.
pub struct Circumstances {
    /// `--new-record`.
    pub forget: bool,
    /// The record or the audit log was set aside: its absence does not mean that this is a first start.
    pub is_distrusted: bool,
    /// Which column of the table is in force.
    pub profile: Profile,
    /// The number of this boot.
    pub boot_id: [u8; 16],
}

/// The record that this run begins with, and where it comes from.
pub fn recall(file: &File, audit: &File, of: &Circumstances) -> (Memory, Record) {
    let sectors = read_sectors(file);
    let newest = newest(&sectors);
    // A new record must outrank the one that it replaces from its first write on.
    let sequence = newest.as_ref().map_or(0, |record| record.sequence);
    let kept = newest.filter(|_| !of.forget);
    let memory = match &kept {
        _ if of.forget => Memory::NewByOperator,
        Some(_) => Memory::Resumed,
        None if of.is_distrusted => Memory::Lost,
        None => judge(&sectors, || audit_log::may_have_granted(audit)),
    };
    if let Some(message) = message(memory) {
        say(3, &format_args!("{message}: {SPENT}"));
        // What another version left elsewhere in the file would be taken up again after a downgrade. If this fails, the
        // budgets are empty all the same.
        let _ = void(file);
    }
    let now = ipc_clock::boot();
    let day = limits::of(of.profile).phase_day;
    let record = kept.unwrap_or_else(|| match memory {
        Memory::FirstStart | Memory::NewByOperator => Record { sequence, ..Record::born(of.boot_id, now) },
        _ => Record::spent(of.boot_id, now, day, limits::SEARCH),
    });
    (memory, record)
}

/// Puts the record of `theirs` into `ours` if it is the newer one. False: `theirs` has been written, and has none, and nor
/// has `ours`.
pub fn continue_from(ours: &File, theirs: &File) -> bool {
    let (own, other) = (read_sectors(ours), read_sectors(theirs));
    match (newest(&own), newest(&other)) {
        (Some(own), Some(other)) if own.sequence >= other.sequence => true,
        // What cannot be written now cannot be charged either: the keeper refuses then.
        (_, Some(other)) => ours.write_all_at(&other.to_octets(), other.place()).is_ok(),
        (Some(_), None) => true,
        (None, None) => other.as_flattened().iter().all(|octet| *octet == 0),
    }
}

/// Puts the record of `theirs`, of the run directory, into `ours`, of the state directory, if it is the newer one, and
/// synchronises it; true: it was. The audit log goes on where that of the state directory ended.
///
/// # Errors
/// The error of the failed system call.
pub fn take_back(ours: &File, theirs: &File) -> Result<bool, Errno> {
    let (own, other) = (newest(&read_sectors(ours)), newest(&read_sectors(theirs)));
    let Some(mut other) = other else { return Ok(false) };
    if own.as_ref().is_some_and(|own| own.sequence >= other.sequence) {
        return Ok(false);
    }
    (other.audit, other.audit_steps) = own.map_or((End::NONE, End::NONE), |own| (own.audit, own.audit_steps));
    ours.write_all_at(&other.to_octets(), other.place()).map_err(|error| super::diagnosis::errno(&error))?;
    nix::unistd::fdatasync(ours)?;
    Ok(true)
}

/// Proves that the record can be written: puts back as it is what the next write replaces, and synchronises it. The newer slot is
/// left alone, so that a power cut in the middle loses nothing. Returns where the audit log ends, as the record says.
///
/// # Errors
/// The error of the failed system call.
pub fn prove(file: &File) -> Result<(End, End), Errno> {
    // A slot that cannot be read now is not written over: it may be the newer one.
    let sectors = [read_sector(file, PLACES[0])?, read_sector(file, PLACES[1])?];
    let newest = newest(&sectors);
    for (place, sector) in PLACES.into_iter().zip(&sectors) {
        if newest.as_ref().is_none_or(|record| record.place() != place) {
            file.write_all_at(&sector[..SLOT], place).map_err(|error| super::diagnosis::errno(&error))?;
        }
    }
    nix::unistd::fdatasync(file)?;
    Ok(newest.map_or((End::NONE, End::NONE), |record| (record.audit, record.audit_steps)))
}

/// After the record or the audit log was replaced: marks a file without a record as damaged, and synchronises it. If
/// this start ends before it has written a record, the next one must not take an empty file for a first start.
///
/// # Errors
/// The error of the failed system call.
pub fn void(file: &File) -> Result<(), Errno> {
    if newest(&read_sectors(file)).is_some() {
        return Ok(());
    }
    file.write_all_at(&[0xff; LENGTH as usize], 0).map_err(|error| super::diagnosis::errno(&error))?;
    nix::unistd::fdatasync(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::audit_line::{self, End, LINE, ORDERS};
    use ipc::units::{BootInstant, RawInstant, Span, WallTime};
    use keeper::audit::Audit;
    use keeper::governor::budget;
    use nix::sys::memfd::{MFdFlags, memfd_create};

    fn file(octets: &[u8]) -> File {
        let file = File::from(memfd_create("memory", MFdFlags::MFD_CLOEXEC).unwrap());
        file.write_all_at(octets, 0).unwrap();
        file
    }

    fn log(lines: &[&str]) -> File {
        let file = file(&[]);
        file.set_len(audit_line::LENGTH).unwrap();
        let mut audit = Audit::after(file.try_clone().unwrap(), End::NONE, End::NONE);
        for line in lines {
            audit.append(WallTime::MIN, RawInstant::MIN, format_args!("{line}")).unwrap();
        }
        file
    }

    const ORDINARY: Circumstances =
        Circumstances { forget: false, is_distrusted: false, profile: Profile::Standard, boot_id: [2; 16] };

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
        let wrapped = log(&vec!["event=refused asked=step code=Rate"; ORDERS.lines as usize + 3]);
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
            (
                "orders that were summed up",
                log(&[
                    "event=start version=1 record=first-start log=whole",
                    "event=unwritten kind=adjust unwritten=1",
                ]),
                true,
            ),
            (
                "refusals that were summed up",
                log(&[
                    "event=start version=1 record=first-start log=whole",
                    "event=unwritten kind=refusal unwritten=1",
                ]),
                false,
            ),
            ("a start that says nothing", log(&["event=start version=1"]), true),
            ("a start of another kind", log(&["event=start version=1 record=other log=whole"]), true),
            ("an operator's", log(&["event=start version=1 record=new-by-operator log=whole"]), false),
        ]
    }

    fn slots() -> Vec<(&'static str, Vec<u8>)> {
        let slot = |sequence: u64| {
            let mut record = Record::born([1; 16], BootInstant::MIN);
            record.sequence = sequence;
            record.to_octets()
        };
        // Right under its checksum, and of no version that is known.
        let other = |sequence: u64| {
            let mut octets = slot(sequence);
            octets[0] ^= 1;
            let (kept, check) = octets.split_at_mut(SLOT - 32);
            check.copy_from_slice(&hmac_sha256::Hash::hash(kept));
            octets
        };
        let torn = |sequence: u64| {
            let mut octets = slot(sequence);
            octets[10..].fill(0);
            octets
        };
        let both = |first: [u8; SLOT], second: [u8; SLOT]| {
            let mut octets = vec![0; LENGTH as usize];
            for (place, slot) in PLACES.into_iter().zip([first, second]) {
                octets[place as usize..][..SLOT].copy_from_slice(&slot);
            }
            octets
        };
        vec![
            ("missing", Vec::new()),
            ("zero", vec![0; LENGTH as usize]),
            ("first write torn", both([0; SLOT], torn(1))),
            ("one slot torn", both(slot(2), torn(3))),
            ("both torn", both(torn(2), torn(3))),
            ("of another version", both(other(2), other(3))),
            ("of a version with other places", [other(2), other(3)].concat()),
            ("of one whose slots were smaller", vec![0x55; 1024]),
            ("of one whose slots were larger", [vec![0; SLOT], vec![0x55; SLOT]].concat()),
            ("first write whole", both([0; SLOT], slot(1))),
        ]
    }

    #[test]
    fn a130_every_pair_of_record_and_audit_log_starts_and_only_an_idle_past_has_a_budget() {
        let limits = limits::of(Profile::Standard);
        for (log, audit, granted) in audits() {
            for (kept, octets) in slots() {
                let kept_file = file(&octets);
                let (memory, record) = recall(&kept_file, &audit, &ORDINARY);
                let expected = match kept {
                    "missing" | "zero" | "first write torn" if granted => Memory::Lost,
                    "missing" | "zero" | "first write torn" => Memory::FirstStart,
                    "both torn" => Memory::Damaged,
                    other if other.starts_with("of ") => Memory::Damaged,
                    _ => Memory::Resumed,
                };
                assert_eq!(memory, expected, "record {kept}, audit {log}");
                if matches!(memory, Memory::Lost | Memory::Damaged) {
                    // Nothing is left that another version could resume.
                    let mut left = vec![0; LENGTH as usize];
                    kept_file.read_exact_at(&mut left, 0).unwrap();
                    assert!(left.iter().all(|octet| *octet == 0xff), "record {kept}, audit {log}");
                }
                let has_steps = record.start_steps == 0;
                let may_step = matches!(memory, Memory::FirstStart | Memory::Resumed);
                assert_eq!(has_steps, may_step, "record {kept}, audit {log}");
                // Nor anything else: no budget of a day, not all of a month's, no wide band of a first hour.
                let days: i64 = record.days.iter().map(|micros| i64::from(*micros) * 1_000).sum();
                let month_left = limits.phase_month.less(Span::saturating(days));
                let (left, month, searches) = match may_step {
                    true => (limits.phase_day, limits.phase_month, true),
                    false => (Span::ZERO, limits.phase_month.less(limits.phase_day), false),
                };
                assert_eq!(budget::remaining(&record, limits), left, "record {kept}, audit {log}");
                assert_eq!(month_left, month, "record {kept}, audit {log}");
                let band = record.under_orders < limits::SEARCH;
                assert_eq!(band, searches, "record {kept}, audit {log}");
                // In every case the log continues.
                let ((end, steps), _) = audit_log::resume(&audit, (record.audit, record.audit_steps));
                let mut audit = Audit::after(audit.try_clone().unwrap(), end, steps);
                let end = audit.ends().0.lines;
                let copy = audit.append(
                    WallTime::MIN,
                    RawInstant::MIN,
                    format_args!("event=start record=resumed log=whole"),
                );
                copy.unwrap_or_else(|error| panic!("record {kept}, audit {log}: {error}"));
                assert_eq!(audit.ends().0.lines, end + 1);
            }
        }
    }

    #[test]
    fn that_a_record_can_be_written_is_proved_without_a_change_and_a_full_disk_is_found() {
        for (kept, octets) in slots() {
            let mut octets = octets;
            octets.resize(LENGTH as usize, 0);
            let kept_file = file(&octets);
            assert!(prove(&kept_file).is_ok(), "{kept}");
            let mut left = vec![0; LENGTH as usize];
            kept_file.read_exact_at(&mut left, 0).unwrap();
            assert_eq!(left, octets, "{kept}");
        }
        let full = File::options().read(true).write(true).open("/dev/full").unwrap();
        assert_eq!(prove(&full), Err(Errno::ENOSPC));
    }

    #[test]
    fn a_record_forgotten_by_an_operator_is_new_whatever_was_there() {
        for (kept, octets) in slots() {
            let forgotten = Circumstances { forget: true, ..ORDINARY };
            let (memory, record) = recall(&file(&octets), &log(&IDLE), &forgotten);
            assert_eq!(memory, Memory::NewByOperator, "{kept}");
            let before = newest(&read_sectors(&file(&octets))).map_or(0, |record| record.sequence);
            let new = Record { sequence: before, ..Record::born([2; 16], record.boot_time) };
            assert_eq!(record, new, "{kept}");
            // Whatever ends this run after its first write, the next one finds this record.
            let kept_file = file(&octets);
            let first = Record { sequence: record.sequence + 1, ..record };
            kept_file.write_all_at(&first.to_octets(), first.place()).unwrap();
            assert_eq!(newest(&read_sectors(&kept_file)), Some(first), "{kept}");
        }
    }
}
