//! A Debian package from the release build, and its trial in disposable Debian systems.
//!
//! ```text
//!   package   contents; control file, checksums, change log
//!   trial     installed, removed, upgraded and purged in a root of each release, and checked by lintian
//! ```
//!
//! The same commit gives the same package: times are those of the commit.

#[cfg(test)]
mod recipes;
mod trial;

use crate::cargo::{self, build_release_of, read, run, target, workspace};
use crate::{completions, licences};
use rig::recipe::image::Packages;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the deb has beside what packaging/install.sh installs: its source under packaging/, and its place.
const OF_THE_DEB: (&str, &str) = ("deb/lintian-overrides", "usr/share/lintian/overrides/truechimer");
/// Shipped compressed, as policy requires.
const COMPRESSED: &[&str] = &[
    "usr/share/man/man8/truechimerd.8",
    "usr/share/man/man8/truechimer-metrics.8",
    "usr/share/man/man8/truechimer-chronyc-bridge.8",
    "usr/share/man/man8/truechimer-chrony-logs.8",
    "usr/share/man/man1/chimerctl.1",
    "usr/share/man/man5/truechimer.toml.5",
    "usr/share/doc/truechimer/THIRD-PARTY",
    "usr/share/doc/truechimer/changelog",
    "usr/share/doc/truechimer/changelog.Debian",
];
const SCRIPTS: &[&str] = &["preinst", "postinst", "prerm", "postrm"];

/// Builds `target/package/truechimer_VERSION_ARCH.deb` of this version of the tree.
///
/// # Errors
/// As [`build_as`].
pub fn build() -> Result<PathBuf, String> {
    build_as(&version())
}

/// Version of the tree, in its first revision as a package.
fn version() -> String {
    format!("{}-1", env!("CARGO_PKG_VERSION"))
}

/// The same programs in a package of another version, to try an upgrade and a downgrade.
///
/// # Errors
/// If something does not compile, or the tools of Debian are missing.
pub fn build_as(version: &str) -> Result<PathBuf, String> {
    if Command::new("dpkg-deb").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Err(
            "dpkg-deb is missing: apt-get install dpkg (any Debian has it), or install without a package: \
                    packaging/install.sh"
                .into(),
        );
    }
    let epoch = epoch()?;
    let programs = build_release_of(epoch)?;
    let root = target().join("package/root");
    let _ = fs::remove_dir_all(&root);
    fill(&root, &programs)?;
    let doc = root.join("usr/share/doc/truechimer");
    let date = read(Command::new("date").args(["--utc", "--rfc-email", &format!("--date=@{epoch}")]))?;
    let change = template("changelog")?.replace("@VERSION@", version).replace("@DATE@", date.trim());
    write(&doc.join("changelog.Debian"), &change)?;
    for file in COMPRESSED {
        run(Command::new("gzip").args(["-9", "-n"]).arg(root.join(file)))?;
    }

    let files = walk(&root)?;
    let architecture = architecture()?;
    let control = template("control")?
        .replace("@VERSION@", version)
        .replace("@ARCHITECTURE@", &architecture)
        .replace("@SIZE@", &installed_size(&files).to_string())
        .replace("@LIBRARIES@", &libraries(needed_libc(&programs)?));
    for script in SCRIPTS {
        put(&workspace().join("packaging/deb").join(script), &root.join("DEBIAN").join(script), 0o755)?;
    }
    put(&workspace().join("packaging/deb/conffiles"), &root.join("DEBIAN/conffiles"), 0o644)?;
    write(&root.join("DEBIAN/control"), &control)?;
    write(&root.join("DEBIAN/md5sums"), &checksums(&root, &files)?)?;

    let package = target().join(format!("package/truechimer_{version}_{architecture}.deb"));
    run(Command::new("dpkg-deb")
        // Debian 11 reads no other compression.
        .args(["--root-owner-group", "-Zxz", "--build"])
        .arg(&root)
        .arg(&package)
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
        .stdout(Stdio::null()))?;
    println!("{}", package.display());
    Ok(package)
}

/// Builds the package and tries it in the Debian releases that it is made for.
///
/// # Errors
/// If a check fails. Without root and a tool that makes roots nothing is tried, and a message says
/// so.
pub fn build_and_try() -> Result<(), String> {
    trial::run(&neighbours()?)
}

/// The package of this tree, and the same under a lower and a higher version. An upgrade does not depend on whether the
/// programs differ: the package manager compares versions.
///
/// # Errors
/// As [`build_as`].
pub fn neighbours() -> Result<Packages, String> {
    Ok(Packages {
        older: build_as(&format!("{}~older", version()))?,
        newer: build_as(&format!("{}+newer", version()))?,
        current: build()?,
    })
}

/// The time of the commit, in seconds since 1970; of a tree without git, the time of the last change of its change log.
pub fn epoch() -> Result<u64, String> {
    if let Some(epoch) = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok()) {
        return Ok(epoch);
    }
    let commit = Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(workspace()).output();
    let commit = commit.ok().and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse().ok());
    if let Some(epoch) = commit {
        return Ok(epoch);
    }
    let log = workspace().join("CHANGELOG.md");
    let changed = fs::metadata(&log).and_then(|data| data.modified());
    let changed = changed.map_err(|error| format!("{}: {error}", log.display()))?;
    let since = changed.duration_since(std::time::UNIX_EPOCH).map_err(|error| error.to_string())?;
    Ok(since.as_secs())
}

/// Puts everything into the root of the package but what the package manager reads.
fn fill(root: &Path, programs: &Path) -> Result<(), String> {
    let completions = target().join("package/completions");
    completions::fill(&completions)?;
    let packaging = workspace().join("packaging");
    let mut install = Command::new("/bin/sh");
    install.arg(packaging.join("install.sh")).arg(root).arg(programs).arg("systemd");
    for variable in ["BINDIR", "SBINDIR", "UNITDIR", "DOCDIR"] {
        install.env_remove(variable);
    }
    install.env("COMPLETIONS", &completions).env("ZSHDIR", "/usr/share/zsh/vendor-completions");
    run(&mut install)?;
    put(&packaging.join(OF_THE_DEB.0), &root.join(OF_THE_DEB.1), 0o644)?;
    let copyright = template("copyright")? + &licences::stanzas()?;
    write(&root.join("usr/share/doc/truechimer/copyright"), &copyright)
}

fn template(name: &str) -> Result<String, String> {
    let template = workspace().join("packaging/deb").join(name);
    fs::read_to_string(&template).map_err(|error| format!("{}: {error}", template.display()))
}

/// Makes a folder and its parents, with the mode that they have when installed, whatever the umask is.
fn folder(path: &Path) -> Result<(), String> {
    let explain = |error: std::io::Error| format!("{}: {error}", path.display());
    if path.is_dir() {
        return Ok(());
    }
    folder(path.parent().expect("the top is there"))?;
    fs::DirBuilder::new().mode(0o755).create(path).map_err(explain)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(explain)
}

fn put(from: &Path, to: &Path, mode: u32) -> Result<(), String> {
    let explain = |error: std::io::Error| format!("{} to {}: {error}", from.display(), to.display());
    folder(to.parent().expect("a file is in a folder"))?;
    fs::copy(from, to).map_err(explain)?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).map_err(explain)
}

fn write(to: &Path, text: &str) -> Result<(), String> {
    let explain = |error: std::io::Error| format!("{}: {error}", to.display());
    fs::write(to, text).map_err(explain)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o644)).map_err(explain)
}

/// Everything below a folder, in the order of names.
fn walk(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let explain = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(explain)? {
        let entry = entry.map_err(explain)?;
        found.push(entry.path());
        if entry.file_type().map_err(explain)?.is_dir() {
            found.extend(walk(&entry.path())?);
        }
    }
    found.sort();
    Ok(found)
}

/// In KiB, as dpkg counts: each file rounded up, one for anything else.
fn installed_size(files: &[PathBuf]) -> u64 {
    let kibibytes = |path: &PathBuf| match fs::symlink_metadata(path) {
        Ok(data) if data.is_file() => data.len().div_ceil(1024),
        _ => 1,
    };
    files.iter().map(kibibytes).sum()
}

fn checksums(root: &Path, files: &[PathBuf]) -> Result<String, String> {
    let conffiles = template("conffiles")?;
    let inside = |path: &PathBuf| path.strip_prefix(root).expect("it is below").to_owned();
    let summed = files
        .iter()
        .filter(|path| fs::symlink_metadata(path).is_ok_and(|data| data.is_file()))
        .map(inside)
        .filter(|path| !conffiles.lines().any(|line| Path::new(line) == Path::new("/").join(path)));
    read(Command::new("md5sum").args(summed).current_dir(root))
}

/// Debian's name of the architecture that is built for.
fn architecture() -> Result<String, String> {
    let named = cargo::triple().map(|triple| debian_architecture(&triple).map(str::to_owned));
    named.unwrap_or_else(|| Ok(read(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned()))
}

fn debian_architecture(triple: &str) -> Result<&'static str, String> {
    match triple.split('-').next() {
        Some("x86_64") => Ok("amd64"),
        Some("aarch64") => Ok("arm64"),
        _ => Err(format!("{triple}: a package is made for x86_64 and aarch64")),
    }
}

/// What the programs depend on, in front of the other dependencies: nothing, where they are linked to no library.
fn libraries(libc: Option<(u32, u32)>) -> String {
    libc.map(|(major, minor)| format!("libc6 (>= {major}.{minor}), libgcc-s1 (>= 4.2), ")).unwrap_or_default()
}

/// The newest glibc whose symbols the programs name; none if they name no library that has to be loaded, as those that are
/// built for musl.
fn needed_libc(programs: &Path) -> Result<Option<(u32, u32)>, String> {
    let mut newest = None;
    for (_, program) in cargo::programs() {
        let octets = fs::read(programs.join(program)).map_err(|error| format!("{program}: {error}"))?;
        for found in octets.split(|octet| *octet == 0).filter_map(|word| word.strip_prefix(b"GLIBC_2.")) {
            if let Some(minor) =
                std::str::from_utf8(found).ok().and_then(|text| text.split('.').next()?.parse().ok())
            {
                newest = newest.max(Some((2, minor)));
            }
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_depends_on_the_c_library_that_its_programs_are_linked_to_or_on_none() {
        let place = bench::programs::Place::new("libraries");
        for (_, program) in cargo::programs() {
            fs::write(place.join(program), b"a\0musl\0").unwrap();
        }
        assert_eq!(libraries(needed_libc(place.path()).unwrap()), "");
        fs::write(place.join("truechimerd"), b"a\0GLIBC_2.9\0GLIBC_2.34\0GLIBC_2.2.5\0").unwrap();
        assert_eq!(libraries(needed_libc(place.path()).unwrap()), "libc6 (>= 2.34), libgcc-s1 (>= 4.2), ");
    }

    #[test]
    fn a_package_names_the_architecture_of_its_programs_in_debians_way() {
        assert_eq!(debian_architecture("x86_64-unknown-linux-musl"), Ok("amd64"));
        assert_eq!(debian_architecture("aarch64-unknown-linux-gnu"), Ok("arm64"));
        assert!(debian_architecture("s390x-unknown-linux-gnu").is_err());
    }
}
