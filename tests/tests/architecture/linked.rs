//! What is linked into each program, by the manifests and not by what a linker leaves out.

use bench::programs::workspace;
use bench::tree::{code, files};
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
    "aead",
    "aes",
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
    "dbl",
    "digest",
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
    "sha2",
    "typenum",
    "universal-hash",
    "unty",
    "zerocopy",
    "zeroize",
];

/// Packages of ours in each program that hears the network or holds the private key, without its own.
const OURS: &[(Process, &[&str])] = &[
    (Process::Client, &["filters", "ipc", "ipc-clock", "ipc-link", "network", "policies", "protocol"]),
    (
        Process::Server,
        &["filters", "ipc", "ipc-clock", "ipc-link", "network", "policies", "protocol", "threads"],
    ),
    (
        Process::Exchange,
        &["filters", "ipc", "ipc-clock", "ipc-link", "network", "policies", "protocol", "tls"],
    ),
    (
        Process::KeyService,
        &["filters", "ipc", "ipc-clock", "ipc-link", "network", "policies", "protocol", "threads", "tls"],
    ),
    // Whoever has the private key parses no packets.
    (Process::KeyHolder, &["filters", "ipc", "ipc-clock", "ipc-link", "network", "policies", "tls"]),
];

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

#[test]
fn client_and_server_are_linked_without_tls_and_without_certificates() {
    for process in [Process::Client, Process::Server] {
        assert_eq!(with_tls(&linked(process.program())), Vec::<&String>::new(), "{}", process.program());
    }
    for process in [Process::Exchange, Process::KeyService, Process::KeyHolder] {
        assert!(!with_tls(&linked(process.program())).is_empty(), "the search finds nothing: it is broken");
    }
}

#[test]
fn each_program_of_the_network_is_linked_with_what_its_role_needs_and_the_key_holder_with_no_parser_of_packets()
 {
    let programs: BTreeSet<&str> = OURS.iter().map(|(process, _)| process.program()).collect();
    let roles = Process::ALL.into_iter().filter(|process| process.role().is_some());
    assert_eq!(programs, roles.map(Process::program).collect());
    for (process, others) in OURS {
        let own = |name: &&str| name.starts_with("truechimer-");
        let all = linked(process.program());
        let found: BTreeSet<&str> = all.iter().map(String::as_str).filter(own).collect();
        let others: Vec<String> = others.iter().map(|name| format!("truechimer-{name}")).collect();
        let allowed = others.iter().map(String::as_str).chain([process.program()]).collect();
        assert_eq!(found, allowed, "{}", process.program());
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
