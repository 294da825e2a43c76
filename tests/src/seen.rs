//! What many tests look for in a daemon that runs: its sources, and its processes.

use crate::daemon::{Daemon, Setup};
use crate::programs::free_port;

/// A daemon that serves the host's own time on so many loopback addresses, and where.
pub fn server(count: usize) -> (Daemon, Vec<String>) {
    let port = free_port();
    let places: Vec<String> = (1..=count).map(|n| format!("127.0.0.{n}:{port}")).collect();
    let listen = places.iter().map(|place| format!("\"{place}\"")).collect::<Vec<_>>().join(", ");
    let configuration =
        format!("[server]\nlisten = [{listen}]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 3\n");
    (Setup::new("server", &configuration).start(), places)
}

/// The names of its sources, in the order of the configuration.
pub fn names(daemon: &Daemon) -> Vec<String> {
    daemon.sources().iter().map(|source| source["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Its processes, truechimerd first, but for those of look-ups and key exchanges, which are no children of it.
pub fn pids(daemon: &Daemon) -> Vec<u32> {
    daemon.processes().into_iter().map(|process| process.pid).collect()
}

/// Whether each of its sources has answered one of the last eight queries.
pub fn all_answer(daemon: &Daemon) -> bool {
    daemon.sources().iter().all(|source| source["reach"] != 0)
}
