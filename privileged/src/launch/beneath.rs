//! Opening without following symbolic links: by openat2 or, if that call is not available (Linux before 5.6, seccomp
//! filters of service managers and containers), component by component, with the same guarantee.

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, SFlag, fstatat};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

/// How a directory is opened for use.
const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_RDONLY).union(OFlag::O_CLOEXEC);

/// How a directory is opened on the way to the next one.
const STEP: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Whether a system call is not available at all. Container filters return EPERM for unknown calls.
pub fn is_not_there(errno: Errno) -> bool {
    matches!(errno, Errno::ENOSYS | Errno::EPERM | Errno::EOPNOTSUPP)
}

/// Opens a directory; there is no symbolic link on the way.
///
/// # Errors
/// The error of the failed system call; ELOOP for a symbolic link.
pub fn directory(path: &Path) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new().flags(DIRECTORY).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(nix::fcntl::AT_FDCWD, path, how) {
        Err(errno) if is_not_there(errno) => walk(path),
        opened => opened,
    }
}

/// Opens or makes the file `name`, a single component, in this directory.
///
/// # Errors
/// The error of the failed system call; ELOOP for a symbolic link, EINVAL if `name` is not a single component.
pub fn file(directory: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    if !is_single(name) {
        return Err(Errno::EINVAL);
    }
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let how = OpenHow::new()
        .flags(flags)
        .mode(mode)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(directory, name, how) {
        Err(errno) if is_not_there(errno) => openat(directory, name, flags, mode),
        opened => opened,
    }
}

/// Opens the file `name`, a single component, in this directory, if it is there.
///
/// # Errors
/// As [`file`]; ENOENT.
pub fn existing(directory: BorrowedFd<'_>, name: &str, access: OFlag) -> Result<OwnedFd, Errno> {
    if !is_single(name) {
        return Err(Errno::EINVAL);
    }
    let flags = access | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    openat(directory, name, flags, Mode::empty())
}

/// The directory itself, by a descriptor with which nothing in it can be listed.
///
/// # Errors
/// The error of the failed system call.
pub fn place(directory: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    openat(directory, ".", STEP, Mode::empty())
}

/// Whether a name leads to something in the directory itself.
fn is_single(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(_)), None))
        && !name.contains('/')
}

/// Walks down from the root, or from the working directory for a relative path.
fn walk(path: &Path) -> Result<OwnedFd, Errno> {
    if path.as_os_str().is_empty() {
        return Err(Errno::ENOENT);
    }
    let start = if path.is_absolute() { "/" } else { "." };
    let mut here = openat(nix::fcntl::AT_FDCWD, start, STEP, Mode::empty())?;
    for component in path.components() {
        let name = match component {
            Component::Normal(name) => Path::new(name),
            Component::ParentDir => Path::new(".."),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
        };
        here = openat(&here, name, STEP, Mode::empty()).map_err(|errno| {
            // With O_DIRECTORY a symbolic link is reported as ENOTDIR.
            if errno == Errno::ENOTDIR && is_link(here.as_fd(), name) { Errno::ELOOP } else { errno }
        })?;
    }
    openat(&here, ".", DIRECTORY, Mode::empty())
}

fn is_link(directory: BorrowedFd<'_>, name: &Path) -> bool {
    fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
        .is_ok_and(|facts| SFlag::from_bits_truncate(facts.st_mode) & SFlag::S_IFMT == SFlag::S_IFLNK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().canonicalize().unwrap();
            let root = root.join(format!("truechimer-beneath-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&root);
            std::fs::create_dir_all(root.join("real/inner")).unwrap();
            symlink("real", root.join("link")).unwrap();
            symlink("inner", root.join("real/last")).unwrap();
            std::fs::write(root.join("real/plain"), "x").unwrap();
            Self(root)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a146_the_walk_refuses_what_openat2_refuses_and_finds_what_it_finds() {
        let tree = Tree::new("walk");
        let how = || OpenHow::new().flags(DIRECTORY).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let place = |fd: OwnedFd| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
        for path in [
            "",
            "real",
            "real/inner",
            "real/../real/inner",
            "real/./inner/",
            "link",
            "link/inner",
            "real/last",
        ]
        .into_iter()
        .chain(["real/last/..", "real/plain", "real/plain/x", "missing", "missing/.."])
        {
            let path = tree.0.join(path);
            let direct = openat2(nix::fcntl::AT_FDCWD, &path, how()).map(place);
            assert_eq!(walk(&path).map(place), direct, "{}", path.display());
        }
        assert_eq!(walk(Path::new("")).unwrap_err(), Errno::ENOENT);
        assert_eq!(walk(Path::new(".")).map(place).unwrap(), std::env::current_dir().unwrap());
    }

    #[test]
    fn a_file_is_opened_by_a_single_name_only() {
        let tree = Tree::new("name");
        let directory = directory(&tree.0.join("real")).unwrap();
        for name in ["", ".", "..", "/", "inner/x", "../real/plain", "plain/", "/etc/passwd"] {
            assert_eq!(file(directory.as_fd(), name).unwrap_err(), Errno::EINVAL, "{name:?}");
        }
        assert_eq!(file(directory.as_fd(), "last").unwrap_err(), Errno::ELOOP);
        assert!(file(directory.as_fd(), "new").is_ok());
    }
}
