//! Peers that are built from their crates or repositories.

use crate::cargo::{cargo, run, target};
use std::path::Path;

/// The daemon of ntpd-rs.
pub const NTPD_RS: Crate = Crate {
    name: "ntpd-rs",
    package: "ntpd",
    origin: Origin::Registry("1.9.0"),
    program: "ntp-daemon",
    features: &[],
    is_locked: true,
};

/// roughenough, a Roughtime server.
pub const ROUGHENOUGH: Crate = Crate {
    name: "roughenough",
    package: "roughenough-server",
    origin: Origin::Registry("2.2.0"),
    program: "roughenough_server",
    features: &[],
    is_locked: false,
};

/// ClockBound's daemon, built so that it sets no clock.
pub const CLOCKBOUND: Crate = Crate {
    name: "clockbound-daemon",
    package: "clock-bound",
    origin: Origin::Registry("3.0.0-rc.0"),
    program: "clockbound",
    features: &["daemon", "test-side-by-side"],
    is_locked: false,
};

/// A key exchange server that shares its clients out among time servers; it is in no registry.
pub const NTS_POOL: Crate = Crate {
    name: "nts-pool",
    package: "nts-pool-ke",
    origin: Origin::Repository(
        "https://github.com/pendulum-project/nts-pool",
        "a8ef82d83aa348fe24df870561f5268185a5682b",
    ),
    program: "nts-pool-ke",
    features: &[],
    is_locked: true,
};

/// Where a crate comes from.
enum Origin {
    /// Of this version, in its release profile.
    Registry(&'static str),
    /// A repository at this commit, in its profile for development: its other one takes many times as long.
    Repository(&'static str, &'static str),
}

/// A program of a crate.
pub struct Crate {
    /// Of the project, and of its folder.
    name: &'static str,
    package: &'static str,
    origin: Origin,
    program: &'static str,
    features: &'static [&'static str],
    /// With the dependencies of its own lock file.
    is_locked: bool,
}

impl Crate {
    /// Builds it under `place`, unless it is there.
    ///
    /// # Errors
    /// If the registry or the repository cannot be reached.
    pub fn fetch(&self, place: &Path) -> Result<(), String> {
        let root = place.join(self.name).join("usr");
        if root.join("bin").join(self.program).exists() {
            println!("{}: there already, {}", self.name, root.display());
            return Ok(());
        }
        let mut command = cargo();
        command.args(["install", "--quiet", self.package, "--bin", self.program]);
        match self.origin {
            Origin::Registry(version) => command.args(["--version", version]),
            Origin::Repository(url, commit) => command.args(["--debug", "--git", url, "--rev", commit]),
        };
        command.arg("--features").arg(self.features.join(","));
        if self.is_locked {
            command.arg("--locked");
        }
        command.arg("--root").arg(&root).arg("--target-dir").arg(target().join(self.name));
        run(&mut command)
    }
}
