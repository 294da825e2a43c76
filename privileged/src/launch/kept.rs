//! Repairs the files of the state directory before they are opened. Only root writes to that directory, so a fault
//! there is an accident: a backup restored under another user, a `chmod -R`. The repair loses as little as possible: a
//! mode is corrected if no other user can have made use of it; a file that another user may have written or read is
//! moved aside unread and replaced by a new one. No link is followed and no owner is changed, so no file outside the
//! directory is affected. A symbolic link is left for the operator to decide on, who may have moved the file on
//! purpose.

use super::diagnosis::{self, explain, is_ours, kind, make_roots, noun, owner_and_mode};
use keeper::ending::{Ending, say};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

/// The suffix of a file that was moved aside. There is at most one for each name.
const ASIDE: &str = ".distrusted";

/// The most directories that can be moved aside from one name.
const MOST_ASIDE: u32 = 9;

/// Readable and writable only by its owner.
const OURS: u32 = 0o600;

/// The level (of syslog) of what a start would be refused for.
pub const REFUSED: u8 = 3;

/// The consequence if others could read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// Its mode is corrected.
    Mendable,
    /// It holds keys: they are no longer used, and are deleted.
    Lost,
}

/// A file of the state directory, open.
#[derive(Debug)]
pub struct Kept {
    /// The file.
    pub file: File,
    /// The file that was there is not trusted. This one is new, which does not mean a first start.
    pub is_afresh: bool,
}

/// Why another user may have written or read an open file; `None` if none can.
pub fn distrust(facts: &FileStat) -> Option<String> {
    let is_private = facts.st_mode & 0o7777 == OURS;
    taint(facts)
        .or_else(|| (!is_private).then(|| format!("has another mode than 0600 ({})", owner_and_mode(facts))))
}

/// Why the contents of a file may come from another user.
fn taint(facts: &FileStat) -> Option<String> {
    if kind(facts) != SFlag::S_IFREG {
        Some(format!("is {} and not a regular file", noun(facts)))
    } else if !is_ours(facts) {
        Some(format!("belongs to another user ({})", owner_and_mode(facts)))
    } else if facts.st_mode & 0o022 != 0 {
        Some(format!("could be written by others ({})", owner_and_mode(facts)))
    } else if facts.st_nlink != 1 {
        Some(format!("has {} names", facts.st_nlink))
    } else {
        None
    }
}

/// What becomes of a file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// It is used as it is.
    Used,
    /// Its mode is corrected, and it is used.
    Mended,
    /// It is moved aside, or removed, for this reason.
    SetAside(String),
    /// The start is refused, for this reason.
    Refused(String),
}

/// What becomes of a file whose full path this is.
fn judge(facts: &FileStat, full: &Path, secrecy: Secrecy) -> Fate {
    if kind(facts) == SFlag::S_IFLNK {
        return Fate::Refused(format!(
            "is a symbolic link, which is not followed; remove it (rm {}), or name another directory with --state-dir",
            full.display()
        ));
    }
    if facts.st_uid != geteuid().as_raw() && facts.st_uid == 0 {
        return Fate::Refused(format!(
            "belongs to root; start as root, or remove it ({})",
            owner_and_mode(facts)
        ));
    }
    let could_be_read = secrecy == Secrecy::Lost && facts.st_mode & 0o044 != 0;
    let could_be_read = could_be_read.then(|| format!("could be read by others ({})", owner_and_mode(facts)));
    match taint(facts).or(could_be_read) {
        Some(why) => Fate::SetAside(why),
        None if distrust(facts).is_some() => Fate::Mended,
        None => Fate::Used,
    }
}

/// Whether a file that is set aside is removed, since it holds keys.
fn is_removed(facts: &FileStat, secrecy: Secrecy) -> bool {
    secrecy == Secrecy::Lost && kind(facts) != SFlag::S_IFDIR
}

/// What a start would make of the file of this name, and how serious that is (a level of syslog); none: it would use it as it is, or
/// begin one where there is none. `path` is the directory's.
pub fn foretell(
    directory: BorrowedFd<'_>,
    path: &Path,
    name: &str,
    secrecy: Secrecy,
) -> Option<(u8, String)> {
    let full = path.join(name);
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let found = match openat(directory, name, flags, Mode::empty()) {
        Ok(found) => found,
        Err(Errno::ENOENT) => return None,
        Err(errno) => {
            let why = format!("{}: {}; until then a start is refused", full.display(), explain(errno));
            return Some((REFUSED, why));
        }
    };
    let facts = fstat(&found).ok()?;
    let full_name = full.display();
    match judge(&facts, &full, secrecy) {
        Fate::Used => None,
        Fate::Mended => {
            Some((4, format!("{full_name} has {}: a start gives it mode 0600", owner_and_mode(&facts))))
        }
        Fate::SetAside(why) if is_removed(&facts, secrecy) => {
            Some((4, format!("{full_name} {why}: a start removes it, and begins a new one")))
        }
        Fate::SetAside(why) => {
            Some((4, format!("{full_name} {why}: a start moves it to {name}{ASIDE}, and begins a new one")))
        }
        Fate::Refused(why) => Some((REFUSED, format!("{full_name}: {why}; until then a start is refused"))),
    }
}

/// Makes the file of this name one that can be trusted, or absent; true if a file was moved aside. `path` is the
/// directory's, for messages.
///
/// # Errors
/// A symbolic link; a file owned by root if another user starts the daemon; an error of the kernel.
pub fn prepare(directory: BorrowedFd<'_>, path: &Path, name: &str, secrecy: Secrecy) -> Result<bool, Ending> {
    let full = path.join(name);
    let wrong = |why: &str| Ending::Configuration(format!("{}: {why}", full.display()));
    let refused = |errno: Errno| diagnosis::refused(errno, format!("{}: {}", full.display(), explain(errno)));
    // O_PATH: this neither waits for a fifo nor wakes a device, and needs no access to the file.
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let found = match openat(directory, name, flags, Mode::empty()) {
        Ok(found) => found,
        // Also if the name is invalid: the open reports it.
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(false),
        Err(errno) => return Err(refused(errno)),
    };
    let facts = fstat(&found).map_err(refused)?;
    let fate = judge(&facts, &full, secrecy);
    if let Fate::Refused(why) = &fate {
        return Err(wrong(why));
    }
    if let Fate::SetAside(why) = &fate {
        let where_to = set_aside(directory, name, is_removed(&facts, secrecy)).map_err(refused)?;
        say(4, &format_args!("{} {why}: {where_to}, and a new one is begun", full.display()));
        return Ok(true);
    }
    if fate == Fate::Mended {
        // The same file, even if its name has changed meanwhile.
        let pinned = format!("/proc/self/fd/{}", found.as_raw_fd());
        let mode = Mode::from_bits_truncate(OURS);
        fchmodat(AT_FDCWD, pinned.as_str(), mode, FchmodatFlags::FollowSymlink).map_err(|errno| {
            let remedy = make_roots(&full, &facts, OURS);
            let why = format!("{}: {} ({}); {remedy}", full.display(), errno.desc(), owner_and_mode(&facts));
            diagnosis::refused(errno, why)
        })?;
        say(4, &format_args!("{} had {}: it has mode 0600 again", full.display(), owner_and_mode(&facts)));
    }
    Ok(false)
}

/// Moves the file of this name aside, and logs its new name.
fn set_aside(directory: BorrowedFd<'_>, name: &str, is_secret: bool) -> Result<String, Errno> {
    if is_secret {
        unlinkat(directory, name, UnlinkatFlags::NoRemoveDir)?;
        return Ok("removed".into());
    }
    let to = |aside: String| move_to(directory, name, aside);
    let first = to(format!("{name}{ASIDE}"));
    // A non-empty directory has that name already.
    (2..=MOST_ASIDE).fold(first, |moved, number| match moved {
        Err(Errno::ENOTEMPTY | Errno::EEXIST) => to(format!("{name}{ASIDE}.{number}")),
        moved => moved,
    })
}

fn move_to(directory: BorrowedFd<'_>, name: &str, aside: String) -> Result<String, Errno> {
    match renameat(directory, name, directory, aside.as_str()) {
        // The one moved there before is of another kind, or a non-empty directory.
        Err(Errno::EISDIR) => {
            unlinkat(directory, name, UnlinkatFlags::NoRemoveDir).map(|()| "removed".into())
        }
        Err(Errno::ENOTDIR) => {
            unlinkat(directory, aside.as_str(), UnlinkatFlags::NoRemoveDir)?;
            renameat(directory, name, directory, aside.as_str()).map(|()| format!("moved to {aside}"))
        }
        moved => moved.map(|()| format!("moved to {aside}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::fchmod;
    use std::os::fd::AsFd;

    #[test]
    fn what_is_foretold_of_a_file_is_what_a_start_makes_of_it() {
        let path = std::env::temp_dir().join(format!("truechimer-kept-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let directory = File::open(&path).unwrap();
        let make = |name: &str, mode: u32| {
            let file = File::create(path.join(name)).unwrap();
            fchmod(&file, Mode::from_bits_truncate(mode)).unwrap();
        };
        make("used", 0o600);
        make("mended", 0o644);
        make("aside", 0o666);
        make("keys", 0o640);
        std::os::unix::fs::symlink("used", path.join("link")).unwrap();
        let foretell = |name, secrecy| super::foretell(directory.as_fd(), &path, name, secrecy);
        let prepare = |name, secrecy| super::prepare(directory.as_fd(), &path, name, secrecy);
        let (mendable, lost) = (Secrecy::Mendable, Secrecy::Lost);
        for (name, secrecy, level, word, made) in [
            ("none", mendable, None, "", Some(false)),
            ("used", lost, None, "", Some(false)),
            ("mended", mendable, Some(4), "gives it mode 0600", Some(false)),
            ("aside", mendable, Some(4), "moves it to aside.distrusted", Some(true)),
            ("keys", lost, Some(4), "removes it", Some(true)),
            ("link", mendable, Some(3), "a start is refused", None),
        ] {
            let said = foretell(name, secrecy);
            assert_eq!(said.as_ref().map(|(level, _)| *level), level, "{name}");
            assert!(said.is_none_or(|(_, text)| text.contains(word)), "{name}");
            // Nothing has come of it.
            assert_eq!(foretell(name, secrecy).map(|(level, _)| level), level, "{name}");
            assert_eq!(prepare(name, secrecy).ok(), made, "{name}");
        }
        assert_eq!(foretell("mended", mendable), None, "it has been");
        assert!(path.join("aside.distrusted").exists() && !path.join("keys").exists());
        std::fs::remove_dir_all(&path).unwrap();
    }
}
