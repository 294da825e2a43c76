//! User, groups, capabilities.

use crate::ConfineError;
use crate::kernel;
use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, getresgid, getresuid, setgroups, setresgid, setresuid};

pub(crate) fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Runs a closure without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, as under the service unit, so that root too is
/// subject to owners and modes: a start from a shell and `--check` then judge as the unit does. The capabilities are
/// restored afterwards.
pub fn within_owner_and_mode<T>(act: impl FnOnce() -> T) -> T {
    let both = [Capability::CAP_DAC_OVERRIDE, Capability::CAP_DAC_READ_SEARCH];
    let held: Vec<_> = both
        .into_iter()
        .filter(|right| caps::has_cap(None, CapSet::Effective, *right).unwrap_or(false))
        .filter(|right| caps::drop(None, CapSet::Effective, *right).is_ok())
        .collect();
    let done = act();
    for right in held {
        let _ = caps::raise(None, CapSet::Effective, right);
    }
    done
}

/// Empties the bounding set and locks the secure bits, so that neither an exec nor a change of user restores a
/// capability. Without the capability to do so, only no_new_privs and the filter protect.
pub(crate) fn lock() {
    let mut capability = 0;
    while kernel::prctl(libc::PR_CAPBSET_DROP, capability).is_ok() && capability < 63 {
        capability += 1;
    }
    let _ = kernel::prctl(libc::PR_SET_SECUREBITS, kernel::LOCKED_SECURE_BITS);
}

/// Makes CAP_SYS_TIME survive an exec, until it is given up. Before [`lock`], which forbids it.
///
/// # Errors
/// [`ConfineError::NoSysTime`] if it is absent; [`ConfineError::Capabilities`].
pub(crate) fn hand_on_sys_time() -> Result<(), ConfineError> {
    let failed = |error: caps::errors::CapsError| ConfineError::Capabilities(error.to_string());
    if !caps::has_cap(None, CapSet::Permitted, Capability::CAP_SYS_TIME).map_err(failed)? {
        return Err(ConfineError::NoSysTime);
    }
    caps::raise(None, CapSet::Inheritable, Capability::CAP_SYS_TIME).map_err(failed)?;
    caps::raise(None, CapSet::Ambient, Capability::CAP_SYS_TIME).map_err(failed)
}

/// Changes to `identity` permanently; true if that is another user than before, or the process already had a user of
/// its own. The saved user is `keeper`, if that is given: the kernel sends the signal of a parent's death by the rights of
/// the parent, and without this the keeper would have none over a process of another user. No filter lets a process take
/// up its saved user, and what the process itself may signal or trace does not depend on it.
///
/// # Errors
/// [`ConfineError::NoUser`] for root without an identity; [`ConfineError::User`].
pub(crate) fn become_user(identity: Option<(u32, u32)>, keeper: Option<u32>) -> Result<bool, ConfineError> {
    let Some((uid, gid)) = identity else {
        return if is_root() { Err(ConfineError::NoUser) } else { Ok(false) };
    };
    if uid == 0 || keeper == Some(0) {
        return Err(ConfineError::NoUser);
    }
    let refused = |errno| ConfineError::User { uid, gid, errno };
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let saved = keeper.map_or(user, Uid::from_raw);
    if is_root() {
        setgroups(&[]).map_err(refused)?;
    }
    setresgid(group, group, group).map_err(refused)?;
    setresuid(user, user, saved).map_err(refused)?;
    let (now, groups) = (getresuid().map_err(refused)?, getresgid().map_err(refused)?);
    let is_whole = [now.real, now.effective, now.saved] == [user, user, saved]
        && [groups.real, groups.effective, groups.saved] == [group; 3];
    if is_whole { Ok(true) } else { Err(refused(Errno::EPERM)) }
}

/// Drops every capability, or every one except CAP_SYS_TIME after [`hand_on_sys_time`].
///
/// # Errors
/// [`ConfineError::Capabilities`].
pub(crate) fn hold_only(sys_time: bool) -> Result<(), ConfineError> {
    let failed = |error: caps::errors::CapsError| ConfineError::Capabilities(error.to_string());
    let mut kept = CapsHashSet::new();
    if sys_time {
        kept.insert(Capability::CAP_SYS_TIME);
    } else {
        // On kernels without this call it is emptied together with the inheritable set.
        let _ = caps::clear(None, CapSet::Ambient);
    }
    caps::set(None, CapSet::Inheritable, &kept).map_err(failed)?;
    caps::set(None, CapSet::Effective, &kept).map_err(failed)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed)?;
    for set in [CapSet::Permitted, CapSet::Inheritable] {
        if caps::read(None, set).map_err(failed)? != kept {
            return Err(ConfineError::Capabilities("the kernel set others than requested".to_owned()));
        }
    }
    Ok(())
}
