//! Counts that come at most once a second and never fall.

use super::{Breach, Process};
use ipc::units::RawInstant;

/// As many records more than one a second may have queued up while this process did not run.
const QUEUED: i64 = 16;

/// The counts of one process.
#[derive(Debug)]
pub struct Counting<const N: usize> {
    process: Process,
    last: Option<([u64; N], RawInstant, i64)>,
}

impl<const N: usize> Counting<N> {
    /// No report so far.
    pub fn of(process: Process) -> Self {
        Self { process, last: None }
    }

    /// Takes the next counts.
    pub fn take(&mut self, now: RawInstant, counts: [u64; N]) -> Result<(), Breach> {
        let (since, records) = match self.last {
            None => (now, 1),
            Some((before, since, records)) => {
                if before.iter().zip(counts).any(|(before, after)| after < *before) {
                    return Err(Breach::new(self.process, "sent counters that fell"));
                }
                (since, records + 1)
            }
        };
        if records > now.since(since).nanos() / 1_000_000_000 + QUEUED {
            return Err(Breach::new(self.process, "sent counters more than once a second"));
        }
        self.last = Some((counts, since, records));
        Ok(())
    }
}
