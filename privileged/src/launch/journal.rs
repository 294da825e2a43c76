//! Whether the journal reads what this process and its children write to standard error.

use nix::sys::stat::fstat;
use std::os::fd::AsFd;
use std::sync::OnceLock;

/// Where the journal takes entries with fields (systemd's "Native Journal Protocol").
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// Asked once, before the system call filter is in force; standard error stays the same.
static IS_READER: OnceLock<bool> = OnceLock::new();

/// Whether lines begin with a severity in angle brackets, as the journal takes it (sd-daemon(3)): JOURNAL_STREAM names
/// the device and inode of standard error. A variable that was merely inherited names another stream.
pub fn reads_stderr() -> bool {
    *IS_READER.get_or_init(|| {
        let stderr = fstat(std::io::stderr().as_fd()).ok();
        let named = std::env::var("JOURNAL_STREAM").ok();
        stderr.zip(named).is_some_and(|(stat, named)| is_stream(&named, stat.st_dev, stat.st_ino))
    })
}

fn is_stream(named: &str, device: u64, inode: u64) -> bool {
    let both = named.split_once(':').map(|(device, inode)| (device.parse(), inode.parse()));
    both == Some((Ok(device), Ok(inode)))
}

#[cfg(test)]
mod tests {
    use super::is_stream;

    #[test]
    fn a_stream_is_the_journals_where_device_and_inode_are_those_of_the_variable() {
        assert!(is_stream("9:4711", 9, 4711));
        for other in ["9:4712", "8:4711", "4711:9", "9", "", ":", "9:4711:", "9:x", "9:-1"] {
            assert!(!is_stream(other, 9, 4711), "{other}");
        }
    }
}
