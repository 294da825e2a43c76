//! Whether a mount is read-only, or its file system. statvfs(2) does not tell them apart, and the difference decides what can be
//! seen later: a mount has its own flag in each mount namespace, which a remount elsewhere leaves as it is.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// As much of the list is read.
const MOST: u64 = 4 << 20;

/// One mount, in the kernel's list of the mounts of a namespace (`/proc/self/mountinfo`), which is read anew each time.
#[derive(Debug)]
pub struct Mounts {
    list: File,
    id: u32,
}

/// What may be written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// This mount is not read-only.
    pub mount: bool,
    /// The file system under it is not.
    pub system: bool,
}

impl Mounts {
    /// The mount of this directory, in the namespace of the caller. None: /proc does not tell.
    pub fn of(directory: BorrowedFd<'_>) -> Option<Self> {
        let facts = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", directory.as_raw_fd())).ok()?;
        let id = facts.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()?;
        Some(Self { list: File::open("/proc/self/mountinfo").ok()?, id })
    }

    /// The list, open, and the number of the mount in it: as [`Self::fd`] and [`Self::id`] give them.
    pub fn inherited(list: OwnedFd, id: u32) -> Self {
        Self { list: list.into(), id }
    }

    /// The list.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.list.as_fd()
    }

    /// The number of the mount.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What may be written there now. None: it is not in the list, or not in the part of it that is read.
    pub fn access(&self) -> Option<Access> {
        let lines = BufReader::new(FromStart { list: &self.list, at: 0 }.take(MOST)).split(b'\n');
        lines.map_while(Result::ok).find_map(|line| access(&line, self.id))
    }
}

/// proc_pid_mountinfo(5): number, parent, device, root, mount point, flags of the mount, optional fields, a hyphen, type, source,
/// flags of the file system. Spaces within a field are escaped.
fn access(line: &[u8], id: u32) -> Option<Access> {
    // A path may hold any octets.
    let line = String::from_utf8_lossy(line.trim_ascii_end());
    let mut words = line.split(' ');
    words.next()?.parse().ok().filter(|number: &u32| *number == id)?;
    let is_writable = |flags: &str| match flags.split(',').next() {
        Some("rw") => Some(true),
        Some("ro") => Some(false),
        _ => None,
    };
    let mount = is_writable(words.nth(4)?)?;
    words.find(|word| *word == "-")?;
    Some(Access { mount, system: is_writable(words.next_back()?)? })
}

/// Reads from the beginning, wherever the descriptor stands.
struct FromStart<'a> {
    list: &'a File,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let count = self.list.read_at(room, self.at)?;
        self.at = self.at.saturating_add(count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_a_mount_and_of_its_file_system_are_told_apart() {
        let line = |mount: &str, optional: &str, system: &str| {
            format!(
                "36 35 98:0 /a\\040b /c {mount},noatime {optional}- ext3 /dev/root {system},errors=continue"
            )
        };
        for optional in ["", "master:1 ", "shared:2 master:1 "] {
            for (mount, writable) in [("rw", true), ("ro", false)] {
                for (system, changeable) in [("rw", true), ("ro", false)] {
                    let line = line(mount, optional, system);
                    let expected = Access { mount: writable, system: changeable };
                    assert_eq!(access(line.as_bytes(), 36), Some(expected), "{line}");
                    assert_eq!(access(line.as_bytes(), 35), None, "{line}");
                }
            }
        }
        for line in ["", "36", "36 35 98:0 / /c rw", "36 35 98:0 / /c rw -", "36 35 98:0 / /c what - a b rw"]
        {
            assert_eq!(access(line.as_bytes(), 36), None, "{line}");
        }
    }

    #[test]
    fn the_mount_of_a_directory_is_found_again_each_time() {
        let directory = File::open(std::env::temp_dir()).unwrap();
        let mounts = Mounts::of(directory.as_fd()).expect("/proc is mounted");
        let mounts = Mounts::inherited(mounts.fd().try_clone_to_owned().unwrap(), mounts.id());
        for _ in 0..2 {
            assert_eq!(mounts.access().map(|access| access.system), Some(true));
        }
    }
}
