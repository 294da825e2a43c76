//! The folder of the programs. A user who can change one of them has its rights: with the
//! keeper's, the clock.

use super::diagnosis::{is_ours, make_roots, owner_and_mode};
use crate::options::{ClockChoice, Options};
use ipc::message::launch::LaunchPlan;
use ipc::process::{KEEPERS, Process};
use keeper::ending::Ending;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::stat;
use nix::unistd::{AccessFlags, faccessat};
use std::path::{Path, PathBuf};

/// The folder that was named, or the one of this program. A missing program is reported when
/// it is to be started.
///
/// # Errors
/// The folder or a program belongs to another user than root and the one that starts this program, or everybody may
/// write to it; or a user has named a folder and started a program with more rights than their own (file capabilities).
pub fn folder(options: &Options) -> Result<PathBuf, Ending> {
    let folder = match &options.programs {
        Some(_) if policies::has_rights_of_its_file() => {
            return Err(Ending::Configuration(
                "--programs: this program has capabilities of its own, so its folder cannot be chosen; leave \
                 the option out"
                    .into(),
            ));
        }
        Some(folder) => folder.clone(),
        None => std::env::current_exe()
            .map_err(|error| Ending::Launch(format!("where this program is: {error}; give --programs DIR")))?
            .parent()
            .map_or_else(PathBuf::new, Into::into),
    };
    judge(&folder)?;
    let names = Process::ALL.into_iter().map(Process::program).chain(KEEPERS);
    names.map(|name| folder.join(name)).try_for_each(|program| judge(&program))?;
    Ok(folder)
}

/// Looks, for `--check`, at the programs that a start with this plan executes.
///
/// # Errors
/// As the start would end: the first that is missing or cannot be executed.
pub fn look(folder: &Path, plan: &LaunchPlan, clock: &ClockChoice) -> Result<(), Ending> {
    let [of_kernel, of_others] = KEEPERS;
    let keeper = if matches!(clock, ClockChoice::Kernel) { of_kernel } else { of_others };
    let others = Process::ALL.into_iter().filter(|process| *process != Process::Privileged);
    let wanted = others.filter(|process| process.is_wanted(plan)).map(Process::program);
    wanted.chain([keeper]).map(|name| folder.join(name)).try_for_each(|program| {
        match faccessat(AT_FDCWD, &program, AccessFlags::X_OK, AtFlags::AT_EACCESS) {
            Ok(()) => Ok(()),
            Err(errno) => Err(cannot_be_started(&program, &errno.into())),
        }
    })
}

/// A group of administrators may be permitted to write to it, which is common.
fn judge(path: &Path) -> Result<(), Ending> {
    match stat(path) {
        Ok(facts) if !is_ours(&facts) || facts.st_mode & 0o002 != 0 => Err(Ending::Configuration(format!(
            "{}: can be changed by others than root ({}), and with it the time; {}",
            path.display(),
            owner_and_mode(&facts),
            make_roots(path, &facts, facts.st_mode & 0o755)
        ))),
        _ => Ok(()),
    }
}

/// Why a program could not be executed, with the remedy.
pub fn cannot_be_started(path: &Path, error: &std::io::Error) -> Ending {
    let why = |advice: &str| format!("{} cannot be started ({error}); {advice}", path.display());
    match super::diagnosis::errno(error) {
        Errno::EMFILE | Errno::ENFILE => Ending::Trouble(why("raise the limit of open files (LimitNOFILE=)")),
        Errno::EAGAIN => Ending::Trouble(why(
            "its user has as many processes as its limit allows (LimitNPROC=): raise it, or end them",
        )),
        Errno::ENOMEM => Ending::Trouble(why("free some memory, or raise the limit (LimitAS=, MemoryMax=)")),
        Errno::EACCES | Errno::EPERM => Ending::Launch(why(
            "everybody must be able to execute it and to enter the folders on its way (chmod a+x), and the file system must \
             not be mounted noexec",
        )),
        Errno::ENOENT if path.exists() => {
            Ending::Launch(why("it exists, but /dev/null, its loader or a library does not"))
        }
        _ => Ending::Launch(why(
            "install the package anew, or name the folder of the programs with --programs",
        )),
    }
}
