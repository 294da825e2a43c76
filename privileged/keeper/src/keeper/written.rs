//! What the keeper writes: lines of the audit log, the governor's record, and messages to the engine.

use super::asked::Asked;
use super::quota::{self, Kind, Unwritten};
use super::{Keeper, Refusals};
use crate::clock::Clock;
use crate::ending::{Ending, say};
use crate::kernel::{self, Errno};
use crate::signals::{Caught, caught};
use ipc::audit_line::End;
use ipc::message::privileged::{FromPrivileged, HistoryNoted, NOTE_SPACING, Refused, ToPrivileged, Welcome};
use ipc::text::Hex;
use ipc::units::{RawInstant, Span, WallTime};
use ipc_clock::raw;
use ipc_link::LinkError;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// How often refusals of one kind are summed up in the log.
const SUMMARY: Span = Span::from_secs(60);
/// How long an answer may wait until the engine reads its link: less than a service manager waits for a stop.
const ANSWER: Span = Span::from_secs(5);
/// Most messages of an engine that is gone that are read to learn why.
const MOST_UNREAD: usize = 256;

impl<C: Clock> Keeper<C> {
    /// At most one line a minute for each kind of refusal, and within the quota of all, with the number of those not
    /// logged: a flood of refused orders must not push other lines out of the log.
    pub(super) fn note_refusal(&mut self, order: &ToPrivileged, refused: &Refused, now: RawInstant) {
        let record = self.governor.record();
        let refusals = &mut self.course.refusals[refused.code as usize];
        let is_soon = refusals.written.is_some_and(|last| now.elapsed_since(last) < SUMMARY);
        if is_soon || !quota::ask(&mut record.lines, record.age, Kind::Refusal) {
            refusals.unwritten = refusals.unwritten.saturating_add(1);
            quota::count(&mut record.lines, Kind::Refusal);
            return;
        }
        let unwritten = refusals.unwritten;
        *refusals = Refusals { unwritten: 0, written: Some(now) };
        // Of the others, those of this run wait for the next line with their code.
        let others = self.course.refusals.iter().fold(0u32, |sum, code| sum.saturating_add(code.unwritten));
        let left = &mut record.lines.unwritten[Kind::Refusal as usize];
        let earlier = left.saturating_sub(others).saturating_sub(unwritten);
        *left = others;
        let earlier = Earlier(earlier);
        self.write_down(format_args!(
            "event=refused {} code={:?} limit={} found={} unwritten={unwritten}{earlier}",
            Asked(order),
            refused.code,
            refused.limit,
            refused.remaining
        ));
    }

    /// Takes a line of this kind: what it has to sum up; none: it was counted for the next one.
    pub(crate) fn may_write(&mut self, kind: Kind) -> Option<Unwritten> {
        let record = self.governor.record();
        quota::line(&mut record.lines, record.age, kind, false)
    }

    /// Begins the quotas of this run, to be called before the record is first written. Gives what the line of the start has
    /// to sum up; none: there is no line. `is_news`: there is one in any case.
    pub fn note_start(&mut self, is_same_boot: bool, is_news: bool) -> Option<Unwritten> {
        let record = self.governor.record();
        quota::begin(&mut record.lines, record.age, is_same_boot);
        quota::line(&mut record.lines, record.age, Kind::Start, is_news)
    }

    /// Writes what is unwritten of all kinds, then the line of the end, and the record. Ends that come faster than their quota
    /// leave all that to the record, for a later run.
    pub(super) fn note_end(&mut self, ending: &Ending, released: bool) {
        let record = self.governor.record();
        // No engine brings these about again and again.
        let is_rare = matches!(ending, Ending::Asked | Ending::Governor(_));
        if let Some(unwritten) = quota::line(&mut record.lines, record.age, Kind::Stop, is_rare) {
            for kind in Kind::ALL {
                if let Some(sum) = quota::sum_up(&mut self.governor.record().lines, kind) {
                    self.write_down(format_args!("{sum}"));
                }
            }
            self.write_down(format_args!("event=stop code={} released={released}{unwritten}", ending.code()));
        }
        self.governor.record().lines.is_open = false;
        let _ = self.persist();
    }

    /// Writes a line into the audit log; an error is reported, but does not end the daemon.
    pub fn write_down(&mut self, words: std::fmt::Arguments<'_>) {
        let Ok(reading) = self.clock.read() else { return };
        let (wall, raw) = (reading.wall, reading.raw);
        let outcome = self.write_lost(wall, raw).and_then(|()| self.audit.append(wall, raw, words));
        self.note_line(outcome);
    }

    /// Writes the line of a step that is about to be made, and synchronises it.
    pub(super) fn write_step_down(&mut self, words: std::fmt::Arguments<'_>) {
        let Ok(reading) = self.clock.read() else { return };
        let (wall, raw) = (reading.wall, reading.raw);
        let outcome = self.write_lost(wall, raw).and_then(|()| self.audit.append_step(wall, raw, words));
        self.note_line(outcome);
        let outcome = self.audit.synchronise();
        self.note_synchronised(outcome);
    }

    /// Says in the log how many lines are missing there, before the next one.
    fn write_lost(&mut self, wall: WallTime, raw: RawInstant) -> std::io::Result<()> {
        let lost = self.course.lines_lost;
        if lost > 0 {
            self.audit.append(wall, raw, format_args!("event=unwritten kind=lost unwritten={lost}"))?;
            self.course.lines_lost = 0;
            say(5, &format_args!("audit.log is written again; {lost} lines are missing, as it says"));
        }
        Ok(())
    }

    /// Writes down where the history of minutes ends, and tells the engine where the log ends then.
    ///
    /// # Errors
    /// The engine's link is closed, or it does not read.
    pub(super) fn note_history(&mut self, history: End) -> Result<(), Ending> {
        let now = raw();
        if self.course.history_noted.is_some_and(|last| now.elapsed_since(last) < NOTE_SPACING) {
            return Ok(());
        }
        let Some(unwritten) = self.may_write(Kind::Event) else { return Ok(()) };
        self.course.history_noted = Some(now);
        let End { lines, hash } = history;
        self.write_down(format_args!("event=history records={lines} hash={}{unwritten}", Hex(&hash)));
        if self.course.lines_lost > 0 {
            return Ok(());
        }
        let outcome = self.audit.synchronise();
        let is_kept = outcome.is_ok();
        self.note_synchronised(outcome);
        let (log, _) = self.audit.ends();
        if is_kept {
            self.answer(&FromPrivileged::HistoryNoted(HistoryNoted { history, log }))
        } else {
            Ok(())
        }
    }

    fn note_line(&mut self, outcome: std::io::Result<()>) {
        if let Err(error) = outcome {
            if self.course.lines_lost == 0 {
                say(3, &format_args!("audit.log cannot be written ({error}): lines are lost until it can"));
            }
            self.course.lines_lost = self.course.lines_lost.saturating_add(1);
        }
    }

    /// Has the log on the disk, as far as that can be.
    pub fn synchronise_log(&mut self) {
        let outcome = self.audit.synchronise();
        self.note_synchronised(outcome);
    }

    fn note_synchronised(&mut self, outcome: std::io::Result<()>) {
        let was_failing = std::mem::replace(&mut self.course.audit_unsynchronised, outcome.is_err());
        match outcome {
            Err(error) if !was_failing => say(
                3,
                &format_args!(
                    "audit.log cannot be synchronised ({error}): a power cut takes lines until it can"
                ),
            ),
            Ok(()) if was_failing => say(5, &"audit.log is synchronised again"),
            Ok(()) | Err(_) => {}
        }
    }

    /// Synchronises the audit log, so that its end in the record is on the disk whenever the record is; then writes the
    /// governor's record into the older slot and synchronises that.
    ///
    /// # Errors
    /// The error of the failed system call; the newer slot is unchanged.
    pub fn persist(&mut self) -> Result<(), Errno> {
        let outcome = self.audit.synchronise();
        let is_synchronised = outcome.is_ok();
        self.note_synchronised(outcome);
        let record = self.governor.record();
        if is_synchronised {
            (record.audit, record.audit_steps) = self.audit.ends();
        }
        record.sequence = record.sequence.wrapping_add(1);
        let (octets, place) = (record.to_octets(), record.place());
        let written = self.record_file.write_all_at(&octets, place).and_then(|()| {
            // A slow disk is not a hang.
            self.notify.say("WATCHDOG=1");
            self.record_file.sync_data()
        });
        if let Err(error) = written {
            // The next write must not go to the newer slot: this one may be torn.
            let record = self.governor.record();
            record.sequence = record.sequence.wrapping_sub(1);
            self.course.record_failed = true;
            return Err(error.into());
        }
        if std::mem::take(&mut self.course.record_failed) {
            say(5, &"the governor's record is written again");
        }
        self.course.written = Some(raw());
        self.course.unwritten_since = None;
        self.governor.written();
        Ok(())
    }

    /// Sends the welcome.
    ///
    /// # Errors
    /// The engine's link is closed; its last message says why.
    pub fn welcome(&mut self, welcome: Welcome) -> Result<(), Ending> {
        let sent = self.link.send(&FromPrivileged::Welcome(welcome)).map(drop);
        sent.map_err(|error| self.why_gone(&error))
    }

    /// Sends an answer, after the one that is held back.
    pub(super) fn answer(&mut self, answer: &FromPrivileged) -> Result<(), Ending> {
        self.answer_held()?;
        self.say_to_engine(answer)
    }

    /// Sends the answer that is held back, if there is one.
    pub(super) fn answer_held(&mut self) -> Result<(), Ending> {
        match self.course.held.take() {
            Some(held) => self.say_to_engine(&held),
            None => Ok(()),
        }
    }

    /// The engine is gone. Its last message, which may lie behind orders that are of no use any more, says why.
    fn why_gone(&mut self, error: &LinkError) -> Ending {
        for _ in 0..MOST_UNREAD {
            match self.link.receive() {
                Ok(Some((_, ToPrivileged::Goodbye(parting)))) => return parting.into(),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        Ending::Engine(error.to_string())
    }

    /// Waits briefly for an engine that is slow to read, and reads no orders meanwhile.
    fn say_to_engine(&mut self, answer: &FromPrivileged) -> Result<(), Ending> {
        let started = raw();
        loop {
            match self.link.send(answer) {
                Ok(_) => return Ok(()),
                Err(LinkError::Full) => {}
                Err(error) => return Err(self.why_gone(&error)),
            }
            let left = ANSWER.less(raw().elapsed_since(started));
            if left == Span::ZERO {
                return Err(Ending::Engine("it does not read its answers".into()));
            }
            let asked = [(self.link.as_fd(), libc::POLLOUT), (self.signals.as_fd(), libc::POLLIN)];
            // A stop does not wait for the engine; a reload that comes in this moment is lost with it.
            if kernel::wait(asked, left).is_ok_and(|[_, has_signal]| has_signal) {
                match caught(&self.signals) {
                    Some(Caught::Stop) => return Err(Ending::Asked),
                    Some(Caught::Permit(permission)) => self.permit(permission),
                    Some(Caught::Reload | Caught::Child | Caught::Nothing) | None => {}
                }
            }
        }
    }
}

/// Refusals of earlier runs, whose codes are not known any more: a word of a line with a space before it, or nothing.
struct Earlier(u32);

impl std::fmt::Display for Earlier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 > 0 {
            write!(f, " unwritten_earlier={}", self.0)?;
        }
        Ok(())
    }
}
