//! True time, as a function of a counter that is perfect.
//!
//! In simulated time the guest's kernel has no oscillator error. So it is not the clock that is made to wander but the
//! truth: what the pure simulation calls the oscillator's counter *is* the guest's CLOCK_MONOTONIC_RAW here, and true
//! time is computed back from it. The same seed gives the same walk and the same draws of the network as
//! `cargo xtask simulate` does.

use ipc::units::RawInstant;
use protocol::header::Header;
use simulation::network::{LeapDay, Server, Trip};
use simulation::oscillator::Oscillator;
use simulation::scenario::{Event, Scenario};
use std::net::SocketAddr;

const SECOND: i64 = 1_000_000_000;

/// When a day begins that is run now, true time in nanoseconds since 1970: a full second after the daemon's build, before
/// which its governor believes nothing.
pub fn beginning() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let tomorrow = (now.as_secs() as i64 / 86_400 + 1) * 86_400;
    tomorrow.max(1_800_000_000) * SECOND
}

/// True time, and the servers that tell it.
#[derive(Debug)]
pub struct Truth {
    oscillator: Oscillator,
    servers: Vec<Server>,
    events: std::vec::IntoIter<Event>,
    next: Option<Event>,
    /// The last full second.
    turned: i64,
    /// True time when the day began.
    begin: i64,
    /// What is added to the guest's counter to get the oscillator's.
    raw_shift: i64,
}

impl Truth {
    /// The beginning of a day is the moment at which the guest's counter shows `raw` (nanoseconds); true time is `begin`
    /// then, a full second.
    pub fn new(scenario: &Scenario, seed: u64, begin: i64, raw: i64) -> Self {
        let oscillator = Oscillator::new(scenario, seed, begin);
        let raw_shift = oscillator.raw_at(begin).nanos() - raw;
        let paths = scenario.source.iter().flat_map(|path| vec![path; path.count.max(1)]);
        let servers = paths.enumerate().map(|(place, path)| Server::new(path, place, seed, begin)).collect();
        let mut events = scenario.event.clone().into_iter();
        let next = events.next();
        Self { oscillator, servers, events, next, turned: begin, begin, raw_shift }
    }

    /// Where the servers answer.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(|server| server.address.socket_address()).collect()
    }

    /// True time (nanoseconds since 1970) when the counter shows `raw`, which never runs back.
    pub fn at(&mut self, raw: i64) -> i64 {
        let raw = RawInstant::saturating(raw + self.raw_shift);
        loop {
            let now = self.oscillator.time_of(raw);
            let turn = self.turned + SECOND;
            let happens = self.next.as_ref().map_or(i64::MAX, |event| self.begin + (event.at * 1e9) as i64);
            if now < turn.min(happens) {
                return now;
            }
            if happens <= turn {
                self.happen(happens);
            } else {
                self.oscillator.turn(turn);
                self.turned = turn;
            }
        }
    }

    fn happen(&mut self, at: i64) {
        let Some(event) = self.next.take() else { return };
        for (place, server) in self.servers.iter_mut().enumerate() {
            if event.source.is_none_or(|source| source == place) {
                server.meet(&event, at);
            }
        }
        self.oscillator.jump(event.frequency_ppm.unwrap_or(0.0) * 1e-6);
        self.next = self.events.next();
    }

    /// The counter's frequency error now, s/s; positive: it runs fast.
    pub fn frequency(&self) -> f64 {
        self.oscillator.frequency()
    }

    /// What becomes of a query that left for this server at a moment of true time; `None` if it is lost.
    pub fn travel(&mut self, server: usize, left: i64) -> Option<Trip> {
        self.servers[server].travel(left)
    }

    /// The reply that is handed over at `now`, which can be a little later than the trip says: that is the server's
    /// delay then, so both ways stay as long as they were drawn. `shift` is what true time is called in the stamps, less what it is called here.
    pub fn reply(&mut self, server: usize, trip: Trip, now: i64, query: &Header, shift: i64) -> Header {
        let answered = trip.answered + (now - trip.returned).max(0);
        let trip = Trip { arrived: trip.arrived + shift, answered: answered + shift, returned: now + shift };
        let never = LeapDay { end: i64::MAX / 2, leap: 0 };
        let told = self.servers[server].reply(&trip, query.transmit_timestamp, &never);
        Header {
            leap: 0,
            version: query.version,
            mode: told.mode,
            stratum: told.stratum,
            poll: query.poll,
            precision: told.precision,
            root_delay: told.root_delay,
            root_dispersion: told.root_dispersion,
            reference_id: told.reference_id,
            reference_timestamp: told.reference_timestamp,
            origin_timestamp: told.origin_timestamp,
            receive_timestamp: told.receive_timestamp,
            transmit_timestamp: told.transmit_timestamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const BEGIN: i64 = 1_800_000_000 * SECOND;
    use crate::days::find;

    fn day(name: &str) -> Scenario {
        find(name).expect("a day of the catalogue")
    }

    fn walk(name: &str, seed: u64, steps: i64) -> Vec<i64> {
        let mut truth = Truth::new(&day(name), seed, BEGIN, 77);
        (0..steps).map(|step| truth.at(77 + step * 10 * SECOND)).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_truth_to_the_nanosecond_and_another_seed_another() {
        assert_eq!(walk("wan_restless", 3, 8_640), walk("wan_restless", 3, 8_640));
        assert_ne!(walk("wan_restless", 3, 100), walk("wan_restless", 4, 100));
    }

    #[test]
    fn looking_more_often_changes_nothing() {
        let mut often = Truth::new(&day("frequency_step"), 5, BEGIN, 0);
        let mut seldom = Truth::new(&day("frequency_step"), 5, BEGIN, 0);
        let looked = (0..50_000).map(|second| often.at(second * SECOND)).last();
        assert_eq!(looked, Some(seldom.at(49_999 * SECOND)));
    }

    #[test]
    fn a_counter_that_runs_fast_shows_more_than_has_passed() {
        // 50 ppm fast and calm: after 1000 s by the counter 999.95 s have passed.
        let passed = walk("wan_calm", 1, 101)[100] - BEGIN;
        assert!((passed - 999_950_002_500).abs() < 100_000, "{passed}");
    }

    #[test]
    fn the_oscillator_jumps_at_noon() {
        let mut truth = Truth::new(&day("frequency_step"), 1, BEGIN, 0);
        truth.at(43_100 * SECOND);
        let before = truth.frequency();
        truth.at(43_210 * SECOND);
        assert!((truth.frequency() - before - 1e-6).abs() < 0.1e-6);
    }

    #[test]
    fn a_reply_that_is_handed_over_late_has_ways_as_long_as_they_were_drawn() {
        let mut truth = Truth::new(&day("wan_calm"), 1, BEGIN, 0);
        let left = truth.at(5 * SECOND);
        let trip = truth.travel(0, left).expect("nothing is lost on this day");
        let query = Header { version: 4, transmit_timestamp: 42, ..Header::default() };
        let late = trip.returned + 70_000;
        let reply = truth.reply(0, trip, late, &query, 0);
        let nanos = |bits| protocol::timestamp::Timestamp::from_bits(bits).unix_nanos(BEGIN / SECOND);
        assert!((nanos(reply.receive_timestamp) - trip.arrived).abs() <= 1);
        assert!((late - nanos(reply.transmit_timestamp) - (trip.returned - trip.answered)).abs() <= 1);
        assert_eq!((reply.origin_timestamp, reply.mode, reply.version), (42, 4, 4));
    }

    #[test]
    fn a_server_without_network_is_silent_for_six_hours() {
        let mut truth = Truth::new(&day("outage"), 1, BEGIN, 0);
        let heard = |truth: &mut Truth, second: i64| {
            let left = truth.at(second * SECOND);
            truth.travel(0, left).is_some()
        };
        assert!(heard(&mut truth, 35_000));
        assert!(!heard(&mut truth, 40_000));
        assert!(!heard(&mut truth, 57_000));
        assert!(heard(&mut truth, 58_000));
    }
}
