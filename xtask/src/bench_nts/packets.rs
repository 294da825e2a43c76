//! CPU time of a protected reply on one core, and how early its transmit timestamp is, in the same alternating runs: the floor (batches of datagrams, and the
//! cookie and AEAD work that can't be left out), ours in its sandbox with the engine played, and chronyd and ntpd-rs,
//! with which the generator exchanges keys first.

use crate::bench_server::contestant::Contestant;
use crate::bench_server::{Bench, SERVER_CORE, built};
use bench::daemon::spawn;
use bench::nts::NtsPeer;
use bench::programs::free_port;
use bench::server_role::ServerRole;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::{Child, Stdio};
use std::time::Duration;

const LOADS: [(&str, &[&str]); 2] = [
    ("8 clients, 16 requests each under way", &["flows=8", "outstanding=16", "seconds=2"]),
    ("128 clients, 1 request each under way", &["flows=128", "outstanding=1", "seconds=2"]),
];

/// Measures and prints.
///
/// # Errors
/// A server that doesn't answer, or wrongly.
pub fn run(runs: usize, as_json: bool) -> Result<(), String> {
    let bench = Bench::build(runs, as_json)?;
    for aead in [15, 30] {
        let mut servers = vec![
            floor(&bench, "floor", &["nts"]),
            floor(&bench, "floor, replies in segments", &["nts", "segments"]),
            ours(&bench),
        ];
        for server in &mut servers {
            server.words = vec![format!("aead={aead}"), "nts=known".to_owned()];
        }
        let peers = [
            ("chronyd", NtsPeer::chronyd("chronyd").filter(|_| aead == 15)),
            ("chronyd, newer", NtsPeer::chronyd("chronyd-newest")),
            ("ntpd-rs", NtsPeer::ntpd_rs().filter(|_| aead == 15)),
        ];
        for (name, peer) in peers {
            match peer {
                Some(peer) => servers.push(other(name, aead, peer)),
                None if aead == 15 && !as_json => println!("{name:<28} not here, not measured"),
                None => {}
            }
        }
        for server in &servers {
            server.pin(SERVER_CORE);
        }
        for (load, words) in LOADS {
            let figures = bench.rounds(&servers, words)?;
            bench.show_speed(&format!("AEAD {aead}, {load}"), &figures)?;
        }
        let load = format!("AEAD {aead}, 10,000 a second");
        if !as_json {
            println!("{load}");
        }
        bench.show_latency(&load, &bench.rounds(&servers, &["rate=10000", "flows=16", "seconds=2"])?);
    }
    Ok(())
}

struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn at(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

fn floor(bench: &Bench, name: &str, words: &[&str]) -> Contestant {
    let port = free_port();
    let mut command = built(&bench.programs, "floor");
    let child = spawn(command.arg(port.to_string()).args(words).stdin(Stdio::null()));
    // It is bound when it has come to its loop; the first load would not wait.
    std::thread::sleep(Duration::from_millis(300));
    Contestant::of(name, at(port), child.id(), Box::new(Owned(child)))
}

fn ours(bench: &Bench) -> Contestant {
    let role = ServerRole::unlimited(&bench.programs.join("truechimer-network"));
    Contestant::of("truechimer", at(role.port), role.pid(), Box::new(role))
}

fn other(name: &str, aead: u16, peer: NtsPeer) -> Contestant {
    let exchange = peer.peer.port;
    let words = [
        format!("aead={aead}"),
        format!("roots={}", peer.trust.roots().display()),
        format!("nts=127.0.0.1:{exchange}"),
    ];
    // The port for time comes with the exchange.
    let mut server = Contestant::of(name, at(exchange), peer.peer.pid(), Box::new(peer));
    server.words = words.into();
    server
}
