//! A day as data. `scenarios/*.toml` is the catalogue; a file of the same form can be given by name.

use crate::trace::Trace;
use ipc::governor_record::Record;
use serde::Deserialize;

/// The groups of the catalogue: the accuracy page's rows, further days, attacks, first minutes, oscillators that are far off,
/// clocks that stood still, starts in a burst of delay, paths that become longer and shorter again, weeks of them, days that try the
/// likely interval, paths that were measured.
const GROUPS: [&str; 11] =
    ["accuracy", "own", "attacks", "starts", "fast", "still", "bursts", "paths", "weeks", "likely", "traces"];
const CATALOGUE: [&str; GROUPS.len()] = [
    include_str!("../scenarios/accuracy.toml"),
    include_str!("../scenarios/own.toml"),
    include_str!("../scenarios/attacks.toml"),
    include_str!("../scenarios/starts.toml"),
    include_str!("../scenarios/fast.toml"),
    include_str!("../scenarios/still.toml"),
    include_str!("../scenarios/bursts.toml"),
    include_str!("../scenarios/paths.toml"),
    include_str!("../scenarios/weeks.toml"),
    include_str!("../scenarios/likely.toml"),
    include_str!("../scenarios/traces.toml"),
];

/// One kind of day. Times in seconds unless the name says otherwise.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// Its description.
    #[serde(default)]
    pub about: String,
    /// Its length in days.
    #[serde(default = "one")]
    pub days: f64,
    /// Random walk of the oscillator's frequency, s/s per √s.
    #[serde(default = "w9")]
    pub wander: f64,
    /// Frequency error at the start, ppm; positive: the counter runs fast.
    #[serde(default = "fifty")]
    pub frequency_ppm: f64,
    /// Daily swing of the temperature: amplitude in ppm.
    #[serde(default)]
    pub swing_ppm: f64,
    /// Its period in hours.
    #[serde(default = "day")]
    pub swing_hours: f64,
    /// How far the clock is ahead at the start.
    #[serde(default = "tenth")]
    pub offset: f64,
    /// Saved frequency correction and its stated standard deviation, ppm.
    pub saved_ppm: Option<[f64; 2]>,
    /// Fixed poll exponent.
    pub poll: Option<i8>,
    /// Shortest and longest poll exponent, if not 6 to 10.
    pub polls: Option<[i8; 2]>,
    /// The number of sources that must agree.
    #[serde(default = "one_source")]
    pub minimum_sources: u8,
    /// Sources that never answered count for longer, as in the strict profile.
    #[serde(default)]
    pub strict_quorum: bool,
    /// The governor's record was lost before: it knows no oscillator, and there is no search.
    #[serde(default)]
    pub lost_record: bool,
    /// The governor's record at the start; none: it is born, or was lost.
    #[serde(skip)]
    pub record: Option<Box<Record>>,
    /// The strict profile.
    #[serde(default)]
    pub strict: bool,
    /// The machine has a battery-backed clock.
    #[serde(default)]
    pub rtc: bool,
    /// The hypervisor has vmclock, and changes its marker at the end of each pause.
    #[serde(default)]
    pub vmclock: bool,
    /// The operator allows steps forward of at most this, without evidence.
    pub forward: Option<f64>,
    /// The day begins twelve hours before the end of a day that may have a leap second.
    #[serde(default)]
    pub leap_day: bool,
    /// A leap second (±1) comes then.
    #[serde(default)]
    pub leap: i8,
    /// The figures count from here on.
    #[serde(default = "settled")]
    pub from: f64,
    /// "First" is the first second with an error below this.
    #[serde(default = "ten_milliseconds")]
    pub first: f64,
    /// All statements of the sources are true, except for the `error` given here: the bound must hold.
    #[serde(default = "yes")]
    pub honest: bool,
    /// chrony 4.8+ on this day: time RMS in µs, frequency RMS in ppm, packets.
    pub chrony: Option<[f64; 3]>,
    /// The required time RMS in µs, if it is not half of chrony's.
    pub goal: Option<f64>,
    /// The clock's error must never be larger after `from`.
    pub worst: Option<f64>,
    /// The states of the sources at the end.
    #[serde(default)]
    pub states: Vec<String>,
    /// The sources.
    #[serde(default = "one_wan")]
    pub source: Vec<Path>,
    /// The events.
    #[serde(default)]
    pub event: Vec<Event>,
}

/// A source and the way to it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Path {
    /// `lan`, `wan` or `bad`: where the numbers below start from.
    #[serde(default = "wan")]
    pub kind: String,
    /// Measured delays instead of a kind's (`data/README.md`). Numbers below that are given are added to them.
    pub trace: Option<String>,
    /// This many of the same kind; of one trace, all have the same delays, but for those drawn.
    #[serde(default = "one_path")]
    pub count: usize,
    /// Each way, at least; ms.
    pub fixed_ms: Option<f64>,
    /// Mean of the additional delay, each way; ms.
    pub jitter_ms: Option<f64>,
    /// On the way there, more; ms.
    #[serde(default)]
    pub there_ms: f64,
    /// On the way back, more; ms.
    #[serde(default)]
    pub back_ms: f64,
    /// Jitter on the way there, more; ms.
    #[serde(default)]
    pub there_jitter_ms: f64,
    /// Jitter on the way back, more; ms.
    #[serde(default)]
    pub back_jitter_ms: f64,
    /// `exponential`, `heavy` (Pareto 2.5), `gamma` (sum of four) or `spikes` (1 in 20 is 30 times as long).
    #[serde(default = "exponential")]
    pub law: String,
    /// Loss of packets, each way.
    #[serde(default)]
    pub loss: f64,
    /// Standard deviation of the server's stamps, µs.
    #[serde(default)]
    pub stamps_us: f64,
    /// How far the server's clock is ahead.
    #[serde(default)]
    pub error: f64,
    /// How fast that grows, ppm.
    #[serde(default)]
    pub drift_ppm: f64,
    /// Stratum.
    #[serde(default = "stratum")]
    pub stratum: u8,
    /// Reference id that several share.
    pub upstream: Option<u32>,
    /// Sources of one number share a /24.
    pub subnet: Option<u8>,
    /// As in the configuration.
    #[serde(default)]
    pub prefer: bool,
    /// As in the configuration.
    #[serde(default)]
    pub trust: bool,
    /// As in the configuration.
    #[serde(default)]
    pub require: bool,
    /// Its replies are authenticated.
    #[serde(default)]
    pub authenticated: bool,
    /// It is configured by a name, not by its address.
    #[serde(default)]
    pub name: bool,
    /// It does not answer, until an event changes this.
    #[serde(default)]
    pub silent: bool,
    /// It announces a leap second (±1), whatever the day.
    #[serde(default)]
    pub announces: i8,
    /// It smears the leap second over the 24 hours before it.
    #[serde(default)]
    pub smears: bool,
    /// It answers each query with this kiss code.
    pub kiss: Option<String>,
}

/// Something that happens at one moment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Event {
    /// Seconds from the start.
    pub at: f64,
    /// It happens again, each time so many seconds later.
    pub every: Option<f64>,
    /// Until it has happened so many times.
    #[serde(default = "once")]
    pub times: u32,
    /// The source concerned; `None`: all.
    pub source: Option<usize>,
    /// The oscillator's frequency jumps by this many ppm.
    pub frequency_ppm: Option<f64>,
    /// The way there becomes this much longer (or shorter), ms.
    pub there_ms: Option<f64>,
    /// The way back.
    pub back_ms: Option<f64>,
    /// From now on each packet takes longer on the way there, by something between these, ms; both 0: no more.
    pub there_burst_ms: Option<[f64; 2]>,
    /// On the way back.
    pub back_burst_ms: Option<[f64; 2]>,
    /// Such a delay is that of a queue, which all sources share: it lasts for so long, s; 0: each packet has its own.
    pub burst_holds: Option<f64>,
    /// The jitter becomes this many times as large.
    pub jitter_times: Option<f64>,
    /// The source answers, or does not.
    pub up: Option<bool>,
    /// The server's clock moves by this much.
    pub error: Option<f64>,
    /// It drifts by this much, ppm.
    pub drift_ppm: Option<f64>,
    /// The way there becomes longer by this much with each poll, ms.
    pub ramp_ms: Option<f64>,
    /// The machine sleeps.
    pub sleep: Option<f64>,
    /// The machine stands still, and nothing in it knows of that but the battery-backed clock.
    pub pause: Option<f64>,
    /// Another program moves the clock.
    pub meddle: Option<f64>,
    /// Somebody on the path lets only those replies pass which say that a right clock is behind (1) or ahead (-1), or the
    /// same of the host's clock (2, -2); 0: all.
    pub chosen: Option<i8>,
    /// Kiss code from now on; empty: none.
    pub kiss: Option<String>,
    /// The daemon ends and is started again, in the same boot.
    #[serde(default)]
    pub restart: bool,
    /// The machine is off for so long, and boots. The clock then shows the time that has passed since on top of what it
    /// showed, unless `clock` says otherwise.
    pub reboot: Option<f64>,
    /// How far ahead the clock is after that boot.
    pub clock: Option<f64>,
    /// Names resolve from now on, or do not.
    pub names: Option<bool>,
    /// The source has another address from now on, which its name gives.
    #[serde(default)]
    pub moved: bool,
}

impl Event {
    /// Each time that it happens.
    fn each(&self) -> impl Iterator<Item = Self> {
        let every = self.every.unwrap_or(0.0);
        let times = if self.every.is_some() { self.times } else { 1 };
        (0..times).map(move |time| Self { at: self.at + every * f64::from(time), ..self.clone() })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    scenario: Vec<Scenario>,
}

/// All scenarios of the catalogue, in its order.
pub fn catalogue() -> Vec<Scenario> {
    CATALOGUE
        .iter()
        .flat_map(|text| parse(text).unwrap_or_else(|error| panic!("the catalogue is broken: {error}")))
        .collect()
}

/// Scenarios from a text in TOML: `[[scenario]]`, with `[[scenario.source]]` and `[[scenario.event]]`.
///
/// # Errors
/// The error of TOML, with its line; a trace that is not known.
pub fn parse(text: &str) -> Result<Vec<Scenario>, String> {
    let mut file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    for scenario in &mut file.scenario {
        let unknown = |name: &&String| Trace::find(name).is_none();
        if let Some(name) = scenario.source.iter().filter_map(|path| path.trace.as_ref()).find(unknown) {
            return Err(format!("there is no trace {name}, but {}", Trace::names().join(", ")));
        }
        let events = core::mem::take(&mut scenario.event);
        scenario.event = events.iter().flat_map(Event::each).collect();
        scenario.event.sort_by(|a, b| a.at.total_cmp(&b.at));
    }
    Ok(file.scenario)
}

/// One scenario, or all of a group: `accuracy`, `own`, `attacks`, `starts`, `fast`, `still`, `bursts`, `paths`,
/// `likely`, `traces`.
pub fn find(name: &str) -> Vec<Scenario> {
    let group = GROUPS.iter().position(|group| *group == name);
    match group {
        Some(at) => parse(CATALOGUE[at]).unwrap_or_default(),
        None => catalogue().into_iter().filter(|scenario| scenario.name == name).collect(),
    }
}

fn one() -> f64 {
    1.0
}
fn w9() -> f64 {
    1e-9
}
fn fifty() -> f64 {
    50.0
}
fn day() -> f64 {
    24.0
}
fn tenth() -> f64 {
    0.1
}
fn settled() -> f64 {
    14_400.0
}
fn ten_milliseconds() -> f64 {
    0.010
}
fn yes() -> bool {
    true
}
fn once() -> u32 {
    1
}
fn one_source() -> u8 {
    1
}
fn one_path() -> usize {
    1
}
fn stratum() -> u8 {
    1
}
fn wan() -> String {
    "wan".into()
}
fn exponential() -> String {
    "exponential".into()
}
fn one_wan() -> Vec<Path> {
    toml::from_str::<Path>("").into_iter().collect()
}
