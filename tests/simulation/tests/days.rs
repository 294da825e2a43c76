//! Whole days: the accuracy page's rows that say most, and the attacks of ATTACKS.md group 1 that need a day.
//! A scenario says itself what is asked of it; `cargo xtask simulate` has the table over many seeds.

use simulation::scenario::{catalogue, find, parse};
use simulation::table::Row;
use simulation::world::{World, run};

fn holds(name: &str) {
    let [scenario] = find(name).try_into().unwrap_or_else(|found: Vec<_>| panic!("{name}: {}", found.len()));
    let figures = (1..=3).map(|seed| run(&scenario, seed)).collect();
    let row = Row { scenario, figures };
    assert!(row.misses().is_empty(), "{}", row.line());
}

macro_rules! days {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            holds(stringify!($name));
        })*
    };
}

days! {
    lan_w9 lan_w8_p6 wan_w9 wan_w7 bad_w9 wan_fstep wan_4src1ft wan_asymj_p6
    delaystep_wan heavy_wan three_mixed spikes_lan wan_f490
    a022_one_of_four_steps
    a023_two_of_four_lie
    a024_plain_majority
    a025_the_honest_are_knocked_out
    a029_boiling_frog_by_a_minority
    a030_symmetric_delay
    a031_one_way_delay_of_one_in_four
    a031_one_way_delay_alone
    a032_delay_ramp_on_all
    a035_one_smears
    a038_one_operator
    a161_sleep
    a163_leap_second
}

#[test]
fn a028_a_drift_of_all_sources_is_followed_inside_the_governors_band_and_no_farther() {
    let [scenario] = find("a028_boiling_frog_by_all").try_into().unwrap();
    let mut world = World::new(&scenario, 1);
    world.run_until(86_400.0);
    // 50 ppm of the oscillator and 40 of the frog: inside ±200 around the first hour's, in the first week.
    let correction = world.report().system.frequency_ppm;
    assert!((correction + 10.0).abs() < 1.0, "{correction}");
    let mut faster = scenario;
    faster.event[0].drift_ppm = Some(400.0);
    let mut world = World::new(&faster, 1);
    world.run_until(86_400.0);
    let correction = world.report().system.frequency_ppm;
    assert!((149.0..=151.0).contains(&correction), "{correction}");
}

#[test]
fn the_same_seed_gives_the_same_day_and_another_seed_another() {
    let [scenario] = find("wan_w9").try_into().unwrap();
    let day = |seed| run(&scenario, seed).time_rms_us.to_bits();
    assert_eq!(day(5), day(5));
    assert_ne!(day(5), day(6));
}

#[test]
fn the_catalogue_is_in_order_and_mistakes_in_a_file_are_told() {
    let all = catalogue();
    for (place, scenario) in all.iter().enumerate() {
        assert!(all[..place].iter().all(|other| other.name != scenario.name), "{} twice", scenario.name);
        assert!(!scenario.source.is_empty());
    }
    let mistake = parse("[[scenario]]\nname = \"x\"\nwandr = 1e-9\n").unwrap_err();
    assert!(mistake.contains("wandr"), "{mistake}");
}
