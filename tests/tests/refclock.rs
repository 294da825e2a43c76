//! Reference clocks that a program sends the time of to a socket, as gpsd does for chronyd.

use bench::daemon::{Daemon, Setup};
use bench::peers::{NO_CHRONYD, chronyd_measures};
use bench::programs::{Place, free_port};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TIMEOUT: Duration = Duration::from_secs(120);

/// A sample of `struct sock_sample`: taken now, `offset` seconds behind true time.
fn sample(offset: f64) -> [u8; 40] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("later than 1970");
    let mut octets = [0; 40];
    octets[..8].copy_from_slice(&now.as_secs().to_ne_bytes());
    octets[8..16].copy_from_slice(&u64::from(now.subsec_micros()).to_ne_bytes());
    octets[16..24].copy_from_slice(&offset.to_ne_bytes());
    octets[36..].copy_from_slice(&0x534f_434b_u32.to_ne_bytes());
    octets
}

/// A program that sends ten samples a second, until it is dropped.
struct Feeder {
    ends: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Feeder {
    fn start(path: PathBuf, offset: f64) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let told = ends.clone();
        let socket = UnixDatagram::unbound().expect("a socket");
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                let _ = socket.send_to(&sample(offset), &path);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self { ends, thread: Some(thread) }
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

fn setup(port: u16, socket: &Path) -> Setup {
    let configuration = format!(
        "[server]\nlisten = [\"127.0.0.1:{port}\"]\nallow = [\"127.0.0.0/8\"]\nrate-limit = false\n\
         [[refclock]]\nsocket = \"{}\"\nrefid = \"GPS\"\npoll = 1\ndelay = 0.0001\n",
        socket.display()
    );
    Setup::new("refclock", &configuration).with_virtual_clock(3_000_000, 20.0)
}

fn source(daemon: &Daemon) -> Option<serde_json::Value> {
    Some(daemon.ask("sources")?["sources"][0].clone())
}

#[test]
fn a_clock_that_a_program_sends_is_followed_and_served_as_of_stratum_1_under_its_name() {
    let (port, place) = (free_port(), Place::new("clocks"));
    let socket = place.join("chrony.ttyS0.sock");
    let setup = setup(port, &socket);
    let daemon = setup.start();
    assert_eq!(std::fs::metadata(&socket).expect("made").permissions().mode() & 0o7777, 0o600);
    let feeder = Feeder::start(socket, 0.0);
    daemon.wait_until("followed", TIMEOUT, |daemon| {
        source(daemon).is_some_and(|source| source["state"] == "selected" && source["name"] == "GPS")
    });
    daemon.wait_until("served", TIMEOUT, |_| {
        bench::client::query(([127, 0, 0, 1], port).into(), Duration::from_secs(1))
            .is_some_and(|reply| reply.header.stratum == 1 && reply.header.reference_id == *b"GPS\0")
    });
    let reader = daemon.processes().into_iter().find(|process| process.role == "refclock").expect("it runs");
    assert_eq!((reader.permitted, reader.seccomp, reader.threads), (0, 2, 1));
    match chronyd_measures("127.0.0.1", port) {
        None => bench::skip(NO_CHRONYD),
        Some((offset, said)) => assert!(offset.is_some_and(|offset| offset.abs() < 0.01), "{said}"),
    }
    drop(feeder);
    daemon.wait_until("told", TIMEOUT, |daemon| daemon.log().contains("has said nothing of use"));
    daemon.stop();
}

#[test]
fn a227_what_is_no_sample_is_told_of_and_counted() {
    let place = Place::new("clocks");
    let socket = place.join("sock");
    let daemon = setup(free_port(), &socket).start();
    let feeder = UnixDatagram::unbound().expect("a socket");
    feeder.send_to(b"hello", &socket).expect("it is read");
    daemon.wait_until("told", TIMEOUT, |daemon| daemon.log().contains("no samples of SOCK"));
}
