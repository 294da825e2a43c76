//! What a source's replies and samples are judged to be, and what is learnt from them.

use super::{Answer, BURST, Source};
use crate::filter::Outcome;
use crate::history::Came;
use crate::interleaved::{Asked, Heard};
use crate::io::Now;
use crate::measured::Learned;
use crate::measurement::{Measurement, Stamps, Times};
use crate::reference_clock::header as of_clock;
use crate::sample::Sample;
use crate::sanity::{Expectations, Facts, Verdict, examine, unix_nanos};
use ipc::message::client::ReplyHeader;
use ipc::units::RawInstant;
use protocol::kiss::KissCode;
use report::RejectReason;

impl Source {
    /// It answers, but its time is not used, for a reason that is not in the header.
    pub(crate) fn refuse(&mut self, reason: RejectReason, header: &ReplyHeader, now: Now) {
        self.discard(reason, &self.came(header, None, now));
        self.heard(Facts::of(header), now.raw);
        self.unused = Some(reason);
    }

    /// A reply to it; `stamps`: none where they are of no use, or were not looked at.
    pub(crate) fn came<'a>(&self, header: &'a ReplyHeader, stamps: Option<Stamps>, now: Now) -> Came<'a> {
        Came { header, poll: self.poll_process.poll.exponent(), stamps, interleaved: false, now }
    }

    /// What passed for a reply is of no use.
    pub(crate) fn discard(&mut self, reason: RejectReason, came: &Came<'_>) {
        self.counters.reject(reason);
        self.history.failed(reason, came);
    }

    /// Tests a reply and learns from it. `times`: those of this exchange by this host's clock. `interleaved`: what its query asked for, if
    /// the reply is in that mode. `prior`: the prior frequency and its standard deviation.
    pub(crate) fn answer(
        &mut self,
        header: &ReplyHeader,
        (times, interleaved): (Times, Option<&Asked>),
        expected: &Expectations<'_>,
        is_near_leap: impl Fn(i64) -> bool,
        prior: (f64, f64),
        now: Now,
    ) -> Answer {
        let mut measured = None;
        let track = &self.track;
        let choose = |t2, t3| {
            let own = Times { t2, t3: if interleaved.is_some() { t2 } else { t3 }, ..times };
            // The exchange before says nothing of now where this one contradicts what is known.
            let earlier = interleaved.filter(|_| track.fits(&own, expected.correction));
            let times = earlier.map_or(own, |asked| asked.times(t3));
            measured = Some((times, earlier));
            times
        };
        let verdict = examine(header, choose, expected);
        let stamps = measured.map(|(times, _)| times.stamps);
        let came = Came { interleaved: interleaved.is_some(), ..self.came(header, stamps, now) };
        let verdict = match verdict {
            Ok(verdict) => verdict,
            Err(reason) => {
                self.discard(reason, &came);
                return Answer::Silent(reason);
            }
        };
        let t2 = unix_nanos(header.receive_timestamp, expected.floor);
        let facts = Facts::of(header);
        let mut heard = Heard {
            asked: interleaved,
            receive: header.receive_timestamp,
            times: Times { t2, ..times },
            root: (facts.root_delay, facts.root_dispersion),
            sent: self.counters.sent,
            is_measured: false,
            is_good: false,
        };
        match verdict {
            Verdict::Kiss(code) => {
                self.discard(RejectReason::Kiss, &came);
                self.kissed(code, Facts::of(header), now.raw);
                Answer::Kiss(code)
            }
            Verdict::Unusable(reason, facts) => {
                self.discard(reason, &came);
                self.heard(facts, now.raw);
                self.interleaving.heard(&heard);
                self.unused = Some(reason);
                Answer::Unusable(reason)
            }
            Verdict::Usable(measurement, facts) => {
                let measurement = measurement.corrected(expected.correction);
                if is_near_leap(measurement.offset.saturating_add(measurement.at.nanos())) {
                    self.discard(RejectReason::Discontinuity, &came);
                    return Answer::Silent(RejectReason::Discontinuity);
                }
                self.heard(facts, now.raw);
                let Some((times, earlier)) = measured else {
                    return Answer::Silent(RejectReason::BadInterval);
                };
                let is_news = earlier.is_none_or(|asked| self.interleaving.is_news(asked));
                // Of a time near a leap second it is not known on which side it lies.
                (heard.is_measured, heard.is_good) = (earlier.is_none(), !is_near_leap(t2));
                self.interleaving.heard(&heard);
                if !is_news {
                    return Answer::Known;
                }
                self.interleaving.measured(&times);
                let (facts, sent) = match earlier {
                    Some(asked) => (asked.facts(facts), asked.sent()),
                    None => (facts, self.counters.sent),
                };
                let outcome = self.learn(measurement, facts, sent, prior, now);
                let learned = Learned::by(&self.track.filter, now);
                self.history.measured(&measurement, &facts, outcome, learned, &came);
                Answer::Sample(outcome)
            }
        }
    }

    /// Learns from a sample that was not asked for.
    pub(crate) fn take_sample(&mut self, sample: &Sample, prior: (f64, f64), now: Now) -> Outcome {
        let Sample { measurement, facts } = sample;
        self.heard(*facts, now.raw);
        let outcome = self.track.take(sample, prior, now);
        let learned = Learned::by(&self.track.filter, now);
        let header = of_clock(facts, self.poll_process.poll.exponent());
        let came = self.came(&header, None, now);
        self.history.measured(measurement, facts, outcome, learned, &came);
        self.unused = None;
        outcome
    }

    fn heard(&mut self, facts: Facts, now: RawInstant) {
        self.counters.valid = self.counters.valid.saturating_add(1);
        self.facts = Some(facts);
        self.last_valid = Some(now);
        self.obstacle = None;
        self.silence_told = false;
        self.poll_process.answered(now);
    }

    fn kissed(&mut self, code: KissCode, facts: Facts, now: RawInstant) {
        self.kiss = Some(code);
        if self.wants_fewer() {
            self.obstacle = None;
            self.silence_told = false;
            self.poll_process.kissed(code == KissCode::Rate, self.authenticated, now);
        } else {
            // As without a code: a server that has no time to tell.
            self.heard(facts, now);
        }
        if code != KissCode::Rate {
            self.unused = Some(RejectReason::Kiss);
        }
    }

    fn learn(
        &mut self,
        measurement: Measurement,
        facts: Facts,
        sent: u64,
        prior: (f64, f64),
        now: Now,
    ) -> Outcome {
        let before = self.track.filter.estimate(measurement.at);
        let is_first_of_use = self.unused.is_some() && !self.is_heard();
        self.poll_process.poll.note_delay(Some(measurement.delay));
        let outcome = self.track.take(&Sample::of_exchange(measurement, facts), prior, now);
        match (outcome, before) {
            (Outcome::Used, Some(before)) => {
                let residual = measurement.offset.saturating_sub(before.base) as f64 * 1e-9 - before.rest;
                self.arrivals.take(residual, measurement.delay, sent);
            }
            (Outcome::Restarted, _) => self.arrivals.forget(),
            (Outcome::Used, None) | (Outcome::Doubtful, _) => {}
        }
        match outcome {
            Outcome::Doubtful => self.poll_process.hurry(now.raw),
            Outcome::Restarted => self.poll_process.settle(now.raw),
            Outcome::Used => {
                let filter = &self.track.filter;
                if let Some(estimate) = filter.estimate(now.raw)
                    && filter.samples() > u32::from(BURST)
                {
                    let tested = filter.tested(now.raw);
                    self.poll_process.choose(&estimate, filter.typical_variance(), tested, now.raw);
                }
            }
        }
        if is_first_of_use {
            self.poll_process.begin_again(now.raw);
        }
        self.unused = None;
        self.kiss = None;
        outcome
    }
}
