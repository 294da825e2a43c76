//! The pages of ClockBound 3.0, for its clients: layout 2 (`shm0`), in which a reader takes CLOCK_REALTIME and is told how wrong
//! that may be, and layout 3 (`shm1`), in which it computes the time from the processor's counter.
//!
//! Words are of the machine's own byte order. After two words of a header (magic; length, version and generation) follow:
//!
//! ```text
//!   layout 2   as of, void after (CLOCK_MONOTONIC_COARSE, seconds and nanoseconds each), bound ns, disruption marker,
//!              largest drift 1e-9 | status, disruption support
//!   layout 3   as of (ticks), as of, void after (UTC), period, its error, bound ns, disruption marker,
//!              largest drift | status, disruption support and the shifts of period and error
//! ```
//!
//! The generation is odd during a write, even after it, and never 0 again.

use engine_core::time_page::BESIDE;
use ipc::units::RawInstant;
use ipc_clock::Counter;
use truechimer_time::{Page, SPANS, State, WordsWriter, per_second};

/// The first word: 0x414D5A4E, 0x43420200.
const MAGIC: u64 = if cfg!(target_endian = "little") { 0x4342_0200_414D_5A4E } else { 0x414D_5A4E_4342_0200 };

/// Words of each layout, with the header.
const LAYOUT_2: usize = 10;
const LAYOUT_3: usize = 13;

/// Versions, as the header has them: layout 3 can be read by readers of version 3 alone.
const VERSION_2: u16 = 2;
const VERSION_3: u16 = 0x0303;

/// Which of our rates these pages have, and so how long they are valid.
const SPAN: usize = 2;

const SECOND: i64 = 1_000_000_000;

/// A bound where nothing is known: a day.
const UNBOUNDED: i64 = 86_400 * SECOND;

/// What is written into a segment, without its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Layout 2.
    SystemClock([u64; LAYOUT_2 - 2]),
    /// Layout 3.
    Counter([u64; LAYOUT_3 - 2]),
}

/// Words that readers see change one by one.
pub trait Place {
    /// The word at this place.
    fn word(&self, at: usize) -> u64;
    /// Replaces it, after all that was written before and before all that is written afterwards.
    fn set(&mut self, at: usize, word: u64);
}

impl Place for WordsWriter {
    fn word(&self, at: usize) -> u64 {
        Self::word(self, at)
    }

    fn set(&mut self, at: usize, word: u64) {
        Self::set(self, at, word);
    }
}

/// A segment, whose readers may have mapped it in an earlier run of the daemon.
#[derive(Debug)]
pub struct Segment<P> {
    words: P,
    generation: u16,
}

impl<P: Place> Segment<P> {
    /// Goes on where the run before ended.
    pub fn new(words: P) -> Self {
        let [.., low, high] = words.word(1).to_ne_bytes();
        let generation = if words.word(0) == MAGIC { u16::from_ne_bytes([low, high]) } else { 0 };
        Self { words, generation }
    }

    /// Whether it was ever written.
    pub fn is_used(&self) -> bool {
        self.generation != 0
    }

    /// Replaces what readers read.
    pub fn write(&mut self, body: &Body) {
        let (version, body): (u16, &[u64]) = match body {
            Body::SystemClock(body) => (VERSION_2, body),
            Body::Counter(body) => (VERSION_3, body),
        };
        let length = (body.len() as u32 + 2) * 8;
        let header = |segment: &mut Self, generation: u16| {
            let [a, b, c, d] = length.to_ne_bytes();
            let [[e, f], [g, h]] = [version.to_ne_bytes(), generation.to_ne_bytes()];
            segment.words.set(1, u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
        };
        // A run that was killed in the middle of a write has left an odd one.
        let during = (self.generation | 1).wrapping_add(if self.generation % 2 == 1 { 2 } else { 0 });
        header(self, during);
        for (at, word) in body.iter().enumerate() {
            self.words.set(at + 2, *word);
        }
        self.words.set(0, MAGIC);
        self.generation = match during.wrapping_add(1) {
            0 => 2,
            even => even,
        };
        let generation = self.generation;
        header(self, generation);
    }
}

/// Ticks of the counter, and how long one is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counted {
    /// The counter and the raw clock.
    pub at: Counter,
    /// Seconds of the raw clock in a tick.
    pub period: f64,
    /// By which share of itself that may be wrong.
    pub error: f64,
}

/// What a tick of the counter is on the raw clock: the kernel multiplies one by a constant to get the other, where the counter
/// is what it keeps time by, and the longer they are looked at the better it is known.
#[derive(Clone, Debug)]
pub struct Ratio {
    /// Whether the kernel keeps time by this counter.
    is_used: bool,
    first: Option<(Counter, RawInstant)>,
    last: Option<Counted>,
    /// The period as it was found first, and its error: a counter of another one is another counter.
    period: Option<(f64, f64)>,
}

/// Until they have been looked at for so long, nothing is known.
const SHORTEST: i64 = 100_000_000;

/// A counter that is farther from what it was expected to show, nanoseconds, and this share of the time since, is another one.
const STRANGE: (f64, f64) = (10_000.0, 1e-6);

impl Ratio {
    /// Nothing is known yet. `is_used`: the kernel keeps time by the counter.
    pub const fn new(is_used: bool) -> Self {
        Self { is_used, first: None, last: None, period: None }
    }

    /// Whether the kernel keeps time by the counter.
    pub const fn is_used(&self) -> bool {
        self.is_used
    }

    /// What is known now. `since`: before this raw time, nanoseconds, the machine stood still, and counter and clock may have
    /// gone apart.
    pub fn look(&mut self, now: Counter, since: i64) -> Option<Counted> {
        if !self.is_used {
            return None;
        }
        let since = RawInstant::saturating(since);
        let Some((first, _)) = self.first.filter(|(_, of)| *of == since) else {
            (self.first, self.last) = (Some((now, since)), None);
            return None;
        };
        let elapsed = now.raw.since(first.raw).nanos();
        let ticks = now.ticks.checked_sub(first.ticks).filter(|ticks| *ticks > 0);
        let strange = self.last.is_some_and(|last| {
            let expected = now.ticks.wrapping_sub(last.at.ticks) as f64 * last.period * 1e9;
            let seen = now.raw.since(last.at.raw).nanos() as f64;
            let slack = STRANGE.0 + STRANGE.1 * seen.abs() + (now.gap + last.at.gap) as f64;
            (expected - seen).abs() > slack
        });
        let (Some(ticks), false) = (ticks, strange) else {
            (self.first, self.last) = (Some((now, since)), None);
            return None;
        };
        if elapsed < SHORTEST {
            return None;
        }
        let period = elapsed as f64 * 1e-9 / ticks as f64;
        let error = (now.gap + first.gap + 2) as f64 / elapsed as f64;
        let (known, known_to) = *self.period.get_or_insert((period, error));
        if (period / known - 1.0).abs() > error + known_to + STRANGE.1 {
            self.first = Some((now, since));
            return None;
        }
        self.last = Some(Counted { at: now, period, error });
        self.last
    }
}

/// A status of ClockBound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Status {
    Unknown = 0,
    Synchronized = 1,
    FreeRunning = 2,
    Disrupted = 3,
}

impl Status {
    fn of(page: &Page) -> Self {
        match page.state {
            State::Unknown => Self::Unknown,
            State::Synchronised => Self::Synchronized,
            State::FreeRunning => Self::FreeRunning,
            State::Disrupted => Self::Disrupted,
        }
    }

    const fn is_known(self) -> bool {
        matches!(self, Self::Synchronized | Self::FreeRunning)
    }
}

/// Two words of a time: seconds, and nanoseconds of the second.
fn timespec(nanos: i64) -> [u64; 2] {
    [nanos.div_euclid(SECOND) as u64, nanos.rem_euclid(SECOND) as u64]
}

/// Two numbers of half a word each, in the order of their places.
fn halves(first: u32, second: u32) -> u64 {
    let [[a, b, c, d], [e, f, g, h]] = [first.to_ne_bytes(), second.to_ne_bytes()];
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// How far a page's rate goes in these pages, 1e-9, with what else drifts, s/s; and for how long, nanoseconds.
fn drift(page: &Page, beside: f64) -> (u32, i64) {
    let rate = per_second(page.rates[SPAN] as i64) + beside;
    let lasts = (SPANS[SPAN] as i64).min(page.void_after.saturating_sub(page.as_of));
    ((rate * 1e9).ceil().min(999_999_999.0) as u32 + 1, lasts.max(0))
}

/// Layout 2. `monotonic`: CLOCK_MONOTONIC_COARSE, nanoseconds, not after any that a reader will see.
///
/// It can be no better than CLOCK_REALTIME: who sets that between two pages is noticed only by the daemon. The bound holds for
/// all that may be ordered meanwhile, since a correction goes to a time inside of the interval.
pub fn by_system_clock(page: &Page, monotonic: i64) -> Body {
    let status = match (&page.wall, Status::of(page)) {
        (_, status) if !status.is_known() => status,
        _ if page.at(page.as_of).is_err() => Status::Unknown,
        (Some(_), status) if page.mark.system_clock => status,
        _ => Status::Unknown,
    };
    let (mut bound, mut drifts, mut lasts) = (UNBOUNDED, 0, 0);
    if let (Some(wall), true) = (&page.wall, status.is_known()) {
        let (low, high) = (page.earliest.saturating_sub(wall.wall), page.latest.saturating_sub(wall.wall));
        // What is left of a slew, and the whole width: where the next one may go.
        let left = [wall.low.saturating_add(BESIDE), wall.high.saturating_sub(BESIDE)];
        let ends = left.map(|left| {
            low.saturating_sub(left).saturating_abs().max(high.saturating_sub(left).saturating_abs())
        });
        bound =
            ends.into_iter().fold(high.saturating_sub(low), i64::max).saturating_add(1_000).min(UNBOUNDED);
        let beside = per_second(page.frequency - wall.frequency).abs();
        (drifts, lasts) = drift(page, beside);
    }
    let [as_of, as_of_nanos] = timespec(monotonic);
    let [void, void_nanos] = timespec(monotonic.saturating_add(lasts));
    Body::SystemClock([
        as_of,
        as_of_nanos,
        void,
        void_nanos,
        bound as u64,
        page.marker.unwrap_or(0),
        halves(drifts, status as u32),
        supports(page, 0, 0),
    ])
}

/// The last word: whether clients are to compare the disruption marker with the hypervisor's, and two shifts. Once they compare they do so
/// as long as they run, so it is the same in all pages of a run, also where nothing is known.
fn supports(page: &Page, period_shift: u8, error_shift: u8) -> u64 {
    let marker = u8::from(page.marker.is_some());
    u64::from_ne_bytes([marker, period_shift, error_shift, 0, 0, 0, 0, 0])
}

/// Layout 3; `counted`: none if the counter says nothing.
pub fn by_counter(page: &Page, counted: Option<Counted>) -> Body {
    let known = counted.and_then(|counted| Some((counted, page.at(counted.at.raw.nanos()).ok()?)));
    let status = match (known, Status::of(page)) {
        (Some(_), status) => status,
        (None, Status::Synchronized | Status::FreeRunning) => Status::Unknown,
        (None, status) => status,
    };
    let Some((Counted { at, period, error }, interval)) = known else {
        let marker = page.marker.unwrap_or(0);
        let [status, support] = [halves(0, status as u32), supports(page, 0, 0)];
        return Body::Counter([0, 0, 0, 0, 0, 0, 0, UNBOUNDED as u64, marker, status, support]);
    };
    let half = interval.latest.saturating_sub(interval.earliest) / 2 + 1;
    let middle = interval.earliest.saturating_add(half);
    let (drifts, lasts) = drift(page, 0.0);
    let frequency = per_second(page.frequency);
    let (period, period_shift) = fraction(period * (1.0 + frequency));
    let (error, error_shift) = fraction(error);
    let [as_of, as_of_nanos] = timespec(middle);
    let [void, void_nanos] = timespec(middle.saturating_add(lasts));
    // The counter was read within `gap`, and a reader's sums of floating-point numbers lose a few nanoseconds.
    let bound = half.saturating_add(at.gap + 100).min(UNBOUNDED);
    Body::Counter([
        at.ticks,
        as_of,
        as_of_nanos,
        void,
        void_nanos,
        period,
        error,
        bound as u64,
        page.marker.unwrap_or(0),
        halves(drifts, status as u32),
        supports(page, period_shift, error_shift),
    ])
}

/// A number in [0, 1) as `fraction / 2^(64 + shift)`, the shift such that no digit is lost.
fn fraction(value: f64) -> (u64, u8) {
    if value.is_nan() || value <= 0.0 {
        return (0, 0);
    }
    let shift = (-value.log2().floor() - 1.0).clamp(0.0, 63.0);
    // A cast saturates.
    ((value * (64.0 + shift).exp2()) as u64, shift as u8)
}

#[cfg(test)]
mod tests;
