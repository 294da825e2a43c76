//! The licences of what is linked into the programs: whether each may be, and their texts in one file.
//!
//! The file is packaging/THIRD-PARTY, of this tree, so that each recipe installs it as any other; a test holds it to the
//! crates that are linked. The list of what may be linked is that of deny.toml, which `cargo deny check licenses` reads too.

mod debian;
mod expression;

pub use debian::stanzas;
pub use expression::Ways;

use crate::cargo::{programs, workspace};
use crate::linked::{self, Crate, Id};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The file, from the top of the tree.
const FILE: &str = "packaging/THIRD-PARTY";

const HEAD: &str = "\
Software of others in the programs of truechimer

The programs of truechimer, which is under Apache-2.0 OR MIT itself, have the following crates linked into them. Each has its
version, its licences (an SPDX expression), where it is developed, and the numbers of the texts that it comes with, which
follow after the list, word for word (those that differ in their lines alone once).

The standard library of Rust is linked too, of the version that the programs were compiled with: Apache-2.0 OR MIT, by the
Rust Project Developers. What it contains of others is named by share/doc/rust/COPYRIGHT-library.html of each compiler.

aws-lc-sys has AWS-LC in it, a library in C and assembler of which parts are of others: BoringSSL, OpenSSL (with the
copyright of SSLeay), mlkem-native, mldsa-native, Fiat Cryptography, s2n-bignum and Jitter Entropy; its texts say whose they
are, and under which licence each is. With the feature `ring` in place of `aws-lc-rs` other crates are linked than these.
";

/// Writes the file, and says where it is.
///
/// # Errors
/// If a crate may not be linked, has no text, or cannot be read.
pub fn write() -> Result<(), String> {
    let file = workspace().join(FILE);
    fs::write(&file, texts()?).map_err(|error| format!("{}: {error}", file.display()))?;
    println!("{}", file.display());
    Ok(())
}

/// The crates of others that are linked into programs, each with the ways in which we may take it.
///
/// # Errors
/// If one may not be linked.
pub fn taken() -> Result<BTreeMap<Id, (Crate, Ways)>, String> {
    let packages: Vec<&str> = programs().into_iter().map(|(package, _)| package).collect();
    let allowed = allowed()?;
    let mut taken = BTreeMap::new();
    for (id, found) in linked::into(&packages)?.crates {
        if found.is_ours {
            continue;
        }
        let ways = Ways::of(&found.licence).map_err(|error| format!("{} {}: {error}", id.0, id.1))?;
        let ways = ways.within(&allowed).ok_or_else(|| {
            format!("{} {}: {} is not in the list of deny.toml, {allowed:?}", id.0, id.1, found.licence)
        })?;
        taken.insert(id, (found, ways));
    }
    Ok(taken)
}

/// The licences that may be linked: those of deny.toml.
fn allowed() -> Result<Vec<String>, String> {
    let deny = workspace().join("deny.toml");
    let text = fs::read_to_string(&deny).map_err(|error| format!("{}: {error}", deny.display()))?;
    let list = text.split_once("\n[licenses]\n").and_then(|(_, part)| part.split_once("\nallow = ["));
    let list = list.and_then(|(_, list)| list.split_once("\n]"));
    let list = list.ok_or("deny.toml has no list of licences, one in each line")?.0.lines();
    Ok(list.filter_map(|line| Some(line.trim().strip_prefix('"')?.split_once('"')?.0.to_owned())).collect())
}

/// Everything that is in the file.
fn texts() -> Result<String, String> {
    let mut texts: Vec<(String, Vec<String>)> = Vec::new();
    let mut document = HEAD.to_owned();
    for ((name, version), (found, _)) in taken()? {
        let mut numbers = BTreeSet::new();
        for file in files(&found.folder)? {
            let text = read(&file)?;
            let whose = file.strip_prefix(&found.folder).unwrap_or(&file).display();
            let whose = format!("{name} {version}: {whose}");
            // The same words in other lines are the same text.
            let is_same = |known: &str| known.split_whitespace().eq(text.split_whitespace());
            let place = texts.iter().position(|(known, _)| is_same(known)).unwrap_or(texts.len());
            match texts.get_mut(place) {
                Some((_, all)) => all.push(whose),
                None => texts.push((text, vec![whose])),
            }
            numbers.insert(place + 1);
        }
        if numbers.is_empty() {
            return Err(format!("{name} {version} comes without a text of its licence"));
        }
        let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
        let place = found.repository.as_deref().map(|place| format!("\n    {place}")).unwrap_or_default();
        let licence = found.licence.replace('/', " OR ");
        let _ = write!(document, "\n{name} {version}: {licence}{place}\n    texts {}\n", numbers.join(", "));
    }
    for (place, (text, whose)) in texts.iter().enumerate() {
        let _ =
            write!(document, "\n{}\nText {} of {}\n\n{text}", "=".repeat(80), place + 1, whose.join(", "));
    }
    Ok(document)
}

/// The texts of licences and notices in a crate, in the order of their paths.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
            let is_text = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
                .iter()
                .any(|start| name.starts_with(start));
            if path.is_dir() {
                folders.push(path);
            } else if is_text {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A text, with the ends of lines of this system.
fn read(file: &Path) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    Ok(lines.join("\n").trim_matches('\n').to_owned() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_linked_crate_may_be_linked_and_the_list_has_no_more_than_it_needs() {
        let taken = taken().expect("each is allowed");
        assert!(taken.len() > 50, "{}", taken.len());
        let needed: Vec<&String> = taken.values().flat_map(|(_, ways)| ways.names()).collect();
        // Of what runs in the compiler alone.
        for name in allowed().expect("deny.toml has it").iter().filter(|name| *name != "Unicode-3.0") {
            assert!(needed.contains(&name), "deny.toml allows {name}, which nothing linked needs");
        }
    }

    #[test]
    fn the_file_has_the_texts_of_what_is_linked() {
        let now = texts().expect("each has one");
        let kept = fs::read_to_string(workspace().join(FILE)).expect("it is in the tree");
        assert!(now == kept, "{FILE} is not that of Cargo.lock: cargo xtask licences");
    }

    /// What AWS-LC has of others is compiled into it from these folders; each is to be named, with its licence.
    #[test]
    fn the_parts_of_aws_lc_are_named() {
        let taken = taken().expect("each is allowed");
        let (_, (found, ways)) =
            taken.iter().find(|((name, _), _)| name == "aws-lc-sys").expect("it is linked");
        for name in ["Apache-2.0", "BSD-3-Clause", "ISC", "MIT"] {
            assert!(ways.names().any(|known| known == name), "{name}");
        }
        let text = read(&found.folder.join("LICENSE")).expect("it has one");
        let file = fs::read_to_string(workspace().join(FILE)).expect("it is in the tree");
        assert!(file.contains(&text), "the text of aws-lc-sys");
        let compiled = "Third-Party Libraries (compiled into libcrypto/libssl)";
        for part in
            ["BoringSSL", "OpenSSL", "mlkem-native", "mldsa-native", "Eric Young", "ISC License", compiled]
        {
            assert!(text.contains(part), "{part}");
        }
        for entry in fs::read_dir(found.folder.join("aws-lc/third_party")).expect("it has them").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let title = match name.as_str() {
                "fiat" => "Fiat Cryptography",
                "s2n-bignum" => "s2n-bignum",
                "jitterentropy" => "Jitter Entropy",
                _ => panic!("AWS-LC has {name} in it: name it in HEAD, if it is compiled"),
            };
            assert!(text.contains(title) && HEAD.contains(title), "{title}");
        }
    }
}
