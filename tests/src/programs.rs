//! Where the built programs are; temporary places; free ports.

use ipc::process::{KEEPERS, Process};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Ipv6Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// The folder of the programs, if [`look_in`] was called.
static CHOSEN: OnceLock<PathBuf> = OnceLock::new();

/// From now on the programs are taken from this folder: for callers that have built them. The first call counts.
pub fn look_in(folder: &Path) {
    let _ = CHOSEN.set(folder.to_owned());
}

/// The folder of truechimerd and its companions: `TRUECHIMER_BIN_DIR`, the one given to [`look_in`], or
/// the one to which cargo built them, next to the running test.
///
/// # Panics
/// If the programs were not built; the message contains the command that builds them.
pub fn folder() -> PathBuf {
    let folder = chosen();
    assert!(
        folder.join("truechimerd").exists(),
        "{} has no truechimerd: run `cargo build --workspace --bins` first, or `cargo xtask test`",
        folder.display()
    );
    folder
}

fn chosen() -> PathBuf {
    let named = std::env::var_os("TRUECHIMER_BIN_DIR").map(PathBuf::from);
    match named.or_else(|| CHOSEN.get().cloned()) {
        Some(folder) => folder,
        None => {
            let program = std::env::current_exe().expect("a running program has a path");
            let folder = program.parent().expect("a program is in a folder");
            if folder.ends_with("deps") { folder.parent().expect("deps is in a folder") } else { folder }
                .into()
        }
    }
}

/// The programs of a daemon by their names, which are in one folder.
pub fn names() -> BTreeSet<&'static str> {
    Process::ALL.map(Process::program).into_iter().chain(KEEPERS).collect()
}

/// One of the built programs.
///
/// # Panics
/// If it was not built; the message contains the command that builds it.
pub fn program(name: &str) -> PathBuf {
    let program = chosen().join(name);
    assert!(
        program.exists(),
        "there is no {}: run `cargo build --workspace --bins` first, or `cargo xtask test`",
        program.display()
    );
    program
}

/// The programs, of which each of these names is a script in front of the real one.
///
/// # Panics
/// If they were not built, or cannot be copied.
pub fn scripts(word: &str, wrapped: &[&str], script: &str) -> Place {
    let place = Place::new(word);
    for name in names() {
        let real = program(name).display().to_string();
        if wrapped.contains(&name) {
            put_script(&place.join(name), &format!("{script}\nexec {real} \"$@\""));
        } else {
            copy_program(Path::new(&real), &place.join(name));
        }
    }
    place
}

/// Copies a program that is to be executed, by another process: while this one has it open for writing, a child that
/// another thread forks has so too until it executes its own program, and the kernel executes nothing that may be written.
///
/// # Panics
/// If it cannot be copied.
pub fn copy_program(real: &Path, to: &Path) {
    let done = Command::new("cp").arg(real).arg(to).status().expect("cp can be executed");
    assert!(done.success(), "{} can be copied to {}", real.display(), to.display());
}

/// Writes a script for `/bin/sh` that is to be executed, as [`copy_program`] does.
///
/// # Panics
/// If it cannot be written.
pub fn put_script(path: &Path, script: &str) {
    let mut install = Command::new("install")
        .args(["-m", "755", "/dev/stdin"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("install can be executed");
    let mut stdin = install.stdin.take().expect("it is piped");
    stdin.write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).expect("install reads it");
    drop(stdin);
    assert!(install.wait().expect("it is ours").success(), "{} can be written", path.display());
}

/// The first place in which a program of the system is found: `PATH`, the administrator's folders, then what
/// `cargo xtask peers` unpacked.
pub fn find_peer(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let peers = std::fs::read_dir(peers()).into_iter().flatten().flatten();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .chain(peers.flat_map(|package| ["usr/sbin", "usr/bin"].map(|folder| package.path().join(folder))))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Where `cargo xtask peers` unpacks: a folder for each package.
pub fn peers() -> PathBuf {
    target().join("peers")
}

/// Where cargo puts its output, for whatever it builds: `CARGO_TARGET_DIR`, from the top of the tree if it is relative, or
/// `target` there.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .filter(|folder| !folder.is_empty())
        .map_or_else(|| workspace().join("target"), |folder| workspace().join(folder))
}

/// The top of the source tree.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is in the workspace")
}

/// A temporary folder that is removed when its owner is dropped.
#[derive(Debug)]
pub struct Place(PathBuf);

static PLACES: AtomicU32 = AtomicU32::new(0);
static MADE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes all remaining folders; for an exit without `Drop`.
pub(crate) fn remove_places() {
    for path in MADE.lock().expect("no panic while locked").drain(..) {
        let _ = std::fs::remove_dir_all(path);
    }
}

impl Place {
    /// Makes a folder with this word in its name.
    ///
    /// # Panics
    /// If the folder for temporary files cannot be written.
    pub fn new(word: &str) -> Self {
        let number = PLACES.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("chimer-{}-{number}-{word}", std::process::id()));
        // Left by an earlier process with the same id that was killed.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("the folder for temporary files can be written");
        MADE.lock().expect("no panic while locked").push(path.clone());
        Self(path)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::env::var_os("TRUECHIMER_KEEP").is_some() {
            eprintln!("kept: {}", self.0.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.0);
        }
        MADE.lock().expect("no panic while locked").retain(|path| *path != self.0);
    }
}

static PORTS: AtomicU32 = AtomicU32::new(0);

/// A port, of UDP and of TCP, that is unused on the loopback addresses, below the range from which the kernel takes
/// ports for queries.
///
/// # Panics
/// If no port is free in 500 tries.
pub fn free_port() -> u16 {
    // Looked up, not tried: a socket that was bound to try would briefly live on in every child that
    // another thread is about to execute.
    let used: String = ["udp", "udp6", "tcp", "tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(format!("/proc/net/{table}")).ok())
        .collect();
    for _ in 0..500 {
        let step = PORTS.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + ((std::process::id() * 131 + step) % 20_000) as u16;
        if !used.contains(&format!(":{port:04X} ")) {
            return port;
        }
    }
    panic!("no free port on the loopback interface");
}

/// Whether `::1` can be used here.
pub fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// Octets that wait in the receive queue of the UDP socket over IPv4 that is bound to this port, as the kernel counts
/// them; 0 if everything that was sent to it has been read.
///
/// # Panics
/// If there is no such socket.
pub fn unread(port: u16) -> u32 {
    let table = std::fs::read_to_string("/proc/net/udp").expect("a kernel with IPv4");
    let end = format!(":{port:04X}");
    let is_ours = |row: &&str| row.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&end));
    let row = table.lines().find(is_ours).expect("a socket at this port");
    let queues =
        row.split_whitespace().nth(4).and_then(|queues| queues.split_once(':')).expect("the table's form");
    u32::from_str_radix(queues.1, 16).expect("a hexadecimal number")
}

/// Calls `attempt` every 10 ms until it returns a value.
pub fn wait_for<T>(deadline: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return Some(found);
        }
        if start.elapsed() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
