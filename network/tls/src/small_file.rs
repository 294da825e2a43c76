//! A small file, whole.

use nix::errno::Errno;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use zeroize::Zeroizing;

/// Octets of the longest file that is read: an RSA key of 4096 bits takes 3.3 KiB, twice over with its
/// certificate.
pub const MAX_FILE: usize = 64 * 1024;

/// Reads a file, which may hold a secret, to its end.
///
/// # Errors
/// The error of the failed system call; `EFBIG` if it is longer than [`MAX_FILE`].
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Errno> {
    // Its size from the start: a vector that grows leaves a copy behind. One octet more shows a longer file.
    let mut octets = Zeroizing::new(vec![0; MAX_FILE + 1]);
    let mut file = File::open(path).map_err(|error| errno(&error))?;
    let mut length = 0;
    while let Some(room) = octets.get_mut(length..).filter(|room| !room.is_empty()) {
        match file.read(room) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(errno(&error)),
        }
    }
    let is_whole = length <= MAX_FILE;
    octets.truncate(length);
    is_whole.then_some(octets).ok_or(Errno::EFBIG)
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
