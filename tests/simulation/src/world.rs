//! The loop: true time passes, packets travel, the engine learns of them, the keeper follows its orders.

use crate::figures::{Figures, Ledger};
use crate::keeper::Keeper;
use crate::network::{LeapDay, Server, Trip, utc};
use crate::oscillator::Oscillator;
use crate::scenario::{Event, Scenario};
use engine_core::Engine;
use engine_core::io::{Input, Now, Output, Saved, Start};
use engine_core::notice::Notice;
use engine_core::settings::{ClockSettings, Place, Settings, SourceSettings};
use engine_core::status::Status;
use ipc::calendar::Date;
use ipc::message::client::*;
use ipc::message::exchange::{Addresses, Failed, LookupFailure, Resolve, Resolved};
use ipc::units::{Frequency, Span, WallTime};
use protocol::header::Header;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// The time that a message takes between the engine and its client, nanoseconds.
const LINK: i64 = 30_000;

/// The time that a look-up takes.
const LOOK_UP: i64 = 50_000_000;

/// The time that an order takes to the privileged process, and its answer back.
const ORDER: i64 = 20_000;

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a queue of a few")]
enum Happening {
    Fact(Input),
    Order(Output),
}

/// A world at one moment.
#[derive(Debug)]
pub struct World {
    engine: Engine,
    /// The parameters of an engine's start.
    start: Start,
    oscillator: Oscillator,
    keeper: Keeper,
    servers: Vec<Server>,
    events: Vec<Event>,
    day: LeapDay,
    begin: i64,
    time: i64,
    queue: BinaryHeap<Reverse<(i64, u64)>>,
    happenings: std::collections::HashMap<u64, Happening>,
    sequence: u64,
    /// True time up to which the machine sleeps.
    asleep_until: i64,
    /// When the keeper checks by itself.
    look_at: i64,
    /// Names resolve.
    names: bool,
    ledger: Ledger,
    /// Events for the log, each with its time in seconds.
    pub notices: Vec<(f64, Notice)>,
}

/// Runs a day.
pub fn run(scenario: &Scenario, seed: u64) -> Figures {
    let mut world = World::new(scenario, seed);
    world.run_until(scenario.days * 86_400.0);
    world.figures()
}

impl World {
    /// A world at its beginning.
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let end = end_of_leap_day(built() + DAY);
        let begin = begin_of(scenario);
        let day = LeapDay { end: if scenario.leap_day { end } else { i64::MAX / 2 }, leap: scenario.leap };
        let oscillator = Oscillator::new(scenario, seed, begin);
        let keeper = Keeper::new(&oscillator, begin, scenario);
        let paths = scenario.source.iter().flat_map(|path| vec![path; path.count.max(1)]);
        let servers: Vec<_> =
            paths.enumerate().map(|(place, path)| Server::new(path, place, seed, begin)).collect();
        let mut octets = [0; 32];
        octets[..8].copy_from_slice(&seed.to_le_bytes());
        let start = Start {
            settings: settings(scenario, &servers),
            saved: scenario.saved_ppm.map(|[ppm, error]| Saved {
                frequency: Frequency::saturating((ppm * 65_536.0) as i32),
                frequency_error_ppm: error,
                at: WallTime::saturating(begin - 3600 * SECOND),
            }),
            associations: Vec::new(),
            addresses: Vec::new(),
            seed: octets,
            precision: -24,
        };
        let mut world = Self {
            engine: Engine::new(start.clone()),
            start,
            oscillator,
            keeper,
            servers,
            events: scenario.event.clone(),
            day,
            begin,
            time: begin,
            queue: BinaryHeap::new(),
            happenings: std::collections::HashMap::new(),
            sequence: 0,
            asleep_until: begin - DAY,
            look_at: begin + SECOND,
            names: true,
            ledger: Ledger::new(scenario),
            notices: Vec::new(),
        };
        world.meet_due();
        world.welcome();
        world
    }

    /// What has happened by now.
    fn meet_due(&mut self) {
        while self.events.first().is_some_and(|event| event.at <= self.age()) {
            let event = self.events.remove(0);
            self.meet(&event);
        }
    }

    fn welcome(&mut self) {
        let now = self.now();
        let welcome = self.keeper.welcome(now);
        self.give(Input::Welcome(welcome));
        for server in self.servers.iter().filter(|server| server.path.authenticated) {
            self.engine.set_authenticated(server.address, true);
        }
    }

    /// The daemon ends and is started again: its saved state and the governor's record are left, and the
    /// kernel's clock with its frequency.
    fn restart(&mut self) {
        self.queue.clear();
        self.happenings.clear();
        self.start.seed[31] = self.start.seed[31].wrapping_add(1);
        self.engine = Engine::new(self.start.clone());
        self.keeper.restart(self.now());
        self.welcome();
    }

    /// The machine is off, and boots.
    fn reboot(&mut self, off: i64, error: Option<f64>) {
        let before = self.now().wall.nanos();
        let until = self.time + off;
        self.oscillator.sleep(self.time, until);
        self.time = until;
        let wall = error.map_or(before.saturating_add(off), |error| {
            utc(until, &self.day).saturating_add((error * 1e9) as i64)
        });
        self.keeper.reboot(self.oscillator.raw_at(until), WallTime::saturating(wall.max(0)));
        self.restart();
    }

    fn now(&self) -> Now {
        let raw = self.oscillator.raw_at(self.time);
        Now { raw, wall: self.keeper.wall_at(raw) }
    }

    /// What a battery-backed clock shows, in seconds since 1970.
    fn rtc(&self) -> i64 {
        utc(self.time, &self.day) / SECOND
    }

    /// Clock minus UTC, seconds.
    pub fn error(&self) -> f64 {
        (self.now().wall.nanos() - utc(self.time, &self.day)) as f64 * 1e-9
    }

    /// What the governor refused, in order.
    pub fn refused(&self) -> &[ipc::message::privileged::Refusal] {
        &self.keeper.refused
    }

    /// Steps that were made.
    pub fn steps(&self) -> u32 {
        self.keeper.steps
    }

    /// The leap second that the kernel has been told of last.
    pub fn armed(&self) -> ipc::units::Leap {
        self.keeper.armed(self.now().raw)
    }

    /// What the engine says of itself.
    pub fn status(&self) -> Status {
        self.engine.status(self.now())
    }

    fn plan(&mut self, time: i64, happening: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse((time, self.sequence)));
        self.happenings.insert(self.sequence, happening);
    }

    fn give(&mut self, input: Input) {
        let now = self.now();
        if matches!(input, Input::Reply(_)) {
            self.ledger.replied(self.age());
        }
        self.engine.handle_input(now, input);
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Query(query) => self.travel(query),
                Output::Log(notice) => self.notices.push((self.age(), notice)),
                Output::Distrust(_, why) => panic!("an honest process was distrusted: {why:?}"),
                order @ (Output::Adjust(_) | Output::Step(_) | Output::SetStatus(_) | Output::SetTai(_)) => {
                    self.plan(self.time + ORDER, Happening::Order(order));
                }
                Output::Page(page) => self.ledger.reader.take(page),
                Output::Save(saved) => self.start.saved = Some(saved),
                Output::Resolve(resolve) => {
                    let answer = self.resolve(&resolve);
                    self.plan(self.time + LOOK_UP, Happening::Fact(answer));
                }
                // To processes that are not there.
                _ => {}
            }
        }
    }

    /// What a name server answers.
    fn resolve(&self, resolve: &Resolve) -> Input {
        let id = resolve.id;
        let at =
            self.servers.iter().find(|server| server.name() == Some(resolve.name)).filter(|_| self.names);
        match at.and_then(|server| Addresses::new([server.address]).ok()) {
            Some(addresses) => Input::Resolved(Resolved { id, addresses }),
            None => Input::LookupFailed(Failed { id, reason: LookupFailure::TryAgain }),
        }
    }

    /// From now on all sources but these (places in the scenario) answer and tell the truth, and names resolve.
    pub fn come_right(&mut self, but: &[usize]) {
        // While the machine slept, time has gone past what happens.
        self.meet_due();
        self.names = true;
        for (_, server) in self.servers.iter_mut().enumerate().filter(|(place, _)| !but.contains(place)) {
            server.come_right(self.time);
        }
    }

    /// Seconds from the beginning.
    pub fn age(&self) -> f64 {
        (self.time - self.begin) as f64 * 1e-9
    }

    fn travel(&mut self, query: Query) {
        self.ledger.packet();
        let left = self.time + LINK;
        let sent = Sent {
            id: query.id,
            t1: self.oscillator.raw_at(left),
            stamp: Stamp::Kernel,
            local: ipc::address::Address::NONE,
        };
        self.plan(left + LINK, Happening::Fact(Input::Sent(sent)));
        let Some(at) = self.servers.iter().position(|server| server.address == query.destination) else {
            return;
        };
        let deadline = self.oscillator.time_of(query.deadline);
        let trip = self.servers[at].travel(left).filter(|trip| trip.returned + LINK < deadline);
        let wall = |time| self.keeper.wall_at(self.oscillator.raw_at(time)).nanos();
        let passes = |trip: &Trip| {
            let there_and_back = trip.arrived + trip.answered;
            let right = there_and_back - left - trip.returned;
            self.servers[at].passes(right, there_and_back - wall(left) - wall(trip.returned))
        };
        match trip.filter(passes) {
            None => {
                let (id, reason, rejected) = (query.id, Silence::Deadline, Rejected::NONE);
                self.plan(deadline, Happening::Fact(Input::Unanswered(Unanswered { id, reason, rejected })));
            }
            Some(trip) => {
                let nonce =
                    Header::decode(query.packet.octets()).map_or(0, |request| request.transmit_timestamp);
                let header = self.servers[at].reply(&trip, nonce, &self.day);
                let reply = PlainReply {
                    id: query.id,
                    source: query.destination,
                    t4: self.oscillator.raw_at(trip.returned),
                    stamp: Stamp::Kernel,
                    header,
                    rejected: Rejected::NONE,
                };
                self.plan(trip.returned + LINK, Happening::Fact(Input::Reply(reply)));
            }
        }
    }

    /// Runs until this many seconds from the beginning.
    pub fn run_until(&mut self, seconds: f64) {
        let end = self.begin + (seconds * 1e9) as i64;
        let mut idle = 0;
        while self.time < end {
            let turn = (self.time / SECOND + 1) * SECOND;
            let due = self.queue.peek().map_or(i64::MAX, |Reverse((time, _))| *time);
            let timer = self.engine.poll_timeout().map_or(i64::MAX, |raw| self.oscillator.time_of(raw));
            let event = self.events.first().map_or(i64::MAX, |event| self.begin + (event.at * 1e9) as i64);
            let next = turn.min(due).min(timer).min(event).min(end).min(self.look_at).max(self.time);
            idle = if next == self.time { idle + 1 } else { 0 };
            assert!(idle < 10_000, "the engine asks for the same moment for ever");
            self.time = next;
            if event <= next {
                let event = self.events.remove(0);
                self.meet(&event);
            } else if timer <= next {
                self.give(Input::Timeout);
            } else if due <= next {
                let Some(Reverse((_, key))) = self.queue.pop() else { continue };
                match self.happenings.remove(&key) {
                    Some(Happening::Fact(input)) => self.give(input),
                    Some(Happening::Order(order)) => self.obey(&order),
                    None => {}
                }
            }
            if next == turn {
                self.turn();
            }
            if self.look_at <= next {
                self.look();
                self.look_at = self.time + self.keeper.look_in(self.now());
            }
        }
    }

    fn obey(&mut self, order: &Output) {
        self.look();
        let now = self.now();
        if let Some(answer) = self.keeper.obey(order, now) {
            self.plan(self.time + ORDER, Happening::Fact(answer));
        }
    }

    /// The keeper checks that time was continuous.
    fn look(&mut self) {
        if let Some(event) = self.keeper.look(self.now(), self.rtc()) {
            self.give(event);
        }
    }

    /// A full second.
    fn turn(&mut self) {
        self.oscillator.turn(self.time);
        let raw = self.oscillator.raw_at(self.time);
        self.keeper.turn(raw);
        // Whether a clock shows a leap second a microsecond too late cannot be distinguished from an error of a second,
        // and right after waking the time cannot be known.
        let (at, error, now) = (self.age(), self.error(), self.now());
        let said = (self.engine.bounds(now), self.ledger.reader.bounds(now));
        if self.time - self.asleep_until < 3 * SECOND {
            self.ledger.resuming(at, error, said);
        } else if (self.time - self.day.end).abs() < 3 * SECOND {
            self.ledger.pause();
        } else {
            self.ledger.second(at, error, said);
        }
    }

    fn meet(&mut self, event: &Event) {
        for (place, server) in self.servers.iter_mut().enumerate() {
            if event.source.is_none_or(|source| source == place) {
                server.meet(event, self.time);
            }
        }
        self.oscillator.jump(event.frequency_ppm.unwrap_or(0.0) * 1e-6);
        if let Some(seconds) = event.meddle {
            let raw = self.oscillator.raw_at(self.time);
            self.keeper.meddle(raw, seconds);
        }
        if let Some(seconds) = event.sleep {
            self.sleep((seconds * 1e9) as i64);
        }
        if let Some(seconds) = event.pause {
            self.stand_still((seconds * 1e9) as i64);
            self.keeper.disrupt();
        }
        self.names = event.names.unwrap_or(self.names);
        if let Some(seconds) = event.reboot {
            self.reboot((seconds * 1e9) as i64, event.clock);
        } else if event.restart {
            self.restart();
        }
        // The kernel's timer reports immediately that the clock was set.
        if event.meddle.is_some() || event.sleep.is_some() {
            self.look();
        }
    }

    /// The machine sleeps: both clocks stand still until it wakes, and everything under way is lost.
    fn sleep(&mut self, nanos: i64) {
        self.stand_still(nanos);
        self.keeper.sleep(self.oscillator.raw_at(self.time), nanos);
    }

    /// The machine is stopped, and nothing in it counts.
    fn stand_still(&mut self, nanos: i64) {
        let until = self.time + nanos;
        self.oscillator.sleep(self.time, until);
        self.time = until;
        self.asleep_until = until;
        self.look_at += nanos;
        self.ledger.stood_still(self.age());
        let mut held: Vec<(i64, u64)> = self.queue.drain().map(|Reverse(entry)| entry).collect();
        held.sort_unstable();
        for (time, key) in held {
            if let Some(Happening::Fact(Input::Reply(reply))) = self.happenings.get(&key) {
                let (id, reason, rejected) = (reply.id, Silence::Deadline, Rejected::NONE);
                let lost = Happening::Fact(Input::Unanswered(Unanswered { id, reason, rejected }));
                self.happenings.insert(key, lost);
            }
            self.queue.push(Reverse((time.max(until + LINK), key)));
        }
    }

    /// The results of the day.
    pub fn figures(self) -> Figures {
        let status = self.status();
        let states = status.sources.iter().map(|source| source.state().name().to_owned()).collect();
        self.ledger.close(self.servers.len(), self.keeper.steps, self.keeper.refused.len(), states)
    }

    /// From now on each second is recorded.
    pub fn keep_seconds(&mut self) {
        self.ledger.seconds = Some(Vec::new());
    }

    /// The line of errors, for a picture.
    pub fn into_ledger(self) -> Ledger {
        self.ledger
    }
}

/// After this program's build: the governor accepts no earlier time.
fn built() -> i64 {
    keeper::governor::limits::BUILD_TIME.nanos()
}

/// When the days of this scenario begin, nanoseconds since 1970.
pub(crate) fn begin_of(scenario: &Scenario) -> i64 {
    match scenario.leap_day {
        true => end_of_leap_day(built() + DAY) - DAY / 2,
        false => (1_800_000_000 * SECOND).max(built() / DAY * DAY + DAY),
    }
}

fn settings(scenario: &Scenario, servers: &[Server]) -> Settings {
    let sources = servers.iter().map(|server| {
        let (min_poll, max_poll) =
            scenario.poll.map_or(scenario.polls.map_or((6, 10), Into::into), |poll| (poll, poll));
        let place = server.name().map_or(Place::Address(server.address), |name| Place::Name(name, 123));
        SourceSettings {
            min_poll,
            max_poll,
            prefer: server.path.prefer,
            trust: server.path.trust,
            require: server.path.require,
            ..SourceSettings::of(server.address.socket_address().to_string(), place)
        }
    });
    Settings {
        sources: sources.collect(),
        clock: ClockSettings { minimum_sources: scenario.minimum_sources, ..ClockSettings::DEFAULT },
        forward_step: scenario.forward.map(|seconds| Span::saturating((seconds * 1e9) as i64)),
        leap_seconds: !scenario.strict,
        leap_list: None,
        strict_quorum: scenario.strict_quorum || scenario.strict,
        roughtime: None,
        server: None,
    }
}

/// The end of the first 30 June or 31 December after this moment, nanoseconds since 1970.
pub(crate) fn end_of_leap_day(after: i64) -> i64 {
    let mut day = after / DAY + 1;
    loop {
        if Date::of_day(day - 1).may_end_with_leap_second() {
            return day * DAY;
        }
        day += 1;
    }
}
