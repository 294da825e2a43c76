//! Given servers of which one signs whatever time it is asked for, when somebody computes a log anew and has that anchored with its
//! help, then it proves nothing that the others do not say.

use crate::testing::{Host, keys, sign_each};
use crate::{Doubt, Report, Weight, verify};
use ipc::anchor::SLOT;

const YEAR: u64 = 31_536_000;

/// What is said of a log whose only anchor has these answers: who, and how many seconds from now.
fn judged(answers: &[(u64, i64)]) -> (Report, u64) {
    let mut host = Host::new(2, 16, 7);
    host.hour();
    host.note();
    let (log, history) = host.ends();
    let wall = host.history_now();
    let now = u64::try_from(wall / 1_000_000_000).unwrap();
    let answers: Vec<(u64, u64)> =
        answers.iter().map(|(server, from_now)| (*server, now.strict_add_signed(*from_now))).collect();
    let mut disk = host.disk();
    disk.anchors = vec![0; SLOT];
    disk.anchors.copy_from_slice(&sign_each(0, (log, history), wall, [5; 32], &answers).encode().unwrap());
    (verify(&disk.files(&keys())), now)
}

fn doubts(report: &Report) -> Vec<&str> {
    assert!(
        report.findings.iter().all(|finding| finding.weight == Weight::Doubtful),
        "{:?}",
        report.findings
    );
    report.findings.iter().map(|finding| finding.text.as_str()).collect()
}

#[test]
fn a_round_as_usual_is_dated_by_the_majority() {
    let (report, now) = judged(&[(2, 0), (0, 0), (1, 1), (2, 2), (0, 2), (1, 3)]);
    assert_eq!(doubts(&report), Vec::<&str>::new());
    let claim = report.proven().unwrap();
    assert_eq!((claim.latest(), claim.doubt()), (now + 3, None));
    assert!(claim.to_string().ends_with("; 2 of 3 servers say so"), "{claim}");
}

#[test]
fn one_liar_of_three_dates_nothing_back_and_is_named() {
    let liar = -(YEAR as i64);
    for answers in [
        vec![(0, liar), (1, 0), (2, 0)],
        vec![(1, 0), (2, 0), (0, liar)],
        vec![(0, liar), (1, 0), (2, 0), (0, liar), (1, 1), (2, 1)],
    ] {
        let (report, now) = judged(&answers);
        let claim = report.proven().unwrap();
        assert_eq!((claim.latest(), claim.log_from), (now + 3, Some(0)));
        let text = claim.to_string();
        let (_, behind) = text.split_once("existed at the latest at ").unwrap();
        assert!(
            behind.starts_with("2026-11-30T") && behind.contains(" ± 3 s, signed by server-2; "),
            "{text}"
        );
        let doubts = doubts(&report);
        assert!(doubts.len() == 1 && doubts[0].contains("contradict each other"), "{doubts:?}");
        assert!(doubts[0].contains("server-1"), "{doubts:?}");
    }
}

#[test]
fn one_liar_with_the_only_honest_server_or_alone_proves_nothing() {
    let liar = -(YEAR as i64);
    for (answers, doubt) in [
        (vec![(0, liar)], Doubt::Alone),
        (vec![(0, liar), (0, liar)], Doubt::Alone),
        (vec![(1, 0), (1, 1)], Doubt::Alone),
        (vec![(0, liar), (1, 0)], Doubt::Apart(2)),
        (vec![(1, 0), (0, liar)], Doubt::Apart(2)),
    ] {
        let (report, _) = judged(&answers);
        assert_eq!((report.proven(), report.is_altered), (None, false), "{answers:?}");
        assert_eq!(report.claims[0].doubt(), Some(doubt), "{answers:?}");
        let doubts = doubts(&report);
        assert!(doubts.iter().any(|text| text.contains(&doubt.to_string())), "{answers:?}: {doubts:?}");
        let text = report.claims[0].to_string();
        assert!(text.starts_with("proves nothing by itself, for "), "{text}");
        assert!(!report.log.ends.iter().any(|end| end.starts_with("anchor ")), "{:?}", report.log.ends);
    }
}
