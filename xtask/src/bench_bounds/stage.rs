//! One scenario: two networks, servers in one of them, both daemons in the other one, and the reading of their pages.

use super::scenario::{Event, LIE, PAUSE, Scenario};
use super::tally::Tally;
use bench::clock;
use bench::clockbound::{Client, Daemon as ClockBound};
use bench::daemon::{Daemon, Setup};
use bench::forger::Forger;
use bench::netns::Network;
use bench::packet::Header;
use bench::process::Process;
use bench::programs::{Place, wait_for};
use bench::vmclock;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use truechimer_time::TimePage;

/// Where ClockBound expects Amazon's own servers, if it takes the machine for one of theirs.
const AMAZON: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 123);
const HONEST: [Ipv4Addr; 3] =
    [Ipv4Addr::new(10, 77, 0, 11), Ipv4Addr::new(10, 77, 0, 12), Ipv4Addr::new(10, 77, 0, 13)];
const LIAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 14);
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const NTP: u16 = 123;
/// 1 ms and 15 µs in units of 2^-16 s.
const USUAL: u32 = 66;
const EXACT: u32 = 1;
/// Each daemon has heard each of its servers three times by then.
const SETTLE: Duration = Duration::from_secs(50);
const TIMEOUT: Duration = Duration::from_secs(180);
/// Questions in a row, and the time between two rows.
const ROW: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(50);

/// Everything that runs in a scenario.
pub struct Stage {
    scenario: &'static Scenario,
    /// True time minus the host's, nanoseconds.
    truth: Arc<AtomicI64>,
    lie: Arc<AtomicI64>,
    vmclock: Option<PathBuf>,
    ours: Daemon,
    page: TimePage,
    theirs: ClockBound,
    client: Client,
    #[expect(dead_code, reason = "they last as long as their owner")]
    held: (Vec<Forger>, [Network; 2], Place),
}

impl Stage {
    /// Starts everything.
    pub fn set(scenario: &'static Scenario) -> Result<Self, String> {
        let networks = networks().ok_or("network namespaces need root and the program ip")?;
        let (truth, lie) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
        if scenario.lies_at_once {
            lie.store(LIE, Ordering::SeqCst);
        }
        let amazon = Some(AMAZON).filter(|_| scenario.has_vmclock);
        let honest: Vec<Ipv4Addr> = HONEST.into_iter().chain(amazon).collect();
        let servers: Vec<Ipv4Addr> =
            honest.iter().copied().chain(scenario.has_liar.then_some(LIAR)).collect();
        let forgers = servers.iter().map(|address| {
            let (truth, lie) = (Arc::clone(&truth), Arc::clone(&lie));
            let is_liar = *address == LIAR;
            let own_clock = move |wall: i64| {
                let lie = if is_liar { lie.load(Ordering::SeqCst) } else { 0 };
                wall + truth.load(Ordering::SeqCst) + lie
            };
            let distance = if is_liar { EXACT } else { USUAL };
            let exact = move |header: &mut Header| {
                (header.root_delay, header.root_dispersion) = (distance, distance);
            };
            networks[1].within(|| {
                Forger::start_at((*address, NTP).into(), own_clock, move |request| vec![request.with(exact)])
            })
        });
        let forgers: Vec<Forger> = forgers.collect();
        let place = Place::new("bounds");
        let page = scenario.has_vmclock.then(|| place.join("vmclock"));
        if let Some(page) = &page {
            vmclock::create(page, &vmclock::page(2, 1));
        }
        let addresses: Vec<IpAddr> = servers
            .iter()
            .filter(|address| Some(**address) != amazon)
            .map(|address| (*address).into())
            .collect();
        let theirs = ClockBound::start(&networks[0], &addresses, page.as_deref());
        let theirs = theirs.ok_or("ClockBound's daemon is missing")?;
        let ours = setup(&servers, page.as_deref()).within(&networks[0]).start();
        let own = ours.setup().place().join("run/time");
        let opened = TimePage::open_at(&own).and_then(|opened| match &page {
            Some(page) => opened.with_vmclock(page),
            None => Ok(opened),
        });
        let own_page = opened.map_err(|error| format!("{}: {error}", own.display()))?;
        let client = wait_for(TIMEOUT, || {
            let mut client = Client::start("3", &theirs.segment("shm1"), ROW, page.as_deref())?;
            client.answers()?.iter().all(Result::is_ok).then_some(client)
        });
        let client = client.ok_or_else(|| format!("ClockBound's client has no answer:\n{}", theirs.log()))?;
        let held = (forgers, networks, place);
        Ok(Self { scenario, truth, lie, vmclock: page, ours, page: own_page, theirs, client, held })
    }

    /// Waits until both tell the time and have settled, has the event happen, and reads for this long.
    pub fn play(mut self, seconds: u64) -> Result<[Tally; 2], String> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let mut tallies = [Tally::default(), Tally::default()];
            self.read(&mut tallies, 0.0)?;
            if tallies.iter().all(|tally| tally.none == 0) {
                break;
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "{}: no time after {TIMEOUT:?}: {tallies:?}\nours:\n{}\nClockBound's:\n{}",
                    self.scenario.name,
                    self.ours.log(),
                    self.theirs.log()
                ));
            }
            std::thread::sleep(BETWEEN);
        }
        std::thread::sleep(SETTLE);
        self.happen();
        let begun = Instant::now();
        let mut tallies = [Tally::default(), Tally::default()];
        while begun.elapsed() < Duration::from_secs(seconds) {
            self.read(&mut tallies, begun.elapsed().as_secs_f64())?;
            std::thread::sleep(BETWEEN);
        }
        Ok(tallies)
    }

    fn happen(&mut self) {
        match self.scenario.event {
            Event::None => {}
            Event::Lie => self.lie.store(LIE, Ordering::SeqCst),
            Event::Kill => {
                self.ours.processes().iter().for_each(Process::kill);
                self.ours.wait_for_end(TIMEOUT);
                self.theirs.kill();
            }
            Event::Pause => {
                if let Some(page) = &self.vmclock {
                    vmclock::show(page, &vmclock::page(4, 2));
                }
                self.truth.fetch_add(PAUSE, Ordering::SeqCst);
            }
        }
    }

    fn read(&mut self, [ours, theirs]: &mut [Tally; 2], at_s: f64) -> Result<(), String> {
        let truth = self.truth.load(Ordering::SeqCst);
        for _ in 0..ROW {
            let before = clock::wall();
            let said = self.page.now();
            let after = clock::wall();
            match said {
                Ok(it) => ours.interval((it.earliest, it.latest), (before + truth, after + truth), at_s),
                Err(_) => ours.nothing(),
            }
        }
        for answer in self.client.ask().ok_or("ClockBound's client has ended")? {
            match answer {
                Ok(it) if it.is_promise() => {
                    theirs.interval((it.earliest, it.latest), (it.before + truth, it.after + truth), at_s);
                }
                _ => theirs.nothing(),
            }
        }
        Ok(())
    }
}

fn networks() -> Option<[Network; 2]> {
    let both = [Network::new()?, Network::new()?];
    let words =
        |address: &Ipv4Addr| ["addr", "add", &format!("{address}/24"), "dev", "far"].map(str::to_owned);
    let is_made = both[0].connect(&both[1], NEAR, FAR)
        && HONEST.iter().chain([&LIAR, &AMAZON]).all(|address| {
            let words = words(address);
            both[1].ip(&words.each_ref().map(String::as_str))
        })
        && both[0].ip(&["route", "add", "169.254.0.0/16", "dev", "near"]);
    is_made.then_some(both)
}

/// With ClockBound's interval between two queries.
fn setup(servers: &[Ipv4Addr], vmclock: Option<&Path>) -> Setup {
    let source = |server: &Ipv4Addr| {
        format!("[[source]]\naddress = \"{server}\"\nmin-poll = 4\nmax-poll = 4\nburst = true\n")
    };
    let configuration: String = servers.iter().map(source).collect();
    let setup = Setup::new("bounds", &configuration).with_virtual_clock(0, 0.0);
    match vmclock {
        Some(page) => setup.with_argument("--vmclock").with_argument(&page.display().to_string()),
        None => setup,
    }
}
