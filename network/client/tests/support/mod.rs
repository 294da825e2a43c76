//! The engine's messages to the client, and a server controlled by the test.

#![allow(dead_code, reason = "each test file uses its part")]

use bench::role::{Role, in_millis};
use ipc::message::Shortfall;
use ipc::message::client::{FromClient, PlainReply, Query, QueryId, Rejected, Sent, ToClient, Unanswered};
use ipc::packet::Packet;
use network::ending::Ending;
use protocol::header::Header;
use protocol::request::minimal;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

pub type Client = Role<ToClient, FromClient, Ending>;

pub const NONE_REJECTED: Rejected = Rejected::NONE;

pub fn client() -> Client {
    greeted(Client::in_thread(|link| client::run(link, Shortfall::NONE, None)))
}

pub fn greeted(mut client: Client) -> Client {
    assert!(matches!(client.hear(), FromClient::Hello(_)));
    client
}

pub fn nonce(id: u64) -> u64 {
    0x5eed_0000_0000_0000 | id
}

pub fn query(id: u64, destination: SocketAddr, millis: i64) -> ToClient {
    ToClient::Query(plain(id, destination, millis))
}

pub fn protected_query(id: u64, destination: SocketAddr, millis: i64) -> ToClient {
    ToClient::Query(Query { protected: true, ..plain(id, destination, millis) })
}

fn plain(id: u64, destination: SocketAddr, millis: i64) -> Query {
    let packet = Packet::from_octets(&minimal(nonce(id)).encode()).unwrap();
    let deadline = in_millis(millis);
    Query {
        id: QueryId(id),
        destination: destination.into(),
        deadline,
        packet,
        protected: false,
        departure: ipc::departure::Departure::USUAL,
    }
}

/// A server's socket, controlled by the test.
pub struct Server(pub UdpSocket);

impl Server {
    pub fn at(address: &str) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(socket)
    }

    pub fn here() -> Self {
        Self::at("127.0.0.1:0")
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub fn request(&self) -> (Header, SocketAddr) {
        let mut octets = [0; 100];
        let (length, from) = self.0.recv_from(&mut octets).unwrap();
        assert_eq!(length, 48);
        (Header::decode(&octets[..length]).unwrap(), from)
    }

    pub fn send(&self, octets: &[u8], to: SocketAddr) {
        self.0.send_to(octets, to).unwrap();
    }
}

pub fn honest(request: &Header) -> Header {
    Header {
        version: 4,
        mode: 4,
        stratum: 1,
        origin_timestamp: request.transmit_timestamp,
        receive_timestamp: 0x1111,
        transmit_timestamp: 0x2222,
        ..Header::default()
    }
}

pub fn expect_sent(client: &mut Client, id: u64) -> Sent {
    match client.hear() {
        FromClient::Sent(sent) if sent.id == QueryId(id) => sent,
        other => panic!("{other:?}"),
    }
}

pub fn expect_reply(client: &mut Client, id: u64) -> PlainReply {
    match client.hear() {
        FromClient::PlainReply(reply) if reply.id == QueryId(id) => reply,
        other => panic!("{other:?}"),
    }
}

pub fn expect_unanswered(client: &mut Client, id: u64) -> Unanswered {
    match client.hear() {
        FromClient::Unanswered(end) if end.id == QueryId(id) => end,
        other => panic!("{other:?}"),
    }
}
