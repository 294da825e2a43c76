//! The chronyd of the Debian release after this one, with the libraries that it wants, run by its own loader:
//! nothing of this machine is replaced.

use super::unpack;
use crate::cargo::{read, run};
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
    fs::write(apt.join("parts/newer.sources"), sources()?).map_err(wrong)?;
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

/// Where this machine has its Debian from, for the newer release.
fn sources() -> Result<String, String> {
    let files =
        fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|file| file.path());
    let texts: Vec<String> = std::iter::once("/etc/apt/sources.list".into())
        .chain(files)
        .filter(|path| path.extension().is_some_and(|end| end == "list" || end == "sources"))
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    archive(&texts.concat()).map_or_else(
        || Err("no Debian archive in apt's sources".into()),
        |archive| {
            Ok(format!(
                "Types: deb\nURIs: {archive}\nSuites: {RELEASE}\nComponents: main\n\
                 Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
            ))
        },
    )
}

/// The first address of an archive whose path ends in `debian`, in either form of apt's sources.
fn archive(sources: &str) -> Option<&str> {
    let lines = sources.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines
        .flat_map(str::split_whitespace)
        .find(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
}

#[cfg(test)]
mod tests {
    use super::archive;

    #[test]
    fn the_archive_is_found_in_both_forms() {
        let old =
            "# deb http://a.example/debian x main\ndeb [arch=amd64] http://b.example/debian stable main\n";
        assert_eq!(archive(old), Some("http://b.example/debian"));
        let new = "Types: deb\nURIs: https://s.example/debian-security\nURIs: https://c.example/debian/\n";
        assert_eq!(archive(new), Some("https://c.example/debian/"));
        assert_eq!(archive("deb https://d.example/apt main"), None);
    }
}
