//! A name server in a network of a test's own, over UDP and TCP (RFC 1035), whose answer depends on the first label of
//! the name.

use crate::netns::Network;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;

/// Codes of RFC 1035 section 4.1.1.
const FORMAT_ERROR: u8 = 1;
const SERVER_FAILURE: u8 = 2;
const NAME_ERROR: u8 = 3;
const REFUSED: u8 = 5;

/// Answers to longer ones are truncated over UDP (RFC 1035 section 2.3.4).
const LONGEST: usize = 512;

/// Runs `what` while a name server in `network` answers at these addresses: over IPv4 for every name that is not named
/// here 10.77.0.9; `both` has an address of each family, `many` sixty (truncated over UDP), `alias` another name;
/// `empty` has none, `absent` does not exist; `failing`, `refused` and `broken` are errors, `garbage` no answer at all,
/// `cut` one that is truncated over TCP too; of `four` the questions for addresses of IPv6 are dropped, of `six` those for
/// IPv4; `deep` exists only directly below one domain.
///
/// # Panics
/// If an address cannot be bound, or `what` panics.
pub fn with_name_server(network: &Network, addresses: &[SocketAddr], what: impl FnOnce()) {
    let datagrams: Vec<UdpSocket> = network.within(|| {
        addresses
            .iter()
            .map(|address| UdpSocket::bind(address).expect("root may, in an empty network"))
            .collect()
    });
    let streams: Vec<TcpListener> = network
        .within(|| addresses.iter().map(|address| TcpListener::bind(address).expect("the same")).collect());
    let has_ended = AtomicBool::new(false);
    let runs = || !has_ended.load(Ordering::Relaxed);
    let outcome = std::thread::scope(|scope| {
        for socket in &datagrams {
            socket
                .set_read_timeout(Some(Duration::from_millis(20)))
                .expect("a socket can be told how long to wait");
            scope.spawn(|| answer_datagrams(socket, runs));
        }
        for listener in &streams {
            listener.set_nonblocking(true).expect("a socket can be told not to wait");
            scope.spawn(|| answer_connections(listener, runs));
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(what));
        has_ended.store(true, Ordering::Relaxed);
        outcome
    });
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn answer_datagrams(socket: &UdpSocket, runs: impl Fn() -> bool) {
    let mut octets = [0; 4096];
    while runs() {
        let Ok((length, client)) = socket.recv_from(&mut octets) else { continue };
        let Some(mut answer) = answer(&octets[..length]) else { continue };
        if answer.len() > LONGEST {
            answer.truncate(LONGEST);
            // TC.
            answer[2] |= 2;
        }
        let _ = socket.send_to(&answer, client);
    }
}

fn answer_connections(listener: &TcpListener, runs: impl Fn() -> bool) {
    while runs() {
        match listener.accept() {
            Ok((stream, _)) => while answer_once(&stream).is_some() {},
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// One query of a connection; `None` at its end.
fn answer_once(mut stream: &TcpStream) -> Option<()> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut query = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut query).ok()?;
    let mut answer = answer(&query)?;
    if first_label(&query).starts_with(b"cut") {
        answer.truncate(13);
    }
    let length = u16::try_from(answer.len()).ok()?.to_be_bytes();
    stream.write_all(&[&length[..], &answer].concat()).ok()
}

fn first_label(query: &[u8]) -> &[u8] {
    let length = query.get(12).copied().unwrap_or(0).into();
    query.get(13..).and_then(|name| name.get(..length)).unwrap_or_default()
}

/// How many labels the name of a query has.
fn labels(query: &[u8]) -> usize {
    let mut rest = query.get(12..).unwrap_or_default();
    let next = || {
        let length = usize::from(*rest.first()?);
        rest = rest.get(1 + length..)?;
        (length > 0).then_some(())
    };
    std::iter::from_fn(next).count()
}

/// The answer to a query of one question (RFC 1035 section 4.1).
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let name = query.get(12..)?.iter().position(|octet| *octet == 0)?;
    let question = query.get(12..12 + name + 5)?;
    let kind = u16::from_be_bytes([question[name + 1], question[name + 2]]);
    let label = first_label(query);
    if matches!((label, kind), (b"four", TYPE_AAAA) | (b"six", TYPE_A)) {
        return None;
    }
    let labels = labels(query);
    let code = match label {
        b"deep" if labels > 2 => NAME_ERROR,
        b"broken" => FORMAT_ERROR,
        b"failing" => SERVER_FAILURE,
        b"absent" => NAME_ERROR,
        b"refused" => REFUSED,
        _ => 0,
    };
    let four = |number: u8| (TYPE_A, vec![10, 77, 0, number]);
    let six = (TYPE_AAAA, [&[0xfd, 0x77][..], &[0; 13], &[9]].concat());
    // `other.example`, of which the addresses follow in the same answer.
    let alias = (TYPE_CNAME, b"\x05other\x07example\x00".to_vec());
    let records: Vec<(u16, Vec<u8>)> = match (label, kind) {
        _ if code != 0 => Vec::new(),
        (b"empty", _) => Vec::new(),
        (b"both" | b"six", TYPE_AAAA) => vec![six],
        (b"alias", TYPE_A) => vec![alias, four(7)],
        (b"alias", _) => vec![alias],
        (b"many" | b"cut", TYPE_A) => (100..160).map(four).collect(),
        (b"both", TYPE_A) => vec![four(8)],
        (b"four", TYPE_A) => vec![four(4)],
        (b"deep", TYPE_A) => vec![four(5)],
        (_, TYPE_A) => vec![four(9)],
        _ => Vec::new(),
    };
    let count = u16::try_from(records.len()).ok()?.to_be_bytes();
    // QR, RD and RA.
    let mut answer = [&query[..2], &[0x81, 0x80 | code, 0, 1], &count, &[0, 0, 0, 0], question].concat();
    for (kind, data) in records {
        // The name of the question, or of the alias behind it; class IN, one second.
        let is_behind = label == b"alias" && kind != TYPE_CNAME;
        let owner = if is_behind { b"\x05other\x07example\x00".to_vec() } else { vec![0xc0, 12] };
        answer.extend(owner);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 1]);
        answer.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        answer.extend(data);
    }
    if label == b"garbage" {
        answer.splice(4.., [0xff; 40]);
    }
    Some(answer)
}
