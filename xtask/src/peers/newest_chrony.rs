//! The chronyd of the Debian release after this one, with the libraries that it wants, run by its own loader:
//! nothing of this machine is replaced.

use super::unpack;
use crate::cargo::{read, run};
use crate::debian;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const RELEASE: &str = "trixie";
const PACKAGES: [&str; 17] = [
    "chrony",
    "libc6",
    "libcap2",
    "libedit2",
    "libgnutls30t64",
    "libnettle8t64",
    "libhogweed6t64",
    "libseccomp2",
    "libgmp10",
    "libidn2-0",
    "libunistring5",
    "libp11-kit0",
    "libtasn1-6",
    "libffi8",
    "libtinfo6",
    "libbsd0",
    "libmd0",
];
const PROGRAM: &str = "usr/lib/chronyd";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Unpacks it under `place`, with a script `usr/bin/chronyd-newest` that starts it.
///
/// # Errors
/// On another architecture, without a Debian archive in apt's sources, or without its network.
pub fn fetch(place: &Path) -> Result<(), String> {
    if !cfg!(target_arch = "x86_64") {
        return Err("only fetched on x86-64".into());
    }
    let root = place.join("chrony-newest");
    let script = root.join("usr/bin/chronyd-newest");
    if script.exists() {
        println!("chrony of {RELEASE}: there already, {}", root.display());
        return Ok(());
    }
    let apt = place.join("apt");
    let wrong = |error: std::io::Error| format!("{}: {error}", apt.display());
    for folder in ["parts", "state/lists/partial", "cache/archives/partial", "packages"] {
        fs::create_dir_all(apt.join(folder)).map_err(wrong)?;
    }
    let sources = format!(
        "Types: deb\nURIs: {}\nSuites: {RELEASE}\nComponents: main\n\
         Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
        debian::archive()?
    );
    fs::write(apt.join("parts/newer.sources"), sources).map_err(wrong)?;
    fs::write(apt.join("status"), "").map_err(wrong)?;
    let shown = apt.display();
    let configuration = format!(
        "Dir::Etc::SourceList \"/dev/null\";\nDir::Etc::SourceParts \"{shown}/parts\";\nDir::State \"{shown}/state\";\n\
         Dir::State::status \"{shown}/status\";\nDir::Cache \"{shown}/cache\";\n"
    );
    fs::write(apt.join("apt.conf"), configuration).map_err(wrong)?;
    let with = |program: &str, words: &[&str]| {
        let mut command = Command::new(program);
        command.args(words).env("APT_CONFIG", apt.join("apt.conf")).current_dir(apt.join("packages"));
        command
    };
    run(&mut with("apt-get", &["update", "--quiet"]))?;
    run(with("apt-get", &["download", "--quiet"]).args(PACKAGES))?;
    for entry in fs::read_dir(apt.join("packages")).map_err(wrong)?.flatten() {
        unpack(&entry.path(), &root)?;
    }
    let shown = root.display();
    let start = format!(
        "#!/bin/sh\nexec {shown}/{LIBRARIES}/ld-linux-x86-64.so.2 --library-path {shown}/{LIBRARIES} \
         {shown}/{PROGRAM} \"$@\"\n"
    );
    // Where nobody looks for a chronyd or chronyc that runs by itself.
    fs::rename(root.join("usr/sbin/chronyd"), root.join(PROGRAM)).map_err(wrong)?;
    fs::remove_file(root.join("usr/bin/chronyc")).map_err(wrong)?;
    fs::create_dir_all(root.join("usr/bin")).map_err(wrong)?;
    fs::write(&script, start).map_err(wrong)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).map_err(wrong)?;
    println!("{}", read(Command::new(&script).arg("-v"))?.trim());
    Ok(())
}
