//! The rows of the governor's table that an order can be refused by, and their names for people.

use crate::codec::{Decode, Encode};

/// Rows of the governor's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Refusal {
    /// Before the earliest plausible time.
    Floor,
    /// After the latest plausible time.
    Latest,
    /// A start step outside the start window, or too many of them.
    StartWindow,
    /// A start step too far back.
    StartBack,
    /// A start step too far forward.
    StartForward,
    /// A run-time step larger than allowed.
    RunStep,
    /// A step too soon after the one before.
    TooSoon,
    /// The governor's own clocks don't confirm the claimed reason.
    Evidence,
    /// The phase budget is used up.
    Budget,
    /// Base frequency outside its band.
    Band,
    /// Frequency and slew together above the total limit.
    Total,
    /// More orders than one a second.
    Rate,
    /// An order from before a discontinuity.
    StaleEpoch,
    /// An order that was decided more than 2 s ago, or in the future.
    Stale,
    /// A value that its row never allows.
    Range,
    /// A leap second on a day on which none can occur.
    LeapDate,
    /// A leap second too soon after the one before.
    LeapTooSoon,
    /// An impossible TAI offset.
    Tai,
    /// The charge cannot be recorded.
    NoPersist,
    /// The kernel refused (no CAP_SYS_TIME, for instance).
    Clock,
    /// There is no clock to steer.
    NoClock,
    /// "Synchronised" without an applied order in the last 3 hours.
    Unproven,
}

impl Refusal {
    /// All of them, in order.
    pub const ALL: [Self; 22] = {
        let all = [
            Self::Floor,
            Self::Latest,
            Self::StartWindow,
            Self::StartBack,
            Self::StartForward,
            Self::RunStep,
            Self::TooSoon,
            Self::Evidence,
            Self::Budget,
            Self::Band,
            Self::Total,
            Self::Rate,
            Self::StaleEpoch,
            Self::Stale,
            Self::Range,
            Self::LeapDate,
            Self::LeapTooSoon,
            Self::Tai,
            Self::NoPersist,
            Self::Clock,
            Self::NoClock,
            Self::Unproven,
        ];
        let mut at = 0;
        while at < all.len() {
            assert!(all[at] as usize == at, "in the order of the enum");
            at += 1;
        }
        all
    };

    /// Its name in the manual, in the log and in what `chimerctl` and the service manager show.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Latest => "latest",
            Self::StartWindow => "start-window",
            Self::StartBack => "start-back",
            Self::StartForward => "start-forward",
            Self::RunStep => "run-step",
            Self::TooSoon => "too-soon",
            Self::Evidence => "evidence",
            Self::Budget => "budget",
            Self::Band => "band",
            Self::Total => "total",
            Self::Rate => "rate",
            Self::StaleEpoch => "stale-epoch",
            Self::Stale => "stale",
            Self::Range => "range",
            Self::LeapDate => "leap-date",
            Self::LeapTooSoon => "leap-too-soon",
            Self::Tai => "tai",
            Self::NoPersist => "no-persist",
            Self::Clock => "clock",
            Self::NoClock => "no-clock",
            Self::Unproven => "unproven",
        }
    }
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
