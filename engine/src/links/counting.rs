//! Records that come at most once a second, and counts that besides never fall.

use super::{Breach, Process};
use ipc::units::{RawInstant, Span};

const SECOND: i64 = 1_000_000_000;

/// Records of so many seconds may have queued up while this process did not run: as many as a link holds. A process that was
/// silent for a day may not send a day's records at once.
const QUEUED: Span = Span::from_secs(512);

/// The records of one kind so far: until when their seconds are used up.
#[derive(Debug, Default)]
pub struct Pace(Option<i64>);

impl Pace {
    /// Takes the next record; false if there are too many.
    pub fn keeps(&mut self, now: RawInstant) -> bool {
        let now = now.nanos();
        let least = now.saturating_sub(QUEUED.nanos());
        let used = self.0.map_or(least, |used| used.max(least)).saturating_add(SECOND);
        self.0 = Some(used);
        used <= now
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

#[cfg(test)]
mod tests {
    use super::*;

    /// How many records of one instant are taken.
    fn at_once(pace: &mut Pace, seconds: i64) -> usize {
        let now = RawInstant::saturating(seconds * SECOND);
        (0..1_000).take_while(|_| pace.keeps(now)).count()
    }

    #[test]
    fn one_a_second_and_no_more_than_a_stopped_engine_would_find() {
        assert_eq!(at_once(&mut Pace::default(), 1_000), 512);
        let mut pace = Pace::default();
        for second in 0..10_000 {
            assert!(pace.keeps(RawInstant::saturating(second * SECOND)));
        }
        assert_eq!(at_once(&mut pace, 96_400), 512, "a silent day is no credit");
    }
}
