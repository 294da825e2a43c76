//! Where the daemon's files are: as its launch says, not its engine, since root opens them.

use crate::file;
use ipc::paths::{LENGTH, NAME, Paths};
use ipc::permissions::Permissions;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file of the daemon.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// The configuration.
    Configuration,
    /// The audit log.
    Audit,
}

impl Wanted {
    /// Where it is as the package is delivered.
    const fn usual(self) -> &'static str {
        match self {
            Self::Configuration => "/etc/truechimer/truechimer.toml",
            Self::Audit => "/var/lib/truechimer/audit.log",
        }
    }

    /// Where the daemon of this socket has it; the usual place if that is not known.
    pub fn of(self, socket: &Path) -> PathBuf {
        let text = read(socket).unwrap_or_default();
        let told = Paths::parse(&text).map(|paths| match self {
            Self::Configuration => paths.configuration,
            Self::Audit => paths.audit,
        });
        told.unwrap_or(self.usual()).into()
    }
}

/// The file beside the socket, if nobody but root and this user can have written it.
fn read(socket: &Path) -> Option<String> {
    let file = file::open(&socket.parent()?.join(NAME)).ok()?;
    let facts = file.metadata().ok()?;
    let permissions = Permissions { owner: facts.uid(), mode: facts.mode() };
    if permissions.is_changeable(super::own_uid()) {
        return None;
    }
    let mut text = String::new();
    file.take(LENGTH).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_launch_says_where_files_are_and_nobody_else() {
        let place = std::env::temp_dir().join(format!("chimerctl-paths-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        let (socket, file) = (place.join("control.sock"), place.join(NAME));
        let found = || [Wanted::Configuration.of(&socket), Wanted::Audit.of(&socket)];
        let usual = ["/etc/truechimer/truechimer.toml", "/var/lib/truechimer/audit.log"].map(PathBuf::from);
        assert_eq!(found(), usual);
        std::fs::write(&file, Paths::try_new("/a/b.toml", "/run/c.log").unwrap().to_string()).unwrap();
        assert_eq!(found(), ["/a/b.toml", "/run/c.log"].map(PathBuf::from));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(found(), usual);
        std::fs::remove_dir_all(&place).unwrap();
    }
}
