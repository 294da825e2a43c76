//! Any octets as a request: no panic, no reply that is longer or to what is no request, bounded time.
//!
//! Inputs are mutations of the committed corpus (tests/fuzz/server), by a seed: a run can be repeated. An input
//! that makes the server do something new (another outcome, another number of fields) joins the corpus of the run,
//! and with `FUZZ_SAVE` the committed one. `cargo xtask fuzz server --seconds N` runs it for long.

use ipc::message::server::{Rule, ServerPolicy, ServerState};
use ipc::units::{Leap, RawInstant, Span, WallTime};
use network::server::{
    AccessList, Asked, Departures, Desk, Dice, Limiter, Refusal, Reply, ReplyKind, respond, variables,
};
use protocol::extension_field::walk;
use protocol::timestamp::Timestamp;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fuzz/server");

/// The longest request that is read, and a little more.
const LONGEST: usize = 1_400;

struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

struct Server {
    access: AccessList,
    limiter: Limiter,
    departures: Departures,
    dice: Dice,
    state: ServerState,
}

impl Server {
    fn new() -> Self {
        let v4 = Rule { allow: true, ..Rule::NONE };
        let denied =
            Rule { prefix: [192, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], bits: 24, ..Rule::NONE };
        Self {
            access: AccessList::new(&[v4, Rule { ipv6: true, ..v4 }, denied]).unwrap(),
            limiter: Limiter::new(&ServerPolicy::DEFAULT).unwrap(),
            departures: Departures::new(),
            dice: Dice::new(),
            state: ServerState {
                leap: Leap::None,
                stratum: 2,
                precision: -23,
                root_delay: Span::from_millis(3),
                root_dispersion: Span::from_millis(2),
                as_of: RawInstant::MIN,
                reference_id: 0x7f00_0001,
                reference_time: WallTime::saturating(1_800_000_000_000_000_000),
                valid_until: RawInstant::MAX,
            },
        }
    }

    /// The first octets say who asks and when; the rest is the request.
    fn ask(&mut self, input: &[u8], turn: u64) -> (Result<Reply, Refusal>, u64) {
        let source = SocketAddr::from(([10, (turn >> 16) as u8, (turn >> 8) as u8, turn as u8], 4_444));
        let now = RawInstant::saturating(turn as i64 * 1_000);
        let receive = Timestamp::from_bits(turn << 1 | 1);
        let asked = Asked { source: source.into(), target: None, is_unicast: true };
        let desk = Desk {
            system: variables(Some(&self.state), now, None),
            is_silent: false,
            access: &self.access,
            limiter: Some(&self.limiter),
            departures: Some(&self.departures),
            now,
        };
        (respond(input, &asked, receive, &desk, &mut self.dice), receive.bits())
    }
}

/// What must hold of any request and its outcome.
fn check(input: &[u8], outcome: &Result<Reply, Refusal>, receive: u64) {
    let Ok(reply) = outcome else { return };
    assert!(reply.octets.len() <= input.len(), "longer than its request");
    let (version, mode) = (input[0] >> 3 & 7, input[0] & 7);
    assert!((1..=4).contains(&version), "version {version}");
    assert!(mode == 3 || (version, mode) == (1, 0), "mode {mode} of version {version}");
    assert_eq!(reply.octets[0] & 0x3f, version << 3 | 4);
    assert!(input.len().is_multiple_of(4));
    match reply.kind {
        ReplyKind::Basic => {
            assert_eq!(reply.octets[24..32], input[40..48], "the origin timestamp");
            assert_eq!(reply.octets[32..40], receive.to_be_bytes());
            assert_eq!(reply.octets[40..48], [0; 8]);
        }
        ReplyKind::Interleaved => assert_eq!(reply.octets[24..32], input[32..40]),
        ReplyKind::Kiss => assert_eq!((reply.octets[1], &reply.octets[12..16]), (0, &b"RATE"[..])),
    }
}

/// What an input makes the server do, coarsely.
fn feature(input: &[u8], outcome: &Result<Reply, Refusal>) -> (u8, u8, u8, usize, usize) {
    let what = match outcome {
        Ok(reply) => reply.kind as u8,
        Err(refusal) => 10 + *refusal as u8,
    };
    let version = input.first().map_or(0, |first| first >> 3 & 7);
    let mode = input.first().map_or(0, |first| first & 7);
    let items = walk(input.get(48..).unwrap_or_default(), version).count();
    (what, version, mode, items, input.len().next_power_of_two())
}

fn mutate(input: &mut Vec<u8>, others: &[Vec<u8>], numbers: &mut Numbers) {
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(input.len());
        match numbers.below(9) {
            0 if !input.is_empty() => input[at] ^= 1 << numbers.below(8),
            1 if !input.is_empty() => input[at] = numbers.next() as u8,
            2 => input.truncate(at),
            3 => input.resize(at + numbers.below(64), numbers.next() as u8),
            4 => input.resize(input.len().next_multiple_of(4), 0),
            5 => {
                // A field: any type, a length that may be right.
                let length = [16, 20, 28, 32, 64, 0, 4, 65_532][numbers.below(8)];
                input.extend((numbers.next() as u16).to_be_bytes());
                input.extend((length as u16).to_be_bytes());
                input.resize(input.len() + usize::from(length as u16).clamp(4, 256) - 4, 7);
            }
            6 => {
                let other = &others[numbers.below(others.len())];
                input.extend(other.get(numbers.below(other.len())..).unwrap_or_default());
            }
            7 if !input.is_empty() => {
                input[0] = [0x23, 0x1b, 0x13, 0x0b, 0x08, 0x16, 0x17, 0x2b][numbers.below(8)]
            }
            8 if input.len() >= 48 => input[24..32].copy_from_slice(&(numbers.next() | 1).to_be_bytes()),
            _ => {}
        }
    }
    input.truncate(LONGEST);
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

/// Runs for so long, and returns inputs tried and the slowest one's time.
fn fuzz(length: Duration, seed: u64) -> (u64, Duration) {
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
    let (mut tried, mut slowest) = (corpus.len() as u64, Duration::ZERO);
    let begun = Instant::now();
    while begun.elapsed() < length {
        for _ in 0..1_000 {
            tried += 1;
            let mut input = corpus[numbers.below(corpus.len())].clone();
            mutate(&mut input, &corpus, &mut numbers);
            let before = Instant::now();
            let (outcome, receive) = server.ask(&input, tried);
            let mut took = before.elapsed();
            if took > slowest {
                // An interruption doesn't come three times.
                for again in 0..3 {
                    let before = Instant::now();
                    let _ = server.ask(&input, tried + again);
                    took = took.min(before.elapsed());
                }
                slowest = slowest.max(took);
            }
            check(&input, &outcome, receive);
            if seen.insert(feature(&input, &outcome)) && corpus.len() < 4_096 {
                if save {
                    let name = format!("{CORPUS}/found-{:016x}", numbers.next());
                    std::fs::write(name, &input).unwrap();
                }
                corpus.push(input);
            }
        }
    }
    eprintln!("{tried} inputs, {} in the corpus at the end, slowest {slowest:?}", corpus.len());
    (tried, slowest)
}

#[test]
fn a073_a074_a093_two_seconds_of_hostile_requests() {
    let (tried, slowest) = fuzz(Duration::from_secs(2), 0x73);
    assert!(tried > 10_000, "{tried}");
    // A packet of the greatest length is a few microseconds of work in a build without optimisation.
    assert!(slowest < Duration::from_millis(2), "{slowest:?}");
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
    let mut server = Server::new();
    let rounds = 1_000u32;
    let begun = Instant::now();
    for turn in 0..rounds {
        let _ = server.ask(&request, u64::from(turn));
    }
    let each = begun.elapsed() / rounds;
    eprintln!("{} octets, {} fields: {each:?} each", request.len(), (request.len() - 48) / 16);
    assert!(each < Duration::from_millis(1), "{each:?}");
}
