//! chimerctl as people and scripts have it: exit codes, output that cannot be written, the width of a terminal, characters.

use bench::daemon::{Daemon, Setup, source};
use bench::forger::Forger;
use bench::programs::{program, wait_for, workspace};
use bench::tree::read;
use nix::pty::{Winsize, openpty};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(20);

/// What can be asked without changing anything, in the order of the manual.
const QUESTIONS: [&[&str]; 9] = [
    &["status"],
    &["sources"],
    &["sources", "-v"],
    &["why"],
    &["activity"],
    &["server"],
    &["keys"],
    &["clients"],
    &["access", "192.0.2.1"],
];

/// A daemon with an honest source, one that is silent, and one whose name nobody resolves.
fn daemon() -> (Daemon, [Forger; 2]) {
    let forgers = [Forger::honest(HERE, 0), Forger::start([127, 0, 0, 2].into(), 0, |_| Vec::new())];
    let unknown = format!("[[source]]\naddress = \"{}.invalid\"\n", "a-name-that-is-rather-long".repeat(2));
    let sources: String = forgers.iter().map(|forger| source(forger.address())).chain([unknown]).collect();
    (Setup::new("chimerctl", &sources).with_virtual_clock(1_000_000, 10.0).start(), forgers)
}

/// chimerctl without anything that says how wide or in which characters it is to write.
fn chimerctl(daemon: &Daemon, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("chimerctl"));
    command.arg("--socket").arg(daemon.socket()).args(arguments).stdin(Stdio::null());
    for variable in ["COLUMNS", "LC_ALL", "LC_CTYPE", "LANG"] {
        command.env_remove(variable);
    }
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("chimerctl can be executed")
}

fn full() -> File {
    File::options().write(true).open("/dev/full").expect("it is there")
}

/// The tags of EXIT STATUS in the manual.
fn documented() -> BTreeSet<i32> {
    let page = read("packaging/man/chimerctl.1");
    let section = page.split("\n.SH ").find(|section| section.starts_with("EXIT STATUS\n"));
    let tags = section.expect("it has that section").split("\n.TP\n.B ").skip(1);
    tags.map(|part| part.lines().next().and_then(|tag| tag.parse().ok()).expect("a number")).collect()
}

#[test]
fn each_exit_code_is_the_one_of_the_manual_and_each_of_the_manual_occurs() {
    let (daemon, _forgers) = daemon();
    daemon.wait_until("its first reply", TIMEOUT, |daemon| daemon.sources()[0]["reach"] != 0);
    let mut found = BTreeSet::new();
    let mut ends = |expected: i32, command: &mut Command| {
        let output = run(command);
        assert_eq!(output.status.code(), Some(expected), "{command:?}: {output:?}");
        found.insert(expected);
    };
    let name = daemon.sources()[0]["name"].as_str().expect("a text").to_owned();
    let yes: [&[&str]; 9] = [
        &["--help"],
        &["--version"],
        &["source", &name],
        &["burst"],
        &["offline"],
        &["online"],
        &["add", "127.0.0.9"],
        &["remove", "127.0.0.9"],
        &["status", "--json"],
    ];
    for arguments in yes.into_iter().chain(QUESTIONS) {
        ends(0, &mut chimerctl(&daemon, arguments));
    }
    let no: [&[&str]; 5] = [
        &["source", "nobody.example"],
        &["why", "nobody.example"],
        &["remove", "nobody.example"],
        &["add", &name],
        &["wait-sync", "--timeout", "0.3", "--max-error", "1e-12"],
    ];
    for arguments in no {
        ends(1, &mut chimerctl(&daemon, arguments));
    }
    let manual = workspace().join("packaging/man/chimerctl.1").display().to_string();
    let of_november = ["--from", "2026-11-01", "--to", "2026-12-01"];
    let log = daemon.setup().place().join("state/audit.log").display().to_string();
    let of_log = |option, file| vec!["audit", "--verify", "--file", log.as_str(), option, file];
    for option in ["--history", "--anchors", "--governor", "--keys"] {
        for file in ["/nonexistent", "/", "/dev/null", &manual] {
            ends(2, &mut chimerctl(&daemon, &of_log(option, file)));
        }
    }
    ends(0, &mut chimerctl(&daemon, &["audit", "--verify", "--file", &log]));
    let unable: [&[&str]; 22] = [
        &[],
        &["sing"],
        &["status", "--loud"],
        &["add", "a.example", "mode"],
        &["wait-sync", "--timeout", "-1"],
        &["replay", "/nonexistent"],
        // A file that is not there, that cannot be read, or that is another one, whatever was to be done with it.
        &["replay", &manual],
        &["audit", "--file", "/nonexistent"],
        &["audit", "--file", &manual],
        &["audit", "--verify", "--file", "/dev/null"],
        &["audit", "--verify", "--file", &manual],
        &["history", "/nonexistent"],
        &["history", &manual],
        &[&["evidence", "--rule", "stig", "--history", &manual], &of_november[..]].concat(),
        &["reload", "--config", "/nonexistent"],
        &["reload", "--config", "/"],
        &["import", "/nonexistent"],
        &["import", "--root", "/nonexistent"],
        &["import", "--from", "chrony", "--output", "/tmp/same", "--keys", "/tmp/../tmp/same", &manual],
        &["audit", "--last", "0"],
        &["history", "--since", "5m"],
        &["add", "a.example", "mode=nts", "mode=ntp"],
    ];
    for arguments in unable {
        ends(2, &mut chimerctl(&daemon, arguments));
    }
    for arguments in QUESTIONS.into_iter().chain([&["burst"][..]]) {
        let mut command = Command::new(program("chimerctl"));
        ends(2, command.args(["--socket", "/nonexistent/socket"]).args(arguments));
    }
    let folder = daemon.setup().place().join("state").display().to_string();
    for (arguments, said) in [
        (&["plot", "--output", &folder][..], "is a directory"),
        (&["plot", "--output", "/nonexistent/a.svg"], "the folder for it is not there"),
        (&["import", "--from", "chrony", "--output", &folder, &manual], "is a directory"),
    ] {
        let output = run(&mut chimerctl(&daemon, arguments));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(3) && text.contains(said), "{arguments:?}: {text}");
    }
    let unwritten: [&[&str]; 3] = [&["--help"], &["--version"], &["status", "--json"]];
    for arguments in unwritten.into_iter().chain(QUESTIONS) {
        let command = &mut chimerctl(&daemon, arguments);
        let said = command.stdout(full()).stderr(Stdio::piped()).spawn().expect("it can be executed");
        let said = said.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(3), "{arguments:?}: {text}");
        assert!(text.starts_with("chimerctl: the answer cannot be written: No space left"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        found.insert(3);
    }
    assert_eq!(found, documented());
}

#[test]
fn a_source_is_added_with_lists_and_each_fault_of_a_reload_has_a_line() {
    let (daemon, _forgers) = daemon();
    let added = run(&mut chimerctl(&daemon, &["add", "127.0.0.9", "send-from=127.0.0.1", "min-poll=3"]));
    assert!(added.status.success(), "{added:?}");
    let last = daemon.sources().pop().expect("it is asked");
    assert_eq!((&last["name"], &last["send_from"]), (&"127.0.0.9".into(), &serde_json::json!(["127.0.0.1"])));
    let both = ["add", "127.0.0.8", "send-from=127.0.0.1,127.0.0.2"];
    let refused = run(&mut chimerctl(&daemon, &both));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("the second address of its family"), "{said}");
    let faulty = daemon.setup().place().join("faulty.toml");
    std::fs::write(&faulty, "[clock]\nspeed = 3\nwidth = 4\n[[source]]\naddress = 5\n").expect("ours");
    let faulty = faulty.display().to_string();
    let refused = run(&mut chimerctl(&daemon, &["reload", "--config", &faulty]));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(!said.contains("\\n"), "{said}");
    for part in [":2: speed", ":3: width", ":5: address"] {
        let lines = said.lines().filter(|line| line.starts_with("chimerctl: ") && line.contains(part));
        assert_eq!(lines.count(), 1, "{part}: {said}");
    }
}

#[test]
fn whoever_may_not_read_a_file_or_ask_the_daemon_is_told_who_may() {
    if !bench::is_root() {
        return bench::skip("only root becomes another user");
    }
    let (daemon, _forgers) = daemon();
    let as_nobody = |words: &[&str]| {
        let words = chimerctl(&daemon, words);
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(words.get_program());
        let output = run(command.args(words.get_args()));
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for words in [&["status"][..], &["burst"], &["plot"]] {
        let (code, said) = as_nobody(words);
        let is_told = said.contains("usermod -a -G truechimer") && said.contains("use sudo");
        assert!(code == Some(2) && is_told && said.lines().count() == 1, "{words:?}: {said}");
    }
    for words in [&["audit"][..], &["history"], &["reload"]] {
        let (code, said) = as_nobody(words);
        assert!(code == Some(2) && said.contains("is for root: use sudo"), "{words:?}: {said}");
    }
}

#[test]
fn whoever_has_read_enough_causes_no_error_and_nobody_to_complain_to_causes_no_panic() {
    let (daemon, _forgers) = daemon();
    for arguments in QUESTIONS {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = chimerctl(&daemon, arguments).stdout(writer).stderr(Stdio::piped()).spawn();
        let output = output.expect("it can be executed").wait_with_output().expect("it ends");
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
    let wrong: [&[&str]; 3] = [&["sing"], &["source", "nobody.example"], &["audit", "--file", "/dev/null"]];
    for arguments in wrong {
        let ended = chimerctl(&daemon, arguments).stdout(Stdio::null()).stderr(full()).status();
        assert!(ended.expect("it can be executed").code().is_some_and(|code| code < 3), "{arguments:?}");
    }
}

/// What it writes to a terminal that is so wide.
fn on_terminal(width: u16, command: &mut Command) -> String {
    let size = Winsize { ws_row: 24, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None).expect("a pseudo terminal");
    let mut child = command.stdout(terminal.slave).spawn().expect("it can be executed");
    // It holds the other end.
    command.stdout(Stdio::null());
    let (mut master, mut text) = (File::from(terminal.master), Vec::new());
    let mut part = [0; 4096];
    // Reading ends with an error when nobody holds the other end any more.
    while let Ok(length @ 1..) = master.read(&mut part) {
        text.extend_from_slice(&part[..length]);
    }
    assert!(child.wait().expect("it ends").success());
    String::from_utf8(text).expect("text").replace("\r\n", "\n")
}

#[test]
fn no_line_is_wider_than_the_terminal_and_nothing_is_lost_for_it() {
    let (daemon, _forgers) = daemon();
    daemon.wait_until("a name that is not resolved", TIMEOUT, |daemon| {
        let reason = daemon.sources()[2]["reason"].as_str().unwrap_or_default().to_owned();
        let sources = daemon.sources();
        daemon.is_synchronised()
            && sources[1]["state"] == "unreachable"
            && reason.contains("not resolved yet: ")
    });
    let letters = |text: &str| text.chars().filter(|letter| letter.is_alphabetic()).count();
    for arguments in [&["--help"][..], &["add", "--help"]] {
        let page = String::from_utf8(run(&mut chimerctl(&daemon, arguments)).stdout).expect("text");
        let longest = page.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!((60..=80).contains(&longest), "{page}");
    }
    for arguments in QUESTIONS.into_iter().chain([&["source", "127.0.0.2"][..]]) {
        let wide = on_terminal(1000, &mut chimerctl(&daemon, arguments));
        let text = |output: Output| String::from_utf8(output.stdout).expect("text");
        let pages = [
            (80, text(run(&mut chimerctl(&daemon, arguments)))),
            (120, text(run(chimerctl(&daemon, arguments).env("COLUMNS", "120")))),
            (80, text(run(chimerctl(&daemon, arguments).env("COLUMNS", "wide")))),
            (40, on_terminal(40, &mut chimerctl(&daemon, arguments))),
            (100, on_terminal(100, chimerctl(&daemon, arguments).env("COLUMNS", "30"))),
        ];
        for (width, page) in pages {
            let longest = page.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(longest <= width, "{arguments:?} on {width} columns:\n{page}");
            // The names of columns stand in each row then.
            assert!(
                letters(&page) + 40 >= letters(&wide),
                "{arguments:?} on {width} columns:\n{page}\n{wide}"
            );
        }
    }
}

#[test]
fn why_says_of_clock_and_sources_what_status_and_sources_say() {
    let (daemon, _forgers) = daemon();
    let json = |words: &[&str]| -> Value {
        serde_json::from_slice(&run(&mut chimerctl(&daemon, words)).stdout).expect("one JSON document")
    };
    let keys = ["name", "address", "state", "reason", "change"];
    let told = |document: &Value| -> Vec<Vec<Value>> {
        let of = |source: &Value| keys.iter().map(|key| source[key].clone()).collect();
        document["sources"].as_array().expect("a list").iter().map(of).collect()
    };
    // Nothing has changed from the first answer to the last.
    let agreed = wait_for(TIMEOUT, || {
        let before = (json(&["status", "--json"]), json(&["sources", "--json"]));
        let why = json(&["why", "--json"]);
        let after = (json(&["status", "--json"]), json(&["sources", "--json"]));
        let clocks = [&before.0, &after.0].map(|status| status["clock"]["reason"].clone());
        let is_same = told(&before.1) == told(&after.1) && clocks[0] == clocks[1];
        let is_used = why["clock"]["synchronised"] == true;
        (is_same && is_used).then_some((before, why))
    });
    let ((status, sources), why) = agreed.expect("it settles");
    assert_eq!(told(&why), told(&sources));
    for key in ["state", "reason", "synchronised"] {
        assert_eq!(why["clock"][key], status["clock"][key], "{key}");
    }
    let used: Vec<&Value> =
        why["sources"].as_array().expect("a list").iter().map(|source| &source["used"]).collect();
    assert_eq!(used, [true, false, false]);
    let page =
        String::from_utf8(run(chimerctl(&daemon, &["why"]).env("COLUMNS", "1000")).stdout).expect("text");
    assert!(page.starts_with("the clock (synchronised): the clock follows 1 of 3 sources"), "{page}");
    let one = String::from_utf8(run(&mut chimerctl(&daemon, &["why", "127.0.0.2"])).stdout).expect("text");
    assert!(one.contains("127.0.0.2:") && !one.contains(".invalid"), "{one}");
}

#[test]
fn a_source_shows_its_frequency_and_its_last_measurements_and_which_test_one_failed() {
    let (daemon, [honest, _]) = daemon();
    let name = daemon.sources()[0]["name"].as_str().expect("a text").to_owned();
    let document = || -> Value {
        let output = run(&mut chimerctl(&daemon, &["source", &name, "--json"]));
        serde_json::from_slice(&output.stdout).expect("one JSON document")
    };
    let source = || document()["sources"][0].clone();
    // The frequency is that of the source beside the clock: there is none before the clock follows it.
    let is_measured =
        |source: &Value| source["samples"].as_u64() >= Some(8) && source["frequency_ppm"].is_number();
    let measured = wait_for(TIMEOUT, || Some(source()).filter(is_measured));
    let measured = measured.unwrap_or_else(|| panic!("{:#}", source()));
    let number =
        |source: &Value, key: &str| source[key].as_f64().unwrap_or_else(|| panic!("{key}: {source:#}"));
    // The clock follows this source alone.
    assert!(number(&measured, "frequency_ppm").abs() < 30.0, "{measured:#}");
    assert!((0.01..=500.0).contains(&number(&measured, "frequency_error_ppm")), "{measured:#}");
    assert!(number(&measured, "deviation_s") < 0.01 && number(&measured, "span_s") > 0.1, "{measured:#}");
    let all = measured["measurements"].as_array().expect("a list").clone();
    assert!((8..=16).contains(&all.len()), "{measured:#}");
    for kept in &all {
        assert!(number(kept, "offset_s").abs() < 0.1 && number(kept, "delay_s") > 0.0, "{kept:#}");
        assert!(number(kept, "root_distance_s") > number(kept, "delay_s") / 2.0, "{kept:#}");
        assert_eq!((&kept["outcome"], &kept["test"]), (&"used".into(), &Value::Null), "{kept:#}");
        // On a busy host the kernel's stamp of a query may come later than its reply.
        assert!(kept["stamps"] == "kernel" || kept["stamps"] == "user", "{kept:#}");
    }
    assert!(all.iter().any(|kept| kept["stamps"] == "kernel"), "{measured:#}");
    let ages: Vec<f64> = all.iter().map(|kept| number(kept, "ago_s")).collect();
    assert!(ages.is_sorted() && ages[0] < 5.0, "{ages:?}");

    honest.change(|request| vec![request.with(|header| header.leap = 3)]);
    let failed = wait_for(TIMEOUT, || {
        Some(source()).filter(|source| source["measurements"][0]["outcome"] == "failed")
    });
    let failed = failed.unwrap_or_else(|| panic!("{:#}", source()))["measurements"][0].clone();
    assert_eq!((&failed["test"], &failed["offset_s"]), (&"leap_unknown".into(), &Value::Null), "{failed:#}");
    let page = String::from_utf8(run(&mut chimerctl(&daemon, &["source", &name])).stdout).expect("text");
    assert!(page.contains("leap_unknown") && page.contains("\nAGO "), "{page}");
}

#[test]
fn activity_counts_each_source_once_and_follows_orders() {
    let (daemon, _forgers) = daemon();
    let counts = || -> Value {
        let output = run(&mut chimerctl(&daemon, &["activity", "--json"]));
        let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
        let names = ["sources", "online", "bursting", "offline", "unresolved"];
        Value::from(names.map(|name| document["all"][name].as_u64().expect("a number")).to_vec())
    };
    let reach = |expected: [u64; 5]| {
        let expected = Value::from(expected.to_vec());
        let reached = wait_for(TIMEOUT, || (counts() == expected).then_some(()));
        assert!(reached.is_some(), "{} is not {expected}", counts());
    };
    reach([3, 2, 0, 0, 1]);
    assert!(run(&mut chimerctl(&daemon, &["offline"])).status.success());
    assert_eq!(counts(), Value::from(vec![3, 0, 0, 2, 1]));
    assert!(run(&mut chimerctl(&daemon, &["online"])).status.success());
    // One by its name, and what would have it asked again.
    let name = daemon.sources()[0]["name"].as_str().expect("a text").to_owned();
    assert!(run(&mut chimerctl(&daemon, &["offline", &name])).status.success());
    assert_eq!(counts()[3], 1);
    let page = String::from_utf8(run(&mut chimerctl(&daemon, &["why", &name])).stdout).expect("text");
    assert!(page.contains("it is asked again after chimerctl online"), "{page}");
    let unknown = run(&mut chimerctl(&daemon, &["offline", "nobody.example"]));
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(!unknown.status.success() && said.contains("no source has this name"), "{said}");
    assert!(run(&mut chimerctl(&daemon, &["online", &name])).status.success());
    // It is over after a fifth of a second.
    let bursts = wait_for(TIMEOUT, || {
        assert!(run(&mut chimerctl(&daemon, &["burst"])).status.success());
        let counts = counts();
        assert_eq!((&counts[0], &counts[3], &counts[4]), (&3.into(), &0.into(), &1.into()), "{counts}");
        (counts[2].as_u64() > Some(0)).then_some(())
    });
    assert!(bursts.is_some(), "{}", counts());
    reach([3, 2, 0, 0, 1]);
    let page = String::from_utf8(run(&mut chimerctl(&daemon, &["activity"])).stdout).expect("text");
    let rows: Vec<Vec<&str>> = page.lines().map(|line| line.split_whitespace().collect()).collect();
    let expected = [
        ["KIND", "SOURCES", "ONLINE", "BURSTING", "OFFLINE", "UNRESOLVED"],
        ["plain", "3", "2", "0", "0", "1"],
        ["NTS", "0", "0", "0", "0", "0"],
        ["key", "0", "0", "0", "0", "0"],
        ["all", "3", "2", "0", "0", "1"],
    ];
    assert_eq!(rows, expected, "{page}");
}

#[test]
fn characters_are_those_of_ascii_where_the_locale_is_not_utf_8() {
    let (daemon, _forgers) = daemon();
    daemon.wait_until("an offset", TIMEOUT, |daemon| daemon.is_synchronised());
    let page = |locale: &[(&str, &str)]| {
        let mut command = chimerctl(&daemon, &["status"]);
        String::from_utf8(run(command.envs(locale.iter().copied())).stdout).expect("text")
    };
    assert!(page(&[("LANG", "en_GB.UTF-8")]).contains(" ± "), "{}", page(&[("LANG", "en_GB.UTF-8")]));
    for locale in [&[][..], &[("LANG", "C")], &[("LANG", "en_GB.UTF-8"), ("LC_ALL", "POSIX")]] {
        let page = page(locale);
        assert!(page.is_ascii() && page.contains(" +- "), "{page}");
    }
}
