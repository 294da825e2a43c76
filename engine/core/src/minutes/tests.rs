use super::*;
use crate::chronicle::{Chronicle, Known};
use alloc::vec::Vec;
use ipc::units::WallTime;

fn now(seconds: f64) -> Now {
    let nanos = (seconds * 1e9) as i64;
    Now { raw: RawInstant::saturating(nanos), wall: WallTime::saturating(1_800_000_000_000_000_000 + nanos) }
}

fn moment(seconds: f64, offset: f64) -> Moment {
    let who = Who { used: 3, used_authenticated: 1, authenticated: 1, stratum: 2, ..Who::default() };
    let known = Some(Known { offset, bound: 1e-3, likely: f64::INFINITY });
    Moment { at: now(seconds), known, frequency: Some(-10.0), used: 2, who, synchronised: true }
}

/// What was closed after the engine was told something at each of these moments; the offset is the time in microseconds.
fn told(chronicle: &mut Chronicle, seconds: impl IntoIterator<Item = f64>) {
    for at in seconds {
        chronicle.lapse(now(at).raw, |raw| {
            let seconds = raw.nanos() as f64 * 1e-9;
            moment(seconds, seconds * 1e-6)
        });
        chronicle.note(moment(at, at * 1e-6));
    }
}

fn minutes(chronicle: &mut Chronicle) -> Vec<(Now, Minute)> {
    let taken = chronicle.minutes.take();
    let minute = |it| match it {
        Lasting::Minute(at, minute) => Some((at, minute)),
        Lasting::Numbered { .. } => None,
    };
    taken.into_iter().filter_map(minute).collect()
}

#[test]
fn each_minute_is_there_once_however_seldom_the_engine_is_told_something() {
    let mut chronicle = Chronicle::new();
    told(&mut chronicle, [0.0, 7.0, 1_024.0]);
    let all = minutes(&mut chronicle);
    assert_eq!(all.len(), 17);
    for (at, (until, minute)) in all.iter().enumerate() {
        let end = (at + 1) as f64 * 60.0;
        assert_eq!((*until, minute.length_ms), (now(end), 60_000), "minute {at}");
        let microseconds = |seconds: f64| (seconds * 1e3) as i64;
        assert_eq!(minute.offset, Some((microseconds(end - 60.0), microseconds(end))));
        assert_eq!((minute.bound, minute.likely), (Some(1_000_000), None));
        assert_eq!((minute.used_at_least, minute.authenticated_at_least, minute.stratum), (2, 1, 2));
        assert_eq!((minute.used, minute.used_authenticated, minute.falsetickers), (3, 1, 0));
        assert!(minute.synchronised && !minute.gap && !minute.authenticated && !minute.stepped);
        assert_eq!(minute.frequency.map(Frequency::scaled), Some(-655_360));
    }
    assert!(minutes(&mut chronicle).is_empty(), "they were taken");
    chronicle.minutes.end();
    let last = minutes(&mut chronicle);
    assert_eq!((last.len(), last[0].0, last[0].1.length_ms), (1, now(1_024.0), 4_000));
}

#[test]
fn a_minute_is_as_bad_as_its_worst_moment() {
    let mut chronicle = Chronicle::new();
    told(&mut chronicle, [0.0, 10.0]);
    let who = Who { falsetickers: 4, stratum: 16, ..Who::default() };
    chronicle.note(Moment { known: None, used: 0, who, synchronised: false, ..moment(20.0, 0.0) });
    told(&mut chronicle, [21.0]);
    chronicle.stepped(now(22.0), 0.25, true);
    chronicle.stepped(now(22.0), -0.125, false);
    chronicle.minutes.leapt(now(23.0));
    told(&mut chronicle, [121.0]);
    let all = minutes(&mut chronicle);
    let (first, second) = (all[0].1, all[1].1);
    assert!(!first.synchronised && first.stepped && first.stepped_by_another && first.leap && !first.gap);
    assert_eq!((first.steps, first.bound, first.used_at_least), (125_000_000, None, 0));
    assert_eq!((first.largest_step_us, first.step()), (250_000, 250_000_000));
    assert_eq!((first.used, first.falsetickers), (3, 4), "at some time of it");
    assert!(second.synchronised && !second.stepped && !second.stepped_by_another && !second.leap);
    assert_eq!((second.steps, second.bound), (0, Some(1_000_000)));
}

#[test]
fn a_time_of_which_nothing_is_known_is_a_gap_and_no_minute() {
    let mut chronicle = Chronicle::new();
    told(&mut chronicle, [0.0, 30.0]);
    // The engine did not run.
    told(&mut chronicle, [30.0 + 3.0 * 3_600.0, 30.0 + 3.0 * 3_600.0 + 60.0]);
    let all = minutes(&mut chronicle);
    assert!(all[0].1.gap && all[1].1.gap, "{all:?}");
    assert_eq!(all[0].0, now(30.0));
    assert!(all.len() <= 3);
    chronicle.stood_still(now(40.0 + 3.0 * 3_600.0 + 60.0));
    chronicle.minutes.end();
    assert!(minutes(&mut chronicle).last().is_some_and(|(_, minute)| minute.gap));
}

#[test]
fn a_time_in_which_the_engine_did_not_run_is_a_gap_whatever_is_concluded_afterwards() {
    let mut chronicle = Chronicle::new();
    told(&mut chronicle, [0.0, 70.0]);
    chronicle.minutes.was_away(now(130.0).raw, now(250.0).raw);
    told(&mut chronicle, [250.0, 361.0]);
    let gaps: Vec<bool> = minutes(&mut chronicle).iter().map(|(_, minute)| minute.gap).collect();
    assert_eq!(gaps, [false, false, true, true, true, false]);
}

#[test]
fn what_nobody_takes_is_bounded_and_the_loss_shows() {
    let mut chronicle = Chronicle::new();
    told(&mut chronicle, (0..20_000).map(|at| f64::from(at) * 60.0));
    let all = minutes(&mut chronicle);
    assert_eq!(all.len(), WAITING);
    assert!(all[0].1.gap && all[1..].iter().all(|(_, minute)| !minute.gap));
}

#[test]
fn a_source_has_one_number_and_that_of_one_that_is_gone_is_given_when_no_other_is_left() {
    let mut minutes = Minutes::default();
    let mut number = |id: u32, gone: Option<u32>| {
        let is_there = |other: SourceId| Some(other.number()) != gone;
        minutes.number(now(0.0), (SourceId::of(id), true), || String::from("a"), is_there)
    };
    for id in 0..32 {
        assert_eq!(number(id, None), Some(id as u8));
    }
    assert_eq!((number(7, None), number(40, None)), (Some(7), None));
    assert_eq!((number(40, Some(7)), number(40, None), number(7, None)), (Some(7), Some(7), None));
    let taken = minutes.take();
    assert_eq!(taken.len(), 33);
    let last = Lasting::Numbered { at: now(0.0), number: 7, name: String::from("a"), authenticated: true };
    assert_eq!(taken.back(), Some(&last));
}
