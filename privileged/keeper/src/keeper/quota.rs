//! How many lines of a kind the audit log takes. An engine may give an order a second, each lawful, and may end the daemon,
//! which is started again five seconds later; a log that took each line of that would hold an hour or two. What exceeds its
//! kind's quota is summed up.
//!
//! The quotas are in the governor's record and are given back with its age, so that a restart gives nothing back. After a run
//! that did not end in order, which an engine brings about by its silence (WatchdogSec=), the bursts count as used up.

use ipc::governor_record::{Adjustments, LINE_KINDS, Lines};
use ipc::units::{Frequency, Offset, Span};
use std::fmt;

/// A kind of line that can be written without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A base frequency with its slew; what was not written before it has a line of its own.
    Adjust,
    /// A change of what the kernel is told.
    Status,
    /// A refusal.
    Refusal,
    /// Something that happened to the clock.
    Event,
    /// A start that finds everything as the end before it left it.
    Start,
    /// An end that nobody asked for, with a line for each kind that has something to sum up.
    Stop,
}

impl Kind {
    /// All, in order.
    pub const ALL: [Self; LINE_KINDS] =
        [Self::Adjust, Self::Status, Self::Refusal, Self::Event, Self::Start, Self::Stop];

    /// The word for the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Adjust => "adjust",
            Self::Status => "status",
            Self::Refusal => "refusal",
            Self::Event => "event",
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }

    /// One line in this time, on average.
    pub const fn spacing(self) -> Span {
        match self {
            Self::Adjust => Span::from_secs(60),
            Self::Status | Self::Refusal | Self::Event => Span::from_secs(120),
            Self::Start => Span::from_secs(300),
            Self::Stop => Span::from_secs(600),
        }
    }

    /// As many at once.
    pub const fn burst(self) -> u32 {
        match self {
            Self::Adjust => 128,
            Self::Status | Self::Refusal | Self::Event | Self::Start => 32,
            Self::Stop => 16,
        }
    }

    /// The time in which a burst is given back.
    const fn refill(self) -> Span {
        Span::saturating(self.spacing().nanos() * self.burst() as i64)
    }
}

/// Takes a line of this kind at this age of the record; false: there is none left, and it is to be summed up.
pub fn ask(lines: &mut Lines, age: Span, kind: Kind) -> bool {
    let latest = age.plus(kind.refill());
    let due = &mut lines.due[kind as usize];
    let next = (*due).clamp(age, latest).plus(kind.spacing());
    let has_room = next <= latest;
    if has_room {
        *due = next;
    }
    has_room
}

/// At a start, in the same boot as the end or not. Starts and ends are counted exactly also where a run was killed: their
/// lines are taken before the record is written.
pub fn begin(lines: &mut Lines, age: Span, is_same_boot: bool) {
    if lines.is_open && is_same_boot {
        for kind in [Kind::Adjust, Kind::Status, Kind::Refusal, Kind::Event] {
            lines.due[kind as usize] = age.plus(kind.refill());
        }
    }
    lines.is_open = true;
}

/// One more line of this kind was not written.
pub fn count(lines: &mut Lines, kind: Kind) {
    let unwritten = &mut lines.unwritten[kind as usize];
    *unwritten = unwritten.saturating_add(1);
}

/// Takes a line of this kind: what it has to sum up; none: there is no line, and it was counted for the next one. `always`:
/// there is a line also beyond the quota.
pub fn line(lines: &mut Lines, age: Span, kind: Kind, always: bool) -> Option<Unwritten> {
    if ask(lines, age, kind) || always {
        return Some(take(lines, kind));
    }
    count(lines, kind);
    None
}

/// Takes a line for an adjustment: the sum of those before it that had none, if there are any; none: there is no line, and it
/// was added to the sum.
pub fn adjustment(
    lines: &mut Lines,
    age: Span,
    (frequency, slew): (Frequency, Offset),
    charged: Span,
) -> Option<Option<Sum>> {
    if ask(lines, age, Kind::Adjust) {
        return Some(sum_up(lines, Kind::Adjust));
    }
    count(lines, Kind::Adjust);
    lines.adjustments = lines.adjustments.with(frequency, slew, charged);
    None
}

/// What is to be summed up in the next line of this kind.
pub fn take(lines: &mut Lines, kind: Kind) -> Unwritten {
    Unwritten(std::mem::take(&mut lines.unwritten[kind as usize]))
}

/// The line that sums up what was not written of a kind; none if there is nothing.
pub fn sum_up(lines: &mut Lines, kind: Kind) -> Option<Sum> {
    let Unwritten(count) = take(lines, kind);
    let adjustments =
        (kind == Kind::Adjust).then(|| std::mem::replace(&mut lines.adjustments, Adjustments::NONE));
    (count > 0).then_some(Sum { kind, count, adjustments })
}

/// How many lines of a kind were not written since the last one: a word of a line with a space before it, or nothing.
pub struct Unwritten(pub u32);

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 0 {
            write!(f, " unwritten={}", self.0)?;
        }
        Ok(())
    }
}

/// See [`sum_up`].
pub struct Sum {
    kind: Kind,
    count: u32,
    adjustments: Option<Adjustments>,
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event=unwritten kind={} unwritten={}", self.kind.word(), self.count)?;
        if let Some(sum) = &self.adjustments {
            write!(
                f,
                " charged_ns={} frequency_least={} frequency_greatest={} slew_net_ns={} slew_sum_ns={}",
                sum.charged.nanos(),
                sum.least.scaled(),
                sum.greatest.scaled(),
                sum.slew_net.nanos(),
                sum.slew_sum.nanos()
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governor::limits;
    use ipc::audit_line::ORDERS;

    const DAY: u32 = 86_400;

    /// How a run of the hostile engine ends.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum End {
        /// It stays.
        None,
        /// A goodbye after so many seconds.
        Goodbye(u32),
        /// It falls silent after so many seconds, and the service manager kills the keeper 30 s later: what was written since
        /// the start's record is not on the disk.
        Silence(u32),
    }

    /// Lines that the quotas let through, asked as the keeper asks them, in a day of a line of each kind in each second in which there is a run.
    fn lines_in_a_day(end: End) -> u64 {
        let mut lines = Lines::NONE;
        let (mut written, mut second) = (0, 0);
        while second < DAY {
            let age = |second: u32| Span::from_secs(second.into());
            begin(&mut lines, age(second), true);
            written += u64::from(line(&mut lines, age(second), Kind::Start, false).is_some());
            let on_disk = lines;
            let (length, pause) = match end {
                End::None => (DAY, 0),
                End::Goodbye(length) => (length, 5),
                End::Silence(length) => (length, 35),
            };
            for now in second..DAY.min(second + length.max(1)) {
                let order = (Frequency::saturating(1), Offset::saturating(1));
                if let Some(sum) = adjustment(&mut lines, age(now), order, Span::ZERO) {
                    written += 1 + u64::from(sum.is_some());
                }
                // Of refusals, the keeper writes fewer still: one a minute of each code.
                for kind in [Kind::Status, Kind::Refusal, Kind::Event] {
                    written += u64::from(line(&mut lines, age(now), kind, false).is_some());
                }
            }
            second += length;
            if let End::Silence(_) = end {
                lines = on_disk;
            } else {
                let stop = line(&mut lines, age(second), Kind::Stop, false).is_some();
                let sums =
                    Kind::ALL.iter().filter(|kind| stop && sum_up(&mut lines, **kind).is_some()).count();
                written += u64::from(stop) + sums as u64;
                lines.is_open = false;
            }
            second += pause;
        }
        written
    }

    #[test]
    fn a140_a_day_of_orders_a_second_and_of_restarts_has_room_in_the_log() {
        // Each restoring step is two lines; of the other steps there are few.
        let restores = 2 * u64::from(DAY) / limits::RESTORE_SPACING.seconds().unsigned_abs();
        let lengths = [0, 1, 5, 30, 32, 60, 128, 300, 600, 4_000];
        let ends = lengths.into_iter().flat_map(|length| [End::Goodbye(length), End::Silence(length)]);
        for end in ends.chain([End::None]) {
            let sum = lines_in_a_day(end) + restores;
            assert!(sum + 512 <= ORDERS.lines, "{end:?}: {sum} lines in a day");
        }
    }

    #[test]
    fn the_quotas_of_all_kinds_together_have_room_in_the_log() {
        let most = |kind: Kind| {
            let rows = u64::from(DAY) / kind.spacing().seconds().unsigned_abs();
            let burst = u64::from(kind.burst());
            match kind {
                Kind::Adjust => 2 * rows + burst,
                Kind::Stop => (rows + burst) * LINE_KINDS as u64,
                _ => rows + burst,
            }
        };
        let restores = 2 * u64::from(DAY) / limits::RESTORE_SPACING.seconds().unsigned_abs();
        let sum = Kind::ALL.map(most).iter().sum::<u64>() + restores;
        assert!(sum + 256 <= ORDERS.lines, "{sum} lines in a day");
    }

    #[test]
    fn what_is_not_written_is_summed_up_later() {
        let mut lines = Lines::NONE;
        let at = Span::from_secs;
        for _ in 0..Kind::Refusal.burst() {
            assert!(ask(&mut lines, at(0), Kind::Refusal));
        }
        for _ in 0..5 {
            assert!(!ask(&mut lines, at(119), Kind::Refusal));
            count(&mut lines, Kind::Refusal);
        }
        assert!(ask(&mut lines, at(120), Kind::Refusal));
        assert_eq!(take(&mut lines, Kind::Refusal).0, 5);
        assert!(!ask(&mut lines, at(121), Kind::Refusal));
        assert_eq!(take(&mut lines, Kind::Refusal).0, 0);
    }

    #[test]
    fn a_quota_that_is_beyond_every_age_comes_back_within_a_burst() {
        let mut lines = Lines { due: [Span::MAX; LINE_KINDS], ..Lines::NONE };
        for kind in Kind::ALL {
            assert!(!ask(&mut lines, Span::ZERO, kind));
            begin(&mut lines, Span::ZERO, true);
        }
        let mut bounded = Lines { is_open: true, ..Lines::NONE };
        begin(&mut bounded, Span::ZERO, true);
        assert!(!ask(&mut bounded, Span::from_secs(59), Kind::Adjust));
        assert!(ask(&mut bounded, Span::from_secs(60), Kind::Adjust));
    }

    #[test]
    fn the_sum_of_adjustments_has_the_ends_of_their_frequencies_and_their_slews() {
        let mut lines = Lines::NONE;
        for (frequency, slew) in [(-7, 300), (9, -500), (2, 100)] {
            let (base, slew) = (Frequency::saturating(frequency), Offset::saturating(slew));
            lines.adjustments = lines.adjustments.with(base, slew, Span::from_millis(1));
            count(&mut lines, Kind::Adjust);
        }
        let sum = sum_up(&mut lines, Kind::Adjust).map(|sum| sum.to_string());
        let expected = "event=unwritten kind=adjust unwritten=3 charged_ns=3000000 frequency_least=-7 frequency_greatest=9 \
                        slew_net_ns=-100 slew_sum_ns=900";
        assert_eq!(sum.as_deref(), Some(expected));
        assert_eq!(lines, Lines::NONE);
        assert!(sum_up(&mut lines, Kind::Adjust).is_none());
    }
}
