//! What the survivors say together: the line along which true time runs, its error, and what a server
//! tells others about it.

use crate::bounds::Bounds;
use crate::combine::{Survivor, combine};
use crate::filter::Estimate;
use crate::guard::{Guard, TOLERANCE};
use crate::independence::{Identity, group};
use crate::io::Now;
use crate::select::{Agreement, Candidate, Impasse, Standing, select};
use crate::settings::{Place, SourceSettings};
use crate::source::{Opinion, Source};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use ipc::units::RawInstant;
use protocol::reference_id::of_address;

/// A source with so many measurements knows its frequency.
const EXPERIENCED: u32 = 8;

/// It drifts where its frequency differs from the middle one by so many standard deviations, or by fewer so
/// many times in a row; and by more than this, s/s.
const STRAYING: f64 = 4.0;
const STRAYING_A_LITTLE: f64 = 2.0;
const OFTEN: u8 = 24;
const LEAST_STRAYING: f64 = 0.1e-6;

/// True time, as the last selection saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    estimate: Estimate,
    guard: Guard,
    /// Standard deviation of what more samples don't make better, seconds.
    systematic: f64,
    pub(crate) reference: Reference,
    /// Of the survivors together: another number, other survivors.
    pub(crate) company: u64,
}

/// The survivor that stands for all of them towards others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reference {
    pub(crate) key: u32,
    pub(crate) reference_id: u32,
    /// Its stratum.
    pub(crate) stratum: u8,
    /// To its reference clock and back, seconds.
    pub(crate) root_delay: f64,
    pub(crate) root_dispersion: f64,
    /// Seconds: the shortest poll interval among the survivors.
    pub(crate) interval: f64,
}

/// What one selection found.
pub(crate) struct Finding {
    pub(crate) line: Result<Line, Impasse>,
    /// The guards of the survivors excluded the estimate, or each other.
    pub(crate) guard_violated: bool,
}

impl Line {
    /// Offset of the clock now, seconds; positive: it is behind.
    pub(crate) fn offset(&self, now: Now) -> f64 {
        let elapsed = now.raw.since(self.estimate.at).nanos() as f64 * 1e-9;
        let then = Estimate { at: now.raw, ..self.estimate };
        then.offset_of(now.wall.nanos()) + self.estimate.frequency * elapsed
    }

    /// Standard deviation of that.
    pub(crate) fn deviation(&self, at: RawInstant) -> f64 {
        libm::hypot(self.random_deviation(at), self.systematic)
    }

    /// The part of it that changes from sample to sample.
    pub(crate) fn random_deviation(&self, at: RawInstant) -> f64 {
        let elapsed = at.since(self.estimate.at).nanos().max(0) as f64 * 1e-9;
        libm::sqrt(self.estimate.variance_after(elapsed))
    }

    /// How much faster true time runs than CLOCK_MONOTONIC_RAW, s/s, and its standard deviation.
    pub(crate) fn frequency(&self) -> (f64, f64) {
        (self.estimate.frequency, libm::sqrt(self.estimate.frequency_variance))
    }

    /// When true time will be `utc` (nanoseconds since 1970).
    pub(crate) fn moment_of(&self, utc: i64) -> RawInstant {
        let then = i128::from(self.estimate.base) + i128::from(self.estimate.at.nanos());
        let ahead = (i128::from(utc) - then) as f64 - self.estimate.rest * 1e9;
        let elapsed = (ahead / (1.0 + self.estimate.frequency)).clamp(0.0, 1e18);
        RawInstant::saturating(self.estimate.at.nanos().saturating_add(libm::ceil(elapsed) as i64))
    }

    /// The offset's hard bounds, seconds.
    pub(crate) fn bounds(&self, now: Now) -> (f64, f64) {
        let elapsed = now.raw.since(self.guard.at()).nanos() as f64 * 1e-9;
        let deviation = self.estimate.frequency_deviation(elapsed);
        self.guard.aged(now.raw, self.estimate.frequency, deviation).offsets(now.wall.nanos())
    }

    /// The true offset is no farther from zero than this, seconds.
    pub(crate) fn most_error(&self, now: Now) -> f64 {
        let (low, high) = self.bounds(now);
        low.abs().max(high.abs())
    }

    /// All that is known of where true time is.
    pub(crate) fn describe_bounds(&self, now: Now) -> Bounds {
        let (low, high) = self.bounds(now);
        let (offset, deviation) = (self.offset(now), self.random_deviation(now.raw));
        let age = now.raw.since(self.estimate.at).nanos().max(0) as f64 * 1e-9;
        let Reference { root_delay, root_dispersion, .. } = self.reference;
        let distance = root_delay / 2.0 + root_dispersion + 1e-6 * age + offset.abs() + deviation;
        Bounds { low, high, offset, deviation, distance }
    }

    /// Dispersion that is added to the reference's own, seconds.
    pub(crate) fn dispersion(&self, now: Now) -> f64 {
        let age = now.raw.since(self.estimate.at).nanos().max(0) as f64 * 1e-9;
        self.random_deviation(now.raw) + self.offset(now).abs() + TOLERANCE * age
    }

    /// UTC itself moved by `nanos` (a leap second).
    pub(crate) fn shift(&mut self, nanos: i64) {
        self.estimate.base = self.estimate.base.saturating_add(nanos);
        self.guard.shift(nanos);
    }
}

/// Selects among `sources` and combines the survivors; writes each source's standing. `patient`: those that
/// were never heard may only be slow.
pub(crate) fn find(
    sources: &mut [Source],
    settings: &[SourceSettings],
    patient: bool,
    minimum: usize,
    now: Now,
) -> Finding {
    let (mut heard, mut silent) = (Vec::new(), Vec::new());
    for (index, source) in sources.iter().enumerate().filter(|(_, source)| !source.is_on_probation()) {
        match source.opinion(now).filter(|_| source.is_heard() && !source.provisional) {
            Some(opinion) => heard.push((index, opinion)),
            None => silent.push((source.entry, Some(index))),
        }
    }
    let nameless = (0..settings.len()).filter(|entry| is_nameless(sources, settings, *entry));
    silent.extend(nameless.map(|entry| (entry, None)));
    let everybody: Vec<(usize, Option<usize>, Option<&Opinion>)> = heard
        .iter()
        .map(|(index, opinion)| (sources[*index].entry, Some(*index), Some(opinion)))
        .chain(silent.iter().map(|(entry, index)| (*entry, *index, None)))
        .collect();
    let identities: Vec<Identity<'_>> = everybody
        .iter()
        .map(|(entry, index, _)| {
            let source = index.map(|index| &sources[index]);
            identify(settings, *entry, source)
        })
        .collect();
    let (groups, operators) = (group(&identities, true), group(&identities, false));
    let candidates: Vec<Candidate> = everybody
        .iter()
        .zip(groups.iter().zip(&operators))
        .map(|((entry, index, opinion), (group, operator))| {
            let source = index.map(|index| &sources[index]);
            let marks = settings.get(*entry);
            Candidate {
                claim: opinion.map(|opinion| opinion.claim),
                live: source
                    .zip(*opinion)
                    .is_some_and(|(s, opinion)| s.is_live() && !Source::is_far(opinion)),
                authenticated: source.is_some_and(|source| source.authenticated)
                    || marks.is_some_and(|marks| marks.nts.is_some()),
                group: *group,
                operator: *operator,
                survived: source.is_some_and(|source| source.standing == Some(Standing::Survivor)),
                prefer: marks.is_some_and(|marks| marks.prefer),
                trust: marks.is_some_and(|marks| marks.trust),
                require: marks.is_some_and(|marks| marks.require),
            }
        })
        .collect();
    let require = settings.iter().any(|marks| marks.require);
    let (mut standings, agreement) = select(&candidates, patient, minimum, require);
    standings.truncate(heard.len());
    find_drifting(sources, &heard, &mut standings);
    for source in sources.iter_mut() {
        source.standing = source.is_on_probation().then_some(Standing::Probation);
    }
    for ((index, _), standing) in heard.iter().zip(&standings) {
        sources[*index].standing = Some(*standing);
    }
    let survivors: Vec<(&Source, &Opinion)> = heard
        .iter()
        .zip(&standings)
        .filter(|(_, standing)| **standing == Standing::Survivor)
        .map(|((index, opinion), _)| (&sources[*index], opinion))
        .collect();
    match agreement {
        Ok(agreement) => draw(&survivors, agreement, now),
        Err(impasse) => Finding { line: Err(impasse), guard_violated: false },
    }
}

/// What is known of a source, or of an entry that has none yet.
pub(crate) fn identify<'s>(
    settings: &'s [SourceSettings],
    entry: usize,
    source: Option<&Source>,
) -> Identity<'s> {
    let facts = source.and_then(|source| source.facts);
    let name = settings.get(entry).map_or("", |marks| match &marks.place {
        Place::Name(name, _) if marks.nts.is_some() => name.as_str(),
        _ => &marks.name,
    });
    Identity {
        name,
        ip: source.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |source| source.address.ip()),
        port: source.map_or(0, |source| source.address.port()),
        stratum: facts.map_or(16, |facts| facts.stratum),
        reference_id: facts.map_or(0, |facts| facts.reference_id),
    }
}

/// Whether an entry has a vote and no source yet: its name has no address, or its keys aren't there.
pub(crate) fn is_nameless(sources: &[Source], settings: &[SourceSettings], entry: usize) -> bool {
    let awaits = settings.get(entry).is_some_and(|s| matches!(s.place, Place::Name(..)) || s.nts.is_some());
    awaits && !sources.iter().any(|source| source.entry == entry)
}

/// All sources are measured with one oscillator, so all must find the same frequency in it. One that doesn't
/// drifts (or smears a leap second), and would pull the mean along for as long as its interval allows.
fn find_drifting(sources: &mut [Source], heard: &[(usize, Opinion)], standings: &mut [Standing]) {
    let survivors: Vec<usize> =
        (0..heard.len()).filter(|place| standings[*place] == Standing::Survivor).collect();
    let knows = |place: &usize| sources[heard[*place].0].filter.samples() >= EXPERIENCED;
    let (places, fresh): (Vec<usize>, Vec<usize>) = survivors.into_iter().partition(knows);
    // Where most have been measured for long, one that was begun anew can wait.
    if places.len() > fresh.len() + 1 {
        fresh.iter().for_each(|place| standings[*place] = Standing::Probation);
    }
    if places.len() < 3 {
        return;
    }
    let mut frequencies: Vec<f64> = places.iter().map(|place| heard[*place].1.frequency).collect();
    frequencies.sort_unstable_by(f64::total_cmp);
    let middle = frequencies[frequencies.len() / 2];
    let mut straying = Vec::new();
    for place in &places {
        let (index, opinion) = &heard[*place];
        let beside = (opinion.frequency - middle).abs() - LEAST_STRAYING;
        let deviations = beside / libm::sqrt(opinion.frequency_variance).max(1e-12);
        // A little beside can be chance once, not each time.
        let strays = &mut sources[*index].strays;
        *strays = if deviations > STRAYING_A_LITTLE {
            strays.saturating_add(1).min(2 * OFTEN)
        } else {
            strays.saturating_sub(3)
        };
        if deviations > STRAYING || *strays >= OFTEN {
            straying.push(*place);
        }
    }
    if 2 * straying.len() < places.len() {
        for place in straying {
            standings[place] = Standing::Drifting;
        }
    }
}

fn draw(survivors: &[(&Source, &Opinion)], agreement: Agreement, now: Now) -> Finding {
    let values: Vec<Survivor> = survivors
        .iter()
        .map(|(_, opinion)| Survivor {
            offset: opinion.offset,
            variance: opinion.variance,
            systematic: opinion.systematic,
            frequency: opinion.frequency,
            frequency_variance: opinion.frequency_variance,
        })
        .collect();
    let nearest = survivors.iter().min_by(|a, b| a.1.distance.total_cmp(&b.1.distance));
    let (Some(combined), Some(reference)) =
        (combine(&values), nearest.and_then(|(s, _)| reference(s, survivors)))
    else {
        return Finding { line: Err(Impasse::Silent), guard_violated: false };
    };
    let wall = now.wall.nanos();
    let deviation = libm::sqrt(combined.frequency_variance);
    let mut guard_violated = false;
    let agreed = Guard::of_offsets(now.raw, wall, agreement.low, agreement.high);
    let mut hard: Option<Guard> = None;
    for (source, _) in survivors {
        let Some(own) = source.guard else { continue };
        let elapsed = now.raw.since(own.at()).nanos() as f64 * 1e-9;
        let Some(estimate) = source.filter.estimate(now.raw) else { continue };
        let own = own.aged(now.raw, estimate.frequency, estimate.frequency_deviation(elapsed));
        let (both, fits) = hard.map_or((own, true), |hard| hard.cut(&own));
        guard_violated |= !fits;
        hard = Some(both);
    }
    // What the majority claims starts from estimates: it is not hard, and counts only where nothing else does.
    // Hard bounds that exclude each other are no bounds either: somebody among the survivors lies.
    let guard = hard.filter(|_| !guard_violated).unwrap_or(agreed);
    let (low, high) = guard.offsets(wall);
    // No filter may leave the guard, however sure it is.
    let offset = combined.offset.clamp(low, high.max(low));
    guard_violated |= (offset - combined.offset).abs() > 3.0 * libm::sqrt(combined.total);
    let (most_wander, beforehand) = survivors
        .iter()
        .filter_map(|(source, _)| source.filter.estimate(now.raw))
        .map(|estimate| (estimate.most_wander, estimate.beforehand))
        .fold((f64::INFINITY, f64::INFINITY), |least, next| (least.0.min(next.0), least.1.min(next.1)));
    // All survivors live on the same oscillator; the least wander that explains one of them explains it.
    let (wander, covariance) = survivors
        .iter()
        .filter_map(|(source, _)| source.filter.estimate(now.raw))
        .map(|estimate| (estimate.wander, estimate.covariance))
        .fold((f64::INFINITY, 0.0f64), |(wander, covariance), next| {
            (wander.min(next.0), covariance.max(next.1))
        });
    let estimate = Estimate {
        at: now.raw,
        base: wall.saturating_sub(now.raw.nanos()),
        rest: offset,
        variance: combined.variance,
        frequency: combined.frequency,
        frequency_variance: deviation * deviation,
        covariance: covariance.min(libm::sqrt(combined.variance) * deviation),
        wander: if wander.is_finite() { wander } else { 0.0 },
        most_wander: if most_wander.is_finite() { most_wander } else { 0.0 },
        beforehand: if beforehand.is_finite() { beforehand } else { 0.0 },
    };
    let systematic = libm::sqrt((combined.total - combined.variance).max(0.0));
    // Keys are never used twice, so that the sum of their mixed bits tells one set from another.
    let company = survivors
        .iter()
        .map(|(source, _)| (u64::from(source.key) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
        .fold(0u64, u64::wrapping_add);
    Finding { line: Ok(Line { estimate, guard, systematic, reference, company }), guard_violated }
}

fn reference(source: &Source, survivors: &[(&Source, &Opinion)]) -> Option<Reference> {
    let facts = source.facts?;
    Some(Reference {
        key: source.key,
        reference_id: of_address(source.address.ip()),
        stratum: facts.stratum,
        root_delay: facts.root_delay + source.filter.minimum_delay().unwrap_or(0.0),
        root_dispersion: facts.root_dispersion,
        interval: survivors
            .iter()
            .map(|(source, _)| source.poll.interval())
            .fold(f64::INFINITY, f64::min)
            .min(131_072.0),
    })
}
