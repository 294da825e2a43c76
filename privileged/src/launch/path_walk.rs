//! Path resolution as the kernel does it: each directory and symbolic link on the way to a file, for messages and to
//! determine which users could replace the file.

use nix::errno::Errno;
use nix::fcntl::readlink;
use nix::sys::stat::{FileStat, SFlag, lstat};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// The most links that the kernel follows in one path.
const MOST_LINKS: usize = 40;

/// Directories that the service unit hides, with the directive that does so.
const HIDDEN: [(&str, &str); 5] = [
    ("/root", "ProtectHome="),
    ("/home", "ProtectHome="),
    ("/run/user", "ProtectHome="),
    ("/tmp", "PrivateTmp="),
    ("/var/tmp", "PrivateTmp="),
];

/// The result of resolving a path.
#[derive(Debug)]
pub struct PathWalk {
    /// The directories on the way, without links, from the root to the file itself, if it exists.
    pub places: Vec<(PathBuf, FileStat)>,
    /// Where the resolution failed, and why.
    pub broken: Option<(PathBuf, Errno)>,
    /// The first link on the way, and its target.
    pub link: Option<(PathBuf, PathBuf)>,
    /// All links on the way.
    pub links: Vec<(PathBuf, FileStat)>,
}

impl PathWalk {
    /// Resolves the path.
    pub fn of(path: &Path) -> Self {
        let mut walk = Self { places: Vec::new(), broken: None, link: None, links: Vec::new() };
        if let Err(broken) = walk.go(path) {
            walk.broken = Some(broken);
        }
        walk
    }

    fn go(&mut self, path: &Path) -> Result<(), (PathBuf, Errno)> {
        let absolute = std::path::absolute(path).map_err(|_| (path.into(), Errno::ENOENT))?;
        let mut pending: VecDeque<OsString> = names(&absolute).collect();
        let mut here = PathBuf::from("/");
        self.places.push((here.clone(), lstat(&here).map_err(|errno| (here.clone(), errno))?));
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == ".." {
                here.pop();
                continue;
            }
            let next = here.join(name);
            let facts = lstat(&next).map_err(|errno| (next.clone(), errno))?;
            if SFlag::from_bits_truncate(facts.st_mode) & SFlag::S_IFMT != SFlag::S_IFLNK {
                self.places.push((next.clone(), facts));
                here = next;
                continue;
            }
            links += 1;
            self.links.push((next.clone(), facts));
            let target: PathBuf = readlink(&next).map_err(|errno| (next.clone(), errno))?.into();
            if links > MOST_LINKS {
                return Err((next, Errno::ELOOP));
            }
            if target.is_absolute() {
                here = "/".into();
            }
            for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
                pending.push_front(name);
            }
            self.link.get_or_insert((next, target));
        }
        Ok(())
    }

    /// The last place on the way that the service unit hides, with the line of the unit that does it.
    pub fn hidden(&self) -> Option<(&Path, &'static str)> {
        let broken = self.broken.as_slice().iter().map(|(place, _)| place);
        let all = self.places.iter().map(|(place, _)| place).chain(broken);
        all.rev().find_map(|place| {
            let (_, line) = HIDDEN.iter().find(|(hidden, _)| place.starts_with(hidden))?;
            Some((place.as_path(), *line))
        })
    }

    /// Where it ends in a place that is empty under the service unit: the line of the unit that makes it so.
    pub fn hides_from_end(&self) -> Option<&'static str> {
        let (end, _) = self.places.last()?;
        HIDDEN.iter().find(|(hidden, _)| end == Path::new(hidden)).map(|(_, line)| *line)
    }

    /// The last existing element: if access was denied, the directory that denies it.
    pub fn end(&self) -> Option<&(PathBuf, FileStat)> {
        self.places.last()
    }
}

/// Its names, with `..` as one of them.
fn names(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_links_lead_through_is_on_the_way() {
        let root = std::env::temp_dir().canonicalize().unwrap();
        let root = root.join(format!("truechimer-path-walk-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/file"), "x").unwrap();
        symlink("../a/b", root.join("a/link")).unwrap();
        symlink(root.join("a/link/file"), root.join("first")).unwrap();
        symlink("second", root.join("second")).unwrap();
        let ends = |name: &str| PathWalk::of(&root.join(name)).end().map(|(place, _)| place.clone());
        assert_eq!(ends("first"), Some(root.join("a/b/file")));
        assert_eq!(PathWalk::of(&root.join("second")).broken, Some((root.join("second"), Errno::ELOOP)));
        let missing = PathWalk::of(&root.join("a/none"));
        assert_eq!(missing.broken, Some((root.join("a/none"), Errno::ENOENT)));
        for (path, line) in [("/home/nobody-at-all/x", "ProtectHome="), ("/tmp/../var/tmp/x", "PrivateTmp=")]
        {
            assert_eq!(PathWalk::of(Path::new(path)).hidden().map(|(_, line)| line), Some(line), "{path}");
        }
        assert_eq!(PathWalk::of(Path::new("/etc/passwd")).hidden(), None);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
