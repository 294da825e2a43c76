//! Reference clocks: what they say comes unasked, and is made a sample of at each poll interval.

use super::Engine;
use crate::entries::Group;
use crate::filter::Outcome;
use crate::io::Now;
use crate::notice::{Notice, SourceNotice};
use crate::reference_clock::{Closed, Reading, earliest_end, header};
use crate::settings::ReferenceClock;
use crate::source_id::SourceId;
use crate::violation::Violation;
use alloc::vec::Vec;
use ipc::message::refclock::{ClockSample, Discarded};
use ipc::process::Process;
use ipc::units::RawInstant;
use report::RejectReason;

const SECOND: i64 = 1_000_000_000;

/// A second can be numbered by what is known this well, seconds. Less than half of one, with room for what both do not know.
const NUMBERED: f64 = 0.2;

impl Engine {
    /// The source that is this reference clock.
    fn clock_source(&self, device: u8) -> Option<(SourceId, ReferenceClock, i64)> {
        self.entries.all_members().find_map(|(entry, source)| {
            let clock = entry.settings.refclock.filter(|clock| clock.device == device)?;
            (!entry.offline && !self.offline).then_some((source.id, clock, entry.settings.correction.nanos()))
        })
    }

    /// Whether it only measures this reference clock.
    pub(super) fn is_observed_clock(&self, device: u8) -> bool {
        let of_clock =
            |entry: &crate::entries::Entry| entry.settings.refclock.is_some_and(|it| it.device == device);
        self.entries.of(Group::Observed).any(of_clock)
    }

    /// A reference clock has said something.
    pub(super) fn clock_sample(&mut self, now: Now, sample: &ClockSample) {
        if sample.read > now.raw {
            return self.distrust(Process::Refclock, Violation::SampleOfTheFuture);
        }
        let Some((id, clock, correction)) = self.clock_source(sample.device) else { return };
        let numbered = match sample.is_pulse {
            true => self.number_second(&clock, sample, now),
            false => Some(sample.utc.nanos()),
        };
        let Some(basis) = &self.basis else { return };
        let (floor, latest) = (basis.welcome.floor.nanos(), basis.welcome.latest.nanos());
        let leap = self.system.leap;
        let Some((_, _, source)) = self.entries.source_mut(id) else { return };
        let usable = match numbered {
            // A pulse whose second is not known.
            None => Err(RejectReason::Unsynchronised),
            Some(utc) if utc < floor || utc > latest => Err(RejectReason::Date),
            Some(utc) if sample.read < source.feed.not_before || leap.is_close(utc) => {
                Err(RejectReason::Discontinuity)
            }
            Some(utc) => Ok(utc),
        };
        match usable {
            Err(reason) => source.counters.reject(reason),
            Ok(utc) => {
                let reading = Reading {
                    at: sample.at,
                    offset: utc.saturating_sub(sample.at.nanos()).saturating_add(correction),
                    age: sample.read.since(sample.at).nanos() as f64 * 1e-9,
                    leap: sample.leap,
                };
                source.feed.take(reading, &clock);
            }
        }
    }

    /// Which second a pulse begins: by the clock that it is locked to, else by the time that is followed. None: neither is known
    /// well enough.
    fn number_second(&self, clock: &ReferenceClock, pulse: &ClockSample, now: Now) -> Option<i64> {
        let about = match clock.lock {
            Some(reference_id) => {
                let is_it = |settings: &crate::settings::SourceSettings| {
                    settings.refclock.is_some_and(|it| it.reference_id == reference_id)
                };
                let (_, source) = self.entries.all_members().find(|(entry, _)| is_it(&entry.settings))?;
                let opinion = source.opinion(now).filter(|it| it.is_live() && it.distance <= NUMBERED)?;
                now.wall.nanos().saturating_add((opinion.offset * 1e9) as i64)
            }
            None => {
                let bounds = self.bounds(now).filter(|it| (it.high - it.low) / 2.0 <= NUMBERED)?;
                now.wall.nanos().saturating_add((bounds.offset * 1e9) as i64)
            }
        };
        // True time at the pulse, as it is known without it.
        let about = about.saturating_sub(now.raw.since(pulse.at).nanos());
        let beside = pulse.utc.nanos().saturating_sub(about).rem_euclid(SECOND);
        Some(about.saturating_add(if beside > SECOND / 2 { beside - SECOND } else { beside }))
    }

    /// What a reference clock sent was no sample.
    pub(super) fn clock_discarded(&mut self, now: Now, discarded: &Discarded) {
        if discarded.at > now.raw {
            return self.distrust(Process::Refclock, Violation::SampleOfTheFuture);
        }
        let Some((id, ..)) = self.clock_source(discarded.device) else { return };
        let Some((settings, _, source)) = self.entries.source_mut(id) else { return };
        let Discarded { malformed, untimely, unsynchronised, excess, .. } = *discarded;
        for (reason, count) in [
            (RejectReason::Malformed, malformed.saturating_add(excess)),
            (RejectReason::BadInterval, untimely),
            (RejectReason::Unsynchronised, unsynchronised),
        ] {
            source.counters.add(reason, count);
        }
        let (name, address) = (settings.name.clone(), source.address().socket_address());
        // A receiver without a fix says so for hours: its silence is told of.
        if malformed > 0 || untimely > 0 || excess > 0 {
            self.tell(Notice::Source(name, address, SourceNotice::ClockDiscarded(*discarded)));
        }
    }

    /// CLOCK_REALTIME was set, or the counter stood still.
    pub(super) fn break_off_clocks(&mut self, now: RawInstant) {
        self.entries.all_sources_mut().for_each(|source| source.feed.break_off(now));
    }

    /// Makes samples of what the clocks of a group have said, where their intervals are over.
    pub(super) fn read_clocks(&mut self, group: Group, now: Now) {
        let is_due = |entry: &&crate::entries::Entry| entry.settings.refclock.is_some() && !entry.offline;
        let due: Vec<SourceId> = self
            .entries
            .of(group)
            .filter(is_due)
            .flat_map(|entry| &entry.members)
            .filter(|source| source.poll_process.due() <= now.raw)
            .map(|source| source.id)
            .collect();
        due.into_iter().for_each(|id| self.read_clock(id, group, now));
    }

    fn read_clock(&mut self, id: SourceId, group: Group, now: Now) {
        let prior = self.prior_frequency(now);
        let Some(basis) = &self.basis else { return };
        let frequency = basis.clock.frequency() + basis.clock.natural(now.raw, now.wall).0;
        let Some((settings, _, source)) = self.entries.source_mut(id) else { return };
        let Some(clock) = settings.refclock else { return };
        let end = earliest_end(&source.feed, source.poll_process.poll.interval());
        if end > now.raw {
            // It was wanted at once, and what it says comes once a second.
            source.poll_process.next = end;
            return;
        }
        source.counters.sent = source.counters.sent.saturating_add(1);
        source.poll_process.listen(now.raw);
        let (name, address) = (settings.name.clone(), source.address().socket_address());
        let heard_before = source.is_heard();
        let mut doubts = false;
        match source.feed.close(&clock, prior.0, now.raw) {
            Closed::Nothing => {
                let ends = source.poll_process.reach == 0 && source.track.survives();
                self.system.dirty |= ends && group == Group::Deciding;
                let Some((_, _, source)) = self.entries.source_mut(id) else { return };
                if source.begins_silence() {
                    self.tell(Notice::Source(name, address, SourceNotice::ClockSilent));
                }
                return;
            }
            Closed::Dispersed(facts) => {
                let was_unused = source.unused.is_some();
                source.refuse(
                    RejectReason::RootDistance,
                    &header(&facts, source.poll_process.poll.exponent()),
                    now,
                );
                source.history.count(&mut self.counted, 0.0);
                if !was_unused {
                    self.tell(Notice::Source(
                        name,
                        address,
                        SourceNotice::Unused(RejectReason::RootDistance),
                    ));
                }
            }
            Closed::Sample(sample) => {
                let unused_before = source.unused.is_some();
                let outcome = source.take_sample(&sample, prior, now);
                source.history.count(&mut self.counted, frequency);
                doubts = outcome == Outcome::Doubtful;
                if group == Group::Deciding {
                    self.system.heard.first.get_or_insert(now.raw);
                }
                if !heard_before {
                    self.tell(Notice::Source(name.clone(), address, SourceNotice::Heard));
                } else if unused_before {
                    self.tell(Notice::Source(name.clone(), address, SourceNotice::UsableAgain));
                }
                if outcome == Outcome::Restarted {
                    self.tell(Notice::Source(name, address, SourceNotice::Restarted));
                }
                if group == Group::Deciding {
                    self.note_heard(id, now.raw);
                }
            }
        }
        if group == Group::Deciding {
            self.system.dirty = true;
            if doubts {
                self.ask_about_standstill(now);
            }
        }
    }
}
