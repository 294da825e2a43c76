//! Arbitrary octets as a request: no panic, no reply that is longer or that answers an invalid request, bounded time.
//!
//! Inputs are mutations of the committed corpus (tests/fuzz/server), from a seed: a run can be repeated. An input
//! that makes the server do something new (another outcome, another number of fields) joins the corpus of the run,
//! and with `FUZZ_SAVE` to the committed one. `cargo xtask fuzz server --seconds N` runs it for a long time.

mod support;

use bench::role::Numbers;
use ipc::message::server::Rule;
use ipc::symmetric_key::{MacKind, SymmetricKey};
use protocol::extension_field::walk;
use protocol::mac::{MAX_MAC, MacKey};
use protocol::ntpv5;
use protocol::ntpv5::client::Wanted;
use protocol::nts::aead::{Algorithm, TAG};
use protocol::nts::cookie::CookieKeys;
use protocol::request::minimal;
use server::{AccessList, KeyRing, Refusal, ReplyKind};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use support::bench::{Bench, SIGNATURE, TRANSMIT};
use support::nts::{BOTH, Client, TODAY, cookie_keys};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/server");

/// The longest request that is read, and a little more.
const LONGEST: usize = 1_400;

type Outcome = Result<(ReplyKind, Vec<u8>), Refusal>;

fn below(numbers: &mut Numbers, limit: usize) -> usize {
    (numbers.draw() % limit.max(1) as u64) as usize
}

/// A key of each kind, numbered from 1; the client's may have another secret.
fn symmetric_keys(octet: u8) -> Vec<SymmetricKey> {
    let key = |(kind, number)| {
        let octets = [octet; 32];
        SymmetricKey::new(number, kind, if kind == MacKind::Aes128 { &octets[..16] } else { &octets })
            .unwrap()
    };
    MacKind::ALL.into_iter().zip(1..).map(key).collect()
}

struct Server(Bench);

impl Server {
    fn new() -> Self {
        let mut bench = Bench::limited();
        let v4 = Rule { allow: true, ..Rule::NONE };
        let denied =
            Rule { prefix: [192, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], bits: 24, ..Rule::NONE };
        bench.ring = KeyRing::new(&symmetric_keys(1));
        bench.version5 = true;
        bench.access = AccessList::new(&[v4, Rule { ipv6: true, ..v4 }, denied]).unwrap();
        Self(bench)
    }

    /// Each request comes from another client, a microsecond later.
    fn ask(&mut self, input: &[u8], turn: u64) -> (Outcome, u64) {
        self.0.now = turn as i64 * 1_000;
        self.0.receive = turn << 1 | 1;
        let source = format!("10.{}.{}.{}:4444", turn >> 16 & 0xff, turn >> 8 & 0xff, turn & 0xff);
        (self.0.answer_to(input, &source), self.0.receive)
    }
}

fn is_version5(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first >> 3 & 7 == 5)
}

/// What must hold for any request of the draft of version 5 that is answered.
fn check_version5(input: &[u8], kind: ReplyKind, reply: &[u8], receive: u64) {
    assert_eq!(reply.len(), input.len(), "a reply has the length of its request");
    assert_eq!((input[0] & 0x3f, reply[0] & 0x3f), (0x2b, 0x2c));
    assert_eq!(reply[24..32], input[24..32], "the cookie of the client");
    assert!(ntpv5::field::walk(&reply[48..]).all(|item| item.is_ok()), "its fields are in order");
    let name = |packet: &[u8]| {
        packet.windows(27).any(|it| it.starts_with(&[0xf5, 0xff, 0, 27]) && &it[4..] == ntpv5::DRAFT)
    };
    assert!(name(input) && name(reply), "of the same draft");
    let is_time = kind != ReplyKind::Kiss;
    assert_eq!(reply[32..40], if is_time { receive } else { 0 }.to_be_bytes());
    assert_eq!(reply[1], if is_time { 2 } else { 0 });
}

/// Whether a reply is a header and a MAC: one under NTS is longer.
fn has_mac((kind, reply): &(ReplyKind, Vec<u8>)) -> bool {
    !is_version5(reply) && *kind != ReplyKind::Nak && (49..=48 + MAX_MAC).contains(&reply.len())
}

/// Whether a reply is one that the bench has signed.
fn is_signed(reply: &[u8]) -> bool {
    reply.get(52..) == Some(&SIGNATURE)
}

/// What must hold for any request and its outcome.
fn check(input: &[u8], outcome: &Outcome, receive: u64) {
    let Ok(answered @ (kind, reply)) = outcome else { return };
    assert!(reply.len() <= input.len(), "longer than its request");
    let (version, mode) = (input[0] >> 3 & 7, input[0] & 7);
    if version == 5 {
        return check_version5(input, *kind, reply, receive);
    }
    assert!((1..=4).contains(&version), "version {version}");
    assert!(matches!(mode, 1 | 3) || (version, mode) == (1, 0), "mode {mode} of version {version}");
    assert_eq!(reply[0] & 0x3f, version << 3 | if mode == 1 { 2 } else { 4 });
    assert!(input.len().is_multiple_of(4));
    // A reply under a key ends with its MAC, and its request has one of the same key and length.
    let mac = if has_mac(answered) { &reply[48..] } else { &[] };
    if is_signed(reply) {
        // As long as its request, of version 3, with its account, and without a digest there.
        assert_eq!(
            (version, input.len(), &input[48..52], &input[52..]),
            (3, 68, &reply[48..52], &[0; 16][..])
        );
    } else if !mac.is_empty() {
        let number = u32::from_be_bytes(mac[..4].try_into().unwrap());
        let key = MacKey::new(&symmetric_keys(1)[number as usize - 1]).unwrap();
        assert_eq!(key.verify(reply, mac, version), Ok(()));
        let asked = &input[input.len() - mac.len()..];
        assert_eq!(key.verify(input, asked, version), Ok(()), "a MAC that nobody asked for");
    }
    let is_plain = reply.len() == 48 + mac.len();
    match kind {
        ReplyKind::Basic => {
            assert_eq!(reply[24..32], input[40..48], "the origin timestamp");
            assert_eq!(reply[32..40], receive.to_be_bytes());
            assert_eq!(reply[40..48], if is_plain { 0 } else { TRANSMIT }.to_be_bytes());
        }
        ReplyKind::Interleaved => assert_eq!(reply[24..32], input[32..40]),
        ReplyKind::Kiss => assert_eq!((reply[1], &reply[12..16]), (0, &b"RATE"[..])),
        ReplyKind::Nak => {
            assert_eq!((reply[1], &reply[12..16]), (0, &b"NTSN"[..]));
            assert!(reply.len() < input.len() && reply[40..48] == [0; 8], "a NAK tells no time");
        }
    }
}

/// A coarse description of what an input makes the server do.
fn feature(input: &[u8], outcome: &Outcome) -> (u8, u8, u8, usize, usize) {
    let what = match outcome {
        Ok((kind, reply)) => *kind as u8 + 4 * u8::from(reply.len() > 48),
        Err(refusal) => 10 + *refusal as u8,
    };
    let version = input.first().map_or(0, |first| first >> 3 & 7);
    let mode = input.first().map_or(0, |first| first & 7);
    let rest = input.get(48..).unwrap_or_default();
    let items = if version == 5 { ntpv5::field::walk(rest).count() } else { walk(rest, version).count() };
    (what, version, mode, items, input.len().next_power_of_two())
}

fn mutate(input: &mut Vec<u8>, others: &[Vec<u8>], numbers: &mut Numbers) {
    for _ in 0..=below(numbers, 4) {
        let at = below(numbers, input.len());
        match below(numbers, 13) {
            12 if input.len() >= 48 => {
                // A request for a signature.
                input.truncate(48);
                input[0] = [0x1b, 0x19, 0x23, 0x1c][below(numbers, 4)];
                input.extend((numbers.draw() as u32).to_le_bytes());
                input.resize([68, 68, 68, 120][below(numbers, 4)], 0);
            }
            9 => *input = sealed(numbers),
            11 => *input = version5(numbers),
            10 if !input.is_empty() => {
                // A MAC: mostly the right one.
                let secret = if below(numbers, 8) == 0 { 2 } else { 1 };
                let key = MacKey::new(&symmetric_keys(secret)[below(numbers, MacKind::ALL.len())]).unwrap();
                let (length, version) = (input.len(), input[0] >> 3 & 7);
                input.resize(length + MAX_MAC, 0);
                let whole = key.put(input, length, version).unwrap();
                input.truncate(whole);
            }
            0 if !input.is_empty() => input[at] ^= 1 << below(numbers, 8),
            1 if !input.is_empty() => input[at] = numbers.draw() as u8,
            2 => input.truncate(at),
            3 => input.resize(at + below(numbers, 64), numbers.draw() as u8),
            4 => input.resize(input.len().next_multiple_of(4), 0),
            5 => {
                // A field: any type, a length that may be valid.
                let length = [16, 20, 28, 32, 64, 0, 4, 65_532][below(numbers, 8)];
                input.extend((numbers.draw() as u16).to_be_bytes());
                input.extend((length as u16).to_be_bytes());
                input.resize(input.len() + usize::from(length as u16).clamp(4, 256) - 4, 7);
            }
            6 => {
                let other = &others[below(numbers, others.len())];
                input.extend(other.get(below(numbers, other.len())..).unwrap_or_default());
            }
            7 if !input.is_empty() => {
                input[0] = [0x23, 0x1b, 0x13, 0x0b, 0x08, 0x16, 0x17, 0x2b][below(numbers, 8)]
            }
            8 if input.len() >= 48 => input[24..32].copy_from_slice(&(numbers.draw() | 1).to_be_bytes()),
            _ => {}
        }
    }
    input.truncate(LONGEST);
}

/// A request of the draft of version 5, with fields of any kind, some of which lie about their length.
fn version5(numbers: &mut Numbers) -> Vec<u8> {
    let mut packet = vec![0; LONGEST];
    let wanted = Wanted { reference_ids: below(numbers, 2) == 0, correction: false };
    let mut end = ntpv5::client::put_request(&mut packet, numbers.draw() | 1, wanted).unwrap();
    packet[12] = below(numbers, 6) as u8;
    packet[15] = below(numbers, 8) as u8;
    for _ in 0..below(numbers, 5) {
        let kinds = [0xf501, 0xf502, 0xf503, 0xf505, 0xf506, 0xf507, 0xf508, 0xf509, 0xf5ff, 0x0104, 0x0204];
        let kind = if below(numbers, 8) == 0 { numbers.draw() as u16 } else { kinds[below(numbers, 11)] };
        let length = [4, 8, 12, 24, 16, 32, 0, 1, 27][below(numbers, 9)];
        let at = end;
        (_, end) = ntpv5::field::put(&mut packet, at, kind, length).unwrap();
        if below(numbers, 16) == 0 {
            let lie = (numbers.draw() as u16).to_be_bytes();
            packet[at + 2..at + 4].copy_from_slice(&lie);
        }
    }
    packet.truncate(end);
    packet
}

/// A request that is valid up to its fields, with fields of any kind in the clear and under the right key.
fn sealed(numbers: &mut Numbers) -> Vec<u8> {
    let algorithm = Algorithm::ALL[below(numbers, 4)];
    // Cookies of this server of four days, and another server's.
    static SERVERS: LazyLock<[CookieKeys; 5]> = LazyLock::new(|| {
        [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0)].map(|(secret, back)| cookie_keys(secret, TODAY - back))
    });
    let client = Client::new(algorithm, 9, &SERVERS[[0, 0, 0, 0, 1, 2, 3, 4][below(numbers, 8)]]);
    let field = |numbers: &mut Numbers| {
        let kinds = [0x0104, 0x0204, 0x0304, 0x0304, 0x0304, 0x0404, 0x1234, numbers.draw() as u16];
        let kind = kinds[below(numbers, 8)];
        let length = [client.cookie.len(), 32, 12, 0, 16, 60, 256][below(numbers, 7)];
        let announced = if below(numbers, 16) == 0 { numbers.draw() as u16 } else { length as u16 + 4 };
        let mut field = [kind.to_be_bytes(), announced.to_be_bytes()].concat();
        field.resize(length + 4, numbers.draw() as u8);
        if kind == 0x0204 && length == client.cookie.len() {
            field[4..].copy_from_slice(&client.cookie);
        }
        field
    };
    let mut packet = minimal(numbers.draw()).encode().to_vec();
    if below(numbers, 8) != 0 {
        packet.extend([[1, 4, 0, 36], [7; 4]].concat());
        packet.resize(48 + 36, 8);
    }
    if below(numbers, 8) != 0 {
        packet.extend([[2, 4], ((client.cookie.len() + 4) as u16).to_be_bytes()].concat());
        packet.extend(&client.cookie);
    }
    for _ in 0..below(numbers, 5) {
        packet.extend(field(numbers));
    }
    let mut plain = Vec::new();
    for _ in 0..below(numbers, 4) {
        plain.extend(field(numbers));
    }
    let nonce = vec![0x55; [algorithm.nonce_length(), 16, 12, 0, 24][below(numbers, 5)]];
    let mut text = vec![0; plain.len() + TAG];
    text[algorithm.plaintext(plain.len() + TAG)].copy_from_slice(&plain);
    // If the algorithm does not accept the nonce, the text does not matter.
    let _ = client.keys.client_to_server.seal(&mut nonce.clone(), &packet, &mut text);
    let room = nonce.len().next_multiple_of(4) + text.len().next_multiple_of(4) + below(numbers, 3) * 8;
    packet.extend([[4, 4], ((room + 8) as u16).to_be_bytes()].concat());
    packet.extend([(nonce.len() as u16).to_be_bytes(), (text.len() as u16).to_be_bytes()].concat());
    let value = packet.len();
    packet.extend(&nonce);
    packet.resize(value + nonce.len().next_multiple_of(4), 0);
    packet.extend(&text);
    packet.resize(value + room, 0);
    packet
}

fn read_corpus() -> Vec<Vec<u8>> {
    let mut names: Vec<PathBuf> = std::fs::read_dir(CORPUS)
        .expect("the corpus is committed")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    names.sort();
    names.iter().map(|name| std::fs::read(name).unwrap()).collect()
}

/// Runs for this long, and returns the number of inputs, how many of them had a reply with a MAC or of version 5, and the slowest
/// one's time.
fn fuzz(length: Duration, seed: u64) -> (u64, [u64; 2], Duration) {
    let mut corpus = read_corpus();
    assert!(corpus.len() >= 20, "the corpus has {} inputs", corpus.len());
    let mut server = Server::new();
    let mut numbers = Numbers(seed);
    let mut seen = HashSet::new();
    for (turn, input) in corpus.iter().enumerate() {
        let (outcome, receive) = server.ask(input, turn as u64);
        check(input, &outcome, receive);
        seen.insert(feature(input, &outcome));
    }
    let save = std::env::var_os("FUZZ_SAVE").is_some();
    let (mut tried, mut keyed, mut slowest) = (corpus.len() as u64, [0; 2], Duration::ZERO);
    let begun = Instant::now();
    while begun.elapsed() < length {
        for _ in 0..1_000 {
            tried += 1;
            let mut input = corpus[below(&mut numbers, corpus.len())].clone();
            mutate(&mut input, &corpus, &mut numbers);
            let before = Instant::now();
            let (outcome, receive) = server.ask(&input, tried);
            let mut took = before.elapsed();
            if took > slowest {
                // An interruption does not occur three times.
                for again in 0..3 {
                    let before = Instant::now();
                    let _ = server.ask(&input, tried + again);
                    took = took.min(before.elapsed());
                }
                slowest = slowest.max(took);
            }
            check(&input, &outcome, receive);
            keyed[0] += u64::from(outcome.as_ref().is_ok_and(has_mac));
            keyed[1] += u64::from(outcome.as_ref().is_ok_and(|(_, reply)| is_version5(reply)));
            if seen.insert(feature(&input, &outcome)) && corpus.len() < 4_096 {
                if save {
                    let name = format!("{CORPUS}/found-{:016x}", numbers.draw());
                    std::fs::write(name, &input).unwrap();
                }
                corpus.push(input);
            }
        }
    }
    eprintln!(
        "{tried} inputs, replies with a MAC and of version 5 {keyed:?}, {} in the corpus at the end, slowest {slowest:?}",
        corpus.len()
    );
    (tried, keyed, slowest)
}

#[test]
fn a073_a074_a093_a214_a216_two_seconds_of_hostile_requests() {
    let (tried, keyed, slowest) = fuzz(Duration::from_secs(2), 0x73);
    assert!(tried > 1_000 && keyed.iter().all(|count| *count > 0), "{tried}, {keyed:?}");
    // A few microseconds of work with optimisation; without it, and beside other work, the limit is for endless loops.
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
}

#[test]
#[ignore = "for as long as FUZZ_SECONDS says: cargo xtask fuzz server --seconds N"]
fn a073_a_long_run() {
    let seconds = std::env::var("FUZZ_SECONDS").map_or(60, |text| text.parse().expect("a number of seconds"));
    let seed = Instant::now().elapsed().as_nanos() as u64 ^ u64::from(std::process::id()) << 20 | 1;
    eprintln!("seed {seed:#x}");
    fuzz(Duration::from_secs(seconds), seed);
}

#[test]
fn the_most_work_that_one_request_can_be_is_bounded() {
    // As many fields as fit, of the shortest length.
    let mut request = vec![0x23u8; 48];
    while request.len() + 16 <= 1_344 {
        request.extend([0xff, 0xff, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    let fields = format!("{} plain fields", (request.len() - 48) / 16);
    let client = Client::new(BOTH[0], 9, &cookie_keys(1, TODAY));
    let most_cookies = client.request(5, 7);
    for (what, request) in [(&*fields, request), ("8 cookies, AEAD 15", most_cookies)] {
        let mut server = Server::new();
        let rounds = 1_000u32;
        let begun = Instant::now();
        for turn in 0..rounds {
            let _ = server.ask(&request, u64::from(turn));
        }
        let each = begun.elapsed() / rounds;
        eprintln!("{} octets, {what}: {each:?} each", request.len());
        assert!(each < Duration::from_millis(50), "{each:?}");
    }
}
