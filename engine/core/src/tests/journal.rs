//! What the log says while there is nobody to follow, and of steps that are refused.

use super::world::*;
use crate::io::{Command, Input};
use crate::settings::Place;
use ipc::message::exchange::{Failed, HostName, LookupFailure};
use ipc::message::privileged::{Condition, Refusal};
use ipc::units::Span;
use std::string::{String, ToString};
use std::vec::Vec;

fn matching(world: &World, text: &str) -> Vec<String> {
    world.lines.iter().map(|(_, line)| line.clone()).filter(|line| line.contains(text)).collect()
}

fn named(count: usize, names: &[&str]) -> Setup {
    let mut setup = Setup::of(lan(count + names.len()));
    for (settings, name) in setup.settings.sources[count..].iter_mut().zip(names) {
        settings.place = Place::Name(HostName::parse(name).unwrap(), 123);
        settings.name = (*name).to_string();
    }
    setup
}

#[test]
fn a_silence_is_told_after_a_minute_and_then_ever_more_seldom_until_the_first_answer() {
    let mut servers = lan(2);
    servers.iter_mut().for_each(|server| server.up = false);
    let mut world = Setup::of(servers).start();
    world.run(59.0);
    assert!(world.lines.is_empty(), "{:?}", world.lines);
    let mut told = Vec::new();
    for (until, count) in
        [(70.0, 1), (599.0, 1), (610.0, 2), (3590.0, 2), (3610.0, 3), (21_590.0, 3), (21_610.0, 4)]
    {
        let left = until - world.age();
        world.run(left);
        told = matching(&world, "no source has answered for");
        assert_eq!(told.len(), count, "after {until} s: {told:?}");
    }
    assert!(
        told[0].contains("for 60 s: 2 of 2 sources were asked, and none answered; check the network"),
        "{told:?}"
    );
    assert!(told[0].contains("firewall (UDP port 123)"), "{told:?}");
    world.run(86_400.0 - world.age() + 20.0);
    assert_eq!(matching(&world, "no source has answered for").len(), 5);
    world.run(86_400.0);
    assert_eq!(matching(&world, "no source has answered for").len(), 6);
    world.servers[0].up = true;
    world.run(4.0 * 3600.0);
    let first = matching(&world, "is the first to answer, after 2 days");
    assert_eq!(first.len(), 1, "{:?}", world.lines);
    assert!(matching(&world, "no source has answered for").len() <= 6);
}

#[test]
fn a_start_that_goes_well_says_nothing_of_silence() {
    let mut world = Setup::of(lan(3)).start();
    world.run(7200.0);
    assert!(matching(&world, "answer").is_empty(), "{:?}", world.lines);
}

#[test]
fn sources_that_fall_silent_later_are_told_at_once_again_after_ten_minutes_and_when_they_are_back() {
    let mut world = Setup::of(lan(2)).start();
    world.run(1800.0);
    world.servers.iter_mut().for_each(|server| server.up = false);
    world.run(8.0 * 3600.0);
    let at_once = matching(&world, "no source that agrees with the majority answers now");
    let again = matching(&world, "no source could be followed: no source that agrees");
    assert!(at_once.len() > again.len() && again.len() >= 2, "{:?}", world.lines);
    assert!(again[0].starts_with("for 10 min "), "{again:?}");
    world.servers.iter_mut().for_each(|server| server.up = true);
    world.run(3600.0);
    assert_eq!(matching(&world, "the sources agree again").len(), 1, "{:?}", world.lines);
}

#[test]
fn a_name_that_is_not_resolved_is_said_with_its_cause_and_not_as_a_server_that_is_silent() {
    let causes = [
        LookupFailure::NoSuchName,
        LookupFailure::NoAddress,
        LookupFailure::TryAgain,
        LookupFailure::NoResolver,
        LookupFailure::Refused,
        LookupFailure::NotStarted,
        LookupFailure::Deadline,
        LookupFailure::Broken,
    ];
    let mut sentences = Vec::new();
    for why in causes {
        let mut world = named(0, &["ntp.example"]).start();
        assert_eq!(world.condition(), Condition::AwaitingNames { of: 1, why: None });
        assert!(world.report().sources[0].reason.contains("not resolved yet"));
        world.give(Input::LookupFailed(Failed { id: world.resolves[0].id, reason: why }));
        assert_eq!(world.condition(), Condition::AwaitingNames { of: 1, why: Some(why) });
        let report = world.report();
        for text in [&report.system.reason, &report.sources[0].reason, &world.lines[0].1] {
            assert!(text.contains(why.sentence()) && text.contains("not resolved"), "{text}");
        }
        assert!(report.system.reason.contains("none of 1 source was asked"), "{}", report.system.reason);
        world.run(61.0);
        let told = matching(&world, "no source has answered for");
        assert!(told[0].contains("none of 1 source was asked; 1 name is not resolved"), "{told:?}");
        assert!(!told[0].contains("firewall"), "nothing was asked: {told:?}");
        sentences.push(why.sentence());
    }
    sentences.sort_unstable();
    sentences.dedup();
    assert_eq!(sentences.len(), causes.len(), "each cause has a sentence of its own");
}

#[test]
fn what_was_asked_and_what_has_no_name_is_counted_apart() {
    let mut setup = named(2, &["a.example", "b.example"]);
    setup.servers.iter_mut().for_each(|server| server.up = false);
    let mut world = setup.start();
    world.run(61.0);
    assert!(
        world.report().sources.iter().all(|source| source.offset_s.is_none() && source.delay_s.is_none())
    );
    let told = matching(&world, "no source has answered for");
    assert!(
        told[0].contains("2 of 4 sources were asked, and none answered; 2 names are not resolved: "),
        "{told:?}"
    );
}

#[test]
fn each_sentence_of_the_state_is_true_for_one_two_and_three_sources() {
    let state = |count: usize, up: usize, seconds: f64, minimum: u8| {
        let mut setup = Setup::of(lan(count));
        setup.servers[up..].iter_mut().for_each(|server| server.up = false);
        setup.settings.minimum_sources = minimum;
        let mut world = setup.start();
        world.run(seconds);
        world.report().system.reason
    };
    for (text, count, up, seconds, minimum) in [
        ("the only source was asked and did not answer", 1, 0, 30.0, 1),
        ("2 of 2 sources were asked, and none answered", 2, 0, 30.0, 1),
        ("the clock follows its only source", 1, 1, 300.0, 1),
        ("the clock follows all of its 2 sources", 2, 2, 1800.0, 1),
        ("the clock follows 2 of 3 sources", 3, 2, 1800.0, 1),
        ("1 of 2 sources has answered; more than half of them have to agree, and at least 2", 2, 1, 3.0, 2),
        ("2 of 3 sources have answered; more than half of them have to agree, and at least 3", 3, 2, 30.0, 3),
    ] {
        let found = state(count, up, seconds, minimum);
        assert!(found.contains(text), "{count} sources, {up} up: {found:?} is not {text:?}");
    }
}

#[test]
fn a_refused_step_says_what_is_really_so_and_nothing_that_contradicts_it() {
    // Half an hour wrong at a second start: the window is closed, and it is too much to slew.
    let mut setup = Setup { error: 1800.0, ..Setup::of(lan(3)) };
    setup.settings.run_step_threshold = None;
    let mut world = setup.start();
    world.step_refusal = Some(Refusal::TooSoon);
    world.run(120.0);
    assert!(!world.refused.is_empty(), "{:?}", world.lines);
    let all: Vec<&str> = world.lines.iter().map(|(_, line)| line.as_str()).collect();
    assert!(
        all.iter().any(|line| line
            .contains("the clock is 1800 s fast and stays so: the governor refused to set it (too-soon)")),
        "{all:?}"
    );
    assert!(
        !all.iter().any(|line| line.contains("asked for again") || line.contains("slewed instead")),
        "{all:?}"
    );
    assert_eq!(world.condition(), Condition::Held(Some(Refusal::TooSoon)));

    // A twentieth of a second: it is slewed, and nobody has to do anything.
    let mut setup = Setup { error: 0.05, ..Setup::of(lan(3)) };
    setup.settings.start_step_threshold = Span::from_millis(10);
    let mut world = setup.start();
    world.step_refusal = Some(Refusal::TooSoon);
    world.run(120.0);
    let refusals = matching(&world, "the governor refused a step (too-soon)");
    assert_eq!(refusals.len(), 1, "{:?}", world.lines);
    assert!(refusals[0].ends_with("; it is slewed instead"), "{refusals:?}");
    assert!(matching(&world, "--approve-step").is_empty(), "{:?}", world.lines);
}

#[test]
fn nobody_agrees_again_who_was_not_said_to_disagree() {
    let mut servers = lan(3);
    servers[2].up = false;
    let mut world = Setup::of(servers).start();
    world.run(2.0);
    assert_eq!(matching(&world, "the clock follows its sources").len(), 1, "{:?}", world.lines);
    // One of the two goes astray while the third may only be slow, which then makes a majority.
    world.servers[1].error = 0.4;
    for _ in 0..4 {
        world.give(Input::Command(Command::Burst));
        world.run(1.0);
    }
    assert_eq!(world.report().system.state, "holdover", "{:?}", world.report().system);
    world.servers[2].up = true;
    world.give(Input::Command(Command::Burst));
    world.run(60.0);
    assert!(world.report().system.synchronised, "{:?}", world.report().system);
    assert!(matching(&world, "agree").is_empty(), "{:?}", world.lines);
}
