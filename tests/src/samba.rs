//! Samba as the controller of a domain: the real one, apart from this machine, and a double of its socket for signatures that
//! does what a test orders. And a client of such a domain.

use crate::packet;
use crate::programs::{Place, find_peer, wait_for, workspace};
use ipc::symmetric_key::{MacKind, SymmetricKey};
use protocol::mac::MacKey;
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::net::UdpSocket;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The reason for a skipped test if Samba is missing or cannot be isolated.
pub const NO_SAMBA: &str = "Samba's domain controller is missing (`cargo xtask peers --more`), or no root with mount namespaces and overlayfs to keep it apart";

/// Octets of a request for a signature, and of a signed reply.
pub const SIGNED: usize = 68;

/// A domain controller with two accounts; it ends with this value.
pub struct Domain {
    place: Place,
    unpacked: PathBuf,
    samba: Option<Child>,
}

/// An account of its domain.
#[derive(Clone, Debug)]
pub struct Account {
    /// Relative identifier.
    pub rid: u32,
    /// What its password makes; none: it has no password.
    pub nt_hash: Option<[u8; 16]>,
}

impl Domain {
    /// Makes a domain and starts its controller; `None` where that cannot be.
    ///
    /// # Panics
    /// If Samba is there and does not make a domain within two minutes.
    pub fn new() -> Option<Self> {
        let program = find_peer("samba")?;
        if !crate::is_root() || !can_overlay() {
            return None;
        }
        let unpacked = program.ancestors().nth(3)?.to_owned();
        let mut domain = Self { place: Place::new("samba"), unpacked, samba: None };
        domain.start();
        Some(domain)
    }

    /// Starts the controller, and waits for its socket.
    ///
    /// # Panics
    /// If it does not come.
    pub fn start(&mut self) {
        let _ = fs::remove_file(self.folder().join("socket"));
        let log = File::create(self.place.join("log")).expect("a new folder can be written");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--pid", "--fork", "--kill-child=KILL", "sh"]);
        command.arg(workspace().join("tests/peers/samba/controller.sh")).arg(&self.unpacked);
        command.arg(self.place.join(""));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        self.samba = Some(crate::daemon::spawn(&mut command));
        let socket = self.folder().join("socket");
        let is_there = wait_for(Duration::from_secs(120), || UnixStream::connect(&socket).ok());
        assert!(is_there.is_some(), "{}", fs::read_to_string(self.place.join("log")).unwrap_or_default());
    }

    /// Stops it, with everything that it started.
    pub fn stop(&mut self) {
        if let Some(mut samba) = self.samba.take() {
            // The processes of its namespace end with the first one, which ends with this one.
            let _ = samba.kill();
            let _ = samba.wait();
            let socket = self.folder().join("socket");
            let is_gone = || UnixStream::connect(&socket).err().map(drop);
            assert!(wait_for(Duration::from_secs(20), is_gone).is_some(), "Samba does not end");
        }
    }

    /// The folder of its socket, which it makes itself, 0750 and root's.
    pub fn folder(&self) -> PathBuf {
        self.place.join("ntp_signd")
    }

    /// One of its accounts: `MEMBER` or `DISABLED`.
    ///
    /// # Panics
    /// If there is none of this name.
    pub fn account(&self, name: &str) -> Account {
        let text = fs::read_to_string(self.place.join("accounts")).expect("the controller writes it");
        let line = text.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|line| line[0] == name);
        let line = line.unwrap_or_else(|| panic!("{name} in {text}"));
        let octet = |at: usize| u8::from_str_radix(line[2].get(2 * at..2 * at + 2)?, 16).ok();
        let octets: Option<Vec<u8>> = (0..16).map(octet).collect();
        let nt_hash = octets.map(|octets| octets.try_into().expect("16 of them"));
        Account { rid: line[1].parse().expect("a number"), nt_hash }
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether a file system can be laid over this machine's, in a namespace of its own.
fn can_overlay() -> bool {
    let script = "mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w /mnt/m \
        && mount -t overlay none -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/m";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "sh", "-c", script]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Gives a folder of Samba's to the group of the process that asks it, as an administrator does.
///
/// # Panics
/// If it is not this process's to give.
pub fn give(folder: &Path, gid: u32) {
    if crate::is_root() {
        chown(folder, None, Some(gid)).expect("root may");
    }
    fs::set_permissions(folder, Permissions::from_mode(0o750)).expect("it is ours");
}

/// The digest of a header under the hash of a password: MD5 of both (MS-SNTP section 3.2.5.1).
///
/// # Panics
/// Never: the key has the length that MD5 takes.
pub fn digest(nt_hash: &[u8; 16], header: &[u8]) -> [u8; 16] {
    let key = SymmetricKey::new(1, MacKind::Md5, nt_hash).expect("MD5 takes any");
    let mut packet = [header, &[0; 20]].concat();
    MacKey::new(&key).expect("not in a build for FIPS").put(&mut packet, 48, 3);
    packet[52..].try_into().expect("16 octets")
}

/// A client of the domain.
pub struct Member {
    socket: UdpSocket,
    rid: u32,
    /// The transmit timestamp of its last request.
    sent: u64,
}

impl Member {
    /// Asks from this address, with the relative identifier of its account.
    ///
    /// # Panics
    /// If the address is none of this machine's.
    pub fn new(from: &str, server: &str, rid: u32) -> Self {
        let socket = UdpSocket::bind(from).expect("an address of this machine");
        socket.connect(server).expect("a socket");
        Self { socket, rid, sent: 0x0102_0304_0000_0000 }
    }

    /// Sends a request, as Windows does in its default configuration: version 3, client.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn ask(&mut self) {
        self.sent += 1;
        let header = packet::Header { version: 3, ..packet::Header::query(self.sent) };
        let request = [&header.octets()[..], &self.rid.to_le_bytes(), &[0; 16]].concat();
        self.socket.send(&request).expect("loopback");
    }

    /// The reply to the last request, if there is one in time.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn reply(&self, patience: Duration) -> Option<[u8; SIGNED]> {
        self.socket.set_read_timeout(Some(patience)).expect("a time");
        let mut octets = [0; 200];
        loop {
            match self.socket.recv(&mut octets) {
                Ok(SIGNED) if octets[24..32] == self.sent.to_be_bytes() => {
                    return octets.first_chunk().copied();
                }
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return None;
                }
                // No server yet.
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Asks until it is answered.
    ///
    /// # Panics
    /// If it never is.
    pub fn reply_sooner_or_later(&mut self) -> [u8; SIGNED] {
        let asked = wait_for(Duration::from_secs(60), || {
            self.ask();
            self.reply(Duration::from_millis(300))
        });
        asked.expect("a signed reply within a minute")
    }
}

/// What the double does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// Signs it with the key of each account, which is its relative identifier sixteen times.
    Sign,
    /// The same after so many milliseconds, one after the other.
    Dawdle(u64),
    /// Says nothing.
    Stall,
    /// Signs something else: a packet with another transmit timestamp.
    Lie,
    /// Signs it with a wrong key.
    Forge,
}

/// A socket that speaks as Samba's does.
pub struct Double {
    conduct: Arc<Mutex<Conduct>>,
    is_over: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
    socket: PathBuf,
}

/// The key that the double signs with.
pub fn key_of(rid: u32) -> [u8; 16] {
    [rid as u8; 16]
}

impl Double {
    /// Listens in a folder.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn listen(folder: &Path, conduct: Conduct) -> Self {
        let socket = folder.join("socket");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).expect("a folder that can be written");
        fs::set_permissions(&socket, Permissions::from_mode(0o777)).expect("it is ours");
        listener.set_nonblocking(true).expect("a socket");
        let (conduct, is_over) = (Arc::new(Mutex::new(conduct)), Arc::new(AtomicBool::new(false)));
        let connections = Arc::new(AtomicUsize::new(0));
        let thread = {
            let (conduct, is_over, connections) = (conduct.clone(), is_over.clone(), connections.clone());
            std::thread::spawn(move || serve(&listener, &conduct, &is_over, &connections))
        };
        Self { conduct, is_over, connections, thread: Some(thread), socket }
    }

    /// From now on it does this.
    ///
    /// # Panics
    /// Never.
    pub fn conduct(&self, conduct: Conduct) {
        *self.conduct.lock().expect("no panic while locked") = conduct;
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.is_over.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.socket);
    }
}

fn serve(listener: &UnixListener, conduct: &Mutex<Conduct>, is_over: &AtomicBool, connections: &AtomicUsize) {
    let mut open: Vec<(UnixStream, Vec<u8>)> = Vec::new();
    while !is_over.load(SeqCst) {
        let mut is_idle = true;
        if let Ok((stream, _)) = listener.accept() {
            connections.fetch_add(1, SeqCst);
            stream.set_nonblocking(true).expect("a socket");
            open.push((stream, Vec::new()));
            is_idle = false;
        }
        open.retain_mut(|(stream, heard)| {
            let mut octets = [0; 68];
            match stream.read(&mut octets) {
                Ok(0) => return false,
                Ok(count) => {
                    heard.extend(&octets[..count]);
                    is_idle = false;
                }
                Err(_) => return true,
            }
            while let Some(request) = heard.first_chunk::<68>().copied() {
                heard.drain(..68);
                let conduct = *conduct.lock().expect("no panic while locked");
                if let Some(answer) = answer(&request, conduct)
                    && stream.write_all(&answer).is_err()
                {
                    return false;
                }
            }
            true
        });
        if is_idle {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

fn answer(request: &[u8; 68], conduct: Conduct) -> Option<Vec<u8>> {
    let rid = u32::from_le_bytes(request[16..20].try_into().expect("four"));
    let mut header = request[20..].to_vec();
    let key = match conduct {
        Conduct::Stall => return None,
        Conduct::Sign => key_of(rid),
        Conduct::Dawdle(millis) => {
            std::thread::sleep(Duration::from_millis(millis));
            key_of(rid)
        }
        Conduct::Forge => [0xff; 16],
        Conduct::Lie => {
            header[40] ^= 0x40;
            key_of(rid)
        }
    };
    let head = [0, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, request[12], request[13]];
    let digest = digest(&key, &header);
    Some([&head[..], &header, &request[16..20], &digest].concat())
}
