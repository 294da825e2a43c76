//! How many lines of a kind the audit log takes. An engine may give an order a second, each lawful; a log that took each
//! of them would hold two hours and no more. What exceeds its kind's quota is summed up in the next line of the kind.

use ipc::units::{RawInstant, Span};
use std::fmt;

/// A kind of line that can be written without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A base frequency with its slew.
    Adjust,
    /// A change of what the kernel is told.
    Status,
    /// A refusal.
    Refusal,
    /// Something that happened to the clock.
    Event,
}

impl Kind {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Adjust, Self::Status, Self::Refusal, Self::Event];

    /// One line in this time, on average.
    pub const fn spacing(self) -> Span {
        match self {
            Self::Adjust => Span::from_secs(30),
            Self::Status => Span::from_secs(120),
            Self::Refusal | Self::Event => Span::from_secs(60),
        }
    }

    /// As many at once.
    pub const fn burst(self) -> u32 {
        match self {
            Self::Adjust => 128,
            Self::Status | Self::Refusal | Self::Event => 32,
        }
    }
}

/// What a kind may still write, and what it has not written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quota {
    /// Lines taken of the burst and not yet given back.
    taken: u32,
    /// Since when the next one is being given back.
    since: Option<RawInstant>,
    unwritten: Unwritten,
}

/// What was not written since the last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwritten {
    /// Lines.
    pub count: u32,
    /// What these orders were charged.
    pub charged: Span,
}

impl Unwritten {
    /// Nothing.
    pub const NONE: Self = Self { count: 0, charged: Span::ZERO };
}

impl Default for Unwritten {
    fn default() -> Self {
        Self::NONE
    }
}

/// As words of a line, each behind a space; empty if there is nothing to sum up.
impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count > 0 {
            write!(f, " unwritten={}", self.count)?;
        }
        if self.charged != Span::ZERO {
            write!(f, " unwritten_charged_ns={}", self.charged.nanos())?;
        }
        Ok(())
    }
}

impl Quota {
    /// Asks for a line at this time, about something that was charged so much: what it has to sum up; none: it is itself
    /// summed up later.
    pub fn ask(&mut self, kind: Kind, now: RawInstant, charged: Span) -> Option<Unwritten> {
        let spacing = kind.spacing();
        let mut since = self.since.unwrap_or(now);
        while self.taken > 0 && now.elapsed_since(since) >= spacing {
            self.taken -= 1;
            since = since.after(spacing);
        }
        if self.taken == 0 {
            since = now;
        }
        self.since = Some(since);
        if self.taken < kind.burst() {
            self.taken += 1;
            return Some(std::mem::take(&mut self.unwritten));
        }
        self.unwritten.count = self.unwritten.count.saturating_add(1);
        self.unwritten.charged = self.unwritten.charged.plus(charged);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governor::limits;
    use ipc::audit_line::ORDERS;

    const DAY: u64 = 86_400;

    fn lines_in_a_day(kind: Kind) -> (u64, u64) {
        let mut quota = Quota::default();
        let (mut written, mut summed) = (0, 0);
        for second in 0..DAY {
            let now = RawInstant::MIN.after(Span::from_secs(second.try_into().unwrap()));
            if let Some(unwritten) = quota.ask(kind, now, Span::from_secs(1)) {
                assert_eq!(unwritten.charged, Span::from_secs(unwritten.count.into()));
                (written, summed) = (written + 1, summed + u64::from(unwritten.count));
            }
        }
        (written, summed)
    }

    #[test]
    fn a140_a_day_of_orders_a_second_of_every_kind_has_room_in_the_log() {
        let each = Kind::ALL.map(|kind| lines_in_a_day(kind).0);
        for (kind, written) in Kind::ALL.into_iter().zip(each) {
            let most = DAY / kind.spacing().seconds().unsigned_abs() + u64::from(kind.burst());
            assert!(written <= most && written + 1 >= most, "{kind:?}: {written}, at most {most}");
        }
        // Each restoring step is two lines; of the other steps there are few.
        let restores = 2 * DAY / limits::RESTORE_SPACING.seconds().unsigned_abs();
        let sum = each.iter().sum::<u64>() + restores;
        assert!(sum + 512 <= ORDERS.lines, "{sum} lines in a day");
    }

    #[test]
    fn what_is_not_written_is_summed_up_later() {
        let mut quota = Quota::default();
        let at = |seconds| RawInstant::MIN.after(Span::from_secs(seconds));
        for _ in 0..Kind::Refusal.burst() {
            assert_eq!(quota.ask(Kind::Refusal, at(0), Span::ZERO), Some(Unwritten::NONE));
        }
        for _ in 0..5 {
            assert_eq!(quota.ask(Kind::Refusal, at(59), Span::from_millis(2)), None);
        }
        let expected = Unwritten { count: 5, charged: Span::from_millis(10) };
        assert_eq!(quota.ask(Kind::Refusal, at(60), Span::ZERO), Some(expected));
        assert_eq!(quota.ask(Kind::Refusal, at(61), Span::ZERO), None);
    }
}
