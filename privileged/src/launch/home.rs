//! What a state directory lacks into which this start could write nothing, and what the engine is given to see that it lacks it no
//! longer. What the engine could not see is not promised.

use super::beneath;
use super::directory::{Directory, allocated};
use super::kept::Secrecy;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;
use nix::sys::statfs::fstatfs;
use nix::sys::statvfs::{FsFlags, Statvfs, fstatvfs};
use policies::Mounts;
use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};

/// In the run directory: how many times in a row a start that the engine asked for found the state directory without room.
const RETURNS: &str = "returns";

/// Where files are missing, the engine looks for more than what they take: for what is written into them later, and so that
/// another program's next line does not take it again.
const SPARE: Missing = Missing { octets: 1 << 20, files: 3 };

/// File systems that write each change to another place, by their magic number: btrfs, ZFS, f2fs, bcachefs, NILFS2. There a
/// change of what was written before needs room too.
const MOVING: [u32; 5] = [0x9123_683e, 0x2fc1_2fc1, 0xf2f5_2010, 0xca45_1a4e, 0x3434];

/// How much: btrfs still shows some as free where it has none to give (1.6 MiB of 120, on a full one).
const MOVED: u64 = 4 << 20;

/// What the files of a directory still take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Octets.
    pub octets: u64,
    /// Files that are not there.
    pub files: u64,
}

/// What a file system can have too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Room.
    Octets,
    /// Inodes.
    Files,
}

/// For the engine.
#[derive(Debug)]
pub struct Home {
    /// The directory, so that its file system can be asked whether it has room, and nothing else.
    pub place: OwnedFd,
    /// Its mount, where the mount's own flag hides that of the file system.
    pub mounts: Option<Mounts>,
    /// The file [`RETURNS`].
    pub returns: Option<File>,
    /// What is looked for.
    pub needed: Missing,
}

impl Missing {
    /// Of `files`, names with lengths, in this directory.
    pub fn of(directory: BorrowedFd<'_>, files: &[(&str, u64)]) -> Self {
        let moves =
            fstatfs(directory).is_ok_and(|system| MOVING.contains(&(system.filesystem_type().0 as u32)));
        let first = Self { octets: if moves { MOVED } else { 0 }, files: 0 };
        files.iter().fold(first, |sum, (name, length)| {
            match fstatat(directory, *name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(facts) => Self {
                    octets: sum.octets.saturating_add(length.saturating_sub(allocated(&facts))),
                    ..sum
                },
                Err(Errno::ENOENT) => {
                    Self { octets: sum.octets.saturating_add(*length), files: sum.files.saturating_add(1) }
                }
                Err(_) => sum,
            }
        })
    }

    /// What a file system has too little of for it.
    pub fn lack(&self, system: &Statvfs) -> Option<Lack> {
        if system.blocks_available().saturating_mul(system.fragment_size()) < self.octets {
            return Some(Lack::Octets);
        }
        // Some file systems make inodes as they need them, and count none.
        (system.files() != 0 && system.files_available() < self.files).then_some(Lack::Files)
    }

    /// With something to spare, if it is anything.
    fn amply(self) -> Self {
        if self == Self::default() {
            return self;
        }
        Self {
            octets: self.octets.saturating_add(SPARE.octets),
            files: self.files.saturating_add(SPARE.files),
        }
    }
}

impl Home {
    /// Of a directory in which so much is `missing`. None: its file system has room for it, so that something else is the matter;
    /// or it is read-only in a way of which no end could be seen, as a mount that is so for this mount namespace alone.
    pub fn find(state: &Directory, run: &Directory, missing: Missing) -> Option<Self> {
        let system = fstatvfs(state.fd()).ok()?;
        let mut mounts = None;
        if system.flags().contains(FsFlags::ST_RDONLY) {
            let mount = Mounts::of(state.fd())?;
            let access = mount.access().filter(|access| !access.system)?;
            mounts = (!access.mount).then_some(mount);
        } else if missing.lack(&system).is_none() {
            return None;
        }
        let returns = run.file(RETURNS, 1, Secrecy::Mendable).ok().map(|kept| kept.file);
        Some(Self { place: beneath::place(state.fd()).ok()?, mounts, returns, needed: missing.amply() })
    }
}

/// A start has found room: the next lack is waited for as the first one was.
pub fn forget_returns(run: &Directory) {
    run.remove(RETURNS);
}
