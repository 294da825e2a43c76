//! What became of a step that an administrator asked for, as a typed value.

use ipc::message::privileged::Refusal;

/// What became of a step that an administrator asked for. Positive: the clock was, or is, behind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HandStep {
    /// The clock was moved by so many seconds.
    Made {
        /// Positive: forward.
        moved_s: f64,
    },
    /// The governor refused it.
    Refused {
        /// The row.
        code: Refusal,
        /// The offset for which it was ordered, in seconds.
        offset_s: f64,
    },
    /// It was not ordered.
    Impossible(NoStep),
}

/// Why a step cannot be ordered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NoStep {
    /// No clock is steered.
    NoClock,
    /// The first correction is not made, which is a step by itself where one is due.
    Early,
    /// Another program has moved the clock, and the sources are being asked about that.
    Foreign,
    /// There is no time to step to: the sources do not agree, or do not answer.
    NoTime,
    /// The clock is near its sources.
    Near {
        /// Its offset, in seconds.
        offset_s: f64,
    },
}
