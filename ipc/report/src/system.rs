//! The clock.

use crate::source::SourceReport;
use alloc::string::String;
use alloc::vec::Vec;

documents! {
    /// The whole engine at one moment.
    Report {
        /// The clock.
        system: SystemReport,
        /// Sources, in the order of the configuration.
        sources: Vec<SourceReport>,
    }

    /// The clock.
    SystemReport {
        /// `kernel`, `virtual` or `none`.
        clock: &'static str,
        /// Whether the clock follows its sources.
        synchronised: bool,
        /// One word: `starting`, `synchronised`, `holdover`, `no-majority`, `no-sources`, `refused`, ….
        state: &'static str,
        /// A sentence that says why the state is what it is and what to do about it.
        reason: String,
        /// `none`, `insert`, `delete` or `unknown`.
        leap: &'static str,
        /// Stratum of this host, 16: unsynchronised.
        stratum: u8,
        /// Reference id, eight hexadecimal digits.
        reference_id: String,
        /// Name of the source that the reference id denotes; empty: none.
        reference: String,
        /// Estimated offset of the clock now, in seconds; positive: it is behind.
        offset_s: f64,
        /// Standard deviation of that estimate.
        estimated_error_s: f64,
        /// The true offset is nearer than this, provided the selected sources are honest.
        error_bound_s: f64,
        /// What is left of the slew, seconds.
        slew_left_s: f64,
        /// Base frequency in force, ppm; positive: the clock is made faster.
        frequency_ppm: f64,
        /// Standard deviation of the frequency.
        frequency_error_ppm: f64,
        /// Round trip to the reference clock, seconds.
        root_delay_s: f64,
        /// Error bound to the reference clock, seconds.
        root_dispersion_s: f64,
        /// Seconds since the last correction; none: never.
        last_update_s: Option<f64>,
        /// Seconds from the start of the engine to the first correction; none: not yet.
        first_update_s: Option<f64>,
        /// Discontinuities of the clock so far.
        epoch: u32,
        /// Steps made.
        steps: u32,
        /// Orders refused by the governor.
        refusals: u32,
        /// The last refusal, by name; empty: none.
        last_refusal: String,
    }
}
