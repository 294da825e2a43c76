//! How often an engine is woken: never for nothing.

use super::world::*;
use ipc::message::privileged::ClockKind;
use ipc::units::Leap;

#[test]
fn an_engine_without_a_clock_is_not_woken_over_and_over_by_an_announced_leap_second() {
    // Noon of 30 June, when one may be announced.
    let noon = (1_814_356_800 * SECOND - BEGIN) as f64 * 1e-9;
    let mut setup = Setup { kind: ClockKind::None, error: noon, ..Setup::of(lan(2)) };
    for server in &mut setup.servers {
        server.error = noon;
        server.edit = Some(std::boxed::Box::new(|header| header.leap = Leap::Insert));
    }
    let mut world = setup.start();
    // The world fails where a timeout is due again at once.
    world.run(600.0);
    assert!(world.statuses.is_empty());
    assert_eq!(world.status().system.leap, Leap::Insert);
}
