//! What replies to `status` say of what is kept for auditors: the history of minutes, and what Roughtime servers signed.

use alloc::string::String;
use alloc::vec::Vec;

documents! {
    /// The history of minutes, as it is written.
    HistoryFileReply {
        /// Whether it is written now.
        written: bool,
        /// Why not, and what to do about it, in one sentence; none: it is.
        reason: Option<String>,
        /// How many records there have been since its file was begun; none: nothing of this run is there yet.
        records: Option<u64>,
        /// The steered clock at the oldest record that is kept, in seconds since 1970.
        first_unix_s: Option<i64>,
        /// At the newest.
        last_unix_s: Option<i64>,
        /// Records that wait in memory until it can be written.
        waiting: u32,
        /// Its end, in records, that stands in the audit log, where one of this run does.
        noted_records: Option<u64>,
        /// Since when, in seconds since 1970.
        noted_unix_s: Option<i64>,
        /// What was found at the start to be missing in it, in one sentence; none: nothing.
        lack: Option<String>,
    }

    /// What is known of Roughtime.
    RoughtimeReply {
        /// How many servers are configured.
        servers: u32,
        /// How many of them gave valid answers in the last round; none: no round has ended.
        answered: Option<u32>,
        /// How long ago it ended, in seconds.
        last_round_s: Option<f64>,
        /// Rounds without a result since the last one with a result.
        failed_rounds: u32,
        /// True time is not before this, in seconds since 1970, by what most of the servers have signed; none: nothing is known.
        earliest_unix_s: Option<f64>,
        /// And not after this.
        latest_unix_s: Option<f64>,
        /// How many anchors of audit log and history there have been since their file was begun; none: it is not known, or none are kept.
        anchors: Option<u64>,
        /// When the last one was made, by the steered clock, in seconds since 1970.
        last_anchor_unix_s: Option<i64>,
        /// Why anchors cannot be written, or what is missing of them, in one sentence; none: nothing.
        anchors_reason: Option<String>,
        /// Servers that have signed a wrong time, a sentence of each.
        lying: Vec<String>,
        /// Servers that gave no valid answer in the last round, a sentence of each.
        silent: Vec<String>,
    }
}
