//! What the keeper writes: lines of the audit log, the governor's record, and messages to the engine.

use super::asked::Asked;
use super::{ANSWER, Keeper, SUMMARY};
use crate::clock::Clock;
use crate::ending::{Ending, say};
use crate::kernel::{self, Errno, nanos};
use crate::signals::{Caught, caught};
use ipc::message::privileged::{FromPrivileged, Refused, ToPrivileged, Welcome};
use ipc::units::RawInstant;
use ipc_link::LinkError;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

impl<C: Clock> Keeper<C> {
    /// At most one line a minute for each kind of refusal, with the number of those not logged: a flood of refused
    /// orders must not push other lines out of the log.
    pub(super) fn note_refusal(&mut self, order: &ToPrivileged, refused: &Refused, now: RawInstant) {
        let place = refused.code as usize % self.refusals.len();
        let (unwritten, last) = self.refusals[place];
        if last.is_some_and(|last| now.since(last).nanos() < SUMMARY) {
            self.refusals[place].0 = unwritten.saturating_add(1);
            return;
        }
        self.refusals[place] = (0, Some(now));
        self.write_down(format_args!(
            "event=refused {} code={:?} limit={} found={} unwritten={unwritten}",
            Asked(order),
            refused.code,
            refused.limit,
            refused.remaining
        ));
    }

    /// Writes a line into the audit log; an error is reported, but does not end the daemon.
    pub(super) fn write_down(&mut self, words: std::fmt::Arguments<'_>) {
        let Ok(reading) = self.clock.read() else { return };
        match self.audit.append(reading.wall, reading.raw, words) {
            Ok(()) => {
                self.governor.record().audit = self.audit.end();
                self.audit_failed = false;
            }
            Err(error) if !self.audit_failed => {
                self.audit_failed = true;
                say(3, &format_args!("audit.log can't be written ({error}): lines are lost until it can"));
            }
            Err(_) => {}
        }
    }

    /// Writes the governor's record into the older slot and synchronises it to disk.
    ///
    /// # Errors
    /// The error of the failed system call; the newer slot is unchanged.
    pub fn persist(&mut self) -> Result<(), Errno> {
        let record = self.governor.record();
        record.sequence += 1;
        self.record_file.write_all_at(&record.to_octets(), record.position() as u64)?;
        // A slow disk is not a hang.
        self.notify.say("WATCHDOG=1");
        self.record_file.sync_data()?;
        self.written = Some(crate::clock::raw_now());
        Ok(())
    }

    /// Sends the welcome.
    ///
    /// # Errors
    /// The engine's link is closed; its last message says why.
    pub fn welcome(&mut self, welcome: Welcome) -> Result<(), Ending> {
        match self.link.send(&FromPrivileged::Welcome(welcome)) {
            Ok(_) => Ok(()),
            Err(error) => Err(match self.link.receive() {
                Ok(Some((_, ToPrivileged::Goodbye(lost)))) => lost.into(),
                _ => Ending::Engine(error.to_string()),
            }),
        }
    }

    /// Sends an answer; waits briefly for an engine that is slow to read, and reads no orders meanwhile.
    pub(super) fn answer(&mut self, answer: &FromPrivileged) -> Result<(), Ending> {
        let started = nanos(libc::CLOCK_MONOTONIC);
        loop {
            match self.link.send(answer) {
                Ok(_) => return Ok(()),
                Err(LinkError::Full) => {}
                Err(error) => return Err(Ending::Engine(error.to_string())),
            }
            let left = ANSWER - (nanos(libc::CLOCK_MONOTONIC) - started);
            if left <= 0 {
                return Err(Ending::Engine("it does not read its answers".into()));
            }
            let ready = kernel::wait_for_room(self.link.as_fd(), self.signals.as_fd(), left);
            // A stop does not wait for the engine; a reload that comes in this moment is lost with it.
            if ready.is_ok_and(|[_, signal]| signal) && caught(&self.signals) == Some(Caught::Stop) {
                return Err(Ending::Asked);
            }
        }
    }
}
