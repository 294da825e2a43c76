//! Namespaces of this process.

use crate::confine::KeeperView;
use crate::kernel;
use filters::{Network, Role};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Namespaces that the service unit may already have created for the daemon, and the inode numbers of the initial ones
/// (linux/nsfs.h).
const SHARED: [(CloneFlags, &str, u64); 2] = [
    (CloneFlags::CLONE_NEWIPC, "/proc/self/ns/ipc", 0xefff_ffff),
    (CloneFlags::CLONE_NEWUTS, "/proc/self/ns/uts", 0xefff_fffe),
];

fn flags(role: Role) -> CloneFlags {
    let flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    // Sockets bound earlier stay in the namespace in which they were created.
    if role.confinement().network != Network::None { flags } else { flags | CloneFlags::CLONE_NEWNET }
}

/// Enters new namespaces as root.
pub(crate) fn enter(role: Role, view: KeeperView) -> Result<(), Errno> {
    let flags = match view {
        KeeperView::Own => flags(role),
        KeeperView::Container => flags(role) - CloneFlags::CLONE_NEWNS,
    };
    unshare(flags).or_else(|errno| {
        // A unit that has created these two for the daemon forbids further ones. Between our own processes they
        // separate nothing: the filters allow no call that uses them.
        let is_apart =
            |(_, path, first): &(_, &str, u64)| fs::metadata(path).is_ok_and(|it| it.ino() != *first);
        if errno != Errno::EPERM || !SHARED.iter().all(is_apart) {
            return Err(errno);
        }
        unshare(SHARED.iter().fold(flags, |flags, (shared, ..)| flags - *shared))
    })
}

/// Enters new namespaces inside a user namespace, in which this process keeps its uid and gid.
pub(crate) fn enter_with_user(role: Role) -> Result<(), Errno> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | flags(role))?;
    // A process that has changed its user is not dumpable, and root owns its files in /proc.
    let _ = kernel::prctl(libc::PR_SET_DUMPABLE, 1);
    // Without these maps the ids are shown as the overflow id; the namespaces are in force nevertheless.
    let _ = fs::write("/proc/self/setgroups", "deny");
    let _ = fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"));
    let _ = fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"));
    Ok(())
}
