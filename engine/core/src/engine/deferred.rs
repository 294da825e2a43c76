//! The one step to a time whose certificates could not be judged (RFC 8915 section 8.5); see [`crate::nts`].

use super::{Engine, UNHEARD_TIMEOUT};
use crate::entries::Entry;
use crate::independence::group;
use crate::io::{Now, OrderKind, Output};
use crate::notice::{ClockNotice, Notice};
use crate::nts::{Association, Deferral, Deferred, KeyExchangeFailure, Needed, Witness, agree, of_one_name};
use crate::timers::Timer;
use alloc::vec::Vec;
use ipc::message::exchange::Exchanged;
use ipc::message::privileged::{Step, StepReason};
use ipc::units::{Offset, RawInstant, Span, WallTime};

/// A clock with a smaller error than this can judge certificates. Seconds.
const A_DAY: f64 = 86_400.0;

/// So long after the first of them was heard, sources that are still silent are no longer awaited, but for the strict profile.
const LONGEST_AWAITED: Span = Span::from_secs(600);

impl Engine {
    /// The earliest plausible time. It is the governor's: what raises that has lasted for a day. When the state file was written
    /// says nothing, for an hour of lies may have written it, and no honest certificate would be valid until that date.
    pub(super) fn floor(&self) -> WallTime {
        self.basis.as_ref().map_or(WallTime::MIN, |basis| basis.welcome.floor)
    }

    /// Whether the clock was never right since the machine started, as far as we know, and may still be set.
    pub(super) fn is_clock_unproven(&self) -> bool {
        self.steers() && self.system.first_update.is_none() && self.system.start.steps > 0
    }

    /// Whether the clock cannot tell if the certificates are still valid. Those that are good at any plausible time
    /// need no clock.
    pub(super) fn is_unjudged(&self, exchanged: &Exchanged, now: Now) -> bool {
        let Some(basis) = &self.basis else { return true };
        let floor = self.floor();
        let always = exchanged.validity.holds_at(floor) && exchanged.validity.holds_at(basis.welcome.latest);
        let wrong = floor.minus(now.wall).nanos() as f64 * 1e-9 > A_DAY
            && self.is_clock_unproven()
            && self.may_step_deferred();
        (exchanged.deferred || wrong) && !always
    }

    fn may_step_deferred(&self) -> bool {
        matches!(self.deferred, Deferred::Possible(_))
    }

    /// Whether keys may be exchanged with a certificate that only our clock finds invalid.
    pub(super) fn may_defer(&self, association: &Association, failure: KeyExchangeFailure) -> bool {
        failure.is_of_time()
            && self.is_clock_unproven()
            && self.may_step_deferred()
            && association.deferral == Deferral::Strict
    }

    /// Whether nothing but the agreement of such sources can set the clock.
    pub(super) fn waits_for_a_quorum(&self) -> bool {
        matches!(self.deferred, Deferred::Possible(Some(_))) && self.is_clock_unproven()
    }

    /// Whether a failure cannot be explained by the clock, which was just set by such sources.
    pub(super) fn is_alarming(&self, failure: KeyExchangeFailure) -> bool {
        self.deferred == Deferred::Done && failure.is_of_time()
    }

    /// Counts the times of sources with provisional keys, and orders the step. Returns when to count again.
    pub(super) fn weigh_deferred(&mut self, now: Now) -> Option<RawInstant> {
        let any = self
            .entries
            .associations()
            .any(|association| association.is_provisional() || association.deferral == Deferral::Allowed);
        if !any {
            return None;
        }
        if !self.is_clock_unproven() || !matches!(self.deferred, Deferred::Possible(_) | Deferred::Ordered) {
            self.drop_provisional(now);
            return None;
        }
        let Deferred::Possible(since) = self.deferred else { return None };
        let heard = self.entries.sources().any(|source| source.provisional && source.is_live());
        let since = since.or(heard.then_some(now.raw))?;
        self.deferred = Deferred::Possible(Some(since));
        if let Some(until) = self.signed_awaited(now.raw) {
            return Some(until);
        }
        let (ready, quorum_timeout_ends) = (
            self.basis.as_ref()?.orders.ready_at()?.max(self.system.no_step_before),
            since.after(UNHEARD_TIMEOUT),
        );
        // They are counted with each fact, and when silent sources are no longer awaited.
        let moments = [quorum_timeout_ends, since.after(LONGEST_AWAITED)].map(|moment| moment.max(ready));
        let again = moments.into_iter().filter(|due| *due > now.raw).min();
        if ready > now.raw || (quorum_timeout_ends > now.raw && self.awaits_keys()) {
            return again;
        }
        let (witnesses, absent) = self.witnesses(now);
        let is_excused = since.after(LONGEST_AWAITED) <= now.raw && !self.settings.strict_quorum;
        let missing = if is_excused { 0 } else { absent };
        // The profile attested asks for two operators whatever others say.
        let needed = match self.signed_offsets(now) {
            _ if self.settings.clock.attested => Needed::TwoByCertificate,
            Some(_) => Needed::OneSigned,
            None => Needed::Two,
        };
        let Some(offset) = agree(&witnesses, missing, needed) else { return again };
        if offset.abs() < A_DAY {
            self.deferred = Deferred::Over;
            self.tell(Notice::Clock(ClockNotice::CertificatesInvalid(offset)));
            self.drop_provisional(now);
            return None;
        }
        let step = Step {
            epoch: self.basis.as_ref()?.epoch,
            delta: Offset::saturating(libm::round(offset * 1e9) as i64),
            reason: StepReason::Start,
            asked_at: now.raw,
        };
        self.deferred = Deferred::Ordered;
        self.system.asked_step = StepReason::Start;
        self.tell(Notice::Clock(ClockNotice::SetProvisionally(offset, witnesses.len())));
        self.order(OrderKind::Step, Output::Step(step), now);
        None
    }

    /// Whether some NTS source may still come to keys, or to its first reply.
    fn awaits_keys(&self) -> bool {
        self.entries.iter().any(|entry| {
            let Some(association) = entry.association() else { return false };
            match entry.members.first() {
                Some(source) => !source.is_warm(),
                None if entry.is_hostless() => entry.lookup.as_ref().is_some_and(|it| !it.has_ended()),
                None => association.schedule.open().is_some() || !association.schedule.was_tried(),
            }
        })
    }

    /// The times of the NTS sources, and of how many names there is none.
    fn witnesses(&self, now: Now) -> (Vec<Witness>, usize) {
        let nts = self.entries.members().filter(|(entry, source)| {
            source.authenticated && entry.settings.key.is_none() && source.is_live()
        });
        let heard: Vec<_> =
            nts.filter_map(|(entry, source)| Some((entry, source, source.opinion(now)?))).collect();
        let identities: Vec<_> =
            heard.iter().map(|(entry, source, _)| entry.identify(Some(source))).collect();
        let upstreams = identities.iter().map(|identity| identity.upstream());
        let allegiances = group(&identities, true).into_iter().zip(upstreams);
        let floor = self.floor().nanos();
        let signed = self.signed_offsets(now);
        let witnesses = heard.iter().zip(allegiances).map(|((entry, _, opinion), allegiance)| {
            let time = now.wall.nanos().saturating_add((opinion.offset * 1e9) as i64);
            let session = entry.association().and_then(|a| a.session.as_ref());
            let fits = signed.is_none_or(|(low, high)| (low..=high).contains(&opinion.offset));
            let is_sound = fits && time >= floor && session.is_some_and(|session| session.holds(time));
            let (number, kin) = (entry.id.number(), self.kin_of(entry));
            let witness = Witness { entry: number, kin, allegiance, offset: opinion.offset, is_sound };
            (entry.configured(), witness)
        });
        let heard: Vec<_> = witnesses.collect();
        // All members of a pool are one operator, whether they are heard or not.
        let running = self.entries.iter().filter(|entry| entry.association().is_some());
        let running: Vec<_> = running.map(Entry::configured).collect();
        let mut names = running.clone();
        names.sort_unstable();
        names.dedup();
        let (mut witnesses, mut missing) = (Vec::new(), 0);
        for name in names {
            let count = running.iter().filter(|other| **other == name).count();
            let of_name = heard.iter().filter(|(of, _)| *of == name).map(|(_, witness)| witness.clone());
            match of_one_name(count, of_name.collect()) {
                Some(said) => witnesses.extend(said),
                None => missing += 1,
            }
        }
        (witnesses, missing)
    }

    /// The step was made: all provisional keys end. False: it was another step.
    pub(super) fn deferred_step_made(&mut self, now: Now) -> bool {
        if self.deferred != Deferred::Ordered {
            return false;
        }
        self.deferred = Deferred::Done;
        self.drop_provisional(now);
        true
    }

    /// The order was too late for a reason that does not matter: it is decided again.
    pub(super) fn deferred_step_crossed(&mut self, now: Now) {
        if self.deferred == Deferred::Ordered {
            self.deferred = Deferred::Possible(Some(now.raw));
        }
    }

    /// The step was refused.
    pub(super) fn deferred_step_refused(&mut self, now: Now) {
        if self.deferred == Deferred::Ordered {
            self.deferred = Deferred::Over;
            self.drop_provisional(now);
        }
    }

    fn drop_provisional(&mut self, now: Now) {
        let (mut gone, mut dropped) = (Vec::new(), false);
        for entry in self.entries.iter_mut() {
            let Some(association) = entry.association_mut() else { continue };
            let had = association.is_provisional();
            let asks = association.drop_provisional(now.raw);
            dropped |= asks;
            if asks && had {
                gone.extend(entry.members.iter().map(|source| source.id));
            }
        }
        gone.into_iter().for_each(|source| self.drop_source(source));
        if dropped {
            // Keys are exchanged again immediately.
            self.timers.advance(Timer::KeyExchange, now.raw);
        }
    }
}
