//! The key exchange service under load: idle, slow, and too many clients.

mod support;

use bench::key_client::{exchange, request};
use bench::key_pair::{GENEROUS, KeyPair};
use bench::process::Process;
use ipc::message::key_service::{KeyCounters, KeyPolicy};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;
use support::{Setting, plan};

/// A connection from this address of the loopback interface.
fn connected(from: Ipv4Addr, to: SocketAddr) -> nix::Result<TcpStream> {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::from((from, 0))))?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok(TcpStream::from(socket))
}

/// An address in network number `number`.
fn client_address(number: u32) -> Ipv4Addr {
    let [_, _, high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 1 + high, low, 1)
}

fn succeeds(setting: &Setting, address: SocketAddr) -> bool {
    let keys = exchange(address, "localhost", &setting.authority.client_config(), &[15]);
    keys.is_ok_and(|keys| keys.cookies.len() == 8)
}

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The start of a first message, up to its length.
const HALF_A_HELLO: [u8; 11] = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

#[test]
fn a087_ten_thousand_slow_connections_from_as_many_networks_keep_no_client_from_its_exchange() {
    const SLOW: u32 = 10_000;
    let most = getrlimit(Resource::RLIMIT_NOFILE).unwrap().1;
    setrlimit(Resource::RLIMIT_NOFILE, most.min(16_384), most).unwrap();
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 2, false));
    pair.open(KeyPolicy::DEFAULT);
    let address = pair.addresses[0];
    let (files, pid) = (open_files(pair.pids().0), pair.pids().0);
    let mut slow = Vec::new();
    let mut honest = 0;
    for number in 0..SLOW {
        let Ok(mut stream) = connected(client_address(number), address) else { break };
        // Some send nothing, some a little.
        if number % 2 == 0 {
            let _ = stream.write_all(&HALF_A_HELLO);
        }
        slow.push(stream);
        if number % 500 == 499 {
            assert!(succeeds(&setting, address), "beside {number} slow ones");
            honest += 1;
            assert!(open_files(pid) <= files + 512 + 2, "{} descriptors", open_files(pid));
        }
    }
    if slow.len() < SLOW as usize {
        bench::skip("the part of ten thousand: this process may not have so many connections");
    }
    assert!(honest > 0 || slow.len() < 500);
    let counters = pair.counters(|counters| counters.exchanged == honest);
    assert!(counters.limited > 0 && counters.tls == 0, "{counters:?}");
    drop(slow);
    assert!(succeeds(&setting, address));
}

#[test]
fn a087_one_network_has_no_more_connections_than_its_share_and_the_next_one_has_its_own() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 2, false));
    pair.open(KeyPolicy { network_connections: 8, ..KeyPolicy::DEFAULT });
    let address = pair.addresses[0];
    let idle: Vec<TcpStream> =
        (1..=20).map(|host| connected(Ipv4Addr::new(127, 9, 9, host), address).unwrap()).collect();
    let counters = pair.counters(|counters| counters.accepted == 20);
    assert_eq!(counters.limited, 12);
    let closed = idle.iter().filter(|stream| {
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        matches!((&mut &**stream).read(&mut [0; 1]), Ok(0))
    });
    assert_eq!(closed.count(), 12);
    assert!(succeeds(&setting, address), "another network has its own share");
}

#[test]
fn a087_a_client_that_drips_has_two_seconds_for_everything() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 1, false));
    pair.open(KeyPolicy::DEFAULT);
    let mut drips = connected(client_address(1), pair.addresses[0]).unwrap();
    let mut octets = [&HALF_A_HELLO[..], &[0; 500]].concat().into_iter();
    let end = bench::programs::wait_for(Duration::from_secs(20), || {
        // An octet comes often enough that no limit on a single wait ends the connection.
        std::thread::sleep(Duration::from_millis(50));
        drips.write_all(&[octets.next().unwrap_or(0)]).err()
    });
    assert!(end.is_some(), "it was never closed");
    let counters = pair.counters(|counters| counters.late == 1);
    assert_eq!((counters.gone, counters.tls), (0, 0));
    // Inside TLS it is the same.
    let keys = setting.authority.client_config();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let client = rustls::ClientConnection::new(keys, name).unwrap();
    let mut stream = rustls::StreamOwned::new(client, TcpStream::connect(pair.addresses[0]).unwrap());
    stream.write_all(&request(&[15])[..6]).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, [0x80, 2, 0, 2, 0, 1, 0x80, 0, 0, 0], "it is told so");
    assert_eq!(pair.counters(|counters| counters.late == 2).exchanged, 0);
}

#[test]
fn a088_handshakes_above_the_rate_of_a_network_are_refused_and_those_of_others_are_not() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 2, false));
    pair.open(KeyPolicy { network_rate: 1, rate: 50, network_connections: 64, ..KeyPolicy::DEFAULT });
    let address = pair.addresses[0];
    let begin = std::time::Instant::now();
    let done = (0..40).filter(|_| succeeds(&setting, address)).count() as u64;
    let seconds = begin.elapsed().as_secs();
    assert!((1..=2 + seconds).contains(&done), "{done} in {seconds} s");
    let counters = pair.counters(|counters| counters.accepted == 40);
    assert_eq!((counters.exchanged, counters.limited), (done, 40 - done));
    let config = setting.authority.client_config();
    let other = connected(client_address(7), address).unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let client = rustls::ClientConnection::new(config, name).unwrap();
    let mut stream = rustls::StreamOwned::new(client, other);
    stream.write_all(&request(&[15])).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.len() > 8 * 100, "another network has its own rate");
}

#[test]
fn a_client_that_never_reads_is_dropped_in_time_and_blocks_no_other() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 1, false));
    pair.open(GENEROUS);
    let address = pair.addresses[0];
    let config = setting.authority.client_config();
    let mut held = Vec::new();
    for _ in 0..20 {
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let mut client = rustls::ClientConnection::new(std::sync::Arc::clone(&config), name).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        client.write_tls(&mut stream).unwrap();
        held.push(stream);
    }
    assert!(succeeds(&setting, address));
    let counters = pair.counters(|counters| counters.late == 20);
    assert_eq!((counters.exchanged, counters.tls), (1, 0));
}

#[test]
fn a097_noise_and_broken_connections_leave_a_service_that_works() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 2, false));
    pair.open(GENEROUS);
    let address = pair.addresses[0];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..300u64 {
        let mut stream = TcpStream::connect(address).unwrap();
        let length = (next() % 3_000) as usize;
        let mut octets: Vec<u8> = (0..length).map(|_| next() as u8).collect();
        if round % 2 == 0 {
            // Its framing looks like a handshake.
            octets.splice(..0, [22, 3, 3, (length >> 8) as u8, length as u8]);
        }
        let _ = stream.write_all(&octets);
        if round % 3 == 0 {
            let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
            setsockopt(&stream, sockopt::Linger, &linger).unwrap();
        }
    }
    assert!(succeeds(&setting, address));
    let counters = pair.counters(|counters| {
        let KeyCounters { accepted, exchanged, limited, denied, tls, refused, late, gone } = *counters;
        accepted == 301 && exchanged + limited + denied + tls + refused + late + gone == 301
    });
    assert_eq!((counters.exchanged, counters.limited), (1, 0));
}

#[test]
fn memory_does_not_grow_with_exchanges_that_are_over() {
    let setting = Setting::new();
    let mut pair = KeyPair::start(&plan(&setting, 1, false));
    pair.open(GENEROUS);
    let address = pair.addresses[0];
    let resident = |pair: &KeyPair| Process::read(pair.pids().0).unwrap().resident;
    (0..100).for_each(|_| assert!(succeeds(&setting, address)));
    let before = resident(&pair);
    (0..400).for_each(|_| assert!(succeeds(&setting, address)));
    assert!(resident(&pair) < before + (1 << 20), "{before} grew to {}", resident(&pair));
}
