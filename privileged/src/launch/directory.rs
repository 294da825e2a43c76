//! What is kept on disk, opened once, before the lock-down. A path that somebody else could have prepared is
//! refused by name; nothing is followed, unlinked or re-owned.

use crate::ending::Ending;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FlockArg, OFlag, OpenHow, ResolveFlag, fallocate, openat2, renameat};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat, umask};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, geteuid, unlinkat};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A directory that only root and this user can change.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

/// The configuration file, opened and not read.
///
/// # Errors
/// The path with the reason.
pub fn open_configuration(path: &Path) -> Result<File, Ending> {
    let wrong = |why: &dyn std::fmt::Display| Ending::Configuration(format!("{}: {why}", path.display()));
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            wrong(&format_args!("{error}; the example in /usr/share/doc/truechimer is a start"))
        }
        std::io::ErrorKind::PermissionDenied => wrong(&format_args!("{error}; start as root, or chmod it")),
        _ => wrong(&error),
    })?;
    let metadata = file.metadata().map_err(|error| wrong(&error))?;
    if !metadata.is_file() {
        return Err(wrong(&"not a regular file"));
    }
    let facts = fstat(&file).map_err(|errno| wrong(&errno.desc()))?;
    if facts.st_mode & 0o022 != 0 {
        return Err(wrong(&"writable by others than its owner; chmod go-w it"));
    }
    Ok(file)
}

/// A new file for the engine's record, readable by its owner alone. One that is there becomes `NAME.1`.
///
/// # Errors
/// The path with the reason; those of [`Directory::open`] and [`Directory::file`].
pub fn new_record(path: &Path) -> Result<File, Ending> {
    let wrong = |why: &str| Ending::Configuration(format!("--record {}: {why}", path.display()));
    let name = path.file_name().and_then(std::ffi::OsStr::to_str).ok_or_else(|| wrong("names no file"))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = Directory::open(parent.unwrap_or(Path::new(".")))?;
    match renameat(&directory.fd, name, &directory.fd, format!("{name}.1").as_str()) {
        Ok(()) | Err(Errno::ENOENT) => directory.file(name, 0),
        Err(errno) => Err(wrong(errno.desc())),
    }
}

impl Directory {
    /// Opens it.
    ///
    /// # Errors
    /// The path with the reason: missing, a symbolic link on the way, another owner, writable by others.
    pub fn open(path: &Path) -> Result<Self, Ending> {
        let how = OpenHow::new()
            .flags(OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let wrong = |why: &str| Ending::Configuration(format!("{}: {why}", path.display()));
        let fd = openat2(nix::fcntl::AT_FDCWD, path, how).map_err(|errno| {
            wrong(match errno {
                Errno::ELOOP => "there is a symbolic link on the way; name the real directory",
                Errno::ENOENT => "no such directory; make it with install -d (the service unit does)",
                other => other.desc(),
            })
        })?;
        let facts = fstat(&fd).map_err(|errno| wrong(errno.desc()))?;
        if !owned_by_us(facts.st_uid) {
            return Err(wrong(
                "belongs to somebody else; it must belong to root or to the user that starts truechimerd",
            ));
        }
        if facts.st_mode & 0o022 != 0 {
            return Err(wrong("writable by others than its owner; chmod go-w it"));
        }
        Ok(Self { fd, path: path.into() })
    }

    /// Opens or makes a file of at least `length` octets, allocated on the disk.
    ///
    /// # Errors
    /// The path with the reason.
    pub fn file(&self, name: &str, length: u64) -> Result<File, Ending> {
        let wrong = |why: &str| Ending::Configuration(format!("{}/{name}: {why}", self.path.display()));
        let how = OpenHow::new()
            .flags(OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK)
            .mode(Mode::S_IRUSR | Mode::S_IWUSR)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        let fd = openat2(&self.fd, name, how).map_err(|errno| {
            wrong(match errno {
                Errno::ELOOP => "is a symbolic link; remove it",
                other => other.desc(),
            })
        })?;
        let facts = fstat(&fd).map_err(|errno| wrong(errno.desc()))?;
        if SFlag::from_bits_truncate(facts.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG || facts.st_nlink != 1 {
            return Err(wrong("is not a plain file with one name; remove it"));
        }
        if !owned_by_us(facts.st_uid) || facts.st_mode & 0o077 != 0 {
            return Err(wrong(
                "can be read or written by others, or belongs to somebody else; remove it or chmod 600 it",
            ));
        }
        if (facts.st_size as u64) < length {
            fallocate(&fd, FallocateFlags::empty(), 0, length as i64).map_err(|errno| wrong(errno.desc()))?;
        }
        Ok(File::from(fd))
    }

    /// As [`Self::file`], and locks it: a second instance is refused.
    ///
    /// # Errors
    /// As there; or that another instance has it.
    pub fn lock(&self, name: &str, length: u64) -> Result<File, Ending> {
        let file = self.file(name, length)?;
        #[allow(
            deprecated,
            reason = "the lock belongs to the open file and must outlive every wrapper of it"
        )]
        nix::fcntl::flock(file.as_raw_fd(), FlockArg::LockExclusiveNonblock).map_err(|_| {
            Ending::Configuration(format!(
                "{}: another truechimerd is using this directory",
                self.path.display()
            ))
        })?;
        Ok(file)
    }

    /// A listening socket for chimerctl, in place of one that an earlier run left.
    ///
    /// # Errors
    /// The path with the reason.
    pub fn listen(&self, name: &str, group: Option<u32>) -> Result<OwnedFd, Ending> {
        let wrong =
            |errno: Errno| Ending::Configuration(format!("{}/{name}: {}", self.path.display(), errno.desc()));
        match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(wrong(errno)),
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(wrong)?;
        // Through the directory's own descriptor: a path longer than a socket address or renamed meanwhile
        // makes no difference.
        let address = format!("/proc/self/fd/{}/{name}", self.fd.as_fd().as_raw_fd());
        let before = umask(Mode::from_bits_truncate(0o177));
        let bound = UnixAddr::new(address.as_str()).and_then(|address| bind(fd.as_raw_fd(), &address));
        umask(before);
        bound.map_err(wrong)?;
        if let Some(group) = group {
            fchownat(
                &self.fd,
                name,
                Some(Uid::current()),
                Some(Gid::from_raw(group)),
                nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
            )
            .map_err(wrong)?;
        }
        fchmodat(&self.fd, name, Mode::from_bits_truncate(0o660), FchmodatFlags::FollowSymlink)
            .map_err(wrong)?;
        listen(&fd, Backlog::new(16).map_err(wrong)?).map_err(wrong)?;
        Ok(fd)
    }
}

fn owned_by_us(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}
