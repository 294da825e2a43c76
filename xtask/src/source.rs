//! The source as it is released, with everything that it is built from, and the proof that it gives the same package anywhere.
//!
//! ```text
//!   tarball     target/package/truechimer-VERSION.tar.xz: the commit and its crates, to be built without a network
//!   reproduce   the package built twice, in two folders and at two times, once from the registry's crates and once
//!               from the tarball without a network: one hash
//! ```

use crate::cargo::{self, read, run, target, workspace};
use crate::package;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How the tarball says where its crates are.
const VENDORED: &str = "[source.crates-io]\nreplace-with = \"vendored-sources\"\n\n[source.vendored-sources]\ndirectory = \"vendor\"\n";

/// Its name without the end, and the folder in it.
pub fn name() -> String {
    format!("truechimer-{}", env!("CARGO_PKG_VERSION"))
}

/// Makes the tarball of the last commit, and says where it is.
///
/// # Errors
/// If git, cargo or tar fail.
pub fn tarball() -> Result<PathBuf, String> {
    let epoch = package::epoch()?;
    let place = target().join("package/source");
    let top = place.join(name());
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&top).map_err(|error| format!("{}: {error}", top.display()))?;
    let archive = place.join("commit.tar");
    run(Command::new("git")
        .current_dir(workspace())
        .args(["archive", "--format=tar", "-o"])
        .arg(&archive)
        .arg("HEAD"))?;
    run(Command::new("tar").args(["-xf"]).arg(&archive).arg("-C").arg(&top))?;
    // The versions in the names, as the registry's folders have them: their paths are in the programs.
    read(cargo::cargo().current_dir(&top).args([
        "vendor",
        "--quiet",
        "--locked",
        "--versioned-dirs",
        "vendor",
    ]))?;
    let config = top.join(".cargo/config.toml");
    let known = fs::read_to_string(&config).unwrap_or_default();
    fs::write(&config, format!("{known}\n{VENDORED}"))
        .map_err(|error| format!("{}: {error}", config.display()))?;
    let made = target().join(format!("package/{}.tar.xz", name()));
    run(Command::new("tar")
        .args([
            "--sort=name",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--format=gnu",
            "--mode=go-w,a+rX",
        ])
        .arg(format!("--mtime=@{epoch}"))
        .args(["-I", "xz -T1 -6", "-cf"])
        .arg(&made)
        .arg("-C")
        .arg(&place)
        .arg(name()))?;
    fs::remove_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    println!("{}", made.display());
    Ok(made)
}

/// Builds the package twice and compares.
///
/// # Errors
/// If one cannot be built, or they differ; then both stay where they are.
pub fn reproduce() -> Result<(), String> {
    let tarball = tarball()?;
    let place = target().join("reproduce");
    let _ = fs::remove_dir_all(&place);
    let (clone, unpacked) = (place.join("first"), place.join("another/folder/with a longer name"));
    fs::create_dir_all(&unpacked).map_err(|error| format!("{}: {error}", unpacked.display()))?;
    run(Command::new("git").args(["clone", "--quiet"]).arg(workspace()).arg(&clone))?;
    run(Command::new("tar").arg("-xf").arg(&tarball).arg("-C").arg(&unpacked))?;
    let first = built(&clone, None)?;
    // Without what this machine has fetched.
    let home = place.join("home");
    fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
    let second = built(&unpacked.join(name()), Some(&home))?;
    let sums = read(Command::new("sha256sum").arg(&first).arg(&second))?;
    print!("{sums}");
    let mut hashes = sums.lines().filter_map(|line| line.split(' ').next());
    if hashes.next() != hashes.next() {
        return Err(format!(
            "the two packages differ; compare them: diffoscope {} {}",
            first.display(),
            second.display()
        ));
    }
    println!(
        "one hash: from the registry's crates in one folder, and from the tarball without a network in another"
    );
    fs::remove_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))
}

/// The package that this folder gives; with a home for cargo, without a network.
fn built(folder: &Path, offline: Option<&Path>) -> Result<PathBuf, String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder).args(["xtask", "package"]);
    // What belongs to the cargo that runs us.
    for (variable, _) in std::env::vars_os() {
        let is_cargos =
            variable.to_str().is_some_and(|name| name.starts_with("CARGO_") || name == "RUSTFLAGS");
        if is_cargos && variable != "CARGO_HOME" && variable != "CARGO_BUILD_JOBS" {
            command.env_remove(variable);
        }
    }
    if let Some(home) = offline {
        command.env("CARGO_HOME", home).env("CARGO_NET_OFFLINE", "true");
    }
    let said = read(&mut command)?;
    let last = said.lines().last().unwrap_or_default();
    Ok(PathBuf::from(last))
}
