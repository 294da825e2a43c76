//! Small programs of ours around libraries of others, whose sources are in tests/peers. They are built outside of this project's workspace,
//! so that nothing of those libraries is among what it is built from.

use crate::cargo::{cargo, run, target, workspace};
use std::path::Path;

/// ClockBound's clients.
pub const CLOCKBOUND_CLIENTS: Tool = Tool { name: "clockbound", program: "clockbound-clients", patch: None };

/// What judges reports of malfeasance by roughenough's library.
pub const ROUGHENOUGH_REPORT: Tool =
    Tool { name: "roughenough-report", program: "roughenough-report", patch: None };

/// ntpd-rs with the draft of NTP version 5 that is spoken here.
pub const NTPD_RS_NTPV5: Tool = Tool {
    name: "ntpd-rs-ntpv5",
    program: "ntp-daemon-ntpv5",
    patch: Some(Patch {
        package: "ntp-proto",
        version: "1.9.0",
        file: "src/packet/v5/mod.rs",
        from: "draft-ietf-ntp-ntpv5-08",
        to: "draft-ietf-ntp-ntpv5-09",
    }),
};

/// A library of the registry with one text changed; its sources are put into the folder `patched`.
struct Patch {
    package: &'static str,
    version: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

impl Patch {
    /// Makes the folder beside the manifest.
    fn make(&self, source: &Path) -> Result<(), String> {
        let said = |error: std::io::Error| format!("{}: {error}", source.display());
        let Self { package, version, .. } = self;
        let (seed, vendored) = (source.join("seed"), source.join("vendored"));
        std::fs::create_dir_all(seed.join("src")).map_err(said)?;
        let manifest = format!(
            "[package]\nname = \"seed\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{package} = \
             \"={version}\"\n"
        );
        std::fs::write(seed.join("Cargo.toml"), manifest).map_err(said)?;
        std::fs::write(seed.join("src/lib.rs"), "").map_err(said)?;
        let mut command = cargo();
        command.args(["vendor", "--quiet", "--manifest-path"]).arg(seed.join("Cargo.toml")).arg(&vendored);
        run(command.stdout(std::process::Stdio::null()))?;
        let patched = source.join("patched");
        let _ = std::fs::remove_dir_all(&patched);
        std::fs::rename(vendored.join(package), &patched).map_err(said)?;
        let _ = (std::fs::remove_dir_all(vendored), std::fs::remove_dir_all(seed));
        let file = patched.join(self.file);
        let text = std::fs::read_to_string(&file).map_err(said)?;
        if !text.contains(self.from) {
            return Err(format!("{}: it has no {}", file.display(), self.from));
        }
        std::fs::write(file, text.replace(self.from, self.to)).map_err(said)
    }
}

/// The files of a folder in tests/peers, and what they are called where cargo builds them.
const FILES: [(&str, &str); 2] = [("manifest.toml", "Cargo.toml"), ("main.rs", "main.rs")];

/// See the module's head.
pub struct Tool {
    /// Of its folder in tests/peers, and of that below `target/peers`.
    name: &'static str,
    program: &'static str,
    patch: Option<Patch>,
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
        if let Some(patch) = &self.patch {
            patch.make(&source)?;
        }
        run(&mut command)
    }
}
