//! Files that the command line names. Whatever else lies in the place of one is neither waited for nor read.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// `O_NONBLOCK` and `O_NOCTTY` of Linux on the architectures that there are packages for.
const WITHOUT_WAITING: i32 = 0o4000 | 0o400;

/// `ENXIO`: a socket, or a device without a driver.
const NO_FILE: i32 = 6;

/// Opens a regular file for reading.
///
/// # Errors
/// That of the failed system call; [`ErrorKind::InvalidInput`], with a sentence, for a fifo, a socket, a device or a
/// directory.
pub fn open(path: &Path) -> io::Result<File> {
    let irregular = || io::Error::new(ErrorKind::InvalidInput, "is no regular file and was not read");
    let opened = File::options().read(true).custom_flags(WITHOUT_WAITING).open(path);
    let file =
        opened.map_err(|error| if error.raw_os_error() == Some(NO_FILE) { irregular() } else { error })?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(irregular()),
    }
}
