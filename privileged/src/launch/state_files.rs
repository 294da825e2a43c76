//! The files of the state directory, or of the run directory while that one cannot be written: a read-only or full file
//! system keeps no clock from being kept.
//!
//! The run directory lasts as long as the boot, or until the service is stopped, so that a restart refills nothing there
//! either. The newer of two records counts, by its sequence. A start that finds the state directory writable again takes the
//! record back, and not the audit log. The engine's two files it only hands over with their namesakes of the other
//! directory: they count by their sequence too, and a file of keys is void in any copy of it.

use super::audit_log;
use super::diagnosis::{self, explain};
use super::directory::{self, Directory, Found};
use super::home::{self, Home, Lack, Missing};
use super::kept::{self, Secrecy};
use super::memory;
use ipc::{anchor, audit_line, governor_record, history};
use keeper::ending::{Ending, say};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::geteuid;
use policies::Role;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const GOVERNOR: &str = "governor";
/// The audit log.
pub const AUDIT: &str = "audit.log";
const STATE: &str = "engine.state";
const KEYS: &str = "engine.keys";
/// The history of minutes (the same).
const HISTORY: &str = "engine.history";
const REPORT: &str = "engine.malfeasance";
/// Anchors of log and history (as that one).
const ANCHORS: &str = "engine.anchors";
/// What becomes of the run directory, for the messages.
const LOST: &str = "and is lost by a reboot";
/// All of them, with the length that is allocated at the start.
const ALL: [(&str, u64); 8] = [
    (directory::LOCK, 0),
    (GOVERNOR, governor_record::LENGTH),
    (AUDIT, audit_line::LENGTH),
    (STATE, 0),
    (KEYS, 0),
    (HISTORY, 0),
    (REPORT, 0),
    (ANCHORS, 0),
];

/// Warns, for `--check`, of a state directory that a start could not write its files into. One that is not there is made by
/// the service unit.
pub fn warn_of_room(path: &Path) {
    // What is no directory is not waited for: a fifo has nobody at its other end.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let Ok(directory) = nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty()).map(File::from) else {
        return;
    };
    let Ok(system) = fstatvfs(&directory) else { return };
    let needed = Missing::of(directory.as_fd(), &ALL);
    let lacks = match () {
        () if system.flags().contains(FsFlags::ST_RDONLY) => explain(Errno::EROFS),
        () => match needed.lack(&system) {
            Some(Lack::Octets) => "its file system has too little free space (df): free some".to_owned(),
            Some(Lack::Files) => {
                "its file system has too few free inodes (df -i): delete files there that are not needed, \
                 whatever their size (du --inodes -x shows where the most are)"
                    .to_owned()
            }
            None => return,
        },
    };
    let Missing { octets, files } = needed;
    say(
        4,
        &format_args!(
            "{}: {lacks} (files that are not there yet: {files}; room that is needed: {} KiB); until then what is to be \
             remembered is lost with each boot",
            path.display(),
            octets.div_ceil(1_024)
        ),
    );
}

/// Says, for `--check`, what a start would make of the state directory and of the files in it: refuse them, mend them, or set them
/// aside. One that is not there is made by the service unit. True: a start would be refused.
pub fn foretell(path: &Path) -> bool {
    let Some(directory) = (match open_for_check(path) {
        Ok(directory) => directory,
        Err(()) => return true,
    }) else {
        return false;
    };
    let mut is_refused = false;
    for (name, _) in ALL {
        let secrecy = if name == KEYS { Secrecy::Lost } else { Secrecy::Mendable };
        if let Some((level, text)) = kept::foretell(directory.fd(), path, name, secrecy) {
            is_refused |= level == kept::REFUSED;
            say(level, &text);
        }
    }
    is_refused
}

/// The same of the run directory, of which nothing but itself is judged.
pub fn foretell_run(path: &Path) -> bool {
    open_for_check(path).is_err()
}

/// A directory of the daemon's, as a start would open it; `None`: it is not there, or only another user sees what a start makes of it.
///
/// # Errors
/// A start would be refused, which is said.
fn open_for_check(path: &Path) -> Result<Option<Directory>, ()> {
    // A link is there, and so is what cannot be looked at: a start refuses both.
    let facts = match std::fs::symlink_metadata(path) {
        Ok(facts) => Some(facts),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(_) => None,
    };
    let own = geteuid();
    if !own.is_root() && facts.is_none_or(|facts| facts.uid() != own.as_raw()) {
        let path = path.display();
        say(
            4,
            &format_args!(
                "{path}: only its owner sees what a start would make of it and of the files in it; check as root"
            ),
        );
        return Ok(None);
    }
    match policies::within_owner_and_mode(|| Directory::open(path)) {
        Ok(directory) => Ok(Some(directory)),
        Err(ending) => {
            say(kept::REFUSED, &format_args!("{ending}; until then a start is refused"));
            Err(())
        }
    }
}

/// Files of one directory, open and trusted.
pub struct StateFiles {
    /// The governor's record.
    pub governor: File,
    /// The audit log.
    pub audit: File,
    /// The record or the log was replaced, since another user could have written it, or one that is there cannot be read.
    pub is_distrusted: bool,
    /// The engine's.
    pub state: File,
    /// The engine's.
    pub keys: File,
    /// The same; none elsewhere: what is lost by a reboot is no history.
    pub history: Option<File>,
    /// The same.
    pub anchors: Option<File>,
    /// The engine's: the last proof that a Roughtime server signed a wrong time.
    pub report: File,
    /// The engine's in the other directory, `state` and `keys`, as far as they are there and trusted.
    pub aside: [Option<File>; 2],
    /// Locks of both directories, as far as there are any.
    pub locks: [Option<OwnedFd>; 2],
    /// Why these are in the run directory; none: they are where they belong.
    pub elsewhere: Option<String>,
    /// The state directory, to be asked whether it can be written, where that is what can be seen.
    pub home: Option<Home>,
    /// They are where they belong, and a start that could not write them there would have them in the run directory.
    pub has_refuge: bool,
}

impl StateFiles {
    /// Opens them, and locks both directories.
    ///
    /// # Errors
    /// The path with the reason: a file that no waiting mends, another instance, or neither directory can be written.
    pub fn open(state: &Directory, run: &Directory) -> Result<Self, Ending> {
        let lock = match state.lock() {
            Ok(lock) => Some(lock),
            Err(_) if state.trouble().is_some() => None,
            Err(ending) => return Err(ending),
        };
        let mut is_distrusted = false;
        let ending = match lock.is_some().then(|| Self::open_at_home(state, run, &mut is_distrusted)) {
            Some(Ok(mut files)) => {
                files.locks[0] = lock;
                return Ok(files);
            }
            Some(Err(ending)) => ending,
            None => Ending::Trouble(state.trouble().unwrap_or_default()),
        };
        let Some(why) = state.trouble().filter(|_| !run.is(state)) else { return Err(ending) };
        let run_lock = run.lock()?;
        // The message about the state directory is the one that helps.
        let mut files = Self::open_in(run, &mut is_distrusted).map_err(|_| ending)?;
        files.locks = [lock, Some(run_lock)];
        files.continue_from(state);
        let place = run.path().display();
        say(
            3,
            &format_args!(
                "{why}: the clock is kept; what is to be remembered is in {place}, {LOST}: mend that while the daemon \
                 runs"
            ),
        );
        files.home = Home::find(state, run, Missing::of(state.fd(), &ALL));
        let remedy = match files.home {
            Some(_) => "mend that while the daemon runs; it then returns there by a restart of its own",
            None => "mend that while the daemon runs, then systemctl restart truechimer",
        };
        files.elsewhere = Some(format!("{why}; what is to be remembered is in {place}, {LOST}: {remedy}"));
        Ok(files)
    }

    /// In the state directory, with what an earlier start of this boot had in the run directory; that one is locked, too.
    fn open_at_home(state: &Directory, run: &Directory, is_distrusted: &mut bool) -> Result<Self, Ending> {
        let mut files = Self::open_in(state, is_distrusted)?;
        files.locks[1] = run.lock_beside(state)?;
        // A record that was spent there and cannot be written here must not be forgotten: it goes on there.
        files.take_back(state, run).map_err(|errno| state.refused(GOVERNOR, errno))?;
        files.history = Some(state.engine_file(HISTORY, Secrecy::Mendable, history::LARGEST)?);
        let most = anchor::SLOTS * anchor::SLOT as u64;
        files.anchors = Some(state.engine_file(ANCHORS, Secrecy::Mendable, most)?);
        files.has_refuge = !run.is(state);
        Ok(files)
    }

    /// `is_distrusted`: what was there could not be trusted, which is known also where all else fails.
    fn open_in(directory: &Directory, is_distrusted: &mut bool) -> Result<Self, Ending> {
        let refused = |errno| directory.refused(GOVERNOR, errno);
        let void = |file: &File| memory::void(file).map_err(refused);
        let governor = directory.locked_file(GOVERNOR, governor_record::LENGTH)?;
        // The replaced record is marked, or a later start could take it for a first one.
        *is_distrusted |= governor.is_afresh;
        if governor.is_afresh {
            void(&governor.file)?;
        }
        let audit = directory.file(AUDIT, audit_line::LENGTH, Secrecy::Mendable)?;
        *is_distrusted |= audit.is_afresh;
        if audit.is_afresh {
            void(&governor.file)?;
        }
        let largest = Role::Engine.confinement().largest_file.unwrap_or(0);
        let state = directory.engine_file(STATE, Secrecy::Mendable, largest)?;
        let keys = directory.engine_file(KEYS, Secrecy::Lost, largest)?;
        let report = directory.engine_file(REPORT, Secrecy::Mendable, largest)?;
        // A file system that is full, failing or read-only may open what it does not let anybody write.
        let ends = memory::prove(&governor.file).map_err(refused)?;
        audit_log::prove(&audit.file, ends)
            .map_err(|error| directory.refused(AUDIT, diagnosis::errno(&error)))?;
        directory.sync();
        Ok(Self {
            is_distrusted: *is_distrusted,
            governor: governor.file,
            audit: audit.file,
            state,
            keys,
            history: None,
            anchors: None,
            report,
            aside: [None, None],
            locks: [None, None],
            elsewhere: None,
            home: None,
            has_refuge: false,
        })
    }

    /// Goes on from what is in the state directory, as far as it can be read and is newer. What cannot be read may have
    /// been spent.
    fn continue_from(&mut self, state: &Directory) {
        match state.find(GOVERNOR, OFlag::O_RDONLY) {
            Found::Trusted(theirs) => self.is_distrusted |= !memory::continue_from(&self.governor, &theirs),
            Found::Nothing => {}
            Found::Distrusted => self.is_distrusted = true,
        }
        match state.find(AUDIT, OFlag::O_RDONLY) {
            Found::Trusted(theirs) => self.is_distrusted |= audit_log::may_have_granted(&theirs),
            Found::Nothing => {}
            Found::Distrusted => self.is_distrusted = true,
        }
        self.aside = [STATE, KEYS].map(|name| state.find(name, OFlag::O_RDONLY).trusted());
    }

    /// Takes back what an earlier start of this boot had in the run directory.
    fn take_back(&mut self, state: &Directory, run: &Directory) -> Result<(), Errno> {
        if run.is(state) {
            return Ok(());
        }
        // Once it has saved their content where it belongs, the engine voids them.
        self.aside = [STATE, KEYS].map(|name| run.find(name, OFlag::O_RDWR).trusted());
        if let Found::Trusted(theirs) = run.find(GOVERNOR, OFlag::O_RDONLY) {
            if memory::take_back(&self.governor, &theirs)? {
                say(
                    5,
                    &format_args!(
                        "{} can be written again: the governor's record of {} was taken back",
                        state.path().display(),
                        run.path().display()
                    ),
                );
            }
            run.remove(GOVERNOR);
        }
        home::forget_returns(run);
        Ok(())
    }
}
