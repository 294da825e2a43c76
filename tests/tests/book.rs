//! The pages of the book held against the programs: commands are taken, configurations pass the check, and what is quoted as a
//! message of a program stands in its source.

use bench::daemon::{Setup, source};
use bench::forger::Forger;
use bench::programs::{Place, program};
use bench::tree::{files, read};
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::time::Duration;

/// In place of a secret, which a page must not have: too short to be taken for one.
const NO_SECRET: &str = "WHAT-OPENSSL-PRINTED";

/// Programs of others, which are not run.
const OTHERS: [&str; 10] =
    ["apt", "cd", "chronyc", "editor", "install", "journalctl", "mv", "nft", "openssl", "systemd-analyze"];

/// The pages, by their paths.
fn pages() -> Vec<(String, String)> {
    let all = files("docs", "md").into_iter().chain(["README.md".to_owned()]);
    all.map(|path| (path.clone(), read(path))).collect()
}

/// The fenced blocks of a page that are marked with this word.
fn blocks(page: &str, word: &str) -> Vec<String> {
    let parts = page.split("```").skip(1).step_by(2);
    parts.filter_map(|part| part.strip_prefix(word)?.strip_prefix('\n')).map(str::to_owned).collect()
}

/// The commands of a page's shell blocks, as words.
fn commands(page: &str) -> Vec<Vec<String>> {
    let lines: Vec<String> =
        blocks(page, "sh").iter().flat_map(|block| block.lines()).map(str::to_owned).collect();
    let code = lines.iter().filter_map(|line| line.split(" #").next());
    let single = code.flat_map(|line| {
        line.split("&&").flat_map(|part| part.split('|')).filter_map(|part| part.split('>').next())
    });
    let words = single.map(|command| command.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    words.filter(|words| !words.is_empty()).collect()
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|octets| String::from_utf8_lossy(octets).into_owned()).concat()
}

fn help(name: &str) -> String {
    text(&Command::new(program(name)).arg("--help").output().expect("it can be executed"))
}

/// Words of a help text, without what surrounds them.
fn words_of(help: &str) -> BTreeSet<&str> {
    help.split(|letter: char| !letter.is_alphanumeric() && letter != '-').collect()
}

#[test]
fn each_command_of_the_book_is_one_that_the_programs_take() {
    let forger = Forger::honest([127, 0, 0, 1].into(), 0);
    let daemon = Setup::new("book", &source(forger.address())).with_virtual_clock(1_000_000, 10.0).start();
    daemon.wait_until_synchronised(Duration::from_secs(30));
    let (launch, metrics) = (help("truechimerd"), help("truechimer-metrics"));
    let usage = read("xtask/src/main.rs");
    let mut run = 0;
    for (page, text_of_page) in pages() {
        for command in commands(&text_of_page) {
            let shown = format!("{page}: {}", command.join(" "));
            let (name, arguments) = command.split_first().expect("it is not empty");
            let name = if name == "sudo" { &arguments[0] } else { name };
            match name.as_str() {
                "chimerctl" => {
                    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
                    let output = daemon.chimerctl(&words);
                    // 1: there is no such source here. 2 with a reason of its own: there is no such file.
                    let is_taken = matches!(output.status.code(), Some(0..=2));
                    assert!(
                        is_taken
                            && !["Usage:", "For more information"]
                                .iter()
                                .any(|word| text(&output).contains(word)),
                        "{shown}: {output:?}"
                    );
                    run += 1;
                }
                "truechimerd" | "truechimer-metrics" => {
                    let known = words_of(if name == "truechimerd" { &launch } else { &metrics });
                    let mut options = arguments.iter().filter(|word| word.starts_with('-'));
                    assert!(options.all(|option| known.contains(option.as_str())), "{shown}");
                }
                "cargo" => {
                    let word = arguments.get(1).expect("xtask and a word");
                    let is_known = usage.contains(&format!("\n  {word} "));
                    assert!(arguments[0] == "xtask" && is_known, "{shown}");
                }
                "systemctl" => {
                    let units = arguments.iter().filter(|word| word.starts_with("truechimer"));
                    for unit in units {
                        let file = if unit.contains('.') { unit.clone() } else { format!("{unit}.service") };
                        read(format!("packaging/systemd/{file}"));
                    }
                }
                other => assert!(OTHERS.contains(&other), "{shown}: neither run nor listed as another's"),
            }
        }
    }
    assert!(run > 12, "the commands were not found: {run}");
}

#[test]
fn each_subcommand_that_a_page_mentions_exists() {
    let known = help("chimerctl");
    let (_, list) = known.split_once("Commands:").expect("it has a list of commands");
    let known: BTreeSet<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let mut found = 0;
    for (page, text_of_page) in pages() {
        let spans = text_of_page.split('`').skip(1).step_by(2);
        for span in spans.filter_map(|span| span.trim().strip_prefix("chimerctl ")) {
            let word = span.split_whitespace().find(|word| !word.starts_with('-') && *word != "…");
            assert!(word.is_none_or(|word| known.contains(word)), "{page}: chimerctl {span}");
            found += 1;
        }
    }
    assert!(found > 50, "the commands were not found: {found}");
}

#[test]
fn each_configuration_of_the_book_passes_the_check() {
    let place = Place::new("book-check");
    let file = place.join("truechimer.toml");
    let keys = place.join("truechimer.keys");
    fs::write(&keys, "10 AES128 HEX:2B7E151628AED2A6ABF7158809CF4F3C\n")
        .expect("a new folder can be written");
    fs::set_permissions(&keys, Permissions::from_mode(0o600)).expect("it is ours");
    let check = |configuration: &str| {
        fs::write(&file, configuration).expect("a new folder can be written");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
        let mut command = Command::new(program("truechimerd"));
        command.arg("--check").arg("--config").arg(&file).output().expect("it can be executed")
    };
    let mut checked = 0;
    for (page, text_of_page) in pages() {
        for block in blocks(&text_of_page, "toml") {
            if block.contains(NO_SECRET) {
                let output = check(&block);
                assert!(!output.status.success(), "{page}: that is taken for a secret: {output:?}");
            }
            let output = check(&block.replace(NO_SECRET, &"aB3".repeat(20)));
            assert!(output.status.success(), "{page}:\n{block}\n{}", text(&output));
            checked += 1;
        }
    }
    assert!(checked > 5, "the configurations were not found: {checked}");
}

/// What a page quotes: between quotation marks, but in no code that has some itself.
fn quoted(page: &str) -> Vec<String> {
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let plain = rows.map(|row| {
        let parts =
            row.split('`').enumerate().filter(|(number, part)| number % 2 == 0 || !part.contains('"'));
        parts.map(|(number, part)| if number % 2 == 0 { part.to_owned() } else { format!("`{part}`") })
    });
    let rows: Vec<String> = plain.map(Iterator::collect).collect();
    rows.iter().flat_map(|row| row.split('"').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The sources of the programs, each text on one line.
fn sources() -> String {
    let folders = ["ipc", "engine", "privileged", "control", "network"];
    let all = folders.into_iter().flat_map(|folder| files(folder, "rs"));
    let text: String = all.filter(|path| !path.ends_with("tests.rs")).map(read).collect();
    // A line that ends with a backslash goes on at the first letter of the next one.
    let parts = text.split("\\\n").enumerate();
    parts.map(|(number, part)| if number == 0 { part } else { part.trim_start() }).collect()
}

#[test]
fn each_message_that_the_page_of_symptoms_quotes_stands_in_the_programs() {
    let (page, sources) = (read("docs/troubleshooting.md"), sources());
    let messages = quoted(&page);
    assert!(messages.len() > 70, "the messages were not found: {messages:?}");
    let mut unknown = Vec::new();
    for message in messages {
        // Sentences are put together at these places.
        let parts = message.split('…').flat_map(|part| part.split(": ")).map(str::trim);
        let parts: Vec<&str> = parts.filter(|part| part.len() > 5).collect();
        assert!(parts.iter().any(|part| part.len() > 10), "too little to be found by: {message}");
        let strange = parts.iter().filter(|part| !sources.contains(**part));
        unknown.extend(strange.map(|part| format!("{part:?} of {message:?}")));
    }
    assert!(unknown.is_empty(), "no program says: {unknown:#?}");
}
