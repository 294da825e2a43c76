//! The band of the base frequency: wide until the oscillator is known, then narrow around its mean.

use super::Governor;
use super::limits::{self, DAY};
use ipc::units::{Frequency, Span};

/// What the base frequency may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// Its middle.
    pub centre: Frequency,
    /// Half its width.
    pub width: Frequency,
}

impl Governor {
    /// The band that is in force.
    pub(super) fn band(&self) -> Band {
        let under_orders = self.record.commissioned_time;
        let width = if under_orders < limits::SEARCH {
            self.limits.search_band
        } else if under_orders < limits::COMMISSIONING {
            self.limits.commissioning_band
        } else {
            self.limits.band
        };
        Band { centre: self.record.centre, width }
    }

    /// Counts the time under orders for the commissioning, and lets the centre of the band follow. (A frequency that
    /// was not ordered for hours, for example without a network, contains no information about the oscillator.)
    pub(super) fn learn_band(&mut self, elapsed: Span) {
        let record = &mut self.record;
        let before = record.commissioned_time;
        if before < limits::COMMISSIONING {
            record.commissioned_time = before.plus(elapsed);
            record.commissioned_sum = record.commissioned_sum.with(record.base, elapsed);
            let passes = |end: Span| before < end && record.commissioned_time >= end;
            if passes(limits::SEARCH) || passes(limits::COMMISSIONING) {
                record.centre = record.commissioned_sum.mean_over(record.commissioned_time);
                record.centre_age = record.age;
            }
            return;
        }
        // The middle moves by one unit of 2^-16 ppm in each of these, so by centre_month in 30 days.
        let pace = 30 * DAY.nanos() / i64::from(self.limits.centre_month.scaled().max(1));
        let units = i64::from(i32::MAX).min(record.age.less(record.centre_age).nanos() / pace);
        record.centre_age = record.centre_age.plus(Span::saturating(units * pace));
        let units = units as i32;
        let wish = record.base.scaled() - record.centre.scaled();
        record.centre = Frequency::saturating(record.centre.scaled() + wish.clamp(-units, units));
    }
}
