use super::*;
use crate::units::Span;

fn page() -> ClockPage {
    ClockPage {
        frequency: Frequency::try_new(-40 * Frequency::PER_PPM).unwrap(),
        oscillator: Frequency::try_new(40 * Frequency::PER_PPM).unwrap(),
        time_constant: TimeConstant::try_new(2).unwrap(),
        tai: 37,
        generation: 9,
        ..ClockPage::free_running(WallTime::try_new(1_800_000_000 * SECOND).unwrap(), at(5))
    }
}

fn at(seconds: i64) -> RawInstant {
    RawInstant::try_new(seconds * SECOND).unwrap()
}

#[test]
fn a_page_round_trips_and_any_flipped_octet_is_torn() {
    let octets = page().to_octets();
    assert_eq!(ClockPage::from_octets(&octets), Ok(page()));
    for at in 0..PAGE {
        let mut bad = octets;
        bad[at] ^= 1;
        assert_eq!(ClockPage::from_octets(&bad), Err(Torn), "octet {at}");
    }
    for leap in [
        LeapState::Insert(Some(1_800_057_600)),
        LeapState::Delete(Some(1_800_057_599)),
        LeapState::Insert(None),
        LeapState::Delete(None),
        LeapState::InProgress,
        LeapState::Made,
    ] {
        let page = ClockPage { leap, ..page() };
        assert_eq!(ClockPage::from_octets(&page.to_octets()), Ok(page));
    }
}

#[test]
fn opposite_frequencies_cancel() {
    assert_eq!(page().wall_at(at(105)).nanos() - page().wall.nanos(), 100 * SECOND);
}

fn slewing(slew: i64, wall: i64) -> ClockPage {
    ClockPage {
        slew: Offset::try_new(slew).unwrap(),
        wall: WallTime::try_new(wall).unwrap(),
        frequency: Frequency::ZERO,
        oscillator: Frequency::ZERO,
        ..page()
    }
}

/// How far the clock has moved beside CLOCK_MONOTONIC_RAW, ns.
fn moved(clock: &ClockPage, now: RawInstant) -> i64 {
    clock.wall_at(now).nanos() - clock.wall.nanos() - now.since(clock.since).nanos()
}

#[test]
fn a_slew_moves_exactly_what_was_ordered_and_ends() {
    for slew in [20_000_000i64, -20_000_000, 999, 1_000, -1_001, 500_000_000] {
        let clock = slewing(slew, page().wall.nanos());
        // The second in which it was ordered is not its first; then a sixteenth of it a second.
        assert_eq!(moved(&clock, at(6)), 0);
        let part = slew / 16;
        // A second of the clock is as much shorter as it moves ahead.
        let of_rate = |moved: i64| (moved.abs() as i128 * part.abs() as i128 / SECOND as i128) as i64 + 1;
        assert!((moved(&clock, at(7)) - part).abs() <= of_rate(part));
        // No more than ordered, at any instant, and all of it in the end.
        let mut last = 0;
        for second in 6..1000 {
            let moved = moved(&clock, at(second));
            assert!(moved.abs() >= last && moved.abs() <= slew.abs() + of_rate(slew));
            last = moved.abs();
        }
        assert!(slew.abs() - last <= of_rate(slew), "{last} of {slew}");
    }
}

#[test]
fn what_is_left_lacks_the_part_under_way_and_changes_at_the_clocks_own_whole_seconds() {
    // 0.25 s before a whole second of the clock.
    let clock = slewing(16_000_000, 1_800_000_000 * SECOND + 750_000_000);
    let after = |millis: i64| clock.since.after(Span::from_millis(millis));
    assert_eq!(clock.slew_left_at(after(249)).nanos(), 16_000_000);
    assert_eq!(moved(&clock, after(249)), 0);
    let later = clock.advanced_to(after(250));
    assert_eq!((later.slew.nanos(), later.under_way.nanos()), (15_000_000, 1_000_000));
    assert_eq!(moved(&clock, after(750)), 500_000, "half of the part under way");
    assert_eq!(clock.slew_left_at(after(1_248)).nanos(), 15_000_000);
    // At 1000 ppm more the clock's second is 1 ms shorter.
    assert_eq!(clock.slew_left_at(after(1_250)).nanos(), 14_062_500);
}

#[test]
fn a_replaced_slew_completes_the_part_under_way_and_no_more() {
    let clock = slewing(16_000_000, 1_800_000_000 * SECOND + 750_000_000);
    let after = |millis: i64| clock.since.after(Span::from_millis(millis));
    let base = Frequency::saturating(-100 * Frequency::PER_PPM);
    let begun = clock.advanced_to(after(500)).adjusted(base, Offset::ZERO, TimeConstant::MIN);
    // 0.25 ms had moved; the other 0.75 ms follow, on the new base frequency, until the clock's second is full.
    assert_eq!(moved(&begun, after(1_249)), 749_000 - 74_900);
    assert_eq!(moved(&begun, after(11_249)), 749_075 - 1_074_900);
    // A step ends it at once.
    let set = clock.advanced_to(after(500)).set_to(clock.wall);
    assert_eq!((set.wall_at(after(1_500)).nanos(), set.slew), (clock.wall.nanos() + SECOND, Offset::ZERO));
}

#[test]
fn describing_the_clock_from_later_on_changes_nothing() {
    let clock = ClockPage { slew: Offset::try_new(20_000_000).unwrap(), ..page() };
    for millis in [1, 999, 1_000, 4_321] {
        let later = clock.advanced_to(clock.since.after(Span::from_millis(millis)));
        let (here, there) = (clock.wall_at(at(30)).nanos(), later.wall_at(at(30)).nanos());
        assert!((here - there).abs() <= 2, "{millis} ms: {here} {there}");
    }
}

#[test]
fn a_clock_of_any_values_is_read_at_any_time() {
    for slew in [i64::MIN, -1, 1, i64::MAX].map(Offset::saturating) {
        for wall in [WallTime::MIN, WallTime::MAX] {
            for time_constant in [TimeConstant::MIN, TimeConstant::MAX] {
                let (leap, status) = (LeapState::Insert(Some((1 << 33) - 1)), INSERT);
                let clock = ClockPage { slew, under_way: slew, wall, time_constant, leap, status, ..page() };
                assert!(clock.wall_at(RawInstant::MAX) >= clock.wall_at(RawInstant::MIN));
                assert!(clock.slew_left_at(RawInstant::MAX).magnitude() <= Span::saturating(1));
            }
        }
    }
}

/// The end of a day, seconds since 1970, and a clock half a second before a whole second that is `before` it.
const MIDNIGHT: i64 = 1_800_057_600;

fn announced(status: u32, before: i64) -> ClockPage {
    let wall = (MIDNIGHT - before) * SECOND - SECOND / 2;
    ClockPage { status, maxerror: 0, wall: WallTime::try_new(wall).unwrap(), ..slewing(0, SECOND) }
}

fn shown(clock: &ClockPage, now: RawInstant) -> (i64, u32, LeapState) {
    let later = clock.advanced_to(now);
    (later.wall.nanos() - MIDNIGHT * SECOND, later.tai, later.leap)
}

#[test]
fn a_leap_second_is_made_at_midnight_once_and_moves_tai() {
    let half = SECOND / 2;
    let insert = announced(INSERT, 1_000);
    assert_eq!(shown(&insert, at(6)).2, LeapState::Insert(Some(MIDNIGHT)));
    assert_eq!(insert.announced(), Leap::Insert);
    // 1000.5 s on it would be midnight: the last second is there twice.
    assert_eq!(shown(&insert, at(5 + 1_000)), (-half, 37, LeapState::Insert(Some(MIDNIGHT))));
    assert_eq!(shown(&insert, at(5 + 1_001)), (-half, 38, LeapState::InProgress));
    assert_eq!(shown(&insert, at(5 + 1_002)), (half, 38, LeapState::Made));
    assert_eq!(insert.advanced_to(at(1_006)).announced(), Leap::None);
    // While it stays announced, there is no other.
    let days_later = at(5 + 1_000 + 3 * DAY);
    assert_eq!(shown(&insert, days_later), ((3 * DAY - 1) * SECOND - half, 38, LeapState::Made));
    // It is left out before the last second begins.
    let delete = announced(DELETE, 1_000);
    assert_eq!(shown(&delete, at(5 + 999)), (-SECOND - half, 37, LeapState::Delete(Some(MIDNIGHT - 1))));
    assert_eq!(shown(&delete, at(5 + 1_000)), (half, 36, LeapState::Made));
    // Taken back in time, there is none; and after a step neither.
    let taken_back = insert.advanced_to(at(900)).without_leap();
    assert_eq!(shown(&taken_back, at(5 + 1_002)), (3 * half, 37, LeapState::Idle));
    let earlier = insert.advanced_to(at(900));
    let set = earlier.set_to(earlier.wall);
    assert_eq!(shown(&set, at(5 + 1_002)), (3 * half, 37, LeapState::Insert(None)));
    // Where the clock is put past it, as by a sleep, it is not made up for.
    let asleep = ClockPage { wall: earlier.wall.moved_by(Offset::saturating(3_600 * SECOND)), ..earlier };
    assert_eq!(shown(&asleep, at(10_000)).1, 37);
}

#[test]
fn a_slew_goes_on_over_a_leap_second() {
    let clock = ClockPage { slew: Offset::try_new(16_000_000).unwrap(), ..announced(INSERT, 2) };
    let without = ClockPage { slew: clock.slew, ..announced(0, 2) };
    for second in [6, 7, 8, 9, 30] {
        let (with, without) = (clock.advanced_to(at(second)), without.advanced_to(at(second)));
        assert_eq!((with.slew, with.under_way), (without.slew, without.under_way), "{second}");
    }
}

#[test]
fn the_bound_of_the_error_grows_each_second_until_the_clock_is_unsynchronised() {
    let clock = ClockPage { maxerror: 1_000, ..announced(0, 100) };
    let told = |clock: &ClockPage, now| {
        let later = clock.advanced_to(now);
        (later.maxerror, later.status & UNSYNC != 0)
    };
    assert_eq!(told(&clock, clock.since.after(Span::from_millis(499))), (1_000, false));
    assert_eq!(told(&clock, clock.since.after(Span::from_millis(500))), (1_500, false));
    assert_eq!(told(&clock, at(5 + 31_998)), (16_000_000, false));
    assert_eq!(told(&clock, at(5 + 31_999)), (16_000_000, true));
    // The same in parts, and with a slew.
    let slewing = ClockPage { slew: Offset::try_new(16_000_000).unwrap(), ..clock };
    let parts = slewing.advanced_to(at(12)).advanced_to(at(13)).advanced_to(at(105));
    assert_eq!((parts.maxerror, told(&slewing, at(105)).0), (51_000, 51_000));
    // A step says that nothing is known.
    let set = clock.set_to(clock.wall);
    assert_eq!((set.maxerror, set.esterror, set.status), (16_000_000, 16_000_000, UNSYNC));
    let status = Status { synchronised: true, maxerror: Span::from_millis(3), ..Status::unknown(1) };
    let told = set.told(&Status { leap: Leap::Delete, ..status });
    assert_eq!((told.status, told.maxerror, told.esterror, told.tai), (DELETE, 3_001, 16_000_000, 37));
}

#[test]
fn a134_no_status_has_a_tai_offset() {
    // Nothing but these fields reaches the kernel; a leap second moves the offset by itself.
    let Status { epoch: _, leap: _, synchronised: _, maxerror: _, esterror: _ } = Status::unknown(1);
    let clock = ClockPage {
        tai: 37,
        ..ClockPage::free_running(WallTime::saturating(MIDNIGHT * SECOND / 2), RawInstant::MIN)
    };
    let told = clock.told(&Status { synchronised: true, leap: Leap::Insert, ..Status::unknown(1) });
    let adjusted =
        told.adjusted(Frequency::saturating(65_536), Offset::saturating(1_000_000), TimeConstant::MIN);
    assert_eq!([told.tai, adjusted.tai, adjusted.set_to(clock.wall).tai], [37; 3]);
}
