//! The operator's leave for one step, on its way from chimerctl to the keeper: the value of a signal (sigqueue(3)).

use crate::units::Span;

/// How long a leave holds that is given while the daemon runs. The keeper takes none that holds longer.
pub const HOLDS: Span = Span::from_secs(60);

/// The operator permits a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Of at most so many seconds; 0: none any more.
    pub seconds: u32,
    /// Until then: seconds of CLOCK_BOOTTIME. A signal may be read late.
    pub until: u32,
}

impl Permission {
    /// Takes back what was permitted and not used.
    pub const NONE: Self = Self { seconds: 0, until: 0 };

    /// The value that stands for it.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.seconds as u64 | (self.until as u64) << 32
    }

    /// What a value stands for: any is something.
    #[must_use]
    pub const fn from_value(value: u64) -> Self {
        Self { seconds: value as u32, until: (value >> 32) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_the_seconds_below_and_the_end_above() {
        let permission = Permission { seconds: 10, until: 3_600 };
        assert_eq!(permission.value(), 0x0000_0e10_0000_000a);
        for value in [0, 1, u64::MAX, permission.value()] {
            assert_eq!(Permission::from_value(value).value(), value);
        }
        assert_eq!(Permission::from_value(0), Permission::NONE);
    }
}
