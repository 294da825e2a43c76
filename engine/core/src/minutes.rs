//! The minutes of the history that the engine process writes ([`ipc::history`]): what was true in each, and numbers for the sources
//! that were used. Nothing is decided by them. They wait here until they are taken; where nobody takes them, the oldest are lost.

use crate::chronicle::Moment;
use crate::io::Now;
use crate::source_id::SourceId;
use alloc::collections::VecDeque;
use alloc::string::String;
use ipc::history::{Minute, SOURCES};
use ipc::units::{Frequency, RawInstant, Span};

/// Its length.
const LENGTH: Span = Span::from_secs(60);

/// So many wait at most: those of the longest silence of an engine that runs, and its sources.
const WAITING: usize = 256;

/// Who is used at a moment, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Who {
    /// A bit for the number of each source.
    pub(crate) used: u32,
    /// Those of them that are authenticated.
    pub(crate) used_authenticated: u32,
    pub(crate) falsetickers: u32,
    /// How many are authenticated, with a number or without.
    pub(crate) authenticated: u8,
    /// All that the clock follows.
    pub(crate) is_authenticated: bool,
    /// What Roughtime servers signed limits true time.
    pub(crate) is_signed: bool,
    /// Of this host, if it is synchronised.
    pub(crate) stratum: u8,
}

/// What waits to be written down.
#[derive(Clone, Debug, PartialEq)]
pub enum Lasting {
    /// What was true until this moment.
    Minute(Now, Minute),
    /// The number of a source, from now on: it had none before, or belonged to one that is gone.
    Numbered {
        /// When.
        at: Now,
        /// Below [`SOURCES`].
        number: u8,
        /// As configured, and where it is asked.
        name: String,
        /// Whether its packets are authenticated.
        authenticated: bool,
    },
}

/// The minute that is not over.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Open {
    slot: i64,
    begun: RawInstant,
    until: Now,
    minute: Minute,
    /// Something was added to it.
    is_filled: bool,
}

/// See the module's head.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Minutes {
    begun: Option<RawInstant>,
    /// Between these the engine process did not run.
    away: Option<(RawInstant, RawInstant)>,
    open: Option<Open>,
    numbers: [Option<SourceId>; SOURCES],
    waiting: VecDeque<Lasting>,
}

impl Minutes {
    /// What has come since it was last asked for, in order.
    pub(crate) fn take(&mut self) -> VecDeque<Lasting> {
        core::mem::take(&mut self.waiting)
    }

    /// Whether something waits.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The minute that is not over is over: nothing more will come.
    pub(crate) fn end(&mut self) {
        self.close();
    }

    /// The engine process did not run between these: nobody looked at anything, whatever is concluded afterwards.
    pub(crate) fn was_away(&mut self, from: RawInstant, until: RawInstant) {
        self.away = Some((from, until));
    }

    /// A time that does not go beyond a slot of any multiple of a quarter of a minute, by what was true at its beginning and at its
    /// end.
    pub(crate) fn add(&mut self, from: &Moment, to: &Moment) {
        let is_away = self.away.is_some_and(|(begun, ended)| from.at.raw < ended && to.at.raw > begun);
        let open = self.open(from.at);
        open.minute.gap |= is_away;
        let is_first = !core::mem::replace(&mut open.is_filled, true);
        let minute = &mut open.minute;
        for (at, moment) in [from, to].into_iter().enumerate() {
            let is_first = is_first && at == 0;
            minute.synchronised = moment.synchronised && (is_first || minute.synchronised);
            minute.authenticated = moment.who.is_authenticated && (is_first || minute.authenticated);
            minute.signed = moment.who.is_signed && (is_first || minute.signed);
            let least = |before: u8, now: u8| if is_first { now } else { before.min(now) };
            minute.used_at_least = least(minute.used_at_least, moment.used);
            minute.authenticated_at_least = least(minute.authenticated_at_least, moment.who.authenticated);
            minute.used |= moment.who.used;
            minute.used_authenticated |= moment.who.used_authenticated;
            minute.falsetickers |= moment.who.falsetickers;
            let known = moment.known;
            if let Some(offset) = known.map(|known| libm::round(known.offset * 1e9) as i64) {
                let (low, high) = minute.offset.unwrap_or((offset, offset));
                minute.offset = Some((low.min(offset), high.max(offset)));
            }
            // Upwards: it is a limit.
            let limit =
                |seconds: f64| (0.0..1e9).contains(&seconds).then(|| libm::ceil(seconds * 1e9) as u64);
            let worse = |before: Option<u64>, now: Option<u64>| match is_first {
                true => now,
                false => before.zip(now).map(|(before, now)| before.max(now)),
            };
            minute.bound = worse(minute.bound, known.and_then(|known| limit(known.bound)));
            minute.likely = worse(minute.likely, known.and_then(|known| limit(known.likely)));
        }
        minute.stratum = if to.synchronised { to.who.stratum } else { 16 };
        minute.frequency =
            to.frequency.map(|ppm| Frequency::saturating((ppm * f64::from(Frequency::PER_PPM)) as i32));
        if to.at.raw > open.until.raw {
            open.until = to.at;
        }
    }

    /// The clock was moved by so many seconds, by the daemon or not.
    pub(crate) fn stepped(&mut self, now: Now, seconds: f64, is_ours: bool) {
        let minute = &mut self.open(now).minute;
        minute.steps = minute.steps.saturating_add((seconds * 1e9) as i64);
        let away = if seconds < 0.0 { libm::floor(seconds * 1e6) } else { libm::ceil(seconds * 1e6) };
        let step = away as i32;
        if step.unsigned_abs() > minute.largest_step_us.unsigned_abs() {
            minute.largest_step_us = step;
        }
        match is_ours {
            true => minute.stepped = true,
            false => minute.stepped_by_another = true,
        }
    }

    /// A leap second has passed.
    pub(crate) fn leapt(&mut self, now: Now) {
        self.open(now).minute.leap = true;
    }

    /// The clock stood still until now, or nothing is known of a time before.
    pub(crate) fn has_gap(&mut self, now: Now) {
        self.open(now).minute.gap = true;
    }

    /// The number of this source; none where each belongs to another one that `is_there`.
    pub(crate) fn number(
        &mut self,
        at: Now,
        source: (SourceId, bool),
        name: impl FnOnce() -> String,
        is_there: impl Fn(SourceId) -> bool,
    ) -> Option<u8> {
        let (id, authenticated) = source;
        let known = self.numbers.iter().position(|number| *number == Some(id));
        let found = known.or_else(|| {
            let is_free = |number: &Option<SourceId>| number.is_none_or(|id| !is_there(id));
            // A number that none had before says more to who reads on.
            let unused = self.numbers.iter().position(Option::is_none);
            let free = unused.or_else(|| self.numbers.iter().position(is_free))?;
            self.numbers[free] = Some(id);
            // Below 32.
            let number = free as u8;
            self.push(Lasting::Numbered { at, number, name: name(), authenticated });
            Some(free)
        })?;
        u8::try_from(found).ok()
    }

    fn open(&mut self, now: Now) -> &mut Open {
        let begun = *self.begun.get_or_insert(now.raw);
        let slot = now.raw.since(begun).nanos().max(0) / LENGTH.nanos();
        if self.open.is_some_and(|open| open.slot < slot) {
            self.close();
        }
        let minute = Minute { stratum: 16, ..Minute::default() };
        self.open.get_or_insert(Open { slot, begun: now.raw, until: now, minute, is_filled: false })
    }

    fn close(&mut self) {
        let Some(Open { begun, until, mut minute, is_filled, .. }) = self.open.take() else { return };
        let length = until.raw.since(begun).nanos().max(0) / 1_000_000;
        minute.length_ms = u32::try_from(length).unwrap_or(u32::MAX);
        minute.gap |= !is_filled;
        self.push(Lasting::Minute(until, minute));
    }

    fn push(&mut self, what: Lasting) {
        if self.waiting.len() >= WAITING {
            self.waiting.pop_front();
            // What follows does not follow from what was written.
            if let Some(Lasting::Minute(_, minute)) = self.waiting.front_mut() {
                minute.gap = true;
            }
        }
        self.waiting.push_back(what);
    }
}

#[cfg(test)]
mod tests;
