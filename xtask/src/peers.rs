//! chronyd and ntpd for the tests. They are unpacked, never installed: installed they would be services
//! that fight over the clock, and Debian lets only one of them be there.

use crate::cargo::{read, run, workspace};
use std::process::Command;

const PACKAGES: [&str; 2] = ["chrony", "ntpsec"];
/// What the two programs are linked with, beyond what every Debian has.
const LIBRARIES: [&str; 8] =
    ["libcap2", "libedit2", "libgnutls30", "libnettle8", "libseccomp2", "libbsd0", "libssl3", "iproute2"];

/// Fetches both under `target/peers`.
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
    let place = workspace().join("target/peers");
    std::fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    for package in PACKAGES {
        let unpacked = place.join(package);
        if unpacked.join("usr/sbin").exists() {
            println!("{package}: there already, {}", unpacked.display());
            continue;
        }
        let download =
            || run(Command::new("apt-get").args(["download", "--quiet", package]).current_dir(&place));
        // The lists of a fresh machine are empty or old.
        if download().is_err() {
            run(Command::new("apt-get").args(["update", "--quiet"]))?;
            download()?;
        }
        let archive = std::fs::read_dir(&place)
            .map_err(|error| format!("{}: {error}", place.display()))?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                name.starts_with(&format!("{package}_")) && name.ends_with(".deb")
            })
            .ok_or_else(|| format!("apt-get brought no {package}_*.deb"))?;
        run(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&unpacked))?;
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

fn missing_libraries() -> Result<bool, String> {
    for (package, program) in [("chrony", "chronyd"), ("ntpsec", "ntpd")] {
        let file = workspace().join("target/peers").join(package).join("usr/sbin").join(program);
        if read(Command::new("ldd").arg(file))?.contains("not found") {
            return Ok(true);
        }
    }
    Ok(false)
}
