//! CPU time of a protected reply on one core, and how early its transmit timestamp is, in the same alternating runs:
//! the floor (batches of datagrams, and the unavoidable cookie and AEAD work, with its cookies known), and the
//! whole daemon in its sandboxes, chronyd and ntpd-rs, with which the generator exchanges keys first.

use crate::bench_server::contestant::Contestant;
use crate::bench_server::{Bench, SERVER_CORE, built};
use bench::daemon::spawn;
use bench::nts::{NtsPeer, NtsServer, Trust};
use bench::programs::free_port;
use std::any::Any;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::{Child, Stdio};
use std::time::Duration;

/// AES-SIV-CMAC-256 and AES-128-GCM-SIV.
const ALGORITHMS: [u16; 2] = [15, 30];

const PACED: &[&str] = &["rate=10000", "flows=16", "seconds=2"];

const LOADS: [(&str, &[&str]); 2] = [
    ("8 clients, 16 requests each under way", &["flows=8", "outstanding=16", "seconds=2"]),
    ("128 clients, 1 request each under way", &["flows=128", "outstanding=1", "seconds=2"]),
];

/// CPU time of a reply.
///
/// # Errors
/// A server that does not answer, or wrongly.
pub fn speed(runs: usize, as_json: bool) -> Result<(), String> {
    let bench = Bench::build(runs, as_json)?;
    for aead in ALGORITHMS {
        let servers = start_all(&bench, aead);
        for (load, words) in LOADS {
            let figures = bench.rounds(&servers, words)?;
            bench.show_speed(&format!("AEAD {aead}, {load}"), &figures)?;
        }
    }
    Ok(())
}

/// Latency, and how early the transmit timestamp is.
///
/// # Errors
/// As above.
pub fn latency(runs: usize, as_json: bool) -> Result<(), String> {
    let bench = Bench::build(runs, as_json)?;
    for aead in ALGORITHMS {
        let servers = start_all(&bench, aead);
        let load = format!("AEAD {aead}, 10,000 a second");
        if !as_json {
            println!("{load}");
        }
        // A server learns while it runs; let it do so first, like one that has run for a while.
        bench.rounds_of(1, &servers, PACED)?;
        bench.show_latency(&load, &bench.rounds(&servers, PACED)?);
    }
    Ok(())
}

/// All servers for this algorithm, the floor first.
fn start_all(bench: &Bench, aead: u16) -> Vec<Contestant> {
    let mut servers = vec![
        floor(bench, "floor", aead, &["nts"]),
        floor(bench, "floor, replies in segments", aead, &["nts", "segments"]),
        ours("truechimer", aead, ""),
    ];
    let peers = [
        ("chronyd", NtsPeer::chronyd("chronyd").filter(|_| aead == 15)),
        ("chronyd, newer", NtsPeer::chronyd("chronyd-newest")),
        ("ntpd-rs", NtsPeer::ntpd_rs().filter(|_| aead == 15)),
    ];
    for (name, peer) in peers {
        match peer {
            Some(peer) => servers.push(other(name, aead, peer)),
            None if aead == 15 && !bench.as_json => println!("{name:<28} not here, not measured"),
            None => {}
        }
    }
    for server in &servers {
        server.pin(SERVER_CORE);
    }
    servers
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

fn floor(bench: &Bench, name: &str, aead: u16, words: &[&str]) -> Contestant {
    let port = free_port();
    let mut command = built(&bench.programs, "floor");
    let child = spawn(command.arg(port.to_string()).args(words).stdin(Stdio::null()));
    // It is bound once it is in its loop; the first load would not wait.
    std::thread::sleep(Duration::from_millis(300));
    let mut server = Contestant::of(name, at(port), child.id(), Box::new(Owned(child)));
    server.words = vec![format!("aead={aead}"), "nts=known".to_owned()];
    server
}

/// This daemon with NTS, asked by this algorithm; `more` is added to `[server.nts]`.
pub fn ours(name: &str, aead: u16, more: &str) -> Contestant {
    let server = NtsServer::unlimited("bench", 1, more);
    let daemon = server.setup.start();
    let pid = daemon.process("server").pid;
    let words = exchange_first(aead, server.key_port, &server.trust);
    exchanging(name, words, server.key_port, pid, Box::new((daemon, server)))
}

/// Another implementation with NTS.
pub fn other(name: &str, aead: u16, peer: NtsPeer) -> Contestant {
    let (pid, exchange) = (peer.peer.pid(), peer.peer.port);
    let words = exchange_first(aead, exchange, &peer.trust);
    exchanging(name, words, exchange, pid, Box::new(peer))
}

/// A server whose port for time comes with the exchange.
fn exchanging(name: &str, words: Vec<String>, exchange: u16, pid: u32, owner: Box<dyn Any>) -> Contestant {
    let mut server = Contestant::of(name, at(exchange), pid, owner);
    server.words = words;
    server
}

fn exchange_first(aead: u16, exchange: u16, trust: &Trust) -> Vec<String> {
    vec![
        format!("aead={aead}"),
        format!("roots={}", trust.roots().display()),
        format!("nts=127.0.0.1:{exchange}"),
    ]
}
