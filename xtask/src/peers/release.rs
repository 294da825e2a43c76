//! Programs of another Debian release than this machine's, with the libraries that they need, run by the loader of
//! that release: nothing of this machine is replaced.

use super::unpack;
use crate::cargo::{read, run};
use rig::debian;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release with the newest programs.
pub const NEWEST: &str = "sid";

/// A program of a package, as tests and benchmarks find it.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The package.
    pub package: &'static str,
    /// Its path in the package.
    pub path: &'static str,
    /// Its name here.
    pub name: &'static str,
}

/// The folder of the libraries, and of the loader.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// A program that needs more packages than these is not fetched.
const MOST_PACKAGES: usize = 64;

/// apt with the lists of another release, in separate folders.
pub struct Release {
    name: &'static str,
    apt: PathBuf,
}

impl Release {
    /// Fetches the lists of the release, below `place`.
    ///
    /// # Errors
    /// On another architecture, without a Debian archive in apt's sources, or without its network.
    pub fn open(name: &'static str, place: &Path) -> Result<Self, String> {
        if !cfg!(target_arch = "x86_64") {
            return Err("only fetched on x86-64".into());
        }
        let apt = place.join("apt").join(name);
        let wrong = |error: std::io::Error| format!("{}: {error}", apt.display());
        for folder in ["parts", "state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(apt.join(folder)).map_err(wrong)?;
        }
        let sources = format!(
            "Types: deb\nURIs: {}\nSuites: {name}\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
            debian::archive()?
        );
        fs::write(apt.join("parts/release.sources"), sources).map_err(wrong)?;
        fs::write(apt.join("status"), "").map_err(wrong)?;
        let shown = apt.display();
        let configuration = format!(
            "Dir::Etc::SourceList \"/dev/null\";\nDir::Etc::SourceParts \"{shown}/parts\";\n\
             Dir::State \"{shown}/state\";\nDir::State::status \"{shown}/status\";\nDir::Cache \"{shown}/cache\";\n"
        );
        fs::write(apt.join("apt.conf"), configuration).map_err(wrong)?;
        let release = Self { name, apt };
        run(release.with("apt-get").args(["update", "--quiet"]))?;
        Ok(release)
    }

    fn with(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.apt.join("apt.conf"));
        command
    }

    /// The package and all libraries that it needs, directly or indirectly.
    fn closure(&self, package: &str) -> Result<BTreeSet<String>, String> {
        let mut found = BTreeSet::from([package.to_owned()]);
        let mut waiting = vec![package.to_owned()];
        while let Some(package) = waiting.pop() {
            let said = read(self.with("apt-cache").args(["depends", "--important", &package]))?;
            for library in libraries(&said) {
                if found.insert(library.to_owned()) {
                    waiting.push(library.to_owned());
                }
            }
            if found.len() > MOST_PACKAGES {
                return Err(format!("more than {MOST_PACKAGES} packages are wanted for {package}"));
            }
        }
        Ok(found)
    }

    /// Unpacks a program with its libraries under `place`, with a script that starts it.
    fn unpack(&self, program: Program, place: &Path) -> Result<(), String> {
        let root = place.join(format!("{}-newest", program.package));
        let wrong = |error: std::io::Error| format!("{}: {error}", root.display());
        let _ = fs::remove_dir_all(&root);
        let packages = root.join("packages");
        fs::create_dir_all(&packages).map_err(wrong)?;
        let mut download = self.with("apt-get");
        download.args(["download", "--quiet"]).args(self.closure(program.package)?);
        run(download.current_dir(&packages))?;
        let mut version = String::new();
        for entry in fs::read_dir(&packages).map_err(wrong)?.flatten() {
            unpack(&entry.path(), &root)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(rest) = name.strip_prefix(&format!("{}_", program.package)) {
                version = rest.split('_').next().unwrap_or_default().replace("%3a", ":");
            }
        }
        fs::remove_dir_all(&packages).map_err(wrong)?;
        // In a folder that is not searched for standalone programs.
        let moved = root.join("usr/lib").join(program.name);
        fs::rename(root.join(program.path), &moved).map_err(wrong)?;
        for folder in ["usr/sbin", "usr/bin"] {
            let _ = fs::remove_dir_all(root.join(folder));
        }
        let (shown, moved) = (root.display(), moved.display());
        let libraries = format!("{shown}/{LIBRARIES}");
        // A daemon that executes itself again, by its first argument, starts this script again.
        let start = format!(
            "#!/bin/sh\nexec {libraries}/ld-linux-x86-64.so.2 --library-path {libraries} --argv0 \"$0\" {moved} \
             \"$@\"\n"
        );
        let script = root.join("usr/bin").join(program.name);
        fs::create_dir_all(root.join("usr/bin")).map_err(wrong)?;
        fs::write(&script, start).map_err(wrong)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).map_err(wrong)?;
        fs::write(stamp(place, program), format!("{} of {}\n", version, self.name)).map_err(wrong)
    }
}

/// The file that exists once everything else does.
fn stamp(place: &Path, program: Program) -> PathBuf {
    place.join(format!("{}-newest", program.package)).join("version")
}

/// Unpacks those of these programs that are missing, and prints the version of each.
///
/// # Errors
/// Those of [`Release::open`], and what could not be fetched of the programs.
pub fn fetch(name: &'static str, programs: &[Program], place: &Path) -> Result<(), String> {
    let version = |program: Program| {
        let text = fs::read_to_string(stamp(place, program)).ok()?;
        text.trim_end().ends_with(&format!(" of {name}")).then(|| text.trim_end().to_owned())
    };
    let mut release = None;
    let mut missing = Vec::new();
    for program in programs {
        let mut get = || {
            if version(*program).is_none() {
                let release = match &mut release {
                    Some(release) => release,
                    none => none.insert(Release::open(name, place)?),
                };
                release.unpack(*program, place)?;
            }
            Ok::<_, String>(version(*program).unwrap_or_default())
        };
        match get() {
            Ok(version) => println!("{}: {} {version}", program.name, program.package),
            Err(why) => missing.push(format!("{}: {why}", program.package)),
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\n")) }
}

/// The libraries among the dependencies that `apt-cache depends` prints for a package; of alternatives the first.
fn libraries(said: &str) -> impl Iterator<Item = &str> {
    let wanted = said.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("Depends: ").or_else(|| line.strip_prefix("PreDepends: "))
    });
    wanted.filter(|package| package.starts_with("lib"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_a_package_wants_the_libraries_are_taken() {
        let said = "chrony\n |Depends: systemd\n  Depends: <systemd-sysusers>\n    systemd\n  Depends: libc6\n  PreDepends: \
                    libcap2\n  Conflicts: libold\n";
        assert_eq!(libraries(said).collect::<Vec<_>>(), ["libc6", "libcap2"]);
    }
}
