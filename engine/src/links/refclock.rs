//! The link to the process that reads reference clocks. What it says of the time is what a stranger may have written: here it is
//! seen to that it says no more, and nothing else, than the link permits.

use super::queued_link::QueuedLink;
use super::{Breach, Fact, Input, Process};
use ipc::message::refclock::{
    ClockSample, Discarded, FromRefclock, LEAST_INTERVAL, LONGEST_AGE, TOLD, ToRefclock,
};
use ipc::plan::{LaunchPlan, MAX_REFCLOCKS};
use ipc::units::{Leap, RawInstant, Span};
use std::os::fd::OwnedFd;

/// Our end, and what came on it.
#[derive(Debug)]
pub struct RefclockLink {
    pub(super) link: QueuedLink<ToRefclock, FromRefclock>,
    bounds: Bounds,
}

/// When each clock last said something, and when it was last told of what is no sample.
#[derive(Debug, Default)]
struct Bounds {
    read: [Option<RawInstant>; MAX_REFCLOCKS],
    told: [Option<RawInstant>; MAX_REFCLOCKS],
}

impl RefclockLink {
    /// Takes the end.
    pub fn new(fd: OwnedFd) -> Result<Self, nix::Error> {
        Ok(Self { link: QueuedLink::new(Process::Refclock, fd)?, bounds: Bounds::default() })
    }

    /// One record, checked.
    pub fn receive(&mut self, plan: Option<&LaunchPlan>) -> Result<Option<Fact>, Breach> {
        let Some(message) = self.link.receive_greeted()? else { return Ok(None) };
        let breach = |violation| Breach::new(Process::Refclock, violation);
        Ok(Some(match message {
            FromRefclock::Hello(shortfall) => Fact::Hello(Process::Refclock, shortfall),
            FromRefclock::Pong => Fact::Alive(Process::Refclock),
            FromRefclock::Sample(sample) => {
                self.bounds.judge(plan, &sample).map_err(breach)?;
                Fact::Input(Input::Clock(sample))
            }
            FromRefclock::Discarded(discarded) => {
                self.bounds.judge_discarded(plan, &discarded).map_err(breach)?;
                Fact::Input(Input::ClockDiscarded(discarded))
            }
        }))
    }
}

impl Bounds {
    fn judge(&mut self, plan: Option<&LaunchPlan>, sample: &ClockSample) -> Result<(), &'static str> {
        let last = place(&mut self.read, plan, sample.device)?;
        let age = sample.read.since(sample.at).nanos();
        if !(0..=LONGEST_AGE.nanos()).contains(&age) {
            return Err("sent a sample that is older than it may be, or still to come");
        }
        if sample.leap == Leap::Unknown {
            return Err("sent a sample of a clock that is not to be trusted");
        }
        follows(last, sample.read, LEAST_INTERVAL).then_some(()).ok_or("sent samples faster than it may")
    }

    fn judge_discarded(
        &mut self,
        plan: Option<&LaunchPlan>,
        discarded: &Discarded,
    ) -> Result<(), &'static str> {
        let last = place(&mut self.told, plan, discarded.device)?;
        follows(last, discarded.at, TOLD)
            .then_some(())
            .ok_or("told of what is no sample more often than it may")
    }
}

/// The place of a clock that there is.
fn place<'l>(
    list: &'l mut [Option<RawInstant>; MAX_REFCLOCKS],
    plan: Option<&LaunchPlan>,
    device: u8,
) -> Result<&'l mut Option<RawInstant>, &'static str> {
    let is_there = plan.is_some_and(|plan| matches!(plan.refclocks.get(usize::from(device)), Some(Some(_))));
    list.get_mut(usize::from(device))
        .filter(|_| is_there)
        .ok_or("spoke of a reference clock that there is not")
}

/// Whether it is so long after the last one; then it is the last one.
fn follows(last: &mut Option<RawInstant>, at: RawInstant, least: Span) -> bool {
    let is_lawful = last.is_none_or(|last| at.since(last).nanos() >= least.nanos());
    *last = Some(at);
    is_lawful
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::file_path::FilePath;
    use ipc::plan::Refclock;
    use ipc::units::WallTime;

    fn plan() -> LaunchPlan {
        let path = FilePath::parse("/run/clock").unwrap();
        LaunchPlan { refclocks: [Some(Refclock::Socket(path)), None, None, None], ..LaunchPlan::CLIENT }
    }

    fn at(millis: i64) -> RawInstant {
        RawInstant::saturating(50_000_000_000 + millis * 1_000_000)
    }

    fn sample(read: i64) -> ClockSample {
        let (utc, is_pulse) = (WallTime::saturating(1), false);
        ClockSample { device: 0, read: at(read), at: at(read), utc, is_pulse, leap: Leap::None }
    }

    #[test]
    fn a230_a_process_that_says_more_or_something_else_than_it_may_is_trusted_no_longer() {
        let judge = |samples: &[ClockSample]| {
            let mut bounds = Bounds::default();
            samples.iter().try_for_each(|sample| bounds.judge(Some(&plan()), sample))
        };
        assert!(judge(&[sample(0), sample(50), sample(100)]).is_ok());
        assert!(judge(&[sample(0), sample(49)]).is_err());
        assert!(judge(&[sample(50), sample(0)]).is_err());
        assert!(judge(&[ClockSample { device: 1, ..sample(0) }]).is_err());
        assert!(judge(&[ClockSample { device: 255, ..sample(0) }]).is_err());
        assert!(judge(&[ClockSample { at: at(1), ..sample(0) }]).is_err());
        assert!(judge(&[ClockSample { at: at(-2_000), ..sample(0) }]).is_ok());
        assert!(judge(&[ClockSample { at: at(-2_001), ..sample(0) }]).is_err());
        assert!(judge(&[ClockSample { leap: Leap::Unknown, ..sample(0) }]).is_err());
        assert!(Bounds::default().judge(None, &sample(0)).is_err());
        let discarded = |millis| Discarded {
            device: 0,
            at: at(millis),
            malformed: 1,
            untimely: 0,
            unsynchronised: 0,
            excess: 0,
        };
        let mut bounds = Bounds::default();
        assert!(bounds.judge_discarded(Some(&plan()), &discarded(0)).is_ok());
        assert!(bounds.judge_discarded(Some(&plan()), &discarded(10_000)).is_ok());
        assert!(bounds.judge_discarded(Some(&plan()), &discarded(19_999)).is_err());
    }
}
