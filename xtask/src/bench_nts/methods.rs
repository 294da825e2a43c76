//! CPU time of a reply for each way to prove who sends it: none, a symmetric key of each type, NTS with each AEAD. All in the same
//! alternating runs, beside chronyd where it has the method.

use super::packets;
use crate::bench_server::contestant::Contestant;
use crate::bench_server::figures::Figures;
use crate::bench_server::{Bench, SERVER_CORE};
use bench::daemon::Setup;
use bench::nts::NtsPeer;
use bench::peers::chronyd_server_with_keys;
use bench::programs::free_port;
use serde_json::json;
use std::any::Any;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

/// Number, type and secret, as chrony's file has them.
const KEYS: [(u32, &str, &str); 7] = [
    (10, "AES128", "HEX:2B7E151628AED2A6ABF7158809CF4F3C"),
    (11, "AES256", "HEX:000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"),
    (12, "SHA1", "ASCII:secretkey0123456"),
    (13, "SHA256", "ASCII:secretkey0123456"),
    (14, "SHA384", "ASCII:secretkey0123456"),
    (15, "SHA512", "ASCII:secretkey0123456"),
    (16, "MD5", "ASCII:secretkey0123456"),
];

/// Number and name of each AEAD, and the line that a server of ours needs for it.
const AEADS: [(u16, &str, &str); 4] = [
    (30, "NTS, AES-128-GCM-SIV", ""),
    (15, "NTS, AES-SIV-CMAC-256", ""),
    (17, "NTS, AES-SIV-CMAC-512", ""),
    (2, "NTS, AES-256-GCM", "aead = \"gcm\""),
];

const LOAD: &[&str] = &["flows=8", "outstanding=16", "seconds=2"];

const PLAIN: &str = "plain";

/// Measures and prints: a row for each method.
///
/// # Errors
/// A server that does not answer, or wrongly.
pub fn run(runs: usize, as_json: bool) -> Result<(), String> {
    let bench = Bench::build(runs, as_json)?;
    let mut servers = keyed("ours", &started_ours(&bench));
    servers.extend(AEADS.iter().map(|(id, name, more)| packets::ours(&format!("ours: {name}"), *id, more)));
    match started_chronyd() {
        Some(theirs) => servers.extend(keyed("chronyd", &theirs)),
        None if !as_json => println!("chronyd is not here, not measured"),
        None => {}
    }
    // Debian 12's has one of them, later ones the other too.
    for ((id, name, _), program) in AEADS.iter().zip(["chronyd-newest", "chronyd"]) {
        let peer = NtsPeer::chronyd(program);
        servers.extend(peer.map(|peer| packets::other(&format!("chronyd: {name}"), *id, peer)));
    }
    for server in &servers {
        server.pin(SERVER_CORE);
    }
    let figures = bench.rounds(&servers, LOAD)?;
    show(&figures, as_json)
}

fn show(figures: &[Figures], as_json: bool) -> Result<(), String> {
    let of = |who: &str, method: &str| figures.iter().find(|it| it.name == format!("{who}: {method}"));
    let plain = of("ours", PLAIN).ok_or("plain is missing")?;
    if !as_json {
        println!(
            "  {:<24} {:>18} {:>9} {:>18} {:>12}",
            "", "ours CPU us", "to plain", "chronyd CPU us", "ours/theirs"
        );
    }
    let methods = std::iter::once(PLAIN)
        .chain(KEYS.iter().map(|(_, kind, _)| *kind))
        .chain(AEADS.iter().map(|(_, name, _)| *name));
    for method in methods {
        let ours = of("ours", method).ok_or("a method of ours is missing")?;
        let theirs = of("chronyd", method);
        let ratio = theirs.map(|theirs| ours.cpu_ratio(theirs));
        if as_json {
            let line = json!({
                "method": method,
                "ours": ours.json(plain),
                "chronyd": theirs.map(|theirs| theirs.json(plain)),
                "ours_to_theirs": ratio,
            });
            println!("{line}");
        } else {
            println!(
                "  {method:<24} {:>18} {:>9.2} {:>18} {:>12}",
                ours.cpus(),
                ours.cpu_ratio(plain),
                theirs.map_or("-".to_owned(), Figures::cpus),
                ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
            );
        }
    }
    Ok(())
}

/// Where it listens, the process that answers, and what keeps it alive.
type Started = (u16, u32, Rc<dyn Any>);

/// The same process, asked without a key and with each of them.
fn keyed(who: &str, (port, pid, owner): &Started) -> Vec<Contestant> {
    let contestant = |method: &str, words: Vec<String>| {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, *port);
        let mut server =
            Contestant::of(&format!("{who}: {method}"), address, *pid, Box::new(Rc::clone(owner)));
        server.words = words;
        server
    };
    let plain = contestant(PLAIN, Vec::new());
    let keys = KEYS
        .iter()
        .map(|(number, kind, secret)| contestant(kind, vec![format!("key={number}:{kind}:{secret}")]));
    std::iter::once(plain).chain(keys).collect()
}

fn file() -> String {
    KEYS.iter().map(|(number, kind, secret)| format!("{number} {kind} {secret}\n")).collect()
}

fn started_ours(bench: &Bench) -> Started {
    let port = free_port();
    let configuration = format!(
        "[server]\nlisten = [\"127.0.0.1:{port}\"]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 5\nrate-limit = false\n\
         threads = 1\n[keys]\nallow-md5 = true\n"
    );
    let setup = Setup::new("bench", &configuration).with_programs(bench.programs.clone());
    let daemon = setup.with_keys(&file()).start();
    (port, daemon.process("server").pid, Rc::new(daemon))
}

fn started_chronyd() -> Option<Started> {
    let peer = chronyd_server_with_keys(&file())?;
    Some((peer.port, peer.pid(), Rc::new(peer)))
}
