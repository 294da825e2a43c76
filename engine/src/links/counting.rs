//! Records that come at most once a second, and counts that besides never fall.

use super::{Breach, Process};
use ipc::units::RawInstant;

/// As many records more than one a second may have queued up while this process did not run.
const QUEUED: i64 = 16;

/// The records of one kind so far.
#[derive(Debug, Default)]
pub struct Pace(Option<(RawInstant, i64)>);

impl Pace {
    /// Takes the next record; false if there are too many.
    pub fn keeps(&mut self, now: RawInstant) -> bool {
        let (since, records) = self.0.map_or((now, 1), |(since, records)| (since, records + 1));
        self.0 = Some((since, records));
        records <= now.since(since).nanos() / 1_000_000_000 + QUEUED
    }
}

/// The counts of one process.
#[derive(Debug)]
pub struct Counting<const N: usize> {
    process: Process,
    last: [u64; N],
    pace: Pace,
}

impl<const N: usize> Counting<N> {
    /// No report so far.
    pub fn of(process: Process) -> Self {
        Self { process, last: [0; N], pace: Pace::default() }
    }

    /// Takes the next counts.
    pub fn take(&mut self, now: RawInstant, counts: [u64; N]) -> Result<(), Breach> {
        if self.last.iter().zip(counts).any(|(before, after)| after < *before) {
            return Err(Breach::new(self.process, "sent counters that fell"));
        }
        if !self.pace.keeps(now) {
            return Err(Breach::new(self.process, "sent counters more than once a second"));
        }
        self.last = counts;
        Ok(())
    }
}
