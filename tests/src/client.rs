//! A single SNTP query, as from any program.

use crate::clock;
use crate::packet::{HEADER, Header, nanos, timestamp};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// The reply.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The header.
    pub header: Header,
    /// Octets in total.
    pub length: usize,
    /// The server's clock minus the host's, nanoseconds, by the four timestamps.
    pub offset_ns: i64,
    /// Round trip, nanoseconds.
    pub delay_ns: i64,
}

/// When to ask again: a busy machine may need longer for an answer, so silence alone proves nothing.
pub const SILENCE: Duration = Duration::from_millis(300);

/// Whether a query is answered within [`SILENCE`], from the address that was asked; from whichever address of this network.
pub fn answers(server: SocketAddr) -> bool {
    let ask = || -> std::io::Result<usize> {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.set_read_timeout(Some(SILENCE))?;
        socket.connect(server)?;
        socket.send(&Header::query(1).octets())?;
        socket.recv(&mut [0; 2 * HEADER])
    };
    ask().is_ok_and(|length| length == HEADER)
}

/// A query of 48 octets; `None` if nothing comes back within `timeout`.
pub fn query(server: SocketAddr, timeout: Duration) -> Option<Answer> {
    let sent = clock::wall();
    let request = Header::query(timestamp(sent));
    let (reply, received) = send(server, &request.octets(), timeout)?;
    let header = Header::from_octets(&reply)?;
    let (t2, t3) = (nanos(header.receive), nanos(header.transmit));
    Some(Answer {
        header,
        length: reply.len(),
        offset_ns: ((t2 - sent) + (t3 - received)) / 2,
        delay_ns: (received - sent) - (t3 - t2),
    })
}

/// Sends these octets and returns the first reply with the moment of its arrival (CLOCK_REALTIME).
///
/// # Panics
/// If no socket can be made.
pub fn send(server: SocketAddr, octets: &[u8], timeout: Duration) -> Option<(Vec<u8>, i64)> {
    let socket = match server {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)),
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)),
    }
    .expect("a loopback socket can be made");
    socket.connect(server).expect("a loopback address can be reached");
    socket.set_read_timeout(Some(timeout)).expect("a socket takes a time-out");
    socket.send(octets).ok()?;
    let mut buffer = [0; HEADER * 30];
    let length = socket.recv(&mut buffer).ok()?;
    let received = clock::wall();
    Some((buffer[..length].to_vec(), received))
}
