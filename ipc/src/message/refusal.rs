//! The rows of the governor's table by which an order can be refused, and their names.

use crate::codec::{Decode, Encode};

/// One line for each row: its meaning, and its name.
macro_rules! refusals {
    ($($(#[$doc:meta])* $row:ident = $name:literal,)+) => {
        /// Rows of the governor's table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
        #[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
        pub enum Refusal {
            $($(#[$doc])* $row,)+
        }

        impl Refusal {
            /// All of them, in order.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$row),+];

            /// Its name in the manual, in the log and in the output of `chimerctl` and the service manager.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$row => $name,)+
                }
            }
        }
    };
}

refusals! {
    /// Before the earliest plausible time.
    Floor = "floor",
    /// After the latest plausible time.
    Latest = "latest",
    /// A start step outside the start window, or too many of them.
    StartWindow = "start-window",
    /// A start step too far back.
    StartBack = "start-back",
    /// A start step too far forward.
    StartForward = "start-forward",
    /// A run-time step larger than allowed.
    RunStep = "run-step",
    /// A step forward without evidence that is larger than the operator allows.
    Forward = "forward",
    /// A step too soon after the one before.
    TooSoon = "too-soon",
    /// The governor's own clocks do not confirm the claimed reason.
    Evidence = "evidence",
    /// The phase budget is used up.
    Budget = "budget",
    /// Base frequency outside its band.
    Band = "band",
    /// Frequency and slew together above the total limit.
    Total = "total",
    /// More orders than one a second.
    Rate = "rate",
    /// An order from before a discontinuity.
    StaleEpoch = "stale-epoch",
    /// An order that was decided more than 2 s ago, or in the future.
    Stale = "stale",
    /// A value that its row never allows.
    Range = "range",
    /// A leap second on a day on which none can occur.
    LeapDate = "leap-date",
    /// A leap second too soon after the one before.
    LeapTooSoon = "leap-too-soon",
    /// TAI − UTC that does not follow from the kernel's, or too many changes of it.
    Tai = "tai",
    /// The charge cannot be recorded.
    NoPersist = "no-persist",
    /// The kernel refused (no CAP_SYS_TIME, for instance).
    Clock = "clock",
    /// There is no clock to steer.
    NoClock = "no-clock",
    /// "Synchronised" without an applied order in the last 3 hours.
    Unproven = "unproven",
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn each_refusal_is_in_the_list(refusal: Refusal) {
            prop_assert!(Refusal::ALL.contains(&refusal));
        }
    }
}
