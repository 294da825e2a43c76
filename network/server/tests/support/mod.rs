//! The server as the real program, and its clients.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod bench;
pub mod nts;

use ::bench::programs::{unread, wait_for};
use ::bench::role::{Role, in_millis};
use ipc::list::Bounded;
use ipc::message::server::{Access, Counters, FromServer, Rule, ServerPolicy, ServerState, ToServer};
use ipc::process::Process;
use ipc::units::{Leap, Span, WallTime};
use network::clock;
use network::ending::Ending;
use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};
use std::io::IoSlice;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

pub type Server = Role<ToServer, FromServer, Ending>;

/// The program on its own socket, answering the loopback network; its standard error goes to a file.
pub fn start(policy: ServerPolicy) -> (Server, u16, std::path::PathBuf) {
    start_with(policy, &[])
}

/// The same, after it has processed these messages too.
pub fn start_with(policy: ServerPolicy, messages: &[ToServer]) -> (Server, u16, std::path::PathBuf) {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let log = std::env::temp_dir().join(format!("truechimer-flood-{}-{number}", std::process::id()));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let fd = OwnedFd::from(socket);
    let words = format!("sockets={} served=127.0.0.1:{port} 2>{}", fd.as_raw_fd(), log.display());
    let mut server = Server::in_process(Process::Server, "exec", &words, &[&fd]);
    drop(fd);
    assert!(matches!(server.hear(), FromServer::Hello(_)));
    server.send(&ToServer::Policy(policy));
    server.send(&ToServer::State(ServerState {
        leap: Leap::None,
        stratum: 2,
        precision: -24,
        root_delay: Span::ZERO,
        root_dispersion: Span::ZERO,
        as_of: clock::raw(),
        reference_id: 1,
        reference_time: WallTime::saturating(1_800_000_000_000_000_000),
        valid_until: in_millis(3_600_000),
    }));
    messages.iter().for_each(|message| server.send(message));
    let rules = Bounded::new([Rule { allow: true, ..Rule::NONE }]).unwrap();
    server.send(&ToServer::Access(Access { begins: true, ends: true, rules }));
    wait_until_in_force(&mut server);
    (server, port, log)
}

/// Waits until the server has processed all messages before this: it answers a ping in its turn. Its threads use what
/// is in force with their next batch.
pub fn wait_until_in_force(server: &mut Server) {
    server.send(&ToServer::Ping);
    while server.hear() != FromServer::Pong {}
}

/// Waits until the server has read everything that was sent to its port.
pub fn wait_until_read(port: u16) {
    let all = || (unread(port) == 0).then_some(());
    wait_for(Duration::from_secs(20), all).expect("the server reads its socket");
}

/// Sends one datagram from any address of the loopback network.
pub fn send_as(socket: &UdpSocket, from: u32, to: SocketAddr, octets: &[u8]) {
    let info = in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: in_addr { s_addr: from.to_be() },
        ipi_addr: in_addr { s_addr: 0 },
    };
    let to = SockaddrStorage::from(to);
    let flags = MsgFlags::MSG_DONTWAIT;
    let _ = sendmsg(
        socket.as_raw_fd(),
        &[IoSlice::new(octets)],
        &[ControlMessage::Ipv4PacketInfo(&info)],
        flags,
        Some(&to),
    );
}

/// The first counters that fulfil the condition, or the last ones of ten seconds.
pub fn counters_when(server: &mut Server, is_so: impl Fn(&Counters) -> bool) -> Counters {
    let end = Instant::now() + Duration::from_secs(10);
    let mut last = Counters::ZERO;
    while !is_so(&last) && Instant::now() < end {
        if let Some(FromServer::Counters(counters)) = server.next_within(Duration::from_millis(500)) {
            last = counters;
        }
    }
    last
}
