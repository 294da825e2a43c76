//! What a process sees of the file system: an empty read-only root, with a few folders for the one role that
//! has to read files by name.

use crate::kernel;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, pivot_root};
use std::path::{Path, PathBuf};
use std::{fs, io, os};

/// Where the new root is put together before it becomes the root; the first that exists. None of them is an
/// ancestor of a folder that is shown.
const SITES: [&str; 4] = ["/tmp", "/mnt", "/proc", "/dev"];

/// Folders in which resolver files are found.
const RESOLVER_FOLDERS: [&str; 4] =
    ["/etc", "/run/systemd/resolve", "/run/NetworkManager", "/run/resolvconf"];

/// Our own configuration, with keys in it, is in a folder that is shown.
const HIDDEN: &str = "/etc/truechimer";

/// Nothing on the tmpfs or beneath a folder that is shown is a program or a device.
const HARMLESS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

/// The folders that a look-up of a name reads from, as far as they exist.
pub(crate) fn resolver_files() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        RESOLVER_FOLDERS.iter().map(PathBuf::from).filter(|folder| folder.is_dir()).collect();
    // Programs other than the usual ones keep it elsewhere.
    let file = fs::canonicalize("/etc/resolv.conf").ok();
    if let Some(folder) = file.as_deref().and_then(Path::parent)
        && folder != Path::new("/")
        && !folders.iter().any(|known| folder.starts_with(known))
    {
        folders.push(folder.to_owned());
    }
    folders
}

/// Makes an empty root with read-only folders the root of this process, which is in a mount namespace of its
/// own.
///
/// # Errors
/// The kernel's; the old root may be in place then.
pub(crate) fn build(visible: &[PathBuf]) -> io::Result<()> {
    const NONE: Option<&str> = None;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
    // Whoever started the daemon may have a mask that would leave folders that nobody can enter.
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    let site = Path::new(mount_empty(&SITES)?);
    for folder in visible {
        show(folder, &site.join(folder.strip_prefix("/").unwrap_or(folder)))?;
    }
    let is_link = |path: &str| fs::symlink_metadata(path).is_ok_and(|about| about.is_symlink());
    if !visible.is_empty() && is_link("/var/run") {
        fs::create_dir_all(site.join("var"))?;
        os::unix::fs::symlink("/run", site.join("var/run"))?;
    }
    chdir(site)?;
    pivot_root(".", ".")?;
    // The old root lies over the new one; now only the new one is left.
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    if fs::symlink_metadata(HIDDEN).is_ok() {
        mount_empty(&[HIDDEN])?;
        read_only(Path::new(HIDDEN))?;
    }
    mount(NONE, "/", NONE, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | HARMLESS, NONE)?;
    Ok(())
}

/// Mounts an empty tmpfs on the first of `places` that takes it.
fn mount_empty<'a>(places: &[&'a str]) -> io::Result<&'a str> {
    let mut refused = Errno::ENOENT;
    for place in places {
        match mount(Some("none"), *place, Some("tmpfs"), HARMLESS, Some("mode=0555,size=64k,nr_inodes=64")) {
            Ok(()) => return Ok(place),
            Err(errno) => refused = errno,
        }
    }
    Err(refused.into())
}

fn show(folder: &Path, place: &Path) -> io::Result<()> {
    const NONE: Option<&str> = None;
    fs::create_dir_all(place)?;
    mount(Some(folder), place, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)?;
    read_only(place)
}

fn read_only(place: &Path) -> io::Result<()> {
    Ok(kernel::make_mounts_read_only(place)?)
}
