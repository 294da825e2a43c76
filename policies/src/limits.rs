//! Resource limits.

use filters::Role;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{SFlag, fstat};

const MIB: u64 = 1 << 20;

/// The largest size of any file of the engine, octets; `engine.keys` may have half of that.
pub const ENGINE_FILE: u64 = MIB;

/// The same for `truechimerd` itself: its audit log has three quarters of that from the start.
pub const PRIVILEGED_FILE: u64 = 4 * MIB;

/// Limits of a role. poll(2) of more descriptors than RLIMIT_NOFILE fails, so this limit is never below what the loop
/// waits for. The file size limits are set by [`bound_files`] and, for roles that may not log, by [`forbid_files`].
fn table(role: Role) -> &'static [(Resource, u64)] {
    use Resource::{RLIMIT_AS, RLIMIT_CORE, RLIMIT_CPU, RLIMIT_DATA, RLIMIT_NOFILE, RLIMIT_NPROC};
    match role {
        Role::Privileged | Role::PrivilegedVirtual => {
            &[(RLIMIT_NOFILE, 16), (RLIMIT_NPROC, 0), (RLIMIT_CORE, 0), (RLIMIT_AS, 64 * MIB)]
        }
        Role::Engine => &[(RLIMIT_NOFILE, 48), (RLIMIT_NPROC, 0), (RLIMIT_CORE, 0), (RLIMIT_AS, 256 * MIB)],
        Role::Client => &[(RLIMIT_NOFILE, 96), (RLIMIT_NPROC, 0), (RLIMIT_CORE, 0), (RLIMIT_AS, 128 * MIB)],
        // A thread for each core, each with a stack (2 MiB) and an arena (up to 128 MiB of addresses).
        Role::Server => &[
            (RLIMIT_NOFILE, 640),
            (RLIMIT_NPROC, 0),
            (RLIMIT_CORE, 0),
            (RLIMIT_AS, 8192 * MIB),
            (RLIMIT_DATA, 512 * MIB),
        ],
        Role::Exchange => &[(RLIMIT_NOFILE, 64), (RLIMIT_CORE, 0), (RLIMIT_AS, 256 * MIB)],
        Role::ExchangeChild => &[
            (RLIMIT_NOFILE, 16),
            (RLIMIT_NPROC, 0),
            (RLIMIT_CORE, 0),
            (RLIMIT_AS, 256 * MIB),
            // A key exchange takes a few milliseconds of CPU time, on the slowest machines most of a second.
            (RLIMIT_CPU, 2),
        ],
        // 512 connections, and for each of up to 16 threads one more, a link, an epoll instance and an eventfd.
        Role::KeyService => &[
            (RLIMIT_NOFILE, 896),
            (RLIMIT_NPROC, 0),
            (RLIMIT_CORE, 0),
            (RLIMIT_AS, 8192 * MIB),
            (RLIMIT_DATA, 512 * MIB),
        ],
        Role::KeyHolder => {
            &[(RLIMIT_NOFILE, 96), (RLIMIT_NPROC, 0), (RLIMIT_CORE, 0), (RLIMIT_AS, 128 * MIB)]
        }
    }
}

/// From here on no file that this process writes can grow.
pub(crate) fn forbid_files() {
    let _ = setrlimit(Resource::RLIMIT_FSIZE, 0, 0);
}

/// Limits the size of files that this process writes to that of its role's state files. A write beyond it fails with
/// EFBIG instead of a signal. The limit is not set if the process writes another file that must grow: a recording, or
/// standard error redirected to a file.
pub(crate) fn bound_files(role: Role, is_recording: bool) {
    let most = match role {
        Role::Privileged | Role::PrivilegedVirtual => PRIVILEGED_FILE,
        Role::Engine => ENGINE_FILE,
        _ => return,
    };
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
    for (resource, most) in table(role) {
        let now = getrlimit(*resource).map_or(u64::MAX, |(_, hard)| hard);
        let limit = now.min(*most);
        let _ = setrlimit(*resource, limit, limit);
    }
}
