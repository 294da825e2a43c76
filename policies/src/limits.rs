//! Resource limits.

use filters::Role;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{SFlag, fstat};

/// From here on no file that this process writes can grow.
pub(crate) fn forbid_files() {
    let _ = setrlimit(Resource::RLIMIT_FSIZE, 0, 0);
}

/// Limits the size of files that this process writes to that of its role's state files. A write beyond it fails with
/// EFBIG instead of a signal. The limit is not set if the process writes another file that must grow: a recording, or
/// standard error redirected to a file.
pub(crate) fn bound_files(role: Role, is_recording: bool) {
    let Some(most) = role.confinement().largest_file else { return };
    let is_file = |mode: u32| SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    if is_recording || fstat(std::io::stderr()).is_ok_and(|facts| is_file(facts.st_mode)) {
        return;
    }
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGXFSZ);
    if signals.thread_block().is_ok() {
        let _ = setrlimit(Resource::RLIMIT_FSIZE, most, most);
    }
}

/// Lowers the limits of this process to those of its role; it raises none.
pub(crate) fn lower(role: Role) {
    let confinement = role.confinement();
    let limits = [
        (Resource::RLIMIT_NOFILE, Some(confinement.descriptors)),
        (Resource::RLIMIT_NPROC, (!confinement.starts_processes).then_some(0)),
        (Resource::RLIMIT_CORE, Some(0)),
        (Resource::RLIMIT_AS, Some(confinement.address_space)),
        (Resource::RLIMIT_DATA, confinement.data),
        (Resource::RLIMIT_CPU, confinement.cpu_time),
    ];
    for (resource, most) in limits {
        let Some(most) = most else { continue };
        let now = getrlimit(resource).map_or(u64::MAX, |(_, hard)| hard);
        let limit = now.min(most);
        let _ = setrlimit(resource, limit, limit);
    }
}
