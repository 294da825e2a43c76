//! Small programs of ours around libraries of others, whose sources are in tests/peers. They are built outside of this project's workspace,
//! so that nothing of those libraries is among what it is built from.

use crate::cargo::{cargo, run, target, workspace};
use std::path::Path;

/// ClockBound's clients.
pub const CLOCKBOUND_CLIENTS: Tool = Tool { name: "clockbound", program: "clockbound-clients" };

/// What judges reports of malfeasance by roughenough's library.
pub const ROUGHENOUGH_REPORT: Tool = Tool { name: "roughenough-report", program: "roughenough-report" };

/// The files of a folder in tests/peers, and what they are called where cargo builds them.
const FILES: [(&str, &str); 2] = [("manifest.toml", "Cargo.toml"), ("main.rs", "main.rs")];

/// See the module's head.
pub struct Tool {
    /// Of its folder in tests/peers, and of that below `target/peers`.
    name: &'static str,
    program: &'static str,
}

impl Tool {
    /// Builds it under `place`, unless it is there, made of what is in tests/peers now.
    ///
    /// # Errors
    /// If the registry cannot be reached.
    pub fn fetch(&self, place: &Path) -> Result<(), String> {
        let root = place.join(self.name).join("usr");
        let source = place.join(self.name).join("source");
        let ours = workspace().join("tests/peers").join(self.name);
        let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        let is_current = FILES.iter().all(|(name, copy)| {
            let copied = read(&source.join(copy));
            copied.is_ok() && copied.ok() == read(&ours.join(name)).ok()
        });
        if is_current && root.join("bin").join(self.program).exists() {
            println!("{}: there already, {}", self.program, root.display());
            return Ok(());
        }
        std::fs::create_dir_all(&source).map_err(|error| format!("{}: {error}", source.display()))?;
        let mut command = cargo();
        command.args(["install", "--quiet", "--debug", "--force", "--path"]).arg(&source);
        command.arg("--root").arg(&root).arg("--target-dir").arg(target().join(self.name));
        // The copies come first: a build that fails leaves no program of another source behind.
        let _ = std::fs::remove_file(root.join("bin").join(self.program));
        for (name, copy) in FILES {
            let copied = std::fs::copy(ours.join(name), source.join(copy));
            copied.map_err(|error| format!("{}: {error}", source.display()))?;
        }
        run(&mut command)
    }
}
