//! A load generator: many flows, each in a closed loop or all of them at a fixed rate; every reply is checked.
//!
//! It plays clients of any NTP server: its results for one server are comparable with those for another, in the
//! same run. It needs a core of its own.
//!
//! ```text
//!   wire      datagrams out and in, many with one call; any source address of the loopback network
//!   nts       requests under NTS
//!   tally     the results: counts and percentiles
//! ```

pub mod nts;
pub mod tally;
pub mod wire;

use crate::packet::{self, Header};
use ipc::symmetric_key::{MacKind, SymmetricKey, written_octets};
use nts::Association;
use protocol::mac::{MAX_V4_MAC, MacKey};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};
use tally::Tally;
use wire::{BATCH, Wire};

/// How requests are paced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loop {
    /// This many of each flow are under way at any time.
    Closed(usize),
    /// This many a second of all flows together, independent of the replies.
    Paced(f64),
}

/// The source addresses of requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sources {
    /// The address that the kernel chooses, a port for each flow.
    Own,
    /// This address, a port for each flow.
    One(Ipv4Addr),
    /// This many addresses from the first one on, in turn; with a stride of more than one they are spread.
    Many {
        /// The first.
        first: Ipv4Addr,
        /// The number of addresses.
        count: u32,
        /// The distance from one to the next.
        stride: u32,
    },
}

/// A load.
#[derive(Clone, Debug)]
pub struct Load {
    /// The server.
    pub server: SocketAddrV4,
    /// The number of sockets.
    pub flows: usize,
    /// How requests are paced.
    pub pace: Loop,
    /// Their source addresses.
    pub sources: Sources,
    /// The duration.
    pub length: Duration,
    /// Requests of one flow that are sent together are one message of segments: cheaper for this side, and no
    /// different for the server. Without it this side may be the limit.
    pub segments: bool,
    /// Each flow asks as an interleaving client does (RFC 9769). Not under NTS.
    pub interleaved: bool,
    /// All requests are under NTS. A key exchange may name another port than that of `server`.
    pub nts: Option<nts::Keys>,
    /// All requests carry a MAC of this symmetric key, and so must the replies. Not with NTS.
    pub key: Option<MacKey>,
}

impl Load {
    /// Eight flows with sixteen requests each under way.
    pub fn of(server: SocketAddrV4, length: Duration) -> Self {
        Self {
            server,
            flows: 8,
            pace: Loop::Closed(16),
            sources: Sources::Own,
            length,
            segments: true,
            interleaved: false,
            nts: None,
            key: None,
        }
    }

    /// Octets of a reply; `None` under NTS, where they differ.
    fn reply_length(&self) -> Option<usize> {
        let mac = self.key.as_ref().map_or(0, |key| key.mac_length(4));
        self.nts.is_none().then_some(packet::HEADER + mac)
    }

    /// The request with what proves it, in `room`.
    fn plain_request<'r>(&self, request: &Header, room: &'r mut [u8; LONGEST_PLAIN]) -> &'r [u8] {
        room[..packet::HEADER].copy_from_slice(&request.octets());
        let put = |key: &MacKey| key.put(room, packet::HEADER, 4).expect("a MAC that fits");
        let length = self.key.as_ref().map_or(packet::HEADER, put);
        &room[..length]
    }
}

/// Octets of the longest request that is not under NTS.
const LONGEST_PLAIN: usize = packet::HEADER + MAX_V4_MAC;

/// A request under way.
#[derive(Clone, Copy, Default)]
struct Pending {
    nonce: u64,
    sent: i64,
    client: u32,
}

struct Flow {
    wire: Wire,
    /// Under NTS the request of each place.
    sealed: Vec<Vec<u8>>,
    pending: Vec<Pending>,
    /// The next place for a request.
    next: usize,
    /// Places that may be used now, in a closed loop.
    free: Vec<u16>,
    /// Receive timestamp of the last reply, and the time of its arrival.
    last: (u64, u64),
}

/// After this long without any reply, requests under way in a closed loop are lost.
const LOST: Duration = Duration::from_millis(100);

/// Places of a paced flow; and under NTS, where each place has its request.
const PLACES: usize = 8192;
const SEALED_PLACES: usize = 1024;

/// The largest permitted difference between a reply's time and this host's.
const PLAUSIBLE: i64 = 1_000_000_000;

/// Puts the load on the server.
///
/// # Errors
/// A key exchange that failed.
///
/// # Panics
/// If the kernel has no sockets left.
pub fn run(load: &Load) -> Result<Tally, String> {
    let association = load.nts.as_ref().map(Association::new).transpose()?;
    let mut load = load.clone();
    if let Some(port) = association.as_ref().and_then(|association| association.port) {
        load.server.set_port(port);
    }
    let load = &load;
    let mut state = Sender { nonce: 0x1357_9bdf_0246_8ace ^ wire::now() as u64, source: 0, association };
    let mut flows: Vec<Flow> = (0..load.flows.max(1))
        .map(|_| {
            let address = match load.sources {
                Sources::One(address) => Some(address),
                _ => None,
            };
            let wire = Wire::open(load.server, matches!(load.sources, Sources::Many { .. }), address);
            let places = match load.pace {
                Loop::Closed(outstanding) => outstanding.clamp(1, PLACES),
                Loop::Paced(_) if load.nts.is_some() => SEALED_PLACES,
                Loop::Paced(_) => PLACES,
            };
            let sealed = state.association.iter().flat_map(|association| {
                let base = (state.nonce << 13) + 1;
                (0..places as u64).map(move |place| association.request((base & !0x1fff) | place))
            });
            let sealed = sealed.collect();
            state.advance();
            Flow {
                wire,
                sealed,
                pending: vec![Pending::default(); places],
                next: 0,
                free: (0..places as u16).collect(),
                last: (0, 0),
            }
        })
        .collect();
    let mut tally = Tally::new();
    let begun = Instant::now();
    match load.pace {
        Loop::Closed(_) => closed(load, &mut flows, &mut tally, &mut state, begun),
        Loop::Paced(rate) => paced(load, rate, &mut flows, &mut tally, &mut state, begun),
    }
    tally.elapsed = begun.elapsed();
    // Requests that are still under way may still be answered.
    let end = Instant::now() + LOST;
    while Instant::now() < end && tally.sent > tally.good + tally.lost {
        for flow in &mut flows {
            receive(flow, &mut tally, load, &state);
        }
    }
    Ok(tally)
}

struct Sender {
    nonce: u64,
    source: u32,
    association: Option<Association>,
}

impl Sender {
    fn advance(&mut self) -> u64 {
        self.nonce = self.nonce.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        self.nonce
    }
}

fn closed(load: &Load, flows: &mut [Flow], tally: &mut Tally, state: &mut Sender, begun: Instant) {
    let mut heard = Instant::now();
    let mut ready: Vec<usize> = (0..flows.len()).collect();
    let watch = wire::Watch::new(flows.iter().map(|flow| &flow.wire));
    let mut due = begun.elapsed();
    while due < load.length {
        let mut came = 0;
        for at in &ready {
            let flow = &mut flows[*at];
            came += receive(flow, tally, load, state);
            send(flow, flow.free.len(), tally, load, state);
        }
        due = begun.elapsed();
        if came > 0 {
            heard = Instant::now();
            if flows.len() > 16 {
                watch.ready(&mut ready, 0);
            }
        } else if heard.elapsed() > LOST {
            for flow in flows.iter_mut() {
                let places = flow.pending.len();
                tally.lost += (places - flow.free.len()) as u64;
                flow.pending.fill(Pending::default());
                flow.free = (0..places as u16).collect();
            }
            ready = (0..flows.len()).collect();
            heard = Instant::now();
        } else {
            watch.ready(&mut ready, 5);
        }
    }
}

fn paced(load: &Load, rate: f64, flows: &mut [Flow], tally: &mut Tally, state: &mut Sender, begun: Instant) {
    let mut at = 0;
    let mut since = 0u64;
    while begun.elapsed() < load.length {
        let target = (begun.elapsed().as_secs_f64() * rate) as u64;
        let mut due = target.saturating_sub(since) as usize;
        // Requests that could not be sent in time are not made up for: that would be another load.
        if due > 20 * BATCH {
            since = target - BATCH as u64;
            due = BATCH;
        }
        while due > 0 {
            let part = due.min(if load.flows > 1 && rate < 100_000.0 { 1 } else { BATCH });
            let count = flows.len();
            send(&mut flows[at % count], part, tally, load, state);
            at += 1;
            since += part as u64;
            due -= part;
        }
        for flow in flows.iter_mut() {
            receive(flow, tally, load, state);
        }
    }
}

fn send(flow: &mut Flow, count: usize, tally: &mut Tally, load: &Load, state: &mut Sender) {
    let is_closed = matches!(load.pace, Loop::Closed(_));
    let mut left = count;
    while left > 0 {
        let part = left.min(BATCH);
        let sent = wire::now();
        for at in 0..part {
            let place = if is_closed {
                let Some(place) = flow.free.pop() else { return };
                usize::from(place)
            } else {
                flow.next = (flow.next + 1) % flow.pending.len();
                flow.next
            };
            let nonce = match flow.sealed.get(place) {
                Some(request) => Header::from_octets(request).map_or(0, |header| header.transmit),
                None => (state.advance() & !0x1fff) | place as u64,
            };
            let mut request = Header::query(nonce);
            if load.interleaved {
                (request.origin, request.receive) = flow.last;
            }
            let client = match load.sources {
                Sources::Many { first, count, stride } => {
                    state.source = (state.source + 1) % count;
                    u32::from(first).wrapping_add(state.source.wrapping_mul(stride))
                }
                _ => 0,
            };
            if flow.pending[place].nonce != 0 {
                tally.lost += 1;
            }
            flow.pending[place] = Pending { nonce, sent, client };
            let mut room = [0; LONGEST_PLAIN];
            let octets = match flow.sealed.get(place) {
                Some(sealed) => sealed,
                None => load.plain_request(&request, &mut room),
            };
            flow.wire.put(at, octets, (client != 0).then(|| Ipv4Addr::from(client)));
        }
        let gone = flow.wire.send(part, load.segments && !matches!(load.sources, Sources::Many { .. }));
        tally.sent += gone as u64;
        tally.refused += (part - gone) as u64;
        left -= part;
    }
}

fn receive(flow: &mut Flow, tally: &mut Tally, load: &Load, state: &Sender) -> usize {
    let count = flow.wire.receive();
    let now = wire::now();
    for at in 0..count {
        let (octets, stamp, to) = flow.wire.reply(at);
        let arrived = stamp.unwrap_or(now);
        let is_whole = load.reply_length().is_none_or(|length| octets.len() == length);
        let Some(header) = octets.get(..packet::HEADER).and_then(Header::from_octets).filter(|_| is_whole)
        else {
            tally.bad("length");
            continue;
        };
        let is_answer_to = |pending: &Pending| {
            pending.nonce != 0
                && (header.origin == pending.nonce || load.interleaved && header.origin == flow.last.1)
        };
        let place = if load.interleaved && header.origin == flow.last.1 && flow.last.1 != 0 {
            flow.pending.iter().position(|pending| pending.nonce != 0).unwrap_or(0)
        } else {
            (header.origin & 0x1fff) as usize
        };
        let Some(pending) = flow.pending.get(place).copied().filter(is_answer_to) else {
            // Late, or not a reply to a request of ours.
            tally.strange += 1;
            continue;
        };
        if pending.client != 0 && to.is_some_and(|to| u32::from(to) != pending.client) {
            tally.bad("address");
        }
        flow.pending[place] = Pending::default();
        if matches!(load.pace, Loop::Closed(_)) {
            flow.free.push(place as u16);
        }
        if let Some(association) = &state.association {
            let mut copy = [0; wire::ROOM];
            let copy = &mut copy[..octets.len()];
            copy.copy_from_slice(octets);
            if let Err(what) = association.verify(copy, pending.nonce) {
                tally.bad(what);
                continue;
            }
        }
        let is_proven = |key: &MacKey| key.verify(octets, &octets[packet::HEADER..], 4).is_ok();
        if !load.key.as_ref().is_none_or(is_proven) {
            tally.bad("MAC");
            continue;
        }
        if header.mode != 4 || header.version != 4 {
            tally.bad("mode");
            continue;
        }
        if header.stratum == 0 && header.reference_id == *b"RATE" {
            tally.kisses += 1;
            continue;
        }
        let (t2, t3) = (packet::nanos(header.receive), packet::nanos(header.transmit));
        let is_interleaved = load.interleaved && header.origin == flow.last.1;
        if is_interleaved {
            tally.interleaved += 1;
            // It contains the departure time of the previous reply, and says that this one arrived then.
            tally.departure(t3, flow.last.1);
        } else if t2 > t3 {
            tally.bad("T2 after T3");
        } else if (t2 - pending.sent).abs() > PLAUSIBLE || (t3 - arrived).abs() > PLAUSIBLE {
            tally.bad("time");
        }
        flow.last = (header.receive, arrived as u64);
        tally.good += 1;
        tally.latency(arrived - pending.sent);
        if stamp.is_some() && !is_interleaved {
            tally.stamp_error(arrived - t3);
        }
    }
    count
}

/// Reads `HOST:PORT` and words from the command line.
///
/// # Errors
/// A sentence about the invalid word.
pub fn parse(words: &[String]) -> Result<(Load, Option<usize>), String> {
    let server = words.first().ok_or("the server's address is missing")?;
    let server = match server.parse::<SocketAddr>() {
        Ok(SocketAddr::V4(v4)) => v4,
        _ => return Err(format!("{server}: expected an IPv4 address and a port")),
    };
    let mut load = Load::of(server, Duration::from_secs(3));
    let mut cpu = None;
    let (mut roots, mut algorithm) = (String::new(), 15);
    for word in &words[1..] {
        let wrong = || format!("{word}: not understood");
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || value.parse::<f64>().map_err(|_| wrong());
        match key {
            "flows" => load.flows = number()? as usize,
            "outstanding" => load.pace = Loop::Closed(number()? as usize),
            "rate" => load.pace = Loop::Paced(number()?),
            "seconds" => load.length = Duration::from_secs_f64(number()?),
            "segments" => load.segments = value != "no",
            "interleaved" => load.interleaved = true,
            "cpu" => cpu = Some(number()? as usize),
            "source" => load.sources = Sources::One(value.parse().map_err(|_| wrong())?),
            "sources" => {
                let mut parts = value.split('+');
                let first = parts.next().unwrap_or_default().parse().map_err(|_| wrong())?;
                let mut next = |default| parts.next().map_or(Ok(default), |n| n.parse().map_err(|_| wrong()));
                load.sources = Sources::Many { first, count: next(1)?.max(1), stride: next(1)? };
            }
            "json" => {}
            "key" => load.key = Some(written_key(value).ok_or_else(wrong)?),
            "aead" => algorithm = number()? as u16,
            "roots" => value.clone_into(&mut roots),
            "nts" if value == "known" => load.nts = Some(nts::Keys::Known(algorithm)),
            "nts" => {
                let server = value.parse().map_err(|_| wrong())?;
                load.nts = Some(nts::Keys::Exchanged { server, roots: roots.clone().into(), algorithm });
            }
            _ => return Err(wrong()),
        }
    }
    Ok((load, cpu))
}

/// A symmetric key as `NUMBER:TYPE:SECRET`, the last two as chrony's file has them.
fn written_key(words: &str) -> Option<MacKey> {
    let mut parts = words.splitn(3, ':');
    let (number, kind, secret) = (parts.next()?, parts.next()?, parts.next()?);
    let octets = written_octets(secret)?;
    MacKey::new(&SymmetricKey::new(number.parse().ok()?, MacKind::from_name(kind)?, &octets)?)
}
