//! What reference clocks are read from, opened here so that the process that reads them opens nothing.
//!
//! The socket that a program such as gpsd sends its samples to (chrony's SOCK) is made anew at each start, for nobody but
//! root: whoever may send to it says what the time is. One that an earlier run, or another daemon, has left is taken away
//! before; anything else in its place is left alone, and ends the start.

use super::super::diagnosis;
use ipc::message::launch::LaunchPlan;
use ipc::plan::Refclock;
use keeper::ending::Ending;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, socket};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, lstat, umask};
use nix::unistd::unlink;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Opens them all, in the order of the plan.
///
/// # Errors
/// The one that cannot be opened, with what to do.
pub fn open(plan: &LaunchPlan) -> Result<Vec<OwnedFd>, Ending> {
    plan.refclocks.iter().flatten().map(|Refclock::Socket(path)| listen(Path::new(path.as_str()))).collect()
}

fn listen(path: &Path) -> Result<OwnedFd, Ending> {
    let shown = path.display();
    let refused = |errno: Errno, remedy: &str| {
        diagnosis::refused(errno, format!("[[refclock]] socket {shown}: {}; {remedy}", errno.desc()))
    };
    match lstat(path).map(|facts| SFlag::from_bits_truncate(facts.st_mode) & SFlag::S_IFMT) {
        Err(Errno::ENOENT) => {}
        Err(errno) => return Err(refused(errno, "name a socket in a folder that is there, as /run")),
        Ok(kind) if kind != SFlag::S_IFSOCK => {
            let text =
                format!("[[refclock]] socket {shown} is no socket, and is left as it is; name another path");
            return Err(Ending::Configuration(text));
        }
        Ok(_) if is_in_use(path) => {
            let text = format!(
                "[[refclock]] socket {shown} is in use by another program; stop it (chronyd has the same sockets), or name another path"
            );
            return Err(Ending::Configuration(text));
        }
        Ok(_) => unlink(path).map_err(|errno| refused(errno, "take it away"))?,
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Datagram, flags, None)
        .map_err(|errno| refused(errno, "permit AF_UNIX"))?;
    let before = umask(Mode::from_bits_truncate(0o177));
    let bound = UnixAddr::new(path).and_then(|address| bind(fd.as_raw_fd(), &address));
    umask(before);
    bound.map_err(|errno| {
        refused(errno, "name a path in a folder where truechimerd may write; under systemd ReadWritePaths= of the unit says which")
    })?;
    fchmodat(nix::fcntl::AT_FDCWD, path, Mode::from_bits_truncate(0o600), FchmodatFlags::NoFollowSymlink)
        .or_else(|_| {
            fchmodat(
                nix::fcntl::AT_FDCWD,
                path,
                Mode::from_bits_truncate(0o600),
                FchmodatFlags::FollowSymlink,
            )
        })
        .map_err(|errno| refused(errno, "use a file system that holds sockets, as /run"))?;
    Ok(fd)
}

/// Whether somebody reads from the socket there.
fn is_in_use(path: &Path) -> bool {
    let attempt = || -> Result<(), Errno> {
        let fd = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        connect(fd.as_raw_fd(), &UnixAddr::new(path)?)
    };
    attempt().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::file_path::FilePath;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::os::unix::net::UnixDatagram;

    fn plan(path: &Path) -> LaunchPlan {
        let path = FilePath::parse(path.to_str().unwrap()).unwrap();
        LaunchPlan { refclocks: [Some(Refclock::Socket(path)), None, None, None], ..LaunchPlan::CLIENT }
    }

    #[test]
    fn a228_a_socket_is_made_for_its_owner_alone_and_takes_the_place_of_one_that_nobody_reads() {
        let folder = std::env::temp_dir().join(format!("truechimer-clocks-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("sock");
        drop(UnixDatagram::bind(&path).unwrap());
        let open_now = open(&plan(&path)).unwrap();
        assert_eq!((open_now.len(), fs::metadata(&path).unwrap().mode() & 0o7777), (1, 0o600));
        // Somebody reads from it: another daemon is not robbed of it.
        assert!(matches!(open(&plan(&path)), Err(Ending::Configuration(text)) if text.contains("in use")));
        drop(open_now);
        // What is no socket stays, and a link leads nowhere else.
        let (file, link) = (folder.join("file"), folder.join("link"));
        fs::write(&file, "kept").unwrap();
        symlink(&file, &link).unwrap();
        for wrong in [&file, &link] {
            assert!(
                matches!(open(&plan(wrong)), Err(Ending::Configuration(text)) if text.contains("no socket"))
            );
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
        assert!(open(&plan(&folder.join("none/sock"))).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
