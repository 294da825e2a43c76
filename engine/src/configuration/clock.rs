//! `[clock]` and `[governor]`.

use super::document::{Faults, Section};
use super::keys;
use super::profile_name;
use super::source::span;
use super::words::{nearest, shorten};
use engine_core::settings::{ClockSettings, SourceSettings};
use ipc::message::privileged::Profile;
use ipc::units::{Frequency, Span};

/// `[clock]`, defaults filled in.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What the engine alone decides by.
    pub settings: ClockSettings,
    /// Largest step forward without evidence; none: never.
    pub forward_step: Option<Span>,
    /// Whether leap seconds are passed on.
    pub leap_seconds: bool,
    /// Whether the system's list of leap seconds is used; none: unless sources are known to smear.
    pub leap_list: Option<bool>,
    /// The frequency correction to begin with where this host has learned none.
    pub initial_frequency: Option<Frequency>,
}

/// The bound of the profile attested where the configuration has none.
const ATTESTED: Span = Span::from_millis(100);

/// Reads `[clock]`; what it does not say is the default.
pub fn read_clock(
    root: &Section<'_>,
    (profile, is_attested): (Profile, bool),
    (sources, uses_dhcp): (&[SourceSettings], bool),
    faults: &mut Faults<'_>,
) -> Clock {
    let mut clock = Clock {
        settings: match is_attested {
            true => ClockSettings {
                attested: true,
                minimum_sources: 2,
                require_nts: true,
                max_error: Some(ATTESTED),
                ..ClockSettings::DEFAULT
            },
            false => ClockSettings::DEFAULT,
        },
        forward_step: None,
        leap_seconds: profile == Profile::Standard,
        leap_list: None,
        initial_frequency: None,
    };
    let Some(section) = root.table("clock", "[clock]", faults) else { return clock };
    section.refuse_unknown(&keys::CLOCK, faults);

    let most = sources.iter().map(|source| u32::from(source.members)).sum::<u32>();
    let least = i64::from(clock.settings.minimum_sources);
    if let Some(number) = section.whole("minimum-sources", least..=32, least, faults) {
        clock.settings.minimum_sources = u8::try_from(number).unwrap_or(1);
        if u32::from(clock.settings.minimum_sources) > most && most > 0 {
            let there = if most == 1 { "1 source is" } else { &format!("{most} sources are") };
            let text = format!(
                "minimum-sources: asks for {number} sources that agree, but {there} configured; add sources, or lower it"
            );
            faults.add(section.place_of("minimum-sources"), text);
        }
    }
    if let Some(seconds) = section.number("start-step-threshold", 0.0..=86_400.0, "seconds", "0.010", faults)
    {
        clock.settings.start_step_threshold = span(seconds);
    }
    clock.settings.run_step_threshold = read_run_step(&section, profile, faults);
    clock.forward_step = read_forward_step(&section, profile, faults);
    if let Some(ppm) = section.number("max-slew-ppm", 1.0..=500.0, "ppm", "200", faults) {
        clock.settings.max_slew_ppm = ppm;
    }
    if let Some(seconds) = section.number("max-distance", 0.01..=16.0, "seconds", "3.0", faults) {
        clock.settings.max_distance = span(seconds);
    }
    let most = section.number("max-jitter", 0.000_001..=16.0, "seconds", "0.1", faults);
    clock.settings.max_jitter = most.map(span);
    if let Some(seconds) = section.number("max-error", 0.000_001..=16.0, "seconds", "0.1", faults) {
        clock.settings.max_error = Some(span(seconds));
    }
    // The widest band of the governor, which judges what is ordered by it as anything else.
    let initial = section.number("initial-frequency-ppm", -1000.0..=1000.0, "ppm", "12.5", faults);
    let scaled = |ppm: f64| (ppm * f64::from(Frequency::PER_PPM)).round() as i32;
    clock.initial_frequency = initial.map(|ppm| Frequency::saturating(scaled(ppm)));
    if let Some(leap) = section.boolean("leap-seconds", faults) {
        clock.leap_seconds = leap;
    }
    clock.leap_list = section.boolean("leap-seconds-list", faults);
    if let Some(clockbound) = section.boolean("clockbound", faults) {
        clock.settings.clockbound = clockbound;
    }
    if let Some(require) = section.boolean("require-nts", faults) {
        clock.settings.require_nts = require || is_attested;
        if is_attested && !require {
            let text = "require-nts: in the profile attested it is always so; leave it out".to_owned();
            faults.add(section.place_of("require-nts"), text);
        }
        let has_sources = uses_dhcp || !sources.is_empty();
        if require && has_sources && sources.iter().all(|source| source.nts.is_none()) {
            let text = "require-nts: no [[source]] has mode = \"nts\", so the clock would never be moved; add one, \
                        or leave require-nts out";
            faults.add(section.place_of("require-nts"), text);
        }
    }
    clock
}

fn read_run_step(section: &Section<'_>, profile: Profile, faults: &mut Faults<'_>) -> Option<Span> {
    const KEY: &str = "run-step-threshold";
    if section.is_text(KEY) {
        let (at, text) = section.text(KEY, "never", faults)?;
        if text != "never" {
            let text = format!(
                "{KEY}: expected \"never\" or a number of seconds, found the text \"{}\"; \
                 write {KEY} = \"never\" or {KEY} = 0.5",
                shorten(text)
            );
            faults.add(at, text);
        }
        return None;
    }
    let seconds = section.number(KEY, 0.000_001..=1.0, "seconds", "\"never\"", faults)?;
    if profile == Profile::Strict {
        let text = format!(
            "{KEY}: the strict profile allows no step while running; write {KEY} = \"never\", \
             or profile = \"standard\" in [governor]"
        );
        faults.add(section.place_of(KEY), text);
    }
    Some(span(seconds))
}

fn read_forward_step(section: &Section<'_>, profile: Profile, faults: &mut Faults<'_>) -> Option<Span> {
    const KEY: &str = "allow-forward-steps";
    let seconds = section.number(KEY, 2.0..=2_592_000.0, "seconds", "86400.0, or leave it out", faults)?;
    if profile == Profile::Strict {
        let text = format!(
            "{KEY}: the strict profile allows no step that nothing on this host confirms; leave {KEY} out, \
             or write profile = \"standard\" in [governor]"
        );
        faults.add(section.place_of(KEY), text);
    }
    Some(span(seconds))
}

/// Reads `[governor]`; `standard` if the section is absent.
pub fn read_governor(root: &Section<'_>, faults: &mut Faults<'_>) -> (Profile, bool) {
    const NONE: (Profile, bool) = (Profile::Standard, false);
    let Some(section) = root.table("governor", "[governor]", faults) else { return NONE };
    section.refuse_unknown(&keys::GOVERNOR, faults);
    let Some((at, text)) = section.text("profile", "standard", faults) else { return NONE };
    match text {
        "standard" => NONE,
        "strict" => (Profile::Strict, false),
        "attested" => (Profile::Strict, true),
        other => {
            let names = [(Profile::Standard, false), (Profile::Strict, false), (Profile::Strict, true)];
            let names = names.map(|(profile, is_attested)| profile_name(profile, is_attested));
            let near = nearest(other, &names).unwrap_or("standard");
            let text = format!(
                "profile: expected \"standard\", \"strict\" or \"attested\", found \"{}\"; write profile = \"{near}\"",
                shorten(other)
            );
            faults.add(at, text);
            NONE
        }
    }
}

/// Refuses what the profile attested excludes: whatever decides beside authenticated sources of two operators.
pub fn refuse_unattested(
    root: &Section<'_>,
    (deciding, uses_dhcp): (&[SourceSettings], bool),
    faults: &mut Faults<'_>,
) {
    let at = root.place_of("source");
    for source in deciding {
        let name = &source.name;
        if source.nts.is_none() {
            let text = format!(
                "[[source]] {name}: in the profile attested each source that decides is authenticated; write mode = \"nts\", \
                 or noselect = true to measure it only"
            );
            faults.add(at, text);
        }
        if source.trust {
            let text = format!(
                "[[source]] {name}: trust would let it decide alone, which the profile attested excludes; leave trust out"
            );
            faults.add(at, text);
        }
    }
    let nts: Vec<_> = deciding.iter().filter(|source| source.nts.is_some()).collect();
    let is_one = nts.iter().all(|source| source.place.is_same_host(&nts[0].place));
    if nts.len() < 2 || is_one {
        let text = "profile: attested wants sources of at least two operators with mode = \"nts\"; add them";
        faults.add(root.place_of("governor"), text);
    }
    if uses_dhcp {
        let text = "[dhcp]: a lease is not authenticated, which the profile attested wants; leave [dhcp] out";
        faults.add(root.place_of("dhcp"), text);
    }
}
