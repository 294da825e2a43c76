//! Peers that are built from their crates, in their release profile.

use crate::cargo::{cargo, run, target};
use std::path::Path;

/// The daemon of ntpd-rs.
pub const NTPD_RS: Crate = Crate {
    name: "ntpd-rs",
    package: "ntpd",
    version: "1.9.0",
    program: "ntp-daemon",
    features: &[],
    is_locked: true,
};

/// roughenough, a Roughtime server.
pub const ROUGHENOUGH: Crate = Crate {
    name: "roughenough",
    package: "roughenough-server",
    version: "2.2.0",
    program: "roughenough_server",
    features: &[],
    is_locked: false,
};

/// ClockBound's daemon, built so that it sets no clock.
pub const CLOCKBOUND: Crate = Crate {
    name: "clockbound-daemon",
    package: "clock-bound",
    version: "3.0.0-rc.0",
    program: "clockbound",
    features: &["daemon", "test-side-by-side"],
    is_locked: false,
};

/// A program of a crate.
pub struct Crate {
    /// Of the project, and of its folder.
    name: &'static str,
    package: &'static str,
    version: &'static str,
    program: &'static str,
    features: &'static [&'static str],
    /// With the dependencies of its own lock file.
    is_locked: bool,
}

impl Crate {
    /// Builds it under `place`, unless it is there.
    ///
    /// # Errors
    /// If the registry cannot be reached.
    pub fn fetch(&self, place: &Path) -> Result<(), String> {
        let root = place.join(self.name).join("usr");
        if root.join("bin").join(self.program).exists() {
            println!("{}: there already, {}", self.name, root.display());
            return Ok(());
        }
        let mut command = cargo();
        command.args(["install", "--quiet", self.package, "--version", self.version, "--bin", self.program]);
        command.arg("--features").arg(self.features.join(","));
        if self.is_locked {
            command.arg("--locked");
        }
        command.arg("--root").arg(&root).arg("--target-dir").arg(target().join(self.name));
        run(&mut command)
    }
}
