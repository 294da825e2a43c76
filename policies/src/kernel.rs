//! System calls without a nix wrapper, with safe signatures.

use nix::errno::Errno;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, RawFd};

/// Closes all descriptors from `first` to `last`, both included; does nothing if `last` is below `first`.
pub(crate) fn close_range(first: RawFd, last: RawFd) {
    let (Ok(first), Ok(last)) = (u32::try_from(first), u32::try_from(last)) else { return };
    if first > last {
        return;
    }
    // SAFETY: close_range reads no memory. The caller owns no descriptor in the range (nothing has been
    // opened yet), so none that Rust code holds is closed behind its back.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0u32) } == 0 {
        return;
    }
    // Kernels before 5.9: one by one, up to the descriptor limit.
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live rlimit that the call fills.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    let end = if known { u32::try_from(limit.rlim_cur).unwrap_or(1 << 20).min(1 << 20) } else { 1024 };
    for fd in first..=last.min(end) {
        // SAFETY: as above; closing a number that is not open is EBADF.
        unsafe { libc::close(fd.cast_signed()) };
    }
}

/// Marks a descriptor close-on-exec; false if it is not open.
pub(crate) fn close_on_exec(fd: RawFd) -> bool {
    // SAFETY: F_GETFD and F_SETFD read no memory and change nothing but the flag.
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFD);
        let is_marked = flags & libc::FD_CLOEXEC != 0;
        flags >= 0 && (is_marked || libc::fcntl(fd, libc::F_SETFD, flags | libc::FD_CLOEXEC) == 0)
    }
}

/// Owner and mode of an open file. The C library's own fstat is another call in some releases, which also takes paths,
/// so no filter can let it through.
///
/// # Errors
/// The error of the failed system call.
pub fn owner_and_mode(file: &impl AsFd) -> Result<(u32, u32), Errno> {
    let facts = facts_of(file)?;
    Ok((facts.st_uid, facts.st_mode))
}

/// Whether no name leads to the file any more: it was deleted, or another one has taken its place.
///
/// # Errors
/// The error of the failed system call.
pub fn is_nameless(file: &impl AsFd) -> Result<bool, Errno> {
    Ok(facts_of(file)?.st_nlink == 0)
}

fn facts_of(file: &impl AsFd) -> Result<libc::stat, Errno> {
    let mut facts = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the descriptor is open, since it is borrowed; the kernel's own structure is libc's on the 64-bit
    // architectures that there are rules for, and the call fills no more than it.
    Errno::result(unsafe { libc::syscall(libc::SYS_fstat, file.as_fd().as_raw_fd(), facts.as_mut_ptr()) })?;
    // SAFETY: all octets were zero before, of which every field may consist, and the call has succeeded.
    Ok(unsafe { facts.assume_init() })
}

/// `prctl` with plain numbers only.
///
/// # Errors
/// The error of the failed system call.
pub(crate) fn prctl(option: libc::c_int, argument: libc::c_ulong) -> Result<libc::c_int, Errno> {
    // SAFETY: used with options whose arguments are numbers (see the callers); the kernel reads no memory.
    Errno::result(unsafe {
        libc::prctl(option, argument, 0 as libc::c_ulong, 0 as libc::c_ulong, 0 as libc::c_ulong)
    })
}

/// Landlock's ABI that restricts TCP by port (Linux 6.7).
pub(crate) const LANDLOCK_PORTS: libc::c_long = 4;

/// The kernel's Landlock ABI, from 1; 0 or less: it has none, or does not let this process make rules.
pub(crate) fn landlock() -> libc::c_long {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the kernel reads no memory and answers with a number.
    unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0 as libc::size_t, VERSION)
    }
}

/// Whether this program was started with more rights than the user who started it has: set-uid, or capabilities of its file.
#[must_use]
pub fn has_rights_of_its_file() -> bool {
    // SAFETY: the call takes a number and reads what the kernel gave this process at its start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Whatever the parent has done to signals: ends of children are reported again, and a file that a limit keeps from growing
/// is an error (EFBIG) and no signal.
pub fn reset_signals() {
    // SAFETY: SIG_DFL and SIG_IGN are no handlers of ours, and there is no other thread yet.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// SIGKILL, as prctl takes it.
pub(crate) const SIGKILL: libc::c_ulong = libc::SIGKILL as libc::c_ulong;

/// Not in libc for every target: refuse to make memory executable that was writable (Linux 6.3).
pub(crate) const PR_SET_MDWE: libc::c_int = 65;
/// The argument of [`PR_SET_MDWE`].
pub(crate) const PR_MDWE_REFUSE_EXEC_GAIN: libc::c_ulong = 1;

/// NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE on, KEEP_CAPS off, and all of them locked. With the
/// second, a change of user leaves capabilities alone: they are given up by name.
pub(crate) const LOCKED_SECURE_BITS: libc::c_ulong = 0xef;

/// Makes a mount and all below it read-only, without set-uid programs and devices, and, unless `runs`, without programs.
///
/// # Errors
/// The error of the failed system call; ENOSYS before Linux 5.12.
pub(crate) fn make_mounts_read_only(place: &std::path::Path, runs: bool) -> Result<(), Errno> {
    #[repr(C)]
    struct MountAttributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    const READ_ONLY: u64 = 1;
    const NO_SET_UID: u64 = 2;
    const NO_DEVICES: u64 = 4;
    const NO_PROGRAMS: u64 = 8;
    const RECURSIVE: libc::c_int = 0x8000;
    let path = std::ffi::CString::new(place.as_os_str().as_encoded_bytes()).map_err(|_| Errno::EINVAL)?;
    let attributes = MountAttributes {
        set: READ_ONLY | NO_SET_UID | NO_DEVICES | if runs { 0 } else { NO_PROGRAMS },
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    // SAFETY: the path ends with a zero octet and the attributes have the kernel's layout and the size that
    // is given with them; both live until the call returns, and the kernel only reads them.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            RECURSIVE,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    Errno::result(outcome).map(drop)
}

/// From now on this process asks these services, in the form of a line of nsswitch.conf, for the addresses of a name,
/// whatever the file says.
#[cfg(target_env = "gnu")]
pub(crate) fn ask_for_hosts(services: &std::ffi::CStr) {
    // Of <nss.h>; the crate libc has no declaration of it.
    unsafe extern "C" {
        fn __nss_configure_lookup(
            database: *const libc::c_char,
            services: *const libc::c_char,
        ) -> libc::c_int;
    }
    // SAFETY: both texts end with a zero octet, and the C library copies what it keeps of them. Of a text that it does not
    // understand it keeps nothing.
    let _ = unsafe { __nss_configure_lookup(c"hosts".as_ptr(), services.as_ptr()) };
}
