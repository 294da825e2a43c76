//! roughenough, a Roughtime server, built from its crate.

use crate::cargo::{cargo, run, target};
use std::path::Path;

const VERSION: &str = "2.2.0";

/// Builds its server under `place`.
///
/// # Errors
/// If the registry cannot be reached.
pub fn fetch(place: &Path) -> Result<(), String> {
    let root = place.join("roughenough").join("usr");
    if root.join("bin/roughenough_server").exists() {
        println!("roughenough: there already, {}", root.display());
        return Ok(());
    }
    let mut command = cargo();
    command.args([
        "install",
        "--quiet",
        "roughenough-server",
        "--version",
        VERSION,
        "--bin",
        "roughenough_server",
    ]);
    command.arg("--root").arg(&root).arg("--target-dir").arg(target().join("roughenough"));
    run(&mut command)
}
