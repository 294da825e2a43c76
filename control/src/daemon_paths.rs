//! Where the daemon's files are: as its launch says, not its engine, since root opens them.

use crate::{Failure, exit, file};
use command_line::SOCKET;
use ipc::paths::{LENGTH, NAME, Paths};
use ipc::permissions::Permissions;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file of the daemon.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// The configuration.
    Configuration,
    /// The audit log.
    Audit,
    /// The history of minutes: beside the audit log.
    History,
}

/// The names of what lies in the folder of the audit log: the history,
pub const HISTORY: &str = "engine.history";
/// anchors of both,
pub const ANCHORS: &str = "engine.anchors";
/// and the governor's record.
pub const GOVERNOR: &str = "governor";

impl Wanted {
    /// Where it is as the package is delivered.
    const fn usual(self) -> &'static str {
        match self {
            Self::Configuration => "/etc/truechimer/truechimer.toml",
            Self::Audit => "/var/lib/truechimer/audit.log",
            Self::History => "/var/lib/truechimer/engine.history",
        }
    }

    /// What it is called, and what of the command line names another one.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Configuration => ("configuration", "--config"),
            Self::Audit => ("audit log", "--file"),
            Self::History => ("history", "FILE"),
        }
    }

    /// Where the daemon of this socket has it. If that is not known, it is the usual place, but only for the usual
    /// socket: another daemon's file lies elsewhere.
    ///
    /// # Errors
    /// Only the command line can say.
    pub fn of(self, socket: &Path) -> Result<PathBuf, Failure> {
        match read(socket) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied && socket != Path::new(SOCKET) => {
                let (what, option) = self.words();
                let text = format!(
                    "{}: \"{NAME}\" beside it, which says where this daemon has its {what}, is for root: use sudo, or name the {what} with \
                     {option}",
                    socket.display()
                );
                Err(Failure { text, code: exit::UNABLE })
            }
            text => self.choose(text.ok().flatten().as_deref().and_then(Paths::parse), socket),
        }
    }

    fn choose(self, told: Option<Paths<'_>>, socket: &Path) -> Result<PathBuf, Failure> {
        match (told, self) {
            (Some(paths), Self::Configuration) => Ok(paths.configuration.into()),
            (Some(paths), Self::Audit) => Ok(paths.audit.into()),
            (Some(paths), Self::History) => Ok(Path::new(paths.audit).with_file_name(HISTORY)),
            (None, _) if socket == Path::new(SOCKET) => Ok(self.usual().into()),
            (None, _) => {
                let (what, option) = self.words();
                let text = format!(
                    "{}: no file \"{NAME}\" of root's beside it says where this daemon has its {what}; name it with {option}",
                    socket.display()
                );
                Err(Failure { text, code: exit::UNABLE })
            }
        }
    }
}

/// The file beside the socket; none: others than root and this user can have written it.
///
/// # Errors
/// It cannot be read.
fn read(socket: &Path) -> io::Result<Option<String>> {
    let file = file::open(&socket.parent().unwrap_or(Path::new(".")).join(NAME))?;
    let facts = file.metadata()?;
    let permissions = Permissions { owner: facts.uid(), mode: facts.mode() };
    if permissions.is_changeable(crate::reload::own_uid()) {
        return Ok(None);
    }
    let mut text = String::new();
    file.take(LENGTH).read_to_string(&mut text)?;
    Ok(Some(text))
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
        let found = || {
            [Wanted::Configuration, Wanted::Audit]
                .map(|wanted| wanted.of(&socket).map_err(|failure| failure.text))
        };
        let is_unknown = || {
            let [configuration, audit] = found().map(Result::unwrap_err);
            assert!(configuration.contains("name it with --config"), "{configuration}");
            assert!(audit.contains("name it with --file"), "{audit}");
        };
        is_unknown();
        std::fs::write(&file, Paths::try_new("/a/b.toml", "/run/c.log").unwrap().to_string()).unwrap();
        assert_eq!(found(), ["/a/b.toml", "/run/c.log"].map(|path| Ok(PathBuf::from(path))));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        is_unknown();
        std::fs::remove_dir_all(&place).unwrap();
    }

    #[test]
    fn only_the_usual_socket_stands_for_the_usual_places() {
        let chosen = |socket: &str| Wanted::Audit.choose(None, Path::new(socket)).ok();
        assert_eq!(chosen(SOCKET), Some(PathBuf::from("/var/lib/truechimer/audit.log")));
        assert_eq!(chosen("/run/other/control.sock"), None);
        let told = Paths::try_new("/a", "/b");
        let history = Wanted::History.choose(Paths::try_new("/a", "/b/c"), Path::new(SOCKET)).ok();
        assert_eq!(history, Some(PathBuf::from("/b/engine.history")));
        assert_eq!(Wanted::Audit.choose(told, Path::new(SOCKET)).ok(), Some(PathBuf::from("/b")));
    }
}
