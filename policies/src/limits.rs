//! Resource limits.

use filters::Role;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{SFlag, fstat};

/// From here on no file that this process writes can grow.
pub(crate) fn forbid_files() {
    let _ = setrlimit(Resource::RLIMIT_FSIZE, 0, 0);
}

/// The largest recording, which ends by itself before.
pub(crate) const RECORDING: u64 = 65 << 20;

/// How much the file can grow that standard error is redirected to: a log of this daemon takes years for it.
const LOG: u64 = 1 << 30;

/// Limits the size of files that this process writes to that of its role's state files, or of `others` that it writes, or of
/// standard error redirected to a file. A write beyond it fails with EFBIG instead of a signal.
pub(crate) fn bound_files(role: Role, others: impl IntoIterator<Item = u64>) {
    let Some(of_state) = role.confinement().largest_file else { return };
    let is_file = |mode: u32| SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    let log = fstat(std::io::stderr()).ok().filter(|facts| is_file(facts.st_mode));
    let of_log = log.map(|facts| u64::try_from(facts.st_size).unwrap_or(0).saturating_add(LOG));
    let most = of_log.into_iter().chain(others).fold(of_state, u64::max);
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
