use super::*;
use ipc::units::RawInstant;

impl Filter {
    fn learn(&mut self, measurement: &Measurement) -> Outcome {
        self.take(measurement, false)
    }
}

/// A line of measurements with noise from a small generator.
struct Path {
    state: u64,
    minimum: f64,
    forward: f64,
    back: f64,
}

impl Path {
    fn uniform(&mut self) -> f64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn measure(&mut self, at: f64, truth: f64) -> Measurement {
        let (e1, e2) = (-self.forward * libm::log(self.uniform()), -self.back * libm::log(self.uniform()));
        let offset = truth + (e1 - e2) / 2.0;
        let delay = self.minimum + e1 + e2;
        let nanos = (offset * 1e9) as i64;
        let half = (delay / 2.0 * 1e9) as i64;
        Measurement {
            at: instant(at),
            offset: nanos,
            low: nanos - half,
            high: nanos + half,
            received: instant(at),
            delay,
            noise: 1e-7,
        }
    }
}

fn instant(seconds: f64) -> RawInstant {
    RawInstant::saturating((seconds * 1e9) as i64)
}

fn lan() -> Path {
    Path { state: 7, minimum: 180e-6, forward: 10e-6, back: 10e-6 }
}

fn at_the_end(filter: &Filter, at: f64) -> (f64, Estimate) {
    let estimate = filter.estimate(instant(at)).unwrap();
    (estimate.base as f64 * 1e-9 + estimate.rest, estimate)
}

#[test]
fn frequency_and_offset_are_found() {
    let (mut filter, mut path) = (Filter::new(), lan());
    for n in 0..100 {
        let t = f64::from(n) * 64.0;
        assert_eq!(filter.learn(&path.measure(t, 0.25 + 40e-6 * t)), Outcome::Used, "{n}");
    }
    let t = 6400.0;
    let (offset, estimate) = at_the_end(&filter, t);
    assert!((offset - 0.25 - 40e-6 * t).abs() < 5e-6, "{offset}");
    assert!((estimate.frequency - 40e-6).abs() < 0.02e-6, "{}", estimate.frequency);
    assert!(estimate.wander < 1e-9, "{}", estimate.wander);
}

#[test]
fn the_stated_deviation_is_the_real_one() {
    let mut squared = 0.0;
    let runs = 200;
    for seed in 0..runs {
        let (mut filter, mut path) = (Filter::new(), Path { state: seed * 77 + 5, ..lan() });
        for n in 0..40 {
            let t = f64::from(n) * 64.0;
            filter.learn(&path.measure(t, 1e-3 + 20e-6 * t));
        }
        let (offset, estimate) = at_the_end(&filter, 39.0 * 64.0);
        let error = offset - 1e-3 - 20e-6 * 39.0 * 64.0;
        squared += error * error / estimate.variance / runs as f64;
    }
    assert!((0.2..2.0).contains(&squared), "{squared}");
}

#[test]
fn one_spike_is_held_back() {
    let (mut filter, mut path) = (Filter::new(), lan());
    for n in 0..30 {
        filter.learn(&path.measure(f64::from(n) * 64.0, 0.0));
    }
    let before = at_the_end(&filter, 30.0 * 64.0).0;
    let spike = path.measure(30.0 * 64.0, 0.05);
    assert_eq!(filter.learn(&spike), Outcome::Doubtful);
    assert!(filter.is_doubtful());
    assert!((at_the_end(&filter, 30.0 * 64.0).0 - before).abs() < 1e-9);
    assert_eq!(filter.learn(&path.measure(31.0 * 64.0, 0.0)), Outcome::Used);
    assert!(!filter.is_doubtful());
}

#[test]
fn a_step_of_the_server_is_followed_with_the_third_reply_and_costs_no_frequency() {
    let (mut filter, mut path) = (Filter::new(), lan());
    for n in 0..30 {
        filter.learn(&path.measure(f64::from(n) * 64.0, 0.0));
    }
    for n in 30..32 {
        assert_eq!(filter.learn(&path.measure(f64::from(n) * 64.0, 0.05)), Outcome::Doubtful);
    }
    assert_eq!(filter.learn(&path.measure(32.0 * 64.0, 0.05)), Outcome::Restarted);
    for n in 33..40 {
        filter.learn(&path.measure(f64::from(n) * 64.0, 0.05));
    }
    let (offset, estimate) = at_the_end(&filter, 39.0 * 64.0);
    assert!((offset - 0.05).abs() < 20e-6, "{offset}");
    assert!(estimate.frequency.abs() < 0.3e-6, "{}", estimate.frequency);
}

/// True time where the frequency jumps at the 300th measurement.
fn jumping(n: u16, jump: f64, interval: f64) -> f64 {
    jump * f64::from(n.saturating_sub(300)) * interval
}

#[test]
fn a_jump_of_the_frequency_that_hides_in_jitter_is_found_before_it_costs_much() {
    let (mut squares, mut count) = (0.0, 0.0);
    for seed in 0..20 {
        let mut path = Path { state: seed, minimum: 38e-3, forward: 1e-3, back: 1e-3 };
        let mut filter = Filter::new();
        for n in 0..330 {
            filter.learn(&path.measure(f64::from(n) * 256.0, jumping(n, 1e-6, 256.0)));
            if n > 306 {
                let (offset, _) = at_the_end(&filter, f64::from(n) * 256.0);
                squares += (offset - jumping(n, 1e-6, 256.0)) * (offset - jumping(n, 1e-6, 256.0));
                count += 1.0;
            }
        }
    }
    let rms = libm::sqrt(squares / count);
    assert!(rms < 0.5e-3, "{rms}");
}

#[test]
fn three_contradictions_that_run_away_are_the_oscillators_and_tell_its_frequency() {
    let (mut path, mut filter) = (lan(), Filter::new());
    let mut outcomes = std::vec::Vec::new();
    for n in 0..304 {
        outcomes.push(filter.learn(&path.measure(f64::from(n) * 64.0, jumping(n, 20e-6, 64.0))));
    }
    assert_eq!(outcomes[301..], [Outcome::Doubtful, Outcome::Doubtful, Outcome::Restarted]);
    let (_, estimate) = at_the_end(&filter, 303.0 * 64.0);
    assert!((estimate.frequency - 20e-6).abs() < 1e-6, "{estimate:?}");
}

#[test]
fn a030_symmetric_delay_moves_nothing_and_weighs_little() {
    let (mut filter, mut path) = (Filter::new(), lan());
    for n in 0..30 {
        filter.learn(&path.measure(f64::from(n) * 64.0, 0.0));
    }
    for (n, more) in [(30, 0.1), (31, 1.0), (32, 3.0)] {
        let measurement = path.measure(f64::from(n) * 64.0, 0.0);
        filter.learn(&Measurement { delay: measurement.delay + more, ..measurement });
        assert!(at_the_end(&filter, f64::from(n) * 64.0).0.abs() < 10e-6, "{more}");
    }
}

#[test]
fn jitter_of_one_way_only_is_learnt_and_removed() {
    let mut path = Path { state: 3, minimum: 38e-3, forward: 2e-3, back: 0.1e-3 };
    let mut filter = Filter::new();
    for n in 0..200 {
        filter.learn(&path.measure(f64::from(n) * 64.0, 0.0));
    }
    // Its mean effect, left in, would be a millisecond.
    let (offset, _) = at_the_end(&filter, 199.0 * 64.0);
    assert!(offset.abs() < 100e-6, "{offset}");
}

/// RMS error after the first dozen of 32 measurements, over 200 paths.
fn error_of_a_start(forward: f64, back: f64) -> f64 {
    let (mut squares, mut count) = (0.0, 0.0);
    for seed in 0..200 {
        let mut path = Path { state: 7919 * seed + 1, minimum: 10e-3, forward, back };
        let mut filter = Filter::new();
        for n in 0..32 {
            let at = 3.0 * f64::from(n);
            filter.learn(&path.measure(at, 20e-6 * at));
            if n > 12 {
                squares += libm::pow(at_the_end(&filter, at).0 - 20e-6 * at, 2.0);
                count += 1.0;
            }
        }
    }
    libm::sqrt(squares / count)
}

#[test]
fn which_way_is_late_is_found_with_the_first_measurements() {
    for error in [error_of_a_start(2.1e-3, 0.1e-3), error_of_a_start(0.1e-3, 2.1e-3)] {
        assert!(error < 180e-6, "{error}");
    }
}

#[test]
fn a_leap_second_in_the_first_measurements_is_none_of_their_jitter() {
    let (mut filter, mut path) = (Filter::new(), lan());
    for n in 0..12 {
        if n == 6 {
            filter.shift(1_000_000_000);
        }
        filter.learn(&path.measure(f64::from(n), if n < 6 { 0.0 } else { 1.0 }));
    }
    let (offset, _) = at_the_end(&filter, 11.0);
    assert!((offset - 1.0).abs() < 1e-4, "{offset}");
}

#[test]
fn a_leap_second_moves_the_offset_and_nothing_else() {
    let (mut filter, mut path) = (Filter::new(), lan());
    for n in 0..10 {
        filter.learn(&path.measure(f64::from(n) * 64.0, 5.0));
    }
    let before = at_the_end(&filter, 640.0);
    filter.shift(-1_000_000_000);
    let after = at_the_end(&filter, 640.0);
    assert!((after.0 - before.0 + 1.0).abs() < 1e-9);
    assert_eq!(after.1.frequency, before.1.frequency);
}

#[test]
fn after_sleep_the_frequency_is_still_known() {
    let (mut filter, mut path) = (Filter::new(), lan());
    for n in 0..50 {
        let t = f64::from(n) * 64.0;
        filter.learn(&path.measure(t, 30e-6 * t));
    }
    filter.forget_offset();
    assert!(filter.is_empty());
    filter.learn(&path.measure(4000.0, 3600.0));
    assert!((at_the_end(&filter, 4000.0).1.frequency - 30e-6).abs() < 0.1e-6);
}

#[test]
fn a017_extreme_measurements_leave_finite_numbers() {
    let mut filter = Filter::new();
    for (n, offset) in [i64::MAX / 2, i64::MIN / 2, 0, 1, i64::MAX / 2, 0, 0, 0].into_iter().enumerate() {
        filter.learn(&Measurement {
            at: RawInstant::saturating(n as i64),
            offset,
            low: offset,
            high: offset,
            received: RawInstant::saturating(n as i64),
            delay: if n % 2 == 0 { 1e-9 } else { 3.0 },
            noise: 1e-9,
        });
        let estimate = filter.estimate(RawInstant::MAX).unwrap();
        assert!(estimate.rest.is_finite() && estimate.variance.is_finite() && estimate.variance >= 0.0);
        assert!(estimate.frequency.is_finite() && estimate.wander.is_finite());
    }
}

/// The cost of one measurement, for docs/estimator.md: time by itself, instructions under
/// `valgrind --tool=callgrind`.
#[test]
#[ignore = "a measurement of cost, not of truth"]
fn what_a_measurement_costs() {
    let mut path = lan();
    let mut filter = Filter::new();
    let begun = std::time::Instant::now();
    for n in 0..10_000 {
        filter.learn(&path.measure(f64::from(n) * 64.0, 1e-6 * f64::from(n)));
    }
    let each = begun.elapsed().as_nanos() / 10_000;
    std::println!(
        "{each} ns; {} octets a source, {} of them each of two banks",
        core::mem::size_of::<crate::source::Source>() + 2 * bank::Bank::SIZE,
        bank::Bank::SIZE
    );
    assert!(each < 10_000_000);
}

#[test]
fn a_counter_that_stood_still_has_the_frequency_that_it_had() {
    for paused in [0.05, 0.3, 3.0, 3600.0] {
        let (mut filter, mut path) = (Filter::new(), lan());
        for n in 0..60 {
            let t = f64::from(n) * 64.0;
            filter.learn(&path.measure(t, 40e-6 * t));
        }
        let before = at_the_end(&filter, 60.0 * 64.0).1;
        // A burst of queries, right after it.
        let burst = [0.0, 0.15, 0.3].map(|more| 60.0 * 64.0 + more);
        let outcomes = burst.map(|t| filter.take(&path.measure(t, 40e-6 * t + paused), true));
        assert_eq!(outcomes, [Outcome::Doubtful, Outcome::Doubtful, Outcome::Restarted], "{paused}");
        let (offset, after) = at_the_end(&filter, burst[2]);
        assert!((offset - 40e-6 * burst[2] - paused).abs() < 30e-6, "{paused}: {offset}");
        assert!((after.frequency - before.frequency).abs() < 1e-9, "{paused}: {after:?}");
        assert!(after.frequency_variance < 1.5 * before.frequency_variance, "{paused}: {after:?}");
        assert!(
            filter.samples() >= 60 && after.beforehand == 0.0,
            "what was learnt of the oscillator counts"
        );
    }
}

#[test]
fn what_was_measured_of_the_frequency_is_a_better_prior_than_what_was_known_at_the_start() {
    let (mut filter, mut path) = (Filter::new(), lan());
    for n in 0..60 {
        let t = f64::from(n) * 64.0;
        filter.learn(&path.measure(t, 40e-6 * t));
    }
    filter.forget_offset();
    filter.expect(0.0, 200e-6);
    filter.learn(&path.measure(0.0, 0.0));
    let estimate = at_the_end(&filter, 0.0).1;
    assert!((estimate.frequency - 40e-6).abs() < 0.1e-6, "{estimate:?}");
    // One that is known better counts.
    filter.forget_offset();
    filter.expect(39e-6, 1e-9);
    filter.learn(&path.measure(0.0, 0.0));
    assert!((at_the_end(&filter, 0.0).1.frequency - 39e-6).abs() < 1e-9);
}

/// The worst error from the fifth minute on of a start in which each packet takes 5 to 80 ms longer there, back or both ways
/// for ten seconds.
fn worst_after_a_burst(seed: u64, longer: [bool; 2]) -> f64 {
    let mut path = Path { state: 7919 * seed + 1, minimum: 8e-3, forward: 0.5e-3, back: 0.5e-3 };
    let mut filter = Filter::new();
    filter.expect(0.0, 200e-6);
    let (mut at, mut worst) = (0.0, 0.0f64);
    for n in 0..40 {
        let more = longer.map(|longer| if longer && at < 10.0 { 5e-3 + 75e-3 * path.uniform() } else { 0.0 });
        let plain = path.measure(at, 20e-6 * at);
        let (moved, half) = (0.5e9 * (more[0] - more[1]), 0.5e9 * (more[0] + more[1]));
        filter.learn(&Measurement {
            offset: plain.offset + moved as i64,
            low: plain.low + (moved - half) as i64,
            high: plain.high + (moved + half) as i64,
            delay: plain.delay + more[0] + more[1],
            ..plain
        });
        if at > 300.0 {
            worst = worst.max((at_the_end(&filter, at).0 - 20e-6 * at).abs());
        }
        at += [0.15, 0.15, 0.15, 2.0, 4.0, 8.0, 16.0].get(n).copied().unwrap_or(64.0) + 0.1 * path.uniform();
    }
    worst
}

#[test]
fn a_start_in_a_burst_of_delay_is_right_after_five_minutes() {
    for longer in [[true, false], [false, true], [true, true]] {
        for seed in 0..60 {
            let worst = worst_after_a_burst(seed, longer);
            assert!(worst < 5e-3, "{seed} {longer:?}: {worst}");
        }
    }
}

/// The RMS error of the estimate on the last of `days`, seconds, at polls of 64 s with 1 ms of jitter, where the way there is
/// longer by `more` for half of each eight hours.
fn error_after_days_of_turns(more: f64, days: f64, seed: u64) -> f64 {
    let mut path = Path { state: 7919 * seed + 1, minimum: 38e-3, forward: 1e-3, back: 1e-3 };
    let mut filter = Filter::new();
    filter.expect(20e-6, 1e-6);
    let (mut truth, mut frequency, mut at, mut squares, mut count) = (0.0, 20e-6, 0.0, 0.0, 0);
    while at < days * 86_400.0 {
        // A wander of 1e-9 s/s/√s.
        frequency += 1e-9 * 8.0 * libm::sqrt(12.0) * (path.uniform() - 0.5);
        (truth, at) = (truth + 64.0 * frequency, at + 64.0);
        let longer = if at % 28_800.0 >= 14_400.0 { more } else { 0.0 };
        let plain = path.measure(at, truth);
        filter.learn(&Measurement {
            offset: plain.offset + (0.5e9 * longer) as i64,
            high: plain.high + (1e9 * longer) as i64,
            delay: plain.delay + longer,
            ..plain
        });
        if at > (days - 1.0) * 86_400.0 {
            let error = at_the_end(&filter, at).0 - truth;
            (squares, count) = (squares + error * error, count + 1);
        }
    }
    libm::sqrt(squares / f64::from(count))
}

#[test]
fn a_way_that_is_longer_and_shorter_again_for_days_leaves_no_error() {
    for more in [3e-3, 20e-3] {
        for seed in 1..4 {
            let error = error_after_days_of_turns(more, 5.0, seed);
            assert!(error < 80e-6, "{more} {seed}: {error}");
        }
    }
}

/// Root mean square of the error, in seconds, in the last half of a day at intervals of 256 s with an oscillator that wanders, of
/// which both ways take 22 ms longer from the sixth hour on.
fn error_after_both_ways_became_longer(jitter: f64, seed: u64) -> f64 {
    let mut path = Path { state: seed * 131 + 17, minimum: 0.03, forward: jitter, back: jitter };
    let (mut filter, mut truth, mut frequency, mut squares) = (Filter::new(), 0.0, 10e-6, 0.0);
    for n in 0..337_u16 {
        if n == 84 {
            path.minimum += 0.044;
        }
        let t = f64::from(n) * 256.0;
        filter.learn(&path.measure(t, truth));
        if n >= 168 {
            let (offset, _) = at_the_end(&filter, t);
            squares += (offset - truth) * (offset - truth) / 169.0;
        }
        // 1e-8 s/s in each √s: the sum of twelve uniform numbers has the variance 1.
        let normal = (0..12).map(|_| path.uniform()).sum::<f64>() - 6.0;
        frequency += 1e-8 * 16.0 * normal;
        truth += frequency * 256.0;
    }
    libm::sqrt(squares)
}

#[test]
fn both_ways_that_became_longer_at_once_leave_the_offset_known_although_no_packet_is_on_time() {
    for seed in 0..12 {
        for jitter in [5e-3, 10e-3] {
            let error = error_after_both_ways_became_longer(jitter, seed);
            assert!(error < 8e-3, "jitter of {jitter} s, seed {seed}: {error} s");
        }
    }
}
