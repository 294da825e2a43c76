//! The model of the accuracy page, shortened: hours instead of a day. What is asserted is a bound that a
//! broken estimator misses and a working one does not; the figures themselves are printed.

use super::world::*;
use std::println;

const HOURS: f64 = 3600.0;

/// RMS in µs, packets, and the first second with an error below `goal`.
fn figures(name: &str, setup: Setup, hours: f64, goal: f64) -> (f64, usize, f64) {
    let mut world = setup.start();
    world.run(hours * HOURS);
    let first = world
        .errors
        .iter()
        .find(|(_, error)| error.abs() < goal)
        .map_or(f64::INFINITY, |(time, _)| (time - BEGIN) as f64 * 1e-9);
    let rms = world.rms(3600.0);
    let packets = world.queries.len() / world.servers.len();
    println!("{name}: rms {rms:.1} µs, {packets} packets in {hours} h, first {first} s");
    assert!(world.refused.is_empty(), "{:?}", world.refused);
    assert!(world.steps.len() <= 1);
    (rms, packets, first)
}

#[test]
fn lan_w9() {
    let (rms, packets, first) = figures("lan_w9", Setup::of(lan(1)), 4.0, 1e-3);
    assert!(rms < 20.0 && packets < 100 && first <= 2.0);
}

#[test]
fn lan_w8() {
    let (rms, ..) = figures("lan_w8", Setup { wander: 1e-8, ..Setup::of(lan(1)) }, 4.0, 1e-3);
    assert!(rms < 40.0);
}

#[test]
fn wan_w9() {
    let (rms, packets, first) = figures("wan_w9", Setup::of(wan(1)), 4.0, 10e-3);
    assert!(rms < 800.0 && packets < 100 && first <= 2.0);
}

#[test]
fn wan_w8() {
    let (rms, ..) = figures("wan_w8", Setup { wander: 1e-8, ..Setup::of(wan(1)) }, 4.0, 10e-3);
    assert!(rms < 1000.0);
}

#[test]
fn wan_w7() {
    let (rms, ..) = figures("wan_w7", Setup { wander: 1e-7, ..Setup::of(wan(1)) }, 4.0, 10e-3);
    assert!(rms < 2500.0);
}

#[test]
fn four_sources_with_a_falseticker_are_better_than_one() {
    let mut servers = wan(4);
    servers[2].error = 0.25;
    let (rms, ..) = figures("wan_4src1ft", Setup::of(servers), 4.0, 10e-3);
    assert!(rms < 500.0);
}

#[test]
fn a_jump_of_the_frequency_is_followed() {
    let mut world = Setup::of(wan(1)).start();
    world.run(2.0 * HOURS);
    world.frequency += 1e-6;
    world.run(2.0 * HOURS);
    println!("wan_fstep: rms {:.1} µs", world.rms(3600.0));
    assert!(world.rms(3600.0) < 1200.0);
}

#[test]
fn jitter_of_one_way_does_not_pull_the_clock() {
    let mut servers = wan(1);
    servers[0].forward = 2.1e-3;
    servers[0].back = 0.1e-3;
    let (rms, ..) = figures("wan_asymj", Setup::of(servers), 4.0, 10e-3);
    assert!(rms < 300.0);
}

/// The table of the accuracy page: medians over seeds of whole days. Slow in a debug build; run it with
/// `cargo test --release -p truechimer-engine-core --lib whole_days -- --ignored --nocapture`.
#[test]
#[ignore = "minutes in a debug build: whole days, several seeds"]
fn whole_days() {
    for (name, make) in rows() {
        let mut rms = std::vec::Vec::new();
        let mut frequency = std::vec::Vec::new();
        let mut packets = std::vec::Vec::new();
        for seed in 1..=9 {
            let (setup, fixed, events) = make();
            let mut setup = Setup { seed, ..setup };
            if let Some(poll) = fixed {
                for source in &mut setup.settings.sources {
                    (source.min_poll, source.max_poll) = (poll, poll);
                }
            }
            let mut world = setup.start();
            for (at, event) in events {
                world.run(at - world.age());
                event(&mut world);
            }
            world.run(86_400.0 - world.age());
            rms.push(world.rms(14_400.0));
            frequency.push(world.frequency_rms(14_400.0));
            packets.push((world.queries.len() / world.servers.len()) as f64);
        }
        let median = |values: &mut std::vec::Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let (low, high) =
            (rms.iter().copied().fold(f64::INFINITY, f64::min), rms.iter().copied().fold(0.0, f64::max));
        println!(
            "{name:14} {:8.1} µs ({low:.1} to {high:.1}) {:7.3} ppm {:5} packets",
            median(&mut rms),
            median(&mut frequency),
            median(&mut packets)
        );
        assert!(high.is_finite());
    }
}

type Event = (f64, fn(&mut World));
type Row = (Setup, Option<i8>, std::vec::Vec<Event>);

type Named = (&'static str, fn() -> Row);

fn rows() -> std::vec::Vec<Named> {
    fn bad() -> std::vec::Vec<Server> {
        std::vec![server(0, 50e-3, 10e-3)]
    }
    fn row(servers: std::vec::Vec<Server>, wander: f64, poll: Option<i8>) -> Row {
        (Setup { wander, ..Setup::of(servers) }, poll, std::vec![])
    }
    std::vec![
        ("lan_w9", || row(lan(1), 1e-9, None)),
        ("lan_w8", || row(lan(1), 1e-8, None)),
        ("wan_w9", || row(wan(1), 1e-9, None)),
        ("wan_w8", || row(wan(1), 1e-8, None)),
        ("wan_w7", || row(wan(1), 1e-7, None)),
        ("bad_w9", || row(bad(), 1e-9, None)),
        ("wan_fstep", || {
            let (setup, poll, _) = row(wan(1), 1e-9, None);
            (setup, poll, std::vec![(43_200.0, |world: &mut World| world.frequency += 1e-6)])
        }),
        ("wan_outage", || {
            let (setup, poll, _) = row(wan(1), 1e-9, None);
            let events: std::vec::Vec<Event> =
                std::vec![(36_000.0, |w| w.servers[0].up = false), (57_600.0, |w| w.servers[0].up = true)];
            (setup, poll, events)
        }),
        ("wan_4src1ft", || {
            let mut servers = wan(4);
            servers[3].error = 0.25;
            row(servers, 1e-9, None)
        }),
        ("wan_f500", || {
            let (setup, poll, _) = row(wan(1), 1e-9, None);
            (Setup { frequency: 480e-6, ..setup }, poll, std::vec![])
        }),
        ("lan_w9_p6", || row(lan(1), 1e-9, Some(6))),
        ("lan_w8_p6", || row(lan(1), 1e-8, Some(6))),
        ("wan_w9_p6", || row(wan(1), 1e-9, Some(6))),
        ("wan_w8_p6", || row(wan(1), 1e-8, Some(6))),
        ("wan_w9_p8", || row(wan(1), 1e-9, Some(8))),
        ("wan_w8_p8", || row(wan(1), 1e-8, Some(8))),
        ("wan_asymj_p6", || {
            let mut servers = std::vec![server(0, 19e-3, 0.1e-3)];
            servers[0].forward = 2.1e-3;
            row(servers, 1e-9, Some(6))
        }),
    ]
}

/// A server whose stamps are multiples of 2^-`bits` s, and that claims to be precise to 2^-26 s.
fn coarse(bits: u32) -> Server {
    let mask = !0u64 << (32 - bits);
    let edit = move |header: &mut ipc::message::client::ReplyHeader| {
        header.receive_timestamp &= mask;
        header.transmit_timestamp &= mask;
    };
    Server { edit: Some(std::boxed::Box::new(edit)), ..server(0, 90e-6, 10e-6) }
}

#[test]
fn a_source_with_coarse_stamps_is_believed_no_further_than_they_go_whatever_precision_it_claims() {
    for bits in [0, 1, 4, 7, 10] {
        let unit = libm::ldexp(1.0, -(bits as i32));
        for frequency in [50e-6, -50e-6, 1e-6] {
            let mut setup = Setup { error: 0.3, frequency, ..Setup::of(std::vec![coarse(bits)]) };
            setup.settings.server = Some(crate::settings::ServerSettings {
                local: None,
                listen: std::vec![],
                nts: false,
                version5: false,
            });
            let mut world = setup.start();
            for _ in 0..6 * 60 {
                world.run(60.0);
                let (error, status) = (world.error().abs(), world.status().system);
                assert!(error <= 2.0 * unit + 0.3, "{bits} {frequency}: {error}");
                if status.last_update_s.is_some() {
                    assert!(status.error_bound_s >= error, "{bits}: {error} {}", status.error_bound_s);
                }
            }
        }
    }
}
