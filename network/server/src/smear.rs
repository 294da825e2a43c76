//! A leap second spread over the day around it, for clients that cannot handle one: from noon to noon (UTC) the served
//! time deviates a little more each second, by half a second at the leap itself.
//!
//! Off unless configured. A client must not mix smeared and other servers, so replies are marked: the reference id is
//! 254 and the smear in units of 2^-22 s, as in other implementations, and no leap second is announced. The leap second
//! is known from the engine's announcement and remembered until the noon after it; a server started after the leap does
//! not know of it.

use ipc::message::server::Smear;
use ipc::units::Leap;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Half the length of the smear.
const HALF: i64 = DAY / 2;

/// An announced leap second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PendingLeap {
    /// The midnight that it precedes, nanoseconds since 1970; 0: none.
    at: i64,
    /// 1: a second is inserted, -1: one is left out.
    sign: i64,
}

impl PendingLeap {
    /// The new state after this announcement of the engine, at clock time `wall`.
    pub(super) fn after(self, leap: Leap, wall: i64) -> Self {
        let sign = match leap {
            Leap::Insert => 1,
            Leap::Delete => -1,
            Leap::None | Leap::Unknown if wall > self.at.saturating_add(HALF) => return Self::default(),
            Leap::None | Leap::Unknown => return self,
        };
        let midnight = wall.div_euclid(DAY).saturating_add(1).saturating_mul(DAY);
        // The announcement may persist for a moment after the new day has begun.
        if self.at != 0 && (wall - self.at).abs() < 10 * SECOND {
            return self;
        }
        Self { at: midnight, sign }
    }

    /// The smear in nanoseconds, to be added to the clock's time; `None` outside the day around the leap second.
    pub(super) fn smear(self, curve: Smear, wall: i64) -> Option<i64> {
        let since_noon = wall.saturating_sub(self.at).saturating_add(HALF);
        if self.at == 0 || !(0..DAY).contains(&since_noon) {
            return None;
        }
        // The part of the second that is already applied: one half at the leap, on either curve.
        let part = since_noon as f64 / DAY as f64;
        let served = match curve {
            Smear::Off => return None,
            Smear::Linear => part,
            Smear::Cosine => (1.0 - (part * std::f64::consts::PI).cos()) / 2.0,
        };
        let served = (served * SECOND as f64) as i64;
        // Before the leap the clock itself contains none of it, afterwards all of it.
        let done = if wall < self.at { 0 } else { SECOND };
        Some(self.sign * (done - served))
    }
}

/// The reference id of smeared time: 254, then the smear as a signed number of 2^-22 s in 24 bits.
pub(super) fn reference_id(smear: i64) -> u32 {
    // At most half a second: 2^21.
    let units = (i128::from(smear) << 22) / i128::from(SECOND);
    0xfe00_0000 | (units as u32 & 0x00ff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2016-12-31 00:00 UTC.
    const LAST_DAY: i64 = 17_166 * DAY;
    const MIDNIGHT: i64 = LAST_DAY + DAY;

    fn pending_leap(leap: Leap) -> PendingLeap {
        PendingLeap::default().after(leap, LAST_DAY + 3600 * SECOND)
    }

    #[test]
    fn the_day_around_a_leap_second_is_smeared_and_no_other_time() {
        let leap = pending_leap(Leap::Insert);
        for curve in [Smear::Linear, Smear::Cosine] {
            assert_eq!(leap.smear(curve, MIDNIGHT - HALF - 1), None);
            assert_eq!(leap.smear(curve, MIDNIGHT - HALF), Some(0));
            let before = leap.smear(curve, MIDNIGHT - 1).unwrap();
            // The clock is set back by a second here: served time continues.
            let after = leap.smear(curve, MIDNIGHT).unwrap();
            assert!((before + SECOND / 2).abs() < 1_000 && (after - SECOND / 2).abs() < 1_000);
            assert!(leap.smear(curve, MIDNIGHT + HALF - 1).unwrap() < 1_000);
            assert_eq!(leap.smear(curve, MIDNIGHT + HALF), None);
        }
        assert_eq!(leap.smear(Smear::Off, MIDNIGHT), None);
        assert_eq!(PendingLeap::default().smear(Smear::Linear, MIDNIGHT), None);
    }

    #[test]
    fn served_time_goes_on_without_a_step_and_never_backwards() {
        for (curve, most) in [(Smear::Linear, 116_000), (Smear::Cosine, 182_000)] {
            for (leap, sign) in [(Leap::Insert, 1), (Leap::Delete, -1)] {
                let leap = pending_leap(leap);
                // The smear accumulated since noon.
                let drift = |elapsed: i64| {
                    let stepped = if elapsed < HALF { 0 } else { -sign * SECOND };
                    let wall = MIDNIGHT - HALF + elapsed + stepped;
                    leap.smear(curve, wall).map(|smear| -sign * (stepped + smear))
                };
                let mut last = drift(0).unwrap();
                for step in 1..8_639 {
                    // The leap second itself is read twice, or never.
                    if (step * 10 * SECOND - HALF).abs() < 15 * SECOND {
                        continue;
                    }
                    let now = drift(step * 10 * SECOND).unwrap();
                    assert!((0..=5 * most).contains(&(now - last)), "{curve:?} {step}: {}", now - last);
                    last = now;
                }
                assert!((last - SECOND).abs() < 1_000_000, "{last}");
            }
        }
    }

    #[test]
    fn an_announcement_is_remembered_to_the_noon_after_and_then_forgotten() {
        let leap = pending_leap(Leap::Insert);
        assert_eq!(leap.after(Leap::None, MIDNIGHT + HALF), leap);
        assert_eq!(leap.after(Leap::Insert, MIDNIGHT + SECOND), leap, "still announced just after");
        assert_eq!(leap.after(Leap::None, MIDNIGHT + HALF + 1), PendingLeap::default());
    }

    #[test]
    fn a_reference_id_says_how_much() {
        assert_eq!(reference_id(0), 0xfe00_0000);
        assert_eq!(reference_id(SECOND / 2), 0xfe20_0000);
        assert_eq!(reference_id(-SECOND / 2), 0xfee0_0000);
    }
}
