//! Other implementations for the tests. They are unpacked, never installed: installed, they would be services
//! that compete for the clock, and Debian permits only one of them. Missing libraries are installed, as root.

mod registry;
mod release;
mod samba;
mod tool;

use crate::cargo::{read, run};
use bench::programs::peers;
use registry::{CLOCKBOUND, NTPD_RS, NTS_POOL, ROUGHENOUGH};
use release::{NEWEST, Program};
use rig::days::root::NEWEST_CHRONYD;
use rig::debian;
use std::path::Path;
use std::process::Command;
use tool::{CLOCKBOUND_CLIENTS, NTPD_RS_NTPV5, ROUGHENOUGH_REPORT};

/// Of prometheus: promtool, which judges pages and rules, and itself for the picture of the dashboard; of busybox its DHCP server;
/// OpenRC with its libraries.
const PACKAGES: [&str; 11] = [
    "chrony",
    "ntpsec",
    "ntpsec-ntpdig",
    "python3-ntp",
    "openntpd",
    "prometheus",
    "busybox",
    "isc-dhcp-client",
    "openrc",
    "libeinfo1",
    "librc1",
];
/// The libraries that the programs need, beyond those of every Debian system.
const LIBRARIES: [&str; 8] =
    ["libcap2", "libedit2", "libgnutls30", "libnettle8", "libseccomp2", "libbsd0", "libssl3", "iproute2"];

/// Next to those of this machine's release, under separate names.
const NEWEST_PROGRAMS: [Program; 4] = [
    Program { package: "chrony", path: "usr/sbin/chronyd", name: NEWEST_CHRONYD },
    Program { package: "ntpsec", path: "usr/sbin/ntpd", name: "ntpd-newest" },
    Program { package: "openntpd", path: "usr/sbin/ntpd", name: "openntpd-newest" },
    Program { package: "ntpd-rs", path: "usr/bin/ntp-daemon", name: "ntp-daemon" },
];

/// Fetches them under `target/peers`.
///
/// # Errors
/// Without apt or its network; the tests then skip what needs peers.
pub fn fetch() -> Result<(), String> {
    if Command::new("apt-get").arg("--version").output().is_err() {
        return Err(
            "no apt-get here: install chronyd and ntpd (NTPsec) by hand and stop their services; the \
                    tests use the first ones in PATH or /usr/sbin"
                .into(),
        );
    }
    let place = peers();
    std::fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    for package in PACKAGES {
        let unpacked = place.join(package);
        if unpacked.join("usr").exists() {
            println!("{package}: there already, {}", unpacked.display());
            continue;
        }
        let archive = debian::download(package, &place)?;
        unpack(&archive, &unpacked)?;
        settle(package, &unpacked).map_err(|error| format!("{}: {error}", unpacked.display()))?;
        println!("{package}: unpacked in {}", unpacked.display());
    }
    if missing_libraries()? {
        if !bench::is_root() {
            return Err(format!("libraries are missing; as root: apt-get install {}", LIBRARIES.join(" ")));
        }
        run(Command::new("apt-get")
            .args(["install", "--yes", "--no-install-recommends"])
            .args(LIBRARIES)
            .env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    Ok(())
}

/// Puts files where they are found although the package is not installed.
fn settle(package: &str, unpacked: &Path) -> std::io::Result<()> {
    match package {
        // Its other name, which distinguishes it from NTPsec's.
        "openntpd" => std::fs::rename(unpacked.join("usr/sbin/ntpd"), unpacked.join("usr/sbin/openntpd")),
        // Before Debian 13 they are not below usr.
        "busybox" | "isc-dhcp-client" | "openrc" => {
            for folder in ["bin", "sbin"] {
                for program in std::fs::read_dir(unpacked.join(folder)).into_iter().flatten().flatten() {
                    std::fs::create_dir_all(unpacked.join("usr").join(folder))?;
                    std::fs::copy(
                        program.path(),
                        unpacked.join("usr").join(folder).join(program.file_name()),
                    )?;
                }
            }
            Ok(())
        }
        // Its modules look for their library next to themselves.
        "python3-ntp" => {
            let modules = unpacked.join("usr/lib/python3/dist-packages/ntp");
            for folder in std::fs::read_dir(unpacked.join("usr/lib"))?.flatten() {
                let library = folder.path().join("ntp/libntpc.so");
                if library.exists() {
                    std::fs::copy(library, modules.join("libntpc.so"))?;
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// ClockBound's daemon, which only `bench bounds` needs, unless it is there already.
///
/// # Errors
/// If the registry cannot be reached.
pub fn fetch_clockbound() -> Result<(), String> {
    let place = peers();
    std::fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    CLOCKBOUND.fetch(&place)
}

/// Fetches what only some tests and benchmarks need: the newest version of each in Debian, ntpd-rs with its pool's key exchange server,
/// ClockBound's clients, Samba, and roughenough with its clients. What exists already is not fetched again: remove `target/peers/*-newest` for newer versions.
///
/// # Errors
/// What could not be fetched, after everything else was tried.
pub fn fetch_more() -> Result<(), String> {
    let place = peers();
    std::fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    let newest = release::fetch(NEWEST, &NEWEST_PROGRAMS, &place);
    // On machines for which Debian's is not fetched.
    let built =
        if bench::programs::find_peer("ntp-daemon").is_some() { Ok(()) } else { NTPD_RS.fetch(&place) };
    let missing: Vec<String> = [
        ("the newest", newest),
        ("ntpd-rs", built),
        ("ntpd-rs with the draft of NTP version 5", NTPD_RS_NTPV5.fetch(&place)),
        ("ClockBound's clients", CLOCKBOUND_CLIENTS.fetch(&place)),
        ("Samba", samba::fetch(&place)),
        ("roughenough", ROUGHENOUGH.fetch(&place)),
        ("roughenough's client library", ROUGHENOUGH_REPORT.fetch(&place)),
        ("the key exchange server of an NTS pool", NTS_POOL.fetch(&place)),
    ]
    .into_iter()
    .filter_map(|(what, outcome)| Some(format!("{what} cannot be had: {}", outcome.err()?)))
    .collect();
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\n")) }
}

fn unpack(package: &Path, into: &Path) -> Result<(), String> {
    run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(into))
}

fn missing_libraries() -> Result<bool, String> {
    for (package, program) in [("chrony", "chronyd"), ("ntpsec", "ntpd"), ("openntpd", "openntpd")] {
        let file = peers().join(package).join("usr/sbin").join(program);
        if read(Command::new("ldd").arg(file))?.contains("not found") {
            return Ok(true);
        }
    }
    Ok(false)
}
