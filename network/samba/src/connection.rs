//! Samba's socket: where it is, and one connection to it.

use ipc::message::samba::Contact;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::sys::stat::stat;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Who else than the owner may write to the folder, and so put another socket there.
const OTHERS_WRITE: u32 = 0o022;

/// Samba's socket.
#[derive(Clone, Debug)]
pub struct Place {
    socket: PathBuf,
}

impl Place {
    /// The socket of this path.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Connects; does not wait.
    ///
    /// # Errors
    /// What is said of it: [`Contact::Refused`] or [`Contact::Exposed`].
    pub(super) fn connect(&self) -> Result<File, Contact> {
        let refused = |errno: Errno| Contact::Refused(errno as u16);
        let folder = self.socket.parent().unwrap_or(Path::new("/"));
        let mode = stat(folder).map_err(refused)?.st_mode;
        if mode & OTHERS_WRITE != 0 {
            return Err(Contact::Exposed((mode & 0o7777) as u16));
        }
        let address = UnixAddr::new(&self.socket).map_err(refused)?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let stream = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(refused)?;
        connect(stream.as_raw_fd(), &address).map_err(refused)?;
        Ok(stream.into())
    }
}
