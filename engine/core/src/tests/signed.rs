//! Signed time of Roughtime servers: what it keeps sources from, and when it is asked for.

use super::world::*;
use crate::io::Input;
use crate::minutes::Lasting;
use crate::notice::{NoSignedTime, Notice, SignerNotice, SourceNotice, SystemNotice};
use crate::select::Impasse;
use crate::status::{SourceReason, SystemReason};
use ipc::audit_line::End;
use ipc::message::exchange::Heard;
use ipc::message::privileged::HistoryNoted;
use roughtime::{contradictions, verify_anchor, verify_chain};
use std::vec::Vec;
use truechimer_time::State;

const HOUR: f64 = 3_600.0;

/// Three NTS sources, the first two of which agree that it is an hour later.
fn lying_majority() -> Setup {
    let mut servers = nts_lan(3);
    servers[..2].iter_mut().for_each(|server| server.error = HOUR);
    Setup::of(servers)
}

fn signer_notices(world: &World) -> Vec<(&str, SignerNotice)> {
    let of = |notice: &'_ Notice| matches!(notice, Notice::Signer(..));
    let notices = world.notices.iter().filter(|notice| of(notice));
    notices
        .filter_map(|notice| match notice {
            Notice::Signer(name, notice) => Some((name.as_str(), *notice)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_majority_of_sources_that_lies_moves_the_clock_only_where_nobody_has_signed_the_time() {
    let mut world = lying_majority().start();
    world.run(600.0);
    assert!(
        world.error().abs() > HOUR - 1.0,
        "without signatures two of three are believed: {}",
        world.error()
    );

    let mut world = lying_majority().signed_by(signers(3)).start();
    world.run(600.0);
    assert!(world.steps.is_empty() && world.error().abs() < 0.2, "{} {:?}", world.error(), world.steps);
    let report = world.status();
    assert!(!report.system.synchronised);
    let reason = report.system.reason;
    assert!(
        matches!(
            reason,
            SystemReason::Gathering { .. } | SystemReason::Holdover(_) | SystemReason::NoMajority(_)
        ),
        "{reason:?}"
    );
    for source in &report.sources[..2] {
        assert!(
            matches!(source.reason, SourceReason::Refuted { offset } if (offset - HOUR).abs() < 1.0),
            "{source:?}"
        );
        assert_eq!(source.state().name(), "falseticker");
    }
    let refuted = |notice: &Notice| matches!(notice, Notice::Source(_, _, SourceNotice::Refuted));
    assert_eq!(world.notices.iter().filter(|notice| refuted(notice)).count(), 2, "each is told once");
    assert!(tells(
        &world,
        |notice| matches!(notice, SystemNotice::NoSelection(found) if found.impasse == Impasse::Refuted)
    ));
}

#[test]
fn sources_that_begin_to_lie_together_while_the_clock_follows_them_lead_it_nowhere() {
    let mut world = Setup::of(nts_lan(3)).signed_by(signers(3)).start();
    world.run(2_000.0);
    assert!(world.status().system.synchronised && world.error().abs() < 1e-3);
    world.servers.iter_mut().for_each(|server| server.error = 30.0);
    world.run(2.0 * HOUR);
    assert!(world.error().abs() < 0.1, "{}", world.error());
    assert!(
        world.status().sources.iter().all(|source| matches!(source.reason, SourceReason::Refuted { .. }))
    );
    world.servers.iter_mut().for_each(|server| server.error = 0.0);
    world.run(2.0 * HOUR);
    assert!(world.status().system.synchronised && world.error().abs() < 1e-3, "{}", world.error());
}

#[test]
fn a_roughtime_server_that_signs_a_wrong_time_is_named_and_the_proof_is_kept() {
    for error in [-500, 500] {
        let mut signers = signers(3);
        signers[1].error = error;
        let mut world = Setup::of(nts_lan(3)).signed_by(signers).start();
        world.run(600.0);
        assert!(world.status().system.synchronised && world.error().abs() < 1e-3, "{}", world.error());
        assert_eq!(signer_notices(&world), [("signer1", SignerNotice::Outside)]);
        assert!(tells(&world, |notice| matches!(notice, SystemNotice::Malfeasance)));
        let proof = world.proofs.first().expect("a proof");
        let signed: Vec<_> = verify_chain(&proof.first_nonce, &proof.exchanges)
            .into_iter()
            .map(Result::unwrap)
            .enumerate()
            .collect();
        assert!(!contradictions(&signed).is_empty());
    }
}

#[test]
fn a051_one_nts_source_and_signed_time_set_a_clock_of_1970() {
    let in_1970 = |servers| Setup { error: -(BEGIN as f64 * 1e-9) + 60.0, ..Setup::of(servers) };
    let mut world = in_1970(nts_lan(1)).signed_by(signers(3)).start();
    world.run(1_800.0);
    assert!(world.status().system.synchronised && world.error().abs() < 1e-3, "{}", world.error());
    // A source that is off by a year with a certificate that would allow it.
    let mut servers = nts_lan(1);
    servers[0].error = 40.0 * 86_400.0;
    let mut world = in_1970(servers).signed_by(signers(3)).start();
    world.run(1_800.0);
    assert!(world.steps.is_empty(), "{:?}", world.steps);
    // Signatures of too few.
    let mut silent = signers(3);
    silent[1..].iter_mut().for_each(|signer| signer.up = false);
    let mut world = in_1970(nts_lan(1)).signed_by(silent).start();
    world.run(1_800.0);
    assert!(world.steps.is_empty(), "{:?}", world.steps);
}

#[test]
fn rounds_are_made_at_once_each_hour_and_after_a_sleep_and_retried_ever_more_seldom() {
    let mut world = Setup::of(lan(3)).signed_by(signers(3)).start();
    world.run(5.0 * HOUR);
    let times: Vec<f64> = world.rounds.iter().map(|(time, _)| (*time - BEGIN) as f64 * 1e-9).collect();
    assert!(times[0] < 0.1 && (5..=7).contains(&times.len()), "{times:?}");
    assert!(times.windows(2).all(|pair| (3_200.0..4_000.0).contains(&(pair[1] - pair[0]))), "{times:?}");
    let nonces: Vec<_> = world.rounds.iter().map(|(_, round)| (round.first_nonce, round.seed)).collect();
    assert!((1..nonces.len()).all(|at| !nonces[..at].contains(&nonces[at])));
    let before = world.rounds.len();
    world.sleep(600);
    world.run(1.0);
    assert_eq!(world.rounds.len(), before + 1, "what was signed before says nothing of now");

    let mut silent = signers(3);
    silent.iter_mut().for_each(|signer| signer.up = false);
    let mut world = Setup::of(lan(3)).signed_by(silent).start();
    world.run(2.0 * HOUR);
    assert!(world.status().system.synchronised, "sources are followed without signatures");
    assert!((6..=12).contains(&world.rounds.len()), "{}", world.rounds.len());
    assert_eq!(signer_notices(&world).len(), 3, "each is told once");
    assert!(signer_notices(&world).iter().all(|(_, it)| *it == SignerNotice::Unheard(Heard::Nothing)));
    let missing =
        |notice: &SystemNotice| matches!(notice, SystemNotice::NoSignedTime(NoSignedTime::NoMajority));
    assert!(tells(&world, missing));
    world.signers.iter_mut().for_each(|signer| signer.up = true);
    world.run(1.2 * HOUR);
    assert!(tells(&world, |notice| matches!(notice, SystemNotice::SignedTime(_))));
}

#[test]
fn what_is_on_the_disk_is_anchored_at_once_and_then_once_an_hour() {
    let mut world = Setup::of(lan(3)).signed_by(signers(3)).start();
    world.run(60.0);
    assert!(world.anchors.is_empty() && world.rounds.len() == 1, "nothing is known to be on the disk");
    let end = |lines: u64| End { lines, hash: [lines as u8; 32] };
    for hour in 1..4 {
        world.give(Input::HistoryNoted(HistoryNoted { history: end(hour), log: end(10 + hour) }));
        world.run(HOUR);
        assert_eq!((world.anchors.len() as u64, world.rounds.len() as u64), (hour, 1 + hour));
        let anchor = world.anchors.last().unwrap();
        assert_eq!((anchor.history, anchor.audit), (end(hour), end(10 + hour)));
        let verified = verify_anchor(anchor);
        assert!(verified.len() == 6 && verified.iter().all(Result::is_ok), "{verified:?}");
    }
    let mut setup = Setup::of(lan(3)).signed_by(signers(3));
    setup.settings.roughtime.as_mut().unwrap().anchor = false;
    let mut world = setup.start();
    world.give(Input::HistoryNoted(HistoryNoted { history: end(1), log: end(2) }));
    world.run(2.0 * HOUR);
    assert!(world.anchors.is_empty() && world.rounds.len() >= 2);
}

#[test]
fn the_history_says_in_which_minutes_the_time_was_signed() {
    let mut signers = signers(3);
    signers.iter_mut().for_each(|signer| signer.up = false);
    let mut world = Setup::of(lan(3)).signed_by(signers).start();
    let minutes = |world: &mut World| -> Vec<bool> {
        let taken = world.alter(|engine, _| engine.take_history(false));
        let signed = |it| match it {
            Lasting::Minute(_, minute) => Some(minute.signed),
            Lasting::Numbered { .. } => None,
        };
        taken.into_iter().filter_map(signed).collect()
    };
    world.run(300.0);
    let before = minutes(&mut world);
    assert!(before.len() >= 4 && !before.contains(&true), "{before:?}");
    world.signers.iter_mut().for_each(|signer| signer.up = true);
    world.run(900.0);
    let after = minutes(&mut world);
    // The next try comes within a quarter of an hour.
    let first = after.iter().position(|signed| *signed).expect("signed at last");
    assert!(after[first..].iter().all(|signed| *signed), "{after:?}");
}

#[test]
fn a_majority_of_roughtime_servers_that_lies_stops_the_clock_and_leads_it_nowhere() {
    let mut signers = signers(3);
    signers[..2].iter_mut().for_each(|signer| signer.error = 5_000);
    let mut world = Setup::of(nts_lan(3)).signed_by(signers).start();
    world.run(600.0);
    assert!(world.steps.is_empty() && world.error().abs() < 0.2, "{}", world.error());
}

fn make_lie(world: &mut World, error: i64) {
    world.signers[..2].iter_mut().for_each(|signer| signer.error = error);
}

fn page_state(world: &World) -> State {
    world.engine.page(world.now()).state
}

fn are_refuted(world: &World) -> bool {
    world.status().sources.iter().all(|source| matches!(source.reason, SourceReason::Refuted { .. }))
}

#[test]
fn a204_two_of_three_roughtime_keys_that_become_dishonest_stop_no_clock_while_the_third_is_heard() {
    for error in [-5_000, 5_000] {
        let mut world = Setup::of(nts_lan(3)).signed_by(signers(3)).start();
        world.run(600.0);
        assert!(world.status().system.synchronised);
        assert_eq!(page_state(&world), State::Synchronised);
        make_lie(&mut world, error);
        world.run(12.0 * HOUR);
        // From here it looks as if the sources lied with the third: nobody is told a time.
        assert_eq!(page_state(&world), State::Unknown);
        let report = world.status();
        assert!(report.system.synchronised && world.error().abs() < 1e-3, "{}", world.error());
        assert!(report.sources.iter().all(|it| !matches!(it.reason, SourceReason::Refuted { .. })));
        let named = [("signer0", SignerNotice::Reversed), ("signer1", SignerNotice::Reversed)];
        let mut told = signer_notices(&world);
        told.sort_by_key(|(name, _)| *name);
        assert_eq!(told, named, "each once, and the honest one not at all");
        let reversed =
            |notice: &SystemNotice| matches!(notice, SystemNotice::NoSignedTime(NoSignedTime::Reversed));
        assert!(
            tells(&world, reversed) && tells(&world, |notice| matches!(notice, SystemNotice::Malfeasance))
        );
        // The way back: they are honest again, or were replaced.
        make_lie(&mut world, 0);
        world.run(2.0 * HOUR);
        assert_eq!(signer_notices(&world)[2..].len(), 2, "both are sound again");
        assert_eq!(page_state(&world), State::Synchronised);
        assert!(world.status().system.synchronised);
    }
}

#[test]
fn a204_who_signs_neither_what_most_do_nor_what_was_signed_before_is_named_too() {
    let mut world = Setup::of(nts_lan(3)).signed_by(signers(5)).start();
    world.run(600.0);
    world.signers[..3].iter_mut().for_each(|signer| signer.error = 5_000);
    world.signers[3].error = -9_000;
    world.run(2.0 * HOUR);
    assert!(world.status().system.synchronised && world.error().abs() < 1e-3, "{}", world.error());
    let mut told = signer_notices(&world);
    told.sort_by_key(|(name, _)| *name);
    let reversed = ["signer0", "signer1", "signer2"].map(|name| (name, SignerNotice::Reversed));
    assert_eq!(told[..3], reversed);
    assert_eq!(told[3..], [("signer3", SignerNotice::Outside)]);
}

#[test]
fn a204_sources_that_lie_with_two_of_three_roughtime_keys_lead_a_clock_nowhere_for_a_day() {
    let mut world = Setup::of(nts_lan(3)).signed_by(signers(3)).start();
    world.run(600.0);
    make_lie(&mut world, 5_000);
    world.run(2.0 * HOUR);
    world.servers.iter_mut().for_each(|server| server.error = 5_000.0);
    world.run(12.0 * HOUR);
    assert!(world.steps.len() == 1 && world.error().abs() < 0.5, "{} {:?}", world.error(), world.steps);
}

#[test]
fn a204_what_was_signed_before_gives_way_where_it_was_the_lie_or_nobody_else_supports_it() {
    // Two that lied from the start: the clock was stopped, and not followed; once one of them is honest, it goes on.
    let mut signers = signers(3);
    signers[..2].iter_mut().for_each(|signer| signer.error = 5_000);
    let mut world = Setup::of(nts_lan(3)).signed_by(signers).start();
    world.run(600.0);
    assert!(are_refuted(&world) && !world.status().system.synchronised);
    world.signers[0].error = 0;
    world.run(2.0 * HOUR);
    assert!(world.status().system.synchronised && world.error().abs() < 1e-3, "{}", world.error());
    // The honest one is silenced: most of the servers stop the clock, and lead it nowhere.
    let mut world = Setup::of(nts_lan(3)).signed_by(super::world::signers(3)).start();
    world.run(600.0);
    make_lie(&mut world, 5_000);
    world.signers[2].up = false;
    world.run(6.0 * HOUR);
    assert!(are_refuted(&world) && world.steps.len() == 1);
    assert!(world.error().abs() < 0.5, "{}", world.error());
    world.signers[2].up = true;
    make_lie(&mut world, 0);
    world.run(2.0 * HOUR);
    assert!(world.status().system.synchronised && world.error().abs() < 1e-3, "{}", world.error());
    // After a day most of the servers are believed again, whoever they are.
    let mut world = Setup::of(nts_lan(3)).signed_by(super::world::signers(3)).start();
    world.run(600.0);
    make_lie(&mut world, 5_000);
    world.run(28.0 * HOUR);
    assert!(are_refuted(&world) && world.steps.len() == 1);
}

/// A liar that is vague supports everything, and so nothing: what most have signed counts as before.
#[test]
fn a204_a_liar_that_signs_with_room_for_everything_upholds_nothing() {
    let mut world = Setup::of(nts_lan(3)).signed_by(signers(3)).start();
    world.run(600.0);
    // Two sign another time, as after a pause; the third one any time from hours ago until now.
    make_lie(&mut world, 3_600);
    (world.signers[2].error, world.signers[2].radius) = (-7_200, 7_260);
    world.run(3.0 * HOUR);
    assert!(are_refuted(&world), "nothing is upheld on the word of one that says nothing");
    assert!(world.error().abs() < 0.5, "{}", world.error());
}

#[test]
fn a204_two_of_three_that_are_dead_or_have_new_keys_leave_the_sources_alone() {
    let mut world = Setup::of(nts_lan(3)).signed_by(signers(3)).start();
    world.run(600.0);
    world.signers[..2].iter_mut().for_each(|signer| signer.up = false);
    world.run(48.0 * HOUR);
    assert!(world.status().system.synchronised && world.error().abs() < 1e-3, "{}", world.error());
}
