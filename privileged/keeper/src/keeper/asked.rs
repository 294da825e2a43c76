//! The text of an order in the audit log.

use ipc::message::privileged::ToPrivileged;
use std::fmt;

/// The requested change, as text for the audit log.
pub struct Asked<'a>(pub &'a ToPrivileged);

impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ToPrivileged::Adjust(order) => write!(
                f,
                "asked=adjust frequency={} slew_ns={} constant={}",
                order.frequency.scaled(),
                order.slew.nanos(),
                order.time_constant.exponent()
            ),
            ToPrivileged::Step(order) => {
                write!(f, "asked=step why={:?} delta_ns={}", order.reason, order.delta.nanos())
            }
            ToPrivileged::SetStatus(status) => {
                write!(f, "asked=status leap={:?} synchronised={}", status.leap, status.synchronised)
            }
            ToPrivileged::SetTai(order) => write!(f, "asked=tai seconds={}", order.seconds),
            _ => f.write_str("asked=nothing"),
        }
    }
}
