//! The combined estimate of the survivors: true time as a line, its error, and the values that a server publishes.

use crate::bounds::Bounds;
use crate::combine::{Survivor, combine};
use crate::filter::Estimate;
use crate::guard::{Guard, TOLERANCE};
use crate::independence::{Allegiance, Identity, Seat, group, seated};
use crate::io::Now;
use crate::likely::Likely;
use crate::select::{Absence, Agreement, Candidate, Impasse, Standing, Verdict, electorate, select};
use crate::source_id::SourceId;
use crate::track::Opinion;
use alloc::vec::Vec;
use ipc::units::{Leap, RawInstant, Span};
use protocol::reference_id::of_address;

/// From this many measurements on, the frequency of a source is known.
const EXPERIENCED: u32 = 8;

/// It drifts where its frequency differs from the middle one by so many standard deviations, or by fewer so
/// many times in a row; and by more than this, s/s.
const STRAYING: f64 = 4.0;
const STRAYING_A_LITTLE: f64 = 2.0;
const OFTEN: u8 = 24;
const LEAST_STRAYING: f64 = 0.1e-6;

/// True time according to the last selection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    estimate: Estimate,
    guard: Guard,
    /// Standard deviation of the systematic error, which more samples do not reduce, in seconds.
    systematic: f64,
    /// What the survivors show beyond the estimate's variance: errors that they have in common, and disagreement.
    beyond: f64,
    /// None: too little is known.
    likely: Option<Likely>,
    pub(crate) reference: Reference,
    /// Identifies the set of survivors: another number means other survivors.
    pub(crate) survivor_set: u64,
    /// When the newest of their samples was taken.
    pub(crate) heard: RawInstant,
}

/// The survivor that is published as the reference (the system peer).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reference {
    pub(crate) source: SourceId,
    pub(crate) reference_id: u32,
    /// Its stratum.
    pub(crate) stratum: u8,
    /// Root delay, in seconds.
    pub(crate) root_delay: f64,
    pub(crate) root_dispersion: f64,
    /// Seconds: the shortest poll interval among the survivors.
    pub(crate) interval: f64,
}

/// The result of a selection.
pub(crate) struct Finding {
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) line: Result<Line, Impasse>,
    /// The guards of the survivors excluded the estimate, or each other.
    pub(crate) guard_violated: bool,
    /// If each missing vote still counted, there would be no quorum.
    pub(crate) excuses: bool,
    /// What those announce that have a vote and agree on the time.
    pub(crate) announced: Vec<(Leap, Allegiance)>,
}

impl Line {
    /// Offset of the clock now, seconds; positive: it is behind.
    pub(crate) fn offset(&self, now: Now) -> f64 {
        let elapsed = now.raw.since(self.estimate.at).nanos() as f64 * 1e-9;
        let then = Estimate { at: now.raw, ..self.estimate };
        then.offset_of(now.wall.nanos()) + self.estimate.frequency * elapsed
    }

    /// Standard deviation of the offset.
    pub(crate) fn deviation(&self, at: RawInstant) -> f64 {
        libm::hypot(self.random_deviation(at), self.systematic)
    }

    /// Standard deviation of the offset as the survivors show it: to be published. A path that is asymmetric in the same way
    /// to all of them shows in nothing, and is part of the bound only.
    pub(crate) fn shown_deviation(&self, at: RawInstant) -> f64 {
        libm::hypot(self.random_deviation(at), libm::sqrt(self.beyond))
    }

    /// The random part of it, which changes from sample to sample.
    pub(crate) fn random_deviation(&self, at: RawInstant) -> f64 {
        libm::sqrt(self.estimate.variance_after(self.age(at)))
    }

    /// Seconds since the selection; 0 before it.
    fn age(&self, at: RawInstant) -> f64 {
        at.since(self.estimate.at).nanos().max(0) as f64 * 1e-9
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

    /// The hard interval at another instant.
    pub(crate) fn guard_at(&self, at: RawInstant) -> Guard {
        let elapsed = at.since(self.guard.at()).nanos() as f64 * 1e-9;
        let deviation = self.estimate.frequency_deviation(elapsed);
        self.guard.aged(at, self.estimate.frequency, deviation)
    }

    /// When it was drawn, and the instant of its guard.
    pub(crate) fn drawn(&self) -> (RawInstant, RawInstant) {
        (self.estimate.at, self.guard.at())
    }

    /// True time by the estimate, nanoseconds since 1970.
    pub(crate) fn utc(&self, at: RawInstant) -> i64 {
        let elapsed = at.since(self.estimate.at).nanos();
        let beyond = (self.estimate.rest + elapsed as f64 * 1e-9 * self.estimate.frequency) * 1e9;
        self.estimate.base.saturating_add(at.nanos()).saturating_add(beyond as i64)
    }

    /// The likely bounds of the offset inside these hard ones, and those if both ways take equally long.
    fn likely(&self, hard: (f64, f64), now: Now) -> [(f64, f64); 2] {
        let [offset, age] = [self.offset(now), self.age(now.raw)];
        self.likely.map_or([hard; 2], |likely| likely.within(hard, offset, &self.estimate, age))
    }

    /// These hard bounds of the offset, with the likely ones, the estimate and the distance. `is_doubted`: something contradicts the
    /// line.
    pub(crate) fn describe(&self, hard: (f64, f64), is_doubted: bool, now: Now) -> Bounds {
        let (low, high) = hard;
        let [likely, symmetric] = if is_doubted { [hard; 2] } else { self.likely(hard, now) };
        let (offset, deviation) = (self.offset(now), self.shown_deviation(now.raw));
        let Reference { root_delay, root_dispersion, .. } = self.reference;
        let distance =
            root_delay / 2.0 + root_dispersion + 1e-6 * self.age(now.raw) + offset.abs() + deviation;
        Bounds { low, high, likely, symmetric, offset, deviation, distance }
    }

    /// Dispersion that is added to the reference's own, seconds.
    pub(crate) fn dispersion(&self, now: Now) -> f64 {
        self.shown_deviation(now.raw) + self.offset(now).abs() + TOLERANCE * self.age(now.raw)
    }

    /// UTC itself moved by `nanos` (a leap second).
    pub(crate) fn shift(&mut self, nanos: i64) {
        self.estimate.base = self.estimate.base.saturating_add(nanos);
        self.guard.shift(nanos);
    }
}

/// A participant of the selection: a source, or an entry of the configuration that has none yet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Voter<'a> {
    /// None: an entry without a source.
    pub(crate) source: Option<SourceId>,
    pub(crate) identity: Identity<'a>,
    pub(crate) seat: Seat,
    /// None: it was never usable, or cannot be believed yet.
    pub(crate) opinion: Option<Opinion>,
    /// Of one without an opinion.
    pub(crate) absence: Absence,
    pub(crate) authenticated: bool,
    /// Authenticated by a symmetric key, not by NTS.
    pub(crate) keyed: bool,
    /// Numbers of the entries whose certificates show the same operator, where that is asked for.
    pub(crate) kin: Vec<u32>,
    pub(crate) prefer: bool,
    pub(crate) trust: bool,
    pub(crate) require: bool,
    /// A lower stratum counts as this, where its time is served on.
    pub(crate) min_stratum: u8,
    /// It was a survivor of the last selection.
    pub(crate) survived: bool,
    /// It agreed in the last selection, but is not used: it drifts, or is new.
    pub(crate) is_aside: bool,
    pub(crate) strays: u8,
    /// Between which offsets true time is by what Roughtime servers signed, seconds.
    pub(crate) signed: Option<(f64, f64)>,
    /// Seconds between its samples.
    pub(crate) interval: f64,
}

impl Voter<'_> {
    /// Whether signed time excludes its claim: then it is wrong, however many agree with it, and its vote is missing.
    fn is_refuted(&self) -> bool {
        let claim = self.opinion.map(|opinion| opinion.claim);
        claim.zip(self.signed).is_some_and(|(claim, (low, high))| claim.low > high || claim.high < low)
    }
}

/// The rules of a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Sources that were never heard may still answer.
    pub(crate) awaits_unheard: bool,
    /// How many sources must agree.
    pub(crate) minimum: usize,
    /// Some source is marked `require`.
    pub(crate) require: bool,
    /// A source with NTS must agree.
    pub(crate) require_nts: bool,
    /// Authenticated sources of at least two operators must agree, as their certificates show them too.
    pub(crate) attested: bool,
    /// The largest usable root distance.
    pub(crate) max_distance: Span,
    /// The largest usable jitter.
    pub(crate) max_jitter: Option<Span>,
}

/// The input of the selection: first those that were heard, then the others.
pub(crate) fn candidates(voters: &[Voter<'_>], rules: Rules) -> Vec<Candidate> {
    let (heard, silent): (Vec<&Voter<'_>>, Vec<&Voter<'_>>) =
        voters.iter().partition(|voter| voter.opinion.is_some());
    let everybody: Vec<&Voter<'_>> = heard.into_iter().chain(silent).collect();
    let identities: Vec<Identity<'_>> = everybody.iter().map(|voter| voter.identity).collect();
    let (groups, operators) = (group(&identities, true), group(&identities, false));
    let candidate = |(voter, (group, operator)): (&&Voter<'_>, (&usize, &usize))| Candidate {
        claim: voter.opinion.filter(|_| !voter.is_refuted()).map(|opinion| opinion.claim),
        absence: if voter.is_refuted() { Absence::Counted } else { voter.absence },
        live: voter.opinion.is_some_and(|opinion| {
            opinion.is_live() && !opinion.is_far(rules.max_distance) && !opinion.is_unsteady(rules.max_jitter)
        }),
        authenticated: voter.authenticated,
        keyed: voter.keyed,
        group: *group,
        operator: *operator,
        seat: voter.seat,
        upstream: voter.identity.upstream(),
        survived: voter.survived,
        prefer: voter.prefer,
        trust: voter.trust,
        require: voter.require,
    };
    everybody.iter().zip(groups.iter().zip(&operators)).map(candidate).collect()
}

/// Selects among `voters` and combines the survivors. There is a verdict for each one that has an opinion.
pub(crate) fn find(voters: &[Voter<'_>], rules: Rules, now: Now) -> Finding {
    let candidates = candidates(voters, rules);
    let (standings, agreement) = select(&candidates, rules.awaits_unheard, rules.minimum, rules.require);
    let excuses = agreement.is_ok() && needs_excuses(&candidates, rules);
    let votes = electorate(&candidates);
    let seats: Vec<_> =
        candidates.iter().map(|candidate| (candidate.seat, (candidate.group, candidate.upstream))).collect();
    let allegiances = seated(&seats);
    let heard = voters.iter().filter(|voter| voter.opinion.is_some());
    let heard = heard.filter_map(|voter| Some((voter, voter.opinion?, voter.source?)));
    let mut heard: Vec<Heard<'_>> = heard
        .zip(standings.iter().zip(candidates.iter().zip(&allegiances)))
        .map(|((voter, opinion, source), (standing, (candidate, allegiance)))| Heard {
            voter,
            opinion,
            votes: votes(candidate),
            allegiance: *allegiance,
            verdict: Verdict {
                source,
                standing: if voter.is_refuted() { Standing::Refuted } else { *standing },
                strays: voter.strays,
            },
        })
        .collect();
    find_drifting(&mut heard);
    let survivors: Vec<&Heard<'_>> =
        heard.iter().filter(|heard| heard.verdict.standing == Standing::Survivor).collect();
    let nts = survivors.iter().any(|survivor| survivor.voter.authenticated && !survivor.voter.keyed);
    let (mut line, guard_violated) = match agreement {
        Ok(agreement) => draw(&survivors, agreement, now),
        // The others might have been enough.
        Err(_) if voters.iter().any(Voter::is_refuted) => (Err(Impasse::Refuted), false),
        Err(impasse) => (Err(impasse), false),
    };
    let lacks_nts = !survivors.is_empty() && !nts;
    if rules.require_nts && lacks_nts && matches!(line, Ok(_) | Err(Impasse::Silent)) {
        line = Err(Impasse::Unauthenticated);
    }
    let agrees = |it: &&Heard<'_>| matches!(it.verdict.standing, Standing::Survivor | Standing::Spare);
    let is_one = || !has_strangers(&heard.iter().filter(agrees).collect::<Vec<_>>());
    if rules.attested && line.is_ok() && is_one() {
        line = Err(Impasse::TooFew);
    }
    let announced = heard.iter().filter(agrees).filter(|it| it.votes);
    let announced = announced.map(|it| (it.opinion.facts.leap, it.allegiance)).collect();
    let verdicts = heard.iter().map(|heard| heard.verdict).collect();
    Finding { verdicts, line, guard_violated, excuses, announced }
}

/// Whether two of these are authenticated and of different operators. A certificate that claims kinship with others takes nothing from
/// them: two that are strangers to each other are enough.
fn has_strangers(agreeing: &[&Heard<'_>]) -> bool {
    let authenticated = || agreeing.iter().filter(|it| it.voter.authenticated);
    authenticated().any(|one| {
        let is_stranger = |other: &&&Heard<'_>| {
            one.allegiance.0 != other.allegiance.0 && !one.voter.kin.contains(&other.voter.seat.entry)
        };
        authenticated().any(|other| is_stranger(&other))
    })
}

/// Whether these would lack a quorum if each missing vote counted.
fn needs_excuses(candidates: &[Candidate], rules: Rules) -> bool {
    let excused = |candidate: &Candidate| candidate.claim.is_none() && candidate.absence != Absence::Counted;
    if !candidates.iter().any(excused) {
        return false;
    }
    let counted: Vec<Candidate> =
        candidates.iter().map(|candidate| Candidate { absence: Absence::Counted, ..*candidate }).collect();
    select(&counted, rules.awaits_unheard, rules.minimum, rules.require).1.is_err()
}

/// A voter with an opinion, and the verdict on it.
struct Heard<'v> {
    voter: &'v Voter<'v>,
    opinion: Opinion,
    votes: bool,
    allegiance: Allegiance,
    verdict: Verdict,
}

/// All sources are measured with one oscillator, so all must find the same frequency in it. One that does not
/// drifts (or smears a leap second), and would pull the mean along for as long as its interval allows.
fn find_drifting(heard: &mut [Heard<'_>]) {
    let survivors: Vec<usize> =
        (0..heard.len()).filter(|place| heard[*place].verdict.standing == Standing::Survivor).collect();
    let knows = |place: &usize| heard[*place].opinion.samples >= EXPERIENCED;
    let (places, fresh): (Vec<usize>, Vec<usize>) = survivors.into_iter().partition(knows);
    // If most sources have been measured for long, one that was restarted can wait.
    if places.len() > fresh.len() + 1 {
        fresh.iter().for_each(|place| heard[*place].verdict.standing = Standing::Probation);
    }
    if places.len() < 3 {
        return;
    }
    let mut frequencies: Vec<f64> =
        places.iter().map(|place| heard[*place].opinion.estimate.frequency).collect();
    frequencies.sort_unstable_by(f64::total_cmp);
    let middle = frequencies[frequencies.len() / 2];
    let mut straying = Vec::new();
    for place in &places {
        let Heard { opinion, verdict, .. } = &mut heard[*place];
        let beside = (opinion.estimate.frequency - middle).abs() - LEAST_STRAYING;
        let deviations = beside / libm::sqrt(opinion.estimate.frequency_variance).max(1e-12);
        // A small difference can be random once, but not each time.
        verdict.strays = if deviations > STRAYING_A_LITTLE {
            verdict.strays.saturating_add(1).min(2 * OFTEN)
        } else {
            verdict.strays.saturating_sub(3)
        };
        if deviations > STRAYING || verdict.strays >= OFTEN {
            straying.push(*place);
        }
    }
    if 2 * straying.len() < places.len() {
        for place in straying {
            heard[place].verdict.standing = Standing::Drifting;
        }
    }
}

/// The line, and whether the survivors' guards excluded the estimate, or each other.
fn draw(survivors: &[&Heard<'_>], agreement: Agreement, now: Now) -> (Result<Line, Impasse>, bool) {
    let values: Vec<Survivor> = survivors
        .iter()
        .map(|Heard { opinion, .. }| Survivor {
            offset: opinion.offset,
            variance: opinion.estimate.variance,
            systematic: opinion.systematic,
            frequency: opinion.estimate.frequency,
            frequency_variance: opinion.estimate.frequency_variance,
        })
        .collect();
    // What has no vote is no reference.
    let nearest = survivors
        .iter()
        .min_by(|a, b| b.votes.cmp(&a.votes).then(a.opinion.distance.total_cmp(&b.opinion.distance)));
    let (Some(combined), Some(nearest)) = (combine(&values), nearest) else {
        return (Err(Impasse::Silent), false);
    };
    let reference = reference(nearest, survivors);
    let wall = now.wall.nanos();
    let deviation = libm::sqrt(combined.frequency_variance);
    let mut guard_violated = false;
    let agreed = Guard::of_offsets(now.raw, wall, agreement.low, agreement.high);
    let (mut hard, mut any): (Option<Guard>, Guard) = (None, agreed);
    for Heard { opinion: Opinion { guard, estimate, .. }, .. } in survivors {
        let Some(own) = guard else { continue };
        let elapsed = now.raw.since(own.at()).nanos() as f64 * 1e-9;
        let own = own.aged(now.raw, estimate.frequency, estimate.frequency_deviation(elapsed));
        any = any.hull(&own);
        let (both, fits) = hard.map_or((own, true), |hard| hard.cut(&own));
        guard_violated |= !fits;
        hard = Some(both);
    }
    // The claims of the majority are based on estimates: they are not hard bounds, and count only if there are no others.
    // Of hard bounds that exclude each other one is false, and nobody knows which: true time is in any of them.
    let guard = if guard_violated { any } else { hard.unwrap_or(agreed) };
    let (low, high) = guard.offsets(wall);
    // No estimate may leave the guard, however small its variance is.
    let offset = combined.offset.clamp(low, high.max(low));
    guard_violated |= (offset - combined.offset).abs() > 3.0 * libm::sqrt(combined.total);
    let (most_wander, beforehand) = survivors
        .iter()
        .map(|survivor| (survivor.opinion.estimate.most_wander, survivor.opinion.estimate.beforehand))
        .fold((f64::INFINITY, f64::INFINITY), |least, next| (least.0.min(next.0), least.1.min(next.1)));
    // All survivors are measured with the same oscillator, so its wander is the least that explains one of them.
    let (wander, covariance) = survivors
        .iter()
        .map(|survivor| (survivor.opinion.estimate.wander, survivor.opinion.estimate.covariance))
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
    let reaches = survivors.iter().filter_map(|Heard { opinion, .. }| Some((opinion.offset, opinion.reach?)));
    let likely = Likely::of(reaches, offset, combined.shown, reference.root_dispersion);
    let systematic = libm::sqrt((combined.total - combined.variance).max(0.0));
    let beyond = (combined.shown - combined.variance).max(0.0);
    // Ids are never used twice, so that the sum of their mixed bits tells one set from another.
    let survivor_set = survivors
        .iter()
        .map(|survivor| u64::from(survivor.verdict.source.number()) + 1)
        .map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
        .fold(0u64, u64::wrapping_add);
    let heard = survivors.iter().map(|survivor| survivor.opinion.heard).max().unwrap_or(now.raw);
    let line = Line { estimate, guard, systematic, beyond, likely, reference, survivor_set, heard };
    (Ok(line), guard_violated)
}

fn reference(nearest: &Heard<'_>, survivors: &[&Heard<'_>]) -> Reference {
    let Opinion { facts, minimum_delay, .. } = nearest.opinion;
    Reference {
        source: nearest.verdict.source,
        reference_id: match nearest.voter.identity.is_reference_clock() {
            true => facts.reference_id,
            false => of_address(nearest.voter.identity.ip),
        },
        // Of which server its reference id speaks, its own stratum says. A reference clock has 0: 1 is no wish.
        stratum: match nearest.voter.min_stratum {
            ..=1 => facts.stratum,
            least => facts.stratum.max(least),
        },
        root_delay: facts.root_delay + minimum_delay,
        root_dispersion: facts.root_dispersion,
        interval: survivors
            .iter()
            .map(|survivor| survivor.voter.interval)
            .fold(f64::INFINITY, f64::min)
            .min(131_072.0),
    }
}
