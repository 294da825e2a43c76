//! The configuration file with its drop-ins and its file of symmetric keys, and what programs have left: opened but not read, and refused if an untrusted user
//! could replace them.
//!
//! A user who can write it chooses the sources, and so the time. A file or directory that is owned by an unprivileged
//! user, or is world-writable, is refused, as in sudo and sshd. A group-writable file is refused; a group-writable
//! directory only causes a warning, since groups of administrators are common. Faults in directories further up the
//! path also cause only a warning, since uid mappings of containers can explain them.

use super::diagnosis::{self, explain, is_ours, kind, make_roots, noun, owner_and_mode};
use super::path_walk::PathWalk;
use drop_ins::{Found, Limits, Refused};
use ipc::permissions::{ExposedKeys, Permissions};
use keeper::ending::{Ending, say};
use nix::errno::Errno;
use nix::libc::{O_NOCTTY, O_NONBLOCK};
use nix::sys::stat::{FileStat, SFlag, fstat};
use nix::unistd::geteuid;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Files of one folder.
#[derive(Debug, Default)]
pub struct Folder {
    /// The folder, as named.
    pub path: PathBuf,
    /// Their names, and they themselves.
    pub files: Vec<(String, OwnedFd)>,
}

/// All that a configuration is made from.
#[derive(Debug)]
pub struct Files {
    /// The configuration.
    pub main: File,
    /// The administrator's drop-ins.
    pub drop_ins: Folder,
    /// Symmetric keys, with the path; none: there is no such file.
    pub keys: Option<(PathBuf, File)>,
    /// The list of leap seconds, with the path; none: there is none that can be trusted.
    pub leap_list: Option<(PathBuf, File)>,
    /// What programs have left.
    pub programs: Folder,
}

/// Opens the configuration and its drop-ins.
///
/// # Errors
/// As [`open`]; or why a drop-in, or their folder, is refused.
pub fn open_all(config: &Path) -> Result<Files, Ending> {
    let main = open(config, Holds::Configuration)?;
    let refused = |refused: Refused| match refused.errno {
        Some(errno) => diagnosis::refused(errno, refused.to_string()),
        None => Ending::Configuration(refused.to_string()),
    };
    let mut drop_ins = Folder { path: drop_ins::beside(config).unwrap_or_default(), files: Vec::new() };
    if !drop_ins.path.as_os_str().is_empty() {
        for found in drop_ins::open(&drop_ins.path, Limits::DROP_INS).map_err(refused)? {
            let Found { name, file, .. } = found.map_err(refused)?;
            drop_ins.files.push((name, file.into()));
        }
    }
    let (keys, leap_list) = (open_keys(config)?, open_leap_list(config));
    Ok(Files { main, drop_ins, keys, leap_list, programs: Folder::default() })
}

/// Opens the file of symmetric keys beside the configuration, if there is one. Whoever knows a key speaks for its server: so its owner and
/// its group alone may read it.
fn open_keys(config: &Path) -> Result<Option<(PathBuf, File)>, Ending> {
    let Some(path) = drop_ins::keys_beside(config) else { return Ok(None) };
    if std::fs::symlink_metadata(&path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Ok(None);
    }
    Ok(Some((path.clone(), open(&path, Holds::Keys)?)))
}

/// Opens the first list of leap seconds that there is. One that cannot be trusted is left out, and so are those after it: then the
/// sources are believed.
fn open_leap_list(config: &Path) -> Option<(PathBuf, File)> {
    let is_there = |path: &PathBuf| std::fs::symlink_metadata(path).is_ok();
    let path = drop_ins::leap_lists(config).into_iter().find(is_there)?;
    match open(&path, Holds::LeapList) {
        Ok(file) => Some((path, file)),
        Err(why) => {
            say(4, &format_args!("{why}; the list of leap seconds is not used"));
            None
        }
    }
}

/// Opens what programs have left in the run directory; what is faulty is reported and left out. They may leave more at any time,
/// and say so on the control socket: so it comes after that.
pub fn open_programs(run: &Path) -> Folder {
    let mut programs = Folder { path: run.join(drop_ins::PROGRAMS), files: Vec::new() };
    let left_out = |why: &Refused| say(4, &format_args!("{why}; it is left out"));
    match drop_ins::open(&programs.path, Limits::PROGRAMS) {
        Err(why) => left_out(&why),
        Ok(all) => {
            for found in all {
                match found {
                    Ok(Found { name, file, .. }) => programs.files.push((name, file.into())),
                    Err(why) => left_out(&why),
                }
            }
        }
    }
    programs
}

/// What is in a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// What everybody may read.
    Configuration,
    /// Symmetric keys, which its group may read.
    Keys,
    /// The list of leap seconds, which everybody may read.
    LeapList,
}

impl Holds {
    /// What a remedy keeps of its mode at most.
    const fn kept(self) -> u32 {
        match self {
            Self::Configuration | Self::LeapList => 0o755,
            Self::Keys => 0o640,
        }
    }

    /// What to do where it is missing, or something else is in its place.
    const fn example(self) -> &'static str {
        match self {
            Self::Configuration => "the example in /usr/share/doc/truechimer is a start",
            Self::LeapList => "install tzdata, or a link to a list of leap seconds",
            Self::Keys => "remove it, or put the file of keys there (SYMMETRIC KEYS in truechimer.toml(5))",
        }
    }
}

/// Opens one file alone.
///
/// # Errors
/// The path with the reason and the remedy: not there, not readable by owner and mode, no regular file, or owned by
/// another user than root and the one that starts this program.
fn open(path: &Path, holds: Holds) -> Result<File, Ending> {
    let walk = PathWalk::of(path);
    // Without waiting for the other end of a fifo.
    let mut options = File::options();
    options.read(true).custom_flags(O_NONBLOCK | O_NOCTTY);
    let file = options.open(path).map_err(|error| refused(path, &walk, holds, diagnosis::errno(&error)))?;
    let facts = fstat(&file).map_err(|errno| refused(path, &walk, holds, errno))?;
    if kind(&facts) != SFlag::S_IFREG {
        return Err(wrong(path, &format!("is {}; name a regular file: {}", noun(&facts), holds.example())));
    }
    let permissions = Permissions { owner: facts.st_uid, mode: facts.st_mode };
    let is_changeable = permissions.is_changeable(geteuid().as_raw());
    if holds == Holds::Keys && (is_changeable || permissions.is_exposed()) {
        let name = path.display().to_string();
        return Err(Ending::Configuration(ExposedKeys(&name, permissions).to_string()));
    }
    if is_changeable {
        let mode = facts.st_mode & holds.kept();
        let (seen, remedy) = (owner_and_mode(&facts), make_roots(path, &facts, mode));
        let why = format!("can be changed by others than root ({seen}), and with it the time; {remedy}");
        return Err(wrong(path, &why));
    }
    judge_directories(path, &walk)?;
    Ok(file)
}

/// Warns, for `--check`, of a path that the service unit hides.
pub fn warn_of_hidden(what: &str, path: &Path) {
    if let Some((place, line)) = PathWalk::of(path).hidden() {
        say(
            4,
            &format_args!(
                "{what} {} leads to {}, which the service unit hides ({line}): under systemd it cannot be used; put it \
                 elsewhere, such as /etc/truechimer",
                path.display(),
                place.display()
            ),
        );
    }
}

fn wrong(path: &Path, why: &str) -> Ending {
    Ending::Configuration(format!("{}: {why}", path.display()))
}

/// Why it cannot be opened, from the resolution of its path.
fn refused(path: &Path, walk: &PathWalk, holds: Holds, errno: Errno) -> Ending {
    let reason = match errno {
        Errno::EACCES | Errno::EPERM => barred(path, walk, holds, errno),
        Errno::ENOENT => Some(missing(path, walk, holds)),
        Errno::ELOOP => Some("leads through symbolic links in a circle; remove them".into()),
        Errno::ENOTDIR => walk.end().map(|(place, _)| {
            format!("{} on its way is not a directory; name a file that exists", place.display())
        }),
        Errno::ENXIO => Some(format!("is a socket or a device; name a regular file: {}", holds.example())),
        _ => None,
    };
    diagnosis::refused(errno, format!("{}: {}", path.display(), reason.unwrap_or_else(|| explain(errno))))
}

/// What denies access: the file itself, or a directory on its path.
fn barred(path: &Path, walk: &PathWalk, holds: Holds, errno: Errno) -> Option<String> {
    let (place, facts) = walk.end()?;
    let seen = match place == path {
        true => owner_and_mode(facts),
        false => format!("{}: {}", place.display(), owner_and_mode(facts)),
    };
    let remedy = if !geteuid().is_root() {
        "start as root, or as its owner".into()
    } else if let Some(line) = walk.hides_from_end() {
        // The unit shows an empty directory there, whose mode is not to be changed.
        format!("the service unit hides it ({line}): put the file itself elsewhere, such as /etc/truechimer")
    } else if walk.broken.is_none() {
        // It may hold a secret: the suggested mode gives no further user access.
        make_roots(place, facts, facts.st_mode & holds.kept() | 0o600)
    } else if is_ours(facts) {
        make_roots(place, facts, 0o755)
    } else {
        "put the file into a directory of root's, such as /etc/truechimer".into()
    };
    Some(format!(
        "{} for root without CAP_DAC_OVERRIDE, as under the service unit ({seen}); {remedy}",
        errno.desc()
    ))
}

fn missing(path: &Path, walk: &PathWalk, holds: Holds) -> String {
    let example = holds.example();
    // The message begins with the path already.
    let place = match &walk.broken {
        Some((place, _)) if place == path => "it".to_owned(),
        Some((place, _)) => place.display().to_string(),
        None => String::new(),
    };
    let hidden = walk.hidden().map(|(hidden, line)| {
        format!("; the service unit hides {} ({line}), so it cannot be there", hidden.display())
    });
    let hidden = hidden.unwrap_or_default();
    match &walk.link {
        Some((link, target)) => format!(
            "{} points to {}, and {place} is not there{hidden}; correct the link, or write the file: {example}",
            link.display(),
            target.display()
        ),
        None => format!("{place} is not there{hidden}; {example}"),
    }
}

/// Checks the directories on the path: the one of the path as given and the one of the resolved file must be trusted.
fn judge_directories(path: &Path, walk: &PathWalk) -> Result<(), Ending> {
    let parent = std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_path_buf));
    let beside = parent.map(|parent| PathWalk::of(&parent));
    let links = beside.iter().flat_map(|walk| &walk.links).chain(&walk.links);
    if let Some((link, facts)) = links.into_iter().find(|(_, facts)| !is_ours(facts)) {
        let (seen, link) = (owner_and_mode(facts), link.display());
        return Err(wrong(
            path,
            &format!(
                "leads through {link}, a symbolic link that belongs to another user ({seen}); chown -h root:root {link}"
            ),
        ));
    }
    let first = beside.iter().flat_map(|walk| &walk.places);
    let nearest = [beside.as_ref().and_then(PathWalk::end), walk.places.iter().rev().nth(1)];
    let nearest = nearest.map(|place| place.map(|(place, _)| place));
    let mut seen: Vec<&Path> = Vec::new();
    for (place, facts) in first.chain(&walk.places) {
        if kind(facts) != SFlag::S_IFDIR || seen.contains(&place.as_path()) {
            continue;
        }
        seen.push(place);
        let Some((is_grave, why)) = fault(facts) else { continue };
        let message = format!(
            "{} on the way to the configuration {why} ({}): a user who can put another file there sets the time; {}",
            place.display(),
            owner_and_mode(facts),
            make_roots(place, facts, facts.st_mode & 0o7755)
        );
        if is_grave && nearest.contains(&Some(place)) {
            return Err(Ending::Configuration(message));
        }
        say(4, &message);
    }
    Ok(())
}

/// What is wrong with a directory, and whether it must be refused.
fn fault(facts: &FileStat) -> Option<(bool, &'static str)> {
    // In a sticky one only owners rename and remove, and the owner of each entry is checked separately.
    let is_open = |bit: u32| facts.st_mode & bit != 0 && facts.st_mode & 0o1000 == 0;
    if !diagnosis::is_ours(facts) {
        Some((true, "belongs to another user"))
    } else if is_open(0o002) {
        Some((true, "can be written by everybody"))
    } else if is_open(0o020) {
        Some((false, "can be written by a group"))
    } else {
        None
    }
}
