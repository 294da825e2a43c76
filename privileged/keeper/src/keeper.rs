//! The main loop: receive an order, judge it, record it, carry it out, answer.

mod asked;
mod written;

use crate::audit::Audit;
use crate::clock::Clock;
use crate::condition::StatusLine;
use crate::ending::{Ending, say};
use crate::governor::{Governor, Moment, limits};
use crate::kernel::{self, Errno, nanos};
use crate::notify::Notify;
use crate::signals::{self, Caught, caught};
use asked::Asked;
use ipc::calendar::Rfc3339;
use ipc::message::privileged::{
    Applied, ClockEvent, ClockEventKind, ClockKind, ClockReading, Condition, FromPrivileged, Refusal,
    Refused, StepReason, ToPrivileged,
};
use ipc::process::PerProcess;
use ipc::units::{Leap, Offset, RawInstant, Span, TimeConstant};
use ipc_link::Link;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

/// How the engine is named in messages.
pub type EngineLink = Link<FromPrivileged, ToPrivileged>;

/// How often the clock is checked without an order.
const LOOK: i64 = 240 * limits::SECOND;
/// How often the record is written without a charge.
const WRITE: i64 = 600 * limits::SECOND;
/// How often refusals for rate are summed up in the log.
const SUMMARY: i64 = 60 * limits::SECOND;
/// How long the other processes may take to end on their own after a stop request, in nanoseconds.
pub const GRACE: i64 = 3_000_000_000;
/// The same after a fault of one.
pub const PARTING: i64 = 300_000_000;
/// How long an answer may wait until the engine reads its link: less than a service manager waits for a stop.
const ANSWER: i64 = 5 * limits::SECOND;
/// The most changes of the daemon's condition reported per second.
const CONDITIONS: u32 = 10;
/// The largest accepted error of a step.
const STEP_TOLERANCE: i64 = 20_000_000;
/// How long charged slews continue while the record cannot be written.
const UNWRITTEN: i64 = 86_400 * limits::SECOND;

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
    /// Signals to this process, readable.
    pub signals: File,
    /// Ids of all processes.
    pub processes: PerProcess<u32>,
    /// Becomes readable when CLOCK_REALTIME is set.
    pub set_clock: Option<File>,
    /// For each kind of refusal: how many were not logged, and when the last line was written.
    pub refusals: [(u32, Option<RawInstant>); 32],
    /// When the service manager last received a watchdog ping.
    pub lived: Option<RawInstant>,
    /// The daemon's condition, as last reported by the engine.
    pub condition: Option<Condition>,
    /// The condition last reported to the service manager.
    pub shown: Option<Condition>,
    /// How many reports were made in which second.
    pub passed_on: (u32, i64),
    /// Leap, synchronisation and TAI offset as last set.
    pub told: Option<(Leap, bool, u8)>,
    /// The last line for the audit log was lost.
    pub audit_failed: bool,
    /// When the record was written last.
    pub written: Option<RawInstant>,
    /// Since when the record cannot be written.
    pub unwritten_since: Option<RawInstant>,
}

/// Reads the governor's clocks and the disciplined clock.
///
/// # Errors
/// The error of the failed system call.
pub fn moment(clock: &impl Clock) -> Result<(Moment, ClockReading), Errno> {
    let reading = clock.read()?;
    let boot = nanos(libc::CLOCK_BOOTTIME);
    let asleep = boot - nanos(libc::CLOCK_MONOTONIC);
    Ok((Moment { raw: reading.raw, boot, asleep, wall: reading.wall, slew_left: reading.slew_left }, reading))
}

impl<C: Clock> Keeper<C> {
    /// Runs until there is a reason to end, leaves the clock at its base frequency, and exits.
    pub fn run(mut self) -> ! {
        self.notify.say("READY=1\nSTATUS=started");
        let ending = loop {
            if let Err(ending) = self.turn() {
                break ending;
            }
        };
        self.end(ending)
    }

    /// Leaves the clock at its base frequency, waits for the other processes, and exits.
    pub fn end(mut self, ending: Ending) -> ! {
        // A stop signal to the whole process group also ends the others, and their deaths may be seen first.
        let is_stop = std::iter::from_fn(|| caught(&self.signals)).any(|caught| caught == Caught::Stop);
        let ending = if is_stop { Ending::Asked } else { ending };
        self.notify.say(&format!("STOPPING=1\nSTATUS=stopping: {}", ending.to_string().replace('\n', " ")));
        let released = self.clock.release();
        self.write_down(format_args!("event=stop code={} released={}", ending.code(), released.is_ok()));
        let _ = self.persist();
        // The engine ends with its link, and the others end with the engine. The server role still answers requests
        // that have arrived, and the ports are free once this process is gone.
        kernel::close(self.link.into_fd());
        let timeout = if ending == Ending::Asked { GRACE } else { PARTING };
        let left = signals::await_ends(&self.signals, &self.processes, timeout);
        if ending != Ending::Asked {
            signals::tell_death(&self.signals, &self.processes, PARTING);
        }
        signals::tell_left(&left, timeout);
        if ending != Ending::Asked {
            say(3, &ending);
        }
        // The lock of the state directory, a descriptor left open by the launch, is released when this process exits:
        // another instance can start now, and not before.
        kernel::exit(ending.code())
    }

    fn turn(&mut self) -> Result<(), Ending> {
        // Without a timer, the signal descriptor takes its place.
        let timer = self.set_clock.as_ref().map_or(self.signals.as_fd(), AsFd::as_fd);
        let limit = if self.shown == self.condition { LOOK } else { limits::SECOND };
        let ready = kernel::wait([self.link.as_fd(), self.signals.as_fd(), timer], libc::POLLIN, limit)
            .map_err(|errno| Ending::Internal(format!("ppoll: {errno}")))?;
        if ready[1] {
            match caught(&self.signals) {
                Some(Caught::Reload) => self.answer(&FromPrivileged::Reload)?,
                Some(Caught::Stop) => return Err(Ending::Asked),
                // The engine ends when it notices, and says so; the name of the dead process is logged then.
                Some(Caught::Child) | None => {}
            }
        }
        if let Some(mut timer) = self.set_clock.as_ref().filter(|_| ready[2]) {
            // ECANCELED is the notification; the clock is checked below.
            let _ = timer.read(&mut [0; 8]);
        }
        self.look()?;
        self.pass_on();
        if ready[0] {
            let (sequence, order) = match self.link.receive() {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(()),
                Err(error) => return Err(Ending::Engine(error.to_string())),
            };
            self.obey(sequence, order)?;
        }
        Ok(())
    }

    /// Checks that time was continuous and that the engine still gives orders.
    fn look(&mut self) -> Result<(), Ending> {
        let (now, reading) = moment(&self.clock).map_err(|errno| clock_lost("reading", errno))?;
        let reclaimed = self.clock.reclaim().map_err(|errno| clock_lost("reclaiming", errno))?;
        let event = match self.governor.observe(&now, reclaimed) {
            Some((kind, moved)) => Some((kind, moved)),
            None if self.governor.died(&now) => {
                self.go_unsynchronised(&reading);
                self.governor.let_go(&now);
                Some((ClockEventKind::DeadMan, Offset::ZERO))
            }
            None => None,
        };
        let Some((kind, moved)) = event else { return Ok(()) };
        self.write_down(format_args!(
            "event={} moved_ns={} epoch={}",
            match kind {
                ClockEventKind::ForeignStep => "foreign-step",
                ClockEventKind::ForeignFrequency => "foreign-frequency",
                ClockEventKind::Resume => "resume",
                ClockEventKind::DeadMan => "dead-man",
            },
            moved.nanos(),
            self.governor.epoch()
        ));
        let _ = self.persist();
        let event = ClockEvent { epoch: self.governor.epoch(), kind, moved, now: reading };
        self.answer(&FromPrivileged::ClockEvent(event))
    }

    fn go_unsynchronised(&mut self, reading: &ClockReading) {
        let base = self.governor.record().base;
        let _ = self.clock.adjust(base, Offset::ZERO, TimeConstant::MIN);
        let _ = self.clock.set_status(&ipc::message::privileged::Status {
            epoch: self.governor.epoch(),
            leap: Leap::None,
            synchronised: false,
            maxerror: Span::from_secs(16),
            esterror: Span::from_secs(16),
            tai: 0,
        });
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
            ToPrivileged::Goodbye(lost) => return Err(lost.into()),
            ToPrivileged::Heartbeat => {}
            ToPrivileged::Condition(condition) => {
                self.condition = Some(condition);
                self.pass_on();
            }
            ToPrivileged::Adjust(_) | ToPrivileged::Step(_) | ToPrivileged::SetStatus(_) => {
                let outcome = self.carry_out(&order)?;
                let answer = match outcome {
                    Ok((before, after)) => {
                        FromPrivileged::Applied(Applied { answers: sequence, before, after })
                    }
                    Err(refused) => {
                        self.note_refusal(&order, &refused, crate::clock::raw_now());
                        FromPrivileged::Refused(Refused { answers: sequence, ..refused })
                    }
                };
                self.answer(&answer)?;
            }
        }
        // An engine that reports without end must not flood the service manager.
        let now = crate::clock::raw_now();
        if self.lived.is_none_or(|last| now.since(last).nanos() >= limits::SECOND) {
            self.lived = Some(now);
            self.notify.say("WATCHDOG=1");
        }
        Ok(())
    }

    /// Reports changes to the service manager. Reports are rate limited; the last one is delivered at most a second
    /// later.
    fn pass_on(&mut self) {
        let second = crate::clock::raw_now().nanos() / limits::SECOND;
        if self.passed_on.1 != second {
            self.passed_on = (0, second);
        }
        if let Some(condition) = self.condition.filter(|condition| self.shown != Some(*condition))
            && self.passed_on.0 < CONDITIONS
        {
            self.passed_on.0 += 1;
            self.shown = Some(condition);
            self.notify.say(&format!("STATUS={}", StatusLine(condition)));
        }
    }

    /// Judges an order, records it and carries it out.
    fn carry_out(
        &mut self,
        order: &ToPrivileged,
    ) -> Result<Result<(ClockReading, ClockReading), Refused>, Ending> {
        let (now, before) = moment(&self.clock).map_err(|errno| clock_lost("reading", errno))?;
        if self.clock.kind() == ClockKind::None {
            return Ok(Err(refusal(Refusal::NoClock)));
        }
        let judged = match order {
            ToPrivileged::Adjust(adjust) => {
                self.governor.judge_adjust(adjust, &now).map(|grant| (grant.charged, None))
            }
            ToPrivileged::Step(step) => {
                self.governor.judge_step(step, &now).map(|grant| (grant.charged, None))
            }
            ToPrivileged::SetStatus(status) => {
                self.governor.judge_status(status, &now).map(|status| (0, Some(status)))
            }
            _ => return Ok(Err(refusal(Refusal::Range))),
        };
        let (charged, status) = match judged {
            Ok(granted) => granted,
            Err(refused) => return Ok(Err(refused)),
        };
        if !self.may_act(order, charged, &now) {
            self.governor.not_done();
            return Ok(Err(refusal(Refusal::NoPersist)));
        }
        // Writing the record may have taken time: a step is measured from the clock right before it.
        let before = self.clock.read().unwrap_or(before);
        let done = match order {
            ToPrivileged::Adjust(adjust) => {
                self.clock.adjust(adjust.frequency, adjust.slew, adjust.time_constant)
            }
            ToPrivileged::Step(step) => self.clock.step(step.delta),
            _ => status.map_or(Ok(()), |status| self.clock.set_status(&status)),
        };
        if let Err(errno) = done {
            self.governor.not_done();
            say(3, &format_args!("the kernel refused an order: {errno}"));
            return Ok(Err(refusal(Refusal::Clock)));
        }
        let (then, after) = moment(&self.clock).map_err(|errno| clock_lost("reading", errno))?;
        if let ToPrivileged::Step(step) = order {
            self.check_step(step.delta, &before, &after)?;
        }
        if !matches!(order, ToPrivileged::SetStatus(_)) {
            self.governor.applied(&then);
        }
        let news = match order {
            ToPrivileged::SetStatus(status) => {
                let now = Some((status.leap, status.synchronised, status.tai));
                std::mem::replace(&mut self.told, now) != now
            }
            _ => true,
        };
        if let ToPrivileged::Step(step) = order {
            // Also stored where the ring of the audit log cannot overwrite it.
            let why = match step.reason {
                StepReason::Start => "first setting after the start",
                StepReason::Run => "while running",
                StepReason::Restore => "somebody else had set it",
                StepReason::Resume => "after a suspend",
            };
            say(5, &format_args!("stepped the clock by {} ns: {why}", step.delta.nanos()));
        }
        if news {
            self.write_down(format_args!(
                "event=applied {} charged_ns={charged} before={} after={} left_before_ns={} left_after_ns={} was={} is={}",
                Asked(order),
                Rfc3339(before.wall),
                Rfc3339(after.wall),
                before.slew_left.nanos(),
                after.slew_left.nanos(),
                before.frequency.scaled(),
                after.frequency.scaled(),
            ));
        }
        Ok(Ok((before, after)))
    }

    /// Records the charge. If that fails, a step is refused, and charged slews continue for a day from the budget in
    /// memory.
    fn may_act(&mut self, order: &ToPrivileged, charged: i64, now: &Moment) -> bool {
        let costs = match order {
            ToPrivileged::Step(_) => true,
            ToPrivileged::SetStatus(status) => matches!(status.leap, Leap::Insert | Leap::Delete),
            _ => charged != 0,
        };
        let written = self.written.is_some_and(|at| now.raw.since(at).nanos() < WRITE);
        if !costs && written {
            return true;
        }
        let errno = match self.persist() {
            Ok(()) => {
                self.unwritten_since = None;
                return true;
            }
            Err(errno) => errno,
        };
        let since = *self.unwritten_since.get_or_insert_with(|| {
            say(
                3,
                &"the state directory can't be written: no steps until it can; free some space or remount it",
            );
            now.raw
        });
        // Only if this run has written the record before: otherwise a restart would forget the charge.
        // The file has its full length from the start and does not grow: another process has lowered the limit.
        let is_honest = errno != Errno(libc::EFBIG);
        let remembered = is_honest && self.written.is_some() && now.raw.since(since).nanos() < UNWRITTEN;
        !matches!(order, ToPrivileged::Step(_)) && (!costs || remembered)
    }

    /// Checks that a step reached its target; otherwise it is undone and the daemon ends.
    fn check_step(
        &mut self,
        delta: Offset,
        before: &ClockReading,
        after: &ClockReading,
    ) -> Result<(), Ending> {
        let elapsed = after.raw.since(before.raw).nanos();
        let beside = after.wall.minus(before.wall).nanos() - delta.nanos() - elapsed;
        if beside.abs() <= STEP_TOLERANCE + elapsed / 1_000 {
            return Ok(());
        }
        let undone = self.clock.step(Offset::saturating(-beside - delta.nanos())).is_ok();
        self.write_down(format_args!("event=panic beside_ns={beside} undone={undone}"));
        let _ = self.persist();
        Err(Ending::Governor(format!(
            "a step of {} ns moved the clock {beside} ns beside its mark ({}); not restarting: look at the kernel's clock source",
            delta.nanos(),
            if undone { "undone" } else { "and could not be undone" },
        )))
    }
}

fn refusal(code: Refusal) -> Refused {
    Refused { answers: 0, code, limit: limits::BURST, remaining: 0 }
}

fn clock_lost(what: &str, errno: Errno) -> Ending {
    Ending::Internal(format!("{what} the clock: {errno}"))
}

#[cfg(test)]
mod tests;
