//! A small file that the configuration names, whole. Whatever else lies in its place is neither waited for nor read.

use ipc::message::key_service::{MAX_PEM, Unread};
use ipc::permissions::Permissions;
use nix::errno::Errno;
use nix::libc::{O_NOCTTY, O_NONBLOCK};
use nix::sys::stat::SFlag;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use zeroize::Zeroizing;

/// Opens a regular file; returns also its owner and mode.
///
/// # Errors
/// [`Unread::Refused`], [`Unread::NotRegular`].
pub fn open(path: &Path) -> Result<(File, Permissions), Unread> {
    // Without waiting for the other end of a fifo.
    let mut options = File::options();
    options.read(true).custom_flags(O_NONBLOCK | O_NOCTTY);
    let file = options.open(path).map_err(|error| match errno(&error) {
        // A socket, or a device without a driver.
        Errno::ENXIO => Unread::NotRegular,
        errno => refused(errno),
    })?;
    let (owner, mode) = policies::owner_and_mode(&file).map_err(refused)?;
    match SFlag::from_bits_truncate(mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => Ok((file, Permissions { owner, mode })),
        _ => Err(Unread::NotRegular),
    }
}

/// Reads a regular file of at most [`MAX_PEM`] octets.
///
/// # Errors
/// [`Unread`], but not for its content.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Unread> {
    read_whole(open(path)?.0)
}

/// Reads a private key as [`read`] does, unless it is exposed ([`Permissions::is_exposed`]).
///
/// # Errors
/// As [`read`]; [`Unread::Exposed`], and nothing was read.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, Unread> {
    let (file, permissions) = open(path)?;
    if permissions.is_exposed() {
        return Err(Unread::Exposed((permissions.mode & 0o7777) as u16));
    }
    read_whole(file)
}

fn read_whole(mut file: File) -> Result<Zeroizing<Vec<u8>>, Unread> {
    // Its size from the start: a vector that grows leaves a copy behind. One octet more shows a longer file.
    let mut octets = Zeroizing::new(vec![0; MAX_PEM + 1]);
    let mut length = 0;
    while let Some(room) = octets.get_mut(length..).filter(|room| !room.is_empty()) {
        match file.read(room) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(refused(errno(&error))),
        }
    }
    let is_whole = length <= MAX_PEM;
    octets.truncate(length);
    is_whole.then_some(octets).ok_or(Unread::TooLong)
}

fn refused(errno: Errno) -> Unread {
    Unread::Refused(u16::try_from(errno as i32).unwrap_or(0))
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
