//! What slews cost, and what a replaced one may still do.
//!
//! The kernel takes the part of a slew that a second corrects out of what it reports as left when that second begins, and
//! completes it whatever is ordered meanwhile. So a reading of the slew does not tell what is under way: here is the most
//! that it can be.

use super::{BeforeGrant, Governor, Moment, budget, limits, refused};
use ipc::message::privileged::{ClockReading, Profile, Refusal, Refused};
use ipc::units::{Frequency, Offset, Rate, RawInstant, Span, TimeConstant};

/// How long a part of a slew that is under way lasts: a second of the slowest clock, and a few of the kernel's ticks.
const IN_FLIGHT: Span = Span::from_millis(1_100);

/// The rates that a slew which is no longer in force may still add to the base frequency.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    low: Rate,
    high: Rate,
    /// When the second in which it was replaced is over for certain.
    until: RawInstant,
}

impl InFlight {
    /// Nothing.
    pub(super) const NONE: Self = Self { low: Rate::ZERO, high: Rate::ZERO, until: RawInstant::MIN };

    /// What an earlier run of this program in this boot may have left: any rate that its rows can have granted.
    pub(super) fn unknown(now: RawInstant) -> Self {
        // It may have been of the other profile, which is nowhere wider.
        let widest = limits::of(Profile::Standard);
        let most = widest.total.rate().scaled() + widest.search_band.rate().scaled();
        Self { low: Rate::saturating(-most), high: Rate::saturating(most), until: now.after(IN_FLIGHT) }
    }

    /// The same or `rate`.
    fn or(self, rate: Rate) -> Self {
        Self { low: self.low.min(rate), high: self.high.max(rate), ..self }
    }
}

impl Governor {
    /// What may be under way now beside the base frequency, and for how long.
    pub(super) fn in_flight(&self, clock: &ClockReading) -> InFlight {
        let earlier = if clock.raw < self.in_flight.until { self.in_flight } else { InFlight::NONE };
        let until = clock.raw.after(IN_FLIGHT);
        InFlight { until, ..earlier.or(under_way(clock.slew_left, self.pace)) }
    }

    /// How far that moves the clock beyond what a permitted frequency could, at the base frequency `from_centre` of a
    /// band that is free to ±`free`.
    pub(super) fn overlap(flight: InFlight, from_centre: Rate, free: i64) -> Span {
        let beyond = [flight.low, flight.high].map(|rate| {
            let beyond = from_centre.plus(rate).magnitude() - free;
            // A base frequency that is itself beyond comes back into its band; the slew is what is paid for.
            beyond.clamp(0, rate.magnitude())
        });
        in_a_second(beyond[0].max(beyond[1]))
    }

    /// Charges what the slew in progress has moved of what is reserved for it.
    pub(super) fn settle(&mut self, slew_left: Offset) {
        let left = self.record.reserved.min(slew_left.magnitude());
        let moved = self.record.reserved.less(left);
        if moved > Span::ZERO {
            budget::charge(&mut self.record, moved);
            self.record.reserved = left;
        }
    }

    /// The slew in progress is over, or nobody knows how much of it is: all that is reserved for it is spent.
    pub(super) fn forfeit(&mut self) {
        self.settle(Offset::ZERO);
    }

    /// The clock right before a granted order is carried out. Writing the record may have taken seconds, in which the
    /// slew that is replaced has gone on.
    ///
    /// # Errors
    /// The budget no longer covers both: a disk that is slow, or is kept busy, must not buy phase.
    pub fn replaced(&mut self, clock: &ClockReading) -> Result<(), Refused> {
        let Some(BeforeGrant { reserved, own, .. }) = self.before_grant else { return Ok(()) };
        let moved = reserved.less(clock.slew_left.magnitude());
        if moved > Span::ZERO {
            budget::charge(&mut self.record, moved);
        }
        if let Some(before) = &mut self.before_grant {
            before.reserved = reserved.less(moved);
        }
        self.in_flight.until = self.in_flight.until.max(clock.raw.after(IN_FLIGHT));
        // A step replaces no slew.
        let Some(own) = own else { return Ok(()) };
        self.record.reserved = own;
        let left = budget::unspent(&self.record, self.limits);
        if moved > Span::ZERO && own > left {
            return Err(refused(Refusal::Budget, self.limits.phase_day.nanos(), left.nanos()));
        }
        Ok(())
    }

    /// The kernel adds a sleep to its clock without ending the second, which may so become longer by another one: what
    /// is under way in it is charged for that.
    pub(super) fn charge_longer_second(&mut self, now: &Moment) {
        let (from_centre, free) = (self.beside_centre(self.record.base), self.free());
        self.in_flight = self.in_flight(&now.clock);
        let overlap = Self::overlap(self.in_flight, from_centre, free);
        if overlap > Span::ZERO {
            budget::charge(&mut self.record, overlap);
        }
    }

    /// Whether the slew in progress is free of charge and, since the band has moved, is no longer inside it.
    pub(super) fn has_outgrown_band(&self) -> bool {
        let rate = self.beside_centre(self.record.base).plus(peak(self.line.slew, self.pace));
        self.record.reserved == Span::ZERO && self.line.slew != Offset::ZERO && rate.magnitude() > self.free()
    }
}

/// The fastest rate of a slew, in its first second, rounded away from zero: ns a second × 2^16 / 1000 = 2^-16 ppm.
pub(super) fn peak(slew: Offset, pace: TimeConstant) -> Rate {
    rate_of(slew, 1 << (2 + pace.exponent()))
}

/// The rate in the second in progress, where so much is left of a slew: if 1/n was taken out of it, that was 1/(n − 1)
/// of the rest. It is more than what the next second will take.
fn under_way(left: Offset, pace: TimeConstant) -> Rate {
    if left == Offset::ZERO { Rate::ZERO } else { rate_of(left, (1 << (2 + pace.exponent())) - 1) }
}

fn rate_of(slew: Offset, seconds: i64) -> Rate {
    let scaled = slew.magnitude().nanos().saturating_mul(Frequency::PER_PPM.into()) / seconds;
    Rate::saturating((scaled / 1_000 + 1) * slew.nanos().signum())
}

/// How far a rate of so many 2^-16 ppm moves the clock in a second, ns, rounded up.
fn in_a_second(scaled: i64) -> Span {
    Span::saturating(scaled.saturating_mul(1_000).saturating_add(65_535) / i64::from(Frequency::PER_PPM))
}
