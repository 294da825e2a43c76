//! A replay.

use alloc::collections::BTreeMap;
use alloc::string::String;

documents! {
    /// What a replay found: the answer of the engine that `chimerctl replay` starts.
    Replay {
        /// `equal`, `different` or `damaged`.
        verdict: &'static str,
        /// Where and how, for the latter two.
        detail: String,
        /// Which input it was, counted from 1; 0: none.
        at_input: u64,
        /// How the record ends: `orderly`, `full` (its engine went on), or `cut` (the process or the disk ended it).
        end: &'static str,
        /// The build.
        build: String,
        /// The steered clock at the first input, nanoseconds since 1970.
        begun_ns: i64,
        /// Seconds from the first input to the last one, by CLOCK_MONOTONIC_RAW.
        seconds: f64,
        /// Inputs replayed, by kind.
        inputs: BTreeMap<&'static str, u64>,
        /// What the engine did, by kind.
        outputs: BTreeMap<&'static str, u64>,
        /// State of the engine after the last input.
        state: &'static str,
        /// The sentence that goes with it.
        reason: String,
        /// Estimated offset of the clock then, seconds; positive: behind.
        offset_s: f64,
        /// Base frequency in force then, ppm.
        frequency_ppm: f64,
        /// Digest of all, 64 hexadecimal digits: the same on every machine.
        digest: String,
    }
}
