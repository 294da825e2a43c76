//! What a process may use up.

use filters::Role;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{SFlag, fstat};

const MIB: u64 = 1 << 20;

/// Octets beyond which no file of the engine grows, whatever becomes of it; `engine.keys` may have half of that.
pub const ENGINE_FILE: u64 = MIB;

/// The same for `truechimerd` itself: its audit log has three quarters of that from the start.
pub const PRIVILEGED_FILE: u64 = 4 * MIB;

/// Limits of a role. A poll of more descriptors than NOFILE is refused, so it is never below what the loop
/// waits for. No limit of file size here: [`bound_files`] has it, and [`forbid_files`] that of the roles without a voice.
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
            // A key exchange takes some milliseconds, of the slowest machines a good part of a second.
            (RLIMIT_CPU, 2),
        ],
        // 512 connections, and for each of up to 64 threads one more, a link, an epoll set and an alarm.
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

/// No file that this process writes grows from here on.
pub(crate) fn forbid_files() {
    let _ = setrlimit(Resource::RLIMIT_FSIZE, 0, 0);
}

/// No file that this process writes grows beyond what its role keeps; where one would, the call fails (EFBIG) and nobody
/// is killed. Not where another file of this process grows by its nature: a record, or a log on standard error that is a
/// file.
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

/// Lowers the limits of this process to those of its role; none is raised.
pub(crate) fn lower(role: Role) {
    for (resource, most) in table(role) {
        let now = getrlimit(*resource).map_or(u64::MAX, |(_, hard)| hard);
        let limit = now.min(*most);
        let _ = setrlimit(*resource, limit, limit);
    }
}
