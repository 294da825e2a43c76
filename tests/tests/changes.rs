//! A thousand changes of the configuration and at run time, in an order that chance chooses, under load: neither the clock nor the
//! server is disturbed, and no process grows.

use bench::client;
use bench::daemon::{Daemon, Setup, source};
use bench::own_files;
use bench::programs::free_port;
use bench::seen::{all_answer, pids, server};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);
const CHANGES: u32 = 1_000;

/// From here on nothing may grow: what is kept of the first changes is allocated once.
const SETTLED: u32 = 300;

/// What a process may differ by from one moment to another, KiB.
const SLACK: u64 = 512;

struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// The resident memory of each process of the daemon, KiB.
fn resident(daemon: &Daemon) -> Vec<(u32, u64)> {
    let all: Vec<_> = daemon.processes().into_iter().map(|it| (it.pid, it.resident / 1024)).collect();
    assert!(all.iter().all(|(_, resident)| *resident > 0), "{all:?}");
    all
}

/// Writes a file, or removes it if it is there.
fn put(setup: &Setup, folder: &str, name: &str, text: Option<&str>) {
    if text.is_some() || setup.place().join(folder).join(name).exists() {
        own_files::put(setup, folder, name, text);
    }
}

/// Three sources that stay, and a server; everything else is another one each time.
fn configuration(places: &[String], listen: SocketAddr, chance: &mut Chance) -> String {
    let fixed: String = places[..3].iter().map(source).collect();
    let more = ["", "noselect = false\n", "noselect = true\n"][chance.below(3)];
    let more = if more.is_empty() { String::new() } else { source(&places[3]) + more };
    let slew = [40, 50, 100, 200][chance.below(4)];
    let rate = [5_000, 8_000, 10_000][chance.below(3)];
    let allow = ["127.0.0.0/8", "127.0.0.0/16", "0.0.0.0/0"][chance.below(3)];
    let other =
        ["kiss = false\n", "interleaved = false\n", "leap-smear = \"off\"\n", "local-stratum = 9\n", ""]
            [chance.below(5)];
    format!(
        "{fixed}{more}[clock]\nmax-slew-ppm = {slew}\n[server]\nlisten = [\"{listen}\"]\nallow = [\"{allow}\"]\n\
         address-rate = {rate}\nnetwork-rate = {rate}\n{other}"
    )
}

/// Makes one change; whether it was to be refused.
fn change(
    client: &Daemon,
    places: &[String],
    listen: SocketAddr,
    chance: &mut Chance,
) -> (Vec<String>, bool) {
    let setup = client.setup();
    let other = &places[3 + chance.below(places.len() - 3)];
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    match chance.below(11) {
        0 if chance.below(2) == 0 => (words(&["add", other, "min-poll=4", "noselect=true"]), false),
        0 => (words(&["add", other, "min-poll=4"]), false),
        1 => (words(&["remove", other]), false),
        2 => (words(&["burst", &places[chance.below(3)]]), false),
        3 => (words(&["offline", other]), false),
        4 => (words(&["online"]), false),
        5 => {
            setup.configure("[[source]]\naddress = 5\n");
            (words(&["reload"]), true)
        }
        6 => {
            let text = chance.below(2) == 0;
            put(setup, "truechimer.d", "50-more.toml", text.then(|| source(&places[4])).as_deref());
            setup.configure(&configuration(places, listen, chance));
            (words(&["reload"]), false)
        }
        7 => {
            let text = chance.below(2) == 0;
            let text = text.then(|| source(&places[5]).replace("burst = true\n", ""));
            put(setup, "run/sources.d", "lease.toml", text.as_deref());
            (words(&["reload", "sources"]), false)
        }
        8 => (words(&["log", ["error", "warning", "info", "debug"][chance.below(4)]]), false),
        _ => {
            setup.configure(&configuration(places, listen, chance));
            (words(&["reload"]), false)
        }
    }
}

#[test]
fn a_thousand_changes_under_load_disturb_neither_clock_nor_server_and_nothing_grows() {
    let (_server, places) = server(6);
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut chance = Chance(14);
    let text = configuration(&places, listen, &mut chance);
    let client = Setup::new("changes", &text).with_virtual_clock(-80_000_000, 20.0).start();
    client.wait_until_synchronised(TIMEOUT);
    client.wait_until("all of them measured", TIMEOUT, all_answer);
    let began = pids(&client);
    let steps = client.report().expect("it answers")["steps"].clone();
    let (is_over, asked, lost) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let mut settled = Vec::new();
    let mut worst = 0;
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            while !is_over.load(Relaxed) {
                asked.fetch_add(1, Relaxed);
                match client::query(listen, Duration::from_secs(5)) {
                    Some(answer) => assert!((1..16).contains(&answer.header.stratum), "{answer:?}"),
                    None => _ = lost.fetch_add(1, Relaxed),
                }
            }
        });
        for number in 0..CHANGES {
            let (words, is_faulty) = change(&client, &places, listen, &mut chance);
            let output = client.chimerctl(&words.iter().map(String::as_str).collect::<Vec<_>>());
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            // By chance a source is there already, or is not there.
            let may_fail = matches!(words[0].as_str(), "add" | "remove" | "offline");
            assert!(output.status.success() != is_faulty || may_fail, "{number}: {words:?}: {said}");
            assert!(client.is_synchronised(), "{number}: {words:?}: {:#}", client.status());
            worst = worst.max(client.setup().virtual_clock().error_ns().abs());
            if number == SETTLED {
                settled = resident(&client);
            }
        }
        is_over.store(true, Relaxed);
        load.join().expect("each answer is of a synchronised server");
    });
    assert_eq!(pids(&client), began, "no process was replaced");
    assert_eq!(client.report().expect("it answers")["steps"], steps);
    assert!(worst < 1_000_000, "{worst} ns");
    for ((pid, before), (_, after)) in settled.into_iter().zip(resident(&client)) {
        assert!(after <= before + SLACK, "process {pid}: {before} KiB, then {after}");
    }
    let (asked, lost) = (asked.into_inner(), lost.into_inner());
    assert!(asked > u64::from(CHANGES) && lost == 0, "{lost} of {asked} requests were not answered");
    let stopped = client.stop();
    assert_eq!(stopped.code, Some(0), "{}", stopped.log);
}
