//! A packet's way to a server and back.

use crate::random::Random;
use crate::scenario::{Event, Path};
use crate::trace::{Replay, Trace};
use ipc::address::Address;
use ipc::message::client::ReplyHeader;
use ipc::message::exchange::HostName;
use ipc::units::Leap;
use protocol::timestamp::Timestamp;
use std::net::{Ipv4Addr, SocketAddr};

const SECOND: i64 = 1_000_000_000;

/// A server and the path to it.
#[derive(Debug)]
pub struct Server {
    /// Its address.
    pub address: Address,
    /// As the scenario describes it.
    pub path: Path,
    up: bool,
    fixed: (f64, f64),
    jitter: (f64, f64),
    /// What was measured on the path, if it is not a model's, and when that begins.
    trace: Option<(Replay, i64)>,
    /// See [`Event::there_burst_ms`].
    burst: ([f64; 2], [f64; 2]),
    /// See [`Event::burst_holds`].
    holds: f64,
    /// The seed of what all sources share.
    seed: u64,
    ramp: f64,
    /// Error at `since`, and how fast it grows from then on.
    error: f64,
    drift: f64,
    since: i64,
    /// See [`Event::chosen`].
    chosen: i8,
    random: Random,
}

/// The fate of a query: its arrival, the departure of the reply, its arrival; true time.
#[derive(Clone, Copy, Debug)]
pub struct Trip {
    /// At the server.
    pub arrived: i64,
    /// The reply left it.
    pub answered: i64,
    /// The reply was back.
    pub returned: i64,
}

/// The end of the leap day, and what happens then.
#[derive(Clone, Copy, Debug)]
pub struct LeapDay {
    /// True time (without leap seconds), nanoseconds since 1970.
    pub end: i64,
    /// ±1, or 0.
    pub leap: i8,
}

impl Server {
    /// The source of this place in the scenario; each has its own random numbers.
    pub fn new(path: &Path, place: usize, seed: u64, begin: i64) -> Self {
        let trace = path.trace.as_deref().and_then(Trace::find);
        let (fixed, jitter) = match path.kind.as_str() {
            _ if trace.is_some() => (0.0, 0.0),
            "lan" => (90e-6, 10e-6),
            "bad" => (50e-3, 10e-3),
            _ => (19e-3, 1e-3),
        };
        let milli = |value: Option<f64>, or: f64| value.map_or(or, |value| value * 1e-3);
        let (fixed, jitter) = (milli(path.fixed_ms, fixed), milli(path.jitter_ms, jitter));
        let (net, host) = match path.subnet {
            Some(subnet) => (subnet, place as u8 + 1),
            None => (place as u8 + 100, 1),
        };
        let ip = Ipv4Addr::new(5, 9, net, host);
        Self {
            address: SocketAddr::from((ip, 123)).into(),
            path: path.clone(),
            up: !path.silent,
            fixed: (fixed + path.there_ms * 1e-3, fixed + path.back_ms * 1e-3),
            jitter: (jitter + path.there_jitter_ms * 1e-3, jitter + path.back_jitter_ms * 1e-3),
            trace: trace.map(|trace| (Replay::new(trace), begin)),
            burst: ([0.0; 2], [0.0; 2]),
            holds: 0.0,
            seed,
            ramp: 0.0,
            error: path.error,
            drift: path.drift_ppm * 1e-6,
            since: begin,
            chosen: 0,
            random: Random::new(seed, 100 + place as u64),
        }
    }

    /// An event happens to it at a moment of true time.
    pub fn meet(&mut self, event: &Event, now: i64) {
        self.error = self.wrong(now);
        self.since = now;
        self.fixed.0 = (self.fixed.0 + event.there_ms.unwrap_or(0.0) * 1e-3).max(0.0);
        self.fixed.1 = (self.fixed.1 + event.back_ms.unwrap_or(0.0) * 1e-3).max(0.0);
        let times = event.jitter_times.unwrap_or(1.0);
        self.jitter = (self.jitter.0 * times, self.jitter.1 * times);
        self.burst.0 = event.there_burst_ms.unwrap_or(self.burst.0);
        self.burst.1 = event.back_burst_ms.unwrap_or(self.burst.1);
        self.holds = event.burst_holds.unwrap_or(self.holds);
        self.up = event.up.unwrap_or(self.up);
        self.chosen = event.chosen.unwrap_or(self.chosen);
        self.error += event.error.unwrap_or(0.0);
        self.drift = event.drift_ppm.map_or(self.drift, |ppm| ppm * 1e-6);
        self.ramp = event.ramp_ms.map_or(self.ramp, |ms| ms * 1e-3);
        if let (true, SocketAddr::V4(at)) = (event.moved, self.address.socket_address()) {
            let [a, b, net, host] = at.ip().octets();
            let ip = Ipv4Addr::new(a, b, net, host.wrapping_add(1).max(1));
            self.address = SocketAddr::from((ip, at.port())).into();
        }
        if let Some(kiss) = &event.kiss {
            self.path.kiss = Some(kiss.clone()).filter(|kiss| !kiss.is_empty());
        }
    }

    /// Whether a reply passes by which a right clock, and the host's clock, is off by so much (positive: it is behind).
    pub fn passes(&self, right: i64, hosts: i64) -> bool {
        let offset = if self.chosen.abs() == 1 { right } else { hosts };
        self.chosen == 0 || i64::from(self.chosen) * offset > 0
    }

    /// From now on it answers, and tells the truth.
    pub fn come_right(&mut self, now: i64) {
        (self.error, self.drift, self.since, self.ramp, self.up) = (0.0, 0.0, now, 0.0, true);
        self.path.kiss = None;
    }

    /// Its name, if it is configured by one.
    pub fn name(&self) -> Option<HostName> {
        let net = self.address.socket_address().to_string();
        let place = net.split('.').nth(2).unwrap_or_default();
        HostName::parse(&format!("time{place}.example")).ok().filter(|_| self.path.name)
    }

    /// How far the server's clock is ahead at `time`, seconds.
    fn wrong(&self, time: i64) -> f64 {
        self.error + self.drift * (time - self.since) as f64 * 1e-9
    }

    fn one_way(&mut self, fixed: f64, jitter: f64) -> f64 {
        let random = &mut self.random;
        fixed
            + match self.path.law.as_str() {
                "heavy" => random.heavy(jitter),
                "gamma" => (0..4).map(|_| random.exponential(jitter / 4.0)).sum(),
                "spikes" if random.happens(0.05) => random.exponential(30.0 * jitter),
                _ => random.exponential(jitter),
            }
    }

    /// What a burst adds to a packet that leaves at `left`, seconds. `way`: 0 there, 1 back.
    fn burst(&mut self, left: i64, way: u64, [least, most]: [f64; 2]) -> f64 {
        if most <= 0.0 {
            return 0.0;
        }
        let share = if self.holds > 0.0 {
            let turn = (left as f64 * 1e-9 / self.holds) as u64;
            Random::new(self.seed, 1000 + 2 * turn + way).uniform()
        } else {
            self.random.uniform()
        };
        (least + share * (most - least)) * 1e-3
    }

    /// A query that leaves at `left`; `None` if it is lost.
    pub fn travel(&mut self, left: i64) -> Option<Trip> {
        let there = self.one_way(self.fixed.0, self.jitter.0) + self.burst(left, 0, self.burst.0);
        let back = self.one_way(self.fixed.1, self.jitter.1) + self.burst(left, 1, self.burst.1);
        let lost = self.random.happens(self.path.loss) || self.random.happens(self.path.loss);
        let measured = match &mut self.trace {
            Some((replay, begin)) => replay.ways((left - *begin) as f64 * 1e-9, &mut self.random),
            None => Some((0.0, 0.0)),
        };
        self.fixed.0 += self.ramp;
        let (there, back) =
            measured.filter(|_| !lost && self.up).map(|(on, off)| (there + on, back + off))?;
        let arrived = left + (there * 1e9) as i64;
        let answered = arrived + 10_000;
        Some(Trip { arrived, answered, returned: answered + (back * 1e9) as i64 })
    }

    /// Its reply.
    pub fn reply(&mut self, trip: &Trip, nonce: u64, day: &LeapDay) -> ReplyHeader {
        let noise = self.path.stamps_us * 1e3;
        let wrong = (self.wrong(trip.arrived) * 1e9) as i64;
        let mut stamp = |time: i64| {
            let noise = if noise > 0.0 { (self.random.normal() * noise) as i64 } else { 0 };
            let utc = utc(time, day) + smear(time, day, self.path.smears);
            Timestamp::from_unix_nanos(utc + wrong + noise).bits()
        };
        let (received, transmitted) = (stamp(trip.arrived), stamp(trip.answered));
        let is_the_day = (day.end - 86_400 * SECOND..day.end).contains(&trip.answered);
        let announces = match self.path.announces {
            0 if is_the_day && !self.path.smears => day.leap,
            announced => announced,
        };
        let leap = match announces {
            1 => Leap::Insert,
            -1 => Leap::Delete,
            _ => Leap::None,
        };
        let kiss = self.path.kiss.as_ref().map(|kiss| {
            let mut code = [0; 4];
            code.iter_mut().zip(kiss.bytes()).for_each(|(place, octet)| *place = octet);
            u32::from_be_bytes(code)
        });
        let own = 0x4750_5300 + u32::from(self.path.subnet.unwrap_or(0));
        ReplyHeader {
            leap,
            version: 4,
            mode: 4,
            stratum: if kiss.is_some() { 0 } else { self.path.stratum },
            poll: 6,
            precision: -26,
            root_delay: 0,
            // An honest server reports how far its timestamps scatter: six standard deviations, in 2^-16 s.
            root_dispersion: 1 + (self.path.stamps_us * 6e-6 * 65_536.0).ceil() as u32,
            reference_id: kiss.or(self.path.upstream).unwrap_or(own),
            reference_timestamp: Timestamp::from_unix_nanos(trip.answered - 16 * SECOND).bits(),
            origin_timestamp: nonce,
            receive_timestamp: received,
            transmit_timestamp: transmitted,
        }
    }
}

/// UTC at a moment of true time: a leap second that has passed is not counted any more.
pub fn utc(time: i64, day: &LeapDay) -> i64 {
    if day.leap != 0 && time >= day.end { time - i64::from(day.leap) * SECOND } else { time }
}

/// By how much a server that smears is ahead of UTC.
fn smear(time: i64, day: &LeapDay, smears: bool) -> i64 {
    let begin = day.end - 86_400 * SECOND;
    if !smears || day.leap == 0 || time < begin || time >= day.end {
        return 0;
    }
    -i64::from(day.leap) * ((time - begin) / 86_400)
}
