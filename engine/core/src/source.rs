//! One source: an address that is queried (the poll process), its estimate of the time (the track), and its other state.

mod learning;

use crate::filter::Outcome;
use crate::history::History;
use crate::interleaved::Interleaving;
use crate::io::Now;
use crate::need::Need;
use crate::nonce::Nonces;
use crate::poll_process::{BURST, PollProcess};
use crate::reference_clock::Feed;
use crate::sanity::Facts;
use crate::select::Standing;
use crate::selective_loss::Arrivals;
use crate::settings::SourceSettings;
use crate::source_id::SourceId;
use crate::status::LastReply;
use crate::track::{Opinion, Track};
use crate::version5::Negotiation;
use ipc::address::Address;
use ipc::message::client::{Rejected, Silence};
use ipc::units::RawInstant;
use protocol::kiss::KissCode;
use report::{Effect, RejectReason};

/// Valid replies until a new source has a vote.
const PROBATION: u64 = 8;

/// For so many queries more the last reason of a silence is taken for that of the next ones.
const LAST: u8 = 8;

/// Counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) sent: u64,
    pub(crate) valid: u64,
    pub(crate) rejected: [u64; RejectReason::COUNT],
}

impl Counters {
    pub(crate) fn add(&mut self, reason: RejectReason, count: u32) {
        let place = &mut self.rejected[reason as usize];
        *place = place.saturating_add(u64::from(count));
    }

    /// One reply was discarded or not used.
    pub(crate) fn reject(&mut self, reason: RejectReason) {
        self.add(reason, 1);
    }

    /// Adds the replies that the client discarded.
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

/// The effect of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was discarded, and counted.
    Silent(RejectReason),
    /// The source is reachable, but its time is not used.
    Unusable(RejectReason),
    /// A kiss-o'-death.
    Kiss(KissCode),
    /// A measurement.
    Sample(Outcome),
    /// Its time can be used; the exchange that it tells of was measured before.
    Known,
}

/// One address that is queried.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Source {
    pub(crate) id: SourceId,
    pub(crate) poll_process: PollProcess,
    pub(crate) track: Track,
    /// In which version it is asked.
    pub(crate) version5: Negotiation,
    /// When its replies have really left.
    pub(crate) interleaving: Interleaving,
    /// The replies that came, beside those that did not.
    pub(crate) arrivals: Arrivals,
    /// From the last valid reply.
    pub(crate) facts: Option<Facts>,
    /// What it has said since its last sample, if it is a reference clock.
    pub(crate) feed: Feed,
    /// Why the last valid reply was not usable.
    pub(crate) unused: Option<RejectReason>,
    /// The last kiss, until a measurement.
    pub(crate) kiss: Option<KissCode>,
    /// Why its queries are not answered, if more is known than that no reply comes in time.
    pub(crate) obstacle: Option<Silence>,
    /// How many queries have ended without a reply and without a reason since there was one.
    pub(crate) unexplained: u8,
    /// Its silence was reported, and it has not answered since.
    pub(crate) silence_told: bool,
    pub(crate) last_valid: Option<RawInstant>,
    pub(crate) counters: Counters,
    /// What the last valid reply was like, for reports.
    pub(crate) last_reply: Option<LastReply>,
    /// The last measurements, for reports.
    pub(crate) history: History,
    /// Its replies are authenticated.
    pub(crate) authenticated: bool,
    /// Its keys were exchanged with a certificate that could not be judged: it has no vote.
    pub(crate) provisional: bool,
    /// It is asked afresh, and an answer is awaited.
    pub(crate) is_asked: bool,
    /// Its address came from a name server after the start: it has no vote until it has been measured for some time.
    pub(crate) newcomer: bool,
    /// It was answering when what it had said was forgotten (the host was suspended), or has taken the place of one that was,
    /// and has not answered since.
    pub(crate) forgotten: bool,
    /// Its address is one of this host, at a port that this host serves, as far as the client process says the truth: it
    /// has no opinion, and no vote either ([`Source::is_left_out`]) unless it is authenticated.
    pub(crate) oneself: bool,
    /// Since when its answers have been of no use.
    pub(crate) useless_since: Option<RawInstant>,
    /// When it was found that another address of its name might be better.
    pub(crate) fault: Option<RawInstant>,
    /// The first answer for its name since then. A later one does not begin the wait for it anew.
    pub(crate) resolved_since: Option<RawInstant>,
}

impl Source {
    pub(crate) fn new(id: SourceId, address: Address, settings: &SourceSettings, now: RawInstant) -> Self {
        Self {
            id,
            poll_process: PollProcess::new(address, settings, now),
            track: Track::new(),
            version5: Negotiation::new(),
            interleaving: Interleaving::new(),
            arrivals: Arrivals::new(),
            facts: None,
            feed: Feed::new(now),
            unused: None,
            kiss: None,
            obstacle: None,
            unexplained: 0,
            silence_told: false,
            last_valid: None,
            counters: Counters { sent: 0, valid: 0, rejected: [0; RejectReason::COUNT] },
            last_reply: None,
            history: History::default(),
            authenticated: settings.is_authenticated(),
            provisional: false,
            is_asked: false,
            newcomer: false,
            forgotten: false,
            oneself: false,
            useless_since: None,
            fault: None,
            resolved_since: None,
        }
    }

    /// For tests that compare engines.
    #[cfg(test)]
    pub(crate) fn forget_counts(&mut self) {
        self.counters.valid = 0;
        self.counters.rejected = [0; RejectReason::COUNT];
        self.history = History::default();
    }

    /// Whether its last valid reply was in version 5.
    pub(crate) fn speaks_version5(&self) -> bool {
        self.last_reply.is_some_and(|reply| reply.version == protocol::ntpv5::VERSION)
    }

    /// The address that is queried.
    pub(crate) fn address(&self) -> Address {
        self.poll_process.address
    }

    /// Whether it was ever usable: then it has a vote.
    pub(crate) fn is_heard(&self) -> bool {
        self.track.is_heard()
    }

    /// Whether its time may be used now.
    pub(crate) fn is_live(&self) -> bool {
        self.poll_process.reach != 0 && self.unused.is_none() && self.track.is_sure()
    }

    /// Whether it has not yet earned a vote.
    pub(crate) fn is_on_probation(&self) -> bool {
        self.newcomer && self.counters.valid < PROBATION
    }

    /// Whether it is not missed: a plain source that is this host. An authenticated one is, whatever is said of its address:
    /// while it stays in the electorate, plain sources do not decide, nor fewer than half of the authenticated ones.
    pub(crate) const fn is_left_out(&self) -> bool {
        self.oneself && !self.authenticated
    }

    /// Whether it takes part in the selection, with an opinion or as a vote that is missing.
    pub(crate) fn takes_part(&self) -> bool {
        !self.is_left_out() && (self.forgotten || !self.is_on_probation())
    }

    /// Whether its opinion would count.
    pub(crate) fn has_vote(&self) -> bool {
        self.is_heard() && !self.provisional && !self.oneself && !self.is_on_probation()
    }

    /// Whether its first queries have all been answered, or it has none.
    pub(crate) fn is_warm(&self) -> bool {
        self.track.filter.samples() >= if self.poll_process.burst { u32::from(BURST) } else { 1 }
    }

    /// Its claim now; none: it was never usable.
    pub(crate) fn opinion(&self, now: Now) -> Option<Opinion> {
        let opinion = self.track.opinion(now, self.is_live())?;
        // What was lost would have said something else, but nothing beyond what such replies differ in.
        let hidden = self.arrivals.chosen().map(|chosen| chosen.spread.nanos() as f64 * 1e-9);
        Some(hidden.map_or(opinion, |hidden| opinion.widened(hidden)))
    }

    /// The most frequent reason for which its replies were discarded.
    pub(crate) fn likely_cause(&self) -> Option<RejectReason> {
        let count = |reason: &RejectReason| self.counters.rejected[*reason as usize];
        RejectReason::ALL
            .into_iter()
            .filter(|reason| reason.effect() == Effect::Discarded)
            .max_by_key(count)
            .filter(|reason| count(reason) > 0)
    }

    /// Whether its silence is to be reported now: once, until it answers.
    pub(crate) fn begins_silence(&mut self) -> bool {
        let is_silent = match self.is_heard() {
            _ if self.poll_process.brings_kisses_only() => false,
            true => self.poll_process.reach == 0,
            false => {
                self.poll_process.is_dead() || (self.poll_process.is_silent() && self.obstacle.is_some())
            }
        };
        is_silent && !core::mem::replace(&mut self.silence_told, is_silent)
    }

    /// Takes the verdict of a selection; none: it did not take part.
    pub(crate) fn stand(&mut self, verdict: Option<&crate::select::Verdict>) {
        let otherwise = self.is_on_probation().then_some(Standing::Probation);
        self.track.stand(verdict, otherwise);
    }

    /// A query is sent now; the next one is scheduled.
    pub(crate) fn transmit(&mut self, now: RawInstant, need: Need, nonces: &mut Nonces) {
        self.counters.sent = self.counters.sent.saturating_add(1);
        self.poll_process.transmit(now, self.respectful(need), nonces);
    }

    /// How much depends on its answer, where it has not asked for longer intervals.
    fn respectful(&self, need: Need) -> Need {
        if self.wants_fewer() { Need::Little } else { need }
    }

    /// Whether its last kiss asked for fewer queries, or none.
    pub(crate) const fn wants_fewer(&self) -> bool {
        matches!(self.kiss, Some(KissCode::Deny | KissCode::Restricted | KissCode::Rate))
    }

    /// The next query is sent no later than the need allows.
    pub(crate) fn hasten(&mut self, now: RawInstant, need: Need) {
        self.poll_process.hasten(now, self.respectful(need));
    }

    /// A query ended without a reply.
    pub(crate) fn unanswered(&mut self, reason: Silence, need: Need, now: RawInstant, nonces: &mut Nonces) {
        self.obstacle = match (reason, self.obstacle) {
            // ICMP errors are rate limited, and some are lost: that none came is no news at first. What this host itself said
            // is over.
            (Silence::Deadline, Some(Silence::PortUnreachable | Silence::Prohibited)) => {
                self.unexplained = self.unexplained.saturating_add(1);
                self.obstacle.filter(|_| self.unexplained < LAST)
            }
            (Silence::Deadline, _) => None,
            _ => {
                self.unexplained = 0;
                Some(reason)
            }
        };
        if reason == Silence::Unreachable || reason.is_local() {
            self.poll_process.unsent(now, self.respectful(need), nonces);
        }
    }

    /// Whether its last reply was a kiss that denies access.
    pub(crate) fn denies(&self) -> bool {
        self.unused == Some(RejectReason::Kiss)
            && matches!(self.kiss, Some(KissCode::Deny | KissCode::Restricted))
    }

    /// Whether it answers, and not with a time that can be used.
    pub(crate) fn brings_no_time(&self) -> bool {
        self.unused.is_some() || self.poll_process.brings_kisses_only()
    }

    /// Drops everything that depends on a counter that did not stand still (the host was suspended).
    pub(crate) fn forget_time(&mut self, now: RawInstant) {
        self.track.forget_time();
        self.interleaving.forget(now);
        self.feed.break_off(now);
        self.arrivals.forget();
        self.poll_process.settle(now);
        self.poll_process.start_burst(now);
    }

    /// Whether it may be asked in interleaved mode. At the start and in a burst each reply is to tell of now.
    pub(crate) fn may_interleave(&self) -> bool {
        self.track.filter.samples() >= u32::from(BURST) && !self.poll_process.is_in_haste()
    }

    /// It is asked in quick succession whether what it said still holds.
    pub(crate) fn ask_afresh(&mut self, now: RawInstant) {
        self.is_asked = self.is_live() && !self.wants_fewer() && !self.provisional && !self.is_on_probation();
        self.track.fresh = 0;
        // The next reply is to tell of now.
        self.interleaving.forget(now);
        self.poll_process.settle(now);
        self.poll_process.start_burst(now);
    }

    /// It is asked in quick succession whether its last answer, or another one's, is to be believed.
    pub(crate) fn confirm(&mut self, now: RawInstant) {
        if self.is_heard() && !self.wants_fewer() {
            self.poll_process.start_burst(now);
        }
    }
}
