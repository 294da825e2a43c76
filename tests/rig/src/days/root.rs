//! The guest's file system: a folder of the host with a few programs and their libraries, read through hostfs.
//!
//! hostfs reads at once. From a disk the guest would wait for an interrupt, and simulated time would jump to the next
//! timer meanwhile: for a long time.

use super::Tools;
use super::daemons::Daemon;
use crate::command;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `cargo xtask peers --more` calls the newest chronyd.
pub const NEWEST_CHRONYD: &str = "chronyd-newest";

/// chronyd's user and group in the guest.
pub(crate) const CHRONY_USER: u32 = 900;
/// The users that the package makes.
const FIRST_USER: u32 = 901;

/// A folder that goes with its owner; what a killed run left is removed by the next one.
#[derive(Debug)]
pub struct Root {
    folder: PathBuf,
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Root {
    /// Puts it together for these daemons, below `base`.
    ///
    /// # Errors
    /// What is missing, and where it is to be had.
    pub fn new(base: &Path, tools: &Tools, daemons: &[Daemon]) -> Result<Self, String> {
        sweep(base);
        let root = Self { folder: base.join(format!("root-{}", std::process::id())) };
        for folder in ["proc", "sys", "dev", "run", "tmp", "var", "etc", "bin", "usr/bin", "chrony"] {
            let folder = root.folder.join(folder);
            fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        root.write("etc/passwd", &accounts(|name, id| format!("{name}:x:{id}:{id}::/:/bin/false\n")))?;
        root.write("etc/group", &accounts(|name, id| format!("{name}:x:{id}:\n")))?;
        root.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")?;
        root.write("etc/ld.so.conf", "")?;
        root.program(&tools.programs.join("day"), "day")?;
        let ip = find("ip").ok_or("the program ip is missing: apt-get install iproute2")?;
        root.program(&ip, "bin/ip")?;
        for daemon in daemons {
            match daemon {
                Daemon::Truechimer => {
                    for name in bench::programs::names() {
                        root.program(&tools.programs.join(name), &format!("usr/lib/truechimer/{name}"))?;
                    }
                    root.program(&tools.programs.join("chimerctl"), "usr/bin/chimerctl")?;
                }
                Daemon::Chrony => root.chrony(&tools.peers)?,
            }
        }
        Ok(root)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        fs::write(self.folder.join(name), text).map_err(|error| format!("{name}: {error}"))
    }

    fn copy(&self, from: &Path, to: &str) -> Result<(), String> {
        let to = self.folder.join(to);
        let wrong = |error: std::io::Error| format!("{} to {}: {error}", from.display(), to.display());
        fs::create_dir_all(to.parent().expect("below the root")).map_err(wrong)?;
        fs::copy(from, &to).map_err(wrong).map(drop)
    }

    /// A program with what the host's loader links it with, each library where it is on the host.
    fn program(&self, from: &Path, to: &str) -> Result<(), String> {
        self.copy(from, to)?;
        let mut command = Command::new("ldd");
        command.arg(from);
        libraries(&mut command)?
            .iter()
            .try_for_each(|library| self.copy(library, &library.to_string_lossy()[1..]))
    }

    /// chronyd with loader and libraries of its own, since the newest one is not made for this host's.
    fn chrony(&self, peers: &Path) -> Result<(), String> {
        let (program, loader) = chronyd(peers)?;
        self.copy(&program, "chrony/chronyd")?;
        self.copy(&loader, &format!("chrony/{LOADER}"))?;
        let mut command = Command::new(&loader);
        if let Some(own) = loader.parent().filter(|own| own.starts_with(peers)) {
            command.arg("--library-path").arg(own);
        }
        libraries(command.arg("--list").arg(&program))?.iter().try_for_each(|library| {
            let name = library.file_name().unwrap_or_default().to_string_lossy();
            self.copy(library, &format!("chrony/{name}"))
        })
    }
}

const LOADER: &str = "ld-linux-x86-64.so.2";

/// The newest chronyd that was fetched, or else another one; and the loader for it.
fn chronyd(peers: &Path) -> Result<(PathBuf, PathBuf), String> {
    let libraries = peers.join("chrony-newest/usr/lib");
    let newest = libraries.join(NEWEST_CHRONYD);
    if newest.exists() {
        return Ok((newest, libraries.join("x86_64-linux-gnu").join(LOADER)));
    }
    let unpacked = peers.join("chrony/usr/sbin/chronyd");
    let found = if unpacked.exists() { Some(unpacked) } else { find("chronyd") };
    let missing = "chronyd is missing: `cargo xtask peers --more` or `cargo xtask peers` brings it";
    Ok((found.ok_or(missing)?, Path::new("/lib64").join(LOADER)))
}

/// The files that a loader names.
fn libraries(command: &mut Command) -> Result<Vec<PathBuf>, String> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(|error| format!("{shown}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if said.contains("not found") {
        return Err(format!("{shown}: libraries are missing; `cargo xtask peers` brings them\n{said}"));
    }
    Ok(named(&said))
}

/// `name => /path (address)`, or `/path (address)` for the loader.
fn named(said: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let (_, right) = line.split_once("=>").unwrap_or(("", line));
        right.split_whitespace().next().filter(|word| word.starts_with('/')).map(PathBuf::from)
    };
    said.lines().filter_map(path).collect()
}

/// Lines of passwd or group: root, chronyd's, and those of the package.
fn accounts(line: impl Fn(&str, u32) -> String) -> String {
    let users = bench::users::sysusers();
    let names = users.lines().filter(|line| line.starts_with(['g', 'u']));
    let names = names.filter_map(|line| line.split_whitespace().nth(1));
    let ours: String = names.zip(FIRST_USER..).map(|(name, id)| line(name, id)).collect();
    line("root", 0) + &line("_chrony", CHRONY_USER) + &ours
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Removes what runs left behind that were killed.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix("root-").or_else(|| name.strip_prefix("uml-"));
        let owner = number.and_then(|rest| rest.split('-').next());
        if owner.is_some_and(command::has_ended) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_of_the_package_has_an_account_and_no_number_twice() {
        let passwd = accounts(|name, id| format!("{name}:x:{id}:{id}::/:/bin/false\n"));
        for user in ["root", "_chrony", "truechimer-clock", "truechimer-engine", "truechimer-net"] {
            assert!(passwd.lines().any(|line| line.starts_with(&format!("{user}:x:"))), "{user}: {passwd}");
        }
        let mut ids: Vec<&str> = passwd.lines().filter_map(|line| line.split(':').nth(2)).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }

    #[test]
    fn the_newest_chronyd_that_was_fetched_is_the_one_that_runs() {
        let peers = std::env::temp_dir().join(format!("chronyd-{}", std::process::id()));
        let (newest, older) = (peers.join("chrony-newest/usr/lib"), peers.join("chrony/usr/sbin"));
        for (folder, name) in [(&older, "chronyd"), (&newest, NEWEST_CHRONYD)] {
            fs::create_dir_all(folder).and_then(|()| fs::write(folder.join(name), "")).unwrap();
            let (program, loader) = chronyd(&peers).unwrap();
            assert_eq!(program, folder.join(name));
            assert_eq!(loader.starts_with(&peers), name == NEWEST_CHRONYD, "{}", loader.display());
        }
        fs::remove_dir_all(&peers).unwrap();
    }

    #[test]
    fn libraries_are_read_from_what_a_loader_says() {
        let said = "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let files = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(named(said), files);
    }
}
