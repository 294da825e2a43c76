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
    fault: Option<String>,
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
        let was_failing = self.fault.is_some();
        self.fault = written.err().map(ToString::to_string);
        match (was_failing, self.fault.is_some()) {
            (false, true) => Some(Change::Failed),
            (true, false) => Some(Change::Back),
            (true, true) | (false, false) => None,
        }
    }
}

impl Writing {
    /// Why the last write failed.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
}

/// A file that the engine writes.
struct What {
    /// In messages.
    name: &'static str,
    /// What follows where it cannot be written.
    follows: &'static str,
    /// Where its condition is kept.
    of: fn(&mut AllWriting) -> &mut Writing,
}

const STATE: What = What {
    name: "the state file (engine.state)",
    follows: "time is kept, but a restart will be slower",
    of: |all| &mut all.state,
};
const KEYS: What = What {
    name: "the file of keys (engine.keys)",
    follows: "a restart will need new key exchanges, and clients of this server new keys",
    of: |all| &mut all.keys,
};
const REPORT: What = What {
    name: "engine.malfeasance",
    follows: "the proof that a Roughtime server signed a wrong time waits in memory",
    of: |all| &mut all.report,
};
const ANCHORS: What = What {
    name: "engine.anchors",
    follows: "the last anchor of audit log and history waits in memory",
    of: |all| &mut all.anchors,
};

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
        self.note_written(now, &STATE, written);
    }

    /// Saves the associations with NTS sources.
    pub(crate) fn save_keys(&mut self, now: RawInstant) {
        let written = self.keeping.save(now, self.engine.associations());
        self.note_keys(now, written);
    }

    /// The file of keys was written, or could not be.
    pub(crate) fn note_keys(&mut self, now: RawInstant, written: io::Result<()>) {
        self.note_written(now, &KEYS, written);
    }

    /// Keeps the proof that a Roughtime server signed a wrong time.
    pub(crate) fn keep_report(&mut self, now: RawInstant, proof: Proof) {
        if let Some(written) = self.reports.as_mut().map(|reports| reports.keep(proof)) {
            self.note_written(now, &REPORT, written);
        }
    }

    /// Keeps what Roughtime servers signed over audit log and history.
    pub(crate) fn keep_anchor(&mut self, now: RawInstant, anchor: Anchor) {
        if let Some(written) = self.anchors.as_mut().map(|anchors| anchors.keep(anchor)) {
            self.note_written(now, &ANCHORS, written);
        }
    }

    /// Tries again what could not be written.
    pub(crate) fn retry(&mut self, now: RawInstant) {
        if let Some(saved) = self.unsaved.take() {
            self.save_state(now, saved);
        }
        let engine = &self.engine;
        let keys = self.keeping.retry(now, || engine.associations());
        let report = self.reports.as_mut().and_then(|reports| reports.retry());
        let anchors = self.anchors.as_mut().and_then(|anchors| anchors.retry());
        for (what, written) in [(&KEYS, keys), (&REPORT, report), (&ANCHORS, anchors)] {
            if let Some(written) = written {
                self.note_written(now, what, written);
            }
        }
        let lack = self.anchors.as_mut().and_then(|anchors| anchors.take_lack(self.state.counts().anchors));
        if let Some(lack) = lack {
            self.log.write(Severity::WARNING, Event::StateUnusable.says(&lack));
        }
    }

    /// A file was written, or could not be: both ends of a fault are told.
    fn note_written(&mut self, now: RawInstant, What { name, follows, of }: &What, written: io::Result<()>) {
        let change = of(&mut self.writing).note(written.as_ref().map(drop));
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
