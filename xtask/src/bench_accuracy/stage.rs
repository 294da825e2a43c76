//! One round: servers, networks, relays and clients, and the reading of their clocks.

use super::figures::{Figures, Reading, Round};
use super::scenario::{SCENARIOS, Scenario};
use bench::chronyd_client::ChronydClient;
use bench::clock::{self, VirtualClock};
use bench::daemon::{Daemon, Setup};
use bench::netns::Network;
use bench::programs::free_port;
use bench::relay::{Relay, RelayConfig};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

/// True time minus the host's at the start, and its rate relative to the host's.
const AHEAD_NS: i64 = 30_000_000;
const FASTER_PPM: f64 = 20.0;
/// Interval between two readings.
const PAUSE: Duration = Duration::from_millis(250);
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// Everything that runs in a round.
pub struct Stage {
    tracks: Vec<Track>,
    /// Two servers, the first one for the path without a relay; their clocks are the truth.
    servers: [Daemon; 2],
    #[expect(dead_code, reason = "they last as long as their owner")]
    networks: Option<[Network; 2]>,
}

/// One path with its two clients.
struct Track {
    scenario: &'static Scenario,
    relays: Option<[Relay; 2]>,
    ours: (Daemon, Instant),
    theirs: Option<(ChronydClient, Instant)>,
    readings: [Vec<Reading>; 2],
}

impl Stage {
    /// Starts everything; the order of the two clients and the relays' seed depend on the number.
    pub fn set(programs: &Path, round: u64, (shortest, longest): (u64, u64)) -> Result<Self, String> {
        let networks = networks();
        if networks.is_none() {
            eprintln!("without root the relays stand on the loopback interface, not between two networks");
        }
        let entrance =
            |end: usize| networks.as_ref().map_or(Vec::new(), |both| both[end].entrance().to_vec());
        let places = [free_port(), free_port()].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let [straight, far] = places;
        let start_server = |place: SocketAddr, wrapper: &[String]| {
            let configuration =
                format!("[server]\nlisten = [\"{place}\"]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 1\n");
            let setup = Setup::new("accuracy-server", &configuration)
                .with_programs(programs.into())
                .with_virtual_clock(AHEAD_NS, FASTER_PPM);
            in_network(setup, wrapper).start()
        };
        let servers = [start_server(straight, &[]), start_server(far, &entrance(1))];
        let mut tracks = Vec::new();
        for (index, scenario) in SCENARIOS.iter().enumerate() {
            let relays = scenario.path.map(|path| {
                [0, 1].map(|client| {
                    let config = RelayConfig {
                        front: (networks.as_ref().map_or(Ipv4Addr::LOCALHOST, |_| FAR), 0).into(),
                        from: IpAddr::V4(Ipv4Addr::new(127, 0, 1, (2 * index + client + 1) as u8)),
                        server: far,
                        network: networks.as_ref().map(|both| both[1].file()),
                    };
                    Relay::start(config, path, 1_000 * (round + 1) + index as u64)
                })
            });
            let to = |client: usize| relays.as_ref().map_or(straight, |relays| relays[client].address());
            let wrapper = if relays.is_some() { entrance(0) } else { Vec::new() };
            let start_ours = || {
                let source = format!(
                    "[[source]]\naddress = \"{}\"\nmin-poll = {shortest}\nmax-poll = {longest}\nburst = true\n",
                    to(0)
                );
                let setup =
                    Setup::new("accuracy", &source).with_programs(programs.into()).with_virtual_clock(0, 0.0);
                let begun = Instant::now();
                (in_network(setup, &wrapper).launch(), begun)
            };
            let start_theirs = || {
                let (address, port) = (to(1).ip(), to(1).port());
                let begun = Instant::now();
                let source =
                    format!("server {address} port {port} iburst minpoll {shortest} maxpoll {longest}");
                ChronydClient::start(&source, &wrapper).map(|chronyd| (chronyd, begun))
            };
            let (ours, theirs) = if (round + index as u64).is_multiple_of(2) {
                let ours = start_ours();
                (ours, start_theirs())
            } else {
                let theirs = start_theirs();
                (start_ours(), theirs)
            };
            tracks.push(Track { scenario, relays, ours, theirs, readings: [Vec::new(), Vec::new()] });
        }
        Ok(Self { tracks, servers, networks })
    }

    /// Reads for this long, then sums up, in the order of the scenarios.
    pub fn play(mut self, seconds: u64) -> Result<Vec<Round>, String> {
        let truths = [0, 1].map(|which: usize| self.servers[which].setup().virtual_clock());
        let begun = Instant::now();
        let mut next = begun;
        let mut stepped = false;
        while begun.elapsed() < Duration::from_secs(seconds) {
            next += PAUSE;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            if !stepped && begun.elapsed().as_secs_f64() > seconds as f64 / 2.0 {
                stepped = true;
                self.tracks.iter().for_each(Track::step);
            }
            for track in &mut self.tracks {
                track.read(&truths[usize::from(track.relays.is_some())]);
            }
        }
        self.tracks.iter_mut().map(|track| track.sum_up(seconds as f64)).collect()
    }
}

fn networks() -> Option<[Network; 2]> {
    let both = [Network::new()?, Network::new()?];
    both[0].connect(&both[1], NEAR, FAR).then_some(both)
}

fn in_network(setup: Setup, wrapper: &[String]) -> Setup {
    let words: Vec<_> = wrapper.iter().map(String::as_str).collect();
    setup.with_wrapper(&words)
}

impl Track {
    fn step(&self) {
        if let (Some(later), Some(relays)) = (self.scenario.later, &self.relays) {
            relays.iter().for_each(|relay| relay.change(later));
        }
    }

    fn read(&mut self, truth: &VirtualClock) {
        let (daemon, begun) = &self.ours;
        if let Some(report) = daemon.report() {
            // Both pages at one instant: no reading of the host's wall clock is involved.
            let at_s = begun.elapsed().as_secs_f64();
            let now = clock::raw();
            let clock_s = (daemon.setup().virtual_clock().shown_at(now) - truth.shown_at(now)) as f64 * 1e-9;
            let number = |name: &str| report[name].as_f64().unwrap_or(f64::INFINITY);
            self.readings[0].push(Reading {
                at_s,
                clock_s,
                estimate_s: clock_s + number("offset_s"),
                bound_s: number("error_bound_s"),
                synchronised: report["synchronised"] == true,
            });
        }
        if let Some((chronyd, begun)) = &mut self.theirs
            && let Some(tracking) = chronyd.tracking()
        {
            let clock_s = (tracking.clock - truth.shown_at(tracking.raw)) as f64 * 1e-9;
            self.readings[1].push(Reading {
                at_s: begun.elapsed().as_secs_f64(),
                clock_s,
                estimate_s: clock_s,
                bound_s: tracking.distance_s,
                synchronised: tracking.synchronised,
            });
        }
    }

    fn sum_up(&mut self, seconds: f64) -> Result<Round, String> {
        let name = self.scenario.name;
        let daemon = &self.ours.0;
        let own = || daemon.sources().iter().filter_map(|source| source["sent"].as_u64()).sum();
        let traffic = |client: usize| {
            let relay = self.relays.as_ref().map(|relays| &relays[client]);
            relay.map(|relay| (relay.passed()[0], relay.lateness()))
        };
        let right_s = self.scenario.right_s;
        let ours = traffic(0).unwrap_or_else(|| (own(), Duration::ZERO));
        let ours = Figures::of(&self.readings[0], seconds, right_s, ours);
        if ours.readings == 0 {
            return Err(format!("{name}: truechimerd was never heard; it said:\n{}", daemon.log()));
        }
        let theirs = traffic(1);
        let theirs = self.theirs.as_mut().map(|(chronyd, _)| {
            let theirs = theirs.unwrap_or_else(|| (chronyd.sent().unwrap_or(0), Duration::ZERO));
            Figures::of(&self.readings[1], seconds, right_s, theirs)
        });
        Ok(Round { ours, theirs })
    }
}
