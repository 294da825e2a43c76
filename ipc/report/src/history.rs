//! Reply to `history`.

use alloc::vec::Vec;

words! {
    /// How much of the past is asked for.
    HistorySpan {
        /// The last hour.
        Hour = "hour",
        /// The last day.
        Day = "day",
        /// The last week.
        Week = "week",
    }
}

documents! {
    /// Reply to `history`: the course of the clock, since the start of the daemon at most.
    HistoryReply {
        /// What was asked for.
        span: HistorySpan,
        /// The length of a point, in seconds.
        resolution_s: u32,
        /// What the clock says now, in seconds since 1970.
        now_unix_s: f64,
        /// The oldest first. The last one may be shorter. Where the ages of two differ by more than the length, nothing is known of
        /// the time between them.
        points: Vec<HistoryPoint>,
        /// The version of the form of this document ([`FORMAT`](crate::FORMAT)).
        format: u32,
    }

    /// A part of the course.
    HistoryPoint {
        /// Seconds since its end, by a counter that is never stepped and stands still while the machine is suspended.
        ago_s: f64,
        /// What the clock said at its end, in seconds since 1970.
        until_unix_s: f64,
        /// The mean offset of the clock, in seconds; positive: the clock was behind. None, like the next four fields, if no offset
        /// was known.
        offset_s: Option<f64>,
        /// The least offset, in seconds.
        offset_least_s: Option<f64>,
        /// The largest offset, in seconds.
        offset_largest_s: Option<f64>,
        /// The largest bound of the offset's error, in seconds.
        error_bound_s: Option<f64>,
        /// The largest likely error, in seconds; none: at some time of it nothing was likely.
        likely_error_s: Option<f64>,
        /// Base frequency in force at its end, in ppm; none: no clock is steered.
        frequency_ppm: Option<f64>,
        /// The smallest number of sources that were used.
        used: u8,
        /// Whether the clock was synchronised all the time.
        synchronised: bool,
        /// Sum of the steps of the clock, the daemon's and those of other programs that it noticed, in seconds; none: there was none.
        stepped_s: Option<f64>,
        /// Whether the clock stood still (a suspend, a pause of the machine), or nothing is known of a part of it.
        gap: bool,
    }
}
