//! Two clocks, and the kernel's stamps on the way from the one to the other.
//!
//! The kernel timestamps packets with CLOCK_REALTIME; everything else is measured on CLOCK_MONOTONIC_RAW. A pair of
//! readings close to the timestamp converts one to the other. A step of CLOCK_REALTIME between timestamp and pair would
//! make the result arbitrary, so it must lie between bounds that this process knows from its own readings.

use ipc::message::client::Stamp;
use ipc::units::RawInstant;
pub use ipc_clock::{Pair, raw, realtime};
use nix::sys::time::TimeSpec;

/// How far outside our own readings a converted timestamp may be, in nanoseconds: the error of a pair of readings that
/// was interrupted, and the effect of a slew in between.
const TOLERANCE: i64 = 20_000;

/// A time of the kernel in nanoseconds, saturating.
pub fn nanos(time: TimeSpec) -> i64 {
    time.tv_sec().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec())
}

/// The kernel's timestamp if it is plausible, that is between `earliest` and `latest`; otherwise our own reading.
pub fn settle(
    pair: Pair,
    stamp: Option<i64>,
    earliest: RawInstant,
    own: RawInstant,
    latest: RawInstant,
) -> (RawInstant, Stamp) {
    let inside = |instant: &RawInstant| {
        earliest.since(*instant).nanos() <= TOLERANCE && instant.since(latest).nanos() <= TOLERANCE
    };
    match stamp.and_then(|stamp| pair.to_raw(stamp)).filter(inside) {
        // Not clamp(): it panics if the limits are in the wrong order.
        Some(instant) => (instant.min(latest).max(earliest), Stamp::Kernel),
        None => (own.max(earliest), Stamp::User),
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
        super::settle(PAIR, stamp, at(4_999_000), at(4_999_900), at(5_000_000))
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
}
