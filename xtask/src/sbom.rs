//! A bill of materials (CycloneDX 1.6) of what is linked into the programs.
//!
//! ```text
//!   the whole   truechimer, in it the programs and our libraries
//!   components  crates of others, with version, purl, licence and hash; AWS-LC, which is C, in its crate; the standard
//!               library of the compiler
//!   dependencies  what each is linked with
//! ```
//!
//! The same commit and compiler give the same document: its time is that of the commit, and its serial number is made from what
//! it says. Nothing is in it that runs only in the compiler, in build scripts or in tests.
//!
//! Not by cargo-cyclonedx (0.5.9): it makes a document for each program, with paths of the machine in them, and names crates that
//! only features of other packages of the workspace bring (ring, indexmap) and procedural macros, none of which is linked.

use crate::cargo::{programs, read, target};
use crate::linked::{self, Crate, Id, Linked};
use crate::package;
use hmac_sha256::Hash;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The reference of the standard library.
const STD: &str = "rust-std";
/// Of the library in C, and the crate that brings it.
const AWS_LC: (&str, &str) = ("aws-lc", "aws-lc-sys");

/// Writes target/package/truechimer-VERSION.cdx.json, and says where it is.
///
/// # Errors
/// If cargo cannot tell the dependencies, or the file cannot be written.
pub fn write() -> Result<PathBuf, String> {
    let epoch = package::epoch()?;
    let text = serde_json::to_string_pretty(&document(epoch)?).map_err(|error| error.to_string())?;
    let file = target().join(format!("package/{}.cdx.json", crate::source::name()));
    let folder = file.parent().unwrap_or(Path::new("."));
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, text + "\n"));
    written.map_err(|error| format!("{}: {error}", file.display()))?;
    println!("{}", file.display());
    Ok(file)
}

/// The document, as of this time (seconds since 1970).
fn document(epoch: u64) -> Result<Value, String> {
    let packages: Vec<&str> = programs().into_iter().map(|(package, _)| package).collect();
    let Linked { crates, needs } = linked::into(&packages)?;
    let references: Vec<Value> = needs
        .iter()
        .map(|(id, below)| {
            let others = below.iter().map(|below| reference(below, &crates[below]));
            // Beside crates: a program has the standard library for all of its crates.
            let beside = match program_of(id) {
                Some(_) => Some(STD),
                None => (id.0 == AWS_LC.1).then_some(AWS_LC.0),
            };
            let others: Vec<String> = others.chain(beside.map(str::to_owned)).collect();
            json!({ "ref": reference(id, &crates[id]), "dependsOn": others })
        })
        .collect();
    let (ours, others): (Vec<_>, Vec<_>) = crates.iter().partition(|(_, found)| found.is_ours);
    let mut components =
        others.into_iter().map(|(id, found)| of_others(id, found)).collect::<Result<Vec<_>, _>>()?;
    components.push(standard_library()?);
    let date =
        read(Command::new("date").args(["--utc", "+%Y-%m-%dT%H:%M:%SZ", &format!("--date=@{epoch}")]))?;
    let version = env!("CARGO_PKG_VERSION");
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": date.trim(),
            "lifecycles": [{ "phase": "build" }],
            "tools": { "components": [{ "type": "application", "name": "cargo xtask sbom", "version": version }] },
            "component": {
                "type": "application",
                "bom-ref": "truechimer",
                "name": "truechimer",
                "version": version,
                "purl": format!("pkg:generic/truechimer@{version}"),
                "licenses": licences("Apache-2.0 OR MIT"),
                "components": ours.into_iter().map(|(id, found)| of_ours(id, found)).collect::<Vec<_>>(),
            },
        },
        "components": components,
        "dependencies": whole(references),
    });
    document["serialNumber"] = json!(serial(&document));
    Ok(document)
}

/// With what the whole is made of in front: the programs.
fn whole(mut references: Vec<Value>) -> Value {
    let programs: Vec<&str> = programs().into_iter().map(|(_, program)| program).collect();
    references.insert(0, json!({ "ref": "truechimer", "dependsOn": programs }));
    Value::Array(references)
}

/// A UUID of the kind that is made from whatever one likes (RFC 9562, section 5.8): here the SHA-256 of the document.
fn serial(document: &Value) -> String {
    let mut octets = [0; 16];
    octets.copy_from_slice(&Hash::hash(document.to_string().as_bytes())[..16]);
    octets[6] = octets[6] & 0x0f | 0x80;
    octets[8] = octets[8] & 0x3f | 0x80;
    let digits: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    format!("urn:uuid:{}", parts.join("-"))
}

fn program_of(id: &Id) -> Option<&'static str> {
    programs().into_iter().find(|(package, _)| *package == id.0).map(|(_, program)| program)
}

/// Under which name the document speaks of a crate.
fn reference(id: &Id, found: &Crate) -> String {
    match program_of(id) {
        Some(program) => program.to_owned(),
        None if found.is_ours => id.0.clone(),
        None => purl(id),
    }
}

fn purl((name, version): &Id) -> String {
    // A plus sign in a version is written so in a package URL.
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

fn licences(expression: &str) -> Value {
    json!([{ "expression": expression.replace('/', " OR ") }])
}

fn of_ours(id: &Id, found: &Crate) -> Value {
    let program = program_of(id);
    json!({
        "type": if program.is_some() { "application" } else { "library" },
        "bom-ref": reference(id, found),
        "name": program.unwrap_or(&id.0),
        "version": id.1,
        "licenses": licences(&found.licence),
    })
}

fn of_others(id: &Id, found: &Crate) -> Result<Value, String> {
    let sum = found.checksum.as_ref().ok_or_else(|| format!("Cargo.lock has no checksum of {id:?}"))?;
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(id, found),
        "name": id.0,
        "version": id.1,
        "scope": "required",
        "hashes": [{ "alg": "SHA-256", "content": sum }],
        "licenses": licences(&found.licence),
        "purl": purl(id),
    });
    if let Some(place) = &found.repository {
        component["externalReferences"] = json!([{ "type": "vcs", "url": place }]);
    }
    if id.0 == AWS_LC.1 {
        component["components"] = json!([aws_lc(found)?]);
    }
    Ok(component)
}

/// The library in C that this crate compiles: advisories are about its version.
fn aws_lc(found: &Crate) -> Result<Value, String> {
    let header = found.folder.join("aws-lc/include/openssl/base.h");
    let text = fs::read_to_string(&header).map_err(|error| format!("{}: {error}", header.display()))?;
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("#define AWSLC_VERSION_NUMBER_STRING \"")?.strip_suffix('"'))
        .ok_or_else(|| format!("{} has no version", header.display()))?;
    Ok(json!({
        "type": "library",
        "bom-ref": AWS_LC.0,
        "name": "AWS-LC",
        "version": version,
        "licenses": licences(&found.licence),
        "purl": format!("pkg:github/aws/aws-lc@v{version}"),
    }))
}

fn standard_library() -> Result<Value, String> {
    let said = read(Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV"))?;
    let release = said.lines().find_map(|line| line.strip_prefix("release: "));
    let release = release.ok_or_else(|| format!("rustc -vV says {said:?}"))?;
    Ok(json!({
        "type": "library",
        "bom-ref": STD,
        "name": "std",
        "version": release,
        "description": "the standard library of Rust, as the compiler brings it",
        "scope": "required",
        "licenses": licences("Apache-2.0 OR MIT"),
        "purl": format!("pkg:github/rust-lang/rust@{release}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::{cargo, workspace};
    use std::collections::BTreeSet;

    fn text(value: &Value) -> &str {
        value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
    }

    fn list(value: &Value) -> &[Value] {
        value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
    }

    /// Name and version of what cargo shows as linked into one program, by another way of asking than the document's.
    fn shown(package: &str) -> BTreeSet<Id> {
        let mut command = cargo();
        command.args(["tree", "--locked", "-e", "normal,no-proc-macro", "--prefix", "none", "-p", package]);
        let said = read(&mut command).expect("cargo tells");
        let id = |line: &str| {
            let (name, rest) = line.split_once(" v")?;
            // A path follows what is ours.
            (!rest.contains('/')).then(|| (name.to_owned(), rest.trim_end_matches(" (*)").to_owned()))
        };
        said.lines().filter_map(id).collect()
    }

    #[test]
    fn each_linked_crate_of_the_lock_file_is_in_it_and_none_more() {
        let document = document(1_700_000_000).expect("cargo tells");
        let lock = std::fs::read_to_string(workspace().join("Cargo.lock")).expect("it is there");
        let mut found = BTreeSet::new();
        for component in list(&document["components"]).iter().filter(|component| component["bom-ref"] != STD)
        {
            let (name, version) = (text(&component["name"]), text(&component["version"]));
            let sum = text(&component["hashes"][0]["content"]);
            let block = format!("name = \"{name}\"\nversion = \"{version}\"\nsource = ");
            let entry = lock.split("[[package]]\n").find(|entry| entry.starts_with(&block));
            let entry = entry.unwrap_or_else(|| panic!("Cargo.lock has no {name} {version}"));
            assert!(sum.len() == 64 && entry.contains(&format!("\nchecksum = \"{sum}\"\n")), "{name}: {sum}");
            assert_eq!(component["hashes"][0]["alg"], "SHA-256");
            let purl = text(&component["purl"]);
            assert_eq!(purl.replace("%2B", "+"), format!("pkg:cargo/{name}@{version}"));
            assert!(!text(&component["licenses"][0]["expression"]).contains('/'), "{component}");
            assert!(found.insert((name.to_owned(), version.to_owned())), "{name} {version} twice");
        }
        let all = programs().into_iter().flat_map(|(package, _)| shown(package)).collect::<BTreeSet<_>>();
        assert!(all.len() > 50, "{all:?}");
        assert_eq!(found, all);
        for (name, is_linked) in
            [("aws-lc-sys", true), ("serde_derive", false), ("cc", false), ("proptest", false)]
        {
            assert_eq!(found.iter().any(|(known, _)| known == name), is_linked, "{name}");
        }
    }

    #[test]
    fn each_program_is_in_it_with_what_it_is_linked_with() {
        let document = document(1_700_000_000).expect("cargo tells");
        let below = |reference: &str| -> BTreeSet<String> {
            let entry = list(&document["dependencies"]).iter().find(|entry| entry["ref"] == reference);
            let entry = entry.unwrap_or_else(|| panic!("no dependencies of {reference}"));
            list(&entry["dependsOn"]).iter().map(|below| text(below).to_owned()).collect()
        };
        // Everything that can be reached.
        let reached = |reference: &str| {
            let mut reached = BTreeSet::new();
            let mut left = vec![reference.to_owned()];
            while let Some(next) = left.pop() {
                if next != STD && next != AWS_LC.0 {
                    left.extend(below(&next).into_iter().filter(|below| reached.insert(below.clone())));
                }
            }
            reached
        };
        for (package, program) in programs() {
            let crates: BTreeSet<String> = shown(package).iter().map(purl).collect();
            let reached = reached(program);
            // More than for itself alone: all are built at once, with the features that any of them asks for.
            assert!(crates.is_subset(&reached), "{program}: {:?}", crates.difference(&reached));
            assert!(reached.contains(STD), "{program}");
        }
        assert!(reached("truechimer-key-service").contains(AWS_LC.0));
        let keeper = reached("truechimer-keeper");
        assert!(keeper.len() < 15 && !keeper.contains(AWS_LC.0), "{keeper:?}");
    }

    #[test]
    fn each_reference_leads_to_one_component() {
        fn named(component: &Value, into: &mut Vec<String>) {
            into.push(text(&component["bom-ref"]).to_owned());
            for part in component["components"].as_array().into_iter().flatten() {
                named(part, into);
            }
        }
        let document = document(1_700_000_000).expect("cargo tells");
        let mut names = Vec::new();
        named(&document["metadata"]["component"], &mut names);
        list(&document["components"]).iter().for_each(|component| named(component, &mut names));
        let unique: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(unique.len(), names.len(), "{names:?}");
        for entry in list(&document["dependencies"]) {
            for name in std::iter::once(&entry["ref"]).chain(list(&entry["dependsOn"])) {
                assert!(unique.contains(text(name)), "{name}");
            }
        }
    }

    #[test]
    fn it_is_the_same_again_and_its_serial_number_is_that_of_what_it_says() {
        let (one, again) = (document(1_700_000_000), document(1_700_000_000));
        let one = one.expect("cargo tells");
        assert_eq!(one.to_string(), again.expect("cargo tells").to_string());
        assert_eq!(one["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
        let other = document(1_700_000_001).expect("cargo tells");
        let serials = [&one, &other].map(|document| text(&document["serialNumber"]));
        assert_ne!(serials[0], serials[1]);
        for serial in serials {
            let digits = serial.strip_prefix("urn:uuid:").expect("it is one");
            assert_eq!(digits.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
            assert_eq!(&digits[14..15], "8");
        }
    }
}
