//! The loop with real descriptors: a clock in memory, and the engine's end in the test's hands.

use super::*;
use crate::governor::limits;
use ipc::audit_line::End;
use ipc::clock_page::ClockPage;
use ipc::governor_record::{PLACES, Record, SLOT};
use ipc::message::handover::Terms;
use ipc::message::privileged::{Adjust, ClockKind, NOTE_SPACING, Profile, Step, StepReason};
use ipc::units::{BootInstant, Frequency};
use ipc::{audit_line, governor_record};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::cell::Cell;
use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

mod signals;
mod unwritten;

type Engine = Link<ToPrivileged, FromPrivileged>;

fn file(length: u64) -> File {
    let file = File::from(memfd_create("test", MFdFlags::MFD_CLOEXEC).unwrap());
    file.set_len(length).unwrap();
    file
}

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_NONBLOCK).unwrap()
}

/// CLOCK_MONOTONIC_RAW of the tests: a machine that has just been started has a yesterday, too.
fn later() -> RawInstant {
    raw().after(Span::from_secs(2 * 86_400))
}

/// A clock that keeps the kernel's rules for one, in memory; and whether it was marked synchronised last.
struct PageClock(Cell<ClockPage>, Option<bool>);

impl PageClock {
    fn change(&self, change: impl FnOnce(ClockPage) -> ClockPage) {
        self.0.set(change(self.0.get().advanced_to(later())));
    }
}

impl Clock for PageClock {
    fn kind(&self) -> ClockKind {
        ClockKind::Virtual
    }

    fn read(&self) -> Result<ClockReading, Errno> {
        self.change(|page| page);
        let page = self.0.get();
        Ok(ClockReading {
            wall: page.wall,
            raw: page.since,
            frequency: page.frequency,
            slew_left: page.slew,
            tai: page.tai.min(255) as u8,
        })
    }

    fn adjust(&mut self, base: Frequency, slew: Offset, pace: TimeConstant) -> Result<(), Errno> {
        self.change(|page| page.adjusted(base, slew, pace));
        Ok(())
    }

    fn step(&mut self, delta: Offset) -> Result<(), Errno> {
        self.change(|page| page.set_to(page.wall.checked_add(delta).unwrap()));
        Ok(())
    }

    fn set_status(&mut self, status: &Status) -> Result<(), Errno> {
        self.1 = Some(status.synchronised);
        Ok(())
    }

    fn set_tai(&mut self, seconds: u8) -> Result<(), Errno> {
        self.change(|page| page.with_tai(seconds));
        Ok(())
    }

    fn reclaim(&mut self) -> Result<bool, Errno> {
        Ok(false)
    }

    fn release(&mut self) -> Result<(), Errno> {
        Ok(())
    }
}

fn clock() -> PageClock {
    let (wall, _) = crate::clock::read_pair();
    PageClock(Cell::new(ClockPage::free_running(wall, later())), None)
}

/// A keeper, the engine's end of its link, and what keeps its other descriptors open.
fn keeper() -> (Keeper<PageClock>, Engine, OwnedFd) {
    let (ours, theirs) = pair();
    let (signals, silent) = pair();
    let clock = clock();
    let now = moment(&clock).unwrap();
    let terms = Terms {
        profile: Profile::Standard,
        run_step: Span::ZERO,
        forward_step: Span::ZERO,
        leap_seconds: false,
        approved_step: None,
    };
    let keeper = Keeper {
        link: Link::new(ours),
        clock,
        governor: Governor::new(terms, Record::born([0; 16], now.boot), [0; 16], now),
        record_file: file(governor_record::LENGTH),
        audit: Audit::after(file(audit_line::LENGTH), audit_line::End::NONE, audit_line::End::NONE),
        notify: Notify::to(None),
        ready: None,
        signals: signals.into(),
        processes: PerProcess::default(),
        denied: PerProcess::default(),
        set_clock: None,
        rtc: None,
        vmclock: None,
        has_refuge: false,
        awaited: None,
        is_attested: false,
        course: Course::default(),
    };
    (keeper, Link::new(theirs), silent)
}

fn order(keeper: &mut Keeper<PageClock>, engine: &mut Engine, order: &ToPrivileged) -> Result<(), Refusal> {
    engine.send(order).unwrap();
    keeper.turn().unwrap();
    match engine.receive().unwrap().unwrap().1 {
        FromPrivileged::Applied(_) => Ok(()),
        FromPrivileged::Refused(refused) => Err(refused.code),
        other => panic!("{other:?}"),
    }
}

fn adjust(slew: i64) -> ToPrivileged {
    ToPrivileged::Adjust(Adjust {
        epoch: 1,
        frequency: Frequency::ZERO,
        slew: Offset::saturating(slew),
        time_constant: TimeConstant::saturating(6),
        asked_at: later(),
    })
}

fn step(delta: i64) -> ToPrivileged {
    let delta = Offset::saturating(delta);
    let asked_at = later();
    ToPrivileged::Step(Step { epoch: 1, delta, reason: StepReason::Start, asked_at })
}

#[test]
fn a130_the_first_order_of_a_boot_is_on_the_disk_before_it_is_carried_out() {
    let (mut keeper, mut engine, _silent) = keeper();
    keeper.persist().unwrap();
    let kept = |keeper: &Keeper<PageClock>| {
        let slots = PLACES.map(|place| {
            let mut slot = [0; SLOT];
            let _ = keeper.record_file.read_exact_at(&mut slot, place);
            slot
        });
        Record::newest(&slots).unwrap()
    };
    assert_eq!(kept(&keeper).first_change, None);
    // It costs nothing, and the record was written a moment ago.
    keeper.course.written = Some(later());
    order(&mut keeper, &mut engine, &adjust(0)).unwrap();
    assert!(kept(&keeper).first_change.is_some());
    let sequence = kept(&keeper).sequence;
    keeper.course.written = Some(later());
    order(&mut keeper, &mut engine, &adjust(0)).unwrap();
    assert_eq!(kept(&keeper).sequence, sequence, "once");
}

#[test]
fn a128_a_frequency_outside_the_band_is_at_its_edge_before_an_order_is_judged() {
    let (mut keeper, mut engine, _silent) = keeper();
    let outside = Frequency::saturating(400 * Frequency::PER_PPM);
    keeper.governor.record().base = outside;
    keeper.governor.record().under_orders = limits::SEARCH;
    keeper.clock.change(|page| ClockPage { frequency: outside, ..page });
    engine.send(&adjust(0)).unwrap();
    keeper.turn().unwrap();
    let edge = Frequency::saturating(200 * Frequency::PER_PPM);
    assert_eq!(keeper.clock.read().unwrap().frequency, edge);
    let FromPrivileged::ClockEvent(event) = engine.receive().unwrap().unwrap().1 else { panic!("no event") };
    assert_eq!((event.kind, event.epoch, event.now.frequency), (ClockEventKind::BandNarrowed, 2, edge));
    let FromPrivileged::Refused(refused) = engine.receive().unwrap().unwrap().1 else { panic!("no answer") };
    assert_eq!(refused.code, Refusal::StaleEpoch, "it was decided without that");
}

#[test]
fn a131_the_charge_is_written_before_the_clock_is_touched() {
    let (mut keeper, mut engine, _silent) = keeper();
    order(&mut keeper, &mut engine, &adjust(100_000_000)).unwrap();
    let slots = PLACES.map(|place| {
        let mut slot = [0; SLOT];
        keeper.record_file.read_exact_at(&mut slot, place).unwrap();
        slot
    });
    let written = Record::newest(&slots).unwrap();
    assert_eq!(written.reserved, Span::from_millis(100));
}

#[test]
fn a140_a_step_is_in_both_rings_of_the_log_before_it_is_made() {
    let (mut keeper, mut engine, _silent) = keeper();
    let log = file(audit_line::LENGTH);
    keeper.audit = Audit::after(log.try_clone().unwrap(), audit_line::End::NONE, audit_line::End::NONE);
    order(&mut keeper, &mut engine, &step(1_000_000_000)).unwrap();
    let line = |ring: audit_line::Ring, sequence| {
        let mut line = [0; audit_line::LINE];
        log.read_exact_at(&mut line, ring.place(sequence)).unwrap();
        String::from_utf8_lossy(&line).into_owned()
    };
    let permitted = "event=permitted asked=step why=Start delta_ns=1000000000";
    assert!(line(audit_line::STEPS, 0).contains(permitted));
    assert!(line(audit_line::ORDERS, 0).contains(permitted));
    assert!(line(audit_line::ORDERS, 1).contains("event=applied asked=step"));
    keeper.persist().unwrap();
    let record = keeper.governor.record();
    assert_eq!((record.audit.lines, record.audit_steps.lines), (2, 1));
}

fn lines_of(log: &File, count: u64) -> Vec<String> {
    let line = |sequence| {
        let mut line = [0; audit_line::LINE];
        log.read_exact_at(&mut line, audit_line::ORDERS.place(sequence)).unwrap();
        String::from_utf8_lossy(&line).into_owned()
    };
    (0..count).map(line).collect()
}

#[test]
fn a140_an_end_writes_what_is_unwritten_of_all_kinds_before_its_own_line() {
    let (mut keeper, mut engine, _silent) = keeper();
    let log = file(audit_line::LENGTH);
    keeper.audit = Audit::after(log.try_clone().unwrap(), audit_line::End::NONE, audit_line::End::NONE);
    // The run before was killed, perhaps just after its bursts.
    keeper.governor.record().lines.is_open = true;
    assert!(keeper.note_start(true, false).is_some());
    for slew in [1_000, -300] {
        order(&mut keeper, &mut engine, &adjust(slew)).unwrap();
    }
    let ToPrivileged::Adjust(of_another) = adjust(0) else { unreachable!() };
    let of_another = ToPrivileged::Adjust(Adjust { epoch: 7, ..of_another });
    for _ in 0..3 {
        assert_eq!(order(&mut keeper, &mut engine, &of_another), Err(Refusal::StaleEpoch));
    }
    assert_eq!(keeper.audit.ends().0.lines, 0);
    keeper.note_end(&Ending::Engine(String::new()), true);
    let expected = [
        "event=unwritten kind=adjust unwritten=2 charged_ns=0 frequency_least=0 frequency_greatest=0 slew_net_ns=700 \
         slew_sum_ns=1300 ",
        "event=unwritten kind=refusal unwritten=3 ",
        "event=stop code=81 released=true ",
    ];
    assert_eq!(keeper.audit.ends().0.lines, 3);
    for (line, expected) in lines_of(&log, 3).iter().zip(expected) {
        assert!(line.contains(expected), "{line}");
    }
    let lines = keeper.governor.record().lines;
    assert_eq!((lines.unwritten, lines.is_open), ([0; governor_record::LINE_KINDS], false));
}

#[test]
fn a140_ends_that_come_too_often_leave_their_sums_to_the_record_and_a_stop_writes_them() {
    let (mut keeper, _engine, _silent) = keeper();
    let log = file(audit_line::LENGTH);
    keeper.audit = Audit::after(log.try_clone().unwrap(), audit_line::End::NONE, audit_line::End::NONE);
    let goodbye = Ending::Engine(String::new());
    let burst = u64::from(Kind::Stop.burst());
    for _ in 0..burst + 4 {
        quota::count(&mut keeper.governor.record().lines, Kind::Event);
        keeper.note_end(&goodbye, true);
    }
    assert_eq!(keeper.audit.ends().0.lines, 2 * burst);
    let slots = PLACES.map(|place| {
        let mut slot = [0; SLOT];
        keeper.record_file.read_exact_at(&mut slot, place).unwrap();
        slot
    });
    let unwritten = Record::newest(&slots).unwrap().lines.unwritten;
    assert_eq!((unwritten[Kind::Event as usize], unwritten[Kind::Stop as usize]), (4, 4));
    keeper.note_end(&Ending::Asked, true);
    let [.., sum, stop] = &lines_of(&log, 2 * burst + 2)[..] else { panic!("too few") };
    assert!(sum.contains("event=unwritten kind=event unwritten=4 "), "{sum}");
    assert!(stop.contains("event=stop code=0 released=true unwritten=4 "), "{stop}");
}

#[test]
fn a_wait_for_the_disk_begins_with_a_sign_of_life() {
    use std::os::unix::net::UnixDatagram;
    let (mut keeper, _engine, _silent) = keeper();
    let (manager, ours) = UnixDatagram::pair().unwrap();
    manager.set_nonblocking(true).unwrap();
    keeper.notify = Notify::to(Some(ours.into()));
    keeper.persist().unwrap();
    let mut heard = [0; 64];
    assert_eq!(manager.recv(&mut heard).map(|length| &heard[..length]).unwrap(), b"WATCHDOG=1");
}

#[test]
fn the_engines_goodbye_and_its_closed_link_end_the_keeper_with_their_own_codes() {
    use ipc::process::{Parting, Process};
    for (goodbye, code) in [
        (Parting::Lost(Process::Engine), 81),
        (Parting::Lost(Process::Client), 82),
        (Parting::Lost(Process::Server), 83),
        (Parting::Lost(Process::Exchange), 84),
        (Parting::Restart, 75),
        // The engine lives, so that one does too: it is the engine that is wrong.
        (Parting::Lost(Process::Privileged), 81),
    ] {
        let (mut keeper, mut engine, _silent) = keeper();
        engine.send(&ToPrivileged::Goodbye(goodbye)).unwrap();
        assert_eq!(keeper.turn().unwrap_err().code(), code);
    }
    let (mut keeper, engine, _silent) = keeper();
    drop(engine);
    assert_eq!(keeper.turn().unwrap_err().code(), 81);
}

#[test]
fn why_the_engine_has_gone_is_learnt_behind_its_last_orders_whose_answers_nobody_reads() {
    use ipc::process::{Parting, Process};
    for unread in [false, true] {
        let (mut keeper, mut engine, _silent) = keeper();
        if unread {
            // An answer that was never read: the kernel reports that before what is left to read.
            engine.send(&adjust(1_000)).unwrap();
            keeper.turn().unwrap();
        }
        engine.send(&adjust(1_000)).unwrap();
        engine.send(&ToPrivileged::SetStatus(Status::unknown(1))).unwrap();
        engine.send(&ToPrivileged::Goodbye(Parting::Lost(Process::Server))).unwrap();
        drop(engine);
        let ending = (0..4).find_map(|_| keeper.turn().err()).unwrap();
        assert_eq!(ending.code(), Process::Server.exit_code(), "unread: {unread}: {ending}");
    }
}

#[test]
fn a_status_that_comes_with_an_adjustment_is_judged_by_itself_and_both_are_answered_together() {
    let status = |epoch| ToPrivileged::SetStatus(Status { synchronised: true, ..Status::unknown(epoch) });
    let (mut keeper, mut engine, _silent) = keeper();
    let adjusted = engine.send(&adjust(1_000)).unwrap();
    let told = engine.send(&status(1)).unwrap();
    keeper.turn().unwrap();
    assert_eq!(engine.receive(), Ok(None), "the engine is not woken yet");
    keeper.turn().unwrap();
    let mut next = || engine.receive().unwrap().unwrap().1;
    assert!(matches!(next(), FromPrivileged::Applied(applied) if applied.answers == adjusted));
    assert!(matches!(next(), FromPrivileged::Applied(applied) if applied.answers == told));
    // An event that is found between the two is told after the answer to what came before it.
    engine.send(&adjust(1_000)).unwrap();
    let told = engine.send(&status(1)).unwrap();
    keeper.turn().unwrap();
    keeper.clock.change(|page| page.set_to(page.wall.after(Span::from_secs(1))));
    keeper.turn().unwrap();
    let mut next = || engine.receive().unwrap().unwrap().1;
    assert!(matches!(next(), FromPrivileged::Applied(_)));
    assert!(matches!(next(), FromPrivileged::ClockEvent(event) if event.kind == ClockEventKind::ForeignStep));
    let FromPrivileged::Refused(refused) = next() else { panic!("of an earlier epoch") };
    assert_eq!((refused.answers, refused.code), (told, Refusal::StaleEpoch));
    // What comes with it may be anything: the answer is never kept back beyond that.
    engine.send(&adjust(1_000)).unwrap();
    engine.send(&ToPrivileged::Heartbeat).unwrap();
    keeper.turn().unwrap();
    keeper.turn().unwrap();
    assert!(matches!(engine.receive(), Ok(Some((_, FromPrivileged::Refused(_))))));
}

#[test]
fn a129_conditions_without_end_are_passed_on_ten_times_a_second_and_only_when_they_change() {
    use std::os::unix::net::UnixDatagram;
    let (mut keeper, mut engine, _silent) = keeper();
    let (manager, ours) = UnixDatagram::pair().unwrap();
    manager.set_nonblocking(true).unwrap();
    keeper.notify = Notify::to(Some(ours.into()));
    let heard = || std::iter::from_fn(|| manager.recv(&mut [0; 512]).ok()).count() as u32;
    for _ in 0..3 {
        engine.send(&ToPrivileged::Condition(Condition::Setting)).unwrap();
        keeper.turn().unwrap();
    }
    // The sentence, and that it lives.
    assert_eq!(heard(), 2);
    let first = raw().nanos() / SECOND.nanos();
    for of in 0..100 {
        engine.send(&ToPrivileged::Condition(Condition::AwaitingReplies { of })).unwrap();
        keeper.turn().unwrap();
    }
    let seconds = (raw().nanos() / SECOND.nanos() - first + 1) as u32;
    let told = heard();
    assert!((1..=(CONDITIONS + 1) * seconds).contains(&told), "{told} in {seconds} s");
}

#[test]
fn the_last_condition_is_passed_on_also_where_too_many_came_before_it() {
    use std::os::unix::net::UnixDatagram;
    let (mut keeper, mut engine, _silent) = keeper();
    let (manager, ours) = UnixDatagram::pair().unwrap();
    manager.set_nonblocking(true).unwrap();
    keeper.notify = Notify::to(Some(ours.into()));
    // Those of this second have been passed on.
    keeper.course.reports = Reports { count: CONDITIONS, second: raw().nanos() / SECOND.nanos() };
    engine.send(&ToPrivileged::Condition(Condition::Setting)).unwrap();
    keeper.turn().unwrap();
    // The engine says no more: the keeper wakes by itself.
    for _ in 0..2 {
        if keeper.course.shown != keeper.course.condition {
            keeper.turn().unwrap();
        }
    }
    let mut message = [0; 512];
    let heard: Vec<String> =
        std::iter::from_fn(|| manager.recv(&mut message).ok().map(|length| (length, message)))
            .map(|(length, message)| String::from_utf8_lossy(&message[..length]).into_owned())
            .collect();
    assert!(heard.iter().any(|line| line == "STATUS=setting the clock"), "{heard:?}");
    assert_eq!(keeper.course.shown, keeper.course.condition);
}

#[test]
fn a161_an_rtc_that_can_no_longer_be_read_is_not_asked_again_at_once() {
    let (mut keeper, _engine, _silent) = keeper();
    let rtc = file(0);
    rtc.write_all_at(b"1800000000\n", 0).unwrap();
    keeper.rtc = Some(rtc.try_clone().unwrap());
    let now = moment(&keeper.clock).unwrap();
    assert_eq!(keeper.look_at_rtc(&now), None);
    assert!(keeper.reads_rtc());
    for text in ["", "no number"] {
        rtc.set_len(0).unwrap();
        rtc.write_all_at(text.as_bytes(), 0).unwrap();
        let boot = BootInstant::saturating(now.boot.nanos() + 100_000_000_000);
        let now = Moment { boot, ..now };
        assert_eq!(keeper.look_at_rtc(&now), None);
        assert!(!keeper.reads_rtc());
        assert_eq!(keeper.governor.rtc_look_in(now.boot), Span::from_secs(15), "{text:?}");
    }
}

#[test]
fn the_end_of_a_history_is_in_the_log_once_in_half_an_hour_and_the_engine_learns_where_the_log_ends() {
    let (mut keeper, mut engine, _silent) = keeper();
    let log = file(audit_line::LENGTH);
    keeper.audit = Audit::after(log.try_clone().unwrap(), End::NONE, End::NONE);
    let end = |lines| End { lines, hash: [0xab; 32] };
    for lines in [7, 8] {
        engine.send(&ToPrivileged::NoteHistory(end(lines))).unwrap();
        keeper.turn().unwrap();
    }
    let Ok(Some((_, FromPrivileged::HistoryNoted(noted)))) = engine.receive() else { panic!("no answer") };
    assert_eq!((noted.history, noted.log), (end(7), keeper.audit.ends().0));
    assert_eq!(engine.receive(), Ok(None), "the second one came too soon");
    let line = format!(" event=history records=7 hash={}", "ab".repeat(32));
    let mut text = [0; audit_line::LINE];
    log.read_exact_at(&mut text, 0).unwrap();
    let text = String::from_utf8_lossy(&text);
    assert_eq!(text.matches("event=history").count(), 1);
    assert!(text.contains(&line), "{text}");
    keeper.course.history_noted = Some(RawInstant::saturating(raw().nanos() - NOTE_SPACING.nanos()));
    engine.send(&ToPrivileged::NoteHistory(end(8))).unwrap();
    keeper.turn().unwrap();
    assert!(
        matches!(engine.receive(), Ok(Some((_, FromPrivileged::HistoryNoted(noted)))) if noted.history == end(8))
    );
    // A log that cannot be written proves nothing.
    keeper.audit = Audit::after(File::open("/dev/null").unwrap(), End::NONE, End::NONE);
    keeper.course.history_noted = None;
    engine.send(&ToPrivileged::NoteHistory(end(9))).unwrap();
    keeper.turn().unwrap();
    assert_eq!(engine.receive(), Ok(None));
}
