//! The guests' kernel: Linux as a program (user-mode Linux). Built from Debian's sources it has Landlock and
//! simulated time; where there is no time for that, Debian's own package serves.

use super::tools;
use crate::store::{Store, hash};
use crate::{command, debian};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The sources, a package of the release that this machine runs.
const SOURCE: &str = "linux-source-6.12";

/// What is switched on beside the default configuration of user-mode Linux.
const OPTIONS: &str = include_str!("kernel.options");

/// User-mode Linux keeps the registers of a program in a place that is too small where the processor has AMX: then not even its
/// first program runs. So much of it is replaced in its source: octets of the largest state (AVX-512), and of one with AMX.
const STATE: (&str, &str, &str) =
    ("arch/x86/um/user-offsets.c", "DEFINE_LONGS(HOST_FP_SIZE, 2696);", "DEFINE_LONGS(HOST_FP_SIZE, 11008);");

/// A kernel that can be started as a program.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The program.
    pub program: PathBuf,
    /// For people.
    pub name: String,
}

/// The one that is built: about eight minutes on two idle cores, once.
///
/// # Errors
/// Without Debian's archive, or what the compiler says.
pub fn built(store: &Store) -> Result<Kernel, String> {
    let program = store.have("kernel", recipe().as_bytes(), |place| {
        tools::install_compiler()?;
        let work = store.path("kernel.work");
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
        build(&work)?;
        fs::copy(work.join("build/linux"), place).map_err(|error| error.to_string())?;
        let _ = fs::remove_dir_all(&work);
        Ok(())
    })?;
    Ok(Kernel { program, name: format!("user-mode {}", SOURCE.trim_start_matches("linux-source-")) })
}

/// The program of the one that is built, where it has been.
pub fn built_before(store: &Store) -> Option<PathBuf> {
    let program = store.path(format!("kernel-{}", &hash(recipe().as_bytes())[..12]));
    program.exists().then_some(program)
}

fn recipe() -> String {
    format!("{SOURCE}\n{OPTIONS}\n{STATE:?}")
}

/// Whether this processor's registers are more than Debian's package has a place for.
fn has_amx() -> bool {
    fs::read_to_string("/proc/cpuinfo")
        .is_ok_and(|text| text.split_whitespace().any(|flag| flag == "amx_tile"))
}

/// The one that is built, where it is there or Debian's package cannot run; else that package, which is only unpacked.
///
/// # Errors
/// Without Debian's archive.
pub fn at_hand(store: &Store) -> Result<Kernel, String> {
    if built_before(store).is_some() || has_amx() {
        return built(store);
    }
    let folder = store.have("kernel-packaged", b"user-mode-linux", |place| {
        let download = store.path("kernel.download");
        let _ = fs::remove_dir_all(&download);
        fs::create_dir_all(&download).map_err(|error| format!("{}: {error}", download.display()))?;
        let package = debian::download("user-mode-linux", &download)?;
        command::run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(place))?;
        let _ = fs::remove_dir_all(&download);
        Ok(())
    })?;
    let program = ["usr/bin/linux.uml", "usr/bin/linux"].map(|name| folder.join(name));
    let program = program.into_iter().find(|path| path.exists());
    let program = program.ok_or("Debian's user-mode-linux has no program where it is expected")?;
    Ok(Kernel { program, name: "user-mode, Debian's package".into() })
}

fn enlarge(file: &Path) -> Result<(), String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(|error| named(&error))?;
    let larger = text.replace(STATE.1, STATE.2);
    if larger == text {
        return Err(named(&format_args!("has no {}", STATE.1)));
    }
    fs::write(file, larger).map_err(|error| named(&error))
}

fn build(work: &Path) -> Result<(), String> {
    let package = debian::download(SOURCE, work)?;
    command::run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(work.join("unpacked")))?;
    let archive = work.join("unpacked/usr/src").join(format!("{SOURCE}.tar.xz"));
    command::run(
        Command::new("tar").arg("--extract").arg("--file").arg(&archive).arg("--directory").arg(work),
    )?;
    let (source, build) = (work.join(SOURCE), work.join("build"));
    enlarge(&source.join(STATE.0))?;
    let make = |words: &[&str]| {
        let mut command = Command::new("make");
        command.args(["--silent", "ARCH=um"]).args(words).current_dir(&source);
        command.arg(format!("O={}", build.display()));
        command::run(&mut command).map(drop)
    };
    fs::create_dir_all(&build).map_err(|error| format!("{}: {error}", build.display()))?;
    make(&["defconfig"])?;
    let mut configure = Command::new(source.join("scripts/config"));
    configure.current_dir(&build);
    for line in OPTIONS.lines().filter(|line| !line.starts_with('#')) {
        match line.split_once(char::is_whitespace) {
            Some((option, "y")) => configure.args(["--enable", option]),
            Some((option, "n")) => configure.args(["--disable", option]),
            Some((option, number)) if number.parse::<u32>().is_ok() => {
                configure.args(["--set-val", option, number])
            }
            Some((option, text)) => configure.args(["--set-str", option, text]),
            None => continue,
        };
    }
    command::run(&mut configure)?;
    make(&["olddefconfig"])?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    make(&["--jobs", &jobs.to_string(), "linux"])
}
