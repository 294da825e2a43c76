//! The page from which programs compute the time with its error ([`truechimer_time`]): what they may conclude until the
//! next one is written, or until its end where none is written any more.

use super::Engine;
use crate::guard::{ANYWHERE, Guard};
use crate::io::{Now, Output};
use crate::system::Line;
use ipc::message::privileged::ClockKind;
use ipc::units::{RawInstant, Span};
use truechimer_time::{Mark, Page, SEGMENTS, SPANS, State, WallCheck, frequency as scaled, per_second, rate};

/// How long a page holds that is the last one: as far as its rates go.
const VALID: Span = Span::from_secs((SPANS[SEGMENTS - 1] / 1_000_000_000) as i64);

/// In good time before it ends, where nothing else causes another one.
const KEPT: Span = Span::from_secs(5_400);

/// For ClockBound's readers, to whom a page that is 60 s old is one of a clock that runs freely.
const RENEWED: Span = Span::from_secs(50);

/// How far the clock may be beside what it is known to do, nanoseconds: longer than a reader takes for two readings, and shorter
/// than a machine sleeps.
pub const BESIDE: i64 = 5_000_000;

/// The same for each second: the kernel's own rounding, and a frequency that is only about to be ordered.
const BESIDE_RATE: f64 = 50e-6;

/// So many poll intervals without an answer: after eight a source is not reachable.
const POLLS: f64 = 10.0;

/// A clock that somebody else steers may do this.
const UNSTEERED: i64 = 50_000_000;
const UNSTEERED_RATE: f64 = 1_000e-6;

/// What a page was made from: another one is due where that is another one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Basis {
    state: State,
    mark: Mark,
    /// When the line was drawn, and its guard's instant.
    line: Option<(RawInstant, RawInstant)>,
    /// When the clock's last order was carried out.
    clock: Option<RawInstant>,
    /// What contradicts the line: how many, and the latest of them.
    doubts: (usize, Option<RawInstant>),
    leap: Option<i64>,
    continuous_since: RawInstant,
    marker: Option<u64>,
    clockbound: bool,
}

/// What was published, and what it depends on beside the line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Paging {
    /// The last page, and what it was made from.
    paged: Option<(Basis, Page)>,
    /// When the clock was found elsewhere than the page expected it; none: a source has answered since.
    disturbed: Option<RawInstant>,
    /// Since when the counter ran on, and true time had no leap second.
    continuous_since: RawInstant,
    /// How many sources the line rests on, and how many of them are authenticated.
    pub(super) rests_on: (usize, usize),
}

impl Paging {
    /// Nothing was published.
    pub(super) const NONE: Self =
        Self { paged: None, disturbed: None, continuous_since: RawInstant::MIN, rests_on: (0, 0) };

    /// What will be known from `at` on says nothing of a time before: a later such moment is never taken back.
    pub(super) fn break_off(&mut self, at: RawInstant) {
        self.continuous_since = self.continuous_since.max(at);
    }
}

impl Engine {
    /// Where CLOCK_REALTIME shows what the last page did not expect, though nothing was ordered: the machine slept for less than
    /// the governor tells, or the clock was set a moment ago. What was measured before says nothing of now.
    pub(super) fn note_disturbance(&mut self, now: Now) {
        let Some((before, page)) = &self.system.paging.paged else { return };
        let ordered = self.basis.as_ref().map(|basis| (basis.clock.since(), basis.orders.moves_clock()));
        let is_comparable = ordered.is_some_and(|(since, moves)| Some(since) == before.clock && !moves)
            && before.continuous_since == self.system.paging.continuous_since;
        let raw = now.raw.nanos();
        if is_comparable && !page.agrees(raw, now.wall.nanos(), raw, 0) {
            self.system.paging.disturbed = Some(now.raw);
            self.signed.forget(now.raw);
            self.system.paging.break_off(now.raw);
        }
        let heard = self.system.line.as_ref().map(|line| line.heard);
        if self.system.paging.disturbed.is_some_and(|at| heard.is_some_and(|heard| heard > at)) {
            self.system.paging.disturbed = None;
        }
    }

    /// The line is about to be replaced by this one: where the two exclude each other, what is said now says nothing of before.
    pub(super) fn note_break(&mut self, line: &Line, now: RawInstant) {
        let before = self.system.line.as_ref().map(|line| line.guard_at(now));
        if before.is_some_and(|before| before.gap(&line.guard_at(now)) != 0.0) {
            self.system.paging.break_off(now);
        }
    }

    /// Publishes a page if there is news, or the last one is to be renewed; says when that will be.
    pub(super) fn publish_page(&mut self, now: Now) -> Option<RawInstant> {
        let basis = self.page_basis(now);
        // The page of an earlier run says more, until its own end.
        let is_nothing =
            self.system.paging.paged.is_none() && basis.line.is_none() && basis.state == State::Unknown;
        if is_nothing && !self.is_divided() {
            return None;
        }
        let stale = self.system.line.as_ref().map(stale_at).filter(|at| *at > now.raw);
        let often = if self.settings.clock.clockbound { RENEWED } else { KEPT };
        let renewed = |at: RawInstant| Some(at.after(often)).filter(|_| self.system.line.is_some());
        let due = |at: RawInstant| stale.into_iter().chain(renewed(at)).min();
        if let Some((before, page)) = self.system.paging.paged
            && let at = RawInstant::saturating(page.as_of)
            && before == basis
            && renewed(at).is_none_or(|due| now.raw < due)
        {
            return due(at);
        }
        let due = due(now.raw);
        let page = self.page(now);
        self.system.paging.paged = Some((basis, page));
        self.outputs.push_back(Output::Page(page));
        due
    }

    /// Whether ClockBound's pages are written.
    pub fn writes_clockbound(&self) -> bool {
        self.settings.clock.clockbound
    }

    fn page_basis(&self, now: Now) -> Basis {
        Basis {
            state: self.page_state(now),
            mark: self.page_mark(now),
            line: self.system.line.as_ref().map(Line::drawn),
            clock: self.basis.as_ref().map(|basis| basis.clock.since()),
            doubts: (self.doubts().count(), self.doubts().map(|doubt| doubt.at()).max()),
            leap: self.system.leap.end(),
            continuous_since: self.system.paging.continuous_since,
            marker: self.marker(),
            clockbound: self.settings.clock.clockbound,
        }
    }

    fn page_state(&self, now: Now) -> State {
        let system = &self.system;
        match &system.line {
            // Whether the counter stood still when somebody set the clock is just being asked.
            _ if system.foreign.is_some_and(|foreign| foreign.is_kept.is_none()) => State::Disrupted,
            _ if system.paging.disturbed.is_some() => State::Disrupted,
            None if system.standstill.is_some() => State::Disrupted,
            None => State::Unknown,
            Some(_) if self.is_divided() || self.follows_orphan() => State::Unknown,
            // One of two is wrong: the sources that the clock follows, or most of those that sign.
            Some(_) if self.signed.is_upheld() => State::Unknown,
            Some(line) if stale_at(line) <= now.raw => State::FreeRunning,
            Some(line) if system.impasse.is_some() || line.deviation(now.raw) >= self.error_limit() => {
                State::FreeRunning
            }
            Some(_) => State::Synchronised,
        }
    }

    /// What vmclock showed when nothing had happened yet that the engine does not know.
    fn marker(&self) -> Option<u64> {
        self.basis.as_ref().and_then(|basis| basis.welcome.marker)
    }

    /// Whether the clock that is steered is CLOCK_REALTIME.
    fn is_kernels(&self) -> bool {
        self.basis.as_ref().is_some_and(|basis| basis.welcome.clock == ClockKind::Kernel)
    }

    fn page_mark(&self, now: Now) -> Mark {
        let (sources, authenticated) = self.system.paging.rests_on;
        let is_authenticated = self.system.line.is_some() && sources > 0 && sources == authenticated;
        Mark {
            authenticated: is_authenticated,
            attested: is_authenticated && self.settings.clock.attested,
            system_clock: self.is_kernels() && self.is_synchronised(now),
            sources: if self.system.line.is_some() { u8::try_from(sources).unwrap_or(u8::MAX) } else { 0 },
        }
    }

    /// What readers may conclude from now on.
    pub fn page(&self, now: Now) -> Page {
        let state = self.page_state(now);
        let line = match (&self.system.line, state) {
            (Some(line), State::Synchronised | State::FreeRunning) => line,
            _ => return self.nothing(now, state),
        };
        let guard = self.opened_guard(line, now.raw);
        let (earliest, latest) = guard.utc();
        let (frequency, _) = line.frequency();
        let rates = self.widening(line, now.raw);
        let mut void_after = self.page_end(line, &guard, rates, now.raw);
        if let Some(most) = self.settings.clock.max_error {
            let half = latest.saturating_sub(earliest) / 2;
            match known_well(half, rates, most) {
                Some(long) => void_after = void_after.min(now.raw.after(long)),
                None => return self.nothing(now, State::Unknown),
            }
        }
        Page {
            as_of: now.raw.nanos(),
            earliest,
            latest,
            estimate: line.utc(now.raw).clamp(earliest, latest),
            frequency: scaled(frequency),
            void_after: void_after.nanos(),
            continuous_since: self.system.paging.continuous_since.nanos(),
            synchronised_until: stale_at(line).nanos(),
            state,
            mark: self.page_mark(now),
            wall: self.wall_check(now),
            marker: self.marker(),
            rates,
        }
    }

    /// Nothing is known; of what was measured under this marker.
    fn nothing(&self, now: Now, state: State) -> Page {
        Page { marker: self.marker(), ..Page::unknown(now.raw.nanos(), state) }
    }

    /// By how much the interval widens, up to each of [`SPANS`]. A guard's width is convex in its age but for one bend
    /// ([`ANYWHERE`]), so that the largest rate up to an age is the rate at it or at a bend before it. (Not of a bend within the first second: 13 µs.)
    fn widening(&self, line: &Line, from: RawInstant) -> [u64; SEGMENTS] {
        let (frequency, _) = line.frequency();
        let (low, high) = self.opened_guard(line, from).bounds();
        let at = |seconds: f64| {
            let later = from.after(Span::saturating((seconds * 1e9) as i64));
            let elapsed = later.since(from).nanos();
            let moved = elapsed as f64 * frequency;
            let (least, most) = self.opened_guard(line, later).bounds();
            let wider = (low.saturating_sub(least) as f64 + moved)
                .max(most.saturating_sub(high) as f64 - moved)
                .max(0.0);
            // Of what is rounded to nanoseconds twice.
            (wider + 3.0) / elapsed.max(1) as f64
        };
        let bend = |guard: RawInstant| ANYWHERE - from.since(guard).nanos() as f64 * 1e-9;
        let (_, guard) = line.drawn();
        let bends = || core::iter::once(guard).chain(self.doubts().map(|doubt| doubt.at())).map(bend);
        let mut largest = 0.0_f64;
        let mut rates = [0; SEGMENTS];
        for (place, span) in rates.iter_mut().zip(SPANS) {
            let seconds = span as f64 * 1e-9;
            let within = bends().filter(|bend| (1.0..seconds).contains(bend));
            largest = within.map(at).fold(largest.max(at(seconds)), f64::max);
            *place = rate(largest);
        }
        rates
    }

    /// When this page ends: before a leap second of which the reader would not know, and where its rates end.
    fn page_end(&self, line: &Line, guard: &Guard, rates: [u64; SEGMENTS], now: RawInstant) -> RawInstant {
        let end = now.after(VALID);
        let Some(leap) = self.system.leap.end() else { return end };
        let (low, high) = guard.bounds();
        let [.., last] = rates;
        let wider = VALID.nanos() as f64 * per_second(last as i64);
        let early = Span::saturating(high.saturating_sub(low)).plus(Span::saturating(wider as i64));
        let moment = line.moment_of(leap).nanos().saturating_sub(early.nanos());
        end.min(RawInstant::saturating(moment))
    }

    /// What the clock will show until its next order is carried out.
    fn wall_check(&self, now: Now) -> Option<WallCheck> {
        let basis = self.basis.as_ref()?;
        let clock = &basis.clock;
        let beside = |low: i64, high: i64, rate: u64| {
            let (natural, _) = clock.natural(now.raw, now.wall);
            let frequency = scaled(clock.frequency() + natural);
            WallCheck { wall: now.wall.nanos(), frequency, low, high, rate }
        };
        match basis.welcome.clock {
            ClockKind::Virtual => None,
            ClockKind::None => Some(beside(-UNSTEERED, UNSTEERED, rate(UNSTEERED_RATE))),
            ClockKind::Kernel => {
                let left = (clock.slew_left(now.raw) * 1e9) as i64;
                Some(beside(left.min(0) - BESIDE, left.max(0) + BESIDE, rate(BESIDE_RATE)))
            }
        }
    }
}

/// For how long an interval of this half width, nanoseconds, is within `most` on both sides, where it widens at `rates`; none: it is not.
fn known_well(half: i64, rates: [u64; SEGMENTS], most: Span) -> Option<Span> {
    let left = most.nanos().checked_sub(half).filter(|left| *left >= 0)?;
    let mut known = 0;
    for (span, rate) in SPANS.map(|span| span as i64).into_iter().zip(rates) {
        let long = match rate {
            0 => i64::MAX,
            _ => (left as f64 / per_second(rate as i64)) as i64,
        };
        if long < span {
            return Some(Span::saturating(long.max(known)));
        }
        known = span;
    }
    Some(Span::saturating(known))
}

/// When none of what it rests on has said anything for so long that it is no news any more, whether or not anything was asked.
fn stale_at(line: &Line) -> RawInstant {
    line.heard.after(Span::saturating((line.reference.interval * POLLS * 1e9) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_known_well_until_it_has_widened_to_the_limit() {
        let most = Span::from_millis(1);
        let rates = [rate(1e-6); SEGMENTS];
        let [.., last] = SPANS;
        // 500 µs are left, at 1 µs in each second.
        let long = known_well(500_000, rates, most).expect("known").nanos() as f64 * 1e-9;
        assert!((long - 500.0).abs() < 1.0, "{long}");
        assert_eq!(known_well(1_000_000, rates, most).map(Span::nanos), Some(0));
        assert_eq!(known_well(1_000_001, rates, most), None);
        assert_eq!(known_well(0, [0; SEGMENTS], most).map(Span::nanos), Some(last as i64));
        // It widens faster the longer it lasts.
        let [first, ..] = SPANS;
        let mut rates = [rate(1e-3); SEGMENTS];
        rates[0] = 0;
        let long = known_well(900_000, rates, most).expect("known").nanos();
        assert!((first as i64..=(first as i64).max(100_100_000)).contains(&long), "{long}");
    }
}
