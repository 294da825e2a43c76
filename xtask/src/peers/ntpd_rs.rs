//! ntpd-rs, built from its crate.

use crate::cargo::{cargo, run, target};
use std::path::Path;

const VERSION: &str = "1.9.0";

/// Builds its daemon under `place`, in its release profile.
///
/// # Errors
/// If the registry cannot be reached.
pub fn fetch(place: &Path) -> Result<(), String> {
    let root = place.join("ntpd-rs").join("usr");
    if root.join("bin/ntp-daemon").exists() {
        println!("ntpd-rs: there already, {}", root.display());
        return Ok(());
    }
    let mut command = cargo();
    command.args(["install", "--quiet", "ntpd", "--version", VERSION, "--locked", "--bin", "ntp-daemon"]);
    command.arg("--root").arg(&root).arg("--target-dir").arg(target().join("ntpd-rs"));
    run(&mut command)
}
