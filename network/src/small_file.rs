//! A small file, whole.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use zeroize::Zeroizing;

/// Octets of the longest file that is read: an RSA key of 4096 bits takes 3.3 KiB, twice over with its
/// certificate.
pub(crate) const MAX_FILE: usize = 64 * 1024;

/// Reads a file, which may hold a secret, to its end; nothing where it can't be read or is longer than
/// [`MAX_FILE`].
pub(crate) fn read(path: &Path) -> Option<Zeroizing<Vec<u8>>> {
    // Its size from the start: a vector that grows leaves a copy behind. One octet more shows a longer file.
    let mut octets = Zeroizing::new(vec![0; MAX_FILE + 1]);
    let mut file = File::open(path).ok()?;
    let mut length = 0;
    while length < octets.len() {
        match file.read(octets.get_mut(length..)?) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    let is_whole = length <= MAX_FILE;
    octets.truncate(length);
    is_whole.then_some(octets)
}
