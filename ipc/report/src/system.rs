//! The clock.

use crate::reason::{ClockName, LeapName, SystemState};
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
        /// The clock that is steered.
        clock: ClockName,
        /// Whether the clock follows its sources.
        synchronised: bool,
        /// The state.
        state: SystemState,
        /// Why the state is what it is, and what to do about it, in one sentence.
        reason: String,
        /// The leap indicator.
        leap: LeapName,
        /// Stratum of this host; 16: unsynchronised.
        stratum: u8,
        /// Reference id, eight hexadecimal digits; none: no source was followed yet.
        reference_id: Option<String>,
        /// Name of the source that the reference id denotes; empty: none.
        reference: String,
        /// Estimated offset of the clock now, in seconds; positive: the clock is behind. None, like the next three fields,
        /// `frequency_error_ppm`, `root_delay_s` and `root_dispersion_s`, before the first correction, and after a suspend until
        /// the next one.
        offset_s: Option<f64>,
        /// Standard deviation of the offset, in seconds.
        estimated_error_s: Option<f64>,
        /// Bound of the offset's error, in seconds, provided that the selected sources are truechimers.
        error_bound_s: Option<f64>,
        /// By the model, the offset's error is above this with a probability of 1e-6, in seconds. It is no bound, and below
        /// the bound; null where nothing is likely yet.
        likely_error_s: Option<f64>,
        /// Remaining slew, in seconds; none, like the next field: no clock is steered.
        slew_left_s: Option<f64>,
        /// Base frequency in force, in ppm; positive: the clock is made faster.
        frequency_ppm: Option<f64>,
        /// Standard deviation of the frequency, in ppm.
        frequency_error_ppm: Option<f64>,
        /// Root delay, in seconds.
        root_delay_s: Option<f64>,
        /// Root dispersion, in seconds.
        root_dispersion_s: Option<f64>,
        /// Seconds since the last correction; none: never.
        last_update_s: Option<f64>,
        /// Seconds from the start of the engine to the first correction; none: not yet.
        first_update_s: Option<f64>,
        /// Number of discontinuities of the clock so far.
        epoch: u32,
        /// Number of steps.
        steps: u32,
        /// Number of orders that the governor refused.
        refusals: u32,
        /// Name of the last refusal; empty: none.
        last_refusal: String,
        /// Names of sources whose certificates show the operator of another source (`one_operator` of each says whose). It
        /// changes no vote.
        one_operator: Vec<String>,
        /// What can show that the machine was paused, migrated or restored: "rtc", "vmclock", neither or both. None: no clock is
        /// steered.
        pauses_shown_by: Option<Vec<String>>,
        /// The same, and what to do where it is nothing, in one sentence.
        pauses: Option<String>,
        /// Sources with a vote that answer and agree. None, like the next three fields: there is no majority to follow.
        deciding: Option<u32>,
        /// So many of these may fall silent, whichever they are, and the clock goes on being corrected.
        may_fall_silent: Option<u32>,
        /// So many of these may be wrong, whichever they are, and are outvoted.
        may_be_wrong: Option<u32>,
        /// The same in one sentence.
        losses: Option<String>,
        /// Sources that the clock follows. None, like the next three fields: no source is followed.
        followed_sources: Option<u32>,
        /// So many of them are authenticated.
        authenticated_sources: Option<u32>,
        /// How long nothing but authenticated sources has corrected the clock, in seconds; none: others do.
        authenticated_for_s: Option<f64>,
        /// The same in one sentence.
        authentication: Option<String>,
        /// TAI − UTC as the kernel has it, in seconds; none: it was not told, or that is not known right now.
        tai_offset_s: Option<u32>,
        /// What the list of leap seconds is worth, in one sentence. None, like the next field: none is used, or the time is not known.
        leap_list: Option<String>,
        /// When it ends, in seconds since 1970.
        leap_list_expires_unix_s: Option<i64>,
    }
}
