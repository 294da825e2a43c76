//! Files that a test leaves for a daemon: in its place, or in the place of the host's, by mounts of its own.

use crate::daemon::Setup;
use crate::netns::Network;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What the C library reads of /etc for users and names, and what the loader does.
const OF_ETC: [&str; 7] =
    ["nsswitch.conf", "hosts", "host.conf", "passwd", "group", "ld.so.cache", "ld.so.conf"];

/// A folder that everybody may enter, with those above it that are missing.
///
/// # Panics
/// As everything here if the place is not the test's own.
pub fn make_folder(path: &Path) {
    fs::create_dir_all(path).expect("ours");
    fs::set_permissions(path, Permissions::from_mode(0o755)).expect("ours");
}

/// A file that everybody may read.
pub fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("ours");
    fs::set_permissions(path, Permissions::from_mode(0o644)).expect("ours");
}

/// A folder for /etc, with the few files that a look-up needs, as far as this host has them, and no resolv.conf.
pub fn etc(setup: &Setup) -> PathBuf {
    let etc = setup.place().join("etc");
    make_folder(&etc);
    for name in OF_ETC {
        let _ = fs::copy(Path::new("/etc").join(name), etc.join(name));
    }
    etc
}

/// The same with this file of hosts, which is all that is known of names.
pub fn etc_of_hosts(setup: &Setup, hosts: &str) -> PathBuf {
    let etc = etc(setup);
    write(&etc.join("hosts"), hosts);
    write(&etc.join("nsswitch.conf"), "hosts: files\n");
    etc
}

/// The words that start a program in that network, after these commands of sh, whose mounts it alone sees.
pub fn entrance(network: &Network, commands: &str) -> Vec<String> {
    let script = format!("{commands} && exec \"$0\" \"$@\"");
    let unshare =
        ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", &script].map(str::to_owned);
    network.entrance().into_iter().chain(unshare).collect()
}

impl Setup {
    /// Started in that network, after these commands of sh, whose mounts it alone sees.
    pub fn with_mounts(self, network: &Network, commands: &str) -> Self {
        let words = entrance(network, commands);
        self.with_wrapper(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// Writes a file into a folder of the daemon's place, both as roots leave them; the folder is made if it is not there. Without a text the
/// file is removed. Returns its path.
///
/// # Panics
/// If that is not possible.
pub fn put(setup: &Setup, folder: &str, name: &str, text: Option<&str>) -> PathBuf {
    let folder = setup.place().join(folder);
    if !folder.exists() {
        make_folder(&folder);
    }
    let path = folder.join(name);
    match text {
        None => fs::remove_file(&path).expect("it is there"),
        Some(text) => write(&path, text),
    }
    path
}
