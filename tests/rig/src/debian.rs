//! The releases of Debian that guests are made of, and where this machine has its packages from.

use crate::command;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// Debian 12, systemd 252.
    Bookworm,
    /// Debian 13, systemd 257.
    Trixie,
}

impl Release {
    /// All of them.
    pub const ALL: [Release; 2] = [Self::Bookworm, Self::Trixie];

    /// Its name in the archive.
    pub fn suite(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// Its number.
    pub fn number(self) -> u8 {
        match self {
            Self::Bookworm => 12,
            Self::Trixie => 13,
        }
    }
}

/// The first archive whose path ends in `debian` in apt's sources.
///
/// # Errors
/// There is none.
pub fn archive() -> Result<String, String> {
    let files =
        fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|file| file.path());
    let texts: Vec<String> = std::iter::once(PathBuf::from("/etc/apt/sources.list"))
        .chain(files)
        .filter(|path| path.extension().is_some_and(|end| end == "list" || end == "sources"))
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    archive_in(&texts.concat()).map(str::to_owned).ok_or_else(|| "no Debian archive in apt's sources".into())
}

/// Downloads a package of this machine's release into a folder, without installing it.
///
/// # Errors
/// apt's.
pub fn download(package: &str, folder: &Path) -> Result<PathBuf, String> {
    let download =
        || command::run(Command::new("apt-get").args(["download", "--quiet", package]).current_dir(folder));
    // The lists of a fresh machine are empty or old.
    if download().is_err() {
        command::words(&["apt-get", "update", "--quiet"])?;
        download()?;
    }
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&format!("{package}_")) && name.ends_with(".deb")
        })
        .ok_or_else(|| format!("apt-get brought no {package}_*.deb"))
}

/// In either form of apt's sources.
fn archive_in(sources: &str) -> Option<&str> {
    let lines = sources.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines
        .flat_map(str::split_whitespace)
        .find(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
}

#[cfg(test)]
mod tests {
    use super::archive_in;

    #[test]
    fn the_archive_is_found_in_both_forms() {
        let old =
            "# deb http://a.example/debian x main\ndeb [arch=amd64] http://b.example/debian stable main\n";
        assert_eq!(archive_in(old), Some("http://b.example/debian"));
        let new = "Types: deb\nURIs: https://s.example/debian-security\nURIs: https://c.example/debian/\n";
        assert_eq!(archive_in(new), Some("https://c.example/debian/"));
        assert_eq!(archive_in("deb https://d.example/apt main"), None);
    }
}
