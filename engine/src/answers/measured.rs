//! The reply to `measured`.

use super::write;
use crate::documents::{leap_name, reference_id, unix};
use engine_core::Engine;
use engine_core::io::Now;
use engine_core::measured::{Correction, Measured, MeasuredSince, origin};
use report::{CorrectionReport, FORMAT, MeasuredReply, MeasuredReport};

/// The most in one reply: each is less than 1 KiB long.
const MOST: usize = 128;

/// The measurements with a number above `after`, of the engine that began at `begun`.
pub fn measured(engine: &Engine, begun: Now, after: u64, now: Now) -> String {
    reply(begun, engine.measured(after, MOST, now))
}

pub(super) fn reply(begun: Now, since: MeasuredSince) -> String {
    write(&MeasuredReply {
        run: format!("{:x}-{:x}", begun.raw.nanos(), begun.wall.nanos()),
        counted: since.counted,
        next_query_s: since.next_query_s,
        measured: since.measured.into_iter().map(one).collect(),
        corrections: since.corrections.into_iter().map(correction).collect(),
        format: FORMAT,
    })
}

fn one(Measured { name, address, known }: Measured) -> MeasuredReport {
    let short = |units: u32| f64::from(units) / 65_536.0;
    let rated = known.learned.filter(|learned| learned.samples > 1);
    let part = |index: usize| known.measured.map(|values| values[index]);
    MeasuredReport {
        number: known.number,
        name,
        address: address.to_string(),
        at_unix_s: unix(known.wall),
        outcome: known.outcome,
        test: known.test,
        offset_s: part(0),
        delay_s: part(1),
        dispersion_s: part(2),
        poll: known.poll,
        leap: leap_name(known.said.leap),
        stratum: known.said.stratum,
        reply_poll: known.said.poll,
        root_delay_s: short(known.said.root_delay),
        root_dispersion_s: short(known.said.root_dispersion),
        reference_id: reference_id(known.said.reference_id),
        sent_stamp: known.stamps.map(|(sent, _)| origin(sent)),
        received_stamp: known.stamps.map(|(_, received)| origin(received)),
        interleaved: known.interleaved,
        estimate_s: known.learned.map(|learned| learned.offset),
        estimate_error_s: known.learned.map(|learned| short_of(learned.offset_error)),
        deviation_s: known.learned.map(|learned| short_of(learned.deviation)),
        samples: known.learned.map(|learned| learned.samples),
        frequency_ppm: rated.map(|learned| learned.frequency * 1e6),
        frequency_error_ppm: rated.map(|learned| short_of(learned.frequency_error * 1e6)),
    }
}

fn correction(it: Correction) -> CorrectionReport {
    CorrectionReport {
        number: it.number,
        at_unix_s: unix(it.wall),
        address: it.address.map_or_else(String::new, |address| address.to_string()),
        stratum: it.stratum,
        leap: leap_name(it.leap),
        used: u32::try_from(it.used).unwrap_or(u32::MAX),
        offset_s: it.offset_s,
        estimated_error_s: it.estimated_error_s,
        error_bound_s: it.error_bound_s,
        slew_left_s: it.slew_left_s,
        frequency_ppm: it.frequency_ppm,
        frequency_error_ppm: it.frequency_error_ppm,
        root_delay_s: it.root_delay_s,
        root_dispersion_s: it.root_dispersion_s,
    }
}

/// In as many digits as it is kept.
fn short_of(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine_core::measured::{Known, Learned, Said};
    use ipc::message::client::Stamp;
    use ipc::units::{Leap, RawInstant, WallTime};
    use report::{MeasurementOutcome, RejectReason};

    fn at(raw: i64, wall: i64) -> Now {
        Now { raw: RawInstant::saturating(raw), wall: WallTime::saturating(wall) }
    }

    fn some() -> Vec<Measured> {
        let said = Said {
            leap: Leap::None,
            stratum: 1,
            poll: 10,
            reference_id: 0x4750_5300,
            root_delay: 0,
            root_dispersion: 66,
        };
        let learned = Learned {
            offset: -3e-6,
            offset_error: 1.5e-6,
            deviation: 4e-6,
            frequency: 1.25e-7,
            frequency_error: 1e-8,
            samples: 12,
        };
        let used = Known {
            number: 40,
            wall: WallTime::saturating(1_800_000_000_250_000_000),
            poll: 6,
            said,
            measured: Some([-2e-6, 0.01, 3e-7, 0.006]),
            outcome: MeasurementOutcome::Used,
            test: None,
            stamps: Some((Stamp::Kernel, Stamp::User)),
            interleaved: true,
            learned: Some(learned),
        };
        let failed = Known {
            number: 41,
            wall: WallTime::saturating(1_800_000_001_500_000_000),
            said: Said { leap: Leap::Unknown, stratum: 0, ..said },
            measured: None,
            outcome: MeasurementOutcome::Failed,
            test: Some(RejectReason::Unsynchronised),
            stamps: None,
            interleaved: false,
            learned: None,
            ..used
        };
        let of = |address: &str, known: Known| Measured {
            name: "a.example".to_owned(),
            address: address.parse().unwrap(),
            known,
        };
        vec![of("[2001:db8::1]:123", used), of("192.0.2.1:123", failed)]
    }

    fn corrected() -> Correction {
        Correction {
            number: 42,
            wall: WallTime::saturating(1_800_000_001_750_000_000),
            address: "[2001:db8::1]:123".parse().ok(),
            stratum: 2,
            leap: Leap::Insert,
            used: 1,
            offset_s: -2.5e-6,
            estimated_error_s: 1.5e-6,
            error_bound_s: 0.006,
            slew_left_s: 1e-6,
            frequency_ppm: -3.5,
            frequency_error_ppm: 0.25,
            root_delay_s: 0.01,
            root_dispersion_s: 0.001,
        }
    }

    #[test]
    fn the_reply_is_the_golden_document() {
        let since = MeasuredSince {
            counted: 42,
            next_query_s: Some(12.5),
            measured: some(),
            corrections: vec![corrected()],
        };
        let written = reply(at(255, 1_800_000_000_000_000_000), since);
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../ipc/report/tests/measured.json");
        assert_eq!(written + "\n", std::fs::read_to_string(golden).unwrap());
    }

    #[test]
    fn the_longest_reply_is_not_longer_than_a_reply_may_be() {
        let mut longest = some().remove(0);
        longest.name = "x".repeat(253);
        longest.known.number = u64::MAX;
        let long = -1.234_567_890_123_456_7e-300;
        longest.known.measured = Some([long; 4]);
        longest.known.learned =
            longest.known.learned.map(|learned| Learned { offset: long, frequency: long, ..learned });
        longest.known.test = RejectReason::ALL.into_iter().max_by_key(|test| test.name().len());
        let measured = vec![longest; MOST];
        let since =
            MeasuredSince { counted: u64::MAX, corrections: Vec::new(), next_query_s: None, measured };
        let length = reply(at(i64::MAX, i64::MAX), since).len();
        assert!(length < crate::control::MAX_REPLY, "{length}");
    }
}
