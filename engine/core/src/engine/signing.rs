//! Rounds of Roughtime: when one is made, and what follows from it ([`crate::signed`]).

use super::Engine;
use crate::entries::Group;
use crate::io::{Now, Output};
use crate::notice::{NoSignedTime, Notice, SignerNotice, SourceNotice, SystemNotice};
use crate::select::{Standing, Verdict};
use crate::settings::RoughtimeSettings;
use crate::signed::Finding;
use crate::source::Source;
use crate::status::SignedStatus;
use crate::timers::Timer;
use alloc::vec::Vec;
use ipc::anchor::Anchor;
use ipc::audit_line::End;
use ipc::message::exchange::{ExchangeId, MeasureFailed, Measured, Signed};
use ipc::message::privileged::HistoryNoted;
use ipc::units::{RawInstant, Span};
use roughtime::first_nonce;

/// So long after the start the first correction waits for the first round.
const AWAITED: Span = Span::from_secs(10);

impl Engine {
    /// Begins a round if one is due; returns when the next one is.
    pub(super) fn have_signed(&mut self, now: Now) -> Option<RawInstant> {
        let settings = self.settings.roughtime.as_ref()?;
        if self.offline {
            return None;
        }
        let due = self.signed.due()?;
        if due > now.raw {
            return Some(due);
        }
        // The end of one in progress makes room.
        if self.room_for(Group::Deciding) == 0 {
            return None;
        }
        let nonces = self.nonces.of(Group::Deciding);
        let mut random = [0; 32];
        nonces.fill(&mut random);
        let ends = self.signed.ends().filter(|_| settings.anchor);
        let anchor = ends.map(|ends| Anchor {
            sequence: 0,
            wall: now.wall,
            audit: ends.log,
            history: ends.history,
            random,
            exchanges: Vec::new(),
        });
        let commitment = match &anchor {
            Some(anchor) => anchor.commitment(),
            None => ipc::anchor::commitment(&End::NONE, &End::NONE, &random),
        };
        let nonce = first_nonce(&commitment);
        let id = ExchangeId(self.next_lookup);
        self.next_lookup += 1;
        let measure = self.signed.begin(id, settings, (nonce, anchor), nonces, now.raw)?;
        self.outputs.push_back(Output::Measure(measure));
        None
    }

    /// Until when the first correction waits for the first round.
    pub(super) fn signed_awaited(&self, now: RawInstant) -> Option<RawInstant> {
        let basis = self.basis.as_ref().filter(|_| self.settings.roughtime.is_some() && !self.offline)?;
        let until = basis.at.after(AWAITED);
        (self.signed.is_awaited() && until > now).then_some(until)
    }

    /// Between which offsets the clock's is, seconds, as the last round says; none: nothing is known.
    pub(super) fn signed_offsets(&self, now: Now) -> Option<(f64, f64)> {
        let (earliest, latest) = self.signed.bounds(now.raw)?;
        let offset = |time: i64| (time - now.wall.nanos()) as f64 * 1e-9;
        Some((offset(earliest), offset(latest)))
    }

    /// Audit log and history are on the disk up to there.
    pub(super) fn note_ends(&mut self, now: Now, ends: HistoryNoted) {
        if let Some(settings) = self.settings.roughtime.as_ref().filter(|settings| settings.anchor) {
            self.signed.note_ends(ends, settings.interval, now.raw);
        }
    }

    pub(super) fn take_signed(&mut self, now: Now, signed: &Signed) {
        self.signed.take(signed, now.raw);
    }

    /// A round has ended.
    pub(super) fn round_ended(&mut self, now: Now, ended: &Measured) {
        let was_known = self.signed.is_known();
        let is_followed = self.is_synchronised(now);
        let Some(outcome) = self.signed.conclude(ended, is_followed, now.raw) else { return };
        for (place, finding) in outcome.news {
            self.tell_of_signer(place, finding);
        }
        if let Some(proof) = outcome.malfeasance {
            self.tell(Notice::System(SystemNotice::Malfeasance));
            self.outputs.push_back(Output::Malfeasance(proof));
        }
        self.outputs.extend(outcome.anchor.map(Output::Anchor));
        let failure = match outcome.verdict {
            None => Some(NoSignedTime::Unverified),
            Some(verdict) if verdict.interval.is_none() => Some(NoSignedTime::NoMajority),
            Some(_) if outcome.is_upheld => Some(NoSignedTime::Reversed),
            // No correct clock is before it.
            Some(_)
                if self.signed.bounds(now.raw).is_some_and(|(_, latest)| latest < self.floor().nanos()) =>
            {
                self.signed.disbelieve();
                Some(NoSignedTime::Implausible)
            }
            Some(_) => None,
        };
        self.note_round(failure, was_known, now);
    }

    /// A round has ended without a result.
    pub(super) fn round_failed(&mut self, now: Now, failed: &MeasureFailed) {
        if self.signed.fail(failed.id, now.raw) {
            self.note_round(Some(NoSignedTime::Failed(failed.reason)), self.signed.is_known(), now);
        }
    }

    /// Tells of sources that signed time newly excludes, and has it looked at again.
    pub(super) fn tell_of_refuted(&mut self, verdicts: &[Verdict], now: RawInstant) {
        let refuted = verdicts.iter().filter(|verdict| verdict.standing == Standing::Refuted);
        let refuted: Vec<_> = refuted.map(|verdict| verdict.source).collect();
        let is_new = |source: &Source| {
            refuted.contains(&source.id) && source.track.standing != Some(Standing::Refuted)
        };
        let new = self.entries.members().filter(|(_, source)| is_new(source));
        let new: Vec<_> = new
            .map(|(entry, source)| (entry.settings.name.clone(), source.address().socket_address()))
            .collect();
        if !new.is_empty() {
            self.signed.contradicted(now);
            self.timers.advance(Timer::Signing, now);
        }
        for (name, address) in new {
            self.tell(Notice::Source(name, address, SourceNotice::Refuted));
        }
    }

    fn note_round(&mut self, failure: Option<NoSignedTime>, was_known: bool, now: Now) {
        let Some(interval) =
            self.settings.roughtime.as_ref().map(|RoughtimeSettings { interval, .. }| *interval)
        else {
            return;
        };
        let nonces = self.nonces.of(Group::Deciding);
        let is_news = self.signed.schedule(failure.is_none(), interval, nonces, now.raw, !was_known);
        if is_news {
            let within =
                self.signed.bounds(now.raw).map(|(earliest, latest)| latest.saturating_sub(earliest) / 2);
            let within = Span::saturating(within.unwrap_or(0));
            self.tell(Notice::System(match failure {
                None => SystemNotice::SignedTime(within),
                Some(why) => SystemNotice::NoSignedTime(why),
            }));
        }
        self.system.dirty = true;
        for timer in [Timer::Steering, Timer::Deferred] {
            self.timers.advance(timer, now.raw);
        }
    }

    fn tell_of_signer(&mut self, place: usize, finding: Finding) {
        let servers = self.settings.roughtime.as_ref().map(|settings| &settings.servers);
        let Some(signer) = servers.and_then(|servers| servers.get(place)) else { return };
        self.tell(Notice::Signer(signer.name.clone(), finding.notice()));
    }

    /// What is known of Roughtime; none: no server is configured.
    pub fn signed_status(&self, now: Now) -> Option<SignedStatus> {
        let servers = &self.settings.roughtime.as_ref()?.servers;
        let findings = servers.iter().zip(self.signed.findings());
        let findings = findings.filter(|(_, finding)| **finding != Finding::Sound);
        Some(SignedStatus {
            servers: servers.len(),
            last_round: self
                .signed
                .ended()
                .map(|(at, answered)| (answered, now.raw.since(at).nanos() as f64 * 1e-9)),
            failures: self.signed.failures(),
            bounds: self.signed.bounds(now.raw),
            findings: findings.map(|(server, finding)| (server.name.clone(), finding.notice())).collect(),
        })
    }
}

impl Finding {
    const fn notice(self) -> SignerNotice {
        match self {
            Self::Sound => SignerNotice::Sound,
            Self::Unheard(heard) => SignerNotice::Unheard(heard),
            Self::Outside => SignerNotice::Outside,
            Self::Contradictory => SignerNotice::Contradictory,
            Self::Reversed => SignerNotice::Reversed,
        }
    }
}
