//! What each process consists of: the crates linked into it and the lines of Rust of each of them. An
//! auditor's first question.

use crate::cargo::{cargo, programs, read};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Counts and prints.
///
/// # Errors
/// If cargo cannot tell the dependencies or a source cannot be read.
pub fn run() -> Result<(), String> {
    let folders = folders()?;
    for (package, program) in programs() {
        let tree = read(cargo().args([
            "tree",
            "--locked",
            "-e",
            "normal,no-proc-macro",
            "--prefix",
            "none",
            "-p",
            package,
        ]))?;
        let crates: BTreeSet<(String, String)> = tree.lines().filter_map(name_and_version).collect();
        let (mut own, mut foreign) = (Vec::new(), Vec::new());
        for (name, version) in crates {
            let (folder, ours, macros) = folders
                .get(&(name.clone(), version.clone()))
                .ok_or_else(|| format!("cargo metadata does not know {name} {version}"))?;
            // A macro runs in the compiler; its output is counted with the crate that calls it.
            if *macros {
                continue;
            }
            let lines = lines_of(&folder.join("src"))?;
            if *ours { own.push((lines, name)) } else { foreign.push((lines, format!("{name} {version}"))) }
        }
        let sum = |list: &[(usize, String)]| list.iter().map(|(lines, _)| lines).sum::<usize>();
        let declarations =
            foreign.iter().filter(|(_, name)| name.starts_with("libc ")).map(|(lines, _)| lines);
        println!(
            "{program}: {} lines of ours, {} lines of {} crates (libc's declarations left out)",
            sum(&own),
            sum(&foreign) - declarations.sum::<usize>(),
            foreign.len()
        );
        for list in [&mut own, &mut foreign] {
            list.sort_by(|a, b| b.cmp(a));
            for (lines, name) in list {
                println!("  {lines:>8}  {name}");
            }
        }
        println!();
    }
    println!(
        "Lines of Rust that are not blank or comment only, test modules left out; the standard library is not counted."
    );
    Ok(())
}

fn name_and_version(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    Some((words.next()?.into(), words.next()?.strip_prefix('v')?.into()))
}

type Folders = BTreeMap<(String, String), (PathBuf, bool, bool)>;

/// For each package: its folder, whether it is ours, whether it is a procedural macro.
fn folders() -> Result<Folders, String> {
    let text = read(cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata has no packages")?;
    let entry = |package: &Value| {
        let manifest = Path::new(package["manifest_path"].as_str()?);
        let macros = package["targets"].as_array()?.iter().any(|target| target["kind"][0] == "proc-macro");
        let key = (package["name"].as_str()?.to_owned(), package["version"].as_str()?.to_owned());
        Some((key, (manifest.parent()?.to_owned(), package["source"].is_null(), macros)))
    };
    packages
        .iter()
        .map(|package| entry(package).ok_or_else(|| "cargo metadata is incomplete".into()))
        .collect()
}

fn lines_of(folder: &Path) -> Result<usize, String> {
    let mut lines = 0;
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            lines += if path.ends_with("tests") { 0 } else { lines_of(&path)? };
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let octets = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            lines += count(&String::from_utf8_lossy(&octets));
        }
    }
    Ok(lines)
}

/// Lines with code, up to a test module at the end of the file.
fn count(source: &str) -> usize {
    let mut lines = source.lines().peekable();
    let mut count = 0;
    while let Some(line) = lines.next() {
        let line = line.trim();
        if line == "#[cfg(test)]"
            && lines.peek().is_some_and(|next| next.trim().starts_with("mod ") && next.ends_with('{'))
        {
            break;
        }
        if !line.is_empty() && !line.starts_with("//") {
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn comments_blanks_and_tests_are_not_code() {
        assert_eq!(
            count("//! x\n\nfn a() {\n    // why\n    b();\n}\n#[cfg(test)]\nmod tests {\n  fn c() {}\n}\n"),
            3
        );
    }
}
