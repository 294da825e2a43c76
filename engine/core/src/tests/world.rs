//! A small world that closes the loop around an engine, the same for the same seed.
//!
//! True time is the simulation's own. CLOCK_MONOTONIC_RAW is an oscillator with a frequency error that
//! wanders; the steered clock is a `ClockPage` over it, as the privileged process would keep it.

use crate::io::{Input, KeptAddresses, Now, OrderKind, Output, Saved, SavedAssociation, Start};
use crate::notice::{Notice, SystemNotice};
use crate::recording::Recorder;
use crate::settings::{ClockSettings, Place, ServerSettings, Settings, SourceSettings};
use crate::status::Status as EngineStatus;
use crate::violation::Violation;
use ipc::address::Address;
use ipc::clock_page::ClockPage;
use ipc::message::client::{
    PlainReply, Query, QueryId, Rejected, ReplyHeader, Sent, Silence, Stamp, Unanswered,
};
use ipc::message::exchange::{Addresses, Exchange, Resolve, Resolved};
use ipc::message::privileged::*;
use ipc::message::server::ServerState;
use ipc::process::Process;
use ipc::units::{Frequency, Leap, Offset, RawInstant, Span, WallTime};
use protocol::header::Header;
use protocol::ntpv5::Filter;
use protocol::timestamp::Timestamp;
use std::boxed::Box;
use std::net::SocketAddr;
use std::string::ToString;
use std::vec::Vec;
use truechimer_time::Page;

pub const SECOND: i64 = 1_000_000_000;
/// True time when the world begins: 2027-01-15.
pub const BEGIN: i64 = 1_800_000_000 * SECOND;
pub const FLOOR: i64 = 1_790_000_000 * SECOND;
const LATEST: i64 = FLOOR + 20 * 365 * 86_400 * SECOND;
const RAW_BEGIN: f64 = 5_000.0e9;
/// What a message takes between the engine and its client, nanoseconds.
const LINK: i64 = 30_000;

mod governor;
mod interleaved;
mod nts;
mod setup;
mod signing;
mod version5;

pub use interleaved::*;
pub use nts::*;
pub use setup::*;
pub use signing::*;
pub use version5::*;

/// A small generator; quality beyond a test's needs is not needed.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d);
        for _ in 0..8 {
            random.uniform();
        }
        random
    }

    /// In (0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log(self.uniform())
    }

    pub fn normal(&mut self) -> f64 {
        libm::sqrt(-2.0 * libm::log(self.uniform())) * libm::cos(2.0 * core::f64::consts::PI * self.uniform())
    }
}

pub type Edit = Box<dyn Fn(&mut ReplyHeader)>;

/// A server and the path to it. Times in seconds.
pub struct Server {
    pub address: Address,
    pub up: bool,
    /// How far its clock is ahead.
    pub error: f64,
    /// How fast that grows, s/s, since the beginning.
    pub drift: f64,
    pub fixed: f64,
    pub forward: f64,
    pub back: f64,
    pub edit: Option<Edit>,
    /// What the client throws away besides the true reply.
    pub forged: Rejected,
    pub nts: Option<Nts>,
    pub keyed: Option<Keyed>,
    /// Queries to it end at once, for this reason.
    pub obstacle: Option<Silence>,
    /// It speaks version 5 too.
    pub version5: Option<Version5>,
    /// It knows interleaved mode.
    pub interleaves: Option<Interleaves>,
    /// Its packets meet random numbers of their own, and change nothing for the others.
    pub aside: bool,
}

#[allow(clippy::large_enum_variant, reason = "a test's queue")]
enum Happening {
    Fact(Input),
    Order(Output),
}

pub struct World {
    pub engine: Recorder,
    pub signers: Vec<SigningServer>,
    pub rounds: Vec<(i64, ipc::message::exchange::Measure)>,
    pub proofs: Vec<crate::io::Proof>,
    pub anchors: Vec<ipc::anchor::Anchor>,
    pub servers: Vec<Server>,
    pub page: ClockPage,
    pub random: Random,
    pub random_aside: Random,
    /// The client lies: it claims that each packet left just before its reply came.
    pub late_t1: bool,
    /// Each query ends at once, for this reason.
    pub obstacle: Option<Silence>,
    /// The address that queries leave from.
    pub local: Address,
    /// Frequency error of CLOCK_MONOTONIC_RAW, s/s.
    pub frequency: f64,
    /// Its random walk, s/s/√s.
    pub wander: f64,
    /// True time, nanoseconds since 1970.
    pub time: i64,
    segment: (i64, f64),
    queue: Vec<(i64, u64, Happening)>,
    sequence: u64,
    tokens: f64,
    refilled: i64,
    pub epoch: u32,
    pub start_steps: u8,
    /// The start step of any size is left.
    pub any_start: bool,
    /// An operator permits each step.
    pub permits: bool,
    /// The governor refuses each step with this row.
    pub step_refusal: Option<Refusal>,
    /// The same for base frequencies and slews, and for what the kernel is told.
    pub adjust_refusal: Option<Refusal>,
    pub status_refusal: Option<Refusal>,
    pub adjusts: Vec<Adjust>,
    pub steps: Vec<Step>,
    pub statuses: Vec<Status>,
    /// TAI − UTC, as it was set.
    pub tais: Vec<u8>,
    /// True time when the kernel had the last of them.
    pub told_at: Option<i64>,
    pub served: Vec<ServerState>,
    pub reference_ids: Vec<Filter>,
    /// From which programs compute the time, with the true time when it was written.
    pub pages: Vec<(i64, Page)>,
    pub saved: Vec<Saved>,
    pub resolves: Vec<Resolve>,
    pub refused: Vec<Refusal>,
    pub notices: Vec<Notice>,
    pub distrust: Option<(Process, Violation)>,
    pub queries: Vec<(i64, Query)>,
    pub exchanges: Vec<(i64, Exchange)>,
    /// What the file of keys holds, and how often it was written.
    pub kept: Vec<SavedAssociation>,
    pub writes: u32,
    pub cancelled: Vec<QueryId>,
    /// Clock errors at full seconds: true time, seconds.
    pub errors: Vec<(i64, f64)>,
}

impl World {
    pub fn raw_at(&self, time: i64) -> RawInstant {
        let (since, raw) = self.segment;
        RawInstant::saturating((raw + (time - since) as f64 * (1.0 + self.frequency)) as i64)
    }

    fn time_of(&self, raw: RawInstant) -> i64 {
        let (since, begun) = self.segment;
        since + libm::ceil((raw.nanos() as f64 - begun) / (1.0 + self.frequency)) as i64
    }

    pub fn now(&self) -> Now {
        let raw = self.raw_at(self.time);
        Now { raw, wall: self.page.wall_at(raw) }
    }

    pub fn reading(&self) -> ClockReading {
        let Now { raw, wall } = self.now();
        let (frequency, slew_left) = (self.page.frequency, self.page.slew_left_at(raw));
        ClockReading { wall, raw, frequency, slew_left, tai: self.page.tai as u8 }
    }

    /// How far the clock is ahead of true time, seconds.
    pub fn error(&self) -> f64 {
        (self.now().wall.nanos() - self.time) as f64 * 1e-9
    }

    pub fn status(&self) -> EngineStatus {
        self.engine.status(self.now())
    }

    pub fn condition(&self) -> Condition {
        self.engine.condition(self.now())
    }

    /// Seconds since the beginning.
    pub fn age(&self) -> f64 {
        (self.time - BEGIN) as f64 * 1e-9
    }

    fn plan(&mut self, time: i64, happening: Happening) {
        self.sequence += 1;
        self.queue.push((time, self.sequence, happening));
    }

    /// Passes a fact in and carries out what comes out.
    pub fn give(&mut self, input: Input) {
        let now = self.now();
        self.engine.handle_input(now, input);
        while let Some(output) = self.engine.poll_output() {
            self.carry_out(output);
        }
    }

    /// Calls the engine, and carries out its outputs.
    pub fn alter<T>(&mut self, call: impl FnOnce(&mut Recorder, Now) -> T) -> T {
        let now = self.now();
        let engine = &mut self.engine;
        let result = call(engine, now);
        let outputs: Vec<Output> = core::iter::from_fn(|| engine.poll_output()).collect();
        outputs.into_iter().for_each(|output| self.carry_out(output));
        result
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Query(query) => self.travel(query),
            Output::Cancel(id) => self.cancelled.push(id),
            Output::Exchange(exchange) => self.exchange(exchange),
            Output::Measure(measure) => self.measure(measure),
            Output::Malfeasance(proof) => self.proofs.push(proof),
            Output::Anchor(anchor) => self.anchors.push(anchor),
            Output::SaveAssociations => {
                self.kept = self.engine.associations();
                self.writes += 1;
            }
            Output::Resolve(resolve) => self.resolves.push(resolve),
            Output::Serve(state) => self.served.push(state),
            Output::ServeReferenceIds(filter) => {
                self.reference_ids.push(Filter::from_octets(*filter.array()))
            }
            Output::Page(page) => self.pages.push((self.time, page)),
            Output::Save(saved) => self.saved.push(saved),
            Output::Log(notice) => self.notices.push(notice),
            Output::Distrust(who, why) => self.distrust = Some((who, why)),
            order => self.plan(self.time + 20_000, Happening::Order(order)),
        }
    }

    /// What a packet meets on its way.
    fn travel(&mut self, query: Query) {
        self.queries.push((self.time, query));
        let left = self.time + LINK;
        let there = self.servers.iter().find(|server| server.address == query.destination);
        if let Some(reason) = self.obstacle.or(there.and_then(|server| server.obstacle)) {
            let rejected = Rejected::NONE;
            let unsent = Input::Unanswered(Unanswered { id: query.id, reason, rejected });
            return self.plan(left + LINK, Happening::Fact(unsent));
        }
        if !self.late_t1 {
            self.plan_sent(left + LINK, &query, left);
        }
        let Some(at) = self.servers.iter().position(|server| server.address == query.destination) else {
            return;
        };
        if !self.servers[at].up {
            return self.plan_silence(&query);
        }
        let server = &self.servers[at];
        let random = if server.aside { &mut self.random_aside } else { &mut self.random };
        let there = server.fixed + random.exponential(server.forward.max(1e-12));
        let back = server.fixed + random.exponential(server.back.max(1e-12));
        let arrived = left + (there * 1e9) as i64;
        let answered = arrived + 10_000;
        let wrong = (server.error * 1e9) as i64 + (server.drift * (arrived - BEGIN) as f64) as i64;
        let forged = server.forged;
        let request = Header::decode(query.packet.octets()).unwrap();
        let stamp = |time: i64| Timestamp::from_unix_nanos(time + wrong).bits();
        let mut header = ReplyHeader {
            leap: Leap::None,
            version: 4,
            mode: 4,
            stratum: 1,
            poll: 6,
            precision: -26,
            root_delay: 0,
            root_dispersion: 1,
            reference_id: 0x4750_5300,
            reference_timestamp: stamp(answered - 16 * SECOND),
            origin_timestamp: request.transmit_timestamp,
            receive_timestamp: stamp(arrived),
            transmit_timestamp: stamp(answered),
        };
        if let Some(edit) = &server.edit {
            edit(&mut header);
        }
        let Some(departed) = self.departure(at, &request, &mut header, answered, stamp) else {
            return self.plan_silence(&query);
        };
        let returned = departed + (back * 1e9) as i64;
        if !self.speaks(at, &query, &mut header, returned) {
            return;
        }
        if self.late_t1 {
            self.plan_sent(returned + LINK, &query, returned - 100_000);
        }
        if query.protected {
            self.reply_protected(at, &query, whole(&header), returned);
            return;
        }
        let reply = PlainReply {
            id: query.id,
            source: query.destination,
            t4: self.raw_at(returned),
            stamp: Stamp::Kernel,
            header,
            rejected: forged,
        };
        self.plan(returned + LINK, Happening::Fact(Input::Reply(reply)));
    }

    fn plan_sent(&mut self, at: i64, query: &Query, left: i64) {
        let sent = Sent { id: query.id, t1: self.raw_at(left), stamp: Stamp::Kernel, local: self.local };
        self.plan(at, Happening::Fact(Input::Sent(sent)));
    }

    /// Runs for `seconds` of true time.
    pub fn run(&mut self, seconds: f64) {
        let end = self.time + (seconds * 1e9) as i64;
        while self.time < end && self.distrust.is_none() {
            let turn = (self.time / SECOND + 1) * SECOND;
            let due = self.queue.iter().map(|(time, ..)| *time).min().unwrap_or(i64::MAX);
            let timer = self.engine.poll_timeout().map_or(i64::MAX, |raw| self.time_of(raw));
            let next = turn.min(due).min(timer).min(end).max(self.time);
            self.time = next;
            if timer <= next {
                let before = self.engine.poll_timeout();
                self.give(Input::Timeout);
                assert!(
                    self.engine.poll_timeout() != before
                        || before.is_none_or(|due| due > self.raw_at(self.time)),
                    "a timeout that is due again at once: {before:?}"
                );
            } else if due <= next {
                let at =
                    (0..self.queue.len()).min_by_key(|at| (self.queue[*at].0, self.queue[*at].1)).unwrap();
                match self.queue.swap_remove(at).2 {
                    Happening::Fact(Input::Unanswered(end)) if self.cancelled.contains(&end.id) => {}
                    Happening::Fact(input) => self.give(input),
                    Happening::Order(order) => self.obey(order),
                }
            }
            if next == turn {
                self.errors.push((self.time, self.error()));
                let raw = self.segment.1 + (self.time - self.segment.0) as f64 * (1.0 + self.frequency);
                self.segment = (self.time, raw);
                self.frequency += self.wander * self.random.normal();
                // A page that describes a slew from long ago costs a round for each second since, at each reading.
                let now = self.raw_at(self.time);
                if now.since(self.page.since).nanos() > 64 * SECOND {
                    self.page = self.page.advanced_to(now);
                }
            }
        }
    }

    /// Root mean square of the clock's error since `after` seconds from the beginning, in microseconds.
    pub fn rms(&self, after: f64) -> f64 {
        let since = BEGIN + (after * 1e9) as i64;
        let (sum, count) = self
            .errors
            .iter()
            .filter(|(time, _)| *time >= since)
            .fold((0.0, 0.0), |(sum, count), (_, error)| (sum + error * error, count + 1.0));
        libm::sqrt(sum / count) * 1e6
    }

    /// Root mean square of the clock's frequency error, slews included, in ppm.
    pub fn frequency_rms(&self, after: f64) -> f64 {
        let since = BEGIN + (after * 1e9) as i64;
        let late: Vec<f64> =
            self.errors.iter().filter(|(time, _)| *time >= since).map(|(_, error)| *error).collect();
        let sum: f64 = late.windows(2).map(|pair| (pair[1] - pair[0]) * (pair[1] - pair[0])).sum();
        libm::sqrt(sum / late.len() as f64) * 1e6
    }

    /// The largest error since `after` seconds from the beginning, seconds.
    pub fn worst(&self, after: f64) -> f64 {
        let since = BEGIN + (after * 1e9) as i64;
        self.errors.iter().filter(|(time, _)| *time >= since).fold(0.0, |worst, (_, e)| worst.max(e.abs()))
    }
}

/// The header as a server would write it.
fn whole(header: &ReplyHeader) -> Header {
    Header {
        leap: match header.leap {
            Leap::None => 0,
            Leap::Insert => 1,
            Leap::Delete => 2,
            Leap::Unknown => 3,
        },
        version: header.version,
        mode: header.mode,
        stratum: header.stratum,
        poll: header.poll,
        precision: header.precision,
        root_delay: header.root_delay,
        root_dispersion: header.root_dispersion,
        reference_id: header.reference_id,
        reference_timestamp: header.reference_timestamp,
        origin_timestamp: header.origin_timestamp,
        receive_timestamp: header.receive_timestamp,
        transmit_timestamp: header.transmit_timestamp,
    }
}

/// The last look-up ends with the addresses of these servers.
pub fn answer(world: &mut World, servers: core::ops::Range<usize>) {
    let addresses = Addresses::new(world.servers[servers].iter().map(|server| server.address)).unwrap();
    let id = world.resolves.last().unwrap().id;
    world.give(Input::Resolved(Resolved { id, addresses }));
}

/// Whether the log has such an event of the system.
pub fn tells(world: &World, is_it: impl Fn(&SystemNotice) -> bool) -> bool {
    world.notices.iter().any(|notice| matches!(notice, Notice::System(found) if is_it(found)))
}
