//! A line of each file, with the columns, widths, units and signs of chrony 4. truechimer-chrony-logs(8) has the table: which
//! value of the daemon each column is, and what chrony's format has where there is none.
//!
//! truechimer's offsets are positive where the local clock is behind. So is chrony's in measurements.log; in the two other
//! files it is positive where the local clock is ahead.

use crate::number::{scientific, time};
use report::read::{CorrectionReport, MeasuredReport};
use report::{LeapName, RejectReason, StampOrigin, Word};
use std::net::{IpAddr, SocketAddr};

/// The banner of measurements.log.
pub const MEASUREMENTS: &str = "   Date (UTC) Time     IP Address   L St 123 567 ABCD  LP RP Score    Offset  Peer del. Peer disp.  Root del. Root disp. Refid     MTxRx";

/// The banner of statistics.log.
pub const STATISTICS: &str = "   Date (UTC) Time     IP Address    Std dev'n Est offset  Offset sd  Diff freq   Est skew  Stress  Ns  Bs  Nr  Asym";

/// The banner of tracking.log.
pub const TRACKING: &str = "   Date (UTC) Time     IP Address   St   Freq ppm   Skew ppm     Offset L Co  Offset sd Rem. corr. Root delay Root disp. Max. error";

/// Results of the packet tests, if all are passed.
const PASSED: &str = "111 111 1111";

/// One measurement; none: chronyd writes no line of such a reply. `raw`: of replies that failed a test too.
pub fn measurement(it: &MeasuredReport, raw: bool) -> Option<String> {
    let tests = match &it.test {
        None => PASSED,
        Some(test) => tests(test.known())?,
    };
    if tests != PASSED && !raw {
        return None;
    }
    let ip = ip(it.address.as_deref())?;
    let value = |value: Option<f64>| scientific(value.unwrap_or(0.0), 10, 3);
    let id = it.reference_id.as_deref().and_then(|id| u32::from_str_radix(id, 16).ok()).unwrap_or(0);
    Some(format!(
        "{} {:<15} {} {:>2} {tests}  {:>2} {:>2} 0.00 {} {} {} {} {} {id:08X} 4{} {} {}",
        time(it.at_unix_s.unwrap_or(f64::NAN)),
        ip.to_string(),
        leap(it.leap.as_ref()),
        it.stratum.unwrap_or(0),
        it.poll.unwrap_or(0),
        it.reply_poll.unwrap_or(0),
        value(it.offset_s),
        value(it.delay_s),
        value(it.dispersion_s),
        value(it.root_delay_s),
        value(it.root_dispersion_s),
        if it.interleaved == Some(true) { 'I' } else { 'B' },
        stamp(it.sent_stamp.as_ref()),
        stamp(it.received_stamp.as_ref()),
    ))
}

/// The tests 1, 2, 3, 5, 6 and 7 of RFC 5905 and chrony's own A to D: 0 where this one is, and in the latter where one of the former
/// is. None: chronyd does not get as far
/// with such a packet.
fn tests(failed: Option<RejectReason>) -> Option<&'static str> {
    use RejectReason as Reason;
    Some(match failed {
        Some(Reason::Version | Reason::Mode | Reason::Malformed | Reason::Source) => return None,
        Some(Reason::Origin) => "101 111 0000",
        Some(Reason::BadInterval) => "110 111 0000",
        Some(
            Reason::Certificate
            | Reason::UnexpectedMac
            | Reason::Unprotected
            | Reason::Forged
            | Reason::Identifier
            | Reason::NtsFields
            | Reason::NtsNak
            | Reason::CryptoNak,
        ) => "111 011 0000",
        Some(Reason::LeapUnknown | Reason::Unsynchronised | Reason::Kiss) => "111 101 0000",
        Some(Reason::RootDistance) => "111 110 0000",
        Some(Reason::Itself | Reason::Loop | Reason::ReferenceIds) => "111 111 1110",
        // Delay, precision, plausibility, and what chrony has no test for.
        Some(_) | None => "111 111 0111",
    })
}

/// The estimate of a source after a measurement; none: chronyd writes no line before it knows a frequency.
pub fn statistics(it: &MeasuredReport) -> Option<String> {
    let ip = ip(it.address.as_deref())?;
    let (frequency, skew) = it.frequency_ppm.zip(it.frequency_error_ppm)?;
    let values = [
        it.deviation_s?,
        0.0 - it.estimate_s?,
        it.estimate_error_s?,
        // chrony's is that of the local clock beside the source.
        0.0 - frequency * 1e-6,
        skew * 1e-6,
    ];
    let values = values.map(|value| scientific(value, 10, 3)).join(" ");
    // Stress, pruned samples and runs of residuals belong to chrony's regression, as does its asymmetry.
    let (at, samples) = (it.at_unix_s.unwrap_or(f64::NAN), it.samples?);
    Some(format!("{} {:<15} {values} 0.0e+00 {samples:>3}   0   0  0.00", time(at), ip.to_string()))
}

/// A correction of the clock; none: a value is missing.
pub fn tracking(it: &CorrectionReport) -> Option<String> {
    // As chronyd shows one that it does not know.
    let ip = ip(it.address.as_deref()).unwrap_or(IpAddr::from([0, 0, 0, 0]));
    let value = |value: Option<f64>| value.map(|value| scientific(value, 10, 3));
    Some(format!(
        "{} {:<15} {:>2} {:>10.3} {:>10.3} {} {} {:>2} {} {} {} {} {}",
        time(it.at_unix_s?),
        ip.to_string(),
        it.stratum?,
        // Positive: the clock runs fast without it.
        0.0 - it.frequency_ppm?,
        it.frequency_error_ppm?,
        value(it.offset_s.map(|offset| 0.0 - offset))?,
        leap(it.leap.as_ref()),
        it.used?,
        value(it.estimated_error_s)?,
        value(it.slew_left_s)?,
        value(it.root_delay_s)?,
        value(it.root_dispersion_s)?,
        value(it.error_bound_s)?,
    ))
}

fn ip(address: Option<&str>) -> Option<IpAddr> {
    address?.parse::<SocketAddr>().ok().map(|address| address.ip())
}

fn leap(name: Option<&Word<LeapName>>) -> char {
    match name.and_then(Word::known) {
        Some(LeapName::None) => 'N',
        Some(LeapName::Insert) => '+',
        Some(LeapName::Delete) => '-',
        Some(LeapName::Unknown) | None => '?',
    }
}

fn stamp(origin: Option<&Word<StampOrigin>>) -> char {
    match origin.and_then(Word::known) {
        Some(StampOrigin::Hardware) => 'H',
        Some(StampOrigin::Kernel) => 'K',
        Some(StampOrigin::User) | None => 'D',
    }
}

#[cfg(test)]
mod tests;
