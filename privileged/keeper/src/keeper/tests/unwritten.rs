//! A record that cannot be written any more.

use super::super::carried_out::{AWAITED, EVIDENT, UNAWAITED, UNWRITTEN};
use super::*;
use crate::governor::WRITE;

#[test]
fn a164_without_a_written_record_no_step_is_made_and_slews_go_on() {
    let (mut keeper, mut engine, _silent) = keeper();
    let path = format!("/proc/self/fd/{}", keeper.record_file.as_raw_fd());
    let writable =
        std::mem::replace(&mut keeper.record_file, OpenOptions::new().read(true).open(path).unwrap());
    assert_eq!(order(&mut keeper, &mut engine, &step(1_000_000_000)), Err(Refusal::NoPersist));
    // A run that never could write would begin again with the old budget each time: nothing that costs.
    assert_eq!(order(&mut keeper, &mut engine, &adjust(100_000_000)), Err(Refusal::NoPersist));
    assert_eq!(order(&mut keeper, &mut engine, &adjust(1_000_000)), Ok(()));
    keeper.course.written = Some(later());
    // 100 ms at constant 6: 391 ppm, outside the band, so it costs budget.
    assert_eq!(order(&mut keeper, &mut engine, &adjust(100_000_000)), Ok(()));
    // That slew is over: what is in flight of it would be charged to the next one.
    keeper.clock.change(|page| ClockPage { wall: page.wall.moved_by(page.slew), slew: Offset::ZERO, ..page });
    // A day later only uncharged slews continue.
    let day_ago = later().nanos() - UNWRITTEN.nanos();
    keeper.course.unwritten_since = Some(RawInstant::try_new(day_ago).unwrap());
    assert_eq!(order(&mut keeper, &mut engine, &adjust(100_000_000)), Err(Refusal::NoPersist));
    assert_eq!(order(&mut keeper, &mut engine, &adjust(1_000_000)), Ok(()));
    // It comes back by itself.
    keeper.record_file = writable;
    assert_eq!(order(&mut keeper, &mut engine, &step(1_000_000_000)), Ok(()));
    assert_eq!(keeper.course.unwritten_since, None);
}

/// A file into which nothing can be written for want of room, in place of the record's.
fn fill(keeper: &mut Keeper<PageClock>) -> File {
    let full = OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
    std::mem::replace(&mut keeper.record_file, full)
}

/// The record could not be written for this long.
fn unwritten_for(keeper: &mut Keeper<PageClock>, span: Span) {
    let since = RawInstant::try_new(later().nanos() - span.nanos()).unwrap();
    keeper.course.unwritten_since = Some(since);
}

/// One that has written its record, and for which a start would keep it elsewhere.
fn with_refuge() -> (Keeper<PageClock>, Engine, OwnedFd) {
    let (mut keeper, engine, silent) = keeper();
    keeper.has_refuge = true;
    keeper.persist().unwrap();
    (keeper, engine, silent)
}

/// The code with which the daemon ends over this order.
fn end(keeper: &mut Keeper<PageClock>, engine: &mut Engine, order: &ToPrivileged) -> i32 {
    engine.send(order).unwrap();
    keeper.turn().expect_err("it does not end").code()
}

#[test]
fn a164_what_must_be_on_the_disk_waits_for_a_minute_and_then_for_a_start_that_keeps_it_elsewhere() {
    for last in [step(1_000_000_000), adjust(100_000_000), adjust(1_000_000)] {
        let (mut keeper, mut engine, _silent) = with_refuge();
        let (budget, clock) = (keeper.governor.budget_left(), keeper.clock.0.get());
        fill(&mut keeper);
        // The last one is free, and the first of its boot.
        for awaited in [step(1_000_000_000), adjust(100_000_000), adjust(1_000_000)] {
            assert_eq!(order(&mut keeper, &mut engine, &awaited), Err(Refusal::NoPersist), "{awaited:?}");
        }
        unwritten_for(&mut keeper, AWAITED);
        assert_eq!(end(&mut keeper, &mut engine, &last), 75);
        // Nothing was done, so nothing is forgotten.
        let now = keeper.clock.0.get();
        assert_eq!((now.frequency, now.slew), (clock.frequency, clock.slew));
        assert_eq!(keeper.governor.budget_left(), budget);
        assert_eq!(keeper.governor.record().start_steps, 0);
    }
}

#[test]
fn a164_what_costs_nothing_goes_on_for_ten_minutes_before_that_start() {
    let (mut keeper, mut engine, _silent) = with_refuge();
    assert_eq!(order(&mut keeper, &mut engine, &adjust(0)), Ok(()));
    let writable = fill(&mut keeper);
    let long_ago = RawInstant::try_new(later().nanos() - WRITE.nanos()).unwrap();
    keeper.course.written = Some(long_ago);
    unwritten_for(&mut keeper, AWAITED);
    assert_eq!(order(&mut keeper, &mut engine, &adjust(1_000_000)), Ok(()));
    unwritten_for(&mut keeper, UNAWAITED);
    let disk = std::mem::replace(&mut keeper.record_file, writable);
    assert_eq!(order(&mut keeper, &mut engine, &adjust(1_000_000)), Ok(()), "it recovers by itself");
    keeper.record_file = disk;
    keeper.course.written = Some(long_ago);
    unwritten_for(&mut keeper, UNAWAITED);
    assert_eq!(end(&mut keeper, &mut engine, &adjust(1_000_000)), 75);
}

#[test]
fn a164_evidence_for_a_step_is_kept_for_an_hour_before_a_start_forgets_it() {
    let (mut keeper, mut engine, _silent) = with_refuge();
    assert_eq!(order(&mut keeper, &mut engine, &adjust(0)), Ok(()));
    let by = Offset::saturating(2_000_000_000);
    keeper.clock.change(|page| ClockPage { wall: page.wall.moved_by(by), ..page });
    keeper.look().unwrap();
    assert!(matches!(engine.receive().unwrap().unwrap().1, FromPrivileged::ClockEvent(_)));
    let writable = fill(&mut keeper);
    let back = || {
        let (delta, reason) = (Offset::ZERO.minus(by), StepReason::Restore);
        ToPrivileged::Step(Step { epoch: 2, delta, reason, asked_at: later() })
    };
    unwritten_for(&mut keeper, UNAWAITED);
    assert_eq!(order(&mut keeper, &mut engine, &back()), Err(Refusal::NoPersist));
    let disk = std::mem::replace(&mut keeper.record_file, writable);
    assert_eq!(order(&mut keeper, &mut engine, &back()), Ok(()), "the right to it was kept");
    keeper.clock.change(|page| ClockPage { wall: page.wall.moved_by(by), ..page });
    keeper.look().unwrap();
    assert!(matches!(engine.receive().unwrap().unwrap().1, FromPrivileged::ClockEvent(_)));
    keeper.record_file = disk;
    let charged = || {
        let ToPrivileged::Adjust(adjust) = adjust(100_000_000) else { unreachable!() };
        ToPrivileged::Adjust(Adjust { epoch: 3, ..adjust })
    };
    unwritten_for(&mut keeper, UNAWAITED);
    assert_eq!(order(&mut keeper, &mut engine, &charged()), Err(Refusal::NoPersist));
    unwritten_for(&mut keeper, EVIDENT);
    assert_eq!(end(&mut keeper, &mut engine, &charged()), 75);
}

#[test]
fn a164_no_start_is_asked_for_that_would_mend_nothing() {
    // A record that this run never could write, an error that is no disk's, no place to go to or nobody to start.
    for (was_written, file, has_refuge) in
        [(false, "/dev/full", true), (true, "/proc/self/stat", true), (true, "/dev/full", false)]
    {
        let (mut keeper, mut engine, _silent) = keeper();
        keeper.has_refuge = has_refuge;
        if was_written {
            keeper.persist().unwrap();
        }
        keeper.record_file = OpenOptions::new().read(true).open(file).unwrap();
        if file == "/dev/full" {
            fill(&mut keeper);
        }
        unwritten_for(&mut keeper, EVIDENT);
        assert_eq!(order(&mut keeper, &mut engine, &step(1_000_000_000)), Err(Refusal::NoPersist));
    }
}

#[test]
fn a165_a_write_that_failed_is_repeated_in_its_place_and_leaves_the_newer_slot() {
    let (mut keeper, _engine, _silent) = with_refuge();
    let slots = |keeper: &Keeper<PageClock>| {
        PLACES.map(|place| {
            let mut slot = [0; SLOT];
            let _ = keeper.record_file.read_exact_at(&mut slot, place);
            slot
        })
    };
    keeper.persist().unwrap();
    let before = slots(&keeper);
    let newest = Record::newest(&before).unwrap();
    for failures in 1..3 {
        let writable = fill(&mut keeper);
        for _ in 0..failures {
            assert_eq!(keeper.persist(), Err(Errno(libc::ENOSPC)));
        }
        keeper.record_file = writable;
        assert_eq!(slots(&keeper), before);
        keeper.persist().unwrap();
        let after = slots(&keeper);
        let kept = PLACES.iter().position(|place| *place == newest.place()).unwrap();
        assert_eq!(after[kept], before[kept], "{failures}");
        // As it was, for the next turn.
        for (place, slot) in PLACES.into_iter().zip(&before) {
            keeper.record_file.write_all_at(slot, place).unwrap();
        }
        keeper.governor.record().sequence = newest.sequence;
    }
}

#[test]
fn in_attested_the_end_of_the_daemon_marks_the_clock_and_elsewhere_it_does_not() {
    for is_attested in [true, false] {
        let (mut keeper, _engine, _silent) = keeper();
        keeper.is_attested = is_attested;
        keeper.clock.1 = Some(true);
        keeper.leave_clock().unwrap();
        assert_eq!(keeper.clock.1, Some(!is_attested));
    }
}

#[test]
fn how_many_lines_a_full_disk_has_taken_from_the_audit_log_is_the_next_line_that_is_written() {
    let (mut keeper, _engine, _silent) = keeper();
    let log = file(audit_line::LENGTH);
    let full = File::options().read(true).write(true).open("/dev/full").unwrap();
    keeper.audit = Audit::after(full, End::NONE, End::NONE);
    keeper.write_down(format_args!("event=first"));
    // What goes to the disk without a new line does not end that.
    let _ = keeper.persist();
    keeper.write_step_down(format_args!("event=second"));
    assert_eq!(keeper.course.lines_lost, 2);
    keeper.audit = Audit::after(log.try_clone().unwrap(), End::NONE, End::NONE);
    keeper.write_down(format_args!("event=third"));
    keeper.write_down(format_args!("event=fourth"));
    let line = |at: u64| {
        let mut text = [0; audit_line::LINE];
        log.read_exact_at(&mut text, at * audit_line::LINE as u64).unwrap();
        let text = String::from_utf8_lossy(&text);
        text.split(' ').skip(3).take_while(|word| word.contains('=')).collect::<Vec<_>>().join(" ")
    };
    assert_eq!([0, 1, 2].map(line), ["event=unwritten kind=lost unwritten=2", "event=third", "event=fourth"]);
    assert_eq!(keeper.course.lines_lost, 0);
}
