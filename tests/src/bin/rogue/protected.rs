//! A compromised client whose source is protected by NTS: it sees every octet of queries and true
//! replies, chooses all timestamps, and has no key.

use super::{Client, SECOND, nanos, raw_now};
use ipc::message::client::{FromClient, ProtectedReply, Query, Stamp};
use ipc::packet::Packet;
use nix::time::ClockId;
use std::net::UdpSocket;
use std::time::Duration;

/// A true reply that was seen earlier, complete.
type Seen = Vec<u8>;

/// Never passes on a true reply; instead, each of the four that it may send for a query is a forgery.
pub fn forge(mut network: Client, first: &Query) -> ! {
    let mut seen: Vec<Seen> = Vec::new();
    let mut query = *first;
    for number in 1.. {
        let truth = ask(&query);
        network.send(&Client::sent(&query));
        for octets in forgeries(&query, truth.as_deref(), &seen) {
            let packet = Packet::from_octets(&octets).expect("no longer than what it was made of");
            let (id, source, t4, stamp) = (query.id, query.destination, raw_now(), Stamp::Kernel);
            network.send(&FromClient::ProtectedReply(ProtectedReply { id, source, t4, stamp, packet }));
        }
        seen.extend(truth);
        if number == 4 {
            super::say("done");
        }
        query = network.next_query();
    }
    unreachable!("it is ended from outside")
}

/// The true server's answer.
fn ask(query: &Query) -> Option<Seen> {
    let destination = query.destination.socket_address();
    let here = if destination.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(here).ok()?;
    socket.connect(destination).ok()?;
    socket.set_read_timeout(Some(Duration::from_millis(300))).ok()?;
    socket.send(query.packet.octets()).ok()?;
    let mut reply = vec![0; 1232];
    let length = socket.recv(&mut reply).ok()?;
    reply.truncate(length);
    Some(reply)
}

fn forgeries(query: &Query, truth: Option<&[u8]>, seen: &[Seen]) -> Vec<Vec<u8>> {
    let lie = lie();
    let with_header = |mut packet: Vec<u8>| {
        // Leap, version 4, mode 4, stratum 1; the expected origin; the false time.
        packet[..4].copy_from_slice(&[0x24, 1, 6, 0xe8]);
        packet[24..32].copy_from_slice(&query.packet.octets()[40..48]);
        packet[32..40].copy_from_slice(&lie);
        packet[40..48].copy_from_slice(&lie);
        packet
    };
    let request = query.packet.octets().to_vec();
    let mut all = vec![with_header(request[..48].to_vec()), with_header(request)];
    // The true reply of this query with another time, and an older one modified to look like it.
    all.extend(truth.map(|truth| with_header(truth.to_vec())));
    all.extend(seen.last().map(|old| {
        let mut old = with_header(old.clone());
        // The unique identifier is the first field of both.
        let end = 84.min(old.len()).min(query.packet.octets().len());
        old[48..end].copy_from_slice(&query.packet.octets()[48..end]);
        old
    }));
    all
}

/// An hour from now, as an NTP timestamp.
fn lie() -> [u8; 8] {
    let seconds = nanos(ClockId::CLOCK_REALTIME) / SECOND + 3_600 + 2_208_988_800;
    ((seconds as u64) << 32).to_be_bytes()
}
