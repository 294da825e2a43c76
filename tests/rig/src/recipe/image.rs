//! A disk with a guest's root, with one time daemon installed by its package, or none.

use super::root;
use crate::architecture::Architecture;
use crate::command;
use crate::debian::Release;
use crate::store::{Store, hash};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is installed on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Daemon {
    /// None; on this disk too the packages are in [`root::DEBS`].
    None,
    /// Our package.
    Truechimer,
    /// Debian's chrony.
    Chrony,
}

impl Daemon {
    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "-",
            Self::Truechimer => "truechimer",
            Self::Chrony => "chronyd",
        }
    }

    /// Its service.
    pub fn unit(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Truechimer => "truechimer.service",
            Self::Chrony => "chrony.service",
        }
    }
}

/// Our packages: the one that is tried, and the same under an older and a newer version.
#[derive(Clone, Debug)]
pub struct Packages {
    /// As built from this tree.
    pub current: PathBuf,
    /// A version before it, for upgrades.
    pub older: PathBuf,
    /// A version after it.
    pub newer: PathBuf,
}

/// Three servers of the rig's world, and otherwise as delivered.
const TRUECHIMER: &str = "\
[[source]]
address = \"10.77.0.11\"
[[source]]
address = \"10.77.0.12\"
[[source]]
address = \"10.77.0.13\"
";

/// The same servers; the rest is what Debian delivers.
const CHRONY: &str = "\
server 10.77.0.11 iburst
server 10.77.0.12 iburst
server 10.77.0.13 iburst
driftfile /var/lib/chrony/chrony.drift
ntsdumpdir /var/lib/chrony
logdir /var/log/chrony
maxupdateskew 100.0
rtcsync
makestep 1 3
leapsectz right/UTC
";

/// Room for what a guest writes, beside its root.
const SIZE: &str = "1200M";

/// The image of a release with this daemon.
///
/// # Errors
/// The root cannot be made, or the package cannot be installed.
pub fn of(
    store: &Store,
    (release, architecture): (Release, Architecture),
    daemon: Daemon,
    packages: &Packages,
) -> Result<PathBuf, String> {
    let root = root::folder(store, release, architecture)?;
    let mut recipe = root.display().to_string().into_bytes();
    recipe.extend_from_slice(root::dress_recipe().as_bytes());
    recipe.extend_from_slice(SIZE.as_bytes());
    recipe.extend_from_slice(TRUECHIMER.as_bytes());
    recipe.extend_from_slice(CHRONY.as_bytes());
    for package in [&packages.current, &packages.older, &packages.newer] {
        recipe.extend_from_slice(hash(&read(package)?).as_bytes());
    }
    let name =
        format!("image-{}{}-{}", architecture.mark(), release.number(), daemon.name().trim_matches('-'));
    forget_others(store, &name, &recipe);
    store.have(&name, &recipe, |place| {
        let copy = store.path(format!("{name}.root-{}", std::process::id()));
        let outcome =
            fill(&root, &copy, architecture, daemon, packages).and_then(|()| format_image(&copy, place));
        let _ = command::run(
            Command::new("rm").args(["--recursive", "--one-file-system", "--force", "--"]).arg(&copy),
        );
        outcome
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// How long an image that is no longer requested is kept: another run may be using it.
const KEPT: std::time::Duration = std::time::Duration::from_secs(3 * 3_600);

/// Removes images of packages that are no more, of which each build makes another.
fn forget_others(store: &Store, name: &str, recipe: &[u8]) {
    let keep = format!("{name}-{}", &hash(recipe)[..12]);
    for entry in fs::read_dir(store.path("")).into_iter().flatten().flatten() {
        let found = entry.file_name().to_string_lossy().into_owned();
        let made = entry.metadata().and_then(|about| about.modified()).ok();
        let is_old = made.and_then(|made| made.elapsed().ok()).is_some_and(|age| age > KEPT);
        if found.starts_with(&format!("{name}-")) && found != keep && is_old {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn fill(
    root: &Path,
    copy: &Path,
    architecture: Architecture,
    daemon: Daemon,
    packages: &Packages,
) -> Result<(), String> {
    let _ = fs::remove_dir_all(copy);
    command::run(Command::new("cp").args(["--archive", "--reflink=auto"]).arg(root).arg(copy))?;
    root::dress(copy, architecture)?;
    let debs = copy.join(root::DEBS.trim_start_matches('/'));
    for (package, name) in [
        (&packages.current, "truechimer.deb"),
        (&packages.older, "truechimer-older.deb"),
        (&packages.newer, "truechimer-newer.deb"),
    ] {
        fs::copy(package, debs.join(name)).map_err(|error| format!("{name}: {error}"))?;
    }
    let write = |path: &str, text: &str, mode: u32| {
        let path = copy.join(path);
        let made = fs::create_dir_all(path.parent().unwrap_or(copy)).and_then(|()| fs::write(&path, text));
        made.and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .map_err(|error| format!("{}: {error}", path.display()))
    };
    // As on a machine that is installed: no service is started, all else is as always.
    write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)?;
    match daemon {
        Daemon::None => {}
        Daemon::Truechimer => {
            inside(copy, architecture, &format!("dpkg --install {}/truechimer.deb", root::DEBS))?;
            write("etc/truechimer/truechimer.toml", TRUECHIMER, 0o644)?;
        }
        Daemon::Chrony => {
            inside(copy, architecture, &format!("dpkg --install {}/chrony_*.deb", root::DEBS))?;
            write("etc/chrony/chrony.conf", CHRONY, 0o644)?;
        }
    }
    fs::remove_file(copy.join("usr/sbin/policy-rc.d")).map_err(|error| format!("policy-rc.d: {error}"))
}

/// Runs a script in the root, with nothing of this machine but /proc.
fn inside(root: &Path, architecture: Architecture, script: &str) -> Result<(), String> {
    let enter = "mount --bind \"$0\" \"$0\" && mount -t proc proc \"$0/proc\" && exec chroot \"$0\" /bin/sh -ec \"$1\"";
    let mut command = architecture.command("unshare");
    command
        .args(["--mount", "--pid", "--net", "--fork", "--kill-child", "--", "sh", "-c", enter])
        .arg(root)
        .arg(script);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
    command::run(&mut command).map(drop)
}

fn format_image(root: &Path, place: &Path) -> Result<(), String> {
    let mut command = Command::new("mke2fs");
    command.args(["-q", "-t", "ext4", "-L", "rig", "-d"]).arg(root).arg(place).arg(SIZE);
    command::run(command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")).map(drop)
}
