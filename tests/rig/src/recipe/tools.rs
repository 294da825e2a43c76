//! What this machine needs before it can make guests, from Debian's packages.

use crate::architecture::Architecture;
use crate::command;
use std::path::Path;
use std::process::Command;

/// Program, and the package that brings it. None of them has a service.
const TOOLS: [(&str, &str); 3] = [("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs"), ("ip", "iproute2")];

/// For guests of another architecture: programs of theirs are run while their root is made.
const FOREIGN: [(&str, &str); 2] = [("arch-test", "arch-test"), ("qemu-aarch64-static", "qemu-user-static")];

/// For a kernel of our own.
const COMPILER: [(&str, &str); 5] =
    [("flex", "flex"), ("bison", "bison"), ("bc", "bc"), ("xz", "xz-utils"), ("make", "make")];

/// Why guests cannot run on this machine at all; empty: they can.
pub fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if !bench::is_root() {
        missing.push("root: guests have taps and network namespaces".to_owned());
    }
    if !cfg!(target_arch = "x86_64") {
        missing.push("an x86-64 host: user-mode Linux runs on nothing else".to_owned());
    }
    if !Path::new("/dev/net/tun").exists() {
        missing.push("/dev/net/tun".to_owned());
    }
    if Command::new("apt-get").arg("--version").output().is_err() {
        missing.push("apt-get: guests are made of Debian's packages".to_owned());
    }
    missing
}

/// Installs what is missing.
///
/// # Errors
/// apt's.
pub fn install(architecture: Architecture) -> Result<(), String> {
    install_missing(&TOOLS)?;
    if architecture == Architecture::Amd64 { Ok(()) } else { install_missing(&FOREIGN) }
}

/// Installs what a kernel is built with.
///
/// # Errors
/// apt's.
pub fn install_compiler() -> Result<(), String> {
    install_missing(&COMPILER)?;
    if Path::new("/usr/include/gelf.h").exists() {
        return Ok(());
    }
    apt_install(&["libelf-dev"])
}

/// Installs the emulator of whole machines, where it is missing.
///
/// # Errors
/// apt's.
pub fn install_emulator(architecture: Architecture) -> Result<(), String> {
    install(architecture)?;
    install_missing(&[
        match architecture {
            Architecture::Amd64 => ("qemu-system-x86_64", "qemu-system-x86"),
            Architecture::Arm64 => ("qemu-system-aarch64", "qemu-system-arm"),
        },
        ("qemu-img", "qemu-utils"),
        ("cpio", "cpio"),
        ("depmod", "kmod"),
    ])
}

fn install_missing(tools: &[(&str, &str)]) -> Result<(), String> {
    let is_there = |program: &str| {
        ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
            .iter()
            .any(|folder| Path::new(folder).join(program).exists())
    };
    let packages: Vec<&str> =
        tools.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if packages.is_empty() { Ok(()) } else { apt_install(&packages) }
}

fn apt_install(packages: &[&str]) -> Result<(), String> {
    let install = || {
        let mut command = Command::new("apt-get");
        command.args(["install", "--yes", "--no-install-recommends"]).args(packages);
        command::run(command.env("DEBIAN_FRONTEND", "noninteractive"))
    };
    // The lists of a fresh machine are empty or old.
    if install().is_err() {
        command::words(&["apt-get", "update", "--quiet"])?;
        install()?;
    }
    Ok(())
}
