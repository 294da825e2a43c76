//! A state directory that had no room at the start: whether it has now.
//!
//! No process that runs can open a file of the state directory, so none returns to it. A start does, and is short: so, once there
//! has been room for some time, the daemon ends where a service manager starts it again, and says so elsewhere. Only a lack that
//! the kernel itself reports is waited for, so that the next start finds what was waited for.

use ipc::units::{RawInstant, Span};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use policies::inherited::InheritError;
use policies::{Inherited, Mounts};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// Between two looks. The service manager's watchdog, which may want a sign of life more often, has nothing to do with it.
pub const INTERVAL: Span = Span::from_secs(60);

/// So many looks in a row must find room, and so many must have been made since the start: a disk that is full and empty
/// by turns does not restart the daemon every few minutes.
const SURE: u32 = 3;
const PATIENT: u32 = 10;

/// A start that found no room after all is followed by one that has twice the patience, up to a day.
const MOST_PATIENT: u32 = 1_440;

/// What a start needs that finds the directory as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Octets on the disk.
    pub octets: u64,
    /// Files that are not there yet.
    pub files: u64,
}

/// See the module's head.
#[derive(Debug)]
pub struct Home {
    /// It can be asked about its file system, and nothing can be opened in it.
    pub directory: OwnedFd,
    /// Its mount, where its own flag hides that of the file system.
    pub mounts: Option<Mounts>,
    /// One octet in the run directory: how many times the daemon has ended for a start that found no room.
    pub returns: Option<File>,
    /// See there.
    pub needed: Needed,
    /// Somebody starts the daemon again when it ends.
    pub is_restarted: bool,
    /// Between two looks.
    pub interval: Span,
}

/// Its looks.
#[derive(Debug)]
pub struct Watch {
    home: Home,
    /// How many in vain, before this start.
    returned: u8,
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

/// The state directory that this start could not write, if it can be seen when it can be.
///
/// # Errors
/// A word of the launch that cannot be used.
pub fn take(words: &Inherited) -> Result<Option<Watch>, InheritError> {
    let Some(directory) = words.optional_fd("state-home")? else { return Ok(None) };
    let needs = |key: &str| Ok::<_, InheritError>(u64::from(words.number(key)?.unwrap_or(u32::MAX)));
    // Only ever lowered, for tests.
    let interval =
        words.number("state-looks")?.map_or(INTERVAL, |millis| Span::from_millis(i64::from(millis)));
    let mount = words.number("state-mount")?.unwrap_or(0);
    let home = Home {
        directory,
        mounts: words.optional_fd("state-mounts")?.map(|list| Mounts::inherited(list, mount)),
        returns: words.optional_fd("state-returns")?.map(File::from),
        needed: Needed {
            octets: needs("state-needs-kib")?.saturating_mul(1_024),
            files: needs("state-needs-files")?,
        },
        is_restarted: words.flag("restarted"),
        interval: interval.min(INTERVAL),
    };
    Ok(Some(Watch::new(home, ipc_clock::raw())))
}

impl Watch {
    /// For a directory that has no room now.
    pub fn new(home: Home, now: RawInstant) -> Self {
        let mut octet = [0];
        // One that cannot be read is one that cannot be written: then nothing restarts the daemon.
        let _ = home.returns.as_ref().map(|file| file.read_at(&mut octet, 0));
        let ([returned], due) = (octet, now.after(home.interval));
        Self { home, returned, due, looks: 0, found: 0, is_told: false }
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
        self.due = now.after(self.home.interval);
        self.looks = self.looks.saturating_add(1);
        self.found = if self.home.has_room() { self.found.saturating_add(1) } else { 0 };
        let doublings = u32::from(self.returned).min(MOST_PATIENT.ilog2());
        let patience = (PATIENT << doublings).min(MOST_PATIENT);
        if self.found < SURE || self.looks < patience || self.is_told {
            return None;
        }
        self.is_told = true;
        Some(if self.home.is_restarted && self.count() { Return::Restart } else { Return::Told })
    }

    /// Notes that the daemon ends for a start; the one that finds room removes the note.
    fn count(&self) -> bool {
        let octet = [self.returned.saturating_add(1)];
        self.home.returns.as_ref().is_some_and(|file| file.write_all_at(&octet, 0).is_ok())
    }
}

impl Home {
    fn has_room(&self) -> bool {
        let is_writable = |flags: FsFlags| match &self.mounts {
            Some(mounts) => mounts.access().is_some_and(|access| access.system),
            None => !flags.contains(FsFlags::ST_RDONLY),
        };
        fstatvfs(&self.directory).is_ok_and(|system| {
            is_writable(system.flags())
                && system.blocks_available().saturating_mul(system.fragment_size()) >= self.needed.octets
                && (system.files() == 0 || system.files_available() >= self.needed.files)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Needed = Needed { octets: 0, files: 0 };
    const MORE_THAN_THERE_IS: Needed = Needed { octets: u64::MAX, files: 0 };

    fn note(name: &str) -> File {
        let path = std::env::temp_dir().join(format!("truechimer-home-{name}-{}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }

    fn home(returns: Option<&File>) -> Home {
        Home {
            directory: File::open(std::env::temp_dir()).unwrap().into(),
            mounts: None,
            returns: returns.map(|file| file.try_clone().unwrap()),
            needed: ROOM,
            is_restarted: true,
            interval: INTERVAL,
        }
    }

    /// Seconds from the start until something follows, looked at every 10 s as by a loop with a watchdog; in seconds for which
    /// `has_room` is false there is none.
    fn follows(home: Home, has_room: impl Fn(i64) -> bool) -> Option<(i64, u32, Return)> {
        let start = RawInstant::try_new(1 << 40).unwrap();
        let mut watch = Watch::new(home, start);
        (0..200_000).step_by(10).find_map(|second| {
            watch.home.needed = if has_room(second) { ROOM } else { MORE_THAN_THERE_IS };
            let followed = watch.look(start.after(Span::from_secs(second)))?;
            Some((second, watch.looks, followed))
        })
    }

    #[test]
    fn a_return_is_ten_minutes_after_the_start_at_the_earliest_however_often_the_loop_turns() {
        let note = note("earliest");
        assert_eq!(follows(home(Some(&note)), |_| true), Some((600, 10, Return::Restart)));
    }

    #[test]
    fn room_that_comes_and_goes_restarts_nothing() {
        let note = note("flaps");
        assert_eq!(follows(home(Some(&note)), |second| second % 180 < 120), None);
        assert_eq!(follows(home(Some(&note)), |second| second > 3_000), Some((3_180, 53, Return::Restart)));
    }

    #[test]
    fn each_return_that_found_no_room_doubles_the_wait_for_the_next_one_up_to_a_day() {
        let note = note("doubles");
        let waits = [600, 1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 76_800, 86_400, 86_400];
        for expected in waits {
            let (second, _, followed) = follows(home(Some(&note)), |_| true).unwrap();
            assert_eq!((second, followed), (expected, Return::Restart));
        }
        note.write_all_at(&[u8::MAX], 0).unwrap();
        assert_eq!(follows(home(Some(&note)), |_| true).map(|found| found.0), Some(86_400));
    }

    #[test]
    fn a_return_that_cannot_be_noted_or_that_nobody_would_make_is_only_told() {
        let note = note("told");
        let unmanaged = Home { is_restarted: false, ..home(Some(&note)) };
        assert_eq!(follows(unmanaged, |_| true), Some((600, 10, Return::Told)));
        assert_eq!(follows(home(None), |_| true), Some((600, 10, Return::Told)));
        let full = File::options().read(true).write(true).open("/dev/full").unwrap();
        full.write_all_at(&[0], 0).unwrap_err();
        let (_, _, followed) = follows(home(Some(&full)), |_| true).unwrap();
        assert_eq!(followed, Return::Told);
    }
}
