//! A server that does what a test orders: right answers, wrong answers, too many, from other addresses.

use crate::clock;
use crate::packet::{Header, timestamp};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// One query that the forger received.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its number, from 0.
    pub number: u64,
    /// Its octets.
    pub octets: Vec<u8>,
    /// The sender.
    pub from: SocketAddr,
    /// The forger's clock when it arrived, nanoseconds since 1970.
    pub received: i64,
    /// What is added to the host's clock to get the forger's.
    pub shift: i64,
}

/// What is sent back.
#[derive(Clone, Debug)]
pub enum Act {
    /// These octets, from the address that was asked.
    Reply(Vec<u8>),
    /// These octets, from another port of the same address.
    FromAnotherPort(Vec<u8>),
    /// These octets, from this address (and some port of it).
    FromAddress(std::net::IpAddr, Vec<u8>),
    /// Wait before the next act.
    Wait(Duration),
}

impl Request {
    /// An honest reply by the forger's clock: stratum 2, precise to a microsecond. The transmit timestamp is
    /// that of the call.
    pub fn honest(&self) -> Header {
        let query = Header::from_octets(&self.octets).unwrap_or(Header::query(0));
        let now = clock::wall() + self.shift;
        Header {
            leap: 0,
            version: query.version,
            mode: 4,
            stratum: 2,
            poll: query.poll,
            precision: -23,
            root_delay: 66,
            root_dispersion: 66,
            reference_id: [192, 0, 2, 77],
            reference: timestamp(now - 5_000_000_000),
            origin: query.transmit,
            receive: timestamp(self.received),
            transmit: timestamp(now),
        }
    }

    /// The honest reply with one thing changed.
    pub fn with(&self, change: impl FnOnce(&mut Header)) -> Act {
        let mut header = self.honest();
        change(&mut header);
        Act::Reply(header.octets().to_vec())
    }

    /// A kiss-o'-death with this code (RFC 5905 section 7.4).
    pub fn kiss(&self, code: &[u8; 4]) -> Act {
        self.with(|header| {
            header.leap = 3;
            header.stratum = 0;
            header.reference_id = *code;
        })
    }
}

type Script = Box<dyn FnMut(&Request) -> Vec<Act> + Send>;

/// A running forger; it ends when dropped.
pub struct Forger {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    end: AtomicBool,
    heard: AtomicU64,
    script: Mutex<Script>,
}

impl Forger {
    /// Starts on a port of the given loopback address; `shift_ns` is its clock minus the host's.
    ///
    /// # Panics
    /// If the address cannot be bound.
    pub fn start(
        address: std::net::IpAddr,
        shift_ns: i64,
        script: impl FnMut(&Request) -> Vec<Act> + Send + 'static,
    ) -> Self {
        Self::start_with_clock(address, move |wall| wall + shift_ns, script)
    }

    /// The same with its own clock: a function from the host's clock (read at the query) to the
    /// forger's.
    ///
    /// # Panics
    /// If the address cannot be bound.
    pub fn start_with_clock(
        address: std::net::IpAddr,
        own_clock: impl Fn(i64) -> i64 + Send + 'static,
        script: impl FnMut(&Request) -> Vec<Act> + Send + 'static,
    ) -> Self {
        Self::start_at((address, crate::programs::free_port()).into(), own_clock, script)
    }

    /// The same at this address and port, in the network of the calling thread.
    ///
    /// # Panics
    /// If it cannot be bound.
    pub fn start_at(
        place: SocketAddr,
        own_clock: impl Fn(i64) -> i64 + Send + 'static,
        script: impl FnMut(&Request) -> Vec<Act> + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind(place).expect("an address that is free");
        let address = socket.local_addr().expect("a bound socket has an address");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket takes a time-out");
        let shared = Arc::new(Shared {
            end: AtomicBool::new(false),
            heard: AtomicU64::new(0),
            script: Mutex::new(Box::new(script)),
        });
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || run(&socket, &own_clock, &shared)
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// An honest server whose clock is `shift_ns` from the host's.
    pub fn honest(address: std::net::IpAddr, shift_ns: i64) -> Self {
        Self::start(address, shift_ns, |request| vec![request.with(|_| ())])
    }

    /// Where to query it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of queries received so far.
    pub fn heard(&self) -> u64 {
        self.shared.heard.load(Ordering::SeqCst)
    }

    /// Changes the behaviour from the next query on.
    pub fn change(&self, script: impl FnMut(&Request) -> Vec<Act> + Send + 'static) {
        *self.shared.script.lock().expect("a script does not panic") = Box::new(script);
    }
}

impl Drop for Forger {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(socket: &UdpSocket, own_clock: &dyn Fn(i64) -> i64, shared: &Shared) {
    let mut buffer = [0; 2048];
    while !shared.end.load(Ordering::SeqCst) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let wall = clock::wall();
        let received = own_clock(wall);
        let request = Request {
            number: shared.heard.fetch_add(1, Ordering::SeqCst),
            octets: buffer[..length].to_vec(),
            from,
            received,
            shift: received - wall,
        };
        let acts = shared.script.lock().expect("a script does not panic")(&request);
        for act in acts {
            carry_out(socket, from, act);
        }
    }
}

fn carry_out(socket: &UdpSocket, to: SocketAddr, act: Act) {
    let own = socket.local_addr().expect("a bound socket has an address").ip();
    let elsewhere =
        |address, octets: &[u8]| UdpSocket::bind((address, 0)).and_then(|s| s.send_to(octets, to));
    // A reply may meet a closed port, which is not an error here.
    let _ = match act {
        Act::Reply(octets) => socket.send_to(&octets, to),
        Act::FromAnotherPort(octets) => elsewhere(own, &octets),
        Act::FromAddress(address, octets) => elsewhere(address, &octets),
        Act::Wait(time) => {
            std::thread::sleep(time);
            Ok(0)
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::query;

    #[test]
    fn an_honest_forger_is_measured_right() {
        let forger = Forger::honest("127.0.0.1".parse().unwrap(), 250_000_000);
        let answer = query(forger.address(), Duration::from_secs(2)).unwrap();
        assert!((answer.offset_ns - 250_000_000).abs() < 20_000_000, "{answer:?}");
        assert_eq!((answer.header.stratum, answer.header.mode, forger.heard()), (2, 4, 1));
    }
}
