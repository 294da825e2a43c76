//! What is linked into each program, by the manifests and not by what a linker leaves out.

use super::is_program;
use bench::programs::workspace;
use bench::tree::{code, files, packages, read};
use ipc::process::Process;
use std::collections::BTreeSet;
use std::process::Command;

/// What is linked into the process that holds the clock: an auditor reads all of it. Nothing of the launch, no nix, no
/// Landlock and no compiler of filters.
const LINKED_INTO_THE_KEEPER: &[&str] = &[
    "truechimer-filters",
    "truechimer-ipc",
    "truechimer-ipc-clock",
    "truechimer-ipc-link",
    "truechimer-keeper",
    "bincode",
    "hmac-sha256",
    "libc",
    "unty",
    "zeroize",
];

/// What the pure engine is compiled with, beyond the compiler's own core and alloc; each of them is no_std.
const UNDER_THE_PURE_ENGINE: &[&str] = &[
    "truechimer-engine-core",
    "truechimer-ipc",
    "truechimer-protocol",
    "truechimer-report",
    "truechimer-roughtime",
    "truechimer-time",
    "aead",
    "aes",
    "aes-gcm",
    "aes-gcm-siv",
    "aes-siv",
    "bincode",
    "block-buffer",
    "cfg-if",
    "cipher",
    "cmac",
    "cmov",
    "cpubits",
    "cpufeatures",
    "crypto-common",
    "ctr",
    "ctutils",
    "curve25519-dalek",
    "dbl",
    "digest",
    "ed25519",
    "ed25519-dalek",
    "ghash",
    "hkdf",
    "hmac",
    "hmac-sha256",
    "hybrid-array",
    "inout",
    "libm",
    "md-5",
    "polyval",
    "ppv-lite86",
    "rand_chacha",
    "rand_core",
    "serde",
    "serde_core",
    "sha1",
    "sha2",
    "signature",
    "subtle",
    "typenum",
    "universal-hash",
    "unty",
    "zerocopy",
    "zeroize",
];

/// Packages of ours in each program in `network`, without its own. What else is linked into one is named in its manifest, with the
/// reason: `linked` in `[package.metadata.truechimer]`.
const OURS: &[&str] = &["filters", "ipc", "ipc-clock", "ipc-link", "network", "policies"];

/// What is in the names of crates that speak TLS, read certificates, or are beneath those that do.
const TLS: &[&str] = &["tls", "pki", "x509", "ssl", "aws-lc", "asn1"];

/// More of them, whose names are in those of others too.
const WHOLE: &[&str] = &["ring", "der"];

/// The crates that a package is compiled with, itself among them, without those that run in the compiler alone.
fn linked(package: &str) -> BTreeSet<String> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--offline", "--package", package, "--edges", "normal,no-proc-macro"]);
    let tree = tree.args(["--prefix", "none"]).current_dir(workspace()).output().expect("cargo is there");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("names are text");
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Those of them that have to do with TLS.
fn with_tls(crates: &BTreeSet<String>) -> Vec<&String> {
    let is_it = |name: &str| WHOLE.contains(&name) || TLS.iter().any(|word| name.contains(word));
    crates.iter().filter(|name| is_it(name)).collect()
}

/// The programs in `network` by their packages' names, with what their manifests say that is linked into them besides.
fn programs() -> Vec<(String, BTreeSet<String>)> {
    let programs = packages().into_iter().filter(|package| is_program(package));
    let manifests = programs.map(|package| -> toml::Table {
        read(format!("{package}/Cargo.toml")).parse().expect("a manifest is TOML")
    });
    let parts = manifests.map(|manifest| {
        let package = &manifest["package"];
        let linked = package.get("metadata").and_then(|all| all.get("truechimer")?.get("linked")?.as_array());
        let linked = linked.into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_owned()));
        (package["name"].as_str().expect("a text").to_owned(), linked.collect())
    });
    parts.collect()
}

#[test]
fn each_process_of_a_plan_is_a_program_in_network_and_no_other_program_is_there() {
    let planned = Process::ALL.into_iter().map(Process::program);
    let planned = planned.filter(|program| !["truechimerd", "truechimer-engine"].contains(program));
    let found: BTreeSet<String> = programs().into_iter().map(|(name, _)| name).collect();
    assert_eq!(found, planned.map(str::to_owned).collect());
}

#[test]
fn tls_and_certificates_are_linked_only_into_programs_that_say_so_and_never_into_client_and_server() {
    let mut with = 0;
    for (program, others) in programs() {
        let found = linked(&program);
        let found = with_tls(&found);
        assert_eq!(found.is_empty(), !others.contains("tls"), "{program}: {found:?}");
        with += usize::from(!found.is_empty());
        let hears_packets =
            [Process::Client, Process::Server].map(Process::program).contains(&program.as_str());
        assert!(!hears_packets || found.is_empty(), "{program}: {found:?}");
    }
    assert!(with > 0, "the search finds nothing: it is broken");
}

#[test]
fn each_program_of_the_network_is_linked_with_what_it_names_and_the_key_holder_with_no_parser_of_packets() {
    for (program, others) in programs() {
        let all = linked(&program);
        let found: BTreeSet<&str> = all.iter().filter_map(|name| name.strip_prefix("truechimer-")).collect();
        let own = program.strip_prefix("truechimer-").expect("it is ours");
        let allowed = others.iter().map(String::as_str).chain(OURS.iter().copied()).chain([own]).collect();
        assert_eq!(found, allowed, "{program}");
        // A line in a manifest is not enough for these two: the process with the private key parses no packets, and the one
        // that hears replies has one thread and no TLS.
        let pinned = [(Process::KeyHolder, "tls"), (Process::Client, "protocol")];
        for (process, only) in pinned {
            let is_it = program == process.program();
            assert!(!is_it || others.iter().eq([only]), "{program}: {others:?}");
        }
    }
}

#[test]
fn little_of_others_is_linked_into_the_process_that_holds_the_clock() {
    let found = linked("truechimer-keeper");
    assert_eq!(found, LINKED_INTO_THE_KEEPER.iter().map(ToString::to_string).collect());
    for file in files("privileged/keeper/src", "rs") {
        assert!(
            !code(&file).contains("dyn Clock"),
            "{file}: the program with the kernel's clock has no other"
        );
    }
}

/// The crate names no std, and neither do the few that it is built on: what reads a clock or opens a file does not compile.
#[test]
fn the_pure_engine_is_built_on_nothing_that_could_read_a_clock_or_open_a_file() {
    let found = linked("truechimer-engine-core");
    assert_eq!(found, UNDER_THE_PURE_ENGINE.iter().map(ToString::to_string).collect());
    let library = code("engine/core/src/lib.rs");
    let with_std: Vec<_> = library.split("extern crate std;").collect();
    assert!(
        with_std.len() == 2 && with_std[0].trim_end().ends_with("#[cfg(test)]"),
        "std is for tests alone"
    );
    for path in files("engine/core/src", "rs").iter().filter(|path| *path != "engine/core/src/lib.rs") {
        assert!(!code(path).contains("extern crate"), "{path} must not take in a crate by itself");
    }
}

/// cargo-deny, which is not installed everywhere, says the same of crates that only some may depend on.
#[test]
fn those_that_deny_toml_lets_depend_on_a_crate_are_those_that_do() {
    let parse = |name| read(workspace().join(name)).parse::<toml::Table>().expect("cargo reads it");
    let (deny, lock) = (parse("deny.toml"), parse("Cargo.lock"));
    let list = |table: &toml::Value, key: &str| -> BTreeSet<String> {
        let words = table.get(key).and_then(toml::Value::as_array).into_iter().flatten();
        words.map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let text = |table: &toml::Value, key: &str| table[key].as_str().unwrap().to_owned();
    let packages = lock["package"].as_array().unwrap();
    let mut limited = 0;
    for rule in deny["bans"]["deny"].as_array().unwrap() {
        let name = text(rule, "crate");
        if let Some((name, version)) = name.split_once('@') {
            let is_there = |package: &&toml::Value| {
                text(package, "name") == name && text(package, "version").starts_with(&format!("{version}."))
            };
            assert!(!packages.iter().any(|package| is_there(&package)), "{name} {version}");
            continue;
        }
        // Where there are several versions, each has its own behind the name.
        let depends = |package: &&toml::Value| {
            list(package, "dependencies").iter().any(|other| other.split(' ').next() == Some(&*name))
        };
        let parents: BTreeSet<_> =
            packages.iter().filter(depends).map(|package| text(package, "name")).collect();
        assert_eq!(parents, list(rule, "wrappers"), "{name}");
        limited += usize::from(!parents.is_empty());
    }
    assert!(limited >= 2, "deny.toml has its rules elsewhere");
}
