//! Debian's chronyc shows the same servers of a chronyd and of truechimer.

use bench::bridge::{AHEAD, Bridge, Servers, rows};
use bench::chronyd_client::chronyc;
use bench::daemon::{Setup, source};
use bench::packet::timestamp;
use bench::peers::NO_CHRONYD;
use bench::programs::wait_for;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

#[track_caller]
fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

#[test]
fn chronyc_shows_the_same_servers_with_the_signs_of_chronyd() {
    // Ahead of a clock that nobody corrects: chronyd may select none of them, and our daemon has no clock.
    let servers = Servers::start();
    // What one says of itself is like nothing that the others say.
    servers.first().change(|request| {
        let unusual = request.with(|header| {
            (header.precision, header.root_delay, header.root_dispersion) = (-18, 1_234, 2_345);
            header.reference = timestamp(1_790_000_000_250_000_000);
        });
        vec![unusual]
    });
    let Some(chronyd) = servers.chronyd("noselect") else { return bench::skip(NO_CHRONYD) };
    let sources: String = servers.addresses().map(|it| source(it) + "noselect = true\n").collect();
    let client = Setup::new("chronyc-signs", &sources).start();
    let bridge = Bridge::start(&client.socket());
    let theirs = |words: &[&str]| -> Vec<Vec<String>> {
        let output = chronyc(&chronyd.socket(), &[&["-c"], words].concat()).expect("it was there before");
        rows(&String::from_utf8_lossy(&output.stdout))
    };
    let are_measured =
        |rows: &[Vec<String>]| rows.len() == 4 && rows.iter().take(3).all(|row| row[5] == "377");
    let both = wait_for(TIMEOUT, || {
        std::thread::sleep(Duration::from_millis(200));
        let both = [theirs(&["sources"]), bridge.table(&["sources"])];
        both.iter().all(|rows| are_measured(rows)).then_some(both)
    });
    let both = both.unwrap_or_else(|| panic!("{}\n{}", chronyd.log(), client.log()));
    let ahead = AHEAD as f64 * 1e-9;
    let near = |text: &str, expected: f64| {
        assert!((number(text) - expected).abs() < 0.005, "{text} is not {expected}");
    };
    for rows in &both {
        for row in rows.iter().take(3) {
            assert_eq!((&row[0][..], &row[3][..]), ("^", "2"));
            near(&row[7], -ahead);
            near(&row[8], -ahead);
        }
    }
    // But for the poll interval, which either lengthens in its own way.
    let silent = both.map(|mut rows| {
        rows[3].remove(4);
        rows.remove(3)
    });
    assert_eq!(silent[0], silent[1], "a source that never answered");
    for rows in [theirs(&["sourcestats"]), bridge.table(&["sourcestats"])] {
        rows.iter().take(3).for_each(|row| near(&row[6], -ahead));
        assert_eq!(rows[3][1..], ["0", "0", "0", "0.000", "2000.000", "0.000000000", "4.000000000"]);
    }
    for (their, our) in theirs(&["ntpdata"]).iter().zip(bridge.table(&["ntpdata"])).take(3) {
        near(&their[18], ahead);
        near(&our[18], ahead);
        // Address, port, leap, version, mode, stratum; reference id.
        for at in [0, 1, 2, 5, 6, 7, 8, 15] {
            assert_eq!(their[at], our[at], "{at}");
        }
        // The address here; precision, root delay, root dispersion, and the reference id once more.
        for at in [3, 4, 11, 12, 13, 14, 16] {
            assert_eq!(their[at], our[at], "{at}");
        }
        // The reference time is five seconds before each reply.
        let apart = number(&their[17]) - number(&our[17]);
        assert!(apart.abs() < if our[11] == "-18" { 1e-5 } else { 20.0 }, "{} {}", their[17], our[17]);
        assert!(number(&our[21]) > 0.0 && number(&our[21]) < 1.0, "response time: {}", our[21]);
        assert!(
            our[28..30].iter().all(|stamps| ["Daemon", "Kernel", "Hardware"].contains(&&stamps[..])),
            "{our:?}"
        );
    }
    // State, name, authentication, both options.
    let selections = [theirs(&["selectdata"]), bridge.table(&["selectdata"])];
    let [their, our] =
        selections.map(|rows| rows.into_iter().map(|row| row[..11].to_vec()).collect::<Vec<_>>());
    assert!(their == our && our.len() == 4 && our.iter().all(|row| row[0] == "N"), "{their:?} {our:?}");
    assert_eq!(bridge.table(&["ntpdata"])[0][11..15], ["-18", "0.000003815", "0.018829", "0.035782"]);
    for command in ["activity", "clients", "authdata"] {
        assert_eq!(theirs(&[command]), bridge.table(&[command]), "{command}");
    }
}
