//! A November of a clock, as the engine writes it down: a good one, and one with a wrong hour, a day without authentication, and a gap.

use history::testing::{BEGIN, Writer};
use ipc::history::{Minute, OF_A_DAY, Run, Said};

/// Its first moment and the one behind its last, for the command line.
pub const FROM: &str = "2026-11-01";
pub const TO: &str = "2026-12-01";
/// The same in seconds since 1970.
pub const FROM_UNIX: i64 = 1_793_491_200;
/// The sources, by their names in the configuration.
pub const SOURCES: [&str; 4] =
    ["ptb.example.org", "npl.example.net", "nist.example.com", "metas.example.org"];

const SECOND: i64 = 1_000_000_000;
const DAYS: u64 = 30;
/// Minutes of the month, from its first one on.
const UPGRADE: u64 = 3 * 1_440 + 600;
const WRONG: u64 = 8 * 1_440 + 600;
const PLAIN: u64 = 16 * 1_440;
const GAP: u64 = 23 * 1_440 + 180;
/// How long the wrong time lasts, and the gap, in minutes.
const HOUR: u64 = 60;
const MISSING: u64 = 180;
/// How far another program sets the clock back.
const OFF: i64 = 1_500_000_000;

/// What is wrong with a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Month {
    Good,
    Bad,
}

fn begin(writer: &mut Writer, boot: u8, version: &str, configuration: u8) {
    let run = Run { configuration: [configuration; 32], boot: [boot; 16], version: version.into(), torn: 0 };
    writer.append(Said::Run(run));
    for (number, name) in (0..).zip(SOURCES) {
        writer.source(number, true, &format!("{name} 192.0.2.{}:123", number + 1));
    }
}

fn ordinary(writer: &mut Writer, number: u64) -> Minute {
    // A day warmer and colder, and noise.
    let wave = ((number as f64 / 1_440.0 * std::f64::consts::TAU).sin() * 9_000.0) as i64;
    let noise = |writer: &mut Writer| writer.random(8_000) as i64 - 4_000;
    let (one, other) = (wave + noise(writer), wave + noise(writer));
    Minute {
        offset: Some((one.min(other), one.max(other))),
        bound: Some(62_000 + writer.random(26_000)),
        likely: Some(24_000 + writer.random(9_000)),
        used_at_least: 4,
        authenticated_at_least: 4,
        used: 0b1111,
        used_authenticated: 0b1111,
        ..writer.minute()
    }
}

/// Its history.
pub fn written(month: Month) -> Writer {
    let is_bad = month == Month::Bad;
    let mut writer = Writer::new((DAYS + 2) * OF_A_DAY, 11);
    writer.pass((FROM_UNIX * SECOND) - BEGIN - 600 * SECOND);
    begin(&mut writer, 1, "0.1.0", 0xa1);
    for number in 0..10 {
        writer.pass(60 * SECOND);
        let minute = ordinary(&mut writer, number);
        writer.append(Said::Minute(minute));
    }
    let mut number = 0;
    while number < DAYS * 1_440 {
        if number == UPGRADE {
            writer.append(Said::Ended);
            writer.pass(20 * SECOND);
            begin(&mut writer, 1, "0.1.1", 0xa2);
        }
        if is_bad && number == GAP {
            // The machine was started anew, and nobody had ended anything.
            writer.pass(MISSING as i64 * 60 * SECOND);
            begin(&mut writer, 2, "0.1.1", 0xa2);
            number += MISSING;
        }
        let plain = is_bad && (PLAIN..PLAIN + 1_440).contains(&number);
        if plain && number == PLAIN {
            writer.append(Said::Configuration { configuration: [0xb7; 32] });
            writer.source(9, false, "rogue.example.net 198.51.100.7:123");
        }
        if is_bad && number == PLAIN + 1_440 {
            writer.append(Said::Configuration { configuration: [0xa2; 32] });
        }
        let wrong = is_bad && (WRONG..=WRONG + HOUR).contains(&number);
        let mut minute = ordinary(&mut writer, number);
        if plain {
            (minute.authenticated, minute.authenticated_at_least) = (false, 0);
            (minute.used, minute.used_authenticated, minute.used_at_least) = (1 << 9, 0, 1);
        }
        if wrong {
            (minute.synchronised, minute.bound, minute.likely) =
                (false, Some(OFF.unsigned_abs() + 90_000), Some(OFF.unsigned_abs() + 30_000));
            minute.offset = Some((if number == WRONG || number == WRONG + HOUR { 0 } else { OFF }, OFF));
        }
        if number == UPGRADE || is_bad && number == GAP + MISSING {
            // The first one of a run, which begins without a source.
            (minute.synchronised, minute.authenticated, minute.bound, minute.likely) =
                (false, false, None, None);
            (minute.used_at_least, minute.authenticated_at_least) = (0, 0);
        }
        // What is twenty seconds late after the upgrade, is made up for.
        let length = if number == UPGRADE { 40 * SECOND } else { 60 * SECOND };
        minute.length_ms = (length / 1_000_000) as u32;
        writer.pass(length);
        if wrong && number == WRONG {
            writer.step(-OFF);
            (minute.stepped_by_another, minute.steps) = (true, -OFF);
        }
        if wrong && number == WRONG + HOUR {
            writer.step(OFF);
            (minute.stepped, minute.steps) = (true, OFF);
        }
        writer.append(Said::Minute(minute));
        number += 1;
    }
    writer
}
