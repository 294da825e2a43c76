//! Folders of configuration files: the administrator's drop-ins beside the configuration, and what programs leave in the run
//! directory. Their files are opened and judged here, by the launch at a start and by chimerctl at a reload, and read by others.
//!
//! Who can write one of these files has a say in the time. So the folder and each file in it must belong to root or to the user
//! who starts the daemon, nobody else may write them, and no link is followed: a file is what lies in the folder itself.
#![forbid(unsafe_code)]

use ipc::permissions::Permissions;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::geteuid;
use std::fmt;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The folder of programs, in the run directory.
pub const PROGRAMS: &str = "sources.d";

/// What the name of a file ends with that is read.
const ENDING: &str = ".toml";

/// Longest name of a file.
const MAX_NAME: usize = 100;

/// Entries of a folder that are looked at, of whatever name.
const MAX_ENTRIES: usize = 4_096;

/// How much of a folder is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files.
    pub files: usize,
    /// Octets of one file.
    pub each: u64,
    /// Octets of all of them.
    pub together: u64,
    /// Files whose names begin so come last, so that they take no room from others.
    pub last: &'static str,
}

impl Limits {
    /// Of the administrator's folder: together as long as the configuration may be.
    pub const DROP_INS: Self = Self { files: 64, each: 256 * 1024, together: 256 * 1024, last: "" };
    /// Of the programs' folder.
    pub const PROGRAMS: Self =
        Self { files: 32, each: 4 * 1024, together: 128 * 1024, last: ipc::file_path::OF_DHCP };
}

/// A file that may be read.
#[derive(Debug)]
pub struct Found {
    /// Without the folder: letters, digits, dots, hyphens and underscores.
    pub name: String,
    /// Open for reading.
    pub file: File,
    /// Only its owner may read or change it.
    pub is_private: bool,
}

/// Why a file or folder is not read: one line with its path and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    text: String,
    /// What the kernel said, if it was the kernel that refused.
    pub errno: Option<Errno>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refused {}

impl Refused {
    fn new(path: &Path, why: impl fmt::Display) -> Self {
        Self { text: format!("{}: {why}", ipc::text::escape(&path.display().to_string())), errno: None }
    }

    fn by_kernel(path: &Path, errno: Errno, why: impl fmt::Display) -> Self {
        Self { errno: Some(errno), ..Self::new(path, why) }
    }
}

/// The folder of drop-ins of a configuration: `truechimer.d` beside `truechimer.toml`. None: the name leaves no room for one.
pub fn beside(configuration: &Path) -> Option<PathBuf> {
    let folder = configuration.with_extension("d");
    (folder != configuration && folder.file_name() != configuration.file_name()).then_some(folder)
}

/// The file of symmetric keys beside a configuration: `truechimer.keys` beside `truechimer.toml`; none where that would be the
/// configuration itself.
pub fn keys_beside(configuration: &Path) -> Option<PathBuf> {
    let file = configuration.with_extension("keys");
    (file != configuration && file.file_name() != configuration.file_name()).then_some(file)
}

/// The system's own list of leap seconds, from tzdata.
pub const SYSTEM_LEAP_LIST: &str = "/usr/share/zoneinfo/leap-seconds.list";

/// Where a list of leap seconds may be, the first that is there counts: `truechimer.leap-seconds` beside `truechimer.toml`, and then
/// the system's own.
pub fn leap_lists(configuration: &Path) -> Vec<PathBuf> {
    let beside = configuration.with_extension("leap-seconds");
    let beside =
        Some(beside).filter(|file| file != configuration && file.file_name() != configuration.file_name());
    beside.into_iter().chain([PathBuf::from(SYSTEM_LEAP_LIST)]).collect()
}

/// What lies in a folder, in the order of the names' octets: each file, or why it is not read. A folder that is not there is
/// empty.
///
/// # Errors
/// Nothing in it can be trusted, or it has more than is read.
pub fn open(folder: &Path, limits: Limits) -> Result<Vec<Result<Found, Refused>>, Refused> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut directory = match Dir::open(folder, flags, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::ENOENT) => return Ok(Vec::new()),
        Err(errno) => return Err(refused_folder(folder, errno)),
    };
    let facts = fstat(&directory).map_err(|errno| refused_folder(folder, errno))?;
    let permissions = permissions(&facts);
    if permissions.is_changeable(geteuid().as_raw()) {
        return Err(Refused::new(folder, remedy_of(folder, permissions, "what is in it")));
    }
    let mut names = names(&mut directory, folder)?;
    let is_last = |name: &String| !limits.last.is_empty() && name.starts_with(limits.last);
    names.sort_by_key(|name| (name.is_err(), name.as_ref().is_ok_and(is_last)));
    let mut left = limits;
    Ok(names
        .into_iter()
        .map(|name| {
            let name = name?;
            let path = folder.join(&name);
            left.files = left.files.checked_sub(1).ok_or_else(|| {
                Refused::new(
                    &path,
                    format_args!("there are more than {} files in this folder; leave some out", limits.files),
                )
            })?;
            let (found, length) = open_file(&directory, &path, name)?;
            if length > limits.each {
                return Err(Refused::new(
                    &path,
                    format_args!("longer than {} octets; is it the right file?", limits.each),
                ));
            }
            left.together = left.together.checked_sub(length).ok_or_else(|| {
                Refused::new(
                    &path,
                    format_args!(
                        "with it the files of this folder are longer than {} octets; leave some out",
                        limits.together
                    ),
                )
            })?;
            Ok(found)
        })
        .collect())
}

/// The names of the files that are meant to be read, in order.
fn names(directory: &mut Dir, folder: &Path) -> Result<Vec<Result<String, Refused>>, Refused> {
    let (mut names, mut refused) = (Vec::new(), Vec::new());
    for (count, entry) in directory.iter().enumerate() {
        let entry = entry.map_err(|errno| refused_folder(folder, errno))?;
        if count >= MAX_ENTRIES {
            return Err(Refused::new(
                folder,
                format_args!("more than {MAX_ENTRIES} entries; remove what does not belong there"),
            ));
        }
        let name = entry.file_name().to_bytes();
        if name.starts_with(b".") || !name.ends_with(ENDING.as_bytes()) {
            continue;
        }
        let is_plain = |octet: &u8| octet.is_ascii_alphanumeric() || b"._-".contains(octet);
        match std::str::from_utf8(name) {
            Ok(name) if name.len() <= MAX_NAME && name.bytes().all(|octet| is_plain(&octet)) => {
                names.push(name.to_owned())
            }
            _ => {
                let path = folder.join(String::from_utf8_lossy(name).as_ref());
                refused.push(Refused::new(
                    &path,
                    format_args!(
                        "its name is not of letters, digits, \".\", \"-\" and \"_\", or is longer than {MAX_NAME}; rename or remove it"
                    ),
                ));
            }
        }
    }
    names.sort_unstable();
    Ok(names.into_iter().map(Ok).chain(refused.into_iter().map(Err)).collect())
}

/// The file, and its length.
fn open_file(directory: &Dir, path: &Path, name: String) -> Result<(Found, u64), Refused> {
    // Without waiting for the other end of a fifo.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let fd: OwnedFd =
        openat(directory, name.as_str(), flags, Mode::empty()).map_err(|errno| refused_file(path, errno))?;
    let facts = fstat(&fd).map_err(|errno| refused_file(path, errno))?;
    if SFlag::from_bits_truncate(facts.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(irregular(path, Errno::EINVAL));
    }
    let permissions = permissions(&facts);
    if permissions.is_changeable(geteuid().as_raw()) {
        return Err(Refused::new(path, remedy_of(path, permissions, "it")));
    }
    let length = u64::try_from(facts.st_size).unwrap_or(0);
    Ok((Found { name, file: fd.into(), is_private: permissions.is_private() }, length))
}

fn permissions(facts: &FileStat) -> Permissions {
    Permissions { owner: facts.st_uid, mode: facts.st_mode }
}

fn remedy_of(path: &Path, Permissions { owner, mode }: Permissions, what: &str) -> String {
    let name = ipc::text::escape(&path.display().to_string());
    format!(
        "others than root can change {what} (owner {owner}, mode {:04o}), and with it the time; chown root:root {name}; \
         chmod {:04o} {name}",
        mode & 0o7777,
        mode & 0o755
    )
}

fn refused_folder(folder: &Path, errno: Errno) -> Refused {
    let remedy = match errno {
        Errno::ENOTDIR | Errno::ELOOP => {
            "is not a directory, or a symbolic link to one; make it a directory, or remove it".to_owned()
        }
        Errno::EACCES | Errno::EPERM => unreadable(folder, errno, 0o755),
        errno => format!("cannot be read ({})", errno.desc()),
    };
    Refused::by_kernel(folder, errno, remedy)
}

fn refused_file(path: &Path, errno: Errno) -> Refused {
    match errno {
        Errno::ELOOP => Refused::by_kernel(
            path,
            errno,
            "is a symbolic link, which is not followed here; put the file itself into the folder, or remove the link",
        ),
        Errno::ENXIO | Errno::ENODEV => irregular(path, errno),
        Errno::EACCES | Errno::EPERM => Refused::by_kernel(path, errno, unreadable(path, errno, 0o600)),
        errno => Refused::by_kernel(path, errno, format_args!("cannot be read ({})", errno.desc())),
    }
}

fn irregular(path: &Path, errno: Errno) -> Refused {
    let why = "is no regular file; remove it, or give it a name that does not end with .toml";
    Refused::by_kernel(path, errno, why)
}

/// `mode`: the least with which root can read it; a file may hold a secret.
fn unreadable(path: &Path, errno: Errno, mode: u32) -> String {
    let name = ipc::text::escape(&path.display().to_string());
    format!(
        "{} for root without CAP_DAC_OVERRIDE, as under the service unit; chown root:root {name}; chmod {mode:04o} {name}",
        errno.desc()
    )
}

#[cfg(test)]
mod tests;
