//! The documents of `ipc/report` from the typed state of the engine.

use engine_core::chronicle::HistoryPoint;
use engine_core::io::Now;
use engine_core::recording::RecordingEnd;
use engine_core::recording::replay::{Comparison, Replayed};
use engine_core::status::{
    AssociationStatus, LastReply, ListState, ListStatus, MeasurementStatus, SourceMeasurements, SourceReason,
    SourceStatus, Status, SystemStatus,
};
use ipc::calendar::Date;
use ipc::departure::Departure;
use ipc::message::exchange::Families;
use ipc::message::privileged::{ClockKind, Refusal};
use ipc::units::{Leap, WallTime};
use report::{
    ClockName, EndName, FORMAT, LastReplyReport, LeapName, MeasurementReport, NtsReport, Replay, Report,
    SourceActivity, SourceReport, SymmetricKeyReport, SystemReport, Verdict,
};
use sentence::{ALWAYS, Sentence, change, keyed};
use std::net::SocketAddr;

/// The state of the clock and of the sources.
pub fn report(status: Status) -> Report {
    Report { system: system(status.system), sources: status.sources.into_iter().map(source).collect() }
}

/// The name of a clock.
pub const fn clock_name(clock: ClockKind) -> ClockName {
    match clock {
        ClockKind::Kernel => ClockName::Kernel,
        ClockKind::Virtual => ClockName::Virtual,
        ClockKind::None => ClockName::None,
    }
}

/// The word for a leap indicator.
pub const fn leap_name(leap: Leap) -> LeapName {
    match leap {
        Leap::None => LeapName::None,
        Leap::Insert => LeapName::Insert,
        Leap::Delete => LeapName::Delete,
        Leap::Unknown => LeapName::Unknown,
    }
}

fn system(status: SystemStatus) -> SystemReport {
    // Before the first correction, and after a suspend until the next one, none of these is known.
    let measured = |value: f64| status.last_update_s.map(|_| value);
    let steered = |value: f64| (status.clock != ClockKind::None).then_some(value);
    SystemReport {
        clock: clock_name(status.clock),
        synchronised: status.synchronised,
        state: status.state(),
        reason: status.reason.sentence().into_owned(),
        leap: leap_name(status.leap),
        stratum: status.stratum,
        reference_id: Some(status.reference_id).filter(|id| *id != 0).map(reference_id),
        reference: status.reference.unwrap_or_default(),
        offset_s: measured(status.offset_s),
        estimated_error_s: measured(status.estimated_error_s),
        error_bound_s: measured(status.error_bound_s),
        likely_error_s: measured(status.likely_error_s),
        slew_left_s: steered(status.slew_left_s),
        frequency_ppm: steered(status.frequency_ppm),
        frequency_error_ppm: measured(status.frequency_error_ppm),
        root_delay_s: measured(status.root_delay_s),
        root_dispersion_s: measured(status.root_dispersion_s),
        last_update_s: status.last_update_s,
        first_update_s: status.first_update_s,
        epoch: status.epoch,
        steps: status.steps,
        refusals: status.refusals,
        last_refusal: status.last_refusal.map_or("", Refusal::name).to_owned(),
        one_operator: status.one_operator,
        pauses_shown_by: status.pauses.map(|pauses| {
            let words = [("rtc", pauses.rtc), ("vmclock", pauses.vmclock)];
            words.into_iter().filter(|(_, is_there)| *is_there).map(|(word, _)| word.to_owned()).collect()
        }),
        pauses: status.pauses.map(|pauses| pauses.shown(status.forward_steps).to_owned()),
        deciding: status.resilience.map(|it| count(it.deciding)),
        may_fall_silent: status.resilience.map(|it| count(it.silent)),
        may_be_wrong: status.resilience.map(|it| count(it.lying)),
        losses: status.resilience.map(|it| it.sentence().into_owned()),
        followed_sources: status.authentication.map(|it| count(it.followed)),
        authenticated_sources: status.authentication.map(|it| count(it.authenticated)),
        authenticated_for_s: status.authentication.and_then(|it| it.for_s),
        authentication: status.authentication.map(|it| it.sentence().into_owned()),
        tai_offset_s: status.tai_offset.map(u32::from),
        leap_list: status.leap_list.map(leap_list),
        leap_list_expires_unix_s: status.leap_list.map(|list| list.expires),
    }
}

/// What the list of leap seconds is worth, and what to do about it.
fn leap_list(list: ListStatus) -> String {
    let end = Date::of_day(list.expires / 86_400);
    match list.state {
        ListState::Good => format!("in force until {end}"),
        ListState::Ending => {
            format!("ends on {end}, in {} days: install a newer tzdata, then chimerctl reload", list.days)
        }
        ListState::Expired => {
            format!("ended on {end} and counts for nothing: install a newer tzdata, then chimerctl reload")
        }
        ListState::Future => {
            "written in the future by the time of the sources, and counts for nothing: check both".into()
        }
    }
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

fn addresses(departure: &Departure) -> Vec<String> {
    departure.from.iter().flatten().map(|address| address.ip().to_string()).collect()
}

/// Why it has its state.
fn reason(status: &SourceStatus) -> String {
    let is_silent = matches!(status.reason, SourceReason::NeverReplied { .. } | SourceReason::Silent { .. });
    let key = status.key.as_ref().filter(|_| is_silent).map(|key| key.number);
    keyed(status.reason.sentence(), key).into_owned()
}

fn source(status: SourceStatus) -> SourceReport {
    SourceReport {
        state: status.state(),
        reason: reason(&status),
        name: status.name,
        address: address(status.address),
        authenticated: status.authenticated,
        nts: status.nts.map(association),
        stratum: status.stratum,
        reference_id: status.reference_id.map(reference_id),
        reach: status.reach,
        poll: status.poll,
        next_poll_s: status.next_poll_s,
        offset_s: status.offset_s,
        offset_error_s: status.offset_error_s,
        delay_s: status.delay_s,
        jitter_s: status.jitter_s,
        root_distance_s: status.root_distance_s,
        sent: status.sent,
        valid: status.valid,
        last_valid_s: status.last_valid_s,
        rejected: status.rejected,
        change: match status.activity {
            _ if status.marks.noselect => ALWAYS.to_owned(),
            SourceActivity::Offline => "it is asked again after chimerctl online".to_owned(),
            _ => change(&status.reason).into_owned(),
        },
        activity: status.activity,
        samples: status.samples,
        span_s: status.span_s,
        deviation_s: status.deviation_s,
        frequency_ppm: status.frequency_ppm.map(|(frequency, _)| frequency),
        frequency_error_ppm: status.frequency_ppm.map(|(_, error)| error),
        // The engine does not know of files.
        offered_by: None,
        noselect: status.marks.noselect,
        prefer: status.marks.prefer,
        trust: status.marks.trust,
        require: status.marks.require,
        last_reply: status.last_reply.map(last_reply),
        correction_s: status.marks.correction_s,
        min_stratum: status.marks.min_stratum,
        family: match status.marks.families {
            Families::Both => None,
            Families::V4 => Some("ipv4".to_owned()),
            Families::V6 => Some("ipv6".to_owned()),
        },
        send_from: addresses(&status.marks.departure),
        send_over: status.marks.departure.interface.map(|name| name.as_str().to_owned()),
        dscp: status.marks.departure.dscp,
        key: status.key.map(|key| SymmetricKeyReport {
            number: key.number,
            kind: key.kind.name().to_owned(),
            bits: key.bits,
        }),
    }
}

fn last_reply(reply: LastReply) -> LastReplyReport {
    LastReplyReport {
        leap: leap_name(reply.leap),
        version: reply.version,
        precision: reply.precision,
        root_delay_s: reply.root_delay_s,
        root_dispersion_s: reply.root_dispersion_s,
        reference_time_unix_s: reply.reference_time.map(microseconds),
        response_s: reply.response_s,
        departure_stamp: reply.left,
        arrival_stamp: reply.came,
        interleaved: reply.interleaved,
        local_address: reply.local.map(|ip| ip.to_canonical().to_string()),
    }
}

/// As seconds, to the microsecond.
fn microseconds(nanos: i64) -> f64 {
    (nanos / 1_000) as f64 / 1e6
}

/// The last measurements of a source.
pub fn measurements(status: SourceMeasurements) -> report::SourceMeasurements {
    let measurement = |status: MeasurementStatus| MeasurementReport {
        ago_s: status.ago_s,
        offset_s: status.offset_s,
        delay_s: status.delay_s,
        root_distance_s: status.root_distance_s,
        outcome: status.outcome,
        test: status.test,
        stamps: status.stamps,
    };
    report::SourceMeasurements {
        name: status.name,
        address: address(status.address),
        measurements: status.measurements.into_iter().map(measurement).collect(),
    }
}

/// A part of the course of the clock.
pub fn history(point: HistoryPoint, now: Now) -> report::HistoryPoint {
    let HistoryPoint { until, offset, bound, likely, frequency, used, synchronised, stepped, gap } = point;
    report::HistoryPoint {
        ago_s: milliseconds(now.raw.elapsed_since(until.raw).nanos()),
        until_unix_s: unix(until.wall),
        offset_s: offset.map(|(mean, _, _)| short(mean)),
        offset_least_s: offset.map(|(_, least, _)| short(least)),
        offset_largest_s: offset.map(|(_, _, largest)| short(largest)),
        error_bound_s: bound.map(short),
        likely_error_s: likely.map(short),
        frequency_ppm: frequency.map(short),
        used,
        synchronised,
        stepped_s: stepped,
        gap,
    }
}

/// Seconds since 1970, to the millisecond.
pub fn unix(wall: WallTime) -> f64 {
    milliseconds(wall.nanos())
}

/// As seconds, to the millisecond.
fn milliseconds(nanos: i64) -> f64 {
    (nanos / 1_000_000) as f64 / 1e3
}

/// In as many digits as it is kept.
fn short(value: f64) -> f64 {
    (value as f32).to_string().parse().unwrap_or(value)
}

/// Address and port; empty: none.
fn address(address: Option<SocketAddr>) -> String {
    address.map_or_else(String::new, |address| address.to_string())
}

fn association(status: AssociationStatus) -> NtsReport {
    NtsReport {
        state: status.state,
        last_exchange: match status.last_exchange {
            None => String::new(),
            Some(Ok(())) => "it succeeded".to_owned(),
            Some(Err(failure)) => failure.sentence().into_owned(),
        },
        next_exchange_s: status.next_exchange_s,
        exchanges: status.exchanges,
        failures: status.failures,
        aead: status.aead,
        key_age_s: status.key_age_s,
        restored: status.restored,
        cookies: status.cookies,
        redirected: status.redirected,
        naks: status.naks,
        certificate_until: status.certificate_until,
        organisation: status.organisation.as_str().to_owned(),
        one_operator: status.one_operator,
    }
}

/// Eight hexadecimal digits.
pub fn reference_id(id: u32) -> String {
    format!("{id:08x}")
}

/// The result of a replay.
pub fn replay(replayed: Replayed) -> Replay {
    let detail = replayed.comparison.sentence().into_owned();
    let verdict = match replayed.comparison {
        Comparison::Equal => Verdict::Equal,
        Comparison::Different { .. } => Verdict::Different,
        Comparison::Damaged { .. } => Verdict::Damaged,
    };
    let (begun, seconds) = replayed.period.map_or((0, 0.0), |(begun, ended)| {
        (begun.wall.nanos(), ended.raw.since(begun.raw).nanos() as f64 * 1e-9)
    });
    let system = replayed.system.map(system);
    Replay {
        verdict,
        detail,
        at_input: if verdict == Verdict::Equal { 0 } else { replayed.calls },
        end: match replayed.end {
            Some(RecordingEnd::Orderly) => EndName::Orderly,
            Some(RecordingEnd::Full) => EndName::Full,
            None => EndName::Cut,
        },
        build: replayed.build,
        begun_ns: begun,
        seconds,
        inputs: replayed.inputs,
        outputs: replayed.outputs,
        state: system.as_ref().map(|system| system.state),
        offset_s: system.as_ref().and_then(|system| system.offset_s),
        frequency_ppm: system.as_ref().and_then(|system| system.frequency_ppm),
        reason: system.map_or_else(String::new, |system| system.reason),
        digest: ipc::text::Hex(&replayed.digest).to_string(),
        format: FORMAT,
    }
}
