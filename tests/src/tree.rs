//! The source tree as text: for the tests that compare code and pages.

use crate::programs::workspace;
use std::fs;
use std::path::{Path, PathBuf};

/// A file of the workspace.
///
/// # Panics
/// If it cannot be read.
pub fn read(path: impl AsRef<Path>) -> String {
    let path = workspace().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The folders of the workspace's packages, by the patterns of its members.
///
/// # Panics
/// Where the manifest has no members.
pub fn packages() -> Vec<String> {
    let root: toml::Table = read("Cargo.toml").parse().expect("a manifest is TOML");
    let members = root["workspace"]["members"].as_array().expect("a list");
    let mut found = Vec::new();
    for member in members.iter().map(|member| member.as_str().expect("a text")) {
        match member.strip_suffix("/*") {
            None => found.push(member.to_owned()),
            Some(folder) => {
                let entries = fs::read_dir(workspace().join(folder)).expect("a folder").flatten();
                let packages = entries.filter(|entry| entry.path().join("Cargo.toml").is_file());
                found.extend(packages.map(|entry| format!("{folder}/{}", entry.file_name().display())));
            }
        }
    }
    found
}

/// Files with this extension below a folder of the workspace, by their paths in it.
pub fn files(folder: &str, extension: &str) -> Vec<String> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|other| other == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&workspace().join(folder), extension, &mut found);
    let relative = |path: PathBuf| path.strip_prefix(workspace()).expect("below it").display().to_string();
    found.into_iter().map(relative).collect()
}

/// The code of a file, without comments and without the contents of strings.
pub fn code(path: &str) -> String {
    let text = read(path);
    let mut code = String::new();
    let mut rest = text.chars().peekable();
    while let Some(this) = rest.next() {
        match this {
            '/' if rest.peek() == Some(&'/') => {
                rest.by_ref().find(|next| *next == '\n');
                code.push('\n');
            }
            '"' => {
                while let Some(next) = rest.next() {
                    match next {
                        '\\' => drop(rest.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                code.push_str("\"\"");
            }
            // A quotation mark as a character does not begin a string.
            '\'' if rest.peek() == Some(&'"') => {
                rest.next();
                rest.next();
            }
            this => code.push(this),
        }
    }
    code
}

/// The names of the functions in some code, in order, and then those of the tests that `days!` makes (tests/simulation).
pub fn functions(code: &str) -> Vec<String> {
    let written = code.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
    let made = code.split("days! {").skip(1).filter_map(|rest| rest.split('}').next());
    written.chain(made.flat_map(str::split_whitespace)).map(str::to_owned).collect()
}

/// Whether some code has this word.
pub fn names(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}
