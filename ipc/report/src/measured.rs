//! Reply to `measured`.

use crate::reason::{LeapName, MeasurementOutcome, StampOrigin};
use crate::rejection::RejectReason;
use alloc::string::String;
use alloc::vec::Vec;

documents! {
    /// Reply to `measured`: the measurements of all sources, and the corrections of the clock, with a number above `after`.
    MeasuredReply {
        /// Stands for this run of the daemon: numbers of another one mean nothing.
        run: String,
        /// How many of both there were in this run, kept or not.
        counted: u64,
        /// Seconds until the next query of any source; none: no query is scheduled.
        next_query_s: Option<f64>,
        /// The oldest first. Of each source at most 16 are kept. With the corrections at most 128: who gets as many asks again.
        measured: Vec<MeasuredReport>,
        /// The oldest first. At most 128 are kept.
        corrections: Vec<CorrectionReport>,
        /// The version of the form of this document ([`FORMAT`](crate::FORMAT)).
        format: u32,
    }

    /// One measurement, or one reply that failed a packet test.
    MeasuredReport {
        /// Its number in this run, from 1, over all sources and the corrections.
        number: u64,
        /// Name of its source, as configured.
        name: String,
        /// Address and port of its source.
        address: String,
        /// The clock when the reply came, in seconds since 1970, as it was then.
        at_unix_s: f64,
        /// What became of it.
        outcome: MeasurementOutcome,
        /// The packet test that it failed; none: it passed them.
        test: Option<RejectReason>,
        /// Offset of the clock at that time by this reply alone, in seconds; positive: the clock was behind. None, like the next
        /// two fields, if it was not measured.
        offset_s: Option<f64>,
        /// Round trip, in seconds.
        delay_s: Option<f64>,
        /// Standard deviation of what stamps and precision add to each way, in seconds.
        dispersion_s: Option<f64>,
        /// Poll exponent of its source then, log2 s.
        poll: i8,
        /// The leap indicator of the reply, as the next five fields are the reply's.
        leap: LeapName,
        /// Stratum.
        stratum: u8,
        /// Poll exponent, log2 s.
        reply_poll: i8,
        /// Root delay, in seconds.
        root_delay_s: f64,
        /// Root dispersion, in seconds.
        root_dispersion_s: f64,
        /// Reference id, eight hexadecimal digits.
        reference_id: String,
        /// Who took the time at which the query left; none, like the next field: it was not looked at.
        sent_stamp: Option<StampOrigin>,
        /// Who took the time at which the reply came.
        received_stamp: Option<StampOrigin>,
        /// It came in interleaved mode (RFC 9769): what is measured is the exchange before.
        interleaved: bool,
        /// Offset of the clock at that time by the estimate of the source with this measurement, in seconds; positive: the clock
        /// was behind. None, like the next three fields, if it was not measured.
        estimate_s: Option<f64>,
        /// Standard deviation of that, in seconds.
        estimate_error_s: Option<f64>,
        /// Standard deviation of a single measurement, in seconds.
        deviation_s: Option<f64>,
        /// Measurements on which the estimate rests.
        samples: Option<u32>,
        /// How much faster the time of the source runs than the clock did then, beside its slew, in ppm. None: before the second
        /// measurement.
        frequency_ppm: Option<f64>,
        /// Standard deviation of that, in ppm. None: as there.
        frequency_error_ppm: Option<f64>,
    }

    /// A correction of the clock, and what was known then, before it was ordered.
    CorrectionReport {
        /// Its number in this run, from 1, over all sources and the corrections.
        number: u64,
        /// The clock, in seconds since 1970, as it was then.
        at_unix_s: f64,
        /// Address and port of the reference; empty: it is gone.
        address: String,
        /// Stratum that follows from that of the reference.
        stratum: u8,
        /// What the sources announce.
        leap: LeapName,
        /// Sources that are used.
        used: u32,
        /// Estimated offset of the clock, in seconds; positive: it was behind.
        offset_s: f64,
        /// Standard deviation of that, in seconds.
        estimated_error_s: f64,
        /// Bound of the offset's error, in seconds.
        error_bound_s: f64,
        /// What was left of the slew before, in seconds.
        slew_left_s: f64,
        /// Base frequency in force, in ppm; positive: the clock is made faster.
        frequency_ppm: f64,
        /// Standard deviation of the frequency, in ppm.
        frequency_error_ppm: f64,
        /// Root delay, in seconds.
        root_delay_s: f64,
        /// Root dispersion, in seconds.
        root_dispersion_s: f64,
    }
}
