//! The shape of the source tree, held by a test: who may know whom, where unsafe code may be, what may not
//! grow. Each failure says which file and which rule.

#[path = "architecture/arrows.rs"]
mod arrows;
#[path = "architecture/linked.rs"]
mod linked;
#[path = "architecture/states.rs"]
mod states;

use arrows::{ARROWS, OF_A_PROGRAM};
use bench::programs::workspace;
use bench::tree::{code, files, functions, names, packages, read};
use ipc::leave::HOLDS;
use ipc::message::privileged::{RUN_STEP_SPACING, Refusal};
use ipc::process::Process;
use std::collections::BTreeSet;

/// The only files outside tests/ that may hold unsafe code.
const UNSAFE: &[&str] = &[
    "control/leave/src/lib.rs",
    "ipc/clock/src/lib.rs",
    "ipc/time/examples/cost.rs",
    "ipc/time/src/map.rs",
    "ipc/time/tests/header.rs",
    "privileged/keeper/src/clock/kernel.rs",
    "privileged/keeper/src/kernel.rs",
    "policies/filters/src/lib.rs",
    "policies/filters/src/trap.rs",
    "policies/src/inherited.rs",
    "policies/src/kernel.rs",
    "network/exchange/src/fork.rs",
    "network/process/src/interface.rs",
    "network/server/src/mmsg.rs",
];

/// Files above 500 lines, each with the reason why it is one file.
const LONG: &[(&str, &str)] = &[];

fn sources() -> Vec<String> {
    let all: Vec<_> = packages().iter().flat_map(|package| files(package, "rs")).collect();
    assert!(all.len() > 30, "the sources weren't found: {all:?}");
    all
}

/// The program that a process of the plan is: a package of its own in `network`.
fn is_program(package: &str) -> bool {
    package.starts_with("network/") && workspace().join(package).join("src/main.rs").is_file()
}

fn dependencies(package: &str, sections: &[&str]) -> BTreeSet<String> {
    let manifest: toml::Table = read(format!("{package}/Cargo.toml")).parse().expect("a manifest is TOML");
    let of =
        |section: &&str| manifest.get(*section).and_then(toml::Value::as_table).cloned().unwrap_or_default();
    sections.iter().flat_map(of).map(|(name, _)| name).collect()
}

#[test]
fn dependencies_between_our_packages_go_only_where_they_may() {
    let root: toml::Table = read("Cargo.toml").parse().expect("a manifest is TOML");
    let named = root["workspace"]["dependencies"].as_table().expect("a table");
    let ours: BTreeSet<&str> = named
        .iter()
        .filter(|(_, value)| value.get("path").is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(ours.contains("engine-core") && ours.contains("filters"), "our packages weren't found: {ours:?}");
    for package in packages() {
        let listed = ARROWS.iter().find(|(listed, _)| *listed == package).map(|(_, allowed)| *allowed);
        let allowed = listed.or(is_program(&package).then_some(OF_A_PROGRAM));
        let allowed = allowed.unwrap_or_else(|| panic!("{package} has no place in ARROWS"));
        for name in dependencies(&package, &["dependencies", "build-dependencies"]) {
            let arrow = ours.contains(name.as_str()) && !allowed.contains(&name.as_str());
            assert!(!arrow, "{package} must not depend on {name}");
        }
    }
}

#[test]
fn dependencies_are_named_with_their_reasons_in_one_place() {
    for package in packages() {
        let manifest: toml::Table =
            read(format!("{package}/Cargo.toml")).parse().expect("a manifest is TOML");
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let table = manifest.get(section).and_then(toml::Value::as_table).cloned().unwrap_or_default();
            for (name, value) in table {
                let inherited = value.get("workspace").is_some();
                assert!(
                    inherited,
                    "{package}: {name} must be `workspace = true`, with its reason in the top Cargo.toml"
                );
            }
        }
    }
}

/// Who names a package that is only a program optimises nothing that a test runs through.
#[test]
fn what_is_optimised_for_tests_are_libraries() {
    let root: toml::Table = read("Cargo.toml").parse().expect("a manifest is TOML");
    let named = root["profile"]["dev"]["package"].as_table().expect("packages");
    let mut ours = 0;
    for name in named.keys().filter(|name| name.starts_with("truechimer-")) {
        let has_name = |package: &String| {
            let manifest: toml::Table =
                read(format!("{package}/Cargo.toml")).parse().expect("a manifest is TOML");
            manifest["package"]["name"].as_str() == Some(name)
        };
        let package = packages().into_iter().find(has_name);
        let package = package.unwrap_or_else(|| panic!("profile.dev.package: there is no package {name}"));
        let library = workspace().join(package).join("src/lib.rs");
        assert!(library.is_file(), "profile.dev.package: {name} has no library");
        ours += 1;
    }
    assert!(ours > 0, "no package of ours was found");
}

#[test]
fn pure_libraries_have_neither_std_nor_unsafe_code() {
    for library in [
        "ipc/src/lib.rs",
        "ipc/foreign/src/lib.rs",
        "ipc/report/src/lib.rs",
        "protocol/src/lib.rs",
        "protocol/roughtime/src/lib.rs",
        "engine/core/src/lib.rs",
    ] {
        let code = code(library);
        assert!(code.contains("#![no_std]"), "{library} must be no_std");
        assert!(code.contains("#![forbid(unsafe_code)]"), "{library} must forbid unsafe code");
    }
}

#[test]
fn unsafe_code_is_only_where_it_may_be() {
    let mut seen = BTreeSet::new();
    for path in sources() {
        if path.starts_with("tests/") || !names(&code(&path), "unsafe") {
            continue;
        }
        assert!(UNSAFE.contains(&path.as_str()), "{path} holds unsafe code; it belongs in one of {UNSAFE:?}");
        seen.insert(path);
    }
    assert!(!seen.is_empty(), "the search for unsafe code finds nothing: it is broken");
}

#[test]
fn bincode_is_known_to_one_file() {
    for path in sources().iter().filter(|path| !path.starts_with("tests/tests/")) {
        assert!(path == "ipc/src/codec.rs" || !names(&code(path), "bincode"), "{path} must not know bincode");
    }
    assert!(
        names(&code("ipc/src/codec.rs"), "bincode"),
        "the search is broken, or bincode is gone: delete this test"
    );
    for package in packages().iter().filter(|package| *package != "ipc") {
        assert!(
            !dependencies(package, &["dependencies", "dev-dependencies"]).contains("bincode"),
            "{package}"
        );
    }
}

#[test]
fn every_rule_of_a_policy_says_why() {
    let mut rules = 0;
    for path in files("policies/rules", "toml") {
        let policy: toml::Table = read(&path).parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        for rule in policy.get("rule").and_then(toml::Value::as_array).into_iter().flatten() {
            let reason = rule.get("reason").and_then(toml::Value::as_str).unwrap_or_default();
            assert!(reason.len() > 3, "{path}: {rule:?} has no reason");
            rules += 1;
        }
    }
    assert!(rules > 50, "only {rules} rules were found");
}

#[test]
fn files_are_short_or_listed_with_a_reason() {
    for path in sources() {
        let lines = read(&path).lines().count();
        let listed = LONG.iter().any(|(long, reason)| *long == path && !reason.is_empty());
        assert!(
            lines <= 500 || listed,
            "{path} has {lines} lines: find the two reasons why it exists, and split it"
        );
    }
}

#[test]
fn each_promise_in_the_readme_names_a_test_that_exists() {
    let readme = read("README.md");
    let functions: BTreeSet<String> = sources().iter().flat_map(|path| functions(&code(path))).collect();
    let promises: Vec<&str> = readme
        .lines()
        .filter(|line| line.starts_with("| P") && line[3..].starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    assert!(!promises.is_empty(), "README.md has no table of promises (| P1 | … | `name_of_a_test` |)");
    for promise in promises {
        let named: Vec<&str> =
            promise.split('`').skip(1).step_by(2).filter(|word| word.contains('_')).collect();
        assert!(!named.is_empty(), "no test is named: {promise}");
        for name in named {
            let name = name.rsplit("::").next().unwrap_or(name);
            assert!(functions.contains(name), "there is no test {name}: {promise}");
        }
    }
}

#[test]
fn the_unit_is_told_what_the_code_relies_on() {
    let unit = read("packaging/systemd/truechimer.service");
    for line in ["Type=notify", "NotifyAccess=main", "RestartPreventExitStatus=77 78 79 216"] {
        assert!(unit.lines().any(|found| found == line), "the unit lost {line}");
    }
    assert!(
        !unit.lines().any(|line| line.starts_with("ProtectClock=")),
        "ProtectClock= takes the clock away"
    );
}

/// What man shows of a page, as far as words matter.
fn page(path: &str) -> String {
    read(path).replace("\\-", "-").replace("\\(dq", "\"")
}

/// The tags of a page's sections whose heading is this: what stands alone on the line below each `.TP`.
fn tags(page: &str, heading: &str) -> BTreeSet<String> {
    let section = page.split("\n.SH ").find(|section| section.lines().next() == Some(heading));
    let section = section.unwrap_or_else(|| panic!("no section {heading}"));
    let tag = |part: &str| part.lines().next().unwrap_or_default().trim_start_matches(".B ").to_owned();
    section.split("\n.TP\n").skip(1).map(tag).collect()
}

#[test]
fn the_manual_names_each_exit_code_and_each_refusal_and_no_other() {
    let page = page("packaging/man/truechimerd.8");
    let ending = read("privileged/keeper/src/ending.rs");
    let codes =
        ending.split("fn code").nth(1).expect("it is there").split("\n    }\n").next().expect("its end");
    let own =
        codes.lines().filter_map(|line| Some(line.split_once("=> ")?.1.trim_end_matches(',').to_owned()));
    let of_processes = Process::ALL.map(|process| process.exit_code().to_string());
    let codes: BTreeSet<String> =
        own.filter(|code| !code.contains("exit_code")).chain(of_processes).collect();
    assert!(codes.len() > 8, "the codes weren't found: {codes:?}");
    assert_eq!(tags(&page, "EXIT STATUS"), codes);

    let refusals = BTreeSet::from(Refusal::ALL.map(|refusal| refusal.name().to_owned()));
    assert_eq!(tags(&page, "REFUSALS"), refusals);
}

/// The value of an expression of limits.rs in seconds, ppm or as a plain number, and as the manual writes it in
/// this unit.
fn written(expression: &str, unit: &str) -> String {
    match expression {
        "true" => return "yes".to_owned(),
        "false" => return "no".to_owned(),
        _ => {}
    }
    let number =
        |text: &str| -> f64 { text.replace('_', "").parse().unwrap_or_else(|_| panic!("{expression}")) };
    let value = match expression.trim_end_matches(')').split_once('(') {
        // Others have to know them as well.
        None if expression.contains("RUN_STEP_SPACING") => RUN_STEP_SPACING.nanos() as f64 / 1e9,
        None if expression.contains("HOLDS") => HOLDS.nanos() as f64 / 1e9,
        None => number(expression),
        Some((unit, value)) => {
            number(value)
                * match unit {
                    "millis" | "ppb" => 0.001,
                    "seconds" | "ppm" => 1.0,
                    "hours" => 3_600.0,
                    "days" => 86_400.0,
                    "years" => 365.25 * 86_400.0,
                    _ => panic!("{expression}: a unit that is not known here"),
                }
        }
    };
    let scale = match unit {
        "years" => 365.25 * 86_400.0,
        "days" => 86_400.0,
        "h" => 3_600.0,
        _ => 1.0,
    };
    match value / scale {
        0.0 => "none".to_owned(),
        value => format!("{value} {unit}").trim_end().to_owned(),
    }
}

#[test]
fn the_manual_has_the_governors_table_as_it_is_compiled_in() {
    let (limits, page) =
        (code("privileged/keeper/src/governor/limits.rs"), page("packaging/man/truechimerd.8"));
    let column = |name: &str| -> Vec<(String, String)> {
        let column = limits.split(&format!("static {name}: Limits = Limits {{")).nth(1).expect("a column");
        let rows = column.split("};").next().expect("its end").split(",\n").map(str::trim);
        rows.filter_map(|row| row.split_once(": ")).map(|(row, value)| (row.into(), value.into())).collect()
    };
    let rows = [
        ("latest_after_build", "years", "latest time that a step may lead to, after the build"),
        ("start_steps", "", "start steps in one boot"),
        ("start_back", "s", "largest other start step back"),
        ("start_forward", "s", "largest other start step forward"),
        ("any_start", "", "one of them may have any size, also from below the floor"),
        ("run_step", "s", "largest run-time step, where one is configured"),
        ("resume_step", "s", "largest step after a suspend"),
        ("resume_day", "s", "steps after a suspend in 24 hours, together"),
        ("pause_steps", "", "steps after a pause of the machine in 24 hours"),
        ("disruption_step", "s", "largest of them that only vmclock shows"),
        ("forward_step", "days", "largest step forward without evidence, where the operator allows one"),
        ("forward_steps", "", "such steps forward in 24 hours"),
        ("phase_day", "s", "phase budget in any 24 hours"),
        ("phase_month", "s", "phase budget in any 30 days"),
        ("total", "ppm", "frequency and slew together"),
        ("beside", "ppm", "a slew beside any base frequency, at least"),
        ("search_band", "ppm", "base frequency in the first hour, around 0"),
        ("commissioning_band", "ppm", "base frequency in the first days, around 0 and around its median"),
        ("band", "ppm", "base frequency afterwards, around its median of 31 days"),
        ("refill", "h", "credit for the time between two boots, at most"),
    ];
    let (standard, strict) = (column("STANDARD"), column("STRICT"));
    assert_eq!((standard.len(), strict.len()), (rows.len(), rows.len()), "a row has no place in the manual");
    for (field, unit, label) in rows {
        let value = |column: &[(String, String)]| {
            let row =
                column.iter().find(|(name, _)| name == field).unwrap_or_else(|| panic!("no row {field}"));
            written(&row.1, unit)
        };
        let line = format!("{label}|{}|{}", value(&standard), value(&strict));
        assert!(page.lines().any(|found| found == line), "truechimerd.8 lacks: {line}");
    }

    let rows = [
        ("START_WINDOW", "s", "start window"),
        ("RUN_STEP_SPACING", "s", "between two run-time steps"),
        ("RESTORE_WITHIN", "s", "a restoring step ends beside the governor's line by at most"),
        ("RESTORE_FREE", "s", "a restoring step costs nothing beside the line by at most"),
        ("RESTORE_SPACING", "s", "between two restoring steps"),
        ("LEAVE", "s", "an operator's leave for a step that is given while running holds for"),
        ("SUSPEND", "s", "sleep that counts as a suspend"),
        ("PAUSE_WITHIN", "s", "a step after a pause exceeds what the hardware clock shows by at most"),
        ("PAUSE_KNOWN", "h", "evidence of a pause counts for"),
        (
            "DISRUPTION_TOLD",
            "h",
            "between two disruptions after which the engine measures afresh, after four",
        ),
        ("SLEW", "s", "largest slew of one order"),
        ("SEARCH", "h", "time under orders until the first hour is over"),
        ("COMMISSIONING", "days", "time under orders until the band narrows for good"),
        ("BURST", "", "orders at once, then one a second"),
        ("ORDER_AGE", "s", "age of an order"),
        ("DEAD_MAN", "h", "without an order, until the clock is marked unsynchronised"),
        ("TAI_LEAST", "", "least TAI - UTC, in seconds"),
        ("TAI_MOST", "", "greatest TAI - UTC, in seconds"),
        ("TAI_CHANGES", "", "changes of TAI - UTC in a boot"),
        ("LEAP_SPACING", "days", "between two leap seconds"),
        ("KEPT", "h", "time under orders after which a jump counts for the last good time"),
        ("FLOOR_BEHIND_LAST_GOOD", "h", "the floor is behind the last good time by"),
    ];
    let constants = limits.matches("pub const ").count() - ["BUILD_TIME"].len();
    assert_eq!(constants, rows.len(), "a row has no place in the manual");
    for (name, unit, label) in rows {
        let value = limits.split(&format!("pub const {name}: ")).nth(1).expect(name);
        let value = value.split(';').next().and_then(|value| value.split_once(" = ")).expect(name).1;
        let line = format!("{label}|{}", written(value, unit));
        assert!(page.lines().any(|found| found == line), "truechimerd.8 lacks: {line}");
    }
}

#[test]
fn the_manual_of_the_configuration_has_each_key_that_is_read() {
    let page = page("packaging/man/truechimer.toml.5");
    let documented: BTreeSet<&str> = page
        .split("\n.TP\n.BR ")
        .skip(1)
        .flat_map(|part| part.lines().next().unwrap_or_default().split(", "))
        .filter_map(|tag| tag.trim_matches(['"', ' ']).split(' ').next())
        .filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect();
    let text = read("engine/src/configuration/keys.rs");
    let lists = text.split("pub const ").skip(1).filter_map(|rest| rest.split(';').nth(1));
    let read_ones: BTreeSet<String> =
        lists.flat_map(|keys| keys.split('"').skip(1).step_by(2).map(str::to_owned)).collect();
    assert!(read_ones.len() > 25, "the keys weren't found: {read_ones:?}");
    let read_ones: BTreeSet<&str> = read_ones.iter().map(String::as_str).collect();
    assert_eq!(documented, read_ones);
}

#[test]
fn the_example_asks_nobodys_servers() {
    let example: toml::Table = read("packaging/truechimer.toml").parse().expect("the example is TOML");
    assert!(example.contains_key("clock"), "the example says nothing");
    assert!(
        !example.contains_key("source"),
        "a default source needs its owner's leave, and a vendor zone of a pool"
    );
}

#[test]
fn no_page_has_a_placeholder_left() {
    let pages: Vec<String> = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
        .into_iter()
        .map(str::to_owned)
        .chain(files("docs", "md"))
        .collect();
    assert!(pages.len() > 4, "the pages weren't found");
    for page in pages {
        let text = read(&page);
        let parts: Vec<&str> = text.split('@').collect();
        for word in parts.iter().skip(1).take(parts.len().saturating_sub(2)) {
            let left =
                !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_uppercase() || octet == b'_');
            assert!(!left, "{page} has @{word}@ in it");
        }
    }
}
