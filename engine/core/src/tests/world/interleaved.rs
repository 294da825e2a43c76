//! A server that knows when its replies have really left (RFC 9769), and tells it to who asks.

use super::*;

/// What it has of interleaved mode.
#[derive(Default)]
pub struct Interleaves {
    /// How long after the time in them its replies leave at least, seconds; a tenth of it more on average.
    pub late: f64,
    /// It does not tell.
    pub refuses: bool,
    /// Queries in this mode get lost.
    pub loses: bool,
    /// What it tells in this mode is the time of the reply itself.
    pub confuses: bool,
    /// It tells as often as it is asked.
    pub repeats: bool,
    /// Receive timestamps, and when the reply to that query left, 2^-32 s.
    pub left: Vec<(u64, u64)>,
    /// Replies in this mode.
    pub told: usize,
}

impl World {
    /// When the reply leaves, which was stamped at `answered`, true time in nanoseconds; its header in the mode that the query asks for.
    /// None: it is lost.
    pub(super) fn departure(
        &mut self,
        at: usize,
        request: &Header,
        header: &mut ReplyHeader,
        answered: i64,
        stamp: impl Fn(i64) -> u64,
    ) -> Option<i64> {
        let Some(server) = &mut self.servers[at].interleaves else { return Some(answered) };
        let late = server.late + self.random.exponential((server.late / 10.0).max(1e-12));
        let departed = answered + (late * 1e9) as i64;
        if server.loses && request.receive_timestamp != 0 {
            return None;
        }
        let place = server.left.iter().position(|(name, _)| *name == request.origin_timestamp);
        if let Some(place) = place.filter(|_| request.origin_timestamp != 0) {
            let (_, left) = server.left[place];
            if !server.repeats {
                server.left.remove(place);
            }
            if !server.refuses {
                header.origin_timestamp = request.receive_timestamp;
                header.transmit_timestamp = if server.confuses { header.transmit_timestamp } else { left };
                server.told += 1;
            }
        }
        server.left.push((header.receive_timestamp, stamp(departed)));
        Some(departed)
    }
}
