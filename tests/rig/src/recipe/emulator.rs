//! Parts of a whole emulated machine: Debian's stock kernel, and a small first disk that finds the root.

use super::tools;
use crate::architecture::Architecture;
use crate::command;
use crate::debian::{Release, archive};
use crate::machine::Form;
use crate::store::Store;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Loaded in this order by the first disk; a name that the kernel has built in is left out.
const MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_blk",
    "ext4",
    "virtio_net",
    "virtio_console",
    "virtio_rng",
    "rtc_cmos",
    "af_packet",
];

const INIT: &str = "\
#!/bin/sh
B=/bin/busybox
$B mount -t devtmpfs dev /dev
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
for module in /modules/*.ko; do $B insmod $module; done
tries=0
while [ ! -b /dev/vda ] && [ $tries -lt 300 ]; do $B sleep 0.1; tries=$((tries + 1)); done
$B mount -t ext4 /dev/vda /new || exec $B sh
$B mount --move /dev /new/dev
$B umount /proc /sys
exec $B switch_root /new /sbin/init
";

/// The machine for guests of this release, each with the kernel of its release.
///
/// # Errors
/// Without Debian's archive.
pub fn form(store: &Store, release: Release, architecture: Architecture) -> Result<Form, String> {
    tools::install_emulator(architecture)?;
    let recipe = format!("{}{MODULES:?}{INIT}", release.suite());
    let name = format!("emulated-{}{}", architecture.mark(), release.number());
    let folder = store.have(&name, recipe.as_bytes(), |place| make(store, release, architecture, place))?;
    Ok(Form::Qemu { architecture, kernel: folder.join("vmlinuz"), initrd: folder.join("initrd") })
}

fn make(store: &Store, release: Release, architecture: Architecture, place: &Path) -> Result<(), String> {
    let root = store.path(format!("emulated.work-{}{}", architecture.mark(), release.number()));
    let _ = command::run(
        Command::new("rm").args(["--recursive", "--force", "--one-file-system", "--"]).arg(&root),
    );
    // A root of its own, only for the kernel's package, its modules and the index of what needs what.
    let mut command = architecture.command("mmdebstrap");
    command.arg(format!("--architectures={}", architecture.name()));
    command.args(["--variant=extract", "--mode=root", "--format=directory"]);
    command.arg(format!("--include=linux-image-{},busybox-static,kmod", architecture.name()));
    command.args(["--aptopt=APT::Install-Recommends \"false\""]);
    command.arg(release.suite()).arg(&root).arg(archive()?);
    command::run(&mut command)?;
    fs::create_dir_all(place).map_err(|error| format!("{}: {error}", place.display()))?;
    let boot = fs::read_dir(root.join("boot")).map_err(|error| format!("boot: {error}"))?;
    let kernel = boot
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")));
    let kernel = kernel.ok_or("Debian's kernel package has no kernel")?;
    let version = kernel.file_name().unwrap_or_default().to_string_lossy().replace("vmlinuz-", "");
    fs::copy(&kernel, place.join("vmlinuz")).map_err(|error| format!("vmlinuz: {error}"))?;
    first_disk(&root, &version, place)?;
    command::run(Command::new("rm").args(["--recursive", "--one-file-system", "--"]).arg(&root)).map(drop)
}

fn first_disk(root: &Path, version: &str, place: &Path) -> Result<(), String> {
    let disk = place.join("first-disk");
    let wrong = |error: std::io::Error| format!("{}: {error}", disk.display());
    for folder in ["bin", "dev", "proc", "sys", "new", "modules"] {
        fs::create_dir_all(disk.join(folder)).map_err(wrong)?;
    }
    fs::copy(busybox(root)?, disk.join("bin/busybox")).map_err(wrong)?;
    symlink("busybox", disk.join("bin/sh")).map_err(wrong)?;
    fs::write(disk.join("init"), INIT).map_err(wrong)?;
    fs::set_permissions(disk.join("init"), fs::Permissions::from_mode(0o755)).map_err(wrong)?;
    command::run(Command::new("depmod").arg("--basedir").arg(base(root)).arg(version))?;
    for (number, module) in (0..).zip(modules(root, version)?) {
        let name = module.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let plain = disk.join("modules").join(format!("{number:02}-{}", name.trim_end_matches(".xz")));
        if name.ends_with(".xz") {
            let text = Command::new("xz").args(["--decompress", "--stdout"]).arg(&module).output();
            fs::write(plain, text.map_err(wrong)?.stdout).map_err(wrong)?;
        } else {
            fs::copy(&module, plain).map_err(wrong)?;
        }
    }
    let pack = "cd \"$0\" && find . | cpio --quiet --create --format=newc | gzip -1 > \"$1\"";
    command::run(Command::new("sh").args(["-ec", pack]).arg(&disk).arg(place.join("initrd")))?;
    fs::remove_dir_all(&disk).map_err(wrong)
}

fn busybox(root: &Path) -> Result<PathBuf, String> {
    let places = ["usr/bin/busybox", "bin/busybox"].map(|name| root.join(name));
    places.into_iter().find(|path| path.exists()).ok_or_else(|| "no busybox was unpacked".into())
}

/// Where kmod finds `lib/modules`: newer releases unpack it below /usr.
fn base(root: &Path) -> PathBuf {
    if root.join("usr/lib/modules").exists() { root.join("usr") } else { root.to_owned() }
}

/// The files of [`MODULES`] and of all that they need, in the order of loading.
fn modules(root: &Path, version: &str) -> Result<Vec<PathBuf>, String> {
    let mut files: Vec<PathBuf> = Vec::new();
    for module in MODULES {
        let mut command = Command::new("modprobe");
        command.arg("--dirname").arg(base(root)).args(["--set-version", version, "--show-depends", module]);
        // A module that is built in, or that this kernel does not have, is none that is loaded.
        let Ok(text) = command::run(&mut command) else { continue };
        for line in text.lines() {
            let Some(path) = line.strip_prefix("insmod ") else { continue };
            let path = PathBuf::from(path.trim());
            if !files.contains(&path) {
                files.push(path);
            }
        }
    }
    if files.is_empty() { Err("the kernel's package has none of the modules".into()) } else { Ok(files) }
}
