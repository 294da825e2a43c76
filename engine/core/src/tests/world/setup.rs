//! How a world begins.

use super::*;
use crate::recording::Tape;

pub fn address(text: &str) -> Address {
    text.parse::<SocketAddr>().unwrap().into()
}

pub fn source(address: Address) -> SourceSettings {
    SourceSettings::of(address.socket_address().to_string(), Place::Address(address))
}

pub fn server(n: usize, fixed: f64, jitter: f64) -> Server {
    Server {
        address: address(&std::format!("192.0.2.{}:123", n + 1)),
        up: true,
        error: 0.0,
        drift: 0.0,
        fixed,
        forward: jitter,
        back: jitter,
        edit: None,
        forged: Rejected::NONE,
        nts: None,
        keyed: None,
        obstacle: None,
        version5: None,
        interleaves: None,
        aside: false,
    }
}

/// `count` servers at 90 µs + 10 µs·Exp(1) each way.
pub fn lan(count: usize) -> Vec<Server> {
    (0..count).map(|n| server(n, 90e-6, 10e-6)).collect()
}

/// `count` servers at 19 ms + 1 ms·Exp(1) each way.
pub fn wan(count: usize) -> Vec<Server> {
    (0..count).map(|n| server(n, 19e-3, 1e-3)).collect()
}

pub fn settings(servers: &[Server]) -> Settings {
    Settings {
        sources: servers
            .iter()
            .map(|server| match (&server.nts, &server.keyed) {
                (Some(_), _) => nts_source(server),
                (None, Some(keyed)) => {
                    SourceSettings { key: Some(keyed.key.clone()), ..source(server.address) }
                }
                (None, None) => source(server.address),
            })
            .collect(),
        clock: ClockSettings::DEFAULT,
        forward_step: None,
        leap_seconds: true,
        leap_list: None,
        strict_quorum: false,
        roughtime: None,
        server: Some(ServerSettings { local: None, listen: std::vec![], nts: false, version5: false }),
    }
}

/// How a world begins.
pub struct Setup {
    pub servers: Vec<Server>,
    pub settings: Settings,
    pub kind: ClockKind,
    /// How far the clock is ahead, seconds.
    pub error: f64,
    /// Of CLOCK_MONOTONIC_RAW.
    pub frequency: f64,
    /// Of the virtual clock's oscillator, ppm.
    pub oscillator: i32,
    pub wander: f64,
    pub saved: Option<Saved>,
    /// The governor's earliest plausible time, nanoseconds since 1970.
    pub floor: i64,
    /// Base frequency of an earlier run, and half the width of the governor's band around 0; ppm.
    pub base: i32,
    pub band: i32,
    pub seed: u64,
    /// What the governor grants in this boot.
    pub start_steps: u8,
    /// Each query ends at once, for this reason.
    pub obstacle: Option<Silence>,
    pub kept: Vec<SavedAssociation>,
    pub addresses: Vec<KeptAddresses>,
    /// Roughtime servers.
    pub signers: Vec<SigningServer>,
}

impl Setup {
    pub fn of(servers: Vec<Server>) -> Self {
        Self {
            settings: settings(&servers),
            servers,
            kind: ClockKind::Kernel,
            error: 0.1,
            frequency: 50e-6,
            oscillator: 0,
            wander: 1e-9,
            saved: None,
            floor: FLOOR,
            base: 0,
            band: 500,
            seed: 1,
            start_steps: 3,
            obstacle: None,
            kept: Vec::new(),
            addresses: Vec::new(),
            signers: Vec::new(),
        }
    }

    pub fn start(self) -> World {
        self.start_on(None)
    }

    /// The same, recorded.
    pub fn start_on(self, tape: Option<Box<dyn Tape>>) -> World {
        let wall = WallTime::saturating(BEGIN + (self.error * 1e9) as i64);
        let page = ClockPage {
            oscillator: Frequency::saturating(self.oscillator * Frequency::PER_PPM),
            generation: 1,
            ..ClockPage::free_running(wall, RawInstant::saturating(RAW_BEGIN as i64))
        };
        let start = Start {
            settings: self.settings,
            saved: self.saved,
            associations: self.kept,
            addresses: self.addresses,
            seed: [self.seed as u8; 32],
            precision: -24,
        };
        let mut world = World {
            engine: Recorder::new(start, tape),
            servers: self.servers,
            signers: self.signers,
            rounds: Vec::new(),
            proofs: Vec::new(),
            anchors: Vec::new(),
            page,
            random: Random::new(self.seed),
            random_aside: Random::new(self.seed ^ 0x5555),
            late_t1: false,
            obstacle: self.obstacle,
            local: ipc::address::Address::NONE,
            frequency: self.frequency,
            wander: self.wander,
            time: BEGIN,
            segment: (BEGIN, RAW_BEGIN),
            queue: Vec::new(),
            sequence: 0,
            tokens: 8.0,
            refilled: BEGIN,
            epoch: 1,
            start_steps: self.start_steps,
            any_start: true,
            permits: false,
            step_refusal: None,
            adjust_refusal: None,
            status_refusal: None,
            pages: Vec::new(),
            adjusts: Vec::new(),
            steps: Vec::new(),
            statuses: Vec::new(),
            tais: Vec::new(),
            told_at: None,
            served: Vec::new(),
            reference_ids: Vec::new(),
            saved: Vec::new(),
            resolves: Vec::new(),
            refused: Vec::new(),
            notices: Vec::new(),
            distrust: None,
            queries: Vec::new(),
            exchanges: Vec::new(),
            kept: Vec::new(),
            writes: 0,
            cancelled: Vec::new(),
            errors: Vec::new(),
        };
        let welcome = Welcome {
            epoch: 1,
            clock: self.kind,
            found: world.reading(),
            floor: WallTime::saturating(self.floor),
            latest: WallTime::saturating(LATEST),
            start_steps: self.start_steps,
            base_frequency: Frequency::saturating(self.base * Frequency::PER_PPM),
            band: Frequency::saturating(self.band * Frequency::PER_PPM),
            band_centre: Frequency::ZERO,
            processes: ipc::process::PerProcess::default(),
            pauses: Default::default(),
            marker: None,
        };
        world.give(Input::Welcome(welcome));
        world
    }
}
