//! The order in which a process gives up what it does not need.
//!
//! Each step needs something that a later one takes away: namespaces and mounts need capabilities, which end
//! with the user; a change of user clears the settings of parents and dumps; the calls of every step end
//! with the filter, so that is last.

use crate::inherited::{InheritError, Inherited};
use crate::kernel;
use crate::program::Needs;
use crate::view::Seen;
use crate::{file_access, limits, name_service, namespaces, privileges, view};
use filters::trap::Tell;
use filters::{Network, Role};
use ipc::message::Shortfall;
use nix::errno::Errno;
use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Where resolvers answer (RFC 7766): the C library knows no other port.
const RESOLVERS: u16 = 53;

/// What the children of this process may read, if that is less than itself. They cannot find it out again: their filter
/// permits no call that follows a link.
static CHILDREN_READ: OnceLock<Vec<PathBuf>> = OnceLock::new();

/// Why a process could not be confined. It must end; it has read nothing yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfineError {
    /// The words on the command line.
    Words(InheritError),
    /// The process that started this one is gone.
    Orphaned,
    /// This is root, and there is no other user to become.
    NoUser,
    /// This process may not become the user.
    User {
        /// The user's number.
        uid: u32,
        /// The group's number.
        gid: u32,
        /// Why.
        errno: Errno,
    },
    /// The process that becomes the keeper may not set the clock.
    NoSysTime,
    /// The capabilities cannot be dropped.
    Capabilities(String),
    /// The kernel has no no_new_privs.
    NoNewPrivileges(Errno),
    /// The kernel has Landlock but refuses the rules; with its reason.
    Landlock(String),
    /// The kernel refuses the syscall filter; with the message for the administrator.
    Filter(String),
}

impl fmt::Display for ConfineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(error) => error.fmt(f),
            Self::Orphaned => f.write_str("truechimerd has ended; this process follows"),
            Self::NoUser => f.write_str(
                "running as root without a user to become: install the package's users (truechimer-clock and \
                 the others), or name numbers with --first-uid",
            ),
            Self::User { uid, gid, errno } => write!(
                f,
                "cannot become user {uid}, group {gid} ({}): start truechimerd as root with CAP_SETUID and \
                 CAP_SETGID, or accept the risk with --insecure",
                errno.desc()
            ),
            Self::NoSysTime => f.write_str(
                "CAP_SYS_TIME is missing: grant it to truechimerd (in a container: --cap-add SYS_TIME), or \
                 leave the clock alone with --clock none",
            ),
            Self::Capabilities(why) => write!(f, "cannot give up capabilities ({why})"),
            Self::NoNewPrivileges(errno) => write!(
                f,
                "the kernel refuses no_new_privs ({}): use Linux 5.4 or newer, or accept the risk with \
                 --insecure",
                errno.desc()
            ),
            Self::Landlock(why) => write!(
                f,
                "the kernel has Landlock but refuses its rules ({why}): permit landlock_add_rule and \
                 landlock_restrict_self too, or accept the risk with --insecure",
            ),
            Self::Filter(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ConfineError {}

/// Confines this process as `role`. It must have one thread, and all its files by now.
///
/// # Errors
/// If the user, no_new_privs, a capability or the filter is not available and the argument `insecure` is absent, or if
/// the kernel has Landlock and refuses its rules.
/// Namespaces, the file system view, a kernel without Landlock and W^X are reported in the [`Shortfall`] instead.
pub fn confine(role: Role, inherited: &Inherited) -> Result<Shortfall, ConfineError> {
    confine_then(role, inherited, || ()).map(|(shortfall, ())| shortfall)
}

/// Like [`confine`]; `prepare` runs when everything but the limits and the syscall filter is in force.
/// Threads that it starts get the filter too, and none can be started afterwards. It must not return before
/// each of them runs its own code (wait for a word from it): the calls that start a thread are denied.
///
/// # Errors
/// As [`confine`].
pub fn confine_then<T>(
    role: Role,
    inherited: &Inherited,
    prepare: impl FnOnce() -> T,
) -> Result<(Shortfall, T), ConfineError> {
    let insecure = inherited.flag("insecure");
    let identity = inherited.identity().map_err(ConfineError::Words)?;
    let silence = Silence::of(role);
    let proper = view::visible(role, inherited);
    let is_widened = role.confinement().looks_up && kernel::landlock() >= 1;
    let wide = if is_widened { view::wide(&proper) } else { Vec::new() };
    let seen = Seen { proper, wide };
    let keeper = if insecure { None } else { inherited.number("keeper-uid").map_err(ConfineError::Words)? };
    let shortfall = isolate(role, (identity, keeper), &seen, None, insecure)?;
    if is_widened && !shortfall.landlock {
        let _ = CHILDREN_READ.set(seen.proper);
    }
    // The kernel reports only a death after this request.
    if inherited.is_orphaned().map_err(ConfineError::Words)? {
        return Err(ConfineError::Orphaned);
    }
    let prepared = prepare();
    let recording = inherited.text("record").map(|_| limits::RECORDING);
    let history = inherited.text("history").map(|_| ipc::history::LARGEST);
    limits::bound_files(role, recording.into_iter().chain(history));
    let denied = inherited.optional_fd("denied").map_err(ConfineError::Words)?;
    seal(role, insecure, silence, denied)?;
    Ok((shortfall, prepared))
}

/// Confines a child of the exchange process, which has one thread, beyond what its parent is confined to. Of a system call that its filter denies it leaves a
/// record in `denied` ([`filters::trap`]), if its parent leaves one in such a case. Over TCP it connects only to resolvers
/// and, where it exchanges keys, to the port of the `server`.
///
/// # Errors
/// As [`confine`].
pub fn confine_child(
    inherited: &Inherited,
    denied: OwnedFd,
    server: Option<u16>,
) -> Result<Shortfall, ConfineError> {
    let insecure = inherited.flag("insecure");
    // A fork does not inherit this one.
    let _ = kernel::prctl(libc::PR_SET_PDEATHSIG, kernel::SIGKILL);
    // The kernel reports only a death after this request; an orphan is init's child by then.
    if nix::unistd::getppid().as_raw() == 1 {
        return Err(ConfineError::Orphaned);
    }
    if let Some(proper) = CHILDREN_READ.get() {
        let resolver = view::RESOLVER_FOLDERS.iter().chain([&view::RESOLVER_FILE]).map(Path::new);
        let ports: Vec<u16> = [RESOLVERS].into_iter().chain(server).collect();
        let is_narrow = file_access::narrow(proper.iter().map(PathBuf::as_path).chain(resolver), &ports);
        if !is_narrow && !insecure {
            return Err(ConfineError::Landlock("for a child".to_owned()));
        }
    }
    name_service::restrict();
    // It has closed its parent's pipe.
    filters::trap::redirect(denied);
    seal(Role::ExchangeChild, insecure, None, None)?;
    Ok(Shortfall { insecure, ..Shortfall::default() })
}

/// Which files the keeper sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeeperView {
    /// Those that its program needs, in a mount namespace of its own.
    Own,
    /// Those of the container, of which Landlock leaves it the ones that its program needs. A container runtime enters
    /// the mount namespace of the container's first process, which the keeper is, to execute something beside it.
    Container,
}

/// Confines `truechimerd` itself, after it has started everything, as far as it is before it becomes `program`, its
/// keeper, by an exec: that program only gives up the inheritance of its last capability and installs its
/// filter. As [`Role::Privileged`] it hands CAP_SYS_TIME on. It never enters a user namespace. The file view of the container
/// is a shortfall where Landlock does not bound it.
///
/// # Errors
/// As [`confine`], and [`ConfineError::NoSysTime`].
pub fn confine_keeper(
    role: Role,
    program: &Path,
    identity: Option<(u32, u32)>,
    view: KeeperView,
    insecure: bool,
) -> Result<Shortfall, ConfineError> {
    let needs = Needs::of(program);
    let mut shortfall = isolate(role, (identity, None), &Seen::default(), Some((&needs, view)), insecure)?;
    if view == KeeperView::Container {
        shortfall.file_view = shortfall.landlock;
    }
    limits::bound_files(role, None);
    limits::lower(role);
    Ok(shortfall)
}

/// All but limits and filter.
fn isolate(
    role: Role,
    (identity, keeper): (Option<(u32, u32)>, Option<u32>),
    seen: &Seen,
    keeper_program: Option<(&Needs, KeeperView)>,
    insecure: bool,
) -> Result<Shortfall, ConfineError> {
    let (program, view) = keeper_program.map_or((None, KeeperView::Own), |(needs, view)| (Some(needs), view));
    let mut shortfall = Shortfall { insecure, ..Shortfall::default() };
    let keep_sys_time = role == Role::Privileged;
    if keep_sys_time {
        privileges::hand_on_sys_time()?;
    }

    // As root first, for the namespaces then belong to root and not to the user that this process becomes.
    let mut is_apart = privileges::is_root() && namespaces::enter(role, view).is_ok();
    let mut is_view_built = is_apart && view == KeeperView::Own && view::build(seen, program).is_ok();
    if privileges::is_root() {
        privileges::lock();
    }
    shortfall.user = match privileges::become_user(identity, keeper) {
        Ok(changed) => !changed,
        Err(_) if insecure => true,
        Err(error) => return Err(error),
    };
    // A program executed in a user namespace has its memory there, and the owner of that namespace may read it.
    if !is_apart && program.is_none() {
        is_apart = namespaces::enter_with_user(role).is_ok();
        is_view_built = is_apart && view::build(seen, program).is_ok();
        if is_apart {
            privileges::lock();
        }
    }
    shortfall.namespaces = !is_apart;
    shortfall.file_view = !is_view_built;
    privileges::hold_only(keep_sys_time)?;

    match kernel::prctl(libc::PR_SET_NO_NEW_PRIVS, 1) {
        Err(errno) if !insecure => return Err(ConfineError::NoNewPrivileges(errno)),
        _ => {}
    }
    // No core, no ptrace, no /proc/PID/mem for others of the same user.
    let _ = kernel::prctl(libc::PR_SET_DUMPABLE, 0);
    if !matches!(role, Role::Privileged | Role::PrivilegedVirtual) {
        let _ = kernel::prctl(libc::PR_SET_PDEATHSIG, kernel::SIGKILL);
    }
    shortfall.write_execute = kernel::prctl(kernel::PR_SET_MDWE, kernel::PR_MDWE_REFUSE_EXEC_GAIN).is_err();
    shortfall.landlock = match file_access::restrict(role, seen, program) {
        Ok(is_restricted) => !is_restricted,
        Err(_) if insecure => true,
        Err(error) => return Err(ConfineError::Landlock(error.to_string())),
    };
    let connects = role.confinement().network == Network::Tcp;
    shortfall.ports = connects && !shortfall.landlock && kernel::landlock() < kernel::LANDLOCK_PORTS;
    Ok(shortfall)
}

/// Resource limits and filter. Roles that read untrusted input may not write to the daemon's log either: standard error
/// is shared by all processes, so these roles report only by exit code and over their link.
/// Of a denied call only its number is told, to the keeper, through the pipe `denied`.
fn seal(
    role: Role,
    insecure: bool,
    silence: Option<Silence>,
    denied: Option<OwnedFd>,
) -> Result<(), ConfineError> {
    limits::lower(role);
    if insecure {
        return Ok(());
    }
    if let Some(pipe) = denied {
        filters::trap::tell(Tell::Record(pipe)).map_err(|error| {
            ConfineError::Filter(format!("the kernel refuses a handler of SIGSYS ({error})"))
        })?;
    }
    let voice = silence.and_then(Silence::begin);
    role.rules().install().map_err(|error| {
        if let Some(voice) = voice {
            let _ = nix::unistd::dup2_stderr(voice);
        }
        ConfineError::Filter(filters::refused(&error))
    })
}

/// /dev/null, opened while files are still visible.
struct Silence(File);

impl Silence {
    /// For the roles that read untrusted input.
    fn of(role: Role) -> Option<Self> {
        let is_silent = role.confinement().largest_file.is_none();
        File::options().write(true).open("/dev/null").ok().filter(|_| is_silent).map(Self)
    }

    /// From here on standard error is discarded; returns the previous one.
    fn begin(self) -> Option<OwnedFd> {
        let voice = std::io::stderr().as_fd().try_clone_to_owned().ok()?;
        nix::unistd::dup2_stderr(&self.0).ok()?;
        limits::forbid_files();
        Some(voice)
    }
}
