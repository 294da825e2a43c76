//! The main loop: receive an order, judge it, record it, carry it out, answer.

mod asked;
mod carried_out;
mod quota;
mod written;

use crate::audit::Audit;
use crate::clock::Clock;
use crate::condition::StatusLine;
use crate::ending::{Ending, say};
use crate::governor::{Break, Governor, Moment, limits};
use crate::kernel::{self, Errno};
use crate::notify::Notify;
use crate::signals::{self, Caught, caught};
use crate::vmclock;
use ipc::calendar::Rfc3339;
use ipc::leave::Permission;
use ipc::message::privileged::{
    ClockEvent, ClockEventKind, ClockKind, ClockReading, Condition, FromPrivileged, Refusal, Status,
    ToPrivileged,
};
use ipc::process::PerProcess;
use ipc::units::{BootInstant, Leap, Offset, RawInstant, Span, TimeConstant};
use ipc_clock::raw;
use ipc_link::Link;
pub(crate) use quota::Kind;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// How the engine is named in messages.
pub type EngineLink = Link<FromPrivileged, ToPrivileged>;

/// Signals that are followed in one turn.
const MOST_SIGNALS: usize = 8;

const SECOND: Span = Span::from_secs(1);
/// How often the service manager's start timeout is extended while the start waits for the time, and by how much.
const REASSURE: Span = Span::from_secs(5);
const EXTENT: Span = Span::from_secs(20);
/// How often the clock is checked without an order.
const LOOK: Span = Span::from_secs(240);
/// The same with vmclock: until its change is told, who reads the page of the time knows nothing, and ClockBound's readers know what is wrong.
const LOOK_AT_VMCLOCK: Span = SECOND;
/// The same where it could not be read.
const LOOK_AGAIN_AT_VMCLOCK: Span = Span::from_secs(15);
/// Said once.
const NO_RTC: &str =
    "the hardware clock (RTC) cannot be read: until it can, pauses of this machine are not seen by it";
/// How long the other processes may take to end on their own after a stop request.
pub const GRACE: Span = Span::from_secs(3);
/// The same after a fault of one.
pub const PARTING: Span = Span::from_millis(300);
/// The most changes of the daemon's condition reported per second.
const CONDITIONS: u32 = 10;

/// The state after the lock-down.
pub struct Keeper<C> {
    /// To the engine.
    pub link: EngineLink,
    /// The clock.
    pub clock: C,
    /// The governor.
    pub governor: Governor,
    /// The governor's record, two slots.
    pub record_file: File,
    /// The audit log.
    pub audit: Audit,
    /// The service manager.
    pub notify: Notify,
    /// `--ready-fd`, until everything runs.
    pub ready: Option<File>,
    /// Signals to this process, readable.
    pub signals: File,
    /// Ids of all processes.
    pub processes: PerProcess<u32>,
    /// Pipes in which the others leave the numbers of denied system calls.
    pub denied: PerProcess<Option<File>>,
    /// Becomes readable when CLOCK_REALTIME is set.
    pub set_clock: Option<File>,
    /// The attribute that shows the battery-backed clock.
    pub rtc: Option<File>,
    /// The page of the hypervisor's vmclock.
    pub vmclock: Option<File>,
    /// Where the record cannot be written, a start would keep it elsewhere, and there is somebody to start the daemon.
    pub has_refuge: bool,
    /// It is ready when the clock follows its sources, and not before; none: it has told that it is ready.
    pub awaited: Option<Awaited>,
    /// The profile attested: a host without its daemon claims nothing of its clock.
    pub is_attested: bool,
    /// What has been done in this run.
    pub course: Course,
}

/// The start is not over before the time is known.
#[derive(Debug)]
pub struct Awaited {
    /// When the service manager was asked for more time.
    asked: RawInstant,
}

impl Awaited {
    /// It was not asked yet.
    pub fn begin() -> Self {
        Self { asked: RawInstant::MIN }
    }
}

/// What has been done in this run; at its start nothing.
#[derive(Debug, Default)]
pub struct Course {
    refusals: [Refusals; Refusal::ALL.len()],
    /// When the service manager last received a watchdog ping.
    lived: Option<RawInstant>,
    /// The daemon's condition, as last reported by the engine.
    condition: Option<Condition>,
    /// The condition last reported to the service manager.
    shown: Option<Condition>,
    reports: Reports,
    told: Option<Told>,
    /// Lines for the audit log that were lost since one was written.
    lines_lost: u32,
    /// It could not be synchronised the last time.
    audit_unsynchronised: bool,
    /// The record could not be written then.
    record_failed: bool,
    /// The RTC could not be read the last time.
    rtc_failed: bool,
    /// vmclock could not be read then.
    vmclock_failed: Option<RawInstant>,
    /// When the end of the history was written into the audit log last.
    history_noted: Option<RawInstant>,
    /// When the record was written last.
    written: Option<RawInstant>,
    /// Since when the record cannot be written.
    unwritten_since: Option<RawInstant>,
    /// The answer to an adjustment, until the order that came with it is answered too: the engine is woken once for both.
    held: Option<FromPrivileged>,
}

/// Refusals of one kind.
#[derive(Debug, Default)]
struct Refusals {
    /// How many were not logged.
    unwritten: u32,
    /// When the last line was written.
    written: Option<RawInstant>,
}

/// How many conditions were reported in which second of CLOCK_MONOTONIC_RAW.
#[derive(Debug, Default)]
struct Reports {
    count: u32,
    second: i64,
}

/// What the kernel was told of the clock, without its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    leap: Leap,
    synchronised: bool,
}

/// Reads the steered clock and the governor's own clocks.
///
/// # Errors
/// The clock cannot be read.
pub fn moment(clock: &impl Clock) -> Result<Moment, Ending> {
    let clock = clock.read().map_err(|errno| clock_lost("reading", errno))?;
    let (boot, asleep) = ipc_clock::boot_and_asleep();
    Ok(Moment { clock, boot, asleep })
}

impl<C: Clock> Keeper<C> {
    /// Runs until there is a reason to end, leaves the clock at its base frequency, and exits.
    pub fn run(mut self) -> ! {
        if self.awaited.is_none() {
            self.tell_ready();
        }
        let ending = loop {
            if let Err(ending) = self.turn() {
                break ending;
            }
        };
        self.end(ending)
    }

    fn tell_ready(&mut self) {
        self.awaited = None;
        // Told again, behind this.
        self.course.shown = None;
        self.notify.say("READY=1\nSTATUS=started");
        if let Some(mut ready) = self.ready.take() {
            // Whoever no longer listens does not want to know.
            let _ = ready.write(b"\n");
            kernel::close(ready.into());
        }
    }

    /// While the start waits for the time: ends that where the clock follows its sources, or asks for more time.
    fn await_time(&mut self) {
        let Some(awaited) = &mut self.awaited else { return };
        let now = raw();
        if matches!(self.course.condition, Some(Condition::Synchronised { .. })) {
            self.tell_ready();
        } else if now.elapsed_since(awaited.asked) >= REASSURE {
            awaited.asked = now;
            self.notify.say(&format!("EXTEND_TIMEOUT_USEC={}", EXTENT.nanos() / 1_000));
        }
    }

    /// Leaves the clock at its base frequency, waits for the other processes, and exits.
    pub fn end(mut self, ending: Ending) -> ! {
        // A stop signal to the whole process group also ends the others, and their deaths may be seen first.
        let is_stop = std::iter::from_fn(|| caught(&self.signals)).any(|caught| caught == Caught::Stop);
        let ending = if is_stop { Ending::Asked } else { ending };
        self.notify.say(&format!("STOPPING=1\nSTATUS=stopping: {}", ending.to_string().replace('\n', " ")));
        let released = self.leave_clock();
        self.note_end(&ending, released.is_ok());
        // The engine ends with its link, and the others end with the engine. The server still answers requests
        // that have arrived, and the ports are free once this process is gone.
        kernel::close(self.link.into_fd());
        let timeout = if ending == Ending::Asked { GRACE } else { PARTING };
        let left = signals::await_ends(&self.signals, &self.processes, timeout);
        if ending != Ending::Asked {
            signals::tell_death(&self.signals, &self.processes, &self.denied, PARTING);
        }
        signals::tell_left(&left, timeout);
        if ending != Ending::Asked {
            say(3, &ending);
        }
        // The lock of the state directory, a descriptor left open by the launch, is released when this process exits:
        // another instance can start now, and not before.
        kernel::exit(ending.code())
    }

    /// Leaves the clock at its base frequency; in attested, marked unsynchronised.
    fn leave_clock(&mut self) -> Result<(), Errno> {
        let marked = match self.is_attested && self.clock.kind() != ClockKind::None {
            true => self.clock.set_status(&Status::unknown(self.governor.epoch())),
            false => Ok(()),
        };
        // Also where that has failed.
        self.clock.release().and(marked)
    }

    fn turn(&mut self) -> Result<(), Ending> {
        // Without a timer, the signal descriptor takes its place.
        let timer = self.set_clock.as_ref().map_or(self.signals.as_fd(), AsFd::as_fd);
        let calm = match self.course.shown == self.course.condition {
            true if self.awaited.is_some() => REASSURE,
            true => LOOK,
            false => SECOND,
        };
        let vmclock = self.vmclock.as_ref().map(|_| match self.course.vmclock_failed {
            None => LOOK_AT_VMCLOCK,
            Some(_) => LOOK_AGAIN_AT_VMCLOCK,
        });
        let rtc = self.rtc.as_ref().map(|_| self.governor.rtc_look_in(ipc_clock::boot()));
        let limit = [vmclock, rtc].into_iter().flatten().fold(calm, Span::min);
        let asked = [self.link.as_fd(), self.signals.as_fd(), timer].map(|fd| (fd, libc::POLLIN));
        let [has_order, has_signal, is_set] =
            kernel::wait(asked, limit).map_err(|errno| Ending::Internal(format!("ppoll: {errno}")))?;
        if has_signal {
            // All of them: an order that was sent after a signal must not be judged before it, and a stop waits for nothing.
            let caught: Vec<Caught> =
                std::iter::from_fn(|| caught(&self.signals)).take(MOST_SIGNALS).collect();
            if caught.contains(&Caught::Stop) {
                return Err(Ending::Asked);
            }
            caught.into_iter().try_for_each(|caught| self.follow_signal(caught))?;
        }
        if let Some(mut timer) = self.set_clock.as_ref().filter(|_| is_set) {
            // ECANCELED is the notification; the clock is checked below.
            let _ = timer.read(&mut [0; 8]);
        }
        self.look()?;
        self.await_time();
        self.pass_on();
        if has_order
            && let Some((sequence, order)) =
                self.link.receive().map_err(|error| Ending::Engine(error.to_string()))?
        {
            self.obey(sequence, order)?;
        }
        Ok(())
    }

    /// Does what a signal asks for.
    pub(crate) fn follow_signal(&mut self, caught: Caught) -> Result<(), Ending> {
        match caught {
            Caught::Reload => self.answer(&FromPrivileged::Reload),
            Caught::Stop => Err(Ending::Asked),
            Caught::Permit(permission) => {
                self.permit(permission);
                Ok(())
            }
            // The engine ends when it notices, and says so; the name of the dead process is logged then.
            Caught::Child | Caught::Nothing => Ok(()),
        }
    }

    /// Takes the operator's leave for one step, or its end.
    pub(super) fn permit(&mut self, Permission { seconds, until }: Permission) {
        let (most, until) =
            (Span::from_secs(seconds.into()), BootInstant::saturating(i64::from(until) * SECOND.nanos()));
        let now = ipc_clock::boot();
        self.governor.permit(most, until, now);
        match seconds {
            0 => self.write_step_down(format_args!("event=approval-ended")),
            _ => self.write_step_down(format_args!(
                "event=approved approved_ns={} for_ns={}",
                most.nanos(),
                until.elapsed_since(now).min(limits::LEAVE).nanos()
            )),
        }
    }

    /// Checks that time was continuous and that the engine still gives orders.
    fn look(&mut self) -> Result<(), Ending> {
        let now = moment(&self.clock)?;
        let reclaimed = self.clock.reclaim().map_err(|errno| clock_lost("reclaiming", errno))?;
        let Break { kind, moved } = match self.governor.observe(&now, reclaimed) {
            Some(seen) => seen,
            None if self.keep_in_band() => Break { kind: ClockEventKind::BandNarrowed, moved: Offset::ZERO },
            None if self.governor.died(&now) => {
                self.go_unsynchronised(&now.clock);
                self.governor.let_go(&now);
                Break { kind: ClockEventKind::DeadMan, moved: Offset::ZERO }
            }
            None if self.look_at_vmclock(&now) => {
                Break { kind: ClockEventKind::Disruption, moved: Offset::ZERO }
            }
            None => match self.look_at_rtc(&now) {
                Some(pause) => Break { kind: ClockEventKind::Pause, moved: pause.forward() },
                None => return Ok(()),
            },
        };
        let epoch = self.governor.epoch();
        let word = match kind {
            ClockEventKind::ForeignStep => "foreign-step",
            ClockEventKind::ForeignFrequency => "foreign-frequency",
            ClockEventKind::Resume => "resume",
            ClockEventKind::DeadMan => "dead-man",
            ClockEventKind::BandNarrowed => "band-narrowed",
            ClockEventKind::Pause => "pause",
            ClockEventKind::Disruption => "disruption",
        };
        if let Some(unwritten) = self.may_write(Kind::Event) {
            self.write_down(format_args!("event={word} moved_ns={} epoch={epoch}{unwritten}", moved.nanos()));
        }
        let _ = self.persist();
        let clock = self.clock.read().unwrap_or(now.clock);
        let marker = self.governor.marker();
        self.answer(&FromPrivileged::ClockEvent(ClockEvent { epoch, kind, moved, now: clock, marker }))
    }

    /// The size of a pause of the machine that the battery-backed clock has just shown.
    pub(crate) fn look_at_rtc(&mut self, now: &Moment) -> Option<Span> {
        let rtc = self.rtc.as_ref().filter(|_| self.governor.is_rtc_due(now.boot))?;
        let mut text = [0; 24];
        // A sysfs attribute is evaluated anew by each read at its beginning. One that cannot be read is no evidence.
        let length = rtc.read_at(&mut text, 0).unwrap_or(0);
        let after = ipc_clock::boot();
        let text = text.get(..length).and_then(|octets| std::str::from_utf8(octets).ok());
        let seconds = text.and_then(|text| text.trim().parse().ok());
        if self.course.rtc_failed != seconds.is_none() {
            self.course.rtc_failed = seconds.is_none();
            let what = if seconds.is_none() { NO_RTC } else { "the hardware clock (RTC) can be read again" };
            say(4, &what);
        }
        let Some(seconds) = seconds else {
            self.governor.rtc_missed(now.boot);
            return None;
        };
        self.governor.look_at_rtc(seconds, now, after)
    }

    /// Whether there is a battery-backed clock that could be read the last time.
    pub(crate) fn reads_rtc(&self) -> bool {
        self.rtc.is_some() && !self.course.rtc_failed
    }

    /// Whether vmclock has just shown that the machine was migrated or restored.
    pub(crate) fn look_at_vmclock(&mut self, now: &Moment) -> bool {
        let Some(file) = &self.vmclock else { return false };
        let raw = now.clock.raw;
        if self.course.vmclock_failed.is_some_and(|at| raw.elapsed_since(at) < LOOK_AGAIN_AT_VMCLOCK) {
            return false;
        }
        let marker = vmclock::read(|octets| file.read_at(octets, 0).ok());
        // The driver takes its time where the hypervisor never finishes a change: not at each order.
        self.course.vmclock_failed = marker.is_none().then_some(raw);
        marker.is_some_and(|marker| self.governor.look_at_vmclock(marker, now))
    }

    /// Brings a base frequency that is outside its band to the edge, and ends a slew that is. True: one was outside.
    pub fn keep_in_band(&mut self) -> bool {
        if self.clock.kind() == ClockKind::None {
            return false;
        }
        let Some(edge) = self.governor.bring_into_band() else { return false };
        if let Err(errno) = self.clock.adjust(edge, Offset::ZERO, TimeConstant::MIN) {
            say(3, &format_args!("the kernel refused the frequency at the edge of its band: {errno}"));
        }
        true
    }

    fn go_unsynchronised(&mut self, reading: &ClockReading) {
        let base = self.governor.record().base;
        let _ = self.clock.adjust(base, Offset::ZERO, TimeConstant::MIN);
        let _ = self.clock.set_status(&Status::unknown(self.governor.epoch()));
        say(
            3,
            &format_args!(
                "no order for three hours: the clock is marked unsynchronised, at {}",
                Rfc3339(reading.wall)
            ),
        );
    }

    fn obey(&mut self, sequence: u32, order: ToPrivileged) -> Result<(), Ending> {
        match order {
            ToPrivileged::Goodbye(parting) => return Err(parting.into()),
            ToPrivileged::Heartbeat => {}
            ToPrivileged::Condition(condition) => {
                self.course.condition = Some(condition);
                self.pass_on();
            }
            ToPrivileged::NoteHistory(end) => self.note_history(end)?,
            ToPrivileged::Adjust(_)
            | ToPrivileged::Step(_)
            | ToPrivileged::SetStatus(_)
            | ToPrivileged::SetTai(_) => {
                let answer = self.answer_to(sequence, &order)?;
                let may_wait = matches!(order, ToPrivileged::Adjust(_)) && self.course.held.is_none();
                if may_wait && self.has_order() {
                    self.course.held = Some(answer);
                    return Ok(());
                }
                self.answer(&answer)?;
            }
        }
        self.answer_held()?;
        // An engine that reports without end must not flood the service manager.
        let now = raw();
        if self.course.lived.is_none_or(|last| now.elapsed_since(last) >= SECOND) {
            self.course.lived = Some(now);
            self.notify.say("WATCHDOG=1");
        }
        Ok(())
    }

    /// Whether the engine has sent more already.
    fn has_order(&self) -> bool {
        kernel::wait([(self.link.as_fd(), libc::POLLIN)], Span::ZERO).is_ok_and(|[is_readable]| is_readable)
    }

    /// Reports changes to the service manager. Reports are rate limited; the last one is delivered at most a second
    /// later.
    fn pass_on(&mut self) {
        let course = &mut self.course;
        let second = raw().nanos() / SECOND.nanos();
        if course.reports.second != second {
            course.reports = Reports { count: 0, second };
        }
        if let Some(condition) = course.condition.filter(|condition| course.shown != Some(*condition))
            && course.reports.count < CONDITIONS
        {
            course.reports.count += 1;
            course.shown = Some(condition);
            self.notify.say(&format!("STATUS={}", StatusLine(condition)));
        }
    }
}

fn clock_lost(what: &str, errno: Errno) -> Ending {
    Ending::Internal(format!("{what} the clock: {errno}"))
}

#[cfg(test)]
mod tests;
