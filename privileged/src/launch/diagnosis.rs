//! Messages for the administrator about files: what is wrong, and how to fix it.

use super::users;
use keeper::ending::Ending;
use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag};
use nix::unistd::geteuid;

/// The ending for a file or directory that the kernel refused, with the message for the administrator. Only errors that
/// persist until a path, owner, mode or file type is changed keep the service down; after all others it is restarted.
pub fn refused(errno: Errno, message: String) -> Ending {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::EISDIR | Errno::ELOOP | Errno::ENAMETOOLONG => {
            Ending::Configuration(message)
        }
        Errno::EACCES | Errno::EPERM => Ending::Configuration(message),
        Errno::EBUSY | Errno::EEXIST | Errno::ENOTEMPTY | Errno::ETXTBSY => Ending::Configuration(message),
        Errno::EINVAL | Errno::ENXIO | Errno::ENODEV | Errno::EOPNOTSUPP | Errno::ENOSYS => {
            Ending::Configuration(message)
        }
        _ => Ending::Trouble(message),
    }
}

/// The errno of a standard library error; EIO if it has none.
pub fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Whether it belongs to root, or to the user that starts this program.
pub fn is_ours(facts: &FileStat) -> bool {
    facts.st_uid == 0 || facts.st_uid == geteuid().as_raw()
}

/// The file type.
pub fn kind(facts: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(facts.st_mode) & SFlag::S_IFMT
}

/// The file type, as a noun.
pub fn noun(facts: &FileStat) -> &'static str {
    match kind(facts) {
        SFlag::S_IFREG => "a file",
        SFlag::S_IFDIR => "a directory",
        SFlag::S_IFLNK => "a symbolic link",
        SFlag::S_IFIFO => "a fifo",
        SFlag::S_IFSOCK => "a socket",
        _ => "a device",
    }
}

/// Owner and mode: `owner nobody (65534), mode 0600`.
pub fn owner_and_mode(facts: &FileStat) -> String {
    format!("owner {}, mode {:04o}", users::name_of(facts.st_uid), facts.st_mode & 0o7777)
}

/// The shell command that makes a directory or file owned by root with this mode.
pub fn make_roots(path: &std::path::Path, facts: &FileStat, mode: u32) -> String {
    let path = path.display();
    match is_ours(facts) {
        true => format!("chmod {mode:04o} {path}"),
        false => format!("chown root:root {path}; chmod {mode:04o} {path}"),
    }
}

/// The description of an error on one of our files, with a remedy.
pub fn explain(errno: Errno) -> String {
    let remedy = match errno {
        Errno::ENOSPC => "free some space, or delete files if it has no inodes left (df -i)",
        Errno::EDQUOT => "free some space",
        Errno::EROFS => "remount the file system writable, or name another directory",
        Errno::EPERM if geteuid().is_root() => {
            "an attribute of the file (lsattr shows it, chattr -ia takes it off) or a security module forbids it"
        }
        Errno::EACCES | Errno::EPERM => "start as root, or as the owner of the directory",
        Errno::EIO => "the disk is failing, or its file system is damaged",
        Errno::EISDIR => "a directory is in the place of a file: remove it, or name another file",
        Errno::ENOTDIR => {
            "a file is in the place of a directory on the way: remove it, or name another place"
        }
        Errno::ENOENT => "the directory is not there: make it with install -d, or name another place",
        Errno::ELOOP => "a symbolic link on the way is not followed: remove it, or name the real place",
        Errno::ENXIO | Errno::ENODEV => "it is no regular file: remove it, or name another file",
        Errno::ENOTEMPTY | Errno::EEXIST => "a directory is in the way: remove it",
        Errno::EBUSY => "something is mounted there: unmount it, or name another place",
        Errno::ETXTBSY => "it is being run as a program: name another file",
        Errno::ENAMETOOLONG => "name a shorter path",
        Errno::ENOMEM | Errno::ENFILE | Errno::EMFILE => {
            "the host is out of memory or descriptors at the moment"
        }
        _ => "the kernel's log may say more (dmesg); or name another place",
    };
    format!("{}; {remedy}", errno.desc())
}
