//! Samba's domain controller with the packages that it needs and this machine lacks, unpacked into one folder. Tests lay it over this
//! machine's file system, in a namespace of their own (tests/peers/samba/controller.sh).

use super::unpack;
use crate::cargo::read;
use rig::debian;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What is asked for; apt adds what it depends on. The last two are asked for by its tool that makes a domain.
const WANTED: [&str; 5] =
    ["samba-ad-dc", "samba-ad-provision", "samba-dsdb-modules", "python3-markdown", "tdb-tools"];

/// More packages than these are another system than one on which this was tried.
const MOST_PACKAGES: usize = 150;

/// Folders that are links to those below usr, over which they would be laid.
const MERGED: [&str; 3] = ["bin", "sbin", "lib"];

/// Fetches it under `place`, unless it is there.
///
/// # Errors
/// Without apt's network, or if it wants to replace what is installed.
pub fn fetch(place: &Path) -> Result<(), String> {
    let unpacked = place.join("samba");
    if unpacked.join("usr/sbin/samba").exists() {
        println!("samba: there already, {}", unpacked.display());
        return Ok(());
    }
    let mut apt = Command::new("apt-get");
    apt.args(["--simulate", "--quiet", "--no-install-recommends", "install"]).args(WANTED);
    let plan = read(&mut apt)?;
    let packages: Vec<&str> = plan
        .lines()
        .filter_map(|line| line.strip_prefix("Inst "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    if packages.is_empty() || packages.len() > MOST_PACKAGES {
        return Err(format!("apt would install {} packages for Samba", packages.len()));
    }
    let archives = place.join("samba.archives");
    let wrong = |error: std::io::Error| format!("{}: {error}", unpacked.display());
    fs::create_dir_all(&archives).map_err(wrong)?;
    for package in packages {
        unpack(&debian::download(package, &archives)?, &unpacked)?;
    }
    merge(&unpacked).map_err(wrong)?;
    fs::remove_dir_all(&archives).map_err(wrong)?;
    println!("samba: unpacked in {}", unpacked.display());
    Ok(())
}

fn merge(unpacked: &Path) -> std::io::Result<()> {
    for folder in MERGED {
        let (from, to) = (unpacked.join(folder), unpacked.join("usr").join(folder));
        if from.is_dir() {
            let copied = Command::new("cp").arg("--archive").arg(from.join(".")).arg(&to).status()?;
            if !copied.success() {
                return Err(std::io::Error::other(format!("cp into {}", to.display())));
            }
            fs::remove_dir_all(&from)?;
        }
    }
    Ok(())
}
