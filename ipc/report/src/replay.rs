//! The result of a replay.

use crate::reason::{EndName, SystemState, Verdict};
use alloc::collections::BTreeMap;
use alloc::string::String;

documents! {
    /// The result of a replay: the answer of the engine that `chimerctl replay` starts.
    Replay {
        /// The verdict.
        verdict: Verdict,
        /// Place and kind of the difference or damage; empty: there is none.
        detail: String,
        /// Number of the call at which the difference or damage was found, counted from 1; 0: none.
        at_input: u64,
        /// How the recording ends.
        end: EndName,
        /// The build.
        build: String,
        /// The steered clock at the first call, in nanoseconds since 1970.
        begun_ns: i64,
        /// Seconds from the first call to the last, by CLOCK_MONOTONIC_RAW.
        seconds: f64,
        /// Number of calls that were replayed, by kind.
        inputs: BTreeMap<&'static str, u64>,
        /// Number of outputs, by kind.
        outputs: BTreeMap<&'static str, u64>,
        /// State of the clock after the last call; none: nothing was replayed.
        state: Option<SystemState>,
        /// The reason for the state, in one sentence.
        reason: String,
        /// Estimated offset of the clock after the last call, in seconds; positive: the clock is behind. None: it
        /// was never measured.
        offset_s: Option<f64>,
        /// Base frequency in force after the last call, in ppm; none: no clock was steered.
        frequency_ppm: Option<f64>,
        /// Digest of all effects, 64 hexadecimal digits: the same on every machine.
        digest: String,
        /// The version of the form of this document ([`FORMAT`](crate::FORMAT)).
        format: u32,
    }
}
