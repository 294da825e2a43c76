//! A state directory that had no room at the start: whether it has now.
//!
//! A process that runs cannot return to it, since none may open a file by its name. A start can, and is short: so, once there
//! has been room for some time, the daemon ends where a service manager starts it again, and says so elsewhere. Only a
//! lack that the file system itself reports is waited for, so that the next start finds what was waited for.

use ipc::units::{RawInstant, Span};
use ipc::{audit_line, governor_record};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use std::os::fd::OwnedFd;

/// So many looks in a row must find room, and so many must have been made since the start: a disk that is full and empty
/// by turns does not restart the daemon every few minutes.
const SURE: u32 = 3;
const PATIENT: u32 = 8;

/// What a start needs, and more than what its launch misses when it gives the directory to be watched: the governor's record and
/// the audit log in their full length, a megabyte for the engine's files; and so many files.
const NEEDED: u64 = governor_record::LENGTH + audit_line::LENGTH + (1 << 20);
const FILES: u64 = 8;

/// See the module's head.
#[derive(Debug)]
pub struct Home {
    /// It can be asked about its file system, and nothing can be opened in it.
    directory: OwnedFd,
    /// Somebody starts the daemon again when it ends.
    is_restarted: bool,
    interval: Span,
    due: RawInstant,
    looks: u32,
    /// How many of the last ones found room.
    found: u32,
    is_told: bool,
}

/// What follows from there being room again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// The daemon ends, and is started again.
    Restart,
    /// An administrator restarts it.
    Told,
}

impl Home {
    /// For a directory that has no room now.
    pub fn new(directory: OwnedFd, is_restarted: bool, interval: Span, now: RawInstant) -> Self {
        Self {
            directory,
            is_restarted,
            interval,
            due: now.after(interval),
            looks: 0,
            found: 0,
            is_told: false,
        }
    }

    /// When it is looked at next.
    pub fn deadline(&self) -> RawInstant {
        self.due
    }

    /// Looks at it, if that is due.
    pub fn look(&mut self, now: RawInstant) -> Option<Return> {
        if now < self.due {
            return None;
        }
        self.due = now.after(self.interval);
        self.looks = self.looks.saturating_add(1);
        self.found = if self.has_room() { self.found.saturating_add(1) } else { 0 };
        if self.found < SURE || self.looks < PATIENT || self.is_told {
            return None;
        }
        self.is_told = true;
        Some(if self.is_restarted { Return::Restart } else { Return::Told })
    }

    fn has_room(&self) -> bool {
        fstatvfs(&self.directory).is_ok_and(|system| {
            !system.flags().contains(FsFlags::ST_RDONLY)
                && system.blocks_available().saturating_mul(system.fragment_size()) >= NEEDED
                && (system.files() == 0 || system.files_available() >= FILES)
        })
    }
}
