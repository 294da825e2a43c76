//! What is outside of guests: a network of their own, and servers on it whose time is the truth. The truth is the
//! host's clock and a shift, so that an hour can pass for all but the guest.

use crate::command;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The servers of the world; guests are 10.77.0.2 and 10.77.0.3.
pub const SERVERS: [&str; 3] = ["10.77.0.11", "10.77.0.12", "10.77.0.13"];

/// A server that only other configurations name: who asks it has read one that does not count.
pub const STRANGER: &str = "10.77.0.14";

/// Seconds between the epochs of NTP and of Unix.
const EPOCHS: i64 = 2_208_988_800;

static WORLDS: AtomicU32 = AtomicU32::new(0);

/// A network namespace with a bridge, a port for each of two guests, and servers; gone when dropped.
pub struct World {
    name: String,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    end: AtomicBool,
    answers: AtomicBool,
    shift: AtomicI64,
    /// Since when the truth runs beside the host's clock, in ns, and how much faster, in ppm.
    rate: Mutex<(i64, f64)>,
    /// Queries of each server, the stranger behind them.
    asked: [AtomicU64; 4],
}

impl World {
    /// Makes the network and starts the servers.
    ///
    /// # Errors
    /// Without the right to make a network namespace, or a tap device.
    pub fn new() -> Result<Self, String> {
        let name = format!("rig-{}-{}", std::process::id(), WORLDS.fetch_add(1, Ordering::Relaxed));
        let shared = Arc::new(Shared {
            end: AtomicBool::new(false),
            answers: AtomicBool::new(true),
            shift: AtomicI64::new(0),
            rate: Mutex::new((host_now(), 0.0)),
            asked: [const { AtomicU64::new(0) }; 4],
        });
        command::words(&["ip", "netns", "add", &name])?;
        let mut world = Self { name, shared, threads: Vec::new() };
        world.ip(&["link", "add", "bridge", "type", "bridge"])?;
        for port in ["tap2", "tap3"] {
            world.ip(&["tuntap", "add", port, "mode", "tap"])?;
            world.ip(&["link", "set", port, "master", "bridge", "up"])?;
        }
        world.ip(&["link", "set", "bridge", "up"])?;
        world.ip(&["link", "set", "lo", "up"])?;
        let all = SERVERS.into_iter().chain([STRANGER]);
        for address in all.clone() {
            world.ip(&["address", "add", &format!("{address}/24"), "dev", "bridge"])?;
        }
        for (number, address) in (0_u8..).zip(all) {
            let socket =
                world.socket((address.parse::<std::net::IpAddr>().expect("an address"), 123).into())?;
            socket.set_read_timeout(Some(Duration::from_millis(200))).map_err(|error| error.to_string())?;
            let shared = Arc::clone(&world.shared);
            world.threads.push(std::thread::spawn(move || serve(&socket, &shared, number)));
        }
        Ok(world)
    }

    /// The name of its network namespace.
    pub fn namespace(&self) -> &str {
        &self.name
    }

    /// The time that the servers tell, in nanoseconds since 1970.
    pub fn truth(&self) -> i64 {
        self.shared.truth()
    }

    /// Lets this many nanoseconds pass for all but the guest.
    pub fn pass(&self, nanos: i64) {
        self.shared.shift.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Lets the truth run faster than the host's clock by so many ppm from now on: to a guest, whose clock runs with the host's,
    /// its own oscillator is as much too slow.
    pub fn run_faster(&self, ppm: f64) {
        self.shared.run_faster(ppm);
    }

    /// How many queries each of [`SERVERS`] has had, and [`STRANGER`].
    pub fn asked(&self) -> [u64; 4] {
        [0, 1, 2, 3].map(|number: usize| self.shared.asked[number].load(Ordering::Relaxed))
    }

    /// Whether the servers answer.
    pub fn answer(&self, answers: bool) {
        self.shared.answers.store(answers, Ordering::Relaxed);
    }

    /// Whether a server tells a good time there, to one query from this world.
    ///
    /// # Errors
    /// Without sockets in this world.
    pub fn is_served(&self, server: SocketAddr) -> Result<bool, String> {
        let socket = self.socket(SocketAddr::from(([0; 4], 0)))?;
        socket.set_read_timeout(Some(Duration::from_secs(1))).map_err(|error| error.to_string())?;
        let mut reply = [0; 48];
        let mut query = [0; 48];
        query[0] = 0x23;
        let asked =
            socket.connect(server).and_then(|()| socket.send(&query)).and_then(|_| socket.recv(&mut reply));
        // Mode 4, and not the leap indicator of a clock that is not synchronised.
        Ok(asked.is_ok_and(|length| length == 48 && reply[0] & 7 == 4 && reply[0] >> 6 != 3))
    }

    fn ip(&self, words: &[&str]) -> Result<(), String> {
        command::words(&[&["ip", "-n", &self.name], words].concat()).map(drop)
    }

    /// A socket in this world.
    fn socket(&self, address: SocketAddr) -> Result<UdpSocket, String> {
        let path = format!("/run/netns/{}", self.name);
        let namespace = File::open(&path).map_err(|error| format!("{path}: {error}"))?;
        // Namespaces belong to threads: this one goes away with what it changed.
        let bind = move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).map_err(std::io::Error::from)?;
            UdpSocket::bind(address)
        };
        let bound = std::thread::spawn(bind).join().unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into()));
        bound.map_err(|error| format!("{address}: {error}"))
    }
}

/// Removes the networks of runs that ended without doing so.
pub fn forget_dead() {
    let Ok(names) = command::words(&["ip", "netns", "list"]) else { return };
    for name in names.lines().filter_map(|line| line.split_whitespace().next()) {
        let owner = name.strip_prefix("rig-").and_then(|rest| rest.split('-').next());
        if owner.is_some_and(command::has_ended) {
            let _ = command::words(&["ip", "netns", "delete", name]);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        let _ = command::words(&["ip", "netns", "delete", &self.name]);
    }
}

impl Shared {
    fn truth(&self) -> i64 {
        let (since, ppm) = *self.rate.lock().expect("no panic while locked");
        let now = host_now();
        now + gained(now - since, ppm) + self.shift.load(Ordering::Relaxed)
    }

    /// What has been gained before stays.
    fn run_faster(&self, ppm: f64) {
        let mut rate = self.rate.lock().expect("no panic while locked");
        let now = host_now();
        self.shift.fetch_add(gained(now - rate.0, rate.1), Ordering::Relaxed);
        *rate = (now, ppm);
    }
}

/// What a clock that is so many ppm faster gains in so many nanoseconds.
fn gained(nanos: i64, ppm: f64) -> i64 {
    (nanos as f64 * ppm * 1e-6) as i64
}

/// The host's clock, in nanoseconds since 1970.
fn host_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

/// Answers as a good server of stratum 1 until the end.
fn serve(socket: &UdpSocket, shared: &Shared, number: u8) {
    let mut query = [0; 1024];
    while !shared.end.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut query) else { continue };
        let received = shared.truth();
        if length < 48 || query[0] & 7 != 3 {
            continue;
        }
        shared.asked[usize::from(number)].fetch_add(1, Ordering::Relaxed);
        if !shared.answers.load(Ordering::Relaxed) {
            continue;
        }
        let _ = socket.send_to(&reply(&query, received, shared.truth(), number), from);
    }
}

/// The 48 octets of RFC 5905 section 7.3.
fn reply(query: &[u8], received: i64, now: i64, number: u8) -> [u8; 48] {
    let mut reply = [0; 48];
    reply[0] = query[0] & 0x38 | 4;
    reply[1] = 1;
    reply[2] = query[2];
    reply[3] = (-22_i8) as u8;
    reply[10..12].copy_from_slice(&[0, 4]);
    reply[12..16].copy_from_slice(&[b'R', b'I', b'G', b'1' + number]);
    reply[16..24].copy_from_slice(&timestamp(now / 1_000_000_000 * 1_000_000_000));
    reply[24..32].copy_from_slice(&query[40..48]);
    reply[32..40].copy_from_slice(&timestamp(received));
    reply[40..48].copy_from_slice(&timestamp(now));
    reply
}

fn timestamp(nanos: i64) -> [u8; 8] {
    let (seconds, part) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    let seconds = (seconds + EPOCHS) as u32;
    let fraction = ((u64::from(part as u32) << 32) / 1_000_000_000) as u32;
    (u64::from(seconds) << 32 | u64::from(fraction)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_rate_begins_where_the_truth_is() {
        let of = |since: i64, ppm: f64| Shared {
            end: AtomicBool::new(false),
            answers: AtomicBool::new(true),
            shift: AtomicI64::new(0),
            rate: Mutex::new((since, ppm)),
            asked: [const { AtomicU64::new(0) }; 4],
        };
        // An hour at 100 ppm is 0.36 s.
        let shared = of(host_now() - 3_600_000_000_000, 100.0);
        for ppm in [100.0, -100.0, 0.0] {
            shared.run_faster(ppm);
            let beside = shared.truth() - host_now();
            assert!((beside - 360_000_000).abs() < 50_000_000, "{beside} ns at {ppm} ppm");
        }
    }

    #[test]
    fn a_reply_belongs_to_its_query_and_tells_the_truth() {
        let mut query = [7; 48];
        query[0] = 0x23;
        let reply = reply(&query, 1_000_000_000, 1_500_000_000, 1);
        assert_eq!(reply[0], 0x24, "version 4, mode 4, no leap second");
        assert_eq!(reply[24..32], query[40..48], "the origin is what the query named");
        assert_eq!(reply[32..40], 0x83aa_7e81_0000_0000_u64.to_be_bytes());
        assert_eq!(reply[40..48], 0x83aa_7e81_8000_0000_u64.to_be_bytes());
        assert_eq!(&reply[12..16], b"RIG2");
    }
}
