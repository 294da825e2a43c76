//! Files that the command line names. Whatever else lies in the place of one is neither waited for nor read.

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

/// `O_NONBLOCK` and `O_NOCTTY` of Linux on the architectures that there are packages for.
const WITHOUT_WAITING: i32 = 0o4000 | 0o400;

/// `ENXIO`: a socket, or a device without a driver.
const NO_FILE: i32 = 6;

/// What is in a place is looked at before it is opened, since opening some devices does something. By the kernel's call and not
/// through the standard library: with musl that one takes `O_PATH` for a part of the access mode, and leaves it out.
const LOOK: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

/// Opens a regular file for reading, that no link in its place leads to.
///
/// # Errors
/// As [`open`].
pub fn open_itself(path: &Path) -> io::Result<File> {
    open_with(path, OFlag::O_NOFOLLOW)
}

/// Opens a regular file for reading.
///
/// # Errors
/// That of the failed system call; [`ErrorKind::InvalidInput`], with a sentence, for a fifo, a socket, a device or a
/// directory.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(path, OFlag::empty())
}

fn open_with(path: &Path, more: OFlag) -> io::Result<File> {
    let irregular = || io::Error::new(ErrorKind::InvalidInput, "is no regular file and was not read");
    let there = File::from(nix::fcntl::open(path, LOOK | more, Mode::empty())?);
    if !there.metadata()?.is_file() {
        return Err(irregular());
    }
    let itself = format!("/proc/self/fd/{}", there.as_raw_fd());
    let flags = WITHOUT_WAITING;
    let opened = match File::options().read(true).custom_flags(flags).open(&itself) {
        // Without /proc, as in a root that is being assembled.
        Err(error) if error.kind() == ErrorKind::NotFound && !Path::new("/proc/self/fd").exists() => {
            File::options().read(true).custom_flags(flags | more.bits()).open(path)
        }
        opened => opened,
    };
    let file =
        opened.map_err(|error| if error.raw_os_error() == Some(NO_FILE) { irregular() } else { error })?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(irregular()),
    }
}

/// Who may do what with a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modes {
    /// Of one that is new, as far as the umask permits it.
    new: u32,
    /// What is kept at most of the mode of one that is replaced.
    kept: u32,
}

impl Modes {
    /// For everybody.
    pub const OPEN: Self = Self { new: 0o666, kept: 0o777 };
    /// For its owner, and whoever could read or write it before.
    pub const OWN: Self = Self { new: 0o600, kept: 0o666 };
    /// For its owner, and the group that could read it before: what is secret.
    pub const SECRET: Self = Self { new: 0o600, kept: 0o640 };
}

/// Writes a file whole or not at all: what is in its place stays until the new one is complete, which gets its owner, its group and
/// its mode. A link is neither followed nor replaced: /dev/stdout is one.
///
/// # Errors
/// That of the failed system call; [`ErrorKind::InvalidInput`], with a sentence, where something else than a regular file is in
/// its place.
pub fn write(path: &Path, modes: Modes, octets: &[u8]) -> io::Result<()> {
    let replaced = refuse_irregular(path)?;
    let irregular = || invalid("is no name of a file, and was not written");
    write_beside(path, modes, octets, replaced.as_ref(), irregular, |new| std::fs::rename(new, path))
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, text)
}

/// The regular file that is in a place; none: nothing is.
///
/// # Errors
/// As [`write`]: something else is in the place.
pub fn refuse_irregular(path: &Path) -> io::Result<Option<Metadata>> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_symlink() => {
            Err(invalid("is a link and was not written; name the file itself, or leave the option out"))
        }
        Ok(there) if there.is_dir() => Err(invalid("is a directory and was not written; name a file in it")),
        Ok(there) if !there.is_file() => Err(invalid("is no regular file and was not written")),
        Ok(there) => Ok(Some(there)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file that is not there yet.
///
/// # Errors
/// That of the failed system call: also where something is there, a link that leads nowhere among it.
pub fn write_new(path: &Path, octets: &[u8]) -> io::Result<()> {
    let irregular = || io::Error::new(ErrorKind::InvalidInput, "is no name of a file");
    // What it was made of may have been for its owner alone; and the name is given only if it is free.
    write_beside(path, Modes::SECRET, octets, None, irregular, |new| std::fs::hard_link(new, path))
}

/// Whether two names are one file, or would be once both are written.
pub fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).map(|there| (there.dev(), there.ino())).ok();
    let place = |path: &Path| {
        let whole = std::path::absolute(path).ok()?;
        Some((whole.parent()?.canonicalize().ok()?, whole.file_name()?.to_owned()))
    };
    one == other
        || identity(one).is_some_and(|one| identity(other) == Some(one))
        || place(one).is_some_and(|one| place(other) == Some(one))
}

/// Writes a folder that is not there yet, or is empty, whole or not at all: for its owner alone.
///
/// # Errors
/// That of the failed system call; [`ErrorKind::AlreadyExists`], with a sentence, where something is in the folder, and
/// [`ErrorKind::InvalidInput`] where its place is taken by something else, a link among it.
pub fn write_folder(path: &Path, files: &[(&str, Vec<u8>)]) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_symlink() => {
            return Err(invalid("is a link, and nothing was written; name the folder itself"));
        }
        Ok(there) if !there.is_dir() => return Err(invalid("is no folder, and nothing was written")),
        Ok(_) if std::fs::read_dir(path)?.next().is_some() => {
            let text = "is not empty, and nothing was written; name a folder that is not there";
            return Err(io::Error::new(ErrorKind::AlreadyExists, text));
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut name = path.file_name().ok_or_else(|| invalid("is no name of a folder"))?.to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    std::fs::DirBuilder::new().mode(0o700).create(&new).map_err(unmade)?;
    let fill = || {
        for (name, octets) in files {
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(new.join(name))?;
            file.write_all(octets)?;
            file.sync_all()?;
        }
        File::open(&new)?.sync_all()?;
        // An empty folder in its place is replaced, and one in which something is by now is not.
        std::fs::rename(&new, path)
    };
    let written = fill();
    if written.is_err() {
        for (name, _) in files {
            let _ = std::fs::remove_file(new.join(name));
        }
        let _ = std::fs::remove_dir(&new);
    }
    written
}

/// Why nothing can be made in a folder.
fn unmade(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::NotFound => {
            io::Error::new(ErrorKind::NotFound, "the folder for it is not there; make it first")
        }
        _ => error,
    }
}

/// Writes a new file beside this place, whole, and gives it the name then; it leaves nothing else. `replaced`: whose owner, group and mode it
/// gets. `unnamed`: the error where the path ends in no name.
fn write_beside(
    path: &Path,
    modes: Modes,
    octets: &[u8],
    replaced: Option<&Metadata>,
    unnamed: impl FnOnce() -> io::Error,
    give_name: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let mut name = path.file_name().ok_or_else(unnamed)?.to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let mode = if replaced.is_some() { 0o600 } else { modes.new };
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&new).map_err(unmade)?;
    let keep = |there: &Metadata| {
        let is_strangers = there.uid() != 0 && there.uid() != nix::unistd::geteuid().as_raw();
        if modes == Modes::SECRET && is_strangers {
            let text = "belongs to another user, who would get what is secret; give it to root (chown root), or remove it";
            return Err(invalid(text));
        }
        // Whose group it cannot be given to may not read it.
        let is_given = fchown(&file, Some(there.uid()), Some(there.gid())).is_ok();
        let mode = there.mode() & modes.kept & if is_given { 0o777 } else { 0o700 };
        file.set_permissions(Permissions::from_mode(mode))
    };
    let written = replaced.map_or(Ok(()), keep).and_then(|()| file.write_all(octets));
    let written = written.and_then(|()| file.sync_all());
    let named = written.and_then(|()| give_name(&new));
    let _ = std::fs::remove_file(&new);
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_written_whole_or_not_at_all_and_nothing_that_is_there_is_touched() {
        let place = std::env::temp_dir().join(format!("chimerctl-folder-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        let names = || {
            let entries = std::fs::read_dir(&place).unwrap();
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        let files = [("a", b"one".to_vec()), ("b", b"two".to_vec())];
        write_folder(&place.join("new"), &files).unwrap();
        std::fs::create_dir(place.join("empty")).unwrap();
        write_folder(&place.join("empty/"), &files).unwrap();
        for folder in ["new", "empty"] {
            assert_eq!(std::fs::read(place.join(folder).join("b")).unwrap(), b"two");
            assert_eq!(std::fs::metadata(place.join(folder)).unwrap().mode() & 0o7777, 0o700);
            assert_eq!(std::fs::metadata(place.join(folder).join("a")).unwrap().mode() & 0o7777, 0o600);
        }
        let error =
            |path: &str, files: &[(&str, Vec<u8>)]| write_folder(&place.join(path), files).unwrap_err();
        assert!(error("new", &files).to_string().contains("is not empty"));
        std::fs::write(place.join("file"), b"x").unwrap();
        assert!(error("file", &files).to_string().contains("is no folder"));
        std::os::unix::fs::symlink("nowhere", place.join("link")).unwrap();
        assert!(error("link", &files).to_string().contains("is a link"));
        assert_eq!(error("nowhere/new", &files).kind(), ErrorKind::NotFound);
        assert!(error("..", &files).to_string().contains("is not empty"));
        // The second file cannot be made: nothing stays of the first.
        let twice = [("a", b"one".to_vec()), ("a", b"two".to_vec())];
        assert_eq!(error("half", &twice).kind(), ErrorKind::AlreadyExists);
        assert_eq!(names(), ["empty", "file", "link", "new"]);
        std::fs::remove_dir_all(&place).unwrap();
    }

    #[test]
    fn a_file_is_written_whole_and_what_is_no_file_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("chimerctl-write-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (file, link) = (folder.join("a.svg"), folder.join("link.svg"));
        write(&file, Modes::OPEN, b"one").unwrap();
        write(&file, Modes::OPEN, b"two").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(write(&link, Modes::OPEN, b"three").is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "two");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        // As root they would be replaced for all programs of the machine, so it is tried with one of our own.
        let stdout = folder.join("stdout");
        std::os::unix::fs::symlink("/proc/self/fd/1", &stdout).unwrap();
        assert!(write(&stdout, Modes::OPEN, b"four").is_err());
        assert!(std::fs::symlink_metadata(&stdout).unwrap().is_symlink());
        for place in ["/dev/null", "/", "/nonexistent/a.svg", "/proc/self/a.svg"] {
            assert!(write(Path::new(place), Modes::OPEN, b"x").is_err(), "{place}");
        }
        let refused = write(&folder, Modes::OPEN, b"x").unwrap_err();
        assert!(refused.to_string().contains("is a directory"), "{refused}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_that_is_replaced_keeps_its_mode_and_a_secret_one_is_never_open_to_others() {
        let folder = std::env::temp_dir().join(format!("chimerctl-modes-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("a");
        for (modes, before, after) in [
            (Modes::OWN, None, 0o600),
            (Modes::SECRET, None, 0o600),
            (Modes::OPEN, Some(0o600), 0o600),
            (Modes::OPEN, Some(0o640), 0o640),
            (Modes::OWN, Some(0o640), 0o640),
            (Modes::OWN, Some(0o644), 0o644),
            (Modes::SECRET, Some(0o640), 0o640),
            (Modes::SECRET, Some(0o600), 0o600),
            (Modes::SECRET, Some(0o666), 0o640),
        ] {
            let _ = std::fs::remove_file(&file);
            if let Some(mode) = before {
                std::fs::write(&file, b"before").unwrap();
                std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            }
            write(&file, modes, b"after").unwrap();
            let mode = std::fs::metadata(&file).unwrap().mode() & 0o7777;
            assert_eq!(mode, after, "{modes:?} {before:?}: {mode:o}");
        }
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(0), Some(61_399)).unwrap();
            write(&file, Modes::SECRET, b"again").unwrap();
            let there = std::fs::metadata(&file).unwrap();
            assert_eq!((there.uid(), there.gid(), there.mode() & 0o7777), (0, 61_399, 0o640));
            // Nobody gets a secret because the file was his.
            std::os::unix::fs::chown(&file, Some(61_398), None).unwrap();
            let refused = write(&file, Modes::SECRET, b"secret").unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
            assert_eq!(std::fs::read(&file).unwrap(), b"again");
            write(&file, Modes::OWN, b"none").unwrap();
            let there = std::fs::metadata(&file).unwrap();
            assert_eq!((there.uid(), there.gid(), there.mode() & 0o7777), (61_398, 61_399, 0o640));
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn one_file_is_known_under_each_of_its_names() {
        let folder = std::env::temp_dir().join(format!("chimerctl-same-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("b")).unwrap();
        let (new, there) = (folder.join("new"), folder.join("there"));
        std::fs::write(&there, b"x").unwrap();
        std::fs::hard_link(&there, folder.join("hard")).unwrap();
        std::os::unix::fs::symlink(&there, folder.join("link")).unwrap();
        std::os::unix::fs::symlink(&folder, folder.join("around")).unwrap();
        for (one, other, expected) in [
            (new.clone(), folder.join("b/../new"), true),
            (new.clone(), folder.join("around/new"), true),
            (there.clone(), folder.join("hard"), true),
            (there.clone(), folder.join("link"), true),
            (new.clone(), there.clone(), false),
            (new.clone(), folder.join("b/new"), false),
        ] {
            assert_eq!(is_same(&one, &other), expected, "{one:?} {other:?}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
