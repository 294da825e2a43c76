//! Counter reports to the engine: once a second while counters change, and none from an idle server.

use crate::workers::Workers;
use ipc::units::{RawInstant, Span};
use network::clock;
use network::ending::Ending;
use nix::sys::time::TimeSpec;

/// Least time between two reports of counters; a little more than the second that the engine allows.
const REPORTS: Span = Span::from_millis(1_050);

/// The last report to the engine, and its time.
#[derive(Debug)]
pub struct Reports<const KINDS: usize> {
    told: [u64; KINDS],
    at: Option<RawInstant>,
    is_asleep: bool,
}

impl<const KINDS: usize> Default for Reports<KINDS> {
    fn default() -> Self {
        Self { told: [0; KINDS], at: None, is_asleep: false }
    }
}

impl<const KINDS: usize> Reports<KINDS> {
    /// How long the link's thread may wait; `None`: until it is woken.
    pub fn timeout(&self) -> Option<TimeSpec> {
        (!self.is_asleep).then(|| {
            let due = self.at.map_or(0, |at| at.after(REPORTS).since(clock::raw()).nanos().max(0));
            TimeSpec::new(due / 1_000_000_000, due % 1_000_000_000)
        })
    }

    /// The wake-up was received.
    pub fn wake<Own>(&mut self, workers: &Workers<Own, KINDS>) {
        workers.wakeup().clear();
        workers.sleep(false);
        self.is_asleep = false;
    }

    /// Reports the counters to the engine if a report is due and they have changed; if the engine does not take it
    /// (`offer` returns false), a later call tries again. After a period without changes, the next count wakes this
    /// thread.
    ///
    /// # Errors
    /// Those of `offer`.
    pub fn report<Own>(
        &mut self,
        workers: &Workers<Own, KINDS>,
        offer: impl FnOnce([u64; KINDS]) -> Result<bool, Ending>,
    ) -> Result<(), Ending> {
        let now = clock::raw();
        if self.is_asleep || self.at.is_some_and(|at| now.since(at).nanos() < REPORTS.nanos()) {
            return Ok(());
        }
        let counts = workers.counts();
        if counts != self.told {
            if offer(counts)? {
                self.told = counts;
            }
            self.at = Some(now);
            return Ok(());
        }
        self.is_asleep = true;
        workers.sleep(true);
        if workers.counts() != self.told {
            workers.sleep(false);
            self.is_asleep = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;

    fn is_rung(workers: &Workers<(), 2>) -> bool {
        let mut places = [PollFd::new(workers.wakeup().as_fd(), PollFlags::POLLIN)];
        poll(&mut places, PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn a_server_with_nothing_to_report_sleeps_until_the_next_count() {
        let workers: Workers<(), 2> = Workers::new([(), ()]).unwrap();
        let mut reports = Reports::default();
        reports.report(&workers, |_| panic!("nothing was counted")).unwrap();
        assert!(reports.timeout().is_none() && !is_rung(&workers));
        workers.publish(0, [1, 2]);
        workers.publish(1, [3, 4]);
        assert!(is_rung(&workers));
        reports.wake(&workers);
        assert!(reports.timeout().is_some() && !is_rung(&workers));
        // What is not taken is not marked as told, and what is taken is told once.
        let mut heard = None;
        reports.report(&workers, |_| Ok(false)).unwrap();
        reports.at = None;
        reports.report(&workers, |counts| Ok(heard.replace(counts).is_none())).unwrap();
        assert_eq!(heard, Some([4, 6]));
        reports.report(&workers, |_| panic!("less than a second later")).unwrap();
        reports.at = None;
        reports.report(&workers, |_| panic!("the same again")).unwrap();
        assert!(reports.timeout().is_none());
    }
}
