//! Two clocks, and the kernel's stamps on the way from the one to the other.
//!
//! The kernel timestamps packets with CLOCK_REALTIME; everything else is measured on CLOCK_MONOTONIC_RAW. A pair of
//! readings close to the timestamp converts one to the other. A step of CLOCK_REALTIME between timestamp and pair would
//! make the result arbitrary, so it must lie between bounds that this process knows from its own readings.

use ipc::message::client::Stamp;
use ipc::units::{Offset, RawInstant};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

/// A kernel timestamp farther than this from our own reading is ignored, in nanoseconds.
const FARTHEST: i64 = 1_000_000_000;

/// How far outside our own readings a converted stamp may come out: the error of a pair whose readings
/// were interrupted, and what a slew moves in between. Nanoseconds.
const TOLERANCE: i64 = 20_000;

/// Readings of which the tightest is the pair.
const TRIES: usize = 3;

/// CLOCK_MONOTONIC_RAW.
pub fn raw() -> RawInstant {
    RawInstant::saturating(read(ClockId::CLOCK_MONOTONIC_RAW))
}

/// CLOCK_REALTIME in nanoseconds since 1970.
pub fn realtime() -> i64 {
    read(ClockId::CLOCK_REALTIME)
}

fn read(clock: ClockId) -> i64 {
    // These two clocks exist on every kernel; reading one cannot fail.
    clock_gettime(clock).map_or(0, nanos)
}

/// A time of the kernel as nanoseconds, saturating.
pub fn nanos(time: TimeSpec) -> i64 {
    time.tv_sec().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec())
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// CLOCK_REALTIME, nanoseconds since 1970.
    pub realtime: i64,
    /// CLOCK_MONOTONIC_RAW.
    pub raw: RawInstant,
}

impl Pair {
    /// Reads both, a few times, and keeps the tightest.
    pub fn read() -> Self {
        let mut best = (i64::MAX, Self { realtime: 0, raw: RawInstant::MIN });
        let mut before = raw();
        for _ in 0..TRIES {
            let realtime = realtime();
            let after = raw();
            let gap = after.since(before).nanos();
            if gap < best.0 {
                let middle = RawInstant::saturating(before.nanos().saturating_add(gap / 2));
                best = (gap, Self { realtime, raw: middle });
            }
            before = after;
        }
        best.1
    }

    /// The raw instant of a kernel timestamp; `None` if the timestamp is more than 1 s away from this pair.
    pub fn to_raw(self, stamp: i64) -> Option<RawInstant> {
        let distance = Offset::saturating(stamp.saturating_sub(self.realtime));
        let instant = RawInstant::saturating(self.raw.nanos().saturating_add(distance.nanos()));
        (distance.magnitude().nanos() <= FARTHEST).then_some(instant)
    }

    /// The kernel's timestamp if it is plausible, that is between `earliest` and `latest`; otherwise our own reading.
    pub fn settle(
        self,
        stamp: Option<i64>,
        earliest: RawInstant,
        own: RawInstant,
        latest: RawInstant,
    ) -> (RawInstant, Stamp) {
        let inside = |instant: &RawInstant| {
            earliest.since(*instant).nanos() <= TOLERANCE && instant.since(latest).nanos() <= TOLERANCE
        };
        match stamp.and_then(|stamp| self.to_raw(stamp)).filter(inside) {
            // Not clamp(): it panics if the limits are in the wrong order.
            Some(instant) => (instant.min(latest).max(earliest), Stamp::Kernel),
            None => (own.max(earliest), Stamp::User),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const PAIR: Pair = Pair { realtime: 1_800_000_000 * SECOND, raw: at(5_000_000) };

    const fn at(micros: i64) -> RawInstant {
        RawInstant::saturating(micros * 1_000)
    }

    fn settle(stamp: Option<i64>) -> (RawInstant, Stamp) {
        PAIR.settle(stamp, at(4_999_000), at(4_999_900), at(5_000_000))
    }

    #[test]
    fn a_stamp_between_our_readings_is_believed_to_the_nanosecond() {
        let (instant, kind) = settle(Some(PAIR.realtime - 500_123));
        assert_eq!((instant.nanos(), kind), (5_000_000_000 - 500_123, Stamp::Kernel));
    }

    #[test]
    fn a172_no_stamp_and_one_that_is_a_second_off_fall_back_to_our_own_reading() {
        let own = (at(4_999_900), Stamp::User);
        for stamp in [None, Some(PAIR.realtime - SECOND - 1), Some(PAIR.realtime + SECOND + 1)] {
            assert_eq!(settle(stamp), own, "{stamp:?}");
        }
        for stamp in [0, i64::MIN, i64::MAX] {
            assert_eq!(settle(Some(stamp)), own, "{stamp}");
        }
    }

    #[test]
    fn a_clock_that_was_stepped_between_stamp_and_pair_is_noticed() {
        for step in [-SECOND / 2, -2_000_000, 600_000, SECOND / 2] {
            assert_eq!(settle(Some(PAIR.realtime - 500_000 + step)).1, Stamp::User, "{step}");
        }
    }

    #[test]
    fn a_stamp_just_outside_is_moved_inside() {
        assert_eq!(settle(Some(PAIR.realtime + 19_000)), (at(5_000_000), Stamp::Kernel));
        assert_eq!(settle(Some(PAIR.realtime - 1_019_000)), (at(4_999_000), Stamp::Kernel));
    }

    #[test]
    fn a_pair_is_of_one_moment() {
        let (before, pair, after) = (raw(), Pair::read(), raw());
        assert!(before <= pair.raw && pair.raw <= after);
        assert_eq!(pair.to_raw(pair.realtime), Some(pair.raw));
        assert!((realtime() - pair.realtime).abs() < SECOND);
    }
}
