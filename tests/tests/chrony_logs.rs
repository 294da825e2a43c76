//! truechimer-chrony-logs with real daemons, and beside a chronyd that writes the same files.

use bench::chrony_logs::{ChronyLogs, Row, folder, group_of, lines};
use bench::chronyd_client::ChronydClient;
use bench::daemon::{Daemon, Setup, source};
use bench::forger::Forger;
use bench::peers::NO_CHRONYD;
use bench::programs::{Place, wait_for};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(40);
/// What the server is ahead of the host's clock.
const AHEAD: i64 = 40_000_000;
const FILES: [&str; 3] = ["measurements", "statistics", "tracking"];

fn here(host: u8) -> IpAddr {
    [127, 0, 0, host].into()
}

/// How many measurements the daemon has made, and corrections.
fn counted(daemon: &Daemon) -> Option<u64> {
    daemon.measured(u64::MAX)?["counted"].as_u64()
}

/// No more queries; how many measurements and corrections there were when all replies had come.
fn quiet(daemon: &Daemon) -> usize {
    assert!(daemon.chimerctl(&["offline"]).status.success());
    std::thread::sleep(Duration::from_millis(300));
    usize::try_from(counted(daemon).expect("it answers")).expect("few")
}

/// One `[[source]]`, asked each second.
fn each_second(server: &Forger) -> String {
    source(server.address()).replace("max-poll = 2", "max-poll = 0")
}

/// Four servers.
fn four() -> Vec<Forger> {
    (1..=4).map(|host| Forger::honest(here(host), 0)).collect()
}

#[track_caller]
fn wait_until(what: &str, logs: &ChronyLogs, claim: impl Fn() -> bool) {
    let holds = wait_for(TIMEOUT, || {
        std::thread::sleep(Duration::from_millis(50));
        claim().then_some(())
    });
    assert!(holds.is_some(), "not {what}:\n{}", logs.log());
}

fn rows(name: &str, lines: &[String]) -> Vec<Row> {
    let row = |line: &String| Row::read(name, line).unwrap_or_else(|| panic!("{name}: {line}"));
    lines.iter().map(row).collect()
}

#[test]
fn the_lines_are_those_of_a_chronyd_beside_it() {
    let server = Forger::honest(here(1), AHEAD);
    let theirs = folder("chronyd-logs");
    let line = format!(
        "server 127.0.0.1 port {} iburst minpoll 0 maxpoll 0\nlog measurements statistics tracking\nlogdir {}\nlogbanner 4",
        server.address().port(),
        theirs.join(".").display()
    );
    let Some(chronyd) = ChronydClient::start(&line, &[]) else { return bench::skip(NO_CHRONYD) };
    let daemon = Setup::new("chrony-logs", &source(server.address())).with_virtual_clock(0, 20.0).start();
    let ours = folder("our-logs");
    let logs = ChronyLogs::start(&daemon.socket(), &ours.join("."), &["--banner", "4"]);
    let read = |place: &Place, name: &str| lines(&place.join(&format!("{name}.log")));
    for (who, place) in [("chronyd", &theirs), ("ours", &ours)] {
        for name in FILES {
            wait_until(&format!("12 lines of {name} by {who}"), &logs, || read(place, name).len() >= 12);
        }
    }
    drop(chronyd);
    for name in FILES {
        let [their, our] = [&theirs, &ours].map(|place| read(place, name));
        println!("--- {name}: chronyd, truechimer\n{}\n{}", their[..6].join("\n"), our[..6].join("\n"));
        let [their, our] = [&their, &our].map(|lines| rows(name, lines));
        // All columns are where chronyd's are. A score is wider where it is negative.
        let places = |rows: &[Row]| -> BTreeSet<Vec<usize>> {
            rows.iter().map(|row| row.places.iter().map(|(_, end)| *end).collect()).collect()
        };
        let (their_places, our_places) = (places(&their), places(&our));
        assert!(our_places.is_subset(&their_places), "{name}: {our_places:?} {their_places:?}");
        let [their_text, our_text] = [&theirs, &ours]
            .map(|place| std::fs::read_to_string(place.join(&format!("{name}.log"))).expect("a file"));
        let banner = |text: &str| text.lines().take(3).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(banner(&their_text), banner(&our_text));
        // After each fourth line, again.
        let at = |text: &str| -> Vec<usize> {
            let numbered = text.lines().take(20).enumerate();
            numbered.filter(|(_, line)| line.starts_with('=')).map(|(at, _)| at).collect()
        };
        assert_eq!(at(&their_text), at(&our_text), "{name}");
        let facts = std::fs::metadata(ours.join(&format!("{name}.log"))).expect("a file");
        assert_eq!(facts.permissions().mode() & 0o7777, 0o640);
        for row in &our {
            let age = bench::clock::wall() as f64 * 1e-9 - seconds(row);
            assert!((-1.0..120.0).contains(&age), "{age} s old: {row:?}");
            assert_eq!(row.text("address"), "127.0.0.1");
        }
        // What a busy host does to a single exchange fails one of the tests A to D with either of them.
        let passed = |rows: &[Row]| -> Row {
            let last =
                rows.iter().rev().find(|row| name != "measurements" || row.text("tests A-D") == "1111");
            last.unwrap_or_else(|| panic!("{name}: none has passed all tests: {rows:?}")).clone()
        };
        let (their, our) = (passed(&their), passed(&our));
        for column in [
            "leap",
            "stratum",
            "tests 1-3",
            "tests 5-7",
            "root delay",
            "root dispersion",
            "reference id",
            "mode",
        ] {
            if name == "measurements" {
                assert_eq!(their.text(column), our.text(column), "{column}");
            }
        }
    }
    let of = |place, name| rows(name, &read(place, name));
    for place in [&theirs, &ours] {
        let [measured, learned, corrected] = FILES.map(|name| of(place, name));
        let ahead = AHEAD as f64 * 1e-9;
        let near = |row: &Row, expected: f64| {
            assert!((row.number("offset") - expected).abs() < 0.01, "{row:?}");
        };
        // Slow in the one file, and not fast in the others.
        near(&measured[0], ahead);
        near(&learned[0], -ahead);
        // chronyd has a line before it has a reference.
        near(corrected.iter().find(|row| row.text("leap") == "N").expect("a correction"), -ahead);
        for row in &measured {
            for (column, least, most) in [
                ("delay", 1e-7, 0.05),
                ("dispersion", 1e-9, 1e-3),
                ("local poll", 0.0, 2.0),
                ("remote poll", 0.0, 17.0),
            ] {
                assert!((least..=most).contains(&row.number(column)), "{column}: {row:?}");
            }
            let stamps = ["sent by", "received by"].map(|column| row.text(column));
            assert!(stamps.iter().all(|by| ["D", "K", "H"].contains(by)), "{row:?}");
        }
        for row in &learned {
            assert!(row.number("deviation") > 0.0 && row.number("offset error") > 0.0, "{row:?}");
            assert!(row.number("skew") > 0.0 && (2.0..=64.0).contains(&row.number("samples")), "{row:?}");
        }
        for row in corrected.iter().filter(|row| row.text("leap") == "N") {
            assert_eq!((row.text("stratum"), row.text("combined")), ("3", "1"), "{row:?}");
            assert!(row.number("most error") >= row.number("root delay") / 2.0, "{row:?}");
        }
    }
    // The clock runs fast by 20 ppm.
    wait_until("a frequency", &logs, || {
        of(&ours, "tracking").last().is_some_and(|row| (row.number("frequency") - 20.0).abs() < 4.0)
    });
}

/// Seconds since 1970 of a line.
fn seconds(row: &Row) -> f64 {
    let text = format!("{} {}", row.text("date"), row.text("time"));
    let said = std::process::Command::new("date").args(["--utc", "+%s", "--date", &text]).output();
    let said = said.expect("date can be executed").stdout;
    String::from_utf8_lossy(&said).trim().parse().unwrap_or_else(|_| panic!("{text} is no time"))
}

/// The lines of all sources, each of which is there once and in order.
#[track_caller]
fn assert_once_and_in_order(lines: &[String]) {
    let different: BTreeSet<&String> = lines.iter().collect();
    assert_eq!(different.len(), lines.len(), "a line is there twice");
    assert!(lines.iter().map(|line| &line[..19]).is_sorted(), "{lines:#?}");
}

#[test]
fn each_measurement_is_written_once_over_restarts_of_the_daemon_and_of_the_program() {
    let servers = four();
    let sources: String = servers.iter().take(2).map(|server| source(server.address())).collect();
    let setup = Setup::new("logs-restarts", &sources).with_virtual_clock(0, 10.0);
    let place = folder("logs-restarts-files");
    let files = place.join(".");
    let socket = setup.place().join("run/control.sock");
    let group = group_of(&setup.start().socket());
    // Nobody answers yet.
    let early = ChronyLogs::start_as(group, &[], &socket, &files, &[]);
    wait_until("said", &early, || early.log().contains("no truechimer daemon answers"));
    let daemon = setup.start();
    wait_until("some lines", &early, || early.lines("measurements.log").len() >= 8);
    assert_eq!(early.log().matches("no truechimer daemon").count(), 1, "{}", early.log());
    assert_eq!(early.log().matches("the daemon answers again").count(), 1, "{}", early.log());
    drop(early);
    for _ in 0..3 {
        let logs = ChronyLogs::start(&daemon.socket(), &files, &[]);
        let before = logs.lines("measurements.log").len();
        wait_until("more lines", &logs, || logs.lines("measurements.log").len() > before + 2);
        assert_eq!(logs.log(), "");
    }
    // It is killed between lines and position.
    let logs = ChronyLogs::start(&daemon.socket(), &files, &[]);
    let position = place.join("position");
    let kept = std::fs::read(&position).expect("it was kept");
    wait_until("further", &logs, || std::fs::read(&position).is_ok_and(|now| now != kept));
    drop(logs);
    std::fs::write(&position, kept).expect("a file can be written");
    let logs = ChronyLogs::start(&daemon.socket(), &files, &[]);
    let first = quiet(&daemon);
    let written = || logs.lines("measurements.log");
    let both = || written().len() + logs.lines("tracking.log").len();
    wait_until("all lines", &logs, || both() >= first);
    assert_eq!(both(), first, "{}", logs.log());
    assert_once_and_in_order(&written());
    // A daemon that begins to count anew.
    assert_eq!(daemon.stop().code, Some(0));
    let daemon = setup.start();
    wait_until("lines of the second run", &logs, || both() > first + 16);
    let second = quiet(&daemon);
    wait_until("all lines", &logs, || both() >= first + second);
    assert_eq!(both(), first + second, "{}", logs.log());
    assert_once_and_in_order(&written());
    assert_eq!(logs.log().matches("has started anew").count(), 1, "{}", logs.log());
    assert!(!logs.log().contains("are lost"), "{}", logs.log());
    for (name, column) in [("statistics", "samples"), ("tracking", "combined")] {
        let all = logs.lines(&format!("{name}.log"));
        assert!(all.len() > 8 && all.len() <= first + second, "{name}: {}", all.len());
        assert_once_and_in_order(&all);
        assert!(rows(name, &all).iter().all(|row| row.number(column) >= 1.0));
    }
}

#[test]
fn what_the_daemon_no_longer_keeps_is_said_to_be_lost() {
    let server = Forger::honest(here(1), 0);
    let daemon = Setup::new("logs-lost", &each_second(&server)).with_virtual_clock(0, 0.0).start();
    let place = folder("logs-lost-files");
    let start = || ChronyLogs::start(&daemon.socket(), &place.join("."), &[]);
    let logs = start();
    wait_until("begun", &logs, || place.join("position").exists());
    drop(logs);
    let before = counted(&daemon).expect("it answers");
    daemon.wait_until("beyond what is kept", TIMEOUT, |daemon| counted(daemon) > Some(before + 40));
    let logs = start();
    wait_until("said", &logs, || logs.log().contains("are lost"));
    assert_eq!(logs.log().lines().count(), 1, "{}", logs.log());
    let missing: usize =
        logs.log().split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number");
    quiet(&daemon);
    let both = || logs.lines("measurements.log").len() + logs.lines("tracking.log").len();
    // On a busy machine the last reply is counted later.
    let all = || usize::try_from(counted(&daemon).expect("it answers")).expect("few");
    wait_until("all lines", &logs, || both() + missing == all());
    let all = all();
    assert!(missing >= 4, "{missing} of {all}");
}

#[test]
fn a_file_that_is_renamed_is_begun_anew_and_none_grows_beyond_its_limit() {
    let servers = four();
    let sources: String = servers.iter().map(each_second).collect();
    let daemon = Setup::new("logs-renamed", &sources).with_virtual_clock(0, 0.0).start();
    let place = folder("logs-renamed-files");
    let logs = ChronyLogs::start(&daemon.socket(), &place.join("."), &["--most", "4K"]);
    wait_until("some lines", &logs, || logs.lines("measurements.log").len() >= 4);
    // As logrotate does.
    std::fs::rename(place.join("measurements.log"), place.join("old")).expect("it is there");
    wait_until("begun anew", &logs, || !logs.lines("measurements.log").is_empty());
    wait_until("full", &logs, || place.join("measurements.log.old").exists());
    quiet(&daemon);
    let valid = daemon.sources().iter().filter_map(|source| source["valid"].as_u64()).sum();
    let written =
        || ["old", "measurements.log.old", "measurements.log"].map(|name| logs.lines(name)).concat();
    wait_until("all lines", &logs, || written().len() as u64 >= valid);
    assert_eq!(written().len() as u64, valid);
    assert_once_and_in_order(&written());
    for name in ["measurements.log.old", "measurements.log", "statistics.log", "tracking.log"] {
        let facts = std::fs::metadata(place.join(name)).expect("a file");
        assert!(facts.size() <= 4096, "{name}: {}", facts.size());
    }
    assert_eq!(logs.log(), "");
}

#[test]
fn a_full_disk_tears_no_line_and_ends_nothing() {
    if !bench::is_root() {
        return bench::skip("root is missing, which mounts a small file system");
    }
    let servers = four();
    let sources: String = servers.iter().map(each_second).collect();
    let daemon = Setup::new("logs-full", &sources).with_virtual_clock(0, 0.0).start();
    let place = Place::new("logs-full-files");
    let files = place.join(".").display().to_string();
    let script = format!("mount -t tmpfs -o size=64k,mode=700 tmpfs {files} && exec \"$@\"");
    let own = ["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh"];
    let mut logs = ChronyLogs::start_as(None, &own, &daemon.socket(), &place.join("."), &[]);
    let seen = std::path::PathBuf::from(format!("/proc/{}/root{files}", logs.pid()));
    let written = |name: &str| lines(&seen.join(name));
    wait_until("some lines", &logs, || written("measurements.log").len() >= 4);
    let fill = || {
        let mut filler = std::fs::File::create(seen.join("filler")).expect("a file");
        while filler.write_all(&[0; 4096]).is_ok() {}
        while filler.write_all(&[0]).is_ok() {}
    };
    fill();
    let said = |words: &str| FILES.iter().all(|name| logs.log().contains(&format!("{name}.log {words}")));
    wait_until("full", &logs, || said("cannot be written, and its lines are lost"));
    let full = written("measurements.log");
    std::thread::sleep(Duration::from_secs(4));
    for name in FILES {
        let text = std::fs::read_to_string(seen.join(format!("{name}.log"))).expect("a file");
        assert!(text.is_empty() || text.ends_with('\n'), "{name} is torn: {text}");
        assert_eq!(logs.log().matches(&format!("{name}.log")).count(), 1, "{}", logs.log());
    }
    assert_eq!(written("measurements.log"), full, "what was lost is not half there");
    std::fs::remove_file(seen.join("filler")).expect("it is there");
    wait_until("over", &logs, || said("is written again"));
    wait_until("more lines", &logs, || written("measurements.log").len() > full.len() + 2);
    for name in FILES {
        let all = written(&format!("{name}.log"));
        assert_eq!(rows(name, &all).len(), all.len());
        assert_once_and_in_order(&all);
    }
    assert!(logs.runs(), "{}", logs.log());
}

#[test]
fn a_link_in_the_folder_is_not_followed() {
    let server = Forger::honest(here(1), 0);
    let daemon = Setup::new("logs-link", &source(server.address())).with_virtual_clock(0, 0.0).start();
    let (place, elsewhere) = (folder("logs-link-files"), folder("logs-link-victim"));
    for name in ["measurements.log", "position"] {
        symlink(elsewhere.join(name), place.join(name)).expect("a new folder can be written");
    }
    let mut logs = ChronyLogs::start(&daemon.socket(), &place.join("."), &["--raw"]);
    wait_until("said", &logs, || logs.log().matches("it is a link").count() == 2);
    wait_until("the other files", &logs, || logs.lines("tracking.log").len() >= 4);
    assert_eq!(std::fs::read_dir(elsewhere.join(".")).expect("a folder").count(), 0);
    assert!(logs.runs() && logs.log().lines().count() == 2, "{}", logs.log());
}

#[test]
fn replies_that_failed_a_test_are_there_if_they_are_wanted() {
    let server = Forger::start(here(1), 0, |request| vec![request.with(|header| header.leap = 3)]);
    let daemon = Setup::new("logs-raw", &source(server.address())).start();
    let (raw, usual) = (folder("logs-raw-files"), folder("logs-usual-files"));
    let all = ChronyLogs::start(&daemon.socket(), &raw.join("."), &["--raw"]);
    let some = ChronyLogs::start(&daemon.socket(), &usual.join("."), &[]);
    wait_until("lines", &all, || all.lines("measurements.log").len() >= 4);
    wait_until("read", &some, || usual.join("position").exists());
    for row in rows("measurements", &all.lines("measurements.log")) {
        assert_eq!((row.text("leap"), row.text("stratum"), row.text("tests 5-7")), ("?", "2", "101"));
        assert_eq!((row.number("offset"), row.number("delay")), (0.0, 0.0), "{row:?}");
    }
    assert_eq!(some.lines("measurements.log"), Vec::<String>::new());
}
