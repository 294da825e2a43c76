//! The files that a program needs if it is executed after the confinement: itself, its loader and its libraries.

use std::fs;
use std::path::{Path, PathBuf};

/// The program, the directories of this process's libraries (the program needs no others), and symbolic links on the
/// path to the loader with their targets.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) links: Vec<(PathBuf, PathBuf)>,
}

/// Directories in which programs expect their loader.
const LOADERS: [&str; 2] = ["/lib", "/lib64"];

impl Needs {
    /// Those of `program`.
    pub(crate) fn of(program: &Path) -> Self {
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let own = std::env::current_exe().unwrap_or_default();
        let mut needs = Self { paths: folders(&maps, &own), links: Vec::new() };
        needs.paths.extend(fs::canonicalize(program).ok());
        for folder in LOADERS.iter().map(Path::new) {
            if let Ok(target) = fs::read_link(folder) {
                needs.links.push((folder.to_owned(), target));
            }
            let Ok(real) = fs::canonicalize(folder) else { continue };
            let is_seen = needs.paths.iter().any(|path| real.starts_with(path));
            for entry in fs::read_dir(&real).into_iter().flatten().flatten().filter(|_| !is_seen) {
                let is_loader = entry.file_name().as_encoded_bytes().starts_with(b"ld-");
                if let (true, Ok(target)) = (is_loader, fs::read_link(entry.path())) {
                    needs.links.push((entry.path(), target));
                }
            }
        }
        needs
    }
}

/// The directories of all executable mappings except `own`, each once and none within another.
fn folders(maps: &str, own: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let is_code = words.nth(1).is_some_and(|mode| mode.contains('x'));
        let Some(path) = line.find('/').map(|at| Path::new(&line[at..])) else { continue };
        let Some(folder) = path.parent().filter(|folder| is_code && path != own && *folder != Path::new("/"))
        else {
            continue;
        };
        if !folders.iter().any(|known| folder.starts_with(known)) {
            folders.retain(|known| !known.starts_with(folder));
            folders.push(folder.to_owned());
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_of_libraries_are_found_and_data_and_the_program_itself_are_left_out() {
        let maps = "\
            55e0-55e1 r-xp 00001000 08:01 1 /usr/sbin/truechimerd\n\
            7f00-7f01 r--p 00000000 08:01 2 /usr/lib/locale/C.utf8/LC_CTYPE\n\
            7f01-7f02 r-xp 00000000 08:01 3 /usr/lib/x86_64-linux-gnu/libc.so.6\n\
            7f02-7f03 r-xp 00000000 08:01 4 /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2\n\
            7f03-7f04 r-xp 00000000 08:01 5 /opt/a b/libx.so\n\
            7ffe-7fff r-xp 00000000 00:00 0 [vdso]\n";
        let expected = ["/usr/lib/x86_64-linux-gnu", "/opt/a b"].map(PathBuf::from);
        assert_eq!(folders(maps, Path::new("/usr/sbin/truechimerd")), expected);
    }

    #[test]
    fn this_test_needs_itself_and_a_loader() {
        let own = std::env::current_exe().unwrap();
        let needs = Needs::of(&own);
        assert!(needs.paths.contains(&fs::canonicalize(own).unwrap()), "{needs:?}");
        assert!(needs.paths.len() > 1 || cfg!(target_feature = "crt-static"), "{needs:?}");
    }
}
