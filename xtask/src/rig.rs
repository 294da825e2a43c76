//! `cargo xtask rig`: cases on real machines.

use crate::{cargo, package};
use rig::architecture::Architecture;
use rig::cases::Wants;
use rig::days::Tools;
use rig::debian::Release;
use rig::recipe::image::Daemon;
use rig::runner::{self, Wish};

/// Runs cases.
///
/// # Errors
/// An invalid word, a machine that cannot run guests, or a case that failed.
pub fn run(words: &[&str]) -> Result<(), String> {
    if let ["shell", release, daemon, form @ ..] = words {
        return shell(release, daemon, form);
    }
    if let ["days", rest @ ..] = words {
        return rig::days::run(rest, tools);
    }
    let mut wish = Wish { architecture: architecture()?, ..Wish::default() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value =
            |what: &str| words.next().copied().ok_or_else(|| format!("{word} needs {what} behind it"));
        match *word {
            "--list" => {
                for case in rig::cases::all() {
                    println!("{:24} {}", case.name, case.what);
                }
                println!("\nknown to fail:");
                rig::cases::list_of_known().iter().for_each(|line| println!("{line}"));
                return Ok(());
            }
            "--short" => wish.short = true,
            "--release" => {
                wish.release = Some(value("12 or 13")?.parse().map_err(|_| "--release: 12 or 13")?)
            }
            "--daemon" => wish.daemon = Some(value("truechimer or chronyd")?.to_owned()),
            "--jobs" => wish.jobs = value("a number")?.parse().map_err(|_| "--jobs: a number")?,
            word if word.starts_with('-') => {
                return Err(format!("{word}: no such option of `cargo xtask rig`"));
            }
            name => wish.names.push(name.to_owned()),
        }
    }
    runner::run(&wish, package::neighbours)
}

/// `shell 12|13 truechimer|chronyd|none [whole]`: runs the lines of standard input in a guest.
fn shell(release: &str, daemon: &str, form: &[&str]) -> Result<(), String> {
    let release = Release::ALL.into_iter().find(|known| known.number().to_string() == release);
    let daemon = match daemon {
        "truechimer" => Daemon::Truechimer,
        "chronyd" => Daemon::Chrony,
        "none" => Daemon::None,
        other => return Err(format!("{other}: truechimer, chronyd or none")),
    };
    let wants = if form == ["whole"] { Wants::Whole } else { Wants::Quick };
    runner::shell(release.ok_or("12 or 13")?, daemon, (wants, architecture()?), package::neighbours)
}

/// Of the programs that are built.
fn architecture() -> Result<Architecture, String> {
    cargo::triple().map_or(Ok(Architecture::default()), |triple| {
        Architecture::of_target(&triple).ok_or_else(|| format!("{triple}: there are no guests for it"))
    })
}

/// The release build of the daemon, and the first process of the guests of simulated days.
fn tools() -> Result<Tools, String> {
    let programs = cargo::build_release()?;
    let mut day = cargo::cargo();
    day.args(["build", "--release", "--locked", "-p", "truechimer-rig", "--bin", "day"]);
    cargo::run(cargo::with_release_flags(&mut day))?;
    Ok(Tools { programs, peers: bench::programs::peers() })
}
