//! The last measurements of a source, as they are reported. Nothing is decided by them.

use crate::filter::Outcome;
use crate::io::Now;
use crate::last_reply::origin;
use crate::measurement::Measurement;
use crate::sanity::Facts;
use crate::status::MeasurementStatus;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use ipc::message::client::Stamp;
use ipc::units::RawInstant;
use report::{MeasurementOutcome, RejectReason};

/// How many are kept of each source: 1 KiB.
const KEPT: usize = 16;

/// What one exchange brought.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Record {
    /// When the reply came.
    at: RawInstant,
    /// Offset, round trip and root distance, seconds.
    measured: Option<(f64, f64, f64)>,
    outcome: MeasurementOutcome,
    test: Option<RejectReason>,
    stamp: Option<Stamp>,
}

/// See the module's head.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct History {
    /// The oldest first.
    records: VecDeque<Record>,
}

impl History {
    fn add(&mut self, record: Record) {
        if self.records.len() >= KEPT {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    /// A reply was measured.
    pub(crate) fn measured(
        &mut self,
        measurement: &Measurement,
        facts: &Facts,
        outcome: Outcome,
        stamp: Option<Stamp>,
        now: Now,
    ) {
        let offset =
            i128::from(measurement.offset) + i128::from(now.raw.nanos()) - i128::from(now.wall.nanos());
        let distance = facts.root_distance() + measurement.delay / 2.0;
        let outcome = match outcome {
            Outcome::Used => MeasurementOutcome::Used,
            Outcome::Doubtful => MeasurementOutcome::Doubtful,
            Outcome::Restarted => MeasurementOutcome::Restarted,
        };
        let measured = Some((offset as f64 * 1e-9, measurement.delay, distance));
        self.add(Record { at: now.raw, measured, outcome, test: None, stamp });
    }

    /// What passed for the reply failed a test.
    pub(crate) fn failed(&mut self, test: RejectReason, stamp: Option<Stamp>, now: RawInstant) {
        let outcome = MeasurementOutcome::Failed;
        self.add(Record { at: now, measured: None, outcome, test: Some(test), stamp });
    }

    /// The newest first.
    pub(crate) fn report(&self, now: Now) -> Vec<MeasurementStatus> {
        let report = |record: &Record| MeasurementStatus {
            ago_s: now.raw.since(record.at).nanos() as f64 * 1e-9,
            offset_s: record.measured.map(|(offset, _, _)| offset),
            delay_s: record.measured.map(|(_, delay, _)| delay),
            root_distance_s: record.measured.map(|(_, _, distance)| distance),
            outcome: record.outcome,
            test: record.test,
            stamps: record.stamp.map(origin),
        };
        self.records.iter().rev().map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::units::WallTime;

    #[test]
    fn the_last_sixteen_are_kept_and_the_newest_comes_first() {
        let at = |seconds: i64| RawInstant::saturating(seconds * 1_000_000_000);
        let mut history = History::default();
        for second in 0..40 {
            history.failed(RejectReason::Mode, Some(Stamp::User), at(second));
        }
        let report = history.report(Now { raw: at(40), wall: WallTime::MIN });
        let ages: Vec<f64> = report.iter().map(|measurement| libm::round(measurement.ago_s)).collect();
        assert_eq!(ages, (1..=16).map(f64::from).collect::<Vec<_>>());
        assert!(size_of::<Record>() * KEPT <= 1024, "{}", size_of::<Record>());
    }
}
