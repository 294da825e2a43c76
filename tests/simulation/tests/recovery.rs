//! A short search for states from which a host does not come right; `cargo xtask recovery-search` is the long one.

use ipc::message::privileged::Profile;
use sentence::Sentence;
use simulation::recovery::{Class, Outcome, needs, search};
use simulation::scenario::parse;
use simulation::world::World;

const PROFILES: [Profile; 2] = [Profile::Standard, Profile::Strict];

#[test]
fn whatever_faults_and_lies_leave_behind_the_clock_comes_right_or_the_status_says_why_not() {
    for class in Class::ALL {
        for profile in PROFILES {
            let row = search(class, profile, 1, 4);
            let unsaid = row.unsaid().len();
            assert_eq!(unsaid, 0, "\n{}\n{}", row.line(), needs(std::slice::from_ref(&row)));
        }
    }
}

#[test]
fn an_hour_of_lies_and_any_network_need_no_operator_in_the_standard_profile() {
    for (class, longest) in [(Class::AllLie, 8.0 * 3_600.0), (Class::Network, 3_600.0)] {
        let row = search(class, Profile::Standard, 2, 8);
        for found in &row.found {
            assert_eq!(found.outcome, Outcome::Right, "{}", needs(std::slice::from_ref(&row)));
            assert!(found.seconds <= longest, "{} s: {}", found.seconds, found.case.describe());
        }
    }
}

#[test]
fn the_same_seed_finds_the_same() {
    let found = |seed| {
        let row = search(Class::Everything, Profile::Standard, seed, 3);
        row.found.iter().map(|found| format!("{found:?}")).collect::<Vec<_>>()
    };
    assert_eq!(found(3), found(3));
    assert_ne!(found(3), found(4));
}

#[test]
fn a_drift_file_that_is_wrong_by_any_amount_costs_less_than_an_hour() {
    for (oscillator, saved) in
        [(-268.0, -383.0), (20.0, 420.0), (-165.0, -487.0), (150.0, 300.0), (-20.0, 60.0)]
    {
        let text = format!(
            "[[scenario]]\nname = \"drift file\"\nfrequency-ppm = {oscillator}\nsaved-ppm = [{saved}, 0.26]\n\
             source = [{{ kind = \"wan\", count = 3 }}]"
        );
        let [scenario] = &parse(&text).unwrap()[..] else { panic!("one scenario") };
        let mut world = World::new(scenario, 5);
        let mut right = f64::INFINITY;
        while world.age() < 7_200.0 {
            world.run_until(world.age() + 60.0);
            right = if world.error().abs() < 0.010 { right.min(world.age()) } else { f64::INFINITY };
        }
        assert!(right <= 3_600.0, "{oscillator} {saved}: {right} {}", world.error());
    }
}

#[test]
fn a_sleep_of_a_few_seconds_of_which_nobody_tells_does_not_bend_the_clock() {
    // The kernel puts the clock right to a part of a second, and the counter stood still.
    for slept in [1.927, 5.0, 9.5] {
        // While orders are given, and after an hour without any.
        for outage in ["", "{ at = 40000.0, up = false }, { at = 44000.0, up = true },"] {
            let text = format!(
                "[[scenario]]\nname = \"sleep\"\nfrequency-ppm = 35\nsource = [{{ kind = \"wan\", count = 3 }}]\n\
                 event = [{outage} {{ at = 43000.0, sleep = {slept} }}]"
            );
            let [scenario] = &parse(&text).unwrap()[..] else { panic!("one scenario") };
            let mut world = World::new(scenario, 5);
            world.run_until(43_100.0);
            let mut right = f64::INFINITY;
            while world.age() < 58_000.0 {
                world.run_until(world.age() + 60.0);
                right = if world.error().abs() < 0.010 { right.min(world.age()) } else { f64::INFINITY };
            }
            let said = world.status().system.reason.sentence().into_owned();
            assert!(right <= 50_000.0, "{slept} s, {outage}: {right}, {} s off: {said}", world.error());
        }
    }
}
