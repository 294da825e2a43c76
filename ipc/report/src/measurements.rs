//! Reply to `measurements`.

use crate::reason::{MeasurementOutcome, StampOrigin};
use crate::rejection::RejectReason;
use alloc::string::String;
use alloc::vec::Vec;

documents! {
    /// Reply to `measurements`.
    MeasurementsReply {
        /// In the order of the reply to `sources`.
        sources: Vec<SourceMeasurements>,
        /// The version of the form of this document ([`FORMAT`](crate::FORMAT)).
        format: u32,
    }

    /// The last measurements of a source.
    SourceMeasurements {
        /// The name as configured.
        name: String,
        /// Address and port; empty while it is not known.
        address: String,
        /// At most 16, the newest first.
        measurements: Vec<MeasurementReport>,
    }

    /// One measurement, or one reply that failed a packet test.
    MeasurementReport {
        /// Seconds since the reply came.
        ago_s: f64,
        /// Offset of the clock at that time by this reply alone, in seconds; positive: the clock was behind. None, like the next
        /// two fields, if it was not measured.
        offset_s: Option<f64>,
        /// Round trip, in seconds.
        delay_s: Option<f64>,
        /// Root distance of this measurement alone, in seconds.
        root_distance_s: Option<f64>,
        /// What became of it.
        outcome: MeasurementOutcome,
        /// The packet test that it failed; none: it passed them.
        test: Option<RejectReason>,
        /// Who took its times; none: they were not looked at.
        stamps: Option<StampOrigin>,
    }
}
