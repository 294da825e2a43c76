//! Poll intervals below a second, and bursts at each poll.

use super::world::*;

/// Queries in the seconds that come now.
fn queries_in(world: &mut World, seconds: f64) -> usize {
    let before = world.queries.len();
    world.run(seconds);
    world.queries.len() - before
}

#[test]
fn a_second_is_fallen_below_for_a_source_on_the_same_network_while_it_answers() {
    for (servers, at_most, at_least) in [(lan(1), 1_000, 900), (wan(1), 70, 50)] {
        let mut setup = Setup::of(servers);
        (setup.settings.sources[0].min_poll, setup.settings.sources[0].max_poll) = (-4, -4);
        let mut world = setup.start();
        world.run(120.0);
        let asked = queries_in(&mut world, 60.0);
        assert!((at_least..=at_most).contains(&asked), "{asked}");
        let status = world.status();
        assert!(status.system.synchronised && world.error().abs() < 1e-3, "{}", world.error());
        assert_eq!(status.sources[0].poll, if at_most > 100 { -4 } else { 0 });
        // One that falls silent is asked no oftener than others.
        world.servers[0].up = false;
        world.run(5.0);
        let asked = queries_in(&mut world, 60.0);
        assert!(asked <= 70, "{asked}");
        world.servers[0].up = true;
        world.run(60.0);
        let asked = queries_in(&mut world, 60.0);
        assert!((at_least..=at_most).contains(&asked), "{asked}");
    }
}

#[test]
fn with_bursts_at_each_poll_there_are_four_queries_where_there_was_one() {
    let count = |always: bool| {
        let mut setup = Setup::of(lan(1));
        let source = &mut setup.settings.sources[0];
        (source.min_poll, source.max_poll, source.burst_always) = (5, 5, always);
        let mut world = setup.start();
        world.run(600.0);
        let asked = queries_in(&mut world, 3_200.0);
        assert!(world.status().system.synchronised && world.error().abs() < 1e-4, "{}", world.error());
        asked
    };
    let (usual, always) = (count(false), count(true));
    assert!((98..=102).contains(&usual), "{usual}");
    assert!((392..=408).contains(&always), "{always}");
}
