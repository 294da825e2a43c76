//! Which of the first measurements were made in a burst of delay that is over.
//!
//! At a start the network is often busy: its first packets wait in a queue, and those that come later do not. Then the jitter of
//! all of them is that of neither time. With the jitter of the burst the calm packets tell little; with that of the calm
//! ones the packets of the burst contradict each other and everything else, and some of them lie on a line by chance.
//!
//! The round trips alone tell it, whatever the offset and the frequency are: some are alike, and the others are spread far above
//! them. A slow packet that no calm one has followed is no burst: the path may have become longer.

use crate::measurement::Measurement;

/// Fewer that are alike may be so by chance.
const FEWEST: usize = 3;

/// Those of a burst are spread over forty times the mean excess of the calm ones: its logarithm.
const SPREAD: f64 = 3.688879454113936;

/// The least of a burst is so many times the mean excess of the calm ones above the fastest.
const APART: f64 = 6.0;

/// From this lead on (a logarithm) of "some are of a burst" over "all are alike" it is believed; and from then on as long as it
/// is the likelier of both.
const CLEAR: f64 = 6.0;

/// The longest round trip that is not of a burst that is over, seconds; none: there was no such burst. `is_known`: there was one
/// before the last measurement.
pub(super) fn longest(seen: &[Measurement], is_known: bool) -> Option<f64> {
    if seen.iter().any(Measurement::is_one_way) {
        return None;
    }
    let mut sorted: alloc::vec::Vec<f64> = seen.iter().map(|measurement| measurement.delay).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let least = *sorted.first()?;
    let noise = seen.iter().map(|measurement| measurement.noise).fold(1e-9, f64::max);
    let excess: alloc::vec::Vec<f64> = sorted.iter().map(|delay| delay - least).collect();
    // How likely the delays are if `alike` of them are alike, as a logarithm: exponential ones, and the rest anywhere above. The
    // least one says nothing. Each beginning and each end of a burst may have been anywhere.
    let change = libm::log(seen.len() as f64);
    let (mut sum, mut all, mut best, mut longest) = (0.0, 0.0, f64::NEG_INFINITY, None);
    for alike in 2..=excess.len() {
        sum += excess[alike - 1];
        let counted = (alike - 1) as f64;
        let mean = (sum / counted).max(noise);
        let strays = (excess.len() - alike) as f64;
        let limit = sorted[alike - 1];
        let changes = seen.windows(2).filter(|two| (two[0].delay > limit) != (two[1].delay > limit)).count();
        all = -counted * libm::log(mean) - sum / mean - strays * (libm::log(mean) + SPREAD);
        all -= changes.saturating_sub(1) as f64 * change;
        let is_apart = excess.get(alike).is_none_or(|next| *next > APART * mean);
        if alike >= FEWEST && is_apart && all > best {
            (best, longest) = (all, Some(limit));
        }
    }
    let lead = if is_known { 0.0 } else { CLEAR };
    longest.filter(|_| best > all + lead)
}

/// Whether the measurement at `place` is of a burst that is over, where no calm one takes longer than `longest`.
pub(super) fn is_of_burst(seen: &[Measurement], place: usize, longest: f64) -> bool {
    seen[place].delay > longest && seen[place..].iter().any(|later| later.delay <= longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::units::RawInstant;
    use std::vec::Vec;

    fn seen(delays_ms: &[f64]) -> Vec<Measurement> {
        let one = |delay: &f64| Measurement {
            at: RawInstant::MIN,
            offset: 0,
            low: 0,
            high: 0,
            received: RawInstant::MIN,
            delay: delay * 1e-3,
            noise: 3e-7,
        };
        delays_ms.iter().map(one).collect()
    }

    #[test]
    fn a_burst_is_known_by_the_third_calm_reply_after_it() {
        let delays = [32.0, 47.0, 19.0, 71.0, 55.0, 88.0, 9.1, 8.4, 8.9];
        assert_eq!(longest(&seen(&delays[..8]), false), None);
        let seen = seen(&delays);
        let found = longest(&seen, false).unwrap();
        assert_eq!(found, 9.1e-3);
        let of_burst: Vec<bool> = (0..9).map(|place| is_of_burst(&seen, place, found)).collect();
        assert_eq!(of_burst, [true, true, true, true, true, true, false, false, false]);
    }

    #[test]
    fn a_burst_that_comes_twice_is_known_and_stays_so_when_a_calm_reply_is_slower() {
        // A calm reply between the two, and one after the others that waited by itself.
        let delays = [65.0, 52.9, 76.5, 21.2, 8.72, 61.6, 63.4, 25.4, 9.64, 9.92, 8.74, 8.29, 11.82, 10.17];
        let mut is_known = false;
        let known: Vec<usize> = (1..=delays.len())
            .filter(|count| {
                is_known = longest(&seen(&delays[..*count]), is_known).is_some();
                is_known
            })
            .collect();
        assert_eq!(known, [10, 11, 12, 13, 14]);
        let seen = seen(&delays);
        let found = longest(&seen, true).unwrap();
        let of_burst: Vec<usize> = (0..14).filter(|place| is_of_burst(&seen, *place, found)).collect();
        assert_eq!(of_burst, [0, 1, 2, 3, 5, 6, 7]);
    }

    #[test]
    fn slow_replies_that_no_calm_one_has_followed_are_no_burst() {
        let seen = seen(&[9.1, 8.4, 8.9, 8.2, 9.0, 13.0, 12.8, 13.3]);
        let longest = longest(&seen, false).unwrap_or(f64::INFINITY);
        assert!((0..8).all(|place| !is_of_burst(&seen, place, longest)));
    }

    #[test]
    fn ordinary_jitter_is_no_burst() {
        let delays = [8.9, 10.1, 9.2, 8.4, 11.9, 9.0, 8.2, 9.7, 10.6, 8.7];
        for count in 0..=delays.len() {
            assert_eq!(longest(&seen(&delays[..count]), false), None, "{count}");
        }
        assert_eq!(longest(&seen(&[0.0; 8]), false), None, "no round trips");
        assert_eq!(longest(&seen(&[5.0; 8]), false), None, "no jitter");
    }
}
