//! What people are told, and why.

use super::Engine;
use crate::entries::Entry;
use crate::io::Now;
use crate::notice::sources;
use crate::nts::Association;
use crate::sanity::RejectReason;
use crate::select::{Impasse, Standing};
use crate::settings::Place;
use crate::source::Source;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use ipc::message::privileged::{ClockKind, Refusal};
use ipc::units::{Leap, RawInstant};
use report::{Report, SourceReport, SystemReport};

impl Engine {
    pub(super) fn describe(&self, now: Now) -> Report {
        Report {
            system: self.describe_system(now),
            sources: self
                .entries
                .iter()
                .flat_map(|entry| {
                    let nameless = entry.members.is_empty().then(|| self.describe_nameless(entry, now));
                    let members = entry.members.iter();
                    members.map(|source| self.describe_source(entry, source, now)).chain(nameless)
                })
                .collect(),
        }
    }

    fn describe_system(&self, now: Now) -> SystemReport {
        let (state, reason) = self.state(now);
        let synchronised = self.is_synchronised(now);
        let system = &self.system;
        let basis = self.basis.as_ref();
        let line = system.line.as_ref();
        let reference = line.map(|line| line.reference);
        let followed = reference.and_then(|reference| self.entries.source(reference.source));
        SystemReport {
            clock: match basis.map(|basis| basis.welcome.clock) {
                Some(ClockKind::Kernel) => "kernel",
                Some(ClockKind::Virtual) => "virtual",
                Some(ClockKind::None) | None => "none",
            },
            synchronised,
            state,
            reason,
            leap: match system.leap.leap() {
                _ if !synchronised => "unknown",
                Leap::Insert => "insert",
                Leap::Delete => "delete",
                Leap::None | Leap::Unknown => "none",
            },
            stratum: reference.filter(|_| synchronised).map_or(16, |r| r.stratum.saturating_add(1).min(16)),
            reference_id: format!("{:08x}", reference.map_or(0, |r| r.reference_id)),
            reference: followed.map_or(String::new(), |(entry, _)| entry.settings.name.clone()),
            offset_s: line.map_or(0.0, |line| line.offset(now)),
            estimated_error_s: line.map_or(16.0, |line| line.random_deviation(now.raw)),
            error_bound_s: line.map_or(16.0, |line| line.most_error(now)),
            slew_left_s: basis.map_or(0.0, |basis| basis.clock.slew_left(now.raw)),
            frequency_ppm: basis.map_or(0.0, |basis| basis.clock.frequency() * 1e6),
            frequency_error_ppm: line.map_or(500.0, |line| line.frequency().1 * 1e6),
            root_delay_s: reference.map_or(0.0, |r| r.root_delay),
            root_dispersion_s: line.map_or(16.0, |l| l.reference.root_dispersion + l.dispersion(now)),
            last_update_s: system.last_update.map(|at| seconds_since(now, at)),
            first_update_s: basis
                .and_then(|basis| Some(system.first_update?.since(basis.at).nanos() as f64 * 1e-9)),
            epoch: basis.map_or(0, |basis| basis.epoch),
            steps: system.steps,
            refusals: system.refusals,
            last_refusal: system.last_refusal.map_or("", Refusal::name).into(),
        }
    }

    /// One word and one sentence for the whole.
    fn state(&self, now: Now) -> (&'static str, String) {
        let heard = self.entries.sources().filter(|source| source.is_heard()).count();
        let system = &self.system;
        if system.held {
            let offset = system.line.as_ref().map_or(0.0, |line| line.offset(now));
            return ("refused", self.hold(offset).sentence());
        }
        let local = self.settings.server.as_ref().and_then(|server| server.local_stratum);
        if let Some(stratum) = local.filter(|_| self.entries.is_empty()) {
            return (
                "local",
                format!("no source is configured; this host serves its own time at stratum {stratum}"),
            );
        }
        if self.entries.is_empty() {
            return ("no-sources", "no source is configured; add a [[source]] to the configuration".into());
        }
        if !self.steers() && self.basis.is_some() {
            return ("unsteered", "there is no clock to steer; sources are only watched".into());
        }
        match system.impasse {
            Some(impasse @ (Impasse::NoMajority | Impasse::NoQuorum)) if !system.counted_unheard => {
                ("no-majority", self.stuck(impasse).sentence())
            }
            _ if system.first_update.is_none() && self.waits_for_a_quorum() => (
                "starting",
                "our clock is so far off that no certificate can be judged by it; two NTS sources of different operators \
                 have to agree on the time before it is set (or set it by hand)"
                    .into(),
            ),
            _ if system.first_update.is_none() && heard == 0 => {
                ("starting", format!("no source has answered yet: {}", self.asked().sentence()))
            }
            _ if system.first_update.is_none() => ("starting", self.progress(heard)),
            Some(impasse) => ("holdover", self.stuck(impasse).sentence()),
            None if !self.is_synchronised(now) => {
                ("starting", "the clock is being brought to the time of its sources".into())
            }
            None => {
                let used =
                    self.entries.sources().filter(|source| source.track.standing == Some(Standing::Survivor)).count();
                let of = self.entries.sources().count();
                let text = match of {
                    1 => "the clock follows its only source".into(),
                    _ if used == of => format!("the clock follows all of its {}", sources(of)),
                    _ => format!("the clock follows {used} of {}", sources(of)),
                };
                ("synchronised", text)
            }
        }
    }

    /// How far the first correction has come.
    fn progress(&self, heard: usize) -> String {
        let of = self.entries.sources().count().max(self.entries.len());
        let minimum = usize::from(self.settings.minimum_sources);
        let least =
            if minimum > 1 { format!(", and at least {minimum} (minimum-sources)") } else { String::new() };
        match of {
            1 if minimum <= 1 => {
                "the only source has answered, and its first replies are being measured".into()
            }
            1 => format!("the only source has answered, but minimum-sources asks for {minimum} that agree"),
            _ if heard == of => {
                format!("all {} have answered; more than half of them have to agree{least}", sources(of))
            }
            _ => format!(
                "{heard} of {} {} answered; more than half of them have to agree{least}",
                sources(of),
                if heard == 1 { "has" } else { "have" }
            ),
        }
    }

    /// A name without an address yet, or an address that another entry has.
    fn describe_nameless(&self, entry: &Entry, now: Now) -> SourceReport {
        let (settings, association) = (&entry.settings, entry.association());
        let reason = match settings.place {
            _ if association.is_some() => {
                association.map_or(String::new(), |association| keyless(association, now))
            }
            Place::Address(_) | Place::Name(..) if settings.nts.is_some() && self.basis.is_some() => {
                "another entry of the configuration has the same key exchange server".into()
            }
            Place::Name(..) => {
                let lookup = entry.lookup.as_ref();
                match lookup.and_then(|lookup| lookup.last) {
                    Some(why) => format!("its name is not resolved yet: {}", why.sentence()),
                    // All its addresses belong to other entries.
                    None if lookup.is_some_and(|lookup| lookup.was_answered()) => {
                        "the addresses of its name are those of other entries".into()
                    }
                    None => "its name is not resolved yet; it is being looked up".into(),
                }
            }
            Place::Address(_) if self.basis.is_none() => "the daemon is starting".into(),
            Place::Address(_) => "another entry of the configuration has the same address".into(),
        };
        SourceReport {
            name: settings.name.clone(),
            address: String::new(),
            state: "waiting",
            reason,
            authenticated: settings.nts.is_some(),
            nts: association.map(|association| association.report(now)),
            stratum: 16,
            reference_id: "00000000".into(),
            reach: 0,
            poll: settings.min_poll,
            next_poll_s: None,
            offset_s: None,
            offset_error_s: None,
            delay_s: None,
            jitter_s: None,
            root_distance_s: None,
            sent: 0,
            valid: 0,
            last_valid_s: None,
            rejected: BTreeMap::new(),
        }
    }

    fn describe_source(&self, entry: &Entry, source: &Source, now: Now) -> SourceReport {
        let (state, reason) = self.judge(entry, source, now);
        let opinion = source.opinion(now);
        SourceReport {
            name: entry.settings.name.clone(),
            address: source.address().socket_address().to_string(),
            state,
            reason,
            authenticated: source.authenticated,
            nts: entry.association().map(|association| association.report(now)),
            stratum: source.said.map_or(16, |facts| facts.stratum),
            reference_id: format!("{:08x}", source.said.map_or(0, |facts| facts.reference_id)),
            reach: source.asking.reach,
            poll: source.asking.poll.exponent(),
            next_poll_s: (!self.offline).then(|| -seconds_since(now, source.asking.next)),
            offset_s: opinion.map(|opinion| opinion.offset),
            offset_error_s: opinion.map(|opinion| libm::sqrt(opinion.estimate.variance)),
            delay_s: source.track.filter.minimum_delay(),
            jitter_s: opinion.map(|_| source.track.filter.jitter()),
            root_distance_s: opinion.map(|opinion| opinion.distance),
            sent: source.counters.sent,
            valid: source.counters.valid,
            last_valid_s: source.last_valid.map(|at| seconds_since(now, at)),
            rejected: RejectReason::ALL
                .iter()
                .map(|reason| (reason.name(), source.counters.rejected[*reason as usize]))
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
    }

    /// How much faster a source's clock runs than true time does by the others' word, s/s.
    fn beside(&self, frequency: f64) -> f64 {
        self.system.line.as_ref().map_or(0.0, |line| frequency - line.frequency().0)
    }

    /// A leap second that is spread over a day runs at 11.574 ppm beside true time, over 20 hours at 13.889.
    fn smear(&self, frequency: f64) -> &'static str {
        let ppm = self.beside(frequency).abs() * 1e6;
        let suspected = [11.574, 13.889].iter().any(|rate| (ppm - rate).abs() < 0.3);
        if suspected { " (smear suspected: it may be spreading a leap second)" } else { "" }
    }

    /// What there is to say of keys before anything else.
    fn judge_association(&self, entry: &Entry, source: &Source, now: Now) -> Option<(&'static str, String)> {
        let association = entry.association()?;
        if association.is_under_attack() {
            return Some((
                "under-attack",
                "its last replies had wrong authentication tags: somebody on the path is forging them, to no \
                 effect"
                    .into(),
            ));
        }
        if source.provisional && source.trouble.is_none() {
            return Some((
                "provisional",
                "our clock, which may be wrong, can't judge its certificate: it is used only together with \
                 another NTS source that agrees, once, to set the clock; add a second NTS source, or set the \
                 clock by hand"
                    .into(),
            ));
        }
        (association.cookies() == 0 && source.asking.reach == 0)
            .then(|| ("unreachable", keyless(association, now)))
    }

    /// One word and one sentence for a source.
    fn judge(&self, entry: &Entry, source: &Source, now: Now) -> (&'static str, String) {
        if let Some(found) = self.judge_association(entry, source, now) {
            return found;
        }
        if let Some(code) = source.kiss.filter(|_| source.trouble == Some(RejectReason::Kiss)) {
            return (
                "denied",
                match source.asking.stopped_until.filter(|until| *until > now.raw) {
                    Some(until) => format!(
                        "it refuses to serve us (kiss code {code}, authenticated); asked again in {:.1} h",
                        -seconds_since(now, until) / 3600.0
                    ),
                    None => format!(
                        "it refuses to serve us (kiss code {code}); asked again at the longest poll interval"
                    ),
                },
            );
        }
        if let Some(reason) = source.trouble {
            return ("unusable", reason.sentence().into());
        }
        if source.asking.reach == 0 {
            return match (source.counters.sent, source.is_heard()) {
                (0..=3, false) => ("waiting", "it has not answered yet".into()),
                (_, false) => ("unreachable", format!("it has never answered{}", likely_cause(source))),
                (_, true) => (
                    "unreachable",
                    "it has not answered its last eight queries; its last word still has a vote".into(),
                ),
            };
        }
        let Some(opinion) = source.opinion(now) else {
            return ("waiting", format!("no usable reply yet{}", likely_cause(source)));
        };
        if opinion.is_far() {
            return (
                "unusable",
                format!("it is up to {:.1} s from true time by its own word", opinion.distance),
            );
        }
        if source.track.contradicts {
            return (
                "falseticker",
                "its last reply contradicts its earlier ones; the next replies decide".into(),
            );
        }
        if source.track.filter.is_doubtful() {
            return (
                "waiting",
                "its last reply differs from what was expected; the next replies decide".into(),
            );
        }
        match source.track.standing {
            None => ("waiting", "not compared with the others yet".into()),
            Some(Standing::Survivor) => {
                let is_reference =
                    self.system.line.as_ref().is_some_and(|line| line.reference.source == source.id);
                let asymmetry = if source.track.filter.path_changed() {
                    "; its path became longer, perhaps in one direction only (asymmetry)"
                } else {
                    ""
                };
                if is_reference {
                    (
                        "selected",
                        format!("it agrees with the majority and is the nearest to true time{asymmetry}"),
                    )
                } else {
                    ("combined", format!("it agrees with the majority and is averaged in{asymmetry}"))
                }
            }
            Some(Standing::Spare) => {
                ("spare", "it agrees, but a source marked `prefer` is used instead".into())
            }
            Some(Standing::Silent) => ("waiting", "it agrees, but can't be used at the moment".into()),
            Some(Standing::Falseticker) => (
                "falseticker",
                format!(
                    "the majority says that its time is wrong; it differs by {:+.6} s from our clock, and its own \
                     bound is {:.6} s{}",
                    opinion.offset,
                    opinion.distance,
                    self.smear(opinion.estimate.frequency)
                ),
            ),
            Some(Standing::Drifting) => (
                "falseticker",
                format!(
                    "its clock runs {:+.3} ppm beside those of all others{}",
                    self.beside(opinion.estimate.frequency) * 1e6,
                    self.smear(opinion.estimate.frequency)
                ),
            ),
            Some(Standing::Probation) => (
                "probation",
                "it is new, or was begun anew after a change; it is used after its eighth reply".into(),
            ),
            Some(Standing::Outvoted) if self.entries.sources().any(|s| s.authenticated && s.is_heard()) => (
                "outvoted",
                "it does not agree with the authenticated sources, and is not authenticated".into(),
            ),
            Some(Standing::Outvoted) => {
                ("outvoted", "it does not agree with the sources marked `trust`".into())
            }
            Some(Standing::NoMajority) => (
                "no-majority",
                format!("it says {:+.6} s, and no majority agrees on anything", opinion.offset),
            ),
        }
    }
}

/// What the counters say about a source that was never usable.
fn likely_cause(source: &Source) -> &'static str {
    let worst = RejectReason::ALL
        .iter()
        .filter(|reason| reason.is_silent())
        .max_by_key(|reason| source.counters.rejected[**reason as usize])
        .filter(|reason| source.counters.rejected[**reason as usize] > 0);
    match worst {
        Some(RejectReason::Origin) => ": replies came that do not belong to our queries",
        Some(RejectReason::Date) => ": its date is impossible",
        Some(RejectReason::UnexpectedMac) => ": its replies are signed with a key that is not shared with us",
        Some(RejectReason::Unprotected) => {
            ": its replies carry no authentication, somebody may be stripping it"
        }
        Some(RejectReason::Forged) => ": the authentication tags of its replies are wrong",
        Some(RejectReason::NtsNak) => ": it does not know our cookies",
        Some(_) => ": what came from there was not a proper reply",
        None => "; check its address and the firewall (UDP port 123)",
    }
}

fn seconds_since(now: Now, at: RawInstant) -> f64 {
    now.raw.since(at).nanos() as f64 * 1e-9
}

/// Why an NTS source can't be asked.
fn keyless(association: &Association, now: Now) -> String {
    let next = match association.due() {
        None => "keys are being exchanged with it".into(),
        Some(due) => format!("keys are exchanged in {:.0} s", (-seconds_since(now, due)).max(0.0)),
    };
    match association.last {
        Some(Err(trouble)) => format!("{}; {next}", trouble.sentence()),
        _ => next,
    }
}
