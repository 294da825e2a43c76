//! What the last valid reply of a source was like, and how it came. Only reports have it.

use crate::measured::origin;
use crate::measurement::Times;
use crate::sanity::unix_nanos;
use core::net::IpAddr;
use ipc::address::Address;
use ipc::message::client::{ReplyHeader, Stamp};
use ipc::units::Leap;
use protocol::timestamp::short_to_nanos;
use report::StampOrigin;

/// What a valid reply of a source was like, and how it came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastReply {
    /// Leap indicator.
    pub leap: Leap,
    /// Version of NTP.
    pub version: u8,
    /// Precision of the server's clock, log2 s.
    pub precision: i8,
    /// Root delay of the server, in seconds.
    pub root_delay_s: f64,
    /// Root dispersion of the server, in seconds.
    pub root_dispersion_s: f64,
    /// When the server's clock was last corrected, nanoseconds since 1970; none: it says nothing of that.
    pub reference_time: Option<i64>,
    /// From the arrival of the query at the server to the departure of the reply, by the server's clock, in seconds; none: it
    /// says nothing of that.
    pub response_s: Option<f64>,
    /// Who took the time of departure of the query.
    pub left: StampOrigin,
    /// Who took the time of arrival of the reply.
    pub came: StampOrigin,
    /// The address of this host from which the query was sent; none: not known.
    pub local: Option<IpAddr>,
    /// It came in interleaved mode (RFC 9769), and measured the exchange before.
    pub interleaved: bool,
}

/// How a query left, and its reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Journey {
    /// The address of this host that it left from.
    pub(crate) local: Address,
    pub(crate) left: Stamp,
    pub(crate) came: Stamp,
}

impl LastReply {
    /// `floor`: the earliest plausible time, nanoseconds since 1970.
    pub(crate) fn new(header: &ReplyHeader, journey: &Journey, floor: i64) -> Self {
        let seconds = |short| short_to_nanos(short) as f64 * 1e-9;
        let wall = |bits: u64| (bits != 0).then(|| unix_nanos(bits, floor));
        let turnaround = wall(header.receive_timestamp)
            .zip(wall(header.transmit_timestamp))
            .map(|(arrived, left)| left.saturating_sub(arrived) as f64 * 1e-9);
        let ip: IpAddr = journey.local.ip();
        Self {
            leap: header.leap,
            version: header.version,
            precision: header.precision,
            root_delay_s: seconds(header.root_delay),
            root_dispersion_s: seconds(header.root_dispersion),
            reference_time: wall(header.reference_timestamp),
            response_s: turnaround.filter(|response| *response >= 0.0),
            left: origin(journey.left),
            came: origin(journey.came),
            local: Some(ip).filter(|ip| !ip.is_unspecified()),
            interleaved: false,
        }
    }

    /// `earlier`: the times of the exchange that it tells the departure of, if it came in interleaved mode.
    pub(crate) fn of_mode(self, earlier: Option<Times>) -> Self {
        let Some(Times { t2, t3, .. }) = earlier else { return self };
        let response_s = Some(t3.saturating_sub(t2) as f64 * 1e-9).filter(|response| *response >= 0.0);
        Self { interleaved: true, response_s, ..self }
    }
}
