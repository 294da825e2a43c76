//! ClockBound's clients, built from their crates.

use crate::cargo::{cargo, run, target, workspace};
use std::path::Path;

/// Builds them under `place`.
///
/// # Errors
/// If the registry cannot be reached.
pub fn fetch(place: &Path) -> Result<(), String> {
    let root = place.join("clockbound").join("usr");
    if root.join("bin/clockbound-clients").exists() {
        println!("ClockBound's clients: there already, {}", root.display());
        return Ok(());
    }
    let source = place.join("clockbound").join("source");
    let written = || -> std::io::Result<()> {
        std::fs::create_dir_all(&source)?;
        let ours = workspace().join("tests/peers/clockbound");
        std::fs::copy(ours.join("manifest.toml"), source.join("Cargo.toml"))?;
        std::fs::copy(ours.join("main.rs"), source.join("main.rs")).map(drop)
    };
    written().map_err(|error| format!("{}: {error}", source.display()))?;
    let mut command = cargo();
    command.args(["install", "--quiet", "--debug", "--path"]).arg(&source);
    command.arg("--root").arg(&root).arg("--target-dir").arg(target().join("clockbound"));
    run(&mut command)
}
