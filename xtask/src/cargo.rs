//! Running cargo and other programs.

use ipc::process::{KEEPERS, Process};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The packages whose programs are installed, each with its program: a process's package has the name of its program.
pub fn programs() -> Vec<(&'static str, &'static str)> {
    let processes = Process::ALL.map(Process::program).into_iter().filter(|name| *name != LAUNCH.1);
    let own = KEEPERS.into_iter().chain(processes).map(|name| (name, name));
    [LAUNCH].into_iter().chain(own).chain(BESIDE).collect()
}

/// Programs beside the daemon, which speak to it on its control socket.
const BESIDE: [(&str, &str); 4] = [
    ("truechimer-control", "chimerctl"),
    ("truechimer-metrics", "truechimer-metrics"),
    ("truechimer-chronyc-bridge", "truechimer-chronyc-bridge"),
    ("truechimer-chrony-logs", "truechimer-chrony-logs"),
];

const LAUNCH: (&str, &str) = ("truechimer-privileged", "truechimerd");

/// The top of the source tree.
pub fn workspace() -> &'static Path {
    bench::programs::workspace()
}

/// The variable by which cargo is told to build for another machine or another C library.
const BUILD_TARGET: &str = "CARGO_BUILD_TARGET";

static TRIPLE: OnceLock<String> = OnceLock::new();

/// From now on [`cargo`] builds for this target. The first call counts.
pub fn build_for(triple: &str) {
    let _ = TRIPLE.set(triple.to_owned());
}

/// The target that is built for, if one was named with `--target` or in the environment; else cargo builds for this machine.
pub fn triple() -> Option<String> {
    TRIPLE.get().cloned().or_else(|| std::env::var(BUILD_TARGET).ok()).filter(|triple| !triple.is_empty())
}

/// The target that we run on, in cargo's words.
///
/// # Errors
/// If cargo cannot be started, or names none.
pub fn host() -> Result<String, String> {
    let said = read(cargo().arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| format!("cargo -vV says {said:?}"))
}

/// The cargo that runs us, in the workspace.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace());
    if let Some(triple) = triple() {
        command.envs(linker(&triple).filter(|(variable, _)| std::env::var_os(variable).is_none()));
        command.env(BUILD_TARGET, triple);
    }
    command
}

/// The variable that names the linker of programs for another architecture, and the C compiler that is taken for it: rustc
/// would take this machine's.
fn linker(triple: &str) -> Option<(String, String)> {
    let (architecture, rest) = triple.split_once("-unknown-")?;
    if architecture == std::env::consts::ARCH {
        return None;
    }
    let variable = format!("CARGO_TARGET_{}_LINKER", triple.replace('-', "_").to_uppercase());
    Some((variable, format!("{architecture}-{rest}-gcc")))
}

/// Where cargo puts its output.
pub fn target() -> PathBuf {
    bench::programs::target()
}

/// Runs a command and waits.
///
/// # Errors
/// If it cannot be executed or ends with another code than 0.
pub fn run(command: &mut Command) -> Result<(), String> {
    let shown = show(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown}: {status}")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

/// Runs it and returns what it prints.
///
/// # Errors
/// As [`run`].
pub fn read(command: &mut Command) -> Result<String, String> {
    let shown = show(command);
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| format!("{shown}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{shown}: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{shown}: not UTF-8"))
}

/// Gives a release build its flags. Builds with others would compile everything anew, in turn.
pub fn with_release_flags(cargo: &mut Command) -> &mut Command {
    cargo.env("CARGO_ENCODED_RUSTFLAGS", release_flags())
}

/// The flags of release programs: those of whoever builds, and no path of this machine in the programs, so that two folders
/// give the same.
fn release_flags() -> String {
    let given = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_else(|_| {
        let words = std::env::var("RUSTFLAGS").unwrap_or_default();
        words.split_whitespace().collect::<Vec<_>>().join("\x1f")
    });
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    // Of several that match, the last one counts. The registry's folder is there, since this program is made from it too. It and those of `cargo vendor` have the same names in them.
    let registries =
        home.iter().flat_map(|home| std::fs::read_dir(home.join("registry/src"))).flatten().flatten();
    let registries = registries.map(|registry| (registry.path(), "/vendor"));
    let places = [(workspace().to_owned(), "/truechimer"), (workspace().join("vendor"), "/vendor")];
    let places = home.clone().map(|home| (home, "/cargo")).into_iter().chain(places).chain(registries);
    let remapped =
        places.filter_map(|(place, name)| Some(format!("--remap-path-prefix={}={name}", place.to_str()?)));
    std::iter::once(given).filter(|given| !given.is_empty()).chain(remapped).collect::<Vec<_>>().join("\x1f")
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Builds the release programs and returns their folder.
///
/// # Errors
/// If they do not compile.
pub fn build_release() -> Result<PathBuf, String> {
    build(&programs(), &mut cargo())
}

/// The same, as if it were `epoch` (seconds since 1970): the same source then gives the same programs.
///
/// # Errors
/// As [`build_release`].
pub fn build_release_of(epoch: u64) -> Result<PathBuf, String> {
    // The launch and the keepers contain the time of their build. Other packages whose build reads the variable
    // would be rebuilt for each commit.
    let is_dated = |program: &(&str, &str)| *program == LAUNCH || KEEPERS.contains(&program.1);
    let (dated, others): (Vec<_>, Vec<_>) = programs().into_iter().partition(is_dated);
    build(&others, &mut cargo())?;
    build(&dated, cargo().env("SOURCE_DATE_EPOCH", epoch.to_string()))
}

/// Whether a variable asks for something, as packaging/build.sh reads it.
fn is_asked(variable: &str) -> Result<bool, String> {
    match std::env::var(variable).as_deref() {
        Err(_) | Ok("" | "0") => Ok(false),
        Ok("1") => Ok(true),
        Ok(other) => Err(format!("{variable} is 0 or 1, not {other:?}")),
    }
}

/// The packages whose feature `fips` puts a FIPS 140 module in the place of their cryptography.
pub const FIPS: [&str; 5] = [
    "truechimer-engine",
    "truechimer-server",
    "truechimer-exchange",
    "truechimer-key-service",
    "truechimer-key-holder",
];

fn build(programs: &[(&str, &str)], cargo: &mut Command) -> Result<PathBuf, String> {
    // As packaging/build.sh: each program has the list of its crates in it.
    if is_asked("AUDITABLE")? {
        cargo.arg("auditable");
    }
    let is_fips = is_asked("FIPS")?;
    cargo.args(["build", "--release", "--locked"]);
    with_release_flags(cargo);
    for (package, _) in programs {
        cargo.args(["-p", package]);
        if is_fips && FIPS.contains(package) {
            cargo.args(["--features", &format!("{package}/fips")]);
        }
    }
    run(cargo)?;
    let built = triple().map_or_else(target, |triple| target().join(triple));
    Ok(built.join("release"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_for_another_architecture_are_linked_by_its_compiler() {
        assert_eq!(linker(&format!("{}-unknown-linux-musl", std::env::consts::ARCH)), None);
        let (variable, compiler) = linker("s390x-unknown-linux-gnu").unwrap();
        assert_eq!(variable, "CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER");
        assert_eq!(compiler, "s390x-linux-gnu-gcc");
    }
}
