//! The last measurements of a source, as they are reported. Nothing is decided by them.

use crate::filter::Outcome;
use crate::io::Now;
use crate::measured::origin;
use crate::measured::{Known, Learned, Said};
use crate::measurement::{Measurement, Stamps};
use crate::sanity::Facts;
use crate::status::MeasurementStatus;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use ipc::message::client::ReplyHeader;
use ipc::units::RawInstant;
use report::{MeasurementOutcome, RejectReason};

/// How many are kept of each source: 2 KiB.
const KEPT: usize = 16;

/// What one exchange brought.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Record {
    /// When the reply came.
    at: RawInstant,
    known: Known,
}

/// See the module's head.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct History {
    /// The oldest first.
    records: VecDeque<Record>,
}

/// A reply: its header, the poll exponent of its source, who took its times if these were looked at, whether it is in
/// interleaved mode, and when it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came<'a> {
    pub(crate) header: &'a ReplyHeader,
    pub(crate) poll: i8,
    pub(crate) stamps: Option<Stamps>,
    pub(crate) interleaved: bool,
    pub(crate) now: Now,
}

impl Came<'_> {
    fn known(&self, outcome: MeasurementOutcome) -> Known {
        Known {
            number: 0,
            wall: self.now.wall,
            poll: self.poll,
            said: Said::by(self.header),
            measured: None,
            learned: None,
            outcome,
            test: None,
            stamps: self.stamps.map(|stamps| (stamps.sent, stamps.received)),
            interleaved: self.interleaved,
        }
    }
}

impl History {
    fn add(&mut self, at: RawInstant, known: Known) {
        if self.records.len() >= KEPT {
            self.records.pop_front();
        }
        self.records.push_back(Record { at, known });
    }

    /// A reply was measured.
    pub(crate) fn measured(
        &mut self,
        measurement: &Measurement,
        facts: &Facts,
        outcome: Outcome,
        learned: Option<Learned>,
        came: &Came<'_>,
    ) {
        let now = came.now;
        let offset =
            i128::from(measurement.offset) + i128::from(now.raw.nanos()) - i128::from(now.wall.nanos());
        let distance = facts.root_distance() + measurement.delay / 2.0;
        let outcome = match outcome {
            Outcome::Used => MeasurementOutcome::Used,
            Outcome::Doubtful => MeasurementOutcome::Doubtful,
            Outcome::Restarted => MeasurementOutcome::Restarted,
        };
        let measured = Some([offset as f64 * 1e-9, measurement.delay, measurement.noise, distance]);
        self.add(now.raw, Known { measured, learned, ..came.known(outcome) });
    }

    /// What passed for the reply failed a test.
    pub(crate) fn failed(&mut self, test: RejectReason, came: &Came<'_>) {
        let known = came.known(MeasurementOutcome::Failed);
        self.add(came.now.raw, Known { test: Some(test), ..known });
    }

    /// Numbers what came since the last time; `counted`: the number given last; `clock`: how much faster the clock runs than
    /// CLOCK_MONOTONIC_RAW, beside its slew, s/s.
    pub(crate) fn count(&mut self, counted: &mut u64, clock: f64) {
        for Record { known, .. } in self.records.iter_mut().filter(|record| record.known.number == 0) {
            *counted += 1;
            known.number = *counted;
            known.learned = known.learned.map(|it| Learned { frequency: it.frequency - clock, ..it });
        }
    }

    /// Those with a higher number, the oldest first.
    pub(crate) fn after(&self, number: u64) -> impl Iterator<Item = &Known> {
        self.records.iter().map(|record| &record.known).filter(move |known| known.number > number)
    }

    /// The newest first.
    pub(crate) fn report(&self, now: Now) -> Vec<MeasurementStatus> {
        let report = |record: &Record| MeasurementStatus {
            ago_s: now.raw.since(record.at).nanos() as f64 * 1e-9,
            offset_s: record.known.measured.map(|[offset, ..]| offset),
            delay_s: record.known.measured.map(|[_, delay, ..]| delay),
            root_distance_s: record.known.measured.map(|[.., distance]| distance),
            outcome: record.known.outcome,
            test: record.known.test,
            stamps: record.known.stamps.map(|(sent, received)| origin(Stamps { sent, received }.worse())),
        };
        self.records.iter().rev().map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::message::client::Stamp;
    use ipc::units::WallTime;
    use report::StampOrigin;

    fn at(seconds: i64) -> Now {
        Now { raw: RawInstant::saturating(seconds * 1_000_000_000), wall: WallTime::MIN }
    }

    fn fails(history: &mut History, second: i64) {
        let header = ReplyHeader::from(&protocol::request::minimal(1));
        let stamps = Some(Stamps { sent: Stamp::Kernel, received: Stamp::User });
        history.failed(
            RejectReason::Mode,
            &Came { header: &header, poll: 6, stamps, interleaved: false, now: at(second) },
        );
    }

    #[test]
    fn the_last_sixteen_are_kept_and_the_newest_comes_first() {
        let mut history = History::default();
        for second in 0..40 {
            fails(&mut history, second);
        }
        let report = history.report(at(40));
        let ages: Vec<f64> = report.iter().map(|measurement| libm::round(measurement.ago_s)).collect();
        assert_eq!(ages, (1..=16).map(f64::from).collect::<Vec<_>>());
        assert_eq!(report[0].stamps, Some(StampOrigin::User), "the worse of the two");
        assert!(size_of::<Record>() * KEPT <= 2048, "{}", size_of::<Record>());
    }

    #[test]
    fn each_is_numbered_once_in_the_order_in_which_they_came() {
        let (mut one, mut other, mut counted) = (History::default(), History::default(), 0);
        for second in 0..3 {
            fails(&mut one, second);
            one.count(&mut counted, 0.0);
            fails(&mut other, second);
            fails(&mut other, second);
            other.count(&mut counted, 0.0);
            other.count(&mut counted, 0.0);
        }
        let numbers =
            |history: &History, after| history.after(after).map(|known| known.number).collect::<Vec<_>>();
        assert_eq!(
            (numbers(&one, 0), numbers(&other, 0)),
            (alloc::vec![1, 4, 7], alloc::vec![2, 3, 5, 6, 8, 9])
        );
        assert_eq!((numbers(&one, 4), numbers(&other, 9)), (alloc::vec![7], Vec::new()));
    }
}
