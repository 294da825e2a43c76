//! Tracks that are fed by one-way samples, as a reference clock gives them.

use super::*;
use crate::independence::Identity;
use crate::measurement::Measurement;
use crate::source_id::SourceId;
use crate::system::{Finding, Rules, Voter, find};
use crate::tests::world::Random;
use core::net::IpAddr;
use ipc::units::{Leap, WallTime};
use std::vec::Vec;

const SECOND: i64 = 1_000_000_000;

/// The oscillator is 20 ppm slow.
const FREQUENCY: f64 = 20e-6;

const FACTS: Facts =
    Facts { leap: Leap::None, stratum: 0, reference_id: 0x5050_5300, root_delay: 0.0, root_dispersion: 0.0 };

fn raw(seconds: f64) -> RawInstant {
    RawInstant::saturating(1000 * SECOND + (seconds * 1e9) as i64)
}

/// True time minus CLOCK_MONOTONIC_RAW, nanoseconds.
fn truth(seconds: f64) -> i64 {
    500 * SECOND + (FREQUENCY * seconds * 1e9) as i64
}

/// A clock that shows CLOCK_MONOTONIC_RAW.
fn now(seconds: f64) -> Now {
    let raw = raw(seconds);
    Now { raw, wall: WallTime::saturating(raw.nanos()) }
}

const PRIOR: (f64, f64) = (0.0, 200e-6);

/// One that tells the time each 16 s for `seconds`, scattered by a third of `bound`.
fn fed(bound: f64, seconds: f64, seed: u64, mut watch: impl FnMut(f64, &Track)) -> Track {
    let (mut track, mut random) = (Track::new(), Random::new(seed));
    let mut at = 0.0;
    while at < seconds {
        let scatter = (random.normal() * bound / 3.0).clamp(-bound, bound);
        let sample = Sample::one_way(raw(at), truth(at) + (scatter * 1e9) as i64, bound, FACTS);
        track.take(&sample, PRIOR, now(at));
        watch(at, &track);
        at += 16.0;
    }
    track
}

#[test]
fn one_way_samples_alone_find_offset_and_frequency_and_say_how_well() {
    for bound in [1e-6, 50e-6, 10e-3] {
        let (mut square, mut claimed, mut count) = (0.0, 0.0, 0.0);
        for seed in 1..20 {
            fed(bound, 4.0 * 3600.0, seed, |at, track| {
                if at < 3600.0 {
                    return;
                }
                let opinion = track.opinion(now(at), true).unwrap();
                let error = opinion.offset - truth(at) as f64 * 1e-9;
                assert!(opinion.claim.low <= truth(at) as f64 * 1e-9, "{bound} {at}");
                assert!(opinion.claim.high >= truth(at) as f64 * 1e-9, "{bound} {at}");
                square += error * error;
                claimed += opinion.estimate.variance;
                count += 1.0;
            });
        }
        let (rms, claimed) = (libm::sqrt(square / count), libm::sqrt(claimed / count));
        assert!(rms < 0.6 * bound / 3.0, "bound {bound}: off by {rms}");
        assert!((0.3..1.5).contains(&(rms / claimed)), "bound {bound}: off by {rms}, said {claimed}");
    }
}

/// A server 10 ms away each way, that is asked each 16 s for an hour; its clock is `error` ahead, seconds.
fn asked(error: f64, seed: u64) -> Track {
    let (mut track, mut random) = (Track::new(), Random::new(seed));
    for query in 0..225 {
        let at = f64::from(query) * 16.0;
        let [there, back] = [(); 2].map(|()| 10e-3 + random.exponential(1e-4));
        let said = truth(at) + (error * 1e9) as i64;
        let nanos = |seconds: f64| (seconds * 1e9) as i64;
        let measurement = Measurement {
            at: raw(at),
            offset: said + nanos((there - back) / 2.0),
            low: said - nanos(back),
            high: said + nanos(there),
            received: raw(at),
            delay: there + back,
            noise: 1e-6,
        };
        let facts = Facts { stratum: 1, root_dispersion: 1e-5, ..FACTS };
        track.take(&Sample::of_exchange(measurement, facts), PRIOR, now(at));
    }
    track
}

/// Selects among tracks, an hour after they began.
fn choose(tracks: &[Track]) -> (Finding, Vec<Standing>) {
    let voters: Vec<Voter<'_>> = tracks
        .iter()
        .enumerate()
        .map(|(n, track)| Voter {
            source: Some(SourceId::of(n as u32)),
            identity: Identity {
                name: "",
                ip: IpAddr::from([10, 0, 0, n as u8]),
                port: 123,
                stratum: track.facts.map_or(16, |facts| facts.stratum),
                reference_id: 0,
            },
            seat: crate::independence::Seat { entry: n as u32, seats: 1, leaving: false },
            opinion: track.opinion(now(3600.0), true),
            absence: crate::select::Absence::Counted,
            authenticated: false,
            keyed: false,
            kin: Vec::new(),
            prefer: false,
            trust: false,
            require: false,
            min_stratum: 1,
            survived: false,
            is_aside: false,
            strays: 0,
            signed: None,
            interval: 16.0,
        })
        .collect();
    let rules = Rules {
        awaits_unheard: false,
        minimum: 1,
        require: false,
        require_nts: false,
        attested: false,
        max_distance: ipc::units::Span::from_secs(3),
        max_jitter: None,
    };
    let finding = find(&voters, rules, now(3600.0));
    let standings = finding.verdicts.iter().map(|verdict| verdict.standing).collect();
    (finding, standings)
}

fn error_of(finding: &Finding) -> f64 {
    finding.line.as_ref().unwrap().offset(now(3600.0)) - truth(3600.0) as f64 * 1e-9
}

#[test]
fn a_track_of_one_way_samples_is_selected_and_combined_like_any_other() {
    let clock = || fed(10e-6, 3600.0, 3, |_, _| ());
    // Alone.
    let (finding, standings) = choose(&[clock()]);
    assert_eq!(standings, [Standing::Survivor]);
    assert!(error_of(&finding).abs() < 5e-6, "{}", error_of(&finding));
    // Between two servers, it is the nearest to true time.
    let (finding, standings) = choose(&[asked(0.0, 1), clock(), asked(0.0, 2)]);
    assert_eq!(standings, [Standing::Survivor; 3]);
    assert!(error_of(&finding).abs() < 5e-6, "{}", error_of(&finding));
    let line = finding.line.unwrap();
    assert_eq!(line.reference.source, SourceId::of(1));
    assert_eq!((line.reference.stratum, line.reference.root_delay), (0, 0.0));
    let later = now(3600.0);
    let (low, high) = line.guard_at(later.raw).offsets(later.wall.nanos());
    assert!(high - low < 1e-3, "the hard bounds are the reference clock's: {low} to {high}");
    // A reference clock has no more votes than a server.
    let mut wrong = clock();
    wrong.shift(SECOND / 2);
    let (finding, standings) = choose(&[asked(0.0, 1), wrong, asked(0.0, 2)]);
    assert_eq!(standings, [Standing::Survivor, Standing::Falseticker, Standing::Survivor]);
    assert!(error_of(&finding).abs() < 1e-3);
}

#[test]
fn one_way_samples_that_jump_are_doubted_and_then_believed() {
    let mut track = fed(10e-6, 3600.0, 3, |_, _| ());
    let mut outcomes = Vec::new();
    for n in 0..3 {
        let at = 3600.0 + 16.0 * f64::from(n);
        let sample = Sample::one_way(raw(at), truth(at) + SECOND / 2, 10e-6, FACTS);
        outcomes.push(track.take(&sample, PRIOR, now(at)));
        assert_eq!(track.is_sure(), n == 2);
    }
    assert_eq!(outcomes, [Outcome::Doubtful, Outcome::Doubtful, Outcome::Restarted]);
    let opinion = track.opinion(now(3632.0), true).unwrap();
    assert!((opinion.offset - truth(3632.0) as f64 * 1e-9 - 0.5).abs() < 1e-3);
}
