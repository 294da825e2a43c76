//! What the page contains, and how an interval follows from it.
//!
//! True time at the raw time `as_of` is in \[`earliest`, `latest`\]. At another raw time, `e` later or earlier, the interval has
//! moved by `e × (1 + frequency)` and is wider on both sides by `|e| × rate`. The rate depends on how long `e` is
//! ([`SPANS`]): a frequency that was measured a moment ago is known better than one of an hour ago.

use core::fmt;

/// Words of a page.
pub const WORDS: usize = 24;

/// How many rates there are.
pub const SEGMENTS: usize = 6;

/// Up to which distance from `as_of` each rate holds, nanoseconds.
pub const SPANS: [u64; SEGMENTS] =
    [64 * SECOND, 256 * SECOND, 1_024 * SECOND, 3_600 * SECOND, 7_200 * SECOND, 10_800 * SECOND];

const SECOND: u64 = 1_000_000_000;

/// Frequencies and rates are multiples of 2^-48 s/s.
const SCALE: u32 = 48;

/// The largest rate, and frequency, of a page: one in a hundred. What is beyond says nothing.
pub const MOST_RATE: u64 = (1 << SCALE) / 100;

const MAGIC: u64 = u64::from_be_bytes(*b"tchtime\x01");

/// Whether anything is known of true time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing is known: too few sources have answered, or they contradict each other or, where it is asked, Roughtime.
    #[default]
    Unknown,
    /// Sources answer and agree.
    Synchronised,
    /// They did; now the interval is what their last answers leave of it.
    FreeRunning,
    /// The machine stood still, or its clock was set by another program, and no source has answered since.
    Disrupted,
}

/// What an interval rests on, and whether the system's clock follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// All sources that the interval is of prove by NTS, or by a symmetric key that cannot be guessed, that its time is theirs.
    pub authenticated: bool,
    /// And the daemon is configured to let nothing else decide, and two operators at least (its profile attested).
    pub attested: bool,
    /// CLOCK_REALTIME is steered to that time, and is known to be within a second of it.
    pub system_clock: bool,
    /// How many sources the interval is of, at most 255.
    pub sources: u8,
}

/// What CLOCK_REALTIME should show, so that a reader notices what the daemon has not noticed yet: that the machine was
/// suspended, or that another program has set the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallCheck {
    /// What it showed at `as_of`, nanoseconds since 1970.
    pub wall: i64,
    /// How much faster than the raw clock it runs, 2^-48 s/s.
    pub frequency: i64,
    /// How far beside that it may be, nanoseconds: ahead of it at most by `high`, behind it at most by `-low`.
    pub low: i64,
    /// See there.
    pub high: i64,
    /// How much farther for each second since then, 2^-48 s/s.
    pub rate: u64,
}

/// What is known of true time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The raw time (CLOCK_MONOTONIC_RAW) of all that follows, nanoseconds.
    pub as_of: i64,
    /// True time (UTC) was not before this, nanoseconds since 1970.
    pub earliest: i64,
    /// Nor after this.
    pub latest: i64,
    /// The best estimate of it, between the two.
    pub estimate: i64,
    /// How much faster true time runs than the raw clock, 2^-48 s/s.
    pub frequency: i64,
    /// After this raw time the page says nothing.
    pub void_after: i64,
    /// Nor before this one: since then the raw clock ran on, and true time had no leap second.
    pub continuous_since: i64,
    /// Until this raw time [`State::Synchronised`] holds, and that the system's clock follows: who wrote the page would have written
    /// another one by then.
    pub synchronised_until: i64,
    /// Whether anything is known.
    pub state: State,
    /// What the interval rests on, and whether the system's clock follows it.
    pub mark: Mark,
    /// What CLOCK_REALTIME should show; none: it has nothing to do with this page (a virtual clock).
    pub wall: Option<WallCheck>,
    /// The disruption marker of vmclock that all of this was measured under: where the hypervisor shows another one, the machine was
    /// migrated or restored since. None: it shows none.
    pub marker: Option<u64>,
    /// By how much the interval widens on both sides, 2^-48 s/s, up to each distance of [`SPANS`]; none is smaller than
    /// the one before it.
    pub rates: [u64; SEGMENTS],
}

/// An interval that contains true time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// True time (UTC) is not before this, nanoseconds since 1970.
    pub earliest: i64,
    /// Nor after this.
    pub latest: i64,
    /// The best estimate of it.
    pub estimate: i64,
    /// Whether sources answer and agree; otherwise what their last answers leave of the interval.
    pub synchronised: bool,
    /// See [`Mark`].
    pub mark: Mark,
}

/// Why there is no interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The daemon has not written one in this boot.
    NotWritten,
    /// What is there was written by another version of the daemon, whose pages mean something else.
    OtherVersion,
    /// It knows nothing: too few sources have answered, or they contradict each other or, where it is asked, Roughtime.
    NoTime,
    /// The machine stood still, or its clock was set by another program, and no source has answered since.
    Disrupted,
    /// The last page is too old: the daemon does not run, or hangs.
    Expired,
    /// The moment lies before what the page is about: before a start of the daemon, a suspend, a leap second, or in another boot.
    TooEarly,
}

/// The words are not a page that this reader knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotWritten => "the daemon has written no time yet",
            Self::OtherVersion => "the daemon is of another version than this program",
            Self::NoTime => "too few sources have answered, or they contradict each other (chimerctl why)",
            Self::Disrupted => {
                "the machine stood still or its clock was set, and no source has answered since"
            }
            Self::Expired => {
                "what was written last holds no longer: the daemon does not run or hangs, or a leap second is just due"
            }
            Self::TooEarly => "that moment is before what the page is about",
        })
    }
}

impl core::error::Error for Unknown {}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a page of a version that this reader knows")
    }
}

impl core::error::Error for Unreadable {}

impl Interval {
    /// Whether it is certainly earlier than `time`, nanoseconds since 1970.
    pub const fn before(&self, time: i64) -> bool {
        self.latest < time
    }

    /// Whether it is certainly later than `time`, nanoseconds since 1970.
    pub const fn after(&self, time: i64) -> bool {
        self.earliest > time
    }

    /// The estimate is wrong by at most this, nanoseconds.
    pub const fn most_error(&self) -> u64 {
        let (below, above) =
            (self.estimate.saturating_sub(self.earliest), self.latest.saturating_sub(self.estimate));
        if below > above { below.unsigned_abs() } else { above.unsigned_abs() }
    }
}

impl Page {
    /// Nothing is known, for this reason, as of this raw time.
    pub const fn unknown(as_of: i64, state: State) -> Self {
        Self {
            as_of,
            earliest: 0,
            latest: i64::MAX,
            estimate: 0,
            frequency: 0,
            void_after: as_of,
            continuous_since: as_of,
            synchronised_until: as_of,
            state,
            mark: Mark { authenticated: false, attested: false, system_clock: false, sources: 0 },
            wall: None,
            marker: None,
            rates: [0; SEGMENTS],
        }
    }

    /// The interval at the raw time `raw`, which is now or in the past, nanoseconds.
    ///
    /// # Errors
    /// [`Unknown::NoTime`] and [`Unknown::Disrupted`] by the page's state; [`Unknown::Expired`] after its end;
    /// [`Unknown::TooEarly`] before it is about, or farther in the past than its rates go (three hours).
    #[inline]
    pub fn at(&self, raw: i64) -> Result<Interval, Unknown> {
        match self.state {
            State::Unknown => return Err(Unknown::NoTime),
            State::Disrupted => return Err(Unknown::Disrupted),
            State::Synchronised | State::FreeRunning => {}
        }
        if raw > self.void_after {
            return Err(Unknown::Expired);
        }
        if raw < self.continuous_since {
            return Err(Unknown::TooEarly);
        }
        let elapsed = raw.checked_sub(self.as_of).ok_or(Unknown::TooEarly)?;
        let distance = elapsed.unsigned_abs();
        let too_far = if elapsed < 0 { Unknown::TooEarly } else { Unknown::Expired };
        let rate = SPANS.iter().zip(self.rates).find(|(span, _)| distance <= **span).ok_or(too_far)?.1;
        let moved = elapsed.saturating_add(part(elapsed, self.frequency));
        // One for what was cut off in the line before, and one for what is cut off here.
        let wider = part(elapsed.saturating_abs(), rate as i64).saturating_add(2);
        Ok(Interval {
            earliest: self.earliest.saturating_add(moved.saturating_sub(wider)),
            latest: self.latest.saturating_add(moved.saturating_add(wider)),
            estimate: self.estimate.saturating_add(moved),
            synchronised: self.state == State::Synchronised && raw <= self.synchronised_until,
            mark: Mark {
                system_clock: self.mark.system_clock && raw <= self.synchronised_until,
                ..self.mark
            },
        })
    }

    /// Whether CLOCK_REALTIME may show `wall` at some moment between the raw times `before` and `after`, all in nanoseconds.
    /// `behind`: it may be so much older.
    #[inline]
    pub fn agrees(&self, before: i64, wall: i64, after: i64, behind: i64) -> bool {
        let Some(check) = self.wall else { return true };
        // How far `wall` is beside what it should be at a raw time, and how far it may be.
        let beside = |raw: i64| {
            let elapsed = raw.saturating_sub(self.as_of);
            let expected = check.wall.saturating_add(elapsed).saturating_add(part(elapsed, check.frequency));
            (wall.saturating_sub(expected), part(elapsed.saturating_abs(), check.rate as i64))
        };
        let (from_before, wider) = beside(before);
        if from_before.saturating_add(wider).saturating_add(behind) < check.low {
            return false;
        }
        let (from_after, wider) = if after == before { (from_before, wider) } else { beside(after) };
        from_after.saturating_sub(wider) <= check.high
    }

    /// As words.
    pub fn to_words(&self) -> [u64; WORDS] {
        let state = match self.state {
            State::Unknown => 0,
            State::Synchronised => 1,
            State::FreeRunning => 2,
            State::Disrupted => 3,
        };
        let flag = |is: bool, bit: u32| u64::from(is) << bit;
        let small = state
            | flag(self.mark.authenticated, 8)
            | flag(self.mark.system_clock, 9)
            | flag(self.wall.is_some(), 10)
            | flag(self.mark.attested, 11)
            | flag(self.marker.is_some(), 12)
            | u64::from(self.mark.sources) << 16;
        let wall = self.wall.unwrap_or(WallCheck { wall: 0, frequency: 0, low: 0, high: 0, rate: 0 });
        let [first, second, third, fourth, fifth, sixth] = self.rates;
        [
            MAGIC,
            small,
            self.as_of as u64,
            self.earliest as u64,
            self.latest as u64,
            self.estimate as u64,
            self.frequency as u64,
            self.void_after as u64,
            self.continuous_since as u64,
            first,
            second,
            third,
            fourth,
            fifth,
            sixth,
            wall.wall as u64,
            wall.frequency as u64,
            wall.low as u64,
            wall.high as u64,
            wall.rate,
            self.synchronised_until as u64,
            self.marker.unwrap_or(0),
            0,
            0,
        ]
    }

    /// From words. Words that this version does not know are ignored.
    ///
    /// # Errors
    /// [`Unreadable`]: not written by truechimer, or by a version whose pages mean something else.
    pub fn from_words(words: &[u64; WORDS]) -> Result<Self, Unreadable> {
        let [
            magic,
            small,
            as_of,
            earliest,
            latest,
            estimate,
            frequency,
            void_after,
            continuous_since,
            first,
            second,
            third,
            fourth,
            fifth,
            sixth,
            wall,
            wall_frequency,
            wall_low,
            wall_high,
            wall_rate,
            synchronised_until,
            marker,
            ..,
        ] = *words;
        let rates = [first, second, third, fourth, fifth, sixth];
        let is_rate = |rate: &u64| *rate <= MOST_RATE;
        let is_frequency = |frequency: i64| is_rate(&frequency.unsigned_abs());
        let is_sound = magic == MAGIC
            && rates.iter().all(is_rate)
            && is_rate(&wall_rate)
            && is_frequency(frequency as i64)
            && is_frequency(wall_frequency as i64);
        let state = match small as u8 {
            0 => State::Unknown,
            1 => State::Synchronised,
            2 => State::FreeRunning,
            3 => State::Disrupted,
            _ => return Err(Unreadable),
        };
        let flag = |bit: u32| small >> bit & 1 == 1;
        let check = WallCheck {
            wall: wall as i64,
            frequency: wall_frequency as i64,
            low: wall_low as i64,
            high: wall_high as i64,
            rate: wall_rate,
        };
        is_sound
            .then_some(Self {
                as_of: as_of as i64,
                earliest: earliest as i64,
                latest: latest as i64,
                estimate: estimate as i64,
                frequency: frequency as i64,
                void_after: void_after as i64,
                continuous_since: continuous_since as i64,
                synchronised_until: synchronised_until as i64,
                state,
                mark: Mark {
                    authenticated: flag(8),
                    attested: flag(11),
                    system_clock: flag(9),
                    sources: (small >> 16) as u8,
                },
                wall: flag(10).then_some(check),
                marker: flag(12).then_some(marker),
                rates,
            })
            .ok_or(Unreadable)
    }
}

/// What a frequency or a rate, 2^-48 s/s and at most [`MOST_RATE`] in size, makes of a length, rounded down.
#[inline]
pub(crate) fn part(length: i64, rate: i64) -> i64 {
    // Not larger than the length: the rate is less than one.
    ((i128::from(length) * i128::from(rate)) >> SCALE) as i64
}

/// A rate or a frequency of a page in s/s.
pub fn per_second(scaled: i64) -> f64 {
    scaled as f64 / (1_u64 << SCALE) as f64
}

/// A frequency in s/s as a multiple of 2^-48, rounded towards zero; at most [`MOST_RATE`] in size.
pub fn frequency(per_second: f64) -> i64 {
    let most = MOST_RATE as f64;
    (per_second * (1_u64 << SCALE) as f64).clamp(-most, most) as i64
}

/// A rate or the size of a frequency in s/s as a multiple of 2^-48, rounded up; at most [`MOST_RATE`].
pub fn rate(per_second: f64) -> u64 {
    let scaled = per_second * (1_u64 << SCALE) as f64;
    // What is no number is not small.
    if scaled < MOST_RATE as f64 { (scaled as u64).saturating_add(1).min(MOST_RATE) } else { MOST_RATE }
}

#[cfg(test)]
pub(crate) mod tests;
