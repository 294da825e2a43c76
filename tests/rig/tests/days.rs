//! An hour in a real guest, where there is a kernel for it.

use bench::programs::{Place, folder};
use bench::skip;
use rig::days::daemons::Daemon;
use rig::days::machine::{Order, run};
use rig::days::root::Root;
use rig::days::{Tools, find, kernel};
use rig::runner;
use std::time::Duration;

#[test]
fn an_hour_of_the_confined_daemon_on_the_kernels_clock_is_like_the_pure_simulations() {
    if !bench::is_root() {
        return skip("not root: the guest's files are read as this user");
    }
    let Some(kernel) = kernel().expect("the rig's folder can be made") else {
        return skip("no kernel for guests: `cargo xtask rig` builds it");
    };
    // Of this thread, and of what it starts: all else of this program keeps what it has.
    if let Err(missing) = runner::prepare() {
        return skip(&missing);
    }
    let place = Place::new("days");
    let tools = Tools { programs: folder(), peers: place.join("none") };
    let root = Root::new(place.path(), &tools, &[Daemon::Truechimer]).expect("the programs were built");
    let order = Order {
        kernel: &kernel,
        root: root.path(),
        base: place.path(),
        day: "lan_calm",
        seed: 1,
        daemon: Daemon::Truechimer,
        hours: 1.0,
        limit: Duration::from_secs(600),
        tell: false,
    };
    let outcome = run(&order).expect("the guest tells an outcome");

    assert_eq!(outcome.ended, None);
    let names: Vec<&str> = outcome.processes.iter().map(|process| process.name.as_str()).collect();
    assert_eq!(names, ["truechimer-keep", "truechimer-engi", "truechimer-netw"]);
    assert!(
        outcome.processes.iter().all(|process| process.filtered && process.no_new_privs && process.uid != 0)
    );
    let mut day = find("lan_calm").expect("a day of the catalogue");
    (day.days, day.from) = (1.0 / 24.0, 0.0);
    let pure = simulation::world::run(&day, 1);
    let (real, pure) = (outcome.whole.time_rms_us, pure.time_rms_us);
    assert!((0.5..2.0).contains(&(real / pure)), "{real} µs on the kernel's clock, {pure} µs simulated");
    assert_eq!(outcome.packets.len(), 1);
    assert!((20..=40).contains(&outcome.packets[0]), "{:?}", outcome.packets);
}
