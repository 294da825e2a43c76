//! The state directory, opened once, before the lock-down. A directory that another user could have prepared is
//! refused, and no link is followed; in a directory that only root can write to, `kept` repairs the files.

use super::beneath;
use super::diagnosis::{self, explain, is_ours, make_roots, owner_and_mode};
use super::kept::{self, Kept, Secrecy};
use super::path_walk::PathWalk;
use keeper::ending::{Ending, say};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, FlockArg, OFlag, fallocate, fcntl, renameat};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmodat, fstat, umask};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, geteuid, unlinkat};
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a lock is retried before another instance is assumed: longer than an ending instance may wait for its
/// processes.
const LOCK_PATIENCE: Duration = Duration::from_secs(4);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A directory that only root and this user can change.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    /// A file in it may be new, so the directory must be synchronised.
    grown: Cell<bool>,
    /// See [`Self::trouble`].
    trouble: RefCell<Option<String>>,
}

/// A file that is looked for, and not made.
pub enum Found {
    /// It is there, and no other user can have written it.
    Trusted(File),
    /// It is there and cannot be read, or another user can have written it.
    Distrusted,
    /// It is not there.
    Nothing,
}

impl Found {
    /// It, if it is there and can be trusted.
    pub fn trusted(self) -> Option<File> {
        match self {
            Self::Trusted(file) => Some(file),
            Self::Distrusted | Self::Nothing => None,
        }
    }
}

/// A new file for the engine's record, readable only by its owner. An existing one becomes `NAME.1`.
///
/// # Errors
/// The path with the reason; those of [`Directory::open`] and [`Directory::file`].
pub fn new_record(path: &Path) -> Result<File, Ending> {
    let wrong = |why: &str| Ending::Configuration(format!("--record {}: {why}", path.display()));
    let name = path.file_name().and_then(std::ffi::OsStr::to_str).ok_or_else(|| wrong("names no file"))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = Directory::open(parent.unwrap_or(Path::new(".")))?;
    match renameat(&directory.fd, name, &directory.fd, format!("{name}.1").as_str()) {
        Ok(()) | Err(Errno::ENOENT) => Ok(directory.file(name, 0, Secrecy::Mendable)?.file),
        Err(errno) => {
            Err(diagnosis::refused(errno, format!("--record {}: {}", path.display(), explain(errno))))
        }
    }
}

/// The file that a directory is locked by.
pub const LOCK: &str = "lock";

impl Directory {
    /// Opens it.
    ///
    /// # Errors
    /// The path with the reason and the remedy: missing, a symbolic link on the way, another owner, writable by others.
    /// A user who could write to it may have changed the data for the budgets, so an operator must look at it.
    pub fn open(path: &Path) -> Result<Self, Ending> {
        let refused = |errno: Errno| {
            let why = match errno {
                Errno::ELOOP => "there is a symbolic link on the way; name the real directory".into(),
                Errno::ENOENT => "no such directory; make it with install -d (the service unit does)".into(),
                Errno::ENOTDIR => {
                    "is not a directory; name a directory, or remove the file in its place".into()
                }
                Errno::EACCES if geteuid().is_root() => match PathWalk::of(path).end() {
                    Some((place, facts)) => {
                        let remedy = make_roots(place, facts, 0o755);
                        format!("{}, {}: cannot be entered; {remedy}", place.display(), owner_and_mode(facts))
                    }
                    None => explain(errno),
                },
                other => explain(other),
            };
            diagnosis::refused(errno, format!("{}: {why}", path.display()))
        };
        let fd = beneath::directory(path).map_err(refused)?;
        let facts = fstat(&fd).map_err(refused)?;
        if !is_ours(&facts) || facts.st_mode & 0o022 != 0 {
            let why = match is_ours(&facts) {
                true => "writable by others than its owner",
                false => "belongs to neither root nor the user that starts truechimerd",
            };
            let (seen, remedy) = (owner_and_mode(&facts), make_roots(path, &facts, facts.st_mode & 0o755));
            let why = format!("{why} ({seen}); check that its content is unchanged, then: {remedy}");
            return Err(Ending::Configuration(format!("{}: {why}", path.display())));
        }
        Ok(Self { fd, path: path.into(), grown: Cell::new(false), trouble: RefCell::new(None) })
    }

    /// Opens or creates a file of at least `length` octets, allocated on disk; an untrusted file in its place is moved
    /// aside.
    ///
    /// # Errors
    /// The path with the reason.
    pub fn file(&self, name: &str, length: u64, secrecy: Secrecy) -> Result<Kept, Ending> {
        self.open_file(name, length, secrecy).inspect_err(|ending| self.note(ending))
    }

    /// The directory itself.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Why a file in it could not be opened, made, given its length or written, if that may pass: the file system is
    /// read-only, full or failing.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// The ending for a file of this name that the kernel refused; see [`Self::trouble`].
    pub fn refused(&self, name: &str, errno: Errno) -> Ending {
        let ending = diagnosis::refused(errno, format!("{}/{name}: {}", self.path.display(), explain(errno)));
        self.note(&ending);
        ending
    }

    fn note(&self, ending: &Ending) {
        if let Ending::Trouble(why) = ending {
            *self.trouble.borrow_mut() = Some(why.clone());
        }
    }

    /// A file of this name, with this `access`.
    pub fn find(&self, name: &str, access: OFlag) -> Found {
        match beneath::existing(self.fd.as_fd(), name, access) {
            Ok(fd) if fstat(&fd).is_ok_and(|facts| kept::distrust(&facts).is_none()) => {
                Found::Trusted(fd.into())
            }
            Err(Errno::ENOENT) => Found::Nothing,
            Ok(_) | Err(_) => Found::Distrusted,
        }
    }

    /// Writes a short text into a file of this name, for programs that its owner starts.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub fn write(&self, name: &str, text: &str) -> Result<(), Ending> {
        let file = self.file(name, 0, Secrecy::Mendable)?.file;
        let written = file.set_len(0).and_then(|()| file.write_all_at(text.as_bytes(), 0));
        written.map_err(|error| self.refused(name, diagnosis::errno(&error)))
    }

    /// Removes a file, if it can.
    pub fn remove(&self, name: &str) {
        let _ = unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir);
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether both are the same directory.
    pub fn is(&self, other: &Self) -> bool {
        let facts = |directory: &Self| fstat(&directory.fd).map(|facts| (facts.st_dev, facts.st_ino));
        facts(self).is_ok_and(|own| facts(other) == Ok(own))
    }

    fn open_file(&self, name: &str, length: u64, secrecy: Secrecy) -> Result<Kept, Ending> {
        let refused = |errno: Errno| self.refused(name, errno);
        let is_afresh = kept::prepare(self.fd.as_fd(), &self.path, name, secrecy)?;
        let fd = beneath::file(self.fd.as_fd(), name).map_err(refused)?;
        let facts = fstat(&fd).map_err(refused)?;
        if let Some(why) = kept::distrust(&facts) {
            let why = format!(
                "{}/{name}: {why}, again while it was opened; find the program that changes it",
                self.path.display()
            );
            return Err(Ending::Configuration(why));
        }
        if facts.st_size == 0 {
            self.grown.set(true);
        }
        let file = File::from(fd);
        allocate(&file, &facts, length).map_err(refused)?;
        Ok(Kept { file, is_afresh })
    }

    /// As [`Self::file`], for the engine; a file that a run without limits has left longer than `most` octets is cut.
    ///
    /// # Errors
    /// As there.
    pub fn engine_file(&self, name: &str, secrecy: Secrecy, most: u64) -> Result<File, Ending> {
        let file = self.file(name, 0, secrecy)?.file;
        let cut = || match file.metadata()?.len() > most {
            true => file.set_len(most),
            false => Ok(()),
        };
        cut().map_err(|error| self.refused(name, diagnosis::errno(&error)))?;
        Ok(file)
    }

    /// Synchronises the directory, so that the names of new files are on disk. Some file systems do not support this,
    /// and an error is ignored.
    pub fn sync(&self) {
        if self.grown.get() {
            let _ = nix::unistd::fsync(&self.fd);
        }
    }

    /// Locks the directory for this process, by a lock file that no other user may open, since a user who can open a
    /// file can lock it. Returns the holder of the lock.
    ///
    /// # Errors
    /// As [`Self::file`]; or that another instance holds the lock.
    pub fn lock(&self) -> Result<OwnedFd, Ending> {
        let held = self.file(LOCK, 0, Secrecy::Mendable)?.file;
        self.hold(&held)?;
        Ok(held.into())
    }

    /// Locks this directory too, unless it is `locked` itself: the socket in it must not be taken from another instance.
    ///
    /// # Errors
    /// As for [`Self::lock`].
    pub fn lock_beside(&self, locked: &Self) -> Result<Option<OwnedFd>, Ending> {
        if self.is(locked) { Ok(None) } else { self.lock().map(Some) }
    }

    /// As [`Self::file`], and locks it too: an instance of an earlier version knows no other lock.
    ///
    /// # Errors
    /// As for [`Self::lock`].
    pub fn locked_file(&self, name: &str, length: u64) -> Result<Kept, Ending> {
        let kept = self.file(name, length, Secrecy::Mendable)?;
        self.hold(&kept.file)?;
        Ok(kept)
    }

    fn hold(&self, file: &File) -> Result<(), Ending> {
        let path = self.path.display();
        match patiently(|| lock(file)) {
            Ok(()) => Ok(()),
            // The other instance may be ending, or waiting for its disk.
            Err(Errno::EWOULDBLOCK) => {
                Err(Ending::Trouble(format!("{path}: another truechimerd is using this directory")))
            }
            Err(errno) => Err(diagnosis::refused(
                errno,
                format!(
                    "{path}: cannot be locked against a second instance ({}); use a directory on a local file system",
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
            diagnosis::refused(errno, format!("{}/{name}: {}", self.path.display(), explain(errno)))
        };
        match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            // An empty directory is not in use.
            Err(Errno::EISDIR) => {
                unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir).map_err(|_| wrong(Errno::EISDIR))?;
            }
            Err(errno) => return Err(wrong(errno)),
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(wrong)?;
        // Through the directory's descriptor, so that a long path, or a rename in between, does not matter.
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
            diagnosis::refused(errno, why)
        })?;
        if let Some(group) = group {
            let (owner, group) = (Some(Uid::current()), Some(Gid::from_raw(group)));
            let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
            // Without it fewer users can use chimerctl; nothing else depends on it.
            if let Err(errno) = fchownat(&self.fd, name, owner, group, flags) {
                let why = errno.desc();
                say(
                    4,
                    &format_args!(
                        "{}/{name} cannot be given to the group truechimer ({why}): only its owner can use chimerctl; \
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

/// Octets of a file, from its beginning, for which there is room on the disk already: a file may be longer than what it
/// takes there (one that was restored from a backup, for instance).
pub fn allocated(facts: &FileStat) -> u64 {
    (facts.st_size as u64).min((facts.st_blocks as u64).saturating_mul(512))
}

/// Makes the file at least `length` octets long, on the disk. No later write into it needs room, unless its file system
/// writes each change to another place.
pub fn allocate(file: &File, facts: &FileStat, length: u64) -> Result<(), Errno> {
    if allocated(facts) >= length {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::empty(), 0, length as i64) {
        // NFS before 4.2, some FUSE, ZFS; filters.
        Err(errno) if beneath::is_not_there(errno) => {}
        done => return done,
    }
    let zeros = [0; 4096];
    let mut at = facts.st_size as u64;
    while at < length {
        let part = (length - at).min(zeros.len() as u64) as usize;
        file.write_all_at(&zeros[..part], at).map_err(|error| diagnosis::errno(&error))?;
        at += part as u64;
    }
    Ok(())
}

/// Retries a lock for a moment: an ending instance still holds it, and so does a process that a killed instance was just
/// starting, until its first instruction.
fn patiently(mut take: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    let begun = Instant::now();
    loop {
        match take() {
            Err(Errno::EWOULDBLOCK) if begun.elapsed() < LOCK_PATIENCE => std::thread::sleep(LOCK_PAUSE),
            taken => return taken,
        }
    }
}

fn flock(fd: &impl AsRawFd) -> Result<(), Errno> {
    #[allow(deprecated, reason = "the newer wrapper would unlock when it is dropped")]
    nix::fcntl::flock(fd.as_raw_fd(), FlockArg::LockExclusiveNonblock)
}

/// Locks of the open file description: both kinds that exist, since an instance whose filter denies one kind must still
/// exclude one that has only the other. One is enough if the other is not available (NFS, filters).
fn lock(file: &File) -> Result<(), Errno> {
    let whole = nix::libc::flock {
        l_type: nix::libc::F_WRLCK as i16,
        l_whence: nix::libc::SEEK_SET as i16,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let description = fcntl(file, FcntlArg::F_OFD_SETLK(&whole)).map(drop);
    match (flock(file), description) {
        (Err(Errno::EWOULDBLOCK), _) | (_, Err(Errno::EWOULDBLOCK)) => Err(Errno::EWOULDBLOCK),
        (Ok(()), _) | (_, Ok(())) => Ok(()),
        (_, Err(errno)) => Err(errno),
    }
}
