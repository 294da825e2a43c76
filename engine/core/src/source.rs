//! One source: its exchanges, its reachability, its poll schedule, and what it is worth.

use crate::entries::SourceId;
use crate::filter::{Estimate, Filter, Outcome};
use crate::guard::Guard;
use crate::io::Now;
use crate::nonce::Nonces;
use crate::poll::{Poll, span};
use crate::sanity::{Expectations, Facts, RejectReason, Verdict, examine};
use crate::select::{Claim, Standing};
use crate::settings::SourceSettings;
use ipc::address::Address;
use ipc::message::client::{Rejected, ReplyHeader};
use ipc::units::{RawInstant, Span};
use protocol::kiss::KissCode;

/// Queries in quick succession at the start.
const BURST: u8 = 4;

/// Seconds between them.
const QUICK: f64 = 0.15;

/// Seconds between the queries that follow a burst, until the poll interval is reached: they find the
/// frequency.
const SETTLING: [f64; 4] = [2.0, 4.0, 8.0, 16.0];

/// How much poll intervals are spread by chance.
const SPREAD: f64 = 0.02;

/// Valid replies until a newcomer has a vote.
const PROBATION: u64 = 8;

/// How long an authenticated refusal is respected.
const REFUSED: Span = Span::from_secs(86_400);

/// A source farther than this from true time, by its own word, is not used. Seconds.
const MOST_DISTANCE: f64 = 3.0;

/// What was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) sent: u64,
    pub(crate) valid: u64,
    pub(crate) rejected: [u64; RejectReason::COUNT],
}

impl Counters {
    fn add(&mut self, reason: RejectReason, count: u32) {
        let place = &mut self.rejected[reason as usize];
        *place = place.saturating_add(u64::from(count));
    }

    /// One reply was thrown away here.
    pub(crate) fn reject(&mut self, reason: RejectReason) {
        self.add(reason, 1);
    }

    /// What the client role threw away.
    pub(crate) fn add_rejected(&mut self, rejected: &Rejected) {
        for (reason, count) in [
            (RejectReason::Malformed, rejected.malformed),
            (RejectReason::Mode, rejected.mode),
            (RejectReason::Version, rejected.version),
            (RejectReason::Origin, rejected.origin),
            (RejectReason::Source, rejected.source),
            (RejectReason::UnexpectedMac, rejected.unexpected_mac),
        ] {
            self.add(reason, count);
        }
    }
}

/// What a reply changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing but a count.
    Silent(RejectReason),
    /// The source is there, but its time is not used.
    Unusable(RejectReason),
    /// A kiss-o'-death.
    Kiss(KissCode),
    /// A measurement.
    Sample(Outcome),
}

/// What a source claims at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Opinion {
    pub(crate) claim: Claim,
    /// Offset of the clock, seconds; positive: it is behind.
    pub(crate) offset: f64,
    /// What its filter knows of this instant.
    pub(crate) estimate: Estimate,
    /// Of so many samples.
    pub(crate) samples: u32,
    pub(crate) guard: Option<Guard>,
    /// From the last usable reply.
    pub(crate) facts: Facts,
    /// Shortest recent round trip, seconds.
    pub(crate) minimum_delay: f64,
    /// Half of the claim's width.
    pub(crate) distance: f64,
    /// Variance of what it may be off by for good.
    pub(crate) systematic: f64,
}

impl Opinion {
    /// Whether its time may be used now.
    pub(crate) fn is_live(&self) -> bool {
        self.claim.middle.is_some()
    }

    /// Whether it is too far from true time by its own word.
    pub(crate) fn is_far(&self) -> bool {
        self.distance > MOST_DISTANCE
    }
}

/// One address that is queried.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Source {
    pub(crate) id: SourceId,
    pub(crate) address: Address,
    pub(crate) filter: Filter,
    /// From the last usable reply.
    pub(crate) facts: Option<Facts>,
    /// From the last valid reply.
    pub(crate) said: Option<Facts>,
    /// Why the last valid reply was not usable.
    pub(crate) trouble: Option<RejectReason>,
    /// The kiss that is in force.
    pub(crate) kiss: Option<KissCode>,
    /// The last reply can't be true if the ones before were.
    pub(crate) contradicts: bool,
    pub(crate) guard: Option<Guard>,
    pub(crate) reach: u8,
    pub(crate) poll: Poll,
    pub(crate) next: RawInstant,
    pub(crate) last_valid: Option<RawInstant>,
    pub(crate) last_usable: Option<RawInstant>,
    pub(crate) standing: Option<Standing>,
    pub(crate) counters: Counters,
    /// Selections in a row in which its frequency was beside that of the others.
    pub(crate) strays: u8,
    /// Its replies are authenticated.
    pub(crate) authenticated: bool,
    /// Its keys were exchanged with a certificate that could not be judged: it has no vote.
    pub(crate) provisional: bool,
    /// It refuses to serve us, and means it: not asked before.
    pub(crate) stopped_until: Option<RawInstant>,
    /// It came after the start, from a name server: it has no vote until it has been measured a while.
    pub(crate) newcomer: bool,
    burst: bool,
    quick: u8,
    settling: u8,
    /// Queries since the last valid reply.
    unanswered: u32,
}

impl Source {
    pub(crate) fn new(id: SourceId, address: Address, settings: &SourceSettings, now: RawInstant) -> Self {
        Self {
            id,
            address,
            filter: Filter::new(),
            facts: None,
            said: None,
            trouble: None,
            kiss: None,
            contradicts: false,
            guard: None,
            reach: 0,
            poll: Poll::new(settings.min_poll, settings.max_poll),
            next: now,
            last_valid: None,
            last_usable: None,
            standing: None,
            counters: Counters { sent: 0, valid: 0, rejected: [0; RejectReason::COUNT] },
            strays: 0,
            authenticated: settings.nts.is_some(),
            provisional: false,
            stopped_until: None,
            newcomer: false,
            burst: settings.burst,
            quick: if settings.burst { BURST - 1 } else { 0 },
            settling: if settings.burst { 0 } else { SETTLING.len() as u8 },
            unanswered: 0,
        }
    }

    /// Whether it was ever usable: then it has a vote.
    pub(crate) fn is_heard(&self) -> bool {
        self.last_usable.is_some()
    }

    /// Whether its time may be used now.
    pub(crate) fn is_live(&self) -> bool {
        self.reach != 0 && self.trouble.is_none() && !self.filter.is_empty() && !self.filter.is_doubtful()
    }

    /// Whether it has not yet earned a vote.
    pub(crate) fn is_on_probation(&self) -> bool {
        self.newcomer && self.counters.valid < PROBATION
    }

    /// Whether its first queries have all been answered, or it has none.
    pub(crate) fn is_warm(&self) -> bool {
        self.filter.samples() >= if self.burst { u32::from(BURST) } else { 1 }
    }

    /// Takes what a selection said of it; none: it was not among those that were selected from.
    pub(crate) fn stand(&mut self, verdict: Option<&crate::system::Verdict>) {
        self.standing = match verdict {
            Some(verdict) => {
                self.strays = verdict.strays;
                Some(verdict.standing)
            }
            None => self.is_on_probation().then_some(Standing::Probation),
        };
    }

    /// When it is asked next.
    pub(crate) fn due(&self) -> RawInstant {
        self.stopped_until.map_or(self.next, |until| until.max(self.next))
    }

    /// It can't be asked, because there is no cookie: after a moment where one may be on its way, else after an
    /// interval, and as if it had not answered.
    pub(crate) fn skip(&mut self, now: RawInstant, is_asking: bool) {
        if is_asking {
            self.next = now.after(span(1.0));
        } else {
            self.reach <<= 1;
            self.next = now.after(span(self.poll.interval()));
        }
    }

    /// It answers, but its time is not used, for a reason that isn't in the header.
    pub(crate) fn refuse(&mut self, reason: RejectReason, header: &ReplyHeader, now: RawInstant) {
        self.counters.reject(reason);
        self.heard(Facts::of(header), now);
        self.trouble = Some(reason);
    }

    /// Four queries and no reply: where there is another address, it may be better.
    pub(crate) fn is_silent(&self) -> bool {
        self.unanswered >= 4
    }

    /// Eight queries and no reply.
    pub(crate) fn is_dead(&self) -> bool {
        self.unanswered >= 8
    }

    /// A query leaves now; the next one is planned.
    pub(crate) fn transmit(&mut self, now: RawInstant, nonces: &mut Nonces) {
        self.reach <<= 1;
        self.counters.sent = self.counters.sent.saturating_add(1);
        self.unanswered = self.unanswered.saturating_add(1);
        let interval = self.poll.interval();
        let seconds = if self.quick > 0 {
            self.quick -= 1;
            QUICK.min(interval) * nonces.factor(0.2)
        } else if let Some(settling) = SETTLING.get(usize::from(self.settling))
            && *settling < interval
        {
            self.settling += 1;
            settling * nonces.factor(SPREAD)
        } else {
            if self.is_dead() {
                self.poll.back_off();
            }
            interval * nonces.factor(SPREAD)
        };
        self.next = now.after(span(seconds));
    }

    /// A few queries now, as at the start.
    pub(crate) fn start_burst(&mut self, now: RawInstant) {
        self.quick = BURST - 1;
        self.next = now;
    }

    /// Everything that depends on the counter having run on is forgotten (the machine slept).
    pub(crate) fn forget_time(&mut self, now: RawInstant) {
        self.filter.forget_offset();
        self.guard = None;
        self.contradicts = false;
        self.settle(now);
        self.start_burst(now);
    }

    fn settle(&mut self, now: RawInstant) {
        self.poll.fastest();
        self.settling = if self.burst { 0 } else { SETTLING.len() as u8 };
        self.plan(now);
    }

    /// The next query no later than a poll interval from now.
    fn plan(&mut self, now: RawInstant) {
        let latest = now.after(span(self.poll.interval()));
        if self.next > latest {
            self.next = latest;
        }
    }

    /// Judges a reply and learns from it. `prior`: what is known of the frequency beforehand, with its
    /// standard deviation.
    pub(crate) fn answer(
        &mut self,
        header: &ReplyHeader,
        times: impl FnOnce(i64, i64) -> crate::measurement::Times,
        expected: &Expectations<'_>,
        is_near_leap: impl FnOnce(i64) -> bool,
        prior: (f64, f64),
        now: Now,
    ) -> Answer {
        let verdict = match examine(header, times, expected) {
            Ok(verdict) => verdict,
            Err(reason) => {
                self.counters.reject(reason);
                return Answer::Silent(reason);
            }
        };
        match verdict {
            Verdict::Kiss(code) => {
                self.counters.reject(RejectReason::Kiss);
                self.kissed(code, now.raw);
                Answer::Kiss(code)
            }
            Verdict::Unusable(reason, facts) => {
                self.counters.reject(reason);
                self.heard(facts, now.raw);
                self.trouble = Some(reason);
                Answer::Unusable(reason)
            }
            Verdict::Usable(measurement, facts) => {
                if is_near_leap(measurement.offset.saturating_add(measurement.at.nanos())) {
                    self.counters.reject(RejectReason::Discontinuity);
                    return Answer::Silent(RejectReason::Discontinuity);
                }
                self.heard(facts, now.raw);
                Answer::Sample(self.learn(&measurement, facts, prior, now))
            }
        }
    }

    fn heard(&mut self, facts: Facts, now: RawInstant) {
        let returns = self.is_dead();
        self.counters.valid = self.counters.valid.saturating_add(1);
        self.unanswered = 0;
        self.reach |= 1;
        self.said = Some(facts);
        self.last_valid = Some(now);
        if returns {
            self.settle(now);
            if self.burst {
                self.start_burst(now.after(span(QUICK)));
            }
        }
    }

    fn kissed(&mut self, code: KissCode, now: RawInstant) {
        match code {
            KissCode::Deny | KissCode::Restricted => {
                self.poll.slowest();
                self.trouble = Some(RejectReason::Kiss);
                // Anybody can forge a plain refusal; this one is the server's own.
                self.stopped_until = self.authenticated.then(|| now.after(REFUSED));
            }
            KissCode::Rate => self.poll.slow_down(),
            KissCode::NtsNak | KissCode::Other(_) => return,
        }
        self.kiss = Some(code);
        self.quick = 0;
        self.settling = SETTLING.len() as u8;
        self.next = now.after(span(self.poll.interval()));
    }

    fn learn(
        &mut self,
        measurement: &crate::measurement::Measurement,
        facts: Facts,
        prior: (f64, f64),
        now: Now,
    ) -> Outcome {
        let wall = now.wall.nanos();
        let root = facts.root_delay / 2.0 + facts.root_dispersion;
        self.filter.expect(prior.0, prior.1);
        let before = self.filter.estimate(now.raw);
        let outcome = self.filter.learn(measurement);
        let newest = Guard::of(measurement, root);
        let (low, high) = newest.offsets(wall);
        // Hard bounds of before and of now that exclude each other: no noise explains that.
        self.contradicts = outcome == Outcome::Doubtful
            && self.opinion(now).is_some_and(|old| old.claim.high < low || old.claim.low > high);
        match outcome {
            Outcome::Doubtful => self.plan_soon(now.raw),
            Outcome::Restarted => {
                self.guard = Some(newest);
                self.settle(now.raw);
            }
            Outcome::Used => {
                let aged = self.guard.zip(before).map(|(guard, estimate)| {
                    let elapsed = newest.at().since(guard.at()).nanos() as f64 * 1e-9;
                    guard.aged(newest.at(), estimate.frequency, estimate.frequency_deviation(elapsed))
                });
                self.guard = Some(aged.map_or(newest, |guard| guard.cut(&newest).0));
                if let Some(estimate) = self.filter.estimate(now.raw)
                    && self.filter.samples() > u32::from(BURST)
                {
                    self.poll.choose(&estimate, self.filter.typical_variance());
                    self.plan(now.raw);
                }
            }
        }
        self.facts = Some(facts);
        self.trouble = None;
        self.kiss = None;
        self.last_usable = Some(now.raw);
        outcome
    }

    /// A doubt is resolved sooner than a long interval would.
    fn plan_soon(&mut self, now: RawInstant) {
        let mut soon = self.poll;
        soon.fastest();
        let latest = now.after(span(soon.interval()));
        if self.next > latest {
            self.next = latest;
        }
    }

    /// What it claims now; none where it was never usable.
    pub(crate) fn opinion(&self, now: Now) -> Option<Opinion> {
        let estimate = self.filter.estimate(now.raw)?;
        let facts = self.facts?;
        let age = now.raw.since(self.last_usable?).nanos().max(0) as f64 * 1e-9;
        let offset = estimate.offset_of(now.wall.nanos());
        let minimum_delay = self.filter.minimum_delay().unwrap_or(0.0);
        let path = facts.root_delay / 2.0 + facts.root_dispersion + minimum_delay / 2.0;
        let distance = path + crate::guard::TOLERANCE * age + 3.0 * libm::sqrt(estimate.variance);
        Some(Opinion {
            claim: Claim {
                low: offset - distance,
                middle: self.is_live().then_some(offset),
                high: offset + distance,
            },
            offset,
            estimate,
            samples: self.filter.samples(),
            guard: self.guard,
            facts,
            minimum_delay,
            distance,
            // The path is seldom more lopsided than an eighth of what it could be.
            systematic: (path / 8.0) * (path / 8.0),
        })
    }
}
