//! `chimerctl evidence`, with each rule and two simulated months: which sentences are met, which fail and by how many minutes, and
//! which are not shown.

#[path = "evidence/month.rs"]
mod month;

use bench::programs::{Place, program};
use month::{FROM, FROM_UNIX, Month, SOURCES, TO, written};
use proof::testing::Host;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What comes out of a sentence: a verdict, of one that is not shown why, and how many minutes fail.
type Expected = [&'static str; 2];

/// Of each rule: its name, its activity if it has several, and of each sentence what comes out in the good and in the bad month.
const TABLE: [(&str, &[&str], &[Expected]); 9] = [
    (
        "bsi-ops-1-2-6",
        &[],
        &[
            ["pass", "fail 61"],
            ["elsewhere", "elsewhere"],
            ["pass", "fail 1440"],
            ["elsewhere", "elsewhere"],
            ["pass", "pass"],
            ["elsewhere", "elsewhere"],
            ["pass", "not_kept"],
            ["pass", "pass"],
            ["elsewhere", "elsewhere"],
            ["pass", "fail 1441"],
            ["elsewhere", "elsewhere"],
            ["pass", "fail 1441"],
        ],
    ),
    (
        "csbr",
        &[],
        &[
            ["pass", "pass"],
            ["pass", "fail 1440"],
            ["pass", "not_kept"],
            ["pass", "fail 61"],
            ["did_not_occur", "did_not_occur"],
            ["pass", "not_kept"],
            ["elsewhere", "elsewhere"],
        ],
    ),
    (
        "etsi-319-421",
        &[],
        &[
            ["pass", "fail 61"],
            ["pass", "fail 62"],
            ["pass", "fail 1440"],
            ["pass", "fail 1"],
            ["pass", "fail 1441"],
            ["pass", "not_kept"],
            ["elsewhere", "elsewhere"],
            ["did_not_occur", "did_not_occur"],
        ],
    ),
    ("mifid-ii", &["--activity", "hft"], &MIFID),
    ("mifid-ii", &["--activity", "other"], &MIFID),
    ("mifid-ii", &["--activity", "voice", "--by", "likely"], &MIFID),
    (
        "nist-800-53",
        &[],
        &[
            ["elsewhere", "elsewhere"],
            ["pass", "fail 61"],
            ["elsewhere", "elsewhere"],
            ["pass", "fail 62"],
            ["pass", "pass"],
            ["pass", "fail 1440"],
            ["pass", "fail 61"],
            ["pass", "fail 1441"],
            ["elsewhere", "elsewhere"],
        ],
    ),
    (
        "pci-dss",
        &["--limit", "100us"],
        &[
            ["pass", "fail 62"],
            ["elsewhere", "elsewhere"],
            ["pass", "fail 61"],
            ["pass", "fail 1440"],
            ["elsewhere", "elsewhere"],
            ["pass", "pass"],
            ["pass", "not_kept"],
            ["pass", "fail 1"],
            ["elsewhere", "elsewhere"],
        ],
    ),
    (
        "stig",
        &[],
        &[
            ["pass", "pass"],
            ["pass", "fail 1440"],
            ["pass", "fail 1441"],
            ["pass", "fail 61"],
            ["pass", "fail 61"],
            ["elsewhere", "elsewhere"],
        ],
    ),
];

const MIFID: [Expected; 8] = [
    ["pass", "fail 61"],
    ["pass", "fail 62"],
    ["pass", "fail 1440"],
    ["pass", "not_kept"],
    ["pass", "pass"],
    ["elsewhere", "elsewhere"],
    ["elsewhere", "elsewhere"],
    ["elsewhere", "elsewhere"],
];

fn chimerctl(words: &[&str]) -> Output {
    let mut command = Command::new(program("chimerctl"));
    // No daemon is asked.
    command.args(["--socket", "/nonexistent/socket", "evidence"]).args(words).stdin(Stdio::null());
    command.output().expect("chimerctl can be executed")
}

/// The words of a report of this history for the whole month, with all sources authorised.
fn words<'a>(rule: &'a str, history: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let authorised = SOURCES.iter().flat_map(|name| ["--authorised", *name]);
    let usual = ["--rule", rule, "--from", FROM, "--to", TO, "--history", history];
    usual.into_iter().chain(authorised).chain(more.iter().copied()).collect()
}

/// What came out of a sentence, as in the table.
fn outcome(sentence: &Value) -> String {
    let failed = sentence["failed"]["minutes"].as_u64().expect("a number");
    match (sentence["verdict"].as_str(), sentence["because"].as_str()) {
        (Some("fail"), Some("failed")) => format!("fail {failed}"),
        (Some("not_shown"), Some(because)) => because.to_owned(),
        (Some("pass"), Some("met")) if failed == 0 => "pass".to_owned(),
        other => panic!("{other:?}"),
    }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn history_of(place: &Place, month: Month) -> String {
    let file = place.join(&format!("{month:?}.history"));
    fs::write(&file, written(month).octets()).expect("a new folder can be written");
    file.display().to_string()
}

#[test]
fn each_sentence_of_each_rule_is_met_in_a_good_month_and_fails_exactly_where_a_bad_one_was_bad() {
    let place = Place::new("evidence-table");
    for (column, month) in [Month::Good, Month::Bad].into_iter().enumerate() {
        let history = history_of(&place, month);
        for (rule, more, expected) in TABLE {
            let out = place.join(&format!("{rule}-{month:?}-{}", more.join("")));
            let folder = out.display().to_string();
            let more = [more, &["--json", "--out", &folder]].concat();
            let output = chimerctl(&words(rule, &history, &more));
            let document: Value = serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|error| panic!("{rule}: {error}: {output:?}"));
            let sentences = document["sentences"].as_array().expect("a list");
            let found: Vec<String> = sentences.iter().map(outcome).collect();
            let expected: Vec<&str> = expected.iter().map(|one| one[column]).collect();
            assert_eq!(found, expected, "{rule} {more:?} {month:?}: {document:#}");
            let (verdict, code) = [("pass", 0), ("fail", 1)][column];
            assert_eq!((document["verdict"].as_str(), output.status.code()), (Some(verdict), Some(code)));
            let minutes = document["minutes"].as_u64();
            assert_eq!(
                (minutes, document["missing_s"].as_i64()),
                [(Some(43_200), Some(0)), (Some(43_020), Some(10_800))][column]
            );
            // The files are the same, and whole.
            assert_eq!(fs::read(out.join("report.json")).expect("it was written"), output.stdout);
            let page = fs::read_to_string(out.join("report.html")).expect("it was written");
            let signs = |word: &str| page.matches(&format!(">{word}</span>")).count();
            let of = |word: &str| found.iter().filter(|one| one.starts_with(word)).count();
            // Once more for all of it.
            let in_all = |word: &str| usize::from(word == verdict);
            assert_eq!(
                (signs("PASS"), signs("FAIL")),
                (of("pass") + in_all("pass"), of("fail") + in_all("fail"))
            );
            let sums = Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(&out).output();
            let sums = text(&sums.expect("coreutils are there").stdout);
            assert_eq!(sums, "report.html: OK\nreport.json: OK\n");
        }
    }
}

#[test]
fn the_figure_the_worst_minute_and_the_first_and_last_one_are_those_of_the_month() {
    let place = Place::new("evidence-figures");
    let history = history_of(&place, Month::Bad);
    let output = chimerctl(&words("etsi-319-421", &history, &["--json"]));
    let document: Value = serde_json::from_slice(&output.stdout).expect("one document");
    let minute = |day: i64, hour: i64, minute: i64| FROM_UNIX + ((day - 1) * 24 + hour) * 3_600 + minute * 60;
    let within = &document["sentences"][0];
    assert_eq!(within["worst_ns"], 1_500_090_000_i64);
    let first_and_last =
        |one: &Value| (one["failed"]["first_unix_s"].as_i64(), one["failed"]["last_unix_s"].as_i64());
    assert_eq!(first_and_last(within), (Some(minute(9, 10, 1)), Some(minute(9, 11, 1))));
    let worst = within["worst_unix_s"].as_i64().expect("a number");
    assert!((minute(9, 10, 1)..=minute(9, 11, 1)).contains(&worst), "{worst}");
    assert_eq!(first_and_last(&document["sentences"][2]), (Some(minute(17, 0, 1)), Some(minute(18, 0, 0))));
    // The first minute behind the gap, too.
    assert_eq!(first_and_last(&document["sentences"][4]), (Some(minute(17, 0, 1)), Some(minute(24, 6, 1))));
    let foreign = &document["sentences"][3];
    assert_eq!((foreign["worst_ns"].as_i64(), foreign["count"].as_u64()), (Some(-1_500_000_000), Some(1)));
    let hole = &document["holes"].as_array().expect("a list").iter().find(|hole| hole["counts"] == true);
    let hole = hole.expect("the gap");
    assert_eq!(
        (hole["from_unix_s"].as_i64(), hole["to_unix_s"].as_i64()),
        (Some(minute(24, 3, 0)), Some(minute(24, 6, 0)))
    );
    assert_eq!(hole["why"], "reboot");
    let starts: Vec<(&str, bool)> = document["starts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|start| (start["version"].as_str().expect("a text"), start["unexpected"] == true))
        .collect();
    assert_eq!(starts, [("0.1.0", false), ("0.1.1", false), ("0.1.1", true)]);
    let configurations = document["configurations"].as_array().expect("a list");
    let hashes: Vec<&str> =
        configurations.iter().map(|one| &one["sha256"].as_str().expect("a text")[..2]).collect();
    assert_eq!(hashes, ["a1", "a2", "b7", "a2"]);
    let sources = document["sources"].as_array().expect("a list");
    assert_eq!(sources.len(), 5);
    let rogue = sources.iter().find(|one| one["authorised"] == false).expect("it was used");
    assert_eq!(
        (rogue["name"].as_str(), rogue["minutes"].as_u64()),
        (Some("rogue.example.net 198.51.100.7:123"), Some(1_440))
    );
    let head = written(Month::Bad).end();
    let hash = ipc::text::Hex(&head.hash).to_string();
    assert_eq!(
        (document["history"]["end"]["records"].as_u64(), document["history"]["end"]["hash"].as_str()),
        (Some(head.lines), Some(hash.as_str()))
    );
    assert_eq!((document["history"]["chain"].as_str(), document["host"].is_null()), (Some("whole"), true));
}

#[test]
fn an_altered_history_is_said_to_be_one_and_what_is_not_named_is_not_judged() {
    let place = Place::new("evidence-altered");
    let history = history_of(&place, Month::Good);
    let without = ["--rule", "csbr", "--from", FROM, "--to", TO, "--history", &history];
    let output = chimerctl(&without);
    let shown = text(&output.stdout);
    assert!(
        output.status.success() && shown.contains("NOT SHOWN  [6.8]") && shown.contains("(not named)"),
        "{shown}"
    );
    let mut octets = fs::read(&history).expect("it is there");
    // The bound of a minute.
    octets[20_000 * 128 + 57] ^= 1;
    fs::write(&history, octets).expect("it is ours");
    let output = chimerctl(&[&without[..], &["--json"]].concat());
    let document: Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!((output.status.code(), document["verdict"].as_str()), (Some(1), Some("not_shown")));
    assert_eq!(document["history"]["chain"], "broken");
    let findings = document["history"]["findings"].to_string();
    assert!(findings.contains("record 20000 was altered"), "{findings}");
    assert!(text(&output.stderr).contains("the records on which this rests were altered"), "{output:?}");
}

#[test]
fn the_audit_log_beside_the_history_says_whether_it_is_the_one_that_was_written() {
    let mut host = Host::new(2, 4, 9);
    for _ in 0..6 {
        host.hour();
    }
    host.anchor();
    host.keep_anchors();
    let disk = host.disk();
    let place = Place::new("evidence-witness");
    let write =
        |name: &str, octets: &[u8]| fs::write(place.join(name), octets).expect("a new folder can be written");
    write("engine.history", &disk.history);
    write("audit.log", &disk.log);
    write("governor", &disk.governor);
    write("engine.anchors", &disk.anchors);
    let history = place.join("engine.history").display().to_string();
    // Its minutes are random ones, and may fail.
    let shown = || {
        let words = ["--rule", "pci-dss", "--from", "6h", "--to", "0h", "--history", &history, "--json"];
        let output = chimerctl(&words);
        let document: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (document, text(&output.stderr))
    };
    let (document, said) = shown();
    let audit = &document["audit"];
    assert_eq!(
        (&document["history"]["chain"], &audit["records"]["chain"]),
        (&"whole".into(), &"whole".into())
    );
    let ends = audit["ends"].to_string();
    assert!(ends.contains("of the audit log: it had") && audit["proven"].is_null(), "{audit:#}");
    assert!(!said.contains("altered"), "{said}");
    // A history that was computed anew from some minute on: its own chain is whole.
    let mut other = Host::new(2, 4, 10);
    for _ in 0..6 {
        other.hour();
    }
    write("engine.history", &other.disk().history);
    let (document, said) = shown();
    let findings = document["history"]["findings"].to_string();
    assert!(findings.contains("is not the one that record"), "{document:#}");
    assert!(said.contains("the records on which this rests were altered"), "{said}");
    assert_ne!(document["verdict"], "pass");
}

#[test]
fn what_cannot_be_reported_is_said_and_nothing_is_written() {
    let place = Place::new("evidence-refused");
    let history = history_of(&place, Month::Good);
    let out = place.join("out").display().to_string();
    let period = ["--from", FROM, "--to", TO];
    let with = |words: &[&str]| {
        let all = [words, &["--history", &history, "--out", &out]].concat();
        let output = chimerctl(&all);
        assert!(!Path::new(&out).exists() && output.stdout.is_empty(), "{all:?}: {output:?}");
        (output.status.code(), text(&output.stderr))
    };
    let unable = |words: &[&str], part: &str| {
        let (code, said) = with(words);
        assert!(code == Some(2) && said.contains(part), "{words:?}: {code:?}: {said}");
    };
    unable(&["--rule", "csbr"], "--from and --to");
    unable(&["--rule", "csbr", "--from", TO, "--to", FROM], "--from must be before --to");
    unable(&["--rule", "csbr", "--from", "2026-11-31", "--to", TO], "there is no such day");
    unable(
        &["--rule", "csbr", "--from", "2025-11-01", "--to", "2025-12-01"],
        "it is from 2026-10-31 23:50:00 to 2026-12-01",
    );
    unable(&[&["--rule", "mifid-ii"][..], &period].concat(), "--activity: hft, voice");
    unable(&[&["--rule", "csbr", "--limit", "2s"][..], &period].concat(), "at most 1 s");
    unable(&[&["--rule", "csbr", "--activity", "hft"][..], &period].concat(), "leave --activity out");
    unable(&[&["--rule", "sox"][..], &period].concat(), "possible values");
    let missing = chimerctl(&[&["--rule", "csbr", "--history", "/nonexistent"][..], &period].concat());
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
    // A folder in which something is.
    let taken = place.join("taken");
    fs::create_dir(&taken).expect("it is ours");
    fs::write(taken.join("mine"), "x").expect("it is ours");
    let output = chimerctl(&words("csbr", &history, &["--out", &taken.display().to_string()]));
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(text(&output.stderr).contains("is not empty, and nothing was written"), "{output:?}");
    assert_eq!(fs::read_dir(&taken).expect("it is there").count(), 1);
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    if !bench::is_root() {
        return bench::skip("root is missing, which mounts a small file system");
    }
    let place = Place::new("evidence-full");
    let history = history_of(&place, Month::Good);
    let disk = place.join("disk");
    fs::create_dir(&disk).expect("it is ours");
    let disk = disk.display().to_string();
    // What is left there is listed from inside: the file system ends with it.
    let script = format!(
        "mount -t tmpfs -o size=16k,mode=700 tmpfs {disk} && {{ \"$@\" >/dev/null; echo $?; ls -A {disk}; }}"
    );
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"])
        .arg(program("chimerctl"))
        .arg("evidence");
    let out = format!("{disk}/out");
    let output = command.args(words("csbr", &history, &["--out", &out])).stdin(Stdio::null()).output();
    let output = output.expect("util-linux is there");
    assert_eq!(text(&output.stdout), "3\n", "{output:?}");
    assert!(text(&output.stderr).contains("No space left on device"), "{output:?}");
}

#[test]
fn the_list_names_each_rule_and_the_page_has_each_sentence() {
    let shown = text(&chimerctl(&["--rule", "list"]).stdout);
    let document = chimerctl(&["--rule", "list", "--json"]);
    let document: Value = serde_json::from_slice(&document.stdout).expect("one document");
    let named: Vec<&str> = document["rules"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|rule| rule["name"].as_str())
        .collect();
    let mut of_the_table: Vec<&str> = TABLE.iter().map(|(name, ..)| *name).collect();
    of_the_table.dedup();
    assert_eq!(named, of_the_table);
    let page = bench::tree::read("docs/evidence.md");
    for rule in document["rules"].as_array().expect("a list") {
        for sentence in rule["sentences"].as_array().expect("a list") {
            let row = ["section", "asks"].map(|key| sentence[key].as_str().expect("a text"));
            assert!(
                page.contains(&format!("| {} | {} | ", row[0], row[1])),
                "docs/evidence.md lacks {row:?}"
            );
        }
    }
    for name in named {
        assert!(shown.lines().any(|line| line.split_whitespace().next() == Some(name)), "{shown}");
    }
}
