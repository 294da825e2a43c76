//! What is kept on disk, opened once, before the lock-down. A path that somebody else could have prepared is
//! refused by name; nothing is followed, unlinked or re-owned.

use super::beneath;
use crate::ending::{self, Ending, say};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, FlockArg, fallocate, fcntl, renameat};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat, umask};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, geteuid, unlinkat};
use std::cell::Cell;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A directory that only root and this user can change.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    /// A file in it may be new.
    grown: Cell<bool>,
}

/// The configuration file, opened and not read.
///
/// # Errors
/// The path with the reason.
pub fn open_configuration(path: &Path) -> Result<File, Ending> {
    let wrong = |why: &str| Ending::Configuration(format!("{}: {why}", path.display()));
    let refused = |errno: Errno| {
        let remedy = match errno {
            Errno::ENOENT => "; the example in /usr/share/doc/truechimer is a start",
            Errno::EACCES | Errno::EPERM => "; start as root, or chmod it",
            _ => "",
        };
        Ending::refused(errno, format!("{}: {}{remedy}", path.display(), errno.desc()))
    };
    let file = File::open(path).map_err(|error| refused(ending::errno(&error)))?;
    let facts = fstat(&file).map_err(refused)?;
    if SFlag::from_bits_truncate(facts.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(wrong("not a regular file"));
    }
    if facts.st_mode & 0o022 != 0 {
        return Err(wrong("writable by others than its owner; chmod go-w it"));
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
        Err(errno) => {
            Err(Ending::refused(errno, format!("--record {}: {}", path.display(), with_remedy(errno))))
        }
    }
}

impl Directory {
    /// Opens it.
    ///
    /// # Errors
    /// The path with the reason: missing, a symbolic link on the way, another owner, writable by others.
    pub fn open(path: &Path) -> Result<Self, Ending> {
        let wrong = |why: &str| Ending::Configuration(format!("{}: {why}", path.display()));
        let refused = |errno: Errno| {
            let why = match errno {
                Errno::ELOOP => "there is a symbolic link on the way; name the real directory",
                Errno::ENOENT => "no such directory; make it with install -d (the service unit does)",
                Errno::ENOTDIR => "is not a directory; name one, or remove what is in its place",
                other => other.desc(),
            };
            Ending::refused(errno, format!("{}: {why}", path.display()))
        };
        let fd = beneath::directory(path).map_err(refused)?;
        let facts = fstat(&fd).map_err(refused)?;
        if !owned_by_us(facts.st_uid) {
            return Err(wrong(
                "belongs to somebody else; it must belong to root or to the user that starts truechimerd",
            ));
        }
        if facts.st_mode & 0o022 != 0 {
            return Err(wrong("writable by others than its owner; chmod go-w it"));
        }
        Ok(Self { fd, path: path.into(), grown: Cell::new(false) })
    }

    /// Opens or makes a file of at least `length` octets, allocated on the disk.
    ///
    /// # Errors
    /// The path with the reason.
    pub fn file(&self, name: &str, length: u64) -> Result<File, Ending> {
        let wrong = |why: &str| Ending::Configuration(format!("{}/{name}: {why}", self.path.display()));
        let refused = |errno: Errno| {
            Ending::refused(errno, format!("{}/{name}: {}", self.path.display(), with_remedy(errno)))
        };
        let fd = beneath::file(self.fd.as_fd(), name).map_err(|errno| match errno {
            Errno::ELOOP => wrong("is a symbolic link; remove it"),
            other => refused(other),
        })?;
        let facts = fstat(&fd).map_err(refused)?;
        if SFlag::from_bits_truncate(facts.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG || facts.st_nlink != 1 {
            return Err(wrong("is not a plain file with one name; remove it"));
        }
        if !owned_by_us(facts.st_uid) || facts.st_mode & 0o077 != 0 {
            return Err(wrong(
                "can be read or written by others, or belongs to somebody else; remove it or chmod 600 it",
            ));
        }
        if facts.st_size == 0 {
            self.grown.set(true);
        }
        let file = File::from(fd);
        allocate(&file, facts.st_size as u64, length).map_err(refused)?;
        Ok(file)
    }

    /// As [`Self::file`], for the engine; what a run without bounds left in it beyond them is cut off.
    ///
    /// # Errors
    /// As there.
    pub fn engine_file(&self, name: &str) -> Result<File, Ending> {
        let file = self.file(name, 0)?;
        let cut = || match file.metadata()?.len() {
            length if length > policies::ENGINE_FILE => file.set_len(policies::ENGINE_FILE),
            _ => Ok(()),
        };
        cut().map_err(|error| {
            let errno = ending::errno(&error);
            Ending::refused(errno, format!("{}/{name}: {}", self.path.display(), with_remedy(errno)))
        })?;
        Ok(file)
    }

    /// Waits until the names of new files are on the disk. A file system that can't do this keeps them in its way.
    pub fn sync(&self) {
        if self.grown.get() {
            let _ = nix::unistd::fsync(&self.fd);
        }
    }

    /// As [`Self::file`], and locks it: a second instance is refused.
    ///
    /// # Errors
    /// As there; or that another instance has it.
    pub fn lock(&self, name: &str, length: u64) -> Result<File, Ending> {
        let file = self.file(name, length)?;
        let path = self.path.display();
        match lock(&file) {
            Ok(()) => Ok(file),
            // It may be on its way out, or an old one that waits for its disk.
            Err(Errno::EWOULDBLOCK) => {
                Err(Ending::Trouble(format!("{path}: another truechimerd is using this directory")))
            }
            Err(errno) => Err(Ending::refused(
                errno,
                format!(
                    "{path}: can't be locked against a second instance ({}); use a directory on a local file system",
                    errno.desc()
                ),
            )),
        }
    }

    /// A listening socket for chimerctl, in place of one that an earlier run left.
    ///
    /// # Errors
    /// The path with the reason.
    pub fn listen(&self, name: &str, group: Option<u32>) -> Result<OwnedFd, Ending> {
        let wrong = |errno: Errno| {
            Ending::refused(errno, format!("{}/{name}: {}", self.path.display(), errno.desc()))
        };
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
        bound.map_err(|errno| {
            let remedy = match errno {
                Errno::ENOENT | Errno::EACCES => "mount /proc",
                _ => "use a run directory on a file system that holds sockets, as /run",
            };
            let why = format!("{}/{name}: {}; {remedy}", self.path.display(), errno.desc());
            Ending::refused(errno, why)
        })?;
        if let Some(group) = group {
            let (owner, group) = (Some(Uid::current()), Some(Gid::from_raw(group)));
            let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
            // Without it fewer can ask, and nothing else is amiss.
            if let Err(errno) = fchownat(&self.fd, name, owner, group, flags) {
                let why = errno.desc();
                say(
                    4,
                    &format_args!(
                        "{}/{name} can't be given to the group truechimer ({why}): only its owner can use chimerctl; \
                     grant CAP_CHOWN",
                        self.path.display()
                    ),
                );
            }
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

/// Makes the file at least `length` octets long, on the disk: no later write into it needs room.
fn allocate(file: &File, size: u64, length: u64) -> Result<(), Errno> {
    if size >= length {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::empty(), 0, length as i64) {
        // NFS before 4.2, some FUSE, ZFS; filters.
        Err(errno) if beneath::is_not_there(errno) => {}
        done => return done,
    }
    let zeros = [0; 4096];
    let mut at = size;
    while at < length {
        let part = (length - at).min(zeros.len() as u64) as usize;
        file.write_all_at(&zeros[..part], at).map_err(|error| ending::errno(&error))?;
        at += part as u64;
    }
    Ok(())
}

/// Locks that belong to the open file and outlive every wrapper of it: both that there are, since an instance whose
/// filter denies one of them must exclude one that has the other. One is enough where there is no more (NFS, filters).
fn lock(file: &File) -> Result<(), Errno> {
    #[allow(deprecated, reason = "the wrapper that isn't would unlock when it is dropped")]
    let flock = nix::fcntl::flock(file.as_raw_fd(), FlockArg::LockExclusiveNonblock);
    let whole = nix::libc::flock {
        l_type: nix::libc::F_WRLCK as i16,
        l_whence: nix::libc::SEEK_SET as i16,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let description = fcntl(file, FcntlArg::F_OFD_SETLK(&whole)).map(drop);
    match (flock, description) {
        (Err(Errno::EWOULDBLOCK), _) | (_, Err(Errno::EWOULDBLOCK)) => Err(Errno::EWOULDBLOCK),
        (Ok(()), _) | (_, Ok(())) => Ok(()),
        (_, Err(errno)) => Err(errno),
    }
}

/// What the kernel says, with what to do about it.
fn with_remedy(errno: Errno) -> String {
    let remedy = match errno {
        Errno::ENOSPC | Errno::EDQUOT => "; free some space",
        Errno::EROFS => "; remount the file system writable, or name another directory",
        Errno::EACCES | Errno::EPERM => "; start as root, or as the owner of the directory",
        Errno::EIO => "; the disk is failing, or its file system is damaged",
        _ => "",
    };
    format!("{}{remedy}", errno.desc())
}
