//! Signed time: what the last round of Roughtime (RFC 10049) said of true time, carried on by the raw clock, and when the next
//! round is made. It is coarse, seconds wide, and does not steer the clock: it says which sources cannot be right.

use crate::nonce::Nonces;
use crate::notice::SignerNotice;
use crate::settings::RoughtimeSettings;
use alloc::string::String;
use alloc::vec::Vec;
use ipc::anchor::{Anchor, Exchange};
use ipc::message::exchange::{
    ExchangeId, Heard, HeardOf, MAX_ROUND, Measure, Measured, RoundServer, RoundServers, Signed,
};
use ipc::message::privileged::HistoryNoted;
use ipc::units::{Offset, RawInstant, Span, WallTime};
use roughtime::{Claim, MAX_DRIFT_PPM, Standing, Verdict, contradictions, judge, verify_chain};

/// The first wait after a round without a result; it doubles up to the interval of rounds.
const RETRY: Span = Span::from_secs(16);

/// What is contradicted by a round of this age or more, is looked at by another one at once.
const FRESH: Span = Span::from_secs(64);

/// Not more often than that: the servers are others'.
const AGAIN: Span = Span::from_secs(600);

/// So long what was signed before counts against most of the servers: by then it is 43 s wider on both sides.
const UPHELD: Span = Span::from_secs(86_400);

/// What a server signed with more room than that supports nothing: honest ones sign within 10 s.
const VAGUE: Span = Span::from_secs(60);

/// How much the time between rounds varies by chance.
const SPREAD: f64 = 0.1;

/// See the module's head.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SignedTime {
    open: Option<Round>,
    /// None: at once.
    due: Option<RawInstant>,
    /// Rounds without a result since the last one with a result.
    failures: u8,
    /// A round has ended.
    tried: bool,
    /// When the last one did, and how many servers gave valid answers in it.
    ended: Option<(RawInstant, usize)>,
    limits: Option<Limits>,
    /// The last round excludes them, and they count on: which of the servers are right is not known.
    upheld: bool,
    /// Where audit log and history ended when both were last known to be on the disk.
    ends: Option<HistoryNoted>,
    /// When the last round began that proves such ends.
    anchored: Option<RawInstant>,
    /// Which ends the last anchor proves.
    proven: Option<HistoryNoted>,
    /// When what contradicts was looked at last.
    looked: Option<RawInstant>,
    /// What was told of each server last, by its place in the configuration.
    told: Vec<Finding>,
}

/// A round that is being made.
#[derive(Clone, Debug, PartialEq)]
struct Round {
    measure: Measure,
    begun: RawInstant,
    /// Which server of the configuration each one is.
    places: Vec<usize>,
    answers: Vec<Signed>,
    /// What it proves, without the exchanges.
    anchor: Option<Anchor>,
}

/// True time was between these at this instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    at: RawInstant,
    earliest: WallTime,
    latest: WallTime,
}

/// What is known of a server after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It was not asked yet, or all is well.
    Sound,
    /// It gave no valid answer.
    Unheard(Heard),
    /// The majority has another time.
    Outside,
    /// Its own answers exclude each other.
    Contradictory,
    /// Most have another time than was signed before, and that is upheld.
    Reversed,
}

/// What a round came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// None: the answers were not what the process that asked says they are.
    pub(crate) verdict: Option<Verdict>,
    /// The verdict excludes what was signed before, and that counts on.
    pub(crate) is_upheld: bool,
    /// Servers of the configuration of which something else is known than before.
    pub(crate) news: Vec<(usize, Finding)>,
    /// The whole chain, if answers of it exclude each other: proof that somebody signed a wrong time.
    pub(crate) malfeasance: Option<Proof>,
    /// What the valid answers prove of audit log and history.
    pub(crate) anchor: Option<Anchor>,
}

/// Exchanges of a round, as a report has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    /// The nonce of the first one.
    pub first_nonce: [u8; 32],
    /// In their order.
    pub exchanges: Vec<Exchange>,
}

/// What is known of Roughtime.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedStatus {
    /// How many servers are configured.
    pub servers: usize,
    /// How many of them gave valid answers in the last round, and how many seconds ago it ended; none: no round has ended.
    pub last_round: Option<(usize, f64)>,
    /// Rounds without a result since the last one with a result.
    pub failures: u8,
    /// True time is between these, in ns since 1970; none: nothing is known.
    pub bounds: Option<(i64, i64)>,
    /// Servers of which something else is known than that all is well.
    pub findings: Vec<(String, SignerNotice)>,
}

impl SignedTime {
    /// Whether a round is being made.
    pub(crate) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether no round has ended yet.
    pub(crate) const fn is_awaited(&self) -> bool {
        !self.tried
    }

    /// When the next round is due; none: one is being made.
    pub(crate) fn due(&self) -> Option<RawInstant> {
        match self.open {
            Some(_) => None,
            None => Some(self.due.unwrap_or(RawInstant::MIN)),
        }
    }

    /// Audit log and history are on the disk up to there: a round is made at once, unless one has lately proved where they ended.
    pub(crate) fn note_ends(&mut self, ends: HistoryNoted, interval: Span, now: RawInstant) {
        self.ends = Some(ends);
        let is_late = |at: RawInstant| now.since(at).nanos() > interval.nanos() / 2;
        if self.anchored.is_none_or(is_late) && self.failures == 0 {
            self.due = Some(now);
        }
    }

    /// Where audit log and history ended, if no anchor proves that yet.
    pub(crate) fn ends(&self) -> Option<HistoryNoted> {
        self.ends.filter(|ends| self.proven != Some(*ends))
    }

    /// Begins a round with servers drawn by lot, in an order that is, too.
    pub(crate) fn begin(
        &mut self,
        id: ExchangeId,
        settings: &RoughtimeSettings,
        (first_nonce, anchor): ([u8; 32], Option<Anchor>),
        nonces: &mut Nonces,
        now: RawInstant,
    ) -> Option<Measure> {
        let mut places: Vec<usize> = (0..settings.servers.len()).collect();
        for at in 0..places.len() {
            let left = places.len() - at;
            places.swap(at, at + (nonces.nonce() % left as u64) as usize);
        }
        places.truncate(MAX_ROUND);
        let server = |place: &usize| settings.servers.get(*place).map(|signer| signer.server);
        let servers: Vec<RoundServer> = places.iter().filter_map(server).collect();
        let mut seed = [0; 32];
        nonces.fill(&mut seed);
        let measure = Measure { id, first_nonce, seed, servers: RoundServers::new(servers).ok()? };
        self.told.resize(settings.servers.len(), Finding::Sound);
        self.anchored = if anchor.is_some() { Some(now) } else { self.anchored };
        self.open = Some(Round { measure, begun: now, places, answers: Vec::new(), anchor });
        Some(measure)
    }

    /// An answer of the round. One that says that it came before the round began, or later than now, is none.
    pub(crate) fn take(&mut self, signed: &Signed, now: RawInstant) {
        if let Some(round) = self.open.as_mut().filter(|round| round.measure.id == signed.id)
            && round.begun <= signed.sent
            && signed.received <= now
        {
            round.answers.push(*signed);
        }
    }

    /// The end of a round; none: it is not the one that is being made. `is_followed`: the clock follows sources that what was signed before
    /// allows.
    pub(crate) fn conclude(
        &mut self,
        ended: &Measured,
        is_followed: bool,
        now: RawInstant,
    ) -> Option<Outcome> {
        let round = self.open.take_if(|round| round.measure.id == ended.id)?;
        self.tried = true;
        self.ended = Some((now, 0));
        let servers = &round.measure.servers;
        let exchange = |signed: &Signed| {
            let server = servers.get(usize::from(signed.server))?;
            Some(Exchange {
                public_key: server.public_key,
                rand: signed.rand,
                version: server.version,
                response: signed.response.octets().into(),
            })
        };
        let exchanges: Vec<Exchange> = round.answers.iter().filter_map(exchange).collect();
        let verified: Result<Vec<_>, _> =
            verify_chain(&round.measure.first_nonce, &exchanges).into_iter().collect();
        // The child has verified them, too.
        let is_whole = round.answers.len() == usize::from(ended.answers);
        let Some(verified) = verified.ok().filter(|_| is_whole) else {
            let (news, malfeasance, anchor) = (Vec::new(), None, None);
            return Some(Outcome { verdict: None, is_upheld: false, news, malfeasance, anchor });
        };
        let claims: Vec<Claim> = round
            .answers
            .iter()
            .zip(&verified)
            .map(|(answer, signed)| {
                // When it was sent and came within the round is the word of the process that asked: it is not needed.
                Claim::carried(usize::from(answer.server), signed, (round.begun, now), now)
            })
            .collect();
        let verdict = judge(servers.len(), &claims);
        let answered = verdict.standings.iter().filter(|standing| **standing != Standing::Silent).count();
        self.ended = Some((now, answered));
        let supporters = if is_followed { self.supporters(&verdict, &claims, now) } else { Vec::new() };
        let is_upheld = !supporters.is_empty();
        self.upheld = is_upheld;
        if let Some((earliest, latest)) = verdict.interval.filter(|_| !is_upheld) {
            self.limits = Some(Limits { at: now, earliest, latest });
        }
        let in_order: Vec<_> = verified.iter().copied().enumerate().collect();
        let is_caught = !contradictions(&in_order).is_empty();
        let first_nonce = round.measure.first_nonce;
        let anchor = round.anchor.filter(|_| !exchanges.is_empty()).map(|mut anchor| {
            anchor.exchanges.clone_from(&exchanges);
            anchor.fit();
            self.proven = Some(HistoryNoted { history: anchor.history, log: anchor.audit });
            anchor
        });
        let malfeasance = is_caught.then_some(Proof { first_nonce, exchanges });
        let news = self.news(&round.places, &verdict, &ended.heard, &supporters);
        Some(Outcome { verdict: Some(verdict), is_upheld, news, malfeasance, anchor })
    }

    /// The servers by whose word what was signed before stands against this verdict, which excludes it: outside of the verdict's majority, they support it
    /// by all that they signed together and not by being vague. None: it does not stand. A machine that stood still without showing it is told of by all honest
    /// servers alike: against it a liar could support what was before. So the clock goes on, and nobody is told a time meanwhile
    /// ([`Self::is_upheld`]).
    fn supporters(&self, verdict: &Verdict, claims: &[Claim], now: RawInstant) -> Vec<usize> {
        let Some((from, until)) = verdict.interval else { return Vec::new() };
        let Some((earliest, latest)) = self.bounds(now) else { return Vec::new() };
        let is_excluded = until.nanos() < earliest || latest < from.nanos();
        let is_recent = self.limits.is_some_and(|limits| now.since(limits.at).nanos() <= UPHELD.nanos());
        if !is_excluded || !is_recent {
            return Vec::new();
        }
        let supports = |server: usize| {
            let own = || claims.iter().filter(|claim| claim.server == server);
            let from = own().map(|claim| claim.earliest).max();
            let until = own().map(|claim| claim.latest).min();
            from.zip(until).is_some_and(|(from, until)| {
                until - from <= i128::from(VAGUE.nanos())
                    && from <= i128::from(latest)
                    && i128::from(earliest) <= until
            })
        };
        let standings = verdict.standings.iter().enumerate();
        let outside = standings.filter(|(_, standing)| **standing == Standing::Outside);
        outside.map(|(server, _)| server).filter(|server| supports(*server)).collect()
    }

    /// Whether most servers contradict what was signed before, and that counts on.
    pub(crate) const fn is_upheld(&self) -> bool {
        self.upheld
    }

    fn news(
        &mut self,
        places: &[usize],
        verdict: &Verdict,
        heard: &HeardOf,
        supporters: &[usize],
    ) -> Vec<(usize, Finding)> {
        let found = verdict.standings.iter().zip(heard.iter()).enumerate();
        let findings = found.map(|(server, (standing, heard))| match standing {
            Standing::Inside if !supporters.is_empty() => Finding::Reversed,
            // Whether these or most are wrong is not known; who supports neither is.
            Standing::Outside if supporters.contains(&server) => Finding::Sound,
            Standing::Outside => Finding::Outside,
            Standing::Contradictory => Finding::Contradictory,
            Standing::Silent => Finding::Unheard(*heard),
            Standing::Inside | Standing::Undecided => Finding::Sound,
        });
        let mut news = Vec::new();
        for (place, finding) in places.iter().zip(findings) {
            let Some(told) = self.told.get_mut(*place) else { continue };
            if core::mem::replace(told, finding) != finding {
                news.push((*place, finding));
            }
        }
        news
    }

    /// The round ended without a result at all; false: it is not the one that is being made.
    pub(crate) fn fail(&mut self, id: ExchangeId, now: RawInstant) -> bool {
        let is_it = self.open.take_if(|round| round.measure.id == id).is_some();
        self.tried |= is_it;
        if is_it {
            self.ended = Some((now, 0));
        }
        is_it
    }

    /// Sets when the next round is made, after one with a result or one without. Whether it is the first with a result, or the first
    /// without, in a row.
    pub(crate) fn schedule(
        &mut self,
        is_good: bool,
        interval: Span,
        nonces: &mut Nonces,
        now: RawInstant,
        is_first_ever: bool,
    ) -> bool {
        let before = self.failures;
        self.failures = if is_good { 0 } else { before.saturating_add(1) };
        let doubled = RETRY.nanos().saturating_mul(1 << u32::from(before).min(16));
        // The next end comes first, after an hour.
        let usual = if self.ends.is_some() { interval.nanos() / 8 * 9 } else { interval.nanos() };
        let wait = if is_good { usual } else { doubled.min(interval.nanos()) };
        let wait = wait as f64 * nonces.factor(SPREAD);
        self.due = Some(now.after(Span::saturating(wait as i64)));
        if is_good { before > 0 || is_first_ever } else { before == 0 }
    }

    /// When the last round ended, and how many servers gave valid answers in it.
    pub(crate) const fn ended(&self) -> Option<(RawInstant, usize)> {
        self.ended
    }

    /// Rounds without a result since the last one with a result.
    pub(crate) const fn failures(&self) -> u8 {
        self.failures
    }

    /// What is known of each server, by its place in the configuration.
    pub(crate) fn findings(&self) -> &[Finding] {
        &self.told
    }

    /// Whether anything is known.
    pub(crate) const fn is_known(&self) -> bool {
        self.limits.is_some()
    }

    /// What was signed says nothing of now: the raw clock may have stood still, also in the middle of a round.
    pub(crate) fn forget(&mut self, now: RawInstant) {
        self.limits = None;
        self.upheld = false;
        self.open = None;
        self.due = Some(now);
    }

    /// What was signed says too little: it is not believed.
    pub(crate) fn disbelieve(&mut self) {
        self.limits = None;
        self.upheld = false;
    }

    /// Something contradicts what was signed: another round shows whether it stands.
    pub(crate) fn contradicted(&mut self, now: RawInstant) {
        let is_old = self.limits.is_some_and(|limits| limits.at.after(FRESH) <= now);
        let is_soon = self.looked.is_some_and(|last| now.since(last).nanos() < AGAIN.nanos());
        if is_old && !is_soon && self.failures == 0 {
            self.looked = Some(now);
            self.due = self.due.map(|due| due.min(now));
        }
    }

    /// The network is there: what failed is tried again.
    pub(crate) fn try_again(&mut self, now: RawInstant) {
        if self.failures > 0 {
            self.due = self.due.map(|due| due.min(now));
        }
    }

    /// UTC itself moved (a leap second).
    pub(crate) fn shift(&mut self, moved: i64) {
        // Its answers are of both times.
        self.open = None;
        if let Some(limits) = &mut self.limits {
            let moved = Offset::saturating(moved);
            limits.earliest = limits.earliest.checked_add(moved).unwrap_or(WallTime::MIN);
            limits.latest = limits.latest.checked_add(moved).unwrap_or(WallTime::MAX);
        }
    }

    /// Between which times true time is now, if most of the servers are honest: Unix nanoseconds.
    pub(crate) fn bounds(&self, now: RawInstant) -> Option<(i64, i64)> {
        let limits = self.limits?;
        let elapsed = now.since(limits.at).nanos();
        let drift = elapsed.abs() / 1_000_000 * MAX_DRIFT_PPM + MAX_DRIFT_PPM;
        let earliest = limits.earliest.nanos().saturating_add(elapsed).saturating_sub(drift);
        let latest = limits.latest.nanos().saturating_add(elapsed).saturating_add(drift);
        Some((earliest, latest))
    }
}
