//! A Debian package from the release build, and a try of it in a fresh Debian that nobody minds.

use crate::cargo::{PROGRAMS, build_release, read, run, target, workspace};
use bench::forger::Forger;
use bench::programs::wait_for;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// From the source tree (under packaging/) to the installed system, with the mode.
const FILES: &[(&str, &str)] = &[
    ("systemd/truechimer.service", "usr/lib/systemd/system/truechimer.service"),
    ("systemd/truechimer-wait.service", "usr/lib/systemd/system/truechimer-wait.service"),
    ("ntp-units.d/50-truechimer.list", "usr/lib/systemd/ntp-units.d/50-truechimer.list"),
    ("sysusers.d/truechimer.conf", "usr/lib/sysusers.d/truechimer.conf"),
    ("tmpfiles.d/truechimer.conf", "usr/lib/tmpfiles.d/truechimer.conf"),
    ("truechimer.toml", "etc/truechimer/truechimer.toml"),
    ("man/truechimerd.8", "usr/share/man/man8/truechimerd.8"),
    ("man/chimerctl.1", "usr/share/man/man1/chimerctl.1"),
    ("man/truechimer.toml.5", "usr/share/man/man5/truechimer.toml.5"),
    ("truechimer.toml", "usr/share/doc/truechimer/truechimer.toml"),
    ("deb/copyright", "usr/share/doc/truechimer/copyright"),
];
const SCRIPTS: &[&str] = &["postinst", "prerm", "postrm", "conffiles"];

/// Builds `target/package/truechimer_VERSION_ARCH.deb`.
///
/// # Errors
/// When something doesn't compile, or the tools of Debian are missing.
pub fn build() -> Result<PathBuf, String> {
    if Command::new("dpkg-deb").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Err(
            "dpkg-deb is missing: apt-get install dpkg (any Debian has it), or package by hand what \
                    xtask/src/package.rs lists"
                .into(),
        );
    }
    let programs = build_release()?;
    let root = target().join("package/root");
    let _ = fs::remove_dir_all(&root);
    for (from, to) in FILES {
        put(&workspace().join("packaging").join(from), &root.join(to), 0o644)?;
    }
    for (_, program) in PROGRAMS {
        let folder = if program == "chimerctl" { "usr/bin" } else { "usr/lib/truechimer" };
        put(&programs.join(program), &root.join(folder).join(program), 0o755)?;
    }
    let link = root.join("usr/sbin/truechimerd");
    fs::create_dir_all(root.join("usr/sbin")).map_err(|error| error.to_string())?;
    symlink("../lib/truechimer/truechimerd", &link)
        .map_err(|error| format!("{}: {error}", link.display()))?;
    for page in ["man8/truechimerd.8", "man1/chimerctl.1", "man5/truechimer.toml.5"] {
        run(Command::new("gzip").args(["-9", "-n"]).arg(root.join("usr/share/man").join(page)))?;
    }
    for script in SCRIPTS {
        let mode = if *script == "conffiles" { 0o644 } else { 0o755 };
        put(&workspace().join("packaging/deb").join(script), &root.join("DEBIAN").join(script), mode)?;
    }
    let architecture = read(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned();
    let version = env!("CARGO_PKG_VERSION");
    let template = workspace().join("packaging/deb/control");
    let control = fs::read_to_string(&template)
        .map_err(|error| format!("{}: {error}", template.display()))?
        .replace("@VERSION@", version)
        .replace("@ARCHITECTURE@", &architecture)
        .replace("@SIZE@", &(size(&root) / 1024).to_string())
        .replace("@LIBC@", &needed_libc(&programs)?);
    fs::write(root.join("DEBIAN/control"), control).map_err(|error| error.to_string())?;
    let package = target().join(format!("package/truechimer_{version}_{architecture}.deb"));
    run(Command::new("dpkg-deb").args(["--root-owner-group", "--build"]).arg(&root).arg(&package))?;
    println!("{}", package.display());
    Ok(package)
}

fn put(from: &Path, to: &Path, mode: u32) -> Result<(), String> {
    let explain = |error: std::io::Error| format!("{} to {}: {error}", from.display(), to.display());
    fs::create_dir_all(to.parent().expect("a file is in a folder")).map_err(explain)?;
    fs::copy(from, to).map_err(explain)?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).map_err(explain)
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The newest glibc whose symbols the programs name.
fn needed_libc(programs: &Path) -> Result<String, String> {
    let mut newest = (2, 0);
    for (_, program) in PROGRAMS {
        let octets = fs::read(programs.join(program)).map_err(|error| format!("{program}: {error}"))?;
        for found in octets.split(|octet| *octet == 0).filter_map(|word| word.strip_prefix(b"GLIBC_2.")) {
            if let Some(minor) =
                std::str::from_utf8(found).ok().and_then(|text| text.split('.').next()?.parse().ok())
            {
                newest = newest.max((2, minor));
            }
        }
    }
    Ok(format!("{}.{}", newest.0, newest.1))
}

/// Builds the package, installs it in a fresh Debian 12 and starts it there.
///
/// # Errors
/// When installation or start fails. Without root or debootstrap nothing is tried, and that is said.
pub fn build_and_try() -> Result<(), String> {
    let package = build()?;
    let present = Command::new("debootstrap").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !bench::is_root() || !present {
        println!("not tried: that needs root and debootstrap (apt-get install debootstrap)");
        return Ok(());
    }
    let base = target().join("package/debian-12");
    if !base.join("var/lib/dpkg/status").exists() {
        let _ = fs::remove_dir_all(&base);
        run(Command::new("debootstrap").args(["--variant=minbase", "bookworm"]).arg(&base))?;
    }
    let root = bench::programs::Place::new("debian");
    run(Command::new("cp").args(["--archive", "--reflink=auto"]).arg(base.join(".")).arg(root.path()))?;
    fs::copy(&package, root.join("truechimer.deb")).map_err(|error| error.to_string())?;
    // No service may start in there, as Debian's own tools want it said.
    fs::write(root.join("usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n")
        .map_err(|error| error.to_string())?;
    fs::set_permissions(root.join("usr/sbin/policy-rc.d"), fs::Permissions::from_mode(0o755))
        .map_err(|error| error.to_string())?;
    inside(root.path(), "dpkg --install /truechimer.deb && getent passwd truechimer-clock truechimer-kex")?;

    let forger = Forger::honest([127, 0, 0, 1].into(), 0);
    let configuration = format!("[[source]]\naddress = \"{}\"\nmin-poll = 2\n", forger.address());
    fs::write(root.join("etc/truechimer/truechimer.toml"), configuration)
        .map_err(|error| error.to_string())?;
    let script = "set -e; mkdir -p /run/truechimer /var/lib/truechimer; \
                  truechimerd --clock none & daemon=$!; \
                  for try in $(seq 50); do chimerctl status >/dev/null 2>&1 && break; sleep 0.1; done; \
                  sleep 2; chimerctl status; chimerctl sources; kill $daemon; wait $daemon";
    inside(root.path(), script)?;
    if wait_for(Duration::from_secs(1), || (forger.heard() > 0).then_some(())).is_none() {
        return Err("the installed daemon never queried its source".into());
    }
    inside(root.path(), "dpkg --purge truechimer && ! getent passwd truechimer-clock >/dev/null || true")?;
    println!("installed, started, asked, stopped and purged in a fresh Debian 12");
    Ok(())
}

/// Runs a script in the chroot with a mount and a process namespace of its own: nothing stays mounted, no
/// process stays.
fn inside(root: &Path, script: &str) -> Result<(), String> {
    let script = format!("mount -t proc proc /proc && mount -t tmpfs tmpfs /run && {{ {script}; }}");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--"]);
    // Bound onto itself it is the root of a mount, as on a machine: the daemon's own views need that.
    let enter = "mount --bind \"$0\" \"$0\" && exec chroot \"$0\" /bin/sh -c \"$1\"";
    command.args(["sh", "-c", enter]).arg(root).arg(script).stdin(Stdio::null());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
    run(&mut command)
}
