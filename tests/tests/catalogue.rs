//! Pages held against the tree. docs/attacks.md: each number has its line, each line names tests that exist or says that it has
//! none, and no test carries a number that the page does not know. docs/architecture.md: the files of the product, each of them.

use bench::programs::workspace;
use bench::tree::{code, files, functions, read};
use std::collections::{BTreeMap, BTreeSet};

/// Numbers are given once and never again; a new case takes the next one.
const LAST: u16 = 240;

struct Line {
    outcome: String,
    tests: Vec<String>,
}

/// The lines of the page by their numbers.
fn page() -> BTreeMap<u16, Line> {
    let mut lines = BTreeMap::new();
    for line in read("docs/attacks.md").lines().filter(|line| line.starts_with("| A")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [number, attack, outcome, tests] = cells[..] else { panic!("four cells a line: {line}") };
        let number: u16 = number[1..].parse().unwrap_or_else(|_| panic!("a number: {line}"));
        assert!(!attack.is_empty() && !outcome.is_empty(), "{line}");
        let named: Vec<String> = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert!(named.is_empty() == (tests == "none"), "tests by name, or none: {line}");
        let earlier = lines.insert(number, Line { outcome: outcome.to_owned(), tests: named });
        assert!(earlier.is_none(), "A{number:03} has two lines");
    }
    lines
}

/// The numbers that a test carries at the beginning of its name: `a001_a002_…`, and `a057_to_a059_…` for the three.
fn numbers(name: &str) -> BTreeSet<u16> {
    let mut found = BTreeSet::new();
    let mut range = false;
    for part in name.split('_') {
        let number =
            part.strip_prefix('a').filter(|rest| rest.len() == 3).and_then(|rest| rest.parse::<u16>().ok());
        match number {
            Some(number) if range => found.extend(found.last().copied().unwrap_or(number)..=number),
            Some(number) => drop(found.insert(number)),
            None if part == "to" && !found.is_empty() => {}
            None => break,
        }
        range = part == "to";
    }
    found
}

/// All functions of the tree whose names begin like a number of the catalogue.
fn numbered() -> Vec<(String, String)> {
    let of = |path: String| {
        let names = functions(&code(&path));
        names.into_iter().map(move |name| (path.clone(), name))
    };
    let begins = |name: &str| {
        name.strip_prefix('a').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let folders =
        ["ipc", "protocol", "policies", "privileged", "engine", "network", "control", "tests", "xtask"];
    folders
        .iter()
        .flat_map(|folder| files(folder, "rs"))
        .flat_map(of)
        .filter(|(_, name)| begins(name))
        .collect()
}

#[test]
fn each_number_has_one_line_and_none_is_left_out() {
    let page = page();
    let numbers: Vec<u16> = page.keys().copied().collect();
    assert_eq!(numbers, (1..=LAST).collect::<Vec<_>>());
}

#[test]
fn each_test_that_a_line_names_exists_and_each_test_with_a_number_has_a_line() {
    let page = page();
    let tests = numbered();
    assert!(tests.len() > 400, "the tests were not found: {}", tests.len());
    let names: BTreeSet<&str> = tests.iter().map(|(_, name)| name.as_str()).collect();
    for (number, line) in &page {
        for test in &line.tests {
            assert!(names.contains(test.as_str()), "A{number:03}: there is no test {test}");
        }
    }
    let mut shown = BTreeSet::new();
    for (path, name) in &tests {
        let numbers = numbers(name);
        assert!(!numbers.is_empty(), "{path}: {name}: three digits, as in a007_");
        for number in numbers {
            assert!(page.contains_key(&number), "{path}: {name}: docs/attacks.md has no A{number:03}");
            shown.insert(number);
        }
    }
    for (number, line) in &page {
        let own = line.tests.iter().any(|test| numbers(test).contains(number));
        assert!(
            own == shown.contains(number),
            "A{number:03}: its line names a test that carries its number, where there is one"
        );
    }
}

#[test]
fn a_line_without_a_test_says_why() {
    for (number, line) in page().iter().filter(|(_, line)| line.tests.is_empty()) {
        assert!(line.outcome.len() > 60, "A{number:03} has no test and no reason: {}", line.outcome);
    }
}

/// The words in backticks of some text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether some code defines this word: an item, or with `!` a macro.
fn defines(code: &str, word: &str) -> bool {
    let kinds = ["fn", "const", "static", "struct", "enum", "type", "trait", "mod"];
    let mut before = "";
    code.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '!')).filter(|part| !part.is_empty()).any(
        |part| {
            let is_it = match word.strip_suffix('!') {
                Some(name) => before == "macro_rules!" && part == name,
                None => part == word && kinds.contains(&before),
            };
            before = part;
            is_it
        },
    )
}

#[test]
fn what_decides_by_the_page_of_the_architecture_is_defined_in_a_file_of_its_row() {
    let page = read("docs/architecture.md");
    let (_, rest) = page.split_once("## Where it is decided").expect("the part with the table");
    let table = rest.split("\n## ").next().unwrap_or_default();
    let mut count = 0;
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let cell = line.trim_matches('|').rsplit(" | ").next().unwrap_or_default();
        let paths = words(cell).filter(|word| word.ends_with(".rs"));
        let codes: Vec<String> = paths.map(code).collect();
        let in_brackets = cell.split('(').skip(1).filter_map(|part| Some(part.split_once(')')?.0));
        for word in in_brackets.flat_map(words).filter(|word| !word.contains(['/', '.'])) {
            assert!(
                codes.iter().any(|code| defines(code, word)),
                "no file of its row defines {word}: {line}"
            );
            count += 1;
        }
    }
    assert!(count > 200, "the table was not found: {count}");
}

/// Files of the product that hold code and no tests.
fn product() -> BTreeSet<String> {
    let all = ["ipc", "protocol", "policies", "privileged", "engine", "network", "control"];
    let all = all.iter().flat_map(|folder| files(folder, "rs")).filter(|path| path.contains("/src/"));
    let is_test = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        path.contains("/tests/") || ["tests.rs", "never_panics.rs", "vectors.rs"].contains(&name)
    };
    all.filter(|path| !is_test(path)).collect()
}

#[test]
fn the_page_of_the_architecture_names_each_file_of_the_product_and_none_that_is_not_there() {
    let page = read("docs/architecture.md");
    let words: BTreeSet<&str> =
        page.split('`').skip(1).step_by(2).filter(|word| word.ends_with(".rs")).collect();
    for path in &words {
        assert!(workspace().join(path).is_file(), "docs/architecture.md names {path}, which is not there");
    }
    let product = product();
    assert!(product.len() > 150, "the files were not found: {}", product.len());
    let missing: Vec<_> = product.iter().filter(|path| !words.contains(path.as_str())).collect();
    assert!(missing.is_empty(), "docs/architecture.md leaves out {missing:?}");
}
