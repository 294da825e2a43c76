//! Given the files of a host that was let alone, also in a power cut, then nothing is found, and this is proven.

use super::altered;
use crate::testing::{Disk, Host, keys};
use crate::{Files, verify};
use ipc::anchor::{Anchor, SLOT};

fn day() -> Host {
    let mut host = Host::new(3, 48, 7);
    for _ in 0..24 {
        host.hour();
        host.anchor();
        host.keep_anchors();
        host.orders();
    }
    host
}

#[test]
fn each_anchor_is_a_claim_and_the_last_one_says_what_is_proven_until_when() {
    let mut host = Host::new(3, 48, 7);
    (0..5).for_each(|_| host.hour());
    host.anchor();
    let (log, history) = host.ends();
    host.write("event=applied asked=adjust frequency=1");
    let disk = host.disk();
    let report = verify(&disk.files(&keys()));
    assert_eq!(report.findings, []);
    let claim = report.proven().unwrap();
    assert_eq!((claim.log, claim.history), (log, history));
    assert_eq!((claim.log_from, claim.history_from), (Some(0), Some(0)));
    assert_eq!(report.log.end.lines, log.lines + 1);
    let text = claim.to_string();
    let (line, record) = (log.lines - 1, history.lines - 1);
    let expected = format!(
        "records 0 to {line} of the audit log and records 0 to {record} of the history existed at the latest at 2026-11-30T"
    );
    assert!(text.starts_with(&expected) && text.contains(" ± 3 s, signed by server-"), "{text}");
    assert!(
        report.log.ends.iter().any(|end| end.starts_with("the governor's record: ")),
        "{:?}",
        report.log.ends
    );
    assert!(report.log.ends.iter().any(|end| end.starts_with("anchor 0: ")), "{:?}", report.log.ends);
    let ends = &report.history.unwrap().ends;
    assert!(ends.iter().any(|end| end.contains("of the audit log: it had")), "{ends:?}");
}

#[test]
fn without_keys_or_witnesses_nothing_is_proven_and_that_is_said() {
    let host = day();
    let disk = host.disk();
    let without_keys = verify(&Files { keys: None, ..disk.files(&[]) });
    assert_eq!(
        (without_keys.claims.len(), without_keys.has_keys, without_keys.findings.len()),
        (0, false, 0)
    );
    let others = verify(&disk.files(&[]));
    assert_eq!((others.claims.len(), others.findings.len(), others.is_altered), (0, 24, false));
    assert!(others.findings[0].text.contains("by a key that was given"), "{}", others.findings[0]);
    let alone = verify(&Files { log: &disk.log, ..Files::default() });
    assert_eq!((alone.findings.len(), alone.log.ends.len(), alone.history), (0, 0, None));
}

#[test]
fn a140_the_last_twenty_lines_are_missed_by_each_witness_that_is_there() {
    let host = day();
    let keys = keys();
    let mut disk = host.disk();
    let (end, _) = host.ends();
    for line in end.lines - 20..end.lines {
        let place = ipc::audit_line::ORDERS.place(line) as usize;
        disk.log[place..place + ipc::audit_line::LINE].fill(0);
    }
    let all = disk.files(&keys);
    let said = |files: &Files<'_>| altered(&verify(files)).join("\n");
    let by_governor = said(&Files { anchors: None, ..all });
    assert!(by_governor.contains("and the governor's record says that it had"), "{by_governor}");
    let by_anchor = said(&Files { governor: None, ..all });
    assert!(by_anchor.contains("anchor 23 proves that it had"), "{by_anchor}");
    let by_none = verify(&Files { governor: None, anchors: None, ..all });
    assert_eq!((altered(&by_none), by_none.log.ends.len()), (vec![], 0));
}

#[test]
fn a_step_that_was_taken_out_of_one_ring_is_missed() {
    let mut host = day();
    for delta in 0..3 {
        host.pass_minutes(1);
        host.write_step(&format!(
            "event=permitted asked=step why=Start delta_ns={delta} any_size=false by_leave=false"
        ));
    }
    host.persist();
    let disk = host.disk();
    assert_eq!(verify(&disk.files(&keys())).findings, []);
    // The ring of the steps computed anew, with other words in one of them; no other file names its hashes but the governor's.
    let mut forged = disk.clone();
    let log = crate::Log::read(&disk.log, ipc::audit_line::STEPS);
    let mut before = [0; 32];
    for line in &log.lines {
        let mut octets = [b' '; ipc::audit_line::LINE];
        octets[..line.text.len()].copy_from_slice(line.text);
        if line.sequence + 1 == log.lines.len() as u64 {
            let at = octets.windows(10).position(|window| window == b"delta_ns=2").unwrap() + 9;
            octets[at] = b'7';
        }
        before = ipc::audit_line::finish(&mut octets, &before);
        let place = ipc::audit_line::STEPS.place(line.sequence) as usize;
        forged.log[place..place + octets.len()].copy_from_slice(&octets);
    }
    let keys = keys();
    let report = verify(&Files { governor: None, ..forged.files(&keys) });
    assert!(altered(&report).join("\n").contains("is not in the ring of steps"), "{:?}", report.findings);
}

#[test]
fn power_cuts_are_told_apart_before_and_after_the_next_start() {
    let (mut cut, mut torn) = (0, 0);
    for seed in 1..60 {
        let mut host = Host::new(2, 64, seed);
        if seed % 3 == 0 {
            host.fill(10_200 + seed);
        }
        for _ in 0..1 + seed % 40 {
            host.hour();
            host.anchor();
            host.keep_anchors();
        }
        host.orders();
        if seed % 2 == 0 {
            host.anchor();
        }
        host.cut_power();
        let disk = host.disk();
        let report = verify(&disk.files(&keys()));
        assert_eq!(altered(&report), Vec::<String>::new(), "seed {seed}");
        cut += usize::from(!report.findings.is_empty());
        for _ in 0..3 {
            host.restart();
            host.hour();
            host.anchor();
            let disk = host.disk();
            let report = verify(&disk.files(&keys()));
            assert_eq!(altered(&report), Vec::<String>::new(), "seed {seed}");
            torn += usize::from(!report.findings.is_empty());
            host.keep_anchors();
            host.cut_power();
        }
    }
    assert!(cut > 20 && torn > 20, "the tests cut no power: {cut}, {torn}");
}

#[test]
fn no_number_is_too_high() {
    let host = day();
    let most = ipc::audit_line::End { lines: u64::MAX, hash: [1; 32] };
    for sequence in [u64::MAX, u64::MAX - 1, history::NUMBERS - 1] {
        let mut disk = host.disk();
        let anchor = crate::testing::sign(sequence, most, most, 0, [0; 32], (0, 1));
        let at = (sequence % (disk.anchors.len() / SLOT) as u64) as usize * SLOT;
        disk.anchors[at..at + SLOT].copy_from_slice(&anchor.encode().unwrap());
        let mut line = [b' '; ipc::audit_line::LINE];
        let text =
            format!("sequence={sequence} at=x event=history records={} hash={}", u64::MAX, "ab".repeat(32));
        line[..text.len()].copy_from_slice(text.as_bytes());
        ipc::audit_line::finish(&mut line, &[0; 32]);
        for ring in [ipc::audit_line::ORDERS, ipc::audit_line::STEPS] {
            let place = ring.place(sequence) as usize;
            disk.log[place..place + line.len()].copy_from_slice(&line);
        }
        assert!(verify(&disk.files(&keys())).is_altered, "{sequence}");
        let only = Disk { log: vec![0; disk.log.len()], anchors: anchor.encode().unwrap().to_vec(), ..disk };
        let _ = verify(&only.files(&keys()));
    }
}

#[test]
fn an_anchor_that_a_power_cut_has_torn_is_told_from_one_that_was_altered() {
    let mut torn = 0;
    for seed in 1..30 {
        let mut host = Host::new(2, 16, seed);
        host.hour();
        host.anchor();
        host.keep_anchors();
        host.anchor();
        host.cut_power();
        host.restart();
        for _ in 0..4 {
            host.hour();
            host.anchor();
            host.keep_anchors();
        }
        let disk = host.disk();
        let report = verify(&disk.files(&keys()));
        assert_eq!(altered(&report), Vec::<String>::new(), "seed {seed}");
        let is_torn =
            report.findings.iter().any(|finding| finding.text.starts_with("anchor 1 was never finished"));
        torn += usize::from(is_torn);
        // The same sectors of an anchor beside which nothing began again.
        let mut forged = disk.clone();
        forged.anchors[3 * SLOT + 512..3 * SLOT + 1024].fill(0);
        let report = verify(&forged.files(&keys()));
        assert!(altered(&report).iter().any(|text| text.contains("anchor 3 was")), "{:?}", report.findings);
    }
    assert!(torn > 5, "{torn} were torn so that their number is there");
}

#[test]
fn an_anchor_of_an_old_end_is_doubtful_and_of_other_ends_is_found() {
    let mut host = day();
    let (log, history) = host.ends();
    let (late, other) =
        (host.history_now() + 7_200_000_000_000, ipc::audit_line::End { hash: [9; 32], ..log });
    let mut disk = host.disk();
    let put = |anchor: Anchor| {
        let mut changed = disk.clone();
        let at = ipc::anchor::place(anchor.sequence, 48) as usize;
        changed.anchors.resize(at + SLOT, 0);
        changed.anchors[at..at + SLOT].copy_from_slice(&anchor.encode().unwrap());
        verify(&changed.files(&keys()))
    };
    let report = put(crate::testing::sign(24, log, history, late, [0; 32], (0, 2)));
    assert!(
        !report.is_altered && report.findings[0].text.contains("could be computed anew"),
        "{:?}",
        report.findings
    );
    assert_eq!(report.claims.len(), 25);
    let report = put(crate::testing::sign(24, other, history, late, [0; 32], (0, 2)));
    assert!(altered(&report)[0].contains("is not the one that anchor 24 names"), "{:?}", report.findings);
    disk.anchors[3 * SLOT + 200] ^= 1;
    assert!(altered(&verify(&disk.files(&keys())))[0].contains("slot 4 was altered"));
    host.pass_minutes(1);
}
