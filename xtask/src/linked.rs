//! Which crates are linked into the programs, and what cargo knows of each: for whoever counts, lists or licenses them.
//!
//! By the manifests: normal dependencies with the features that a build of these packages has. What runs in the compiler or
//! before it (procedural macros, build scripts) or in tests is in no program.

use crate::cargo::{cargo, host, read, workspace};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Name and version: of each name cargo links one version, or says so by two.
pub type Id = (String, String);

/// A crate that is linked.
pub struct Crate {
    /// The folder of its source.
    pub folder: PathBuf,
    /// It is of this tree, and not fetched.
    pub is_ours: bool,
    /// An SPDX expression, as its manifest has it: some of old still write a slash for OR.
    pub licence: String,
    /// Where it is developed, if it says so.
    pub repository: Option<String>,
    /// As its manifest names them; often none.
    pub authors: Vec<String>,
    /// SHA-256 of its archive, in hexadecimal, as Cargo.lock has it; none of ours has one.
    pub checksum: Option<String>,
}

/// Crates, and which of them each is linked with.
pub struct Linked {
    /// What is linked.
    pub crates: BTreeMap<Id, Crate>,
    /// The direct dependencies of each.
    pub needs: BTreeMap<Id, BTreeSet<Id>>,
}

/// What is linked into the programs of these packages, on the target that we run on.
///
/// # Errors
/// If cargo cannot tell.
pub fn into(packages: &[&str]) -> Result<Linked, String> {
    let target = host()?;
    let needs = needs(packages, &target)?;
    let mut known = known(&target)?;
    let mut crates = BTreeMap::new();
    for id in needs.keys() {
        let found = known.remove(id).ok_or_else(|| format!("cargo metadata does not know {id:?}"))?;
        crates.insert(id.clone(), found);
    }
    Ok(Linked { crates, needs })
}

/// What is linked with what, on this target.
fn needs(packages: &[&str], target: &str) -> Result<BTreeMap<Id, BTreeSet<Id>>, String> {
    let mut command = cargo();
    command.args(["tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "depth"]);
    command.args(["--target", target]);
    for package in packages {
        command.args(["-p", package]);
    }
    edges(&read(&mut command)?)
}

/// `2aes v0.9.4 (*)`: how deep, whose name, and that what is below it was shown before.
fn edges(tree: &str) -> Result<BTreeMap<Id, BTreeSet<Id>>, String> {
    let mut found: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
    let mut above: Vec<Id> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let wrong = || format!("cargo tree says {line:?}");
        let digits = line.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let depth: usize = line[..digits].parse().map_err(|_| wrong())?;
        let mut words = line[digits..].split(' ');
        let name = words.next().filter(|name| !name.is_empty()).ok_or_else(wrong)?;
        let version = words.next().and_then(|word| word.strip_prefix('v')).ok_or_else(wrong)?;
        let id = (name.to_owned(), version.to_owned());
        above.truncate(depth);
        if above.len() != depth {
            return Err(wrong());
        }
        if let Some(parent) = above.last() {
            found.entry(parent.clone()).or_default().insert(id.clone());
        }
        found.entry(id.clone()).or_default();
        above.push(id);
    }
    Ok(found)
}

/// Each package that cargo knows, for this target.
fn known(target: &str) -> Result<BTreeMap<Id, Crate>, String> {
    let text =
        read(cargo().args(["metadata", "--format-version", "1", "--locked", "--filter-platform", target]))?;
    let metadata: Value = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata has no packages")?;
    let mut sums = checksums()?;
    let mut entry = |package: &Value| {
        let text = |key: &str| package[key].as_str().map(str::to_owned);
        let id = (text("name")?, text("version")?);
        let authors = package["authors"].as_array()?.iter();
        let found = Crate {
            folder: Path::new(package["manifest_path"].as_str()?).parent()?.to_owned(),
            is_ours: package["source"].is_null(),
            licence: text("license").unwrap_or_default(),
            repository: text("repository"),
            authors: authors.filter_map(|author| Some(author.as_str()?.to_owned())).collect(),
            checksum: sums.remove(&id),
        };
        Some((id, found))
    };
    packages
        .iter()
        .map(|package| entry(package).ok_or_else(|| "cargo metadata is incomplete".into()))
        .collect()
}

/// SHA-256 of the archive of each crate in Cargo.lock.
fn checksums() -> Result<BTreeMap<Id, String>, String> {
    let lock = workspace().join("Cargo.lock");
    let text = std::fs::read_to_string(&lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    let of = |block: &str, key: &str| {
        let start = format!("{key} = \"");
        block.lines().find_map(|line| Some(line.strip_prefix(&start)?.strip_suffix('"')?.to_owned()))
    };
    let blocks = text.split("[[package]]");
    Ok(blocks
        .filter_map(|block| Some(((of(block, "name")?, of(block, "version")?), of(block, "checksum")?)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::programs;

    fn id(name: &str) -> Id {
        (name.to_owned(), "1.0.0".to_owned())
    }

    #[test]
    fn a_tree_is_read_with_what_was_shown_before() {
        let tree = "0a v1.0.0 (/x)\n1b v1.0.0\n2c v1.0.0\n1c v1.0.0\n\n0d v1.0.0 (/y)\n1b v1.0.0 (*)\n";
        let found = edges(tree).expect("it is one");
        assert_eq!(found[&id("a")], BTreeSet::from([id("b"), id("c")]));
        assert_eq!(found[&id("b")], BTreeSet::from([id("c")]));
        assert_eq!(found[&id("c")], BTreeSet::new());
        assert_eq!(found[&id("d")], BTreeSet::from([id("b")]));
        assert!(edges("0a v1.0.0\n2b v1.0.0\n").is_err());
        assert!(edges("a v1.0.0\n").is_err());
    }

    /// One list for all: the bill of materials and the licences are those of each architecture and C library.
    #[test]
    fn the_same_crates_are_linked_on_each_target() {
        let packages: Vec<&str> = programs().into_iter().map(|(package, _)| package).collect();
        let names = |target: &str| -> BTreeSet<Id> {
            needs(&packages, target).expect("cargo tells").into_keys().collect()
        };
        let here = names(&host().expect("cargo tells"));
        let deny = std::fs::read_to_string(workspace().join("deny.toml")).expect("it is there");
        let line =
            deny.lines().find_map(|line| line.strip_prefix("targets = [")).expect("deny.toml has them");
        let targets: Vec<&str> = line.split('"').filter(|word| word.contains("-linux-")).collect();
        assert!(targets.len() > 2, "{targets:?}");
        for target in targets {
            assert_eq!(names(target), here, "{target}");
        }
    }
}
