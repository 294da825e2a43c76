//! Where what takes long to make is kept: outside of the tree, each thing under a name with the hash of its recipe.

use crate::command;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder.
#[derive(Clone, Debug)]
pub struct Store(PathBuf);

impl Store {
    /// The folder that `TRUECHIMER_RIG` names, or `/var/cache/truechimer-rig`.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open() -> Result<Self, String> {
        let folder = std::env::var_os("TRUECHIMER_RIG")
            .map_or_else(|| PathBuf::from("/var/cache/truechimer-rig"), PathBuf::from);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self(folder))
    }

    /// A path in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// The thing of this name, made by `make` where it is not there. `make` gets a path to write to; what a broken
    /// attempt left is thrown away, and nothing half-made ever has the final name.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn have(
        &self,
        name: &str,
        recipe: &[u8],
        make: impl FnOnce(&Path) -> Result<(), String>,
    ) -> Result<PathBuf, String> {
        let place = self.path(format!("{name}-{}", &hash(recipe)[..12]));
        if place.exists() {
            return Ok(place);
        }
        let draft = self.path(format!("{name}.draft-{}", std::process::id()));
        remove(&draft)?;
        println!("making {name} (once; kept in {})", self.0.display());
        let started = std::time::Instant::now();
        make(&draft).inspect_err(|_| drop(remove(&draft)))?;
        fs::rename(&draft, &place).map_err(|error| format!("{}: {error}", place.display()))?;
        println!("  {name}: {:.0} s", started.elapsed().as_secs_f64());
        Ok(place)
    }

    /// Removes what runs and attempts that ended without doing so have left.
    pub fn forget_dead(&self) {
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = match name.strip_prefix("run-") {
                Some(rest) => rest.split(['-', '.']).next(),
                None if name.contains(".draft-") || name.contains(".root-") => name.rsplit('-').next(),
                None => None,
            };
            if owner.is_some_and(command::has_ended) {
                let _ = remove(&entry.path());
            }
        }
    }
}

/// Hexadecimal SHA-256.
pub fn hash(octets: &[u8]) -> String {
    hmac_sha256::Hash::hash(octets).iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Removes a file or a folder where there is one, and nothing that is mounted below it.
fn remove(path: &Path) -> Result<(), String> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    command::run(std::process::Command::new("rm").args(["--recursive", "--one-file-system", "--"]).arg(path))
        .map(drop)
}
