//! Files of the state directory in the running process: what cannot be written now is kept in memory and tried again each minute,
//! and both ends of such a time are told.

use crate::log::{Event, Severity};
use crate::r#loop::Running;
use engine_core::io::{Proof, Saved};
use ipc::anchor::Anchor;
use ipc::units::RawInstant;
use std::io;

/// Whether a file could be written the last time.
#[derive(Debug, Default)]
pub struct Writing {
    is_failing: bool,
}

/// What has changed about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It cannot be written any more.
    Failed,
    /// It can be written again.
    Back,
}

impl Writing {
    /// Notes how a write has ended.
    pub fn note(&mut self, written: Result<(), &io::Error>) -> Option<Change> {
        match (std::mem::replace(&mut self.is_failing, written.is_err()), written.is_err()) {
            (false, true) => Some(Change::Failed),
            (true, false) => Some(Change::Back),
            (true, true) | (false, false) => None,
        }
    }
}

/// A file that the engine writes.
struct What {
    /// In messages.
    name: &'static str,
    /// What follows where it cannot be written.
    follows: &'static str,
}

const STATE: What =
    What { name: "the state file (engine.state)", follows: "time is kept, but a restart will be slower" };
const KEYS: What = What {
    name: "the file of keys (engine.keys)",
    follows: "a restart will need new key exchanges, and clients of this server new keys",
};
const REPORT: What = What {
    name: "engine.malfeasance",
    follows: "the proof that a Roughtime server signed a wrong time waits in memory",
};
const ANCHORS: What =
    What { name: "engine.anchors", follows: "the last anchor of audit log and history waits in memory" };

impl Running {
    /// Saves what is learnt of the clock and of names.
    pub(crate) fn save_state(&mut self, now: RawInstant, saved: Saved) {
        self.state.note_counts(
            self.history.as_ref().ok().and_then(|history| history.records()),
            self.anchors.as_ref().and_then(|anchors| anchors.count()),
        );
        let addresses = self.engine.kept_addresses();
        let written = self.state.save(&saved).and_then(|()| self.state.save_addresses(&addresses));
        self.unsaved = written.is_err().then_some(saved);
        let change = self.writing.state.note(written.as_ref().map(drop));
        self.tell_of_file(now, &STATE, written, change);
    }

    /// Saves the associations with NTS sources.
    pub(crate) fn save_keys(&mut self, now: RawInstant) {
        let written = self.keeping.save(now, self.engine.associations());
        self.note_keys(now, written);
    }

    /// The file of keys was written, or could not be.
    pub(crate) fn note_keys(&mut self, now: RawInstant, written: io::Result<()>) {
        let change = self.writing.keys.note(written.as_ref().map(drop));
        self.tell_of_file(now, &KEYS, written, change);
    }

    /// Keeps the proof that a Roughtime server signed a wrong time.
    pub(crate) fn keep_report(&mut self, now: RawInstant, proof: Proof) {
        let Some(reports) = &mut self.reports else { return };
        let written = reports.keep(proof);
        self.note_report(now, written);
    }

    fn note_report(&mut self, now: RawInstant, written: io::Result<()>) {
        let change = self.writing.report.note(written.as_ref().map(drop));
        self.tell_of_file(now, &REPORT, written, change);
    }

    /// Keeps what Roughtime servers signed over audit log and history.
    pub(crate) fn keep_anchor(&mut self, now: RawInstant, anchor: Anchor) {
        let Some(anchors) = &mut self.anchors else { return };
        let written = anchors.keep(anchor);
        self.note_anchors(now, written);
    }

    fn note_anchors(&mut self, now: RawInstant, written: io::Result<()>) {
        let change = self.writing.anchors.note(written.as_ref().map(drop));
        self.tell_of_file(now, &ANCHORS, written, change);
    }

    /// Tries again what could not be written.
    pub(crate) fn retry(&mut self, now: RawInstant) {
        if let Some(saved) = self.unsaved.take() {
            self.save_state(now, saved);
        }
        let engine = &self.engine;
        if let Some(written) = self.keeping.retry(now, || engine.associations()) {
            self.note_keys(now, written);
        }
        if let Some(written) = self.reports.as_mut().and_then(|reports| reports.retry()) {
            self.note_report(now, written);
        }
        if let Some(written) = self.anchors.as_mut().and_then(|anchors| anchors.retry()) {
            self.note_anchors(now, written);
        }
        let lack = self.anchors.as_mut().and_then(|anchors| anchors.take_lack(self.state.counts().anchors));
        if let Some(lack) = lack {
            self.log.write(Severity::WARNING, Event::StateUnusable.says(&lack));
        }
    }

    fn tell_of_file(
        &mut self,
        now: RawInstant,
        What { name, follows }: &What,
        written: io::Result<()>,
        change: Option<Change>,
    ) {
        if let Err(error) = written {
            let text = format!(
                "{name} cannot be written ({error}); {follows}, and it is tried again each minute: free some space on its disk"
            );
            self.log.write_fault(now, Severity::WARNING, Event::StateUnwritten.says(&text));
        } else if change == Some(Change::Back) {
            let text = format!("{name} is written again");
            self.log.write_limited(now, Severity::NOTICE, Event::StateBack.says(&text));
        }
    }
}

/// Of all files that are written again and again, but the history.
#[derive(Debug, Default)]
pub struct AllWriting {
    pub(crate) state: Writing,
    pub(crate) keys: Writing,
    pub(crate) report: Writing,
    pub(crate) anchors: Writing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_fault_are_changes_and_nothing_between_them_is() {
        let mut writing = Writing::default();
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let ends = [Ok(()), Err(&full), Err(&full), Ok(()), Ok(())];
        let changes: Vec<_> = ends.into_iter().map(|written| writing.note(written)).collect();
        assert_eq!(changes, [None, Some(Change::Failed), None, Some(Change::Back), None]);
    }
}
