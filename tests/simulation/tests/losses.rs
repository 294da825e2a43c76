//! Replies that are lost: by chance, and by the choice of somebody on the path.

use engine_core::notice::{Chosen, Notice, SourceNotice};
use simulation::scenario::parse;
use simulation::world::World;

fn world(sources: &str, events: &str, days: f64, seed: u64) -> World {
    let text = format!(
        r#"
        [[scenario]]
        name = "losses"
        days = {days}
        polls = [4, 6]
        source = [{sources}]
        event = [{events}]
        "#
    );
    let [scenario] = parse(&text).unwrap().try_into().unwrap();
    World::new(&scenario, seed)
}

/// When a choice was told first.
fn told(world: &World) -> Option<(f64, Chosen)> {
    world.notices.iter().find_map(|(at, notice)| match notice {
        Notice::Source(_, _, SourceNotice::Chosen(chosen)) => Some((*at, *chosen)),
        _ => None,
    })
}

#[test]
fn a182_a_week_with_a_third_of_all_packets_lost_is_no_choice() {
    for path in [
        "kind = \"wan\"",
        "kind = \"bad\", law = \"heavy\"",
        "kind = \"bad\", there-jitter-ms = 30.0",
        "kind = \"bad\", law = \"spikes\"",
        "kind = \"wan\", law = \"gamma\", back-jitter-ms = 5.0",
    ] {
        let mut world = world(&format!("{{ {path}, loss = 0.18 }}"), "", 7.0, 3);
        world.run_until(7.0 * 86_400.0);
        assert_eq!(told(&world), None, "{path}");
    }
}

#[test]
fn a182_replies_chosen_by_their_offset_are_told_after_a_few_hundred_and_bounded() {
    for (sign, others) in [(1, 0), (-1, 0), (1, 3), (-1, 3)] {
        for jitter in [1.0, 10.0] {
            let honest = if others == 0 { "" } else { ", { count = 3, kind = \"wan\" }" };
            let sources = format!("{{ jitter-ms = {jitter} }}{honest}");
            let attack = format!("{{ at = 14400, source = 0, chosen = {sign} }}");
            let mut world = world(&sources, &attack, 7.0, 5);
            let (mut worst, mut before) = (0.0_f64, 0);
            let mut found = None;
            for minute in 239..7 * 1_440 {
                world.run_until(f64::from(minute) * 60.0);
                let (error, status) = (world.error(), world.status());
                let system = &status.system;
                worst = worst.max(error.abs());
                assert!(!system.synchronised || error.abs() < system.error_bound_s, "{sources} {minute}");
                let valid = status.sources[0].valid;
                before = if minute < 240 { valid } else { before };
                found = told(&world).map(|(at, chosen)| (at, chosen, valid - before));
                if found.is_some() {
                    break;
                }
            }
            println!("{sign} {sources}: told {found:?}, worst {:.3} ms", worst * 1e3);
            let (_, chosen, replies) = found.unwrap_or_else(|| panic!("{sign} {sources}: not found"));
            assert!(replies <= 1_200 && chosen.is_larger == (sign > 0), "{sign} {sources}: {replies}");
            assert!(worst < 8.0 * jitter * 1e-3, "{sign} {sources}: {worst}");
        }
    }
}

#[test]
fn a182_who_lets_only_replies_pass_by_which_the_clock_is_behind_silences_the_source() {
    for sign in [2, -2] {
        let attack = format!("{{ at = 14400, source = 0, chosen = {sign} }}");
        let mut world = world("{ jitter-ms = 5.0 }, { count = 3, kind = \"wan\" }", &attack, 2.0, 5);
        let mut worst = 0.0_f64;
        for minute in 240..2 * 1_440 {
            world.run_until(f64::from(minute) * 60.0);
            worst = worst.max(world.error().abs());
        }
        let silenced = world
            .notices
            .iter()
            .any(|(_, notice)| matches!(notice, Notice::Source(_, _, SourceNotice::Silent(..))));
        println!("{sign}: silent {silenced}, told {:?}, worst {:.3} ms", told(&world), worst * 1e3);
        assert!((silenced || told(&world).is_some()) && worst < 2e-3, "{sign}: {worst}");
    }
}

/// The mean of the clock's error, seconds, so many seconds after a silence of six hours; of these sources, over ten days.
fn left_after_a_silence(sources: &str, events: &str, later: f64) -> f64 {
    let text = format!(
        r#"
        [[scenario]]
        name = "silence"
        wander = 1e-8
        source = [{sources}]
        event = [{events}]
        "#
    );
    let [scenario] = parse(&text).unwrap().try_into().unwrap();
    let errors = (1..=10).map(|seed| {
        let mut world = World::new(&scenario, seed);
        world.run_until(57_600.0 + later);
        world.error().abs()
    });
    errors.sum::<f64>() / 10.0
}

#[test]
fn what_a_silence_of_all_sources_has_cost_is_made_up_for_in_minutes() {
    let all = "{ at = 36000, up = false }, { at = 57600, up = true }";
    for sources in ["{ kind = \"bad\" }", "{ count = 4, kind = \"bad\" }"] {
        let [first, later] = [60.0, 1_200.0].map(|later| left_after_a_silence(sources, all, later));
        assert!(first > 4.0 * later, "{sources}: {first} s off, {later} s after twenty minutes");
    }
}
