//! The state of the clock and of each source, with the reasons.

use super::Engine;
use super::publishing::UNKNOWN;
use crate::entries::{Entry, Phase};
use crate::io::Now;
use crate::measured::{CORRECTIONS, Correction, Known, Measured, MeasuredSince};
use crate::nts::Association;
use crate::select::{Impasse, Standing};
use crate::settings::Place;
use crate::source::Source;
use crate::status::{
    AssociationStatus, KeyStatus, PathDoubt, SourceMeasurements, SourceReason, SourceStatus, Status,
    SymmetricKeyStatus, SystemReason, SystemStatus,
};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use ipc::message::privileged::{ClockKind, ForwardSteps, Refusal};
use ipc::units::{Leap, RawInstant};
use report::{RejectReason, SourceActivity};

/// Frequencies of a smeared leap second in ppm: spread over 24 hours, and over 20 hours.
const SMEARS: [f64; 2] = [11.574, 13.889];

/// How far from such a frequency a smear is still suspected, in ppm.
const SMEAR_TOLERANCE: f64 = 0.3;

impl Engine {
    /// The state of the clock and of its sources.
    pub fn status(&self, now: Now) -> Status {
        let mut sources = Vec::new();
        for entry in self.entries.all().filter(|entry| entry.phase != Phase::Vacant) {
            sources.extend(entry.members.iter().map(|source| self.describe_source(entry, source, now)));
            if entry.members.is_empty() {
                sources.push(self.describe_without_address(entry, now));
            }
        }
        Status { system: self.describe_system(now), sources }
    }

    /// The last measurements of each source, in the order of [`Self::status`].
    pub fn measurements(&self, now: Now) -> Vec<SourceMeasurements> {
        let of_entry = |entry: &Entry| {
            let of = |address, measurements| SourceMeasurements {
                name: entry.settings.name.clone(),
                address,
                measurements,
            };
            let members = entry.members.iter();
            let mut all: Vec<SourceMeasurements> = members
                .map(|source| of(Some(source.address().socket_address()), source.history.report(now)))
                .collect();
            if all.is_empty() {
                all.push(of(None, Vec::new()));
            }
            all
        };
        self.entries.all().filter(|entry| entry.phase != Phase::Vacant).flat_map(of_entry).collect()
    }

    /// The first `most` measurements and corrections with a number above `after`.
    pub fn measured(&self, after: u64, most: usize, now: Now) -> MeasuredSince {
        let mut measured = Vec::new();
        for (entry, source) in self.entries.all_members() {
            let address = source.address().socket_address();
            let of = |known: &Known| Measured { name: entry.settings.name.clone(), address, known: *known };
            measured.extend(source.history.after(after).map(of));
        }
        measured.sort_by_key(|one| one.known.number);
        let asked = self.entries.all_members().filter(|(entry, _)| !(self.offline || entry.offline));
        let next = asked.map(|(_, source)| source.poll_process.due()).min();
        let corrections = self.corrections.iter().filter(|it| it.number > after).copied().collect();
        let next_query_s = next.map(|at| -seconds_since(now, at));
        MeasuredSince { counted: self.counted, next_query_s, measured, corrections }.limited(most)
    }

    /// The clock is corrected by an estimate that was just made.
    pub(super) fn note_correction(&mut self, now: Now) {
        self.system.last_update = Some(now.raw);
        let (Some(line), Some(basis)) = (&self.system.line, &self.basis) else { return };
        self.counted += 1;
        let reference = &line.reference;
        let source = self.entries.source(reference.source);
        let correction = Correction {
            number: self.counted,
            wall: now.wall,
            address: source.map(|(_, source)| source.address().socket_address()),
            stratum: reference.stratum.saturating_add(1).min(16),
            leap: self.system.leap.leap(),
            used: self.entries.sources().filter(|source| source.track.survives()).count(),
            offset_s: line.offset(now),
            estimated_error_s: line.shown_deviation(now.raw),
            error_bound_s: self.most_error(now),
            slew_left_s: basis.clock.slew_left(now.raw),
            frequency_ppm: basis.clock.frequency() * 1e6,
            frequency_error_ppm: line.frequency().1 * 1e6,
            root_delay_s: reference.root_delay,
            root_dispersion_s: reference.root_dispersion + line.dispersion(now),
        };
        if self.corrections.len() >= CORRECTIONS {
            self.corrections.pop_front();
        }
        self.corrections.push_back(correction);
    }

    fn describe_system(&self, now: Now) -> SystemStatus {
        let synchronised = self.is_synchronised(now);
        let system = &self.system;
        let basis = self.basis.as_ref();
        let line = system.line.as_ref();
        let reference = line.map(|line| line.reference);
        let followed = reference.and_then(|reference| self.entries.source(reference.source));
        SystemStatus {
            clock: basis.map_or(ClockKind::None, |basis| basis.welcome.clock),
            synchronised,
            reason: self.reason(now),
            leap: if synchronised { system.leap.leap() } else { Leap::Unknown },
            stratum: reference.filter(|_| synchronised).map_or(16, |r| r.stratum.saturating_add(1).min(16)),
            reference_id: reference.map_or(0, |r| r.reference_id),
            reference: followed.map(|(entry, _)| entry.settings.name.clone()),
            offset_s: line.map_or(0.0, |line| line.offset(now)),
            estimated_error_s: line.map_or(16.0, |line| line.shown_deviation(now.raw)),
            error_bound_s: if self.follows_orphan() { UNKNOWN } else { self.most_error(now) },
            likely_error_s: if self.follows_orphan() { f64::INFINITY } else { self.likely_error(now) },
            slew_left_s: basis.map_or(0.0, |basis| basis.clock.slew_left(now.raw)),
            frequency_ppm: basis.map_or(0.0, |basis| basis.clock.frequency() * 1e6),
            frequency_error_ppm: line.map_or(500.0, |line| line.frequency().1 * 1e6),
            root_delay_s: reference.map_or(0.0, |r| r.root_delay),
            root_dispersion_s: line.map_or(16.0, |l| l.reference.root_dispersion + l.dispersion(now)),
            last_update_s: line.and(system.last_update).map(|at| seconds_since(now, at)),
            first_update_s: basis
                .and_then(|basis| Some(system.first_update?.since(basis.at).nanos() as f64 * 1e-9)),
            epoch: basis.map_or(0, |basis| basis.epoch),
            steps: system.steps,
            refusals: system.refusals,
            last_refusal: system.last_refusal,
            one_operator: self.related(),
            pauses: basis.filter(|_| self.steers()).map(|basis| basis.welcome.pauses),
            forward_steps: match self.settings.forward_step {
                _ if self.settings.strict_quorum => ForwardSteps::None,
                None => ForwardSteps::Closed,
                Some(_) => ForwardSteps::Allowed,
            },
            resilience: None,
            authentication: self.authentication(now),
            tai_offset: self.system.listing.tai.filter(|tai| *tai != 0),
            leap_list: self.list_status(now),
        }
    }

    /// The state of the clock, with its reason.
    pub(super) fn reason(&self, now: Now) -> SystemReason {
        let heard = self.entries.sources().filter(|source| source.is_heard()).count();
        let system = &self.system;
        if system.held {
            let offset = system.line.as_ref().map_or(0.0, |line| line.offset(now));
            return SystemReason::Held(self.hold(offset));
        }
        if self.entries.is_empty() {
            let local = self.local_time().map(|local| local.stratum);
            return local
                .map_or(SystemReason::NoSources, |stratum| SystemReason::Local { stratum, leads: false });
        }
        if let Some(stratum) = self.leads(now) {
            return SystemReason::Local { stratum, leads: true };
        }
        if !self.steers() && self.basis.is_some() {
            return SystemReason::Unsteered;
        }
        if let Some(row) = self.obstacle(now) {
            return SystemReason::Obstructed(row);
        }
        let is_useless = system.first_update.is_none() && self.brings_no_time(now);
        match system.impasse {
            // More votes would be no help.
            Some(Impasse::NoQuorum) if is_useless => SystemReason::Unusable { of: self.entries.len() },
            Some(impasse @ (Impasse::NoMajority | Impasse::NoQuorum)) if !system.counted_unheard => {
                SystemReason::NoMajority(self.no_selection(impasse, now))
            }
            _ if system.first_update.is_none() && self.waits_for_a_quorum() => SystemReason::AwaitingQuorum,
            _ if system.first_update.is_none() && heard == 0 => SystemReason::NoReplies(self.entry_counts()),
            _ if is_useless => SystemReason::Unusable { of: self.entries.len() },
            _ if system.first_update.is_none() => SystemReason::Gathering {
                heard,
                of: self.entries.sources().count().max(self.entries.len()),
                minimum: self.settings.clock.minimum_sources,
            },
            Some(impasse) => SystemReason::Holdover(self.no_selection(impasse, now)),
            None if !self.is_at_its_line(now) => self.unsynchronised(now),
            None if self.follows_orphan() => {
                let reference = system.line.as_ref().map_or(16, |line| line.reference.stratum);
                SystemReason::FollowingOrphan { stratum: reference.saturating_add(1).min(16) }
            }
            None => SystemReason::Following {
                used: self.count_used(now),
                of: self.entries.sources().count().max(self.entries.len()),
                missing: if system.excuses { self.missing(now).absent } else { 0 },
                slewing: self.slewing(now),
                silent: self.silent_survivors(now),
            },
        }
    }

    /// Seconds since one of the survivors has answered, if none of them has answered its last four queries. The interval between queries
    /// is up to the clock: a host that asks rarely hears nothing for hours, and is not silent. What is not heard may be their fault, or
    /// that of the process that asks them, which may be stopped.
    fn silent_survivors(&self, now: Now) -> Option<f64> {
        let survivors = || self.entries.sources().filter(|source| source.track.survives());
        let last = survivors().filter_map(|source| source.last_valid).max()?;
        survivors().all(|source| source.poll_process.is_silent()).then(|| seconds_since(now, last))
    }

    /// How many sources are used.
    pub(super) fn count_used(&self, now: Now) -> usize {
        let is_used = |(entry, source): &(&Entry, &Source)| self.judge(entry, source, now).state().is_used();
        self.entries.members().filter(is_used).count()
    }

    /// What keeps the clock from being corrected to the time that its sources agree on, though it may be.
    fn obstacle(&self, now: Now) -> Option<Refusal> {
        let system = &self.system;
        let is_known =
            system.impasse.is_none() || (system.first_update.is_none() && self.waits_for_a_quorum());
        let obstacle = self.basis.as_ref()?.orders.obstacle();
        obstacle.filter(|_| is_known && !self.is_at_its_line(now))
    }

    /// Whether sources answer that had a vote, and the time of none that ever had one can be followed.
    fn brings_no_time(&self, now: Now) -> bool {
        let most = self.settings.clock.max_distance;
        let is_useless = |source: &Source| {
            let is_far = source.opinion(now).is_some_and(|opinion| opinion.is_far(most));
            is_far || source.oneself || source.brings_no_time()
        };
        let mut heard = self.entries.sources().filter(|source| source.is_heard());
        self.entries.sources().any(|source| source.is_heard() && source.poll_process.brings_replies())
            && heard.all(is_useless)
    }

    /// Why a clock is not synchronised whose sources are followed.
    fn unsynchronised(&self, now: Now) -> SystemReason {
        let slewing = self.slewing(now).filter(|slewing| self.is_far(now) || slewing.is_runaway());
        let limit = self.error_limit();
        let uncertain = self.system.line.as_ref().and_then(|line| {
            let most = self.most_error(now).max(line.deviation(now.raw));
            (most - line.offset(now).abs() >= limit).then_some(most)
        });
        match uncertain.filter(|_| slewing.is_none()) {
            Some(most) => SystemReason::Uncertain { most, limit },
            None => SystemReason::Correcting { slewing, again: self.system.following_told },
        }
    }

    /// An entry without an address: it is not known yet, or belongs to another entry.
    fn describe_without_address(&self, entry: &Entry, now: Now) -> SourceStatus {
        let (settings, association) = (&entry.settings, entry.association());
        let lookup = entry.lookup.as_ref();
        let reason = match (&settings.place, association) {
            (_, Some(_)) if entry.is_hostless() => {
                SourceReason::Unresolved(lookup.and_then(|lookup| lookup.last))
            }
            (_, Some(association)) => SourceReason::AwaitingKeys(key_status(association, now)),
            _ if settings.nts.is_some() && self.basis.is_some() => SourceReason::SameKeyServer,
            (Place::Name(..), None) => {
                let failure = lookup.and_then(|lookup| lookup.last);
                match lookup.is_some_and(|lookup| lookup.was_answered()) {
                    true if failure.is_none() => SourceReason::AddressesTaken,
                    _ => SourceReason::Unresolved(failure),
                }
            }
            (Place::Address(_), None) if self.basis.is_none() => SourceReason::Starting,
            (Place::Address(_), None) => SourceReason::SameAddress,
        };
        SourceStatus {
            name: settings.name.clone(),
            address: None,
            reason,
            authenticated: settings.is_authenticated(),
            key: settings.key.as_ref().map(SymmetricKeyStatus::of),
            nts: self.describe_association(entry, now),
            stratum: None,
            reference_id: None,
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
            activity: SourceActivity::Unresolved,
            samples: 0,
            span_s: None,
            deviation_s: None,
            frequency_ppm: None,
            marks: settings.marks(),
            last_reply: None,
        }
    }

    fn describe_association(&self, entry: &Entry, now: Now) -> Option<AssociationStatus> {
        let one_operator = self.one_operator(entry);
        entry.association().map(|association| AssociationStatus { one_operator, ..association.status(now) })
    }

    fn describe_source(&self, entry: &Entry, source: &Source, now: Now) -> SourceStatus {
        let opinion = source.opinion(now);
        let count = |reason: RejectReason| source.counters.rejected[reason as usize];
        SourceStatus {
            name: entry.settings.name.clone(),
            address: Some(source.address().socket_address()),
            reason: self.judge(entry, source, now),
            authenticated: source.authenticated,
            key: entry.settings.key.as_ref().map(SymmetricKeyStatus::of),
            nts: self.describe_association(entry, now),
            stratum: source.facts.map(|facts| facts.stratum),
            // Version 5 has none.
            reference_id: source
                .facts
                .map(|facts| facts.reference_id)
                .filter(|id| *id != 0 || !source.speaks_version5()),
            reach: source.poll_process.reach,
            poll: source.poll_process.poll.exponent(),
            next_poll_s: (!(self.offline || entry.offline))
                .then(|| -seconds_since(now, source.poll_process.next)),
            offset_s: opinion.map(|opinion| opinion.offset),
            offset_error_s: opinion.map(|opinion| libm::sqrt(opinion.estimate.variance)),
            delay_s: opinion.and_then(|_| source.track.filter.minimum_delay()),
            jitter_s: opinion.map(|_| source.track.filter.jitter()),
            root_distance_s: opinion.map(|opinion| opinion.distance),
            sent: source.counters.sent,
            valid: source.counters.valid,
            last_valid_s: source.last_valid.map(|at| seconds_since(now, at)),
            rejected: RejectReason::ALL
                .into_iter()
                .map(|reason| (reason, count(reason)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            activity: match source.poll_process.is_bursting() {
                _ if self.offline || entry.offline => SourceActivity::Offline,
                true => SourceActivity::Bursting,
                false => SourceActivity::Online,
            },
            samples: source.track.filter.samples(),
            span_s: opinion.map(|opinion| source.track.filter.tested(opinion.heard)),
            deviation_s: opinion.map(|_| source.track.filter.deviation()),
            frequency_ppm: opinion
                .filter(|opinion| opinion.samples > 1 && self.system.line.is_some())
                .map(|opinion| opinion.estimate)
                .map(|estimate| (estimate.frequency, estimate.frequency_deviation(0.0)))
                .map(|(frequency, error)| (self.relative_frequency(frequency) * 1e6, error * 1e6)),
            marks: entry.settings.marks(),
            last_reply: source.last_reply,
        }
    }

    /// The frequency of a source's clock relative to the system's estimate of true time, in s/s.
    fn relative_frequency(&self, frequency: f64) -> f64 {
        self.system.line.as_ref().map_or(0.0, |line| frequency - line.frequency().0)
    }

    /// Whether a frequency suggests a smeared leap second.
    fn is_smear(&self, frequency: f64) -> bool {
        let ppm = self.relative_frequency(frequency).abs() * 1e6;
        SMEARS.iter().any(|smear| (ppm - smear).abs() < SMEAR_TOLERANCE)
    }

    /// The state of the association, where it matters more than that of the source.
    fn judge_association(&self, entry: &Entry, source: &Source, now: Now) -> Option<SourceReason> {
        let association = entry.association()?;
        if association.is_under_attack() {
            return Some(SourceReason::UnderAttack);
        }
        if source.provisional && source.unused.is_none() {
            return Some(SourceReason::Provisional);
        }
        (association.cookies() == 0 && source.poll_process.reach == 0)
            .then(|| SourceReason::NoCookies(key_status(association, now)))
    }

    /// The state of a source, with its reason.
    pub(super) fn judge(&self, entry: &Entry, source: &Source, now: Now) -> SourceReason {
        if source.oneself {
            return SourceReason::Oneself;
        }
        if let Some(reason) = self.judge_association(entry, source, now) {
            return reason;
        }
        let kisses = source.unused == Some(RejectReason::Kiss) || source.poll_process.brings_kisses_only();
        if let Some(code) = source.kiss.filter(|_| kisses) {
            if !source.denies() {
                return SourceReason::Kissed(code);
            }
            let until = source.poll_process.stopped_until.filter(|until| *until > now.raw);
            return SourceReason::Denied { code, retry_s: until.map(|until| -seconds_since(now, until)) };
        }
        if let Some(reason) = source.unused {
            return SourceReason::Unused(reason);
        }
        // The register has shifted already while the eighth query is under way. The next ones may be under way, too.
        let awaits = source.is_heard() && !source.silence_told && self.exchanges.is_asking(source.id);
        if source.poll_process.reach == 0 && !awaits {
            let obstacle = source.obstacle;
            return match (source.counters.sent, source.is_heard()) {
                (0..=3, false) => SourceReason::NoReplyYet(obstacle),
                (_, false) => SourceReason::NeverReplied { obstacle, cause: source.likely_cause() },
                (_, true) => SourceReason::Silent { obstacle, has_estimate: source.opinion(now).is_some() },
            };
        }
        let Some(opinion) = source.opinion(now) else {
            return SourceReason::NoUsableReply(source.likely_cause());
        };
        if entry.is_observed() {
            return SourceReason::Noselect { offset: opinion.offset };
        }
        let most = self.settings.clock.max_distance;
        if opinion.is_far(most) {
            return SourceReason::TooDistant { distance: opinion.distance, most };
        }
        if let Some(most) = self.settings.clock.max_jitter.filter(|most| opinion.is_unsteady(Some(*most))) {
            return SourceReason::Unsteady { jitter: opinion.jitter, most };
        }
        if source.track.contradicts {
            return SourceReason::Contradictory { offset: source.track.newest_offset(now) };
        }
        if source.track.filter.is_doubtful() {
            return SourceReason::Doubtful { offset: source.track.newest_offset(now) };
        }
        let frequency = opinion.estimate.frequency;
        match source.track.standing {
            None if self.is_orphan(source) => SourceReason::Orphan,
            None => SourceReason::NotCompared,
            // The line is an earlier one: nobody is followed now.
            Some(Standing::Survivor | Standing::Spare) if self.system.impasse.is_some() => {
                SourceReason::NotFollowed
            }
            Some(Standing::Survivor) => {
                let line = self.system.line.as_ref();
                let doubt = match source.arrivals.chosen() {
                    Some(chosen) => PathDoubt::Chosen(chosen),
                    None if source.track.filter.path_changed() => PathDoubt::Longer,
                    None => PathDoubt::None,
                };
                match line.is_some_and(|line| line.reference.source == source.id) {
                    true => SourceReason::Reference { doubt },
                    false => SourceReason::Survivor { doubt },
                }
            }
            Some(Standing::Spare) => SourceReason::Spare,
            Some(Standing::Silent) => SourceReason::NotReachable,
            Some(Standing::Falseticker) => SourceReason::Falseticker {
                offset: opinion.offset,
                distance: opinion.distance,
                smears: self.is_smear(frequency),
            },
            Some(Standing::Refuted) => SourceReason::Refuted { offset: opinion.offset },
            Some(Standing::Drifting) => SourceReason::Drifting {
                ppm: self.relative_frequency(frequency) * 1e6,
                smears: self.is_smear(frequency),
            },
            Some(Standing::Probation) => SourceReason::Probation,
            Some(Standing::Outvoted) => {
                match self.entries.sources().any(|source| source.authenticated && source.is_heard()) {
                    true => SourceReason::OutvotedByAuthenticated,
                    false => SourceReason::OutvotedByTrusted,
                }
            }
            Some(Standing::NoMajority) => SourceReason::NoMajority { offset: opinion.offset },
        }
    }
}

fn seconds_since(now: Now, at: RawInstant) -> f64 {
    now.raw.since(at).nanos() as f64 * 1e-9
}

fn key_status(association: &Association, now: Now) -> KeyStatus {
    KeyStatus {
        failure: association.last.and_then(Result::err),
        next_s: association.due().map(|due| (-seconds_since(now, due)).max(0.0)),
    }
}
