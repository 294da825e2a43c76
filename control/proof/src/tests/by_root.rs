//! What root can do who knows all of it: the history, both rings of the log, the governor's record and the anchors, all computed anew so
//! that they agree with each other. What root has not is the servers' keys.

use super::altered;
use super::manipulations::{Case, Random, cases, rechain_history, rechain_log};
use crate::testing::{Disk, keys, sign_each};
use crate::{Log, Report, verify};
use ipc::anchor::{Anchor, SLOT};
use ipc::audit_line::{End, ORDERS, Ring, STEPS};
use ipc::governor_record::{self, PLACES, Record};
use ipc::history::{BODY, RECORD};

/// How root has the anchors name the new ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Anchors {
    /// Not at all.
    AsTheyWere,
    /// With the answers that are there.
    WithTheirAnswers,
    /// With answers of servers of root's own, dated back.
    ByOwnServers,
    /// With answers of the listed servers, which sign today what they are asked.
    SignedToday,
}

/// So long after the last anchor, in seconds, servers sign what was computed anew.
const LATER: u64 = 7_200;

fn hash_of_history(history: &[u8], lines: u64) -> [u8; 32] {
    let room = (history.len() / RECORD) as u64;
    let at = ((lines - 1) % room) as usize * RECORD;
    history[at + BODY..at + RECORD].try_into().expect("a hash")
}

fn end_of(octets: &[u8], ring: Ring) -> End {
    let log = Log::read(octets, ring);
    let lines = log.numbers().end;
    let hash = lines.checked_sub(1).and_then(|last| log.line(last)).map_or([0; 32], |line| line.hash);
    End { lines, hash }
}

/// Behind its number, which is another one in each ring.
fn words(text: &[u8]) -> &[u8] {
    text.splitn(2, |octet| *octet == b' ').nth(1).unwrap_or_default()
}

/// Rewrites all files of the host from a record of the history, a line of the log and a step on, and says how.
pub(super) fn rewrite(case: &Case, random: &mut Random) -> (Disk, String) {
    let anchors = match random.below(4) {
        0 => Anchors::AsTheyWere,
        1 => Anchors::WithTheirAnswers,
        2 => Anchors::ByOwnServers,
        _ => Anchors::SignedToday,
    };
    rewrite_with(case, random, anchors)
}

fn rewrite_with(case: &Case, random: &mut Random, anchors: Anchors) -> (Disk, String) {
    let mut disk = case.now.clone();
    let record = random.within(case.first_record, case.anchored.1.lines);
    let end = history::History::read(&disk.history).end().lines;
    rechain_history(&mut disk.history, record, end);
    // A step that is in both rings, or any line; and each line that names a record that is another one now.
    let (log, steps) = (Log::read(&case.now.log, ORDERS), Log::read(&case.now.log, STEPS));
    let before_anchor = || {
        let held = case.first_line..case.anchored.0.lines;
        log.lines.iter().filter(move |line| held.contains(&line.sequence))
    };
    let twins: Vec<(u64, u64)> = before_anchor()
        .filter_map(|line| {
            let twin = steps.lines.iter().find(|step| words(step.text) == words(line.text))?;
            Some((line.sequence, twin.sequence))
        })
        .collect();
    let step = Some(twins).filter(|twins| !twins.is_empty() && random.below(2) == 0);
    let step = step.map(|twins| twins[random.below(twins.len() as u64) as usize]);
    let line = step.map_or_else(|| random.within(case.first_line, case.anchored.0.lines), |(line, _)| line);
    let names_new =
        |line: &&crate::Line<'_>| crate::words::head(line.text).is_some_and(|head| head.lines > record);
    let named = log.lines.iter().find(names_new).map(|line| line.sequence);
    let history = disk.history.clone();
    let hash_of = |lines: u64| hash_of_history(&history, lines);
    if let Some(named) = named.filter(|named| *named < line) {
        rechain_log(&mut disk.log, ORDERS, named, Some(&hash_of));
    }
    rechain_log(&mut disk.log, ORDERS, line, Some(&hash_of));
    if let Some((_, step)) = step {
        rechain_log(&mut disk.log, STEPS, step, None);
    }
    name_ends(&mut disk);
    let from = named.map_or(line, |named| named.min(line));
    make_anchors(&mut disk, (from, record), anchors, case.ended / 1_000_000_000);
    let said = format!(
        "by root: history from {record} on, log from {from} on, step {step:?}, governor's record, anchors {anchors:?}"
    );
    (disk, said)
}

/// Has the governor's record name where both rings end.
fn name_ends(disk: &mut Disk) {
    let slot = |place: u64| disk.governor[place as usize..].first_chunk().copied().expect("a slot");
    let mut record = Record::newest(&PLACES.map(slot)).expect("one of two slots is whole");
    (record.audit, record.audit_steps) = (end_of(&disk.log, ORDERS), end_of(&disk.log, STEPS));
    for place in PLACES {
        record.sequence += 1;
        let place = place as usize;
        disk.governor[place..place + governor_record::SLOT].copy_from_slice(&record.to_octets());
    }
}

/// Of each anchor that names a line or a record that is another one now.
fn make_anchors(disk: &mut Disk, (line, record): (u64, u64), anchors: Anchors, now: i64) {
    let log = Log::read(&disk.log, ORDERS);
    for octets in disk.anchors.as_chunks_mut::<SLOT>().0 {
        let Some(mut anchor) = Anchor::decode(octets).filter(|anchor| {
            !matches!(anchors, Anchors::AsTheyWere)
                && (anchor.audit.lines > line || anchor.history.lines > record)
        }) else {
            continue;
        };
        let held = anchor.audit.lines.checked_sub(1).and_then(|last| log.line(last));
        anchor.audit.hash = held.map_or(anchor.audit.hash, |line| line.hash);
        anchor.history.hash = hash_of_history(&disk.history, anchor.history.lines);
        let seconds = anchor.wall.nanos() / 1_000_000_000;
        let signed = |server: u64, at: i64| (server, u64::try_from(at).expect("after 1970"));
        let answers = match anchors {
            Anchors::AsTheyWere | Anchors::WithTheirAnswers => None,
            // Of these numbers are none of the listed ones.
            Anchors::ByOwnServers => Some([3, 4, 5].map(|server| signed(server, seconds))),
            Anchors::SignedToday => Some([0, 1, 2].map(|server| signed(server, now + LATER as i64))),
        };
        if let Some(answers) = answers {
            let ends = (anchor.audit, anchor.history);
            anchor = sign_each(anchor.sequence, ends, anchor.wall.nanos(), anchor.random, &answers);
        }
        *octets = anchor.encode().expect("it finds room");
    }
}

#[test]
fn a140_what_root_computes_anew_is_altered_doubtful_or_signed_today() {
    let (cases, keys) = (cases(), keys());
    let mut random = Random(0x5eed_0002);
    for case in cases.iter().cycle().take(12) {
        let mut judged = |anchors: Anchors| -> (Report, String) {
            let (disk, said) = rewrite_with(case, &mut random, anchors);
            (verify(&disk.files(&keys)), said)
        };
        for anchors in [Anchors::AsTheyWere, Anchors::WithTheirAnswers] {
            let (report, said) = judged(anchors);
            assert!(report.is_altered, "{said}: {:?}", report.findings);
        }
        // Nothing that the listed servers signed says otherwise; what is proven is older, or from today on only.
        let (report, said) = judged(Anchors::ByOwnServers);
        let doubts = altered(&report).join("\n");
        assert!(doubts.contains("is by a key that was given"), "{said}: {doubts}");
        assert!(report.proven().is_none_or(|claim| claim.log != case.anchored.0), "{said}");
        let (report, said) = judged(Anchors::SignedToday);
        let doubts = altered(&report).join("\n");
        assert!(doubts.contains("until then all up to it could be computed anew"), "{said}: {doubts}");
    }
}
