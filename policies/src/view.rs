//! The file system view of a process: an empty read-only root, with a few directories for the roles that must read
//! files by name.

use crate::inherited::Inherited;
use crate::kernel;
use crate::program::Needs;
use filters::Role;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, pivot_root};
use std::path::{Component, Path, PathBuf};
use std::{fs, io, os};

/// Candidate mount points for building the new root: the first that exists and is not an ancestor of a visible path is
/// used.
const SITES: [&str; 4] = ["/tmp", "/mnt", "/dev", "/proc"];

/// Where the C library finds its name servers.
pub(crate) const RESOLVER_FILE: &str = "/etc/resolv.conf";

/// Directories of resolver files.
pub(crate) const RESOLVER_FOLDERS: [&str; 6] = [
    "/etc",
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/connman",
    "/run/dnsmasq",
];

/// Where directories of resolver files come, and are replaced, while the daemon runs.
const VOLATILE_FOLDER: &str = "/run";

/// File systems that are not shown for the sake of a file that is not there yet.
const NEVER_WIDENED: [&str; 4] = ["/", "/proc", "/sys", "/dev"];

/// The directory of our own configuration, which may contain keys, lies in a visible directory. Of this directory a
/// role sees only the named files as they were at the start, never their replacements.
pub const CONFIGURATION_FOLDER: &str = "/etc/truechimer";

/// Mount flags: no programs and no devices on the tmpfs or beneath a visible directory.
const HARMLESS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

/// The directories and files that a role reads by name, if they exist.
pub(crate) fn visible(role: Role, inherited: &Inherited) -> Vec<PathBuf> {
    let confinement = role.confinement();
    let mut visible = if confinement.looks_up { resolver_files() } else { Vec::new() };
    for path in confinement.sees.iter().flat_map(|words| inherited.texts(words)) {
        add_with_folder(&mut visible, Path::new(path));
    }
    visible
}

/// Adds the directory of a file, so that the file can be read again after it has been replaced. From the directory of
/// our configuration it adds the file alone, which then never changes.
fn add_with_folder(visible: &mut Vec<PathBuf>, file: &Path) {
    let target = fs::canonicalize(file).ok();
    for path in [Some(file), target.as_deref()].into_iter().flatten() {
        let shown = path
            .parent()
            .filter(|folder| *folder != Path::new("/") && *folder != Path::new(CONFIGURATION_FOLDER));
        let shown = shown.unwrap_or(path);
        let is_seen = |known: &PathBuf| {
            shown.starts_with(known)
                && (known.starts_with(CONFIGURATION_FOLDER) || !shown.starts_with(CONFIGURATION_FOLDER))
        };
        if shown.exists() && !visible.iter().any(is_seen) {
            visible.push(shown.to_owned());
        }
    }
}

/// The directories that a name look-up reads, if they exist.
fn resolver_files() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        RESOLVER_FOLDERS.iter().map(PathBuf::from).filter(|folder| folder.is_dir()).collect();
    // Some resolver programs keep it elsewhere.
    let file = fs::canonicalize(RESOLVER_FILE).ok();
    if let Some(folder) = file.as_deref().and_then(Path::parent)
        && folder != Path::new("/")
        && !folders.iter().any(|known| folder.starts_with(known))
    {
        folders.push(folder.to_owned());
    }
    folders
}

/// What a process sees of the host's files.
#[derive(Default)]
pub(crate) struct Seen {
    /// Directories and files that exist at the start, with what is mounted in them.
    pub(crate) proper: Vec<PathBuf>,
    /// Directories in which a directory of resolver files may come later: one that does not exist yet can neither be
    /// mounted nor be named to Landlock. Without what is mounted in them, which the host could otherwise not unmount.
    pub(crate) wide: Vec<PathBuf>,
}

impl Seen {
    pub(crate) fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.wide.iter().chain(&self.proper)
    }
}

/// Directories in which resolver files may come later. Only for a process whose children are restricted to the directories
/// proper ([`file_access::narrow`](crate::file_access::narrow)).
pub(crate) fn wide(proper: &[PathBuf]) -> Vec<PathBuf> {
    let dangling = fs::read_link(RESOLVER_FILE).ok().filter(|_| !Path::new(RESOLVER_FILE).exists());
    let expected = dangling.and_then(|target| nearest_folder(&normalized(&Path::new("/etc").join(target))));
    let mut wide: Vec<PathBuf> = Vec::new();
    for folder in [Some(PathBuf::from(VOLATILE_FOLDER)), expected].into_iter().flatten() {
        if folder.is_dir() && !proper.iter().chain(&wide).any(|known| folder.starts_with(known)) {
            wide.push(folder);
        }
    }
    wide
}

/// The lowest existing directory on the way to `file`, if it may be shown.
fn nearest_folder(file: &Path) -> Option<PathBuf> {
    let folder = file.ancestors().skip(1).find(|folder| folder.is_dir())?;
    let is_kept_back = NEVER_WIDENED.iter().any(|never| match *never {
        "/" => folder == Path::new("/"),
        never => folder.starts_with(never),
    });
    (!is_kept_back).then(|| folder.to_owned())
}

/// Without `..`, by its words alone: what does not exist cannot be resolved.
fn normalized(path: &Path) -> PathBuf {
    let mut whole = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => whole.push(name),
            Component::ParentDir => {
                whole.pop();
            }
            _ => {}
        }
    }
    whole
}

/// Replaces the root of this process, which is in its own mount namespace, by an empty one with read-only directories
/// and files. From the directory of our configuration only the files named in `seen` are shown. Nothing can be
/// executed except what `program` needs.
///
/// # Errors
/// The error of the failed system call; the old root may then still be in place.
pub(crate) fn build(seen: &Seen, program: Option<&Needs>) -> io::Result<()> {
    const NONE: Option<&str> = None;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
    // The inherited umask could make the directories inaccessible.
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    let needed = program.map_or(&[][..], |needs| &needs.paths);
    let is_free = |site: &PathBuf| !seen.all().chain(needed).any(|path| path.starts_with(site));
    let sites: Vec<PathBuf> = SITES.iter().map(PathBuf::from).filter(is_free).collect();
    let site = mount_empty(&sites)?;
    let within = |path: &Path| site.join(path.strip_prefix("/").unwrap_or(path));
    let (hidden, open): (Vec<&PathBuf>, Vec<_>) =
        seen.proper.iter().partition(|path| path.starts_with(CONFIGURATION_FOLDER));
    for path in &seen.wide {
        match show(path, &within(path), false, MsFlags::empty()) {
            // In a user namespace, where something is mounted beneath. What exists now is shown all the same.
            Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => {}
            done => done?,
        }
    }
    for path in open {
        show(path, &within(path), false, MsFlags::MS_REC)?;
    }
    for path in needed {
        show(path, &within(path), true, MsFlags::MS_REC)?;
    }
    for (place, target) in program.into_iter().flat_map(|needs| &needs.links) {
        let place = within(place);
        fs::create_dir_all(place.parent().unwrap_or(site))?;
        os::unix::fs::symlink(target, place)?;
    }
    let cover = within(Path::new(CONFIGURATION_FOLDER));
    let is_covered = fs::symlink_metadata(&cover).is_ok();
    if is_covered {
        mount_empty(std::slice::from_ref(&cover))?;
    }
    for path in hidden {
        show(path, &within(path), false, MsFlags::MS_REC)?;
    }
    if is_covered {
        read_only(&cover, false)?;
    }
    let is_link = |path: &str| fs::symlink_metadata(path).is_ok_and(|about| about.is_symlink());
    if !seen.proper.is_empty() && is_link("/var/run") {
        fs::create_dir_all(site.join("var"))?;
        os::unix::fs::symlink("/run", site.join("var/run"))?;
    }
    chdir(site)?;
    pivot_root(".", ".")?;
    // The old root is stacked on the new one; after this only the new one is left.
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    mount(NONE, "/", NONE, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | HARMLESS, NONE)?;
    Ok(())
}

/// Mounts an empty tmpfs on the first of `places` that allows it. It is owned by this process, which must be able to
/// write to it: without CAP_DAC_OVERRIDE, as under the unit, root has no special rights. Once it is filled, the mount
/// is made read-only.
fn mount_empty(places: &[PathBuf]) -> io::Result<&Path> {
    let mut refused = Errno::ENOENT;
    for place in places {
        match mount(Some("none"), place, Some("tmpfs"), HARMLESS, Some("mode=0755,size=64k,nr_inodes=64")) {
            Ok(()) => return Ok(place),
            Err(errno) => refused = errno,
        }
    }
    Err(refused.into())
}

fn show(path: &Path, place: &Path, runs: bool, depth: MsFlags) -> io::Result<()> {
    const NONE: Option<&str> = None;
    if path.is_dir() {
        fs::create_dir_all(place)?;
    } else if !place.exists() {
        fs::create_dir_all(place.parent().unwrap_or(place))?;
        fs::File::create(place)?;
    }
    mount(Some(path), place, NONE, MsFlags::MS_BIND | depth, NONE)?;
    read_only(place, runs)
}

fn read_only(place: &Path, runs: bool) -> io::Result<()> {
    match kernel::make_mounts_read_only(place, runs) {
        Err(Errno::ENOSYS | Errno::EPERM) => remount_read_only(place, runs),
        done => Ok(done?),
    }
}

/// The same one mount at a time, if mount_setattr is not available (before Linux 5.12, or filtered).
fn remount_read_only(place: &Path, runs: bool) -> io::Result<()> {
    const NONE: Option<&str> = None;
    let harmless = if runs { HARMLESS - MsFlags::MS_NOEXEC } else { HARMLESS };
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | harmless;
    for point in mount_points(&fs::read("/proc/self/mountinfo")?).filter(|point| point.starts_with(place)) {
        mount(NONE, &point, NONE, flags, NONE)?;
    }
    Ok(())
}

/// The mount points in /proc/self/mountinfo, in which blanks and backslashes are three octal digits.
fn mount_points(mountinfo: &[u8]) -> impl Iterator<Item = PathBuf> {
    mountinfo.split(|octet| *octet == b'\n').filter_map(|line| {
        let point = line.split(|octet| *octet == b' ').nth(4)?;
        let mut octets = Vec::with_capacity(point.len());
        let mut rest = point;
        while let Some((first, others)) = rest.split_first() {
            let digits = others.get(..3).filter(|_| *first == b'\\');
            let coded =
                digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
            octets.push(coded.unwrap_or(*first));
            rest = if coded.is_some() { &others[3..] } else { others };
        }
        Some(PathBuf::from(<std::ffi::OsString as os::unix::ffi::OsStringExt>::from_vec(octets)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_as_the_kernel_writes_them() {
        let text = b"22 1 0:21 / / rw - ext4 /dev/root rw\n23 22 0:22 / /a\\040b\\134c rw shared:2 - tmpfs t rw\nshort\n";
        let points: Vec<_> = mount_points(text).collect();
        assert_eq!(points, [PathBuf::from("/"), PathBuf::from("/a b\\c")]);
    }

    #[test]
    fn a_directory_that_may_come_later_is_expected_in_the_lowest_that_exists_and_never_in_all_of_the_root() {
        let target = normalized(Path::new("/etc/../run/./no-such-folder/a/resolv.conf"));
        assert_eq!(target, Path::new("/run/no-such-folder/a/resolv.conf"));
        assert_eq!(normalized(Path::new("/etc/../../x")), Path::new("/x"));
        assert_eq!(nearest_folder(&target), Some(PathBuf::from("/run")));
        for file in ["/no-such-folder/resolv.conf", "/proc/no-such-folder/x", "/dev/no-such-folder/x"] {
            assert_eq!(nearest_folder(Path::new(file)), None, "{file}");
        }
    }

    #[test]
    fn a_directory_that_is_seen_anyway_is_not_widened() {
        assert!(wide(&["/etc", "/run/roots"].map(PathBuf::from)).contains(&PathBuf::from("/run")));
        assert!(!wide(&["/etc", "/run"].map(PathBuf::from)).contains(&PathBuf::from("/run")));
    }

    #[test]
    fn roots_are_shown_with_their_folder_and_of_our_own_folder_alone() {
        let mut visible = vec![PathBuf::from("/etc")];
        add_with_folder(&mut visible, Path::new("/etc/passwd"));
        add_with_folder(&mut visible, Path::new("/no/such/file"));
        assert_eq!(visible, [PathBuf::from("/etc")], "what is seen already, and what is not there");
        add_with_folder(&mut visible, Path::new("/proc/self/maps"));
        assert!(visible.contains(&PathBuf::from("/proc/self")), "{visible:?}");
    }
}
