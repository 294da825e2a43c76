//! The pages of shared memory from which programs compute the time: files of the run directory that everybody may read. A file
//! stays the same one over restarts, since a program that has mapped it asks no more. Where one cannot be had the daemon runs
//! without it, and says so.

use super::beneath;
use super::diagnosis::{explain, is_ours, kind};
use super::directory::{Directory, allocate};
use keeper::ending::say;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Our page.
const OWN: &str = "time";

/// ClockBound's pages, in a folder of their own.
const CLOCKBOUND: &str = "clockbound";
const SHM: [&str; 2] = ["shm0", "shm1"];

/// Octets of each: a page of memory.
const LENGTH: u64 = 4_096;

/// What the kernel keeps time by.
const CLOCKSOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// Counters that a program can read and of which the kernel says that they run evenly on all processors.
const COUNTERS: [&str; 3] = ["tsc", "tsc-early", "arch_sys_counter"];

/// For the engine, which maps and closes them before it reads anything.
#[derive(Debug, Default)]
pub struct TimePages {
    /// With the words by which it knows them.
    pub files: Vec<(&'static str, File)>,
    /// The kernel keeps time by a counter that programs can read.
    pub counter: bool,
    /// All programs may read the hypervisor's vmclock.
    pub marker: bool,
}

impl TimePages {
    /// Opens or makes them.
    pub fn open(run: &Directory, marker: bool) -> Self {
        let mut files = Vec::new();
        let mut take = |word, folder: BorrowedFd<'_>, name| match page(folder, name) {
            Ok(file) => files.push((word, file)),
            Err(errno) => complain(run, word, errno),
        };
        take("time-page", run.fd(), OWN);
        match folder(run.fd()) {
            Ok(folder) => SHM.into_iter().for_each(|name| take(name, folder.as_fd(), name)),
            Err(errno) => SHM.into_iter().for_each(|name| complain(run, name, errno)),
        }
        let counter = std::fs::read_to_string(CLOCKSOURCE).is_ok_and(|name| COUNTERS.contains(&name.trim()));
        Self { files, counter, marker }
    }
}

fn complain(run: &Directory, word: &str, errno: Errno) {
    let (place, why) = (run.path().display(), explain(errno));
    let (file, who) = if word == "time-page" {
        (OWN.to_owned(), "programs that read the time there (chimerctl now, chimerctl assert)")
    } else {
        (format!("{CLOCKBOUND}/{word}"), "ClockBound's clients")
    };
    say(
        4,
        &format_args!(
            "{place}/{file}: {why}; time is kept, but {who} find none: mend it and restart truechimer"
        ),
    );
}

fn folder(run: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    match mkdirat(run, CLOCKBOUND, Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let folder = openat(run, CLOCKBOUND, flags, Mode::empty())?;
    let facts = fstat(&folder)?;
    if !is_ours(&facts) || facts.st_mode & 0o022 != 0 {
        return Err(Errno::EACCES);
    }
    fchmod(&folder, Mode::from_bits_truncate(0o755))?;
    Ok(folder)
}

/// A page of this name. Only root can write where it is: what else is in its place got there by accident, and is replaced.
fn page(folder: BorrowedFd<'_>, name: &str) -> Result<File, Errno> {
    let is_page = |file: &OwnedFd| {
        fstat(file).is_ok_and(|facts| {
            kind(&facts) == SFlag::S_IFREG
                && is_ours(&facts)
                && facts.st_nlink == 1
                && facts.st_mode & 0o022 == 0
        })
    };
    let file = match beneath::file(folder, name) {
        Ok(file) if is_page(&file) => file,
        Err(errno) if ![Errno::ELOOP, Errno::EISDIR, Errno::ENXIO].contains(&errno) => return Err(errno),
        Ok(_) | Err(_) => {
            unlinkat(folder, name, UnlinkatFlags::NoRemoveDir)?;
            beneath::file(folder, name)
                .and_then(|file| if is_page(&file) { Ok(file) } else { Err(Errno::EACCES) })?
        }
    };
    let facts = fstat(&file)?;
    let file = File::from(file);
    fchmod(&file, Mode::from_bits_truncate(0o644))?;
    // Where a page of a full file system is missing, whoever writes into its mapping is ended by a signal. What is too short
    // is of no use to readers either.
    allocate(&file, &facts, LENGTH).inspect_err(|_| {
        if facts.st_size as u64 >= LENGTH {
            return;
        }
        let _ = unlinkat(folder, name, UnlinkatFlags::NoRemoveDir);
    })?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::PathBuf;

    struct Run(PathBuf);

    impl Run {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().canonicalize().unwrap();
            let folder = folder.join(format!("truechimer-time-pages-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
            Self(folder)
        }

        fn open(&self) -> Vec<&'static str> {
            let run = Directory::open(&self.0).unwrap();
            TimePages::open(&run, false).files.into_iter().map(|(word, _)| word).collect()
        }
    }

    impl Drop for Run {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const ALL: [&str; 3] = ["time-page", "shm0", "shm1"];

    #[test]
    fn everybody_may_read_them_and_they_stay_the_same_files() {
        let run = Run::new("same");
        let mut inodes = Vec::new();
        for _ in 0..2 {
            assert_eq!(run.open(), ALL);
            for name in ["time", "clockbound/shm0", "clockbound/shm1"] {
                let facts = std::fs::metadata(run.0.join(name)).unwrap();
                assert_eq!((facts.mode() & 0o7777, facts.len()), (0o644, 4_096), "{name}");
                // The first page may be taken from the file system, the others are there.
                assert!(facts.blocks() >= 8, "{name}: {}", facts.blocks());
                inodes.push(facts.ino());
            }
            assert_eq!(std::fs::metadata(run.0.join("clockbound")).unwrap().mode() & 0o7777, 0o755);
        }
        assert_eq!(inodes[..3], inodes[3..]);
    }

    #[test]
    fn what_is_in_the_place_of_a_page_is_replaced_and_a_folder_there_costs_that_page_alone() {
        let run = Run::new("place");
        let elsewhere = run.0.join("elsewhere");
        std::fs::write(&elsewhere, "untouched").unwrap();
        symlink(&elsewhere, run.0.join("time")).unwrap();
        assert_eq!(run.open(), ALL);
        assert_eq!(std::fs::read(&elsewhere).unwrap(), b"untouched");
        std::fs::remove_file(run.0.join("time")).unwrap();
        std::fs::hard_link(&elsewhere, run.0.join("time")).unwrap();
        assert_eq!(run.open(), ALL);
        assert_eq!(std::fs::read(&elsewhere).unwrap(), b"untouched");
        // Whoever could have written into it may still have it mapped.
        std::fs::set_permissions(run.0.join("time"), PermissionsExt::from_mode(0o666)).unwrap();
        let before = std::fs::metadata(run.0.join("time")).unwrap().ino();
        let held = File::open(run.0.join("time")).unwrap();
        assert_eq!(run.open(), ALL);
        assert_ne!(std::fs::metadata(run.0.join("time")).unwrap().ino(), before);
        drop(held);
        std::fs::remove_file(run.0.join("clockbound/shm0")).unwrap();
        std::fs::create_dir(run.0.join("clockbound/shm0")).unwrap();
        assert_eq!(run.open(), ["time-page", "shm1"]);
        std::fs::remove_dir_all(run.0.join("clockbound")).unwrap();
        symlink(&run.0, run.0.join("clockbound")).unwrap();
        assert_eq!(run.open(), ["time-page"]);
    }
}
