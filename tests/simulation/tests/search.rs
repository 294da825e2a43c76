//! A short search for the farthest that a hostile engine can move the clock; `cargo xtask governor-search` is the long one.

use ipc::message::privileged::Profile;
use ipc::units::Span;
use simulation::search::{Effort, WORLDS, search};

#[test]
fn a127_a_guided_adversary_moves_the_clock_no_farther_than_the_page_claims() {
    for world in WORLDS {
        for profile in [Profile::Standard, Profile::Strict] {
            let row = search(world, profile, 1, Effort::Sequences(19));
            assert!(!row.exceeds(), "\n{}", row.lines());
            // A search that finds nothing proves nothing.
            assert_eq!(
                row.apart.forwarded > 0.0,
                world.name == "forward steps" && profile == Profile::Standard
            );
            // Of vmclock's steps, all that a day may have, each as far as its row goes.
            let limits = keeper::governor::limits::of(profile);
            let (steps, size) =
                (i64::from(limits.pause_steps), limits.disruption_step.min(Span::from_secs(86_400)));
            let (steps, size) = if world.name == "migrations" { (steps, size) } else { (0, Span::ZERO) };
            assert_eq!(row.apart.disruptions, steps, "\n{}", row.lines());
            assert!(row.apart.disrupted >= 0.99 * (steps * size.nanos()) as f64 * 1e-9, "\n{}", row.lines());
            assert!(row.worst[1].found > 0.5 * row.worst[1].claimed.min(4.0), "\n{}", row.lines());
        }
    }
}

#[test]
fn the_same_seed_finds_the_same() {
    let [world, ..] = WORLDS;
    let found = |seed| search(world, Profile::Strict, seed, Effort::Sequences(14)).lines();
    assert_eq!(found(3), found(3));
}
