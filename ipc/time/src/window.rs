//! What follows from a page for a while, worked out in advance: most reads of a page are near the one before.
//!
//! Within a window nothing about the page changes but how far its interval has moved and widened, so that a read takes two
//! multiplications and no case distinction. What is not inside of it is not wrong: it is left to [`Page::at`] and [`Page::agrees`].

use crate::page::{Interval, Mark, Page, SEGMENTS, SPANS, part};

/// The numbers of a page are this far from the ends of their type at least, so that sums of two of them and of a span stay in it.
const ROOM: i64 = i64::MAX / 4;

/// Raw times at which a page says the same but for the elapsed time; of the page that it was made from.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    from: i64,
    /// How many nanoseconds it is long; 0: no time is inside of it.
    length: u64,
    as_of: i64,
    earliest: i64,
    latest: i64,
    estimate: i64,
    frequency: i64,
    rate: i64,
    synchronised: bool,
    mark: Mark,
    /// What CLOCK_REALTIME shows at `as_of` at least, and how much more it may show at any time of the window.
    wall: i64,
    breadth: u64,
    wall_frequency: i64,
}

impl Window {
    /// No time is in it.
    pub const EMPTY: Self = Self {
        from: 0,
        length: 0,
        as_of: 0,
        earliest: 0,
        latest: 0,
        estimate: 0,
        frequency: 0,
        rate: 0,
        synchronised: false,
        mark: Mark { authenticated: false, attested: false, system_clock: false, sources: 0 },
        wall: 0,
        breadth: 0,
        wall_frequency: 0,
    };

    /// The window of a page around the raw time `raw`; empty where the page says nothing then, or something unusual. `behind`: a reading
    /// of CLOCK_REALTIME may be so much older than the raw time that it is compared with.
    pub fn around(page: &Page, raw: i64, behind: i64) -> Self {
        Self::find(page, raw, behind).unwrap_or(Self::EMPTY)
    }

    fn find(page: &Page, raw: i64, behind: i64) -> Option<Self> {
        let is_roomy = |value: i64| value.unsigned_abs() < ROOM.unsigned_abs();
        let all = [page.as_of, page.earliest, page.latest, page.estimate, raw, behind];
        let said = page.at(raw).ok().filter(|_| all.into_iter().all(is_roomy))?;
        // Of the past no window is made: who asks for that, asks for one moment.
        let distance = u64::try_from(raw - page.as_of).ok()?;
        let segment = SPANS.iter().position(|span| distance <= *span)?;
        let before = segment.checked_sub(1).map_or(-1, |before| SPANS[before] as i64);
        let rate = page.rates[segment % SEGMENTS] as i64;
        // From the first moment at which all of this holds to the last one.
        let mut from = page.continuous_since.max(page.as_of + before + 1);
        let mut last = page.void_after.min(page.as_of + SPANS[segment] as i64);
        match raw <= page.synchronised_until {
            true => last = last.min(page.synchronised_until),
            false => from = from.max(page.synchronised_until + 1),
        }
        let mut it = Self {
            from,
            length: u64::try_from(last - from).ok()? + 1,
            as_of: page.as_of,
            earliest: page.earliest,
            latest: page.latest,
            estimate: page.estimate,
            frequency: page.frequency,
            rate,
            synchronised: said.synchronised,
            mark: said.mark,
            wall: 0,
            breadth: 0,
            wall_frequency: 0,
        };
        if let Some(check) = page.wall {
            let is_roomy = [check.wall, check.low, check.high].into_iter().all(is_roomy);
            let breadth = (check.high.checked_sub(check.low)?).checked_add(behind)?;
            it.wall = (check.wall.checked_add(check.low)?).checked_sub(behind).filter(|_| is_roomy)?;
            (it.breadth, it.wall_frequency) = (u64::try_from(breadth).ok()?, check.frequency);
        }
        Some(it)
    }

    /// What [`Page::at`] says at this raw time; none: it is not inside.
    #[inline]
    pub fn at(&self, raw: i64) -> Option<Interval> {
        if raw.wrapping_sub(self.from).cast_unsigned() >= self.length {
            return None;
        }
        let elapsed = raw.wrapping_sub(self.as_of);
        let moved = elapsed.wrapping_add(part(elapsed, self.frequency));
        let wider = part(elapsed, self.rate).wrapping_add(2);
        Some(Interval {
            earliest: self.earliest.wrapping_add(moved.wrapping_sub(wider)),
            latest: self.latest.wrapping_add(moved.wrapping_add(wider)),
            estimate: self.estimate.wrapping_add(moved),
            synchronised: self.synchronised,
            mark: self.mark,
        })
    }

    /// Whether [`Page::agrees`] certainly does, of a raw time that is inside and a reading of CLOCK_REALTIME that may be older than that.
    #[inline]
    pub fn agrees(&self, raw: i64, wall: i64) -> bool {
        let elapsed = raw.wrapping_sub(self.as_of);
        let expected = self.wall.wrapping_add(elapsed).wrapping_add(part(elapsed, self.wall_frequency));
        wall.wrapping_sub(expected).cast_unsigned() <= self.breadth
    }
}

#[cfg(test)]
mod tests;
