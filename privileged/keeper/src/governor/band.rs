//! The band of the base frequency: wide until the oscillator is known, then narrow around the median of its daily means.

use super::limits::{self, DAY};
use super::{Governor, budget, refused};
use ipc::governor_record::MEANS;
use ipc::message::privileged::{ClockReading, Refusal, Refused};
use ipc::units::{Frequency, FrequencySum, Offset, Rate, Span};

/// What the base frequency may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// Its middle.
    pub centre: Frequency,
    /// Half its width.
    pub width: Frequency,
}

impl Band {
    /// From `low` to `high`, 2^-16 ppm, as far as it lies within ±`most`.
    fn between(low: i32, high: i32, most: Frequency) -> Self {
        let (low, high) = (low.max(-most.scaled()), high.min(most.scaled()));
        let centre = low.midpoint(high);
        Self { centre: Frequency::saturating(centre), width: Frequency::saturating(high - centre) }
    }

    /// The nearest frequency inside.
    pub fn nearest(self, base: Frequency) -> Frequency {
        let (centre, width) = (self.centre.scaled(), self.width.scaled());
        Frequency::saturating(base.scaled().clamp(centre - width, centre + width))
    }

    /// How far outside it is, 2^-16 ppm; with its sign.
    fn beyond(self, base: Frequency) -> i32 {
        base.scaled() - self.nearest(base).scaled()
    }
}

impl Governor {
    /// The band that is in force.
    pub(super) fn band(&self) -> Band {
        let limits = self.limits;
        let around = |centre: i32, width: Frequency| (centre - width.scaled(), centre + width.scaled());
        let (low, high) = if self.is_searching() {
            around(0, limits.search_band)
        } else if self.record.under_orders < limits::COMMISSIONING {
            // Most oscillators are within the band around 0, so false time in the first hour cannot lock one out; one
            // that is not has shown where it is.
            let (natural, found) =
                (around(0, limits.commissioning_band), around(self.median(), limits.commissioning_band));
            (natural.0.min(found.0), natural.1.max(found.1))
        } else {
            around(self.median(), limits.band)
        };
        Band::between(low, high, limits.search_band)
    }

    pub(super) fn is_searching(&self) -> bool {
        self.record.under_orders < limits::SEARCH
    }

    /// The median of the daily means, 2^-16 ppm: half of the days, and one more, are needed to move it away from the
    /// oscillator, and as many to bring it back.
    fn median(&self) -> i32 {
        let count = (self.record.day_count as usize).clamp(1, MEANS);
        let mut means = self.record.means.map(Frequency::scaled);
        let means = &mut means[..count];
        means.sort_unstable();
        // After a change of the profile it may be beyond what the new one allows at all.
        let most = self.limits.search_band.scaled();
        means[(count - 1) / 2].midpoint(means[count / 2]).clamp(-most, most)
    }

    /// Counts the time under orders, and keeps its daily means. (A frequency that was not ordered for hours, for example
    /// without a network, contains no information about the oscillator.)
    pub(super) fn learn_band(&mut self, elapsed: Span) {
        let was_searching = self.is_searching();
        let record = &mut self.record;
        record.under_orders = record.under_orders.plus(elapsed);
        record.day_time = record.day_time.plus(elapsed);
        record.day_sum = record.day_sum.with(record.base, elapsed);
        if was_searching && record.under_orders >= limits::SEARCH {
            record.means[0] = record.day_sum.mean_over(record.day_time);
        }
        if record.day_time >= DAY {
            record.means[record.day_count as usize % MEANS] = record.day_sum.mean_over(record.day_time);
            record.day_count = record.day_count.saturating_add(1);
            record.day_time = Span::ZERO;
            record.day_sum = FrequencySum::ZERO;
        }
    }

    /// Refuses a base frequency outside the band, unless it moves one that is outside towards it.
    ///
    /// # Errors
    /// [`Refusal::Band`], with half the width of the band and the distance from its middle.
    pub(super) fn judge_base(&self, base: Frequency) -> Result<(), Refused> {
        let band = self.band();
        let (before, after) = (band.beyond(self.record.base), band.beyond(base));
        let approaches = after.signum() == before.signum() && after.abs() < before.abs();
        if after == 0 || approaches {
            return Ok(());
        }
        let from_centre = base.rate().scaled() - band.centre.rate().scaled();
        Err(refused(Refusal::Band, band.width.rate().scaled(), from_centre))
    }

    /// Where the base frequency is outside the band, because that has moved or the profile was changed, the edge; also
    /// the base frequency if the slew in progress was free inside an earlier band, and is not inside this one. It is to be
    /// set before the next order, without a slew: otherwise a hostile engine could keep what a wider band permitted for as
    /// long as it orders nothing. Called right after [`Self::observe`].
    pub fn bring_into_band(&mut self) -> Option<Frequency> {
        let edge = self.band().nearest(self.record.base);
        if edge == self.record.base && !self.has_outgrown_band() {
            return None;
        }
        let (from_centre, free) = (self.beside_centre(edge), self.free());
        let clock = ClockReading {
            wall: self.line.wall,
            raw: self.line.raw,
            frequency: edge,
            slew_left: self.line.slew,
            tai: 0,
        };
        self.in_flight = self.in_flight(&clock);
        let overlap = Self::overlap(self.in_flight, from_centre, free);
        budget::charge(&mut self.record, overlap);
        // The rest of the slew is not made.
        self.record.reserved = Span::ZERO;
        self.line.slew = Offset::ZERO;
        self.record.base = edge;
        self.epoch = self.epoch.wrapping_add(1);
        Some(edge)
    }

    /// A base frequency from the middle of the band.
    pub(super) fn beside_centre(&self, base: Frequency) -> Rate {
        Rate::saturating(base.rate().scaled() - self.band().centre.rate().scaled())
    }

    /// How far from the middle of the band a slew is free of charge, 2^-16 ppm: of the search only the middle, since it
    /// is wide for frequencies, not for slews.
    pub(super) fn free(&self) -> i64 {
        let searched = if self.is_searching() { self.limits.commissioning_band } else { Frequency::MAX };
        self.band().width.min(searched).rate().scaled()
    }
}
