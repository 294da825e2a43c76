//! The estimator of one source: where true time is, and how fast it runs, against CLOCK_MONOTONIC_RAW.
//!
//! A bank of filters processes the same measurements. The filters differ in their model of the oscillator (the wander of
//! its frequency) and of the network (the distribution of jitter). Their likelihoods weight them, so that the data choose
//! the model. A measurement is not one offset with an error, but two bounds, one from each direction (`edge`). For this
//! reason the bank is better than a Kalman filter with the true parameters of oscillator and network, and jitter in one
//! direction causes no error (docs/estimator.md).
//!
//! A jump of the frequency (of a machine that was moved, or of the room temperature) is not wander, and hypotheses of more
//! wander would persist for hours. So a second bank, started again every few measurements with a large frequency variance,
//! processes the same measurements, and takes over when it explains them better.
//!
//! A single measurement that contradicts all earlier ones is held back. If three consecutive ones do, the server or the
//! oscillator has changed, and the filter starts again with the change that explains the three better. If three contradict
//! again before ten have fitted, neither did, and the filter begins from nothing (a saved frequency that is wrong by hundreds
//! of ppm). A path that became longer or shorter in one direction (`paths`) is not a contradiction: the other direction shows
//! that the offset is the same. Where its packets were late at that time, it looks like one at first; so that a path became
//! shorter is the third change that may explain the three.

#[allow(clippy::needless_range_loop, reason = "matrices, indexed as in the books")]
mod bank;
#[allow(clippy::needless_range_loop, reason = "matrices, indexed as in the books")]
mod belief;
mod calm;
mod delays;
mod edge;
mod paths;
mod refuted;
mod rehearsal;
mod suspects;

use crate::measurement::Measurement;
use alloc::boxed::Box;
use bank::Bank;
use delays::Delays;
use ipc::units::RawInstant;
use paths::{Longer, Paths, Verdict};
use refuted::Refuted;
use rehearsal::Rehearsal;
use suspects::Suspects;

/// How many consecutive contradictory measurements are held back before they are accepted.
const MAX_DOUBTS: u8 = 2;

/// From this many measurements on, the filter's standard deviation of the frequency is reliable.
const CONVINCED: u32 = 10;

/// Before that, six times this deviation covers every oscillator (s/s): a saved frequency may be wrong.
const ANY: f64 = 90e-6;

/// The frequency and its standard deviation where nothing is known, not even that it is one of the usual ones, s/s.
const UNKNOWN: (f64, f64) = (0.0, 1e-3);

/// From this lead on (a logarithm) a rival is right; and so many measurements it has to gain it.
const SUPERIOR: f64 = 6.0;
const RIVALRY: u32 = 8;

/// Fewer measurements than this cannot show a jump.
const ACQUAINTED: u32 = 4;

/// Jitter of a measurement without a round trip, as a share of its noise: its errors are early as often as late, and
/// jitter is only ever late.
const ONE_WAY: f64 = 0.5;

/// The estimate of a filter for one instant. In seconds; the frequency in s/s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    /// The instant.
    pub(crate) at: RawInstant,
    /// True time minus CLOCK_MONOTONIC_RAW, whole nanoseconds; to it belongs `rest`.
    pub(crate) base: i64,
    /// Rest of the offset.
    pub(crate) rest: f64,
    /// Variance of the offset.
    pub(crate) variance: f64,
    /// How much faster true time runs than CLOCK_MONOTONIC_RAW.
    pub(crate) frequency: f64,
    /// Variance of it.
    pub(crate) frequency_variance: f64,
    /// Covariance of both.
    pub(crate) covariance: f64,
    /// Typical wander of the frequency, s/s/√s.
    pub(crate) wander: f64,
    /// The largest wander that is not ruled out.
    pub(crate) most_wander: f64,
    /// Standard deviation of the frequency that was known beforehand, while there is little else; then 0.
    pub(crate) beforehand: f64,
}

impl Estimate {
    /// Offset of a clock that shows `wall` at the estimate's instant, in seconds; positive: it is behind.
    pub(crate) fn offset_of(&self, wall: i64) -> f64 {
        let whole = i128::from(self.base) + i128::from(self.at.nanos()) - i128::from(wall);
        whole as f64 * 1e-9 + self.rest
    }

    /// Variance of the offset after `ahead` more seconds without a measurement.
    pub(crate) fn variance_after(&self, ahead: f64) -> f64 {
        self.variance
            + ahead * (2.0 * self.covariance + ahead * self.frequency_variance)
            + self.wander_growth(ahead)
    }

    /// Standard deviation of the mean frequency over `ahead` more seconds, as an upper estimate.
    pub(crate) fn frequency_deviation(&self, ahead: f64) -> f64 {
        let learnt =
            libm::sqrt(self.frequency_variance + self.most_wander * self.most_wander * ahead.max(0.0));
        learnt.max(self.beforehand)
    }

    /// The part of that which wander alone adds.
    pub(crate) fn wander_growth(&self, ahead: f64) -> f64 {
        self.wander * self.wander * ahead * ahead * ahead / 3.0
    }
}

/// The result of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was used.
    Used,
    /// It contradicts the estimate. The next measurements decide.
    Doubtful,
    /// The third consecutive contradiction: the filter accepts it and starts again.
    Restarted,
}

/// The same measurements, under the hypothesis that the frequency jumped a while ago.
#[derive(Clone, Debug, PartialEq)]
struct Rival {
    bank: Bank,
    /// By how much it explains better what came since; a logarithm.
    lead: f64,
    age: u32,
}

impl Rival {
    /// Sees what `bank` has just learnt, with a likelihood of `fit`, and takes its place where it knows better:
    /// then true. `path`: how much better a path of before explains it.
    fn compete(
        &mut self,
        bank: &mut Bank,
        (fit, path): (f64, f64),
        measurement: &Measurement,
        scale: f64,
    ) -> bool {
        self.bank.advance(measurement.at);
        self.lead += self.bank.learn(measurement, scale) - fit;
        self.age += 1;
        let wins = self.lead > SUPERIOR + path;
        if wins {
            core::mem::swap(bank, &mut self.bank);
        } else if self.age < RIVALRY {
            return false;
        }
        self.bank.follow_a_jump_of(bank);
        (self.lead, self.age) = (0.0, 0);
        wins
    }
}

/// Measurements before which each one is accepted.
const JUDGED: u32 = 6;

/// See the module's head.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Filter {
    prior: (f64, f64),
    /// The prior was measured, before the offset was forgotten.
    is_measured: bool,
    bank: Option<Bank>,
    /// While measurements are few.
    rehearsal: Option<Rehearsal>,
    rival: Option<Rival>,
    /// While there is doubt.
    suspects: Option<Box<Suspects>>,
    /// It was started again, and too little has fitted since to say that this was right.
    unsettled: bool,
    /// Measurements that have fitted since the counter seemed to have stood still.
    since_standstill: u32,
    delays: Delays,
    paths: Paths,
    refuted: Refuted,
    doubts: u8,
    jitter: f64,
    samples: u32,
    /// Its first measurement, before which the frequency was not measured by it.
    begun: Option<RawInstant>,
}

impl Filter {
    /// An empty filter. What is known of the frequency beforehand comes with [`Self::expect`].
    pub(crate) fn new() -> Self {
        Self {
            prior: UNKNOWN,
            is_measured: false,
            bank: None,
            rehearsal: None,
            rival: None,
            suspects: None,
            unsettled: false,
            since_standstill: CONVINCED,
            delays: Delays::new(),
            paths: Paths::new(),
            refuted: Refuted::new(),
            doubts: 0,
            jitter: 0.0,
            samples: 0,
            begun: None,
        }
    }

    /// Whether a measurement has been seen.
    pub(crate) fn is_empty(&self) -> bool {
        self.bank.is_none()
    }

    /// Measurements used since the last start.
    pub(crate) fn samples(&self) -> u32 {
        self.samples
    }

    /// The frequency to start from and its standard deviation (s/s); of no effect once there are
    /// measurements, or where earlier ones have told it better.
    pub(crate) fn expect(&mut self, frequency: f64, deviation: f64) {
        let is_better = self.is_measured && self.prior.1 <= deviation;
        if self.bank.is_none() && !is_better {
            self.prior = (frequency, deviation);
            self.is_measured = false;
        }
    }

    /// Takes a measurement. `is_sudden`: if it contradicts the earlier ones, it does so by more than any frequency explains.
    pub(crate) fn take(&mut self, measurement: &Measurement, is_sudden: bool) -> Outcome {
        if !measurement.is_one_way() {
            self.delays.learn(measurement.delay);
        }
        let Some(bank) = &mut self.bank else {
            self.bank = Some(Bank::new(measurement, self.prior));
            self.rehearsal = Some(Rehearsal::new(measurement, self.prior));
            self.samples = 1;
            if !self.is_measured {
                self.begun = Some(measurement.at);
            }
            return Outcome::Used;
        };
        bank.advance(measurement.at);
        let fit = bank.fit(measurement);
        // Half of what is too much there and too little back.
        let residual = 0.5 * (fit.rests[0] - fit.rests[1]);
        // At the beginning every measurement is accepted.
        if self.samples >= JUDGED {
            let is_new_path = match self.paths.compare(&fit) {
                Verdict::Fits => false,
                // As long as the first ones are rehearsed, they are begun anew around the fastest.
                Verdict::Shorter(..) if self.rehearsal.is_some() => false,
                Verdict::Shorter(way, by) => {
                    bank.reroute(way, by);
                    self.delays.change_path(1);
                    true
                }
                Verdict::Longer(ways) => {
                    let mut longest = 0;
                    for (way, longer) in ways.into_iter().enumerate() {
                        let Some(Longer { run, by }) = longer else { continue };
                        bank.reroute(way, by);
                        longest = longest.max(run);
                    }
                    self.delays.change_path(longest);
                    true
                }
                Verdict::LongerTogether(Longer { run, by }) => {
                    bank.reroute_together(by);
                    self.delays.change_path(run);
                    true
                }
                Verdict::Restored(ways) => {
                    let mut longest = 0;
                    for (way, restored) in ways.into_iter().enumerate() {
                        let Some(run) = restored else { continue };
                        bank.restore(way);
                        longest = longest.max(run);
                    }
                    self.delays.return_to_path(longest);
                    true
                }
                // The first ones may have been misjudged, and no estimate outside of what an exchange allows is right.
                Verdict::Contradicts(..)
                    if self.rehearsal.is_some() && !is_sudden && refuted::is_outside(bank, measurement) =>
                {
                    self.begin_again(measurement);
                    return Outcome::Restarted;
                }
                Verdict::Contradicts(way, early) => {
                    self.doubts += 1;
                    let scale = scale(&self.delays, measurement);
                    match &mut self.suspects {
                        Some(suspects) => suspects.learn(measurement, scale),
                        None => {
                            let early = (way, early);
                            let suspects =
                                Suspects::new(bank, early, residual, measurement, scale, is_sudden);
                            self.suspects = Some(suspects);
                        }
                    }
                    if self.doubts <= MAX_DOUBTS {
                        return Outcome::Doubtful;
                    }
                    let suspects = self.suspects.take();
                    self.rehearsal = None;
                    self.paths = Paths::new();
                    self.rival = None;
                    self.doubts = 0;
                    if let Some(suspects) = suspects.as_ref().filter(|it| it.is_path()) {
                        *bank = suspects.shorter.clone();
                        self.delays.change_path(usize::from(MAX_DOUBTS) + 1);
                        self.samples = self.samples.saturating_add(1);
                        return Outcome::Used;
                    }
                    let fitted = core::mem::replace(&mut self.since_standstill, 0);
                    match suspects.as_ref().filter(|it| it.is_sudden) {
                        Some(suspects) if fitted >= CONVINCED => {
                            *bank = suspects.moved.clone();
                            return Outcome::Restarted;
                        }
                        // A counter that stands still over and over is a frequency that is wrong.
                        Some(_) => self.unsettled = true,
                        None => {}
                    }
                    if core::mem::replace(&mut self.unsettled, true) {
                        // Neither a jump of the oscillator nor a step of the server has explained it the last time: what
                        // was thought of the frequency is wrong, by more than such a jump.
                        self.prior = UNKNOWN;
                        self.begun = Some(measurement.at);
                        *bank = Bank::new(measurement, UNKNOWN);
                        self.rehearsal = Some(Rehearsal::new(measurement, UNKNOWN));
                    } else if let Some(suspects) = suspects {
                        *bank = suspects.likelier();
                    }
                    self.samples = 1;
                    self.jitter = 0.0;
                    return Outcome::Restarted;
                }
            };
            self.suspects = None;
            if is_new_path {
                self.rehearsal = None;
                self.rival = None;
            }
        }
        self.doubts = 0;
        self.jitter += (residual.abs() - self.jitter) / f64::from(self.samples.clamp(1, 8));
        self.rehearsal.take_if(|rehearsal| rehearsal.is_over());
        if let Some(calm) = self.rehearsal.as_mut().and_then(|rehearsal| rehearsal.add(measurement)) {
            self.delays = calm;
        }
        let scale = scale(&self.delays, measurement);
        let fit = match &self.rehearsal {
            Some(rehearsal) => {
                let fit;
                (*bank, fit) = rehearsal.learn(scale);
                fit
            }
            None => bank.learn(measurement, scale),
        };
        if let Some(rival) = &mut self.rival {
            if rival.compete(bank, (fit, self.paths.lead()), measurement, scale) {
                self.rehearsal = None;
            }
        } else if self.samples >= ACQUAINTED && !bank.has_a_new_path() {
            self.rival = Some(Rival { bank: bank.had_it_jumped(), lead: 0.0, age: 0 });
        }
        if self.samples >= ACQUAINTED && self.refuted.judge(bank, measurement, scale) {
            self.begin_again(measurement);
            return Outcome::Restarted;
        }
        self.samples = self.samples.saturating_add(1);
        self.since_standstill = self.since_standstill.saturating_add(1);
        self.unsettled &= self.samples < CONVINCED;
        Outcome::Used
    }

    /// Forgets all but what was known beforehand, and begins with this measurement. The second time before anything has fitted
    /// that was wrong too: a saved frequency, for instance.
    fn begin_again(&mut self, measurement: &Measurement) {
        if core::mem::replace(&mut self.unsettled, true) && self.prior.1 < ANY {
            self.prior = UNKNOWN;
        }
        self.bank = Some(Bank::new(measurement, self.prior));
        self.rehearsal = Some(Rehearsal::new(measurement, self.prior));
        self.begun = Some(measurement.at);
        self.rival = None;
        self.suspects = None;
        self.paths = Paths::new();
        self.refuted = Refuted::new();
        self.doubts = 0;
        self.samples = 1;
        self.jitter = 0.0;
    }

    /// The estimate at `at`; none before the first measurement.
    pub(crate) fn estimate(&self, at: RawInstant) -> Option<Estimate> {
        let beforehand = if !self.is_convinced() { self.prior.1.max(ANY) } else { 0.0 };
        self.bank.as_ref().map(|bank| Estimate { beforehand, ..bank.estimate(at) })
    }

    /// Whether its standard deviations are reliable, as far as is known.
    pub(crate) fn is_convinced(&self) -> bool {
        self.samples >= CONVINCED && !self.refuted.is_contested()
    }

    /// UTC itself moved by `nanos` against the counter (a leap second).
    pub(crate) fn shift(&mut self, nanos: i64) {
        if let Some(bank) = &mut self.bank {
            bank.shift(nanos);
        }
        if let Some(rehearsal) = &mut self.rehearsal {
            rehearsal.shift(nanos);
        }
        if let Some(rival) = &mut self.rival {
            rival.bank.shift(nanos);
        }
        if let Some(suspects) = &mut self.suspects {
            suspects.banks().into_iter().for_each(|bank| bank.shift(nanos));
        }
    }

    /// The counter stood still (the host was suspended): the offset is dropped, and the variance of the frequency increased.
    pub(crate) fn forget_offset(&mut self) {
        self.rehearsal = None;
        self.rival = None;
        self.suspects = None;
        self.paths = Paths::new();
        if let Some(bank) = self.bank.take() {
            let last = bank.estimate(bank.at());
            self.prior = (last.frequency, libm::sqrt(last.frequency_variance) + 0.5e-6);
            self.is_measured = true;
            self.samples = 0;
            self.doubts = 0;
            self.jitter = 0.0;
        }
    }

    /// Seconds over which its frequency has been tested by measurements.
    pub(crate) fn tested(&self, at: RawInstant) -> f64 {
        self.begun.map_or(0.0, |begun| at.since(begun).nanos().max(0) as f64 * 1e-9)
    }

    /// Standard deviation of a single measurement, seconds.
    pub(crate) fn deviation(&self) -> f64 {
        libm::sqrt(self.typical_variance())
    }

    /// Whether it is so young that a measurement that contradicts the others does not show as such.
    pub(crate) fn is_young(&self) -> bool {
        self.samples < JUDGED
    }

    /// Whether the last measurement contradicted the ones before.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.doubts > 0
    }

    /// Mean absolute prediction error of the last measurements, in seconds.
    pub(crate) fn jitter(&self) -> f64 {
        self.jitter
    }

    /// Shortest recent delay, seconds; none before the first measurement.
    pub(crate) fn minimum_delay(&self) -> Option<f64> {
        self.delays.minimum()
    }

    /// Mean delay of one way above its minimum, by the round trips; seconds.
    pub(crate) fn excess(&self) -> f64 {
        self.delays.scale()
    }

    /// Variance that a typical measurement has by itself.
    pub(crate) fn typical_variance(&self) -> f64 {
        self.delays.typical_variance()
    }

    /// Whether the shortest delay jumped: the path has changed, perhaps in one direction only.
    pub(crate) fn path_changed(&self) -> bool {
        self.delays.path_changed()
    }
}

/// Jitter of one way, seconds: what the round trips say, or, where there are none, what the measurement says itself.
fn scale(delays: &Delays, measurement: &Measurement) -> f64 {
    if measurement.is_one_way() { measurement.noise * ONE_WAY } else { delays.scale() }
}

#[cfg(test)]
mod tests;
