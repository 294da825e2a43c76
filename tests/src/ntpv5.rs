//! The draft of NTP version 5: raw requests, and ntpd-rs as server and client.

use crate::daemon::spawn;
use crate::forger::Forger;
use crate::nts::fenced;
use crate::peers::Peer;
use crate::programs::{Place, find_peer, free_port, wait_for};
use protocol::ntpv5::client::{Wanted, put_request};
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The reason for a skipped test.
pub const NO_NTPD_RS: &str = "ntp-daemon-ntpv5, ntpd-rs with the draft of NTP version 5, is missing; `cargo xtask peers --more` builds it";

/// A request with this cookie that asks for all that a client of ours asks for, and these fields of its own behind that.
///
/// # Panics
/// If it is longer than a packet.
pub fn request(cookie: u64, wanted: Wanted, fields: &[u8]) -> Vec<u8> {
    let mut octets = vec![0; 1232];
    let length = put_request(&mut octets, cookie, wanted).expect("it fits");
    octets.truncate(length);
    octets.extend(fields);
    octets
}

/// The answer to some octets; none within `patience`.
///
/// # Panics
/// Without a socket.
pub fn ask(server: SocketAddr, octets: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a loopback address");
    socket.set_read_timeout(Some(patience)).expect("a duration");
    socket.send_to(octets, server).expect("loopback takes it");
    let mut answer = [0; 2048];
    let length = socket.recv(&mut answer).ok()?;
    Some(answer[..length].to_vec())
}

/// Somebody on the path between clients and a server, who passes on one query and its reply after the other; ends when dropped.
pub struct OnPath {
    address: SocketAddr,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What it does with a packet: of a server or not. The packets are passed on in its place.
pub type Meddler = Box<dyn FnMut(&[u8], bool) -> Vec<Vec<u8>> + Send>;

impl OnPath {
    /// Between clients and this server.
    ///
    /// # Panics
    /// Without a socket on loopback.
    pub fn start(server: SocketAddr, mut meddle: Meddler) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").expect("a loopback address");
        front.set_read_timeout(Some(Duration::from_millis(50))).expect("a duration");
        let address = front.local_addr().expect("it is bound");
        let end = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let mut octets = [0; 2048];
            while !ends.load(Ordering::Relaxed) {
                let Ok((length, client)) = front.recv_from(&mut octets) else { continue };
                for query in meddle(&octets[..length], false) {
                    // A reply comes at once, or not at all.
                    let Some(reply) = ask(server, &query, Duration::from_millis(200)) else { continue };
                    for reply in meddle(&reply, true) {
                        let _ = front.send_to(&reply, client);
                    }
                }
            }
        });
        Self { address, end, thread: Some(thread) }
    }

    /// Where clients find it.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for OnPath {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// ntpd-rs as a server of all versions on 127.0.0.1, which follows an honest server of the host's own time; none: it is missing.
///
/// # Panics
/// If it does not answer within 20 s.
pub fn ntpd_rs_server() -> Option<(Peer, Forger)> {
    let reference = Forger::honest([127, 0, 0, 9].into(), 0);
    let port = free_port();
    let configuration = format!(
        "[observability]\nlog-level = \"info\"\n[synchronization]\nminimum-agreeing-sources = 1\n[source-defaults]\n\
         poll-interval-limits = {{ min = 0, max = 0 }}\ninitial-poll-interval = 0\n[[source]]\nmode = \"server\"\n\
         address = \"{}\"\n[[server]]\nlisten = \"127.0.0.1:{port}\"\naccept-ntp-versions = [3, 4, 5]\n",
        reference.address()
    );
    let peer = start(&configuration, port)?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let asked = request(9, Wanted { reference_ids: false, correction: false }, &[]);
    let up = wait_for(Duration::from_secs(20), || {
        // Stratum 16 is what it says before it has a source.
        ask(address, &asked, Duration::from_millis(200)).filter(|answer| (1..16).contains(&answer[1]))
    });
    assert!(up.is_some(), "ntpd-rs does not answer in version 5:\n{}", peer.log());
    Some((peer, reference))
}

/// ntpd-rs as a client of a server on 127.0.0.1 that asks it each second or so, in version `5` or `"auto"`; none: it is missing.
///
/// # Panics
/// If its files cannot be written.
pub fn ntpd_rs_client(server: u16, version: &str) -> Option<Peer> {
    let configuration = format!(
        "[observability]\nlog-level = \"debug\"\n[synchronization]\nminimum-agreeing-sources = 1\n[source-defaults]\n\
         poll-interval-limits = {{ min = 0, max = 0 }}\ninitial-poll-interval = 0\n[[source]]\nmode = \"server\"\n\
         address = \"127.0.0.1:{server}\"\nntp-version = {version}\n"
    );
    start(&configuration, server)
}

fn start(configuration: &str, port: u16) -> Option<Peer> {
    let program = find_peer("ntp-daemon-ntpv5")?;
    let place = Place::new("ntpd-rs-ntpv5");
    fs::write(place.join("ntp.toml"), configuration).expect("a new folder can be written");
    let log = fs::File::create(place.join("log")).expect("a new folder can be written");
    let mut command = fenced(&program);
    command.arg("-c").arg(place.join("ntp.toml"));
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file can be shared")).stderr(log);
    Some(Peer::new(spawn(&mut command), place, port))
}
