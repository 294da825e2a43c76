//! What reference clocks are read from, opened here so that the process that reads them opens nothing.
//!
//! The socket that a program such as gpsd sends its samples to (chrony's SOCK) is made anew at each start, for nobody but
//! root: whoever may send to it says what the time is. One that an earlier run, or another daemon, has left is taken away
//! before; what another program reads is left alone, and anything else in its place ends the start.

use ipc::message::launch::LaunchPlan;
use ipc::plan::Refclock;
use keeper::ending::{Ending, say};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, socket};
use nix::sys::stat::{Mode, SFlag, lstat, umask};
use nix::unistd::unlink;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Opens them all, in the order of the plan. One that cannot be opened now is left out, with a line in the log that says what to do:
/// other sources are not to wait for it.
///
/// # Errors
/// If something else than a socket is in the place of one. If the kernel is out of resources.
pub fn open(plan: &LaunchPlan) -> Result<Vec<OwnedFd>, Ending> {
    let open_one = |Refclock::Socket(path): &Refclock| {
        let path = path.as_str();
        listen(Path::new(path))?.map_or_else(
            |why| {
                say(
                    4,
                    &format_args!(
                        "[[refclock]] socket {path}: {why}; this clock is left out until the next start"
                    ),
                );
                // It takes the place of the other, and nobody can send to it.
                unnamed()
            },
            Ok,
        )
    };
    plan.refclocks.iter().flatten().map(open_one).collect()
}

fn unnamed() -> Result<OwnedFd, Ending> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Datagram, flags, None)
        .map_err(|errno| Ending::Trouble(format!("no socket for a [[refclock]]: {}", errno.desc())))
}

fn listen(path: &Path) -> Result<Result<OwnedFd, String>, Ending> {
    let left_out = |errno: Errno, remedy: &str| Ok(Err(format!("{}; {remedy}", errno.desc())));
    match lstat(path).map(|facts| SFlag::from_bits_truncate(facts.st_mode) & SFlag::S_IFMT) {
        Err(Errno::ENOENT) => {}
        Err(errno) => return left_out(errno, "name a socket in a folder that is there, as /run"),
        Ok(kind) if kind != SFlag::S_IFSOCK => {
            let shown = path.display();
            let text =
                format!("[[refclock]] socket {shown} is no socket, and is left as it is; name another path");
            return Err(Ending::Configuration(text));
        }
        Ok(_) if !is_abandoned(path) => {
            let text =
                "in use by another program; stop it (chronyd has the same sockets), or name another path";
            return Ok(Err(text.to_owned()));
        }
        Ok(_) => match unlink(path) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return left_out(errno, "take it away"),
        },
    }
    let fd = unnamed()?;
    // A change of its mode after that would follow whatever is in its place then.
    let before = umask(Mode::from_bits_truncate(0o177));
    let bound = UnixAddr::new(path).and_then(|address| bind(fd.as_raw_fd(), &address));
    umask(before);
    match bound {
        Ok(()) => Ok(Ok(fd)),
        Err(errno) => left_out(
            errno,
            "name a path in a folder that is there and where truechimerd may write; under systemd ReadWritePaths= of the unit says which",
        ),
    }
}

/// Whether nobody reads from the socket there. Of one that says anything else than that, it is not known.
fn is_abandoned(path: &Path) -> bool {
    let attempt = || -> Result<(), Errno> {
        let fd = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        connect(fd.as_raw_fd(), &UnixAddr::new(path)?)
    };
    matches!(attempt(), Err(Errno::ECONNREFUSED | Errno::ENOENT))
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
        // Somebody reads from it: another daemon is not robbed of it, and other sources do not wait for it.
        let inode = fs::metadata(&path).unwrap().ino();
        let without = open(&plan(&path)).unwrap();
        assert_eq!((without.len(), fs::metadata(&path).unwrap().ino()), (1, inode));
        let sender = UnixDatagram::unbound().unwrap();
        sender.send_to(b"for the one that was first", &path).unwrap();
        let read = |fds: &[OwnedFd]| nix::unistd::read(&fds[0], &mut [0; 64]);
        assert_eq!((read(&without), read(&open_now)), (Err(Errno::EAGAIN), Ok(26)));
        drop(open_now);
        let control = folder.join("stream");
        let _stream = std::os::unix::net::UnixListener::bind(&control).unwrap();
        assert_eq!(open(&plan(&control)).unwrap().len(), 1);
        assert!(
            std::os::unix::net::UnixStream::connect(&control).is_ok(),
            "another program's, of another kind"
        );
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
        assert_eq!(open(&plan(&folder.join("none/sock"))).unwrap().len(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }
}
