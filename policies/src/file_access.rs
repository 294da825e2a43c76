//! Landlock: a second barrier behind the file system view, and behind the filter for TCP and signals.

use crate::program::Needs;
use crate::view::Seen;
use filters::{Network, Role};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use std::path::Path;

/// The newest Landlock ABI used; older kernels enforce only the rights that they know.
const KNOWN: ABI = ABI::V6;

/// Denies all file access except reading beneath what is `seen` and executing what `program` needs. Also denies TCP, and
/// abstract sockets and, except for the keeper, signals to other processes. Returns false if the kernel has no Landlock.
///
/// # Errors
/// The kernel has Landlock and refuses these rules.
pub(crate) fn restrict(role: Role, seen: &Seen, program: Option<&Needs>) -> Result<bool, RulesetError> {
    let tcp: BitFlags<AccessNet> = if role.confinement().network == Network::Tcp {
        AccessNet::BindTcp.into()
    } else {
        AccessNet::from_all(KNOWN)
    };
    // The death of the keeper is a signal of its own to the others, which the kernel would keep back.
    let is_keeper = matches!(role, Role::Privileged | Role::PrivilegedVirtual);
    let apart: BitFlags<Scope> =
        if is_keeper { Scope::AbstractUnixSocket.into() } else { Scope::from_all(KNOWN) };
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(tcp)?
        .scope(apart)?
        .create()?;
    if role.confinement().network == Network::Tcp {
        rules = rules.add_rule(any_port())?;
    }
    let needed = program.map_or(&[][..], |needs| &needs.paths);
    let readable = seen.all().map(|path| (path, AccessFs::ReadFile.into()));
    let executable = needed.iter().map(|path| (path, AccessFs::ReadFile | AccessFs::Execute));
    for (path, file) in readable.chain(executable) {
        let file: BitFlags<AccessFs> = file;
        let read = if path.is_dir() { file | AccessFs::ReadDir } else { file };
        if let Ok(opened) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(opened, read))?;
        }
    }
    Ok(rules.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

/// A TCP socket may have an address of this host, from which it connects, with a port that the kernel chooses.
fn any_port() -> NetPort {
    NetPort::new(0, AccessNet::BindTcp)
}

/// Denies in addition all file access except reading beneath `readable`, as far as those files and directories exist now,
/// and TCP except to `ports` (from Linux 6.7 on): for a child, which has the view of its parent. No other call is made than
/// its filter permits. Returns false if the kernel refuses.
pub(crate) fn narrow<'a>(readable: impl Iterator<Item = &'a Path>, ports: &[u16]) -> bool {
    let restricted = || -> Result<RulesetStatus, RulesetError> {
        let mut rules = Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))?
            .handle_access(AccessNet::from_all(KNOWN))?
            .create()?;
        for port in ports {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
        }
        if !ports.is_empty() {
            rules = rules.add_rule(any_port())?;
        }
        for path in readable {
            if let Ok(opened) = PathFd::new(path) {
                rules = rules.add_rule(PathBeneath::new(opened, AccessFs::ReadFile | AccessFs::ReadDir))?;
            }
        }
        Ok(rules.restrict_self()?.ruleset)
    };
    restricted().is_ok_and(|status| status != RulesetStatus::NotEnforced)
}
