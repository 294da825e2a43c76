//! The folder of the files. No link in it is followed, and nothing in it is written that is no file of its own.

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// An open folder.
#[derive(Debug)]
pub struct Folder(OwnedFd);

/// What tells one file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(nix::libc::dev_t, nix::libc::ino_t);

impl Folder {
    /// Opens it. Its path may be a link, as that of a unit's LogsDirectory is.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        Ok(Self(open(path, flags, Mode::empty())?))
    }

    /// Opens a file to read it, and to write at its end; makes it, with mode 0640, if it is not there.
    ///
    /// # Errors
    /// The kernel's; or it is a link, no file, or has another name elsewhere.
    pub fn append(&self, name: &str) -> io::Result<File> {
        self.take(name, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_APPEND)
    }

    /// The same to write anywhere in it.
    ///
    /// # Errors
    /// As [`Folder::append`].
    pub fn keep(&self, name: &str) -> io::Result<File> {
        self.take(name, OFlag::O_RDWR | OFlag::O_CREAT)
    }

    /// The last octets of a file, `most` of them; none: it cannot be read.
    pub fn tail(&self, name: &str, most: u64) -> Option<Vec<u8>> {
        let file = self.take(name, OFlag::O_RDONLY).ok()?;
        let length = file.metadata().ok()?.len();
        let mut octets = vec![0; usize::try_from(length.min(most)).ok()?];
        file.read_exact_at(&mut octets, length.saturating_sub(most)).ok()?;
        Some(octets)
    }

    fn take(&self, name: &str, flags: OFlag) -> io::Result<File> {
        // Nothing but a file makes whoever opens it wait.
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let opened = openat(&self.0, name, flags, Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP);
        let fd = opened.map_err(|errno| match errno {
            Errno::ELOOP => io::Error::new(ErrorKind::PermissionDenied, "it is a link"),
            errno => errno.into(),
        })?;
        let facts = fstat(&fd)?;
        if SFlag::from_bits_truncate(facts.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
            return Err(io::Error::new(ErrorKind::PermissionDenied, "it is no file"));
        }
        if facts.st_nlink > 1 {
            return Err(io::Error::new(ErrorKind::PermissionDenied, "it has a second name (a hard link)"));
        }
        Ok(fd.into())
    }

    /// Which file has this name now; none: there is none.
    ///
    /// # Errors
    /// The kernel's.
    pub fn identity(&self, name: &str) -> io::Result<Option<Identity>> {
        match fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(facts) => Ok(Some(Identity::of(&facts))),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Gives a file another name; what had that name is gone.
    ///
    /// # Errors
    /// The kernel's.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.0, from, &self.0, to)?)
    }
}

impl Identity {
    fn of(facts: &FileStat) -> Self {
        Self(facts.st_dev, facts.st_ino)
    }

    /// Of an open file.
    ///
    /// # Errors
    /// The kernel's.
    pub fn of_file(file: &File) -> io::Result<Self> {
        Ok(Self::of(&fstat(file)?))
    }
}
