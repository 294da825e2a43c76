//! A relay between a client and a server that makes the path long: each packet is delayed by a given time,
//! counted from the kernel's timestamp of its arrival, so that a late wake-up of the relay does not add to it.

use crate::clock;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The delay of packets in one direction: `least`, plus an exponential with this mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Way {
    /// The shortest time.
    pub least: Duration,
    /// The mean of the additional delay.
    pub jitter: Duration,
}

impl Way {
    /// In microseconds.
    pub const fn micros(least: u64, jitter: u64) -> Self {
        Self { least: Duration::from_micros(least), jitter: Duration::from_micros(jitter) }
    }
}

/// Both directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Path {
    /// From client to server.
    pub there: Way,
    /// From server to client.
    pub back: Way,
}

/// The addresses of a relay.
pub struct RelayConfig {
    /// The address for clients; port 0: a free one.
    pub front: SocketAddr,
    /// The address from which it queries the server, so that relays are different clients to it.
    pub from: IpAddr,
    /// The server.
    pub server: SocketAddr,
    /// The network namespace for both; `None`: that of this process.
    pub network: Option<File>,
}

/// A running relay; it ends when dropped.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    end: AtomicBool,
    path: Mutex<Path>,
    /// From the client, to the client.
    passed: [AtomicU64; 2],
    /// The total lateness of packets, nanoseconds.
    late: AtomicU64,
}

/// Less than this before a packet is due, the relay does not sleep: the kernel wakes sleepers 50 to 300 µs late.
const AWAKE: Duration = Duration::from_micros(400);
/// Longest sleep, so that an end is noticed.
const NAP: Duration = Duration::from_millis(50);
/// Most clients that are remembered; each query may come from another port.
const LANES: usize = 64;
/// Most packets under way; further ones are lost, as on any path.
const UNDER_WAY: usize = 4096;

impl Relay {
    /// Starts it. The same seed gives the same delays for the same packets, counted in each direction.
    ///
    /// # Panics
    /// If an address cannot be bound or the namespace cannot be entered.
    pub fn start(config: RelayConfig, path: Path, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            end: AtomicBool::new(false),
            path: Mutex::new(path),
            passed: [AtomicU64::new(0), AtomicU64::new(0)],
            late: AtomicU64::new(0),
        });
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                if let Some(network) = &config.network {
                    nix::sched::setns(network, nix::sched::CloneFlags::CLONE_NEWNET)
                        .expect("root may enter a network namespace");
                }
                hurry();
                let front = Rc::new(socket(config.front));
                let address = front.local_addr().expect("a bound socket has an address");
                tell.send(address).expect("the starter waits");
                Stretch {
                    front,
                    from: config.from,
                    server: config.server,
                    lanes: VecDeque::new(),
                    under_way: BinaryHeap::new(),
                    random: [SplitMix64(seed), SplitMix64(!seed)],
                    count: 0,
                }
                .run(&shared);
            }
        });
        let address = told.recv().expect("the relay's addresses can be bound");
        Self { address, shared, thread: Some(thread) }
    }

    /// The address for clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets another path for the packets that arrive from now on.
    pub fn change(&self, path: Path) {
        *self.shared.path.lock().expect("no panic while it is locked") = path;
    }

    /// The number of packets that have arrived from clients, and from the server.
    pub fn passed(&self) -> [u64; 2] {
        [0, 1].map(|way| self.shared.passed[way].load(Ordering::SeqCst))
    }

    /// The mean lateness of packets: whether the path was the one that was requested.
    pub fn lateness(&self) -> Duration {
        let packets = self.passed().iter().sum::<u64>().max(1);
        Duration::from_nanos(self.shared.late.load(Ordering::SeqCst) / packets)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Scheduled before other threads, if this is permitted: on a busy machine the scheduler would determine the path.
fn hurry() {
    // SAFETY: the structure consists of numbers, for which all zeros are lawful.
    let mut wish: libc::sched_param = unsafe { std::mem::zeroed() };
    wish.sched_priority = 1;
    // SAFETY: `wish` lives through the call, which reads it and nothing else; 0 is the calling thread. Refused
    // (without root), it changes nothing.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const wish) };
}

/// Not blocking, with the kernel's stamps of arrival.
fn socket(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(address).expect("a relay's address can be bound");
    socket.set_nonblocking(true).expect("a socket can be made not to block");
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true).expect("a socket can be made to stamp");
    socket
}

/// One packet on its way.
struct Parcel {
    due: Instant,
    number: u64,
    octets: Vec<u8>,
    through: Rc<UdpSocket>,
    /// `None`: the socket is connected.
    to: Option<SocketAddr>,
}

impl Parcel {
    fn order(&self) -> (Instant, u64) {
        (self.due, self.number)
    }
}

impl PartialEq for Parcel {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Parcel {}

impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Parcel {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

/// The relay's own side.
struct Stretch {
    front: Rc<UdpSocket>,
    from: IpAddr,
    server: SocketAddr,
    /// A socket to the server for each client, the last one at the end.
    lanes: VecDeque<(Rc<UdpSocket>, SocketAddr)>,
    under_way: BinaryHeap<Reverse<Parcel>>,
    random: [SplitMix64; 2],
    count: u64,
}

impl Stretch {
    fn run(mut self, shared: &Shared) {
        while !shared.end.load(Ordering::SeqCst) {
            self.sleep();
            let path = *shared.path.lock().expect("no panic while it is locked");
            while let Some((octets, age, from)) = receive(&self.front) {
                shared.passed[0].fetch_add(1, Ordering::SeqCst);
                let lane = self.lane(from);
                self.take(0, path.there, age, octets, lane, None);
            }
            for index in 0..self.lanes.len() {
                let (lane, client) = self.lanes[index].clone();
                while let Some((octets, age, _)) = receive(&lane) {
                    shared.passed[1].fetch_add(1, Ordering::SeqCst);
                    let front = Rc::clone(&self.front);
                    self.take(1, path.back, age, octets, front, Some(client));
                }
            }
            self.send(shared);
        }
    }

    fn sleep(&self) {
        let left = self.under_way.peek().map_or(NAP, |Reverse(parcel)| {
            parcel.due.saturating_duration_since(Instant::now()).saturating_sub(AWAKE).min(NAP)
        });
        let sockets = self.lanes.iter().map(|(lane, _)| lane).chain([&self.front]);
        let mut waiting: Vec<_> =
            sockets.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        // An interrupted sleep is a short one.
        let _ = ppoll(&mut waiting, Some(TimeSpec::from_duration(left)), None);
    }

    fn take(
        &mut self,
        way: usize,
        law: Way,
        age: Duration,
        octets: Vec<u8>,
        through: Rc<UdpSocket>,
        to: Option<SocketAddr>,
    ) {
        let delay = law.least + law.jitter.mul_f64(self.random[way].exponential());
        if self.under_way.len() < UNDER_WAY {
            self.count += 1;
            let due = Instant::now() + delay.saturating_sub(age);
            self.under_way.push(Reverse(Parcel { due, number: self.count, octets, through, to }));
        }
    }

    fn send(&mut self, shared: &Shared) {
        while let Some(Reverse(next)) = self.under_way.peek() {
            if next.due.saturating_duration_since(Instant::now()) > AWAKE {
                return;
            }
            while Instant::now() < next.due {
                std::hint::spin_loop();
            }
            let late = Instant::now().saturating_duration_since(next.due);
            shared.late.fetch_add(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
            // What cannot be sent is lost, as on any path.
            let _ = match next.to {
                Some(client) => next.through.send_to(&next.octets, client),
                None => next.through.send(&next.octets),
            };
            self.under_way.pop();
        }
    }

    fn lane(&mut self, client: SocketAddr) -> Rc<UdpSocket> {
        if let Some((lane, _)) = self.lanes.iter().find(|(_, known)| *known == client) {
            return Rc::clone(lane);
        }
        let lane = Rc::new(socket((self.from, 0).into()));
        lane.connect(self.server).expect("a loopback address can be reached");
        if self.lanes.len() == LANES {
            self.lanes.pop_front();
        }
        self.lanes.push_back((Rc::clone(&lane), client));
        lane
    }
}

/// The next packet, the time since its arrival, and its sender.
fn receive(socket: &UdpSocket) -> Option<(Vec<u8>, Duration, SocketAddr)> {
    let mut octets = vec![0; 2048];
    let mut space = nix::cmsg_space!(libc::timespec);
    let mut parts = [IoSliceMut::new(&mut octets)];
    let message = recvmsg::<nix::sys::socket::SockaddrStorage>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::MSG_DONTWAIT,
    )
    .ok()?;
    let now = clock::wall();
    let stamp = message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(time) => Some(time.tv_sec() * 1_000_000_000 + time.tv_nsec()),
        _ => None,
    });
    let from = message.address?;
    let from = match (from.as_sockaddr_in(), from.as_sockaddr_in6()) {
        (Some(from), _) => SocketAddr::from((from.ip(), from.port())),
        (_, Some(from)) => SocketAddr::from((from.ip(), from.port())),
        _ => return None,
    };
    let length = message.bytes;
    // A step of the host's clock must not stop the traffic.
    let age = now.saturating_sub(stamp.unwrap_or(now)).clamp(0, 1_000_000_000);
    octets.truncate(length);
    Some((octets, Duration::from_nanos(age.unsigned_abs()), from))
}

/// SplitMix64: reproducible random numbers.
struct SplitMix64(u64);

impl SplitMix64 {
    /// Exponential, with mean 1.
    fn exponential(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // 53 bits; never 0, whose logarithm is infinite.
        -((((bits >> 11) as f64) + 0.5) / 9_007_199_254_740_992.0).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::query;
    use crate::forger::Forger;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn relay(server: &Forger, path: Path) -> Relay {
        let config =
            RelayConfig { front: (HERE, 0).into(), from: HERE, server: server.address(), network: None };
        Relay::start(config, path, 7)
    }

    #[test]
    fn both_ways_are_as_long_as_ordered_and_can_be_changed() {
        let server = Forger::honest(HERE, 0);
        let path = Path { there: Way::micros(30_000, 0), back: Way::micros(10_000, 0) };
        let relay = relay(&server, path);
        // Never shorter, however busy the machine is.
        let answer = query(relay.address(), Duration::from_secs(5)).expect("an answer");
        assert!(answer.delay_ns >= 40_000_000, "{answer:?}");
        relay.change(Path { there: Way::micros(80_000, 0), ..path });
        let answer = query(relay.address(), Duration::from_secs(5)).expect("an answer");
        assert!(answer.delay_ns >= 90_000_000, "{answer:?}");
        assert_eq!(relay.passed(), [2, 2]);
    }

    #[test]
    fn the_same_seed_draws_the_same_delays_and_their_mean_is_one() {
        let draw = |seed| {
            let mut random = SplitMix64(seed);
            (0..4000).map(|_| random.exponential()).collect::<Vec<_>>()
        };
        let first = draw(5);
        assert_eq!(first, draw(5));
        assert_ne!(first, draw(6));
        let mean = first.iter().sum::<f64>() / 4000.0;
        assert!((mean - 1.0).abs() < 0.1 && first.iter().all(|value| *value >= 0.0), "{mean}");
    }
}
