//! `[[refclock]]`: reference clocks of this host.

use super::document::{Faults, Section};
use super::keys;
use super::words::shorten;
use engine_core::settings::{ReferenceClock, SourceSettings};
use ipc::file_path::FilePath;
use ipc::plan::{MAX_REFCLOCKS, MAX_SOCKET_PATH, Refclock};
use ipc::units::{Offset, Span};

const TITLE: &str = "[[refclock]]";

/// Seconds between samples, log2.
const POLL: i64 = 4;

/// All of them, each with where it is read, in the order of the files: that is their number.
pub fn read(
    root: &Section<'_>,
    faults: &mut Faults<'_>,
) -> (Vec<SourceSettings>, [Option<Refclock>; MAX_REFCLOCKS]) {
    let (mut sources, mut places) = (Vec::new(), [None; MAX_REFCLOCKS]);
    for table in root.tables("refclock", TITLE, faults) {
        let Ok(device) = u8::try_from(sources.len()) else { break };
        let Some((mut source, clock, path)) = read_clock(&table, faults) else { continue };
        if places.contains(&Some(Refclock::Socket(path))) {
            faults.add(
                table.place_of("socket"),
                "socket: another reference clock has it; leave one of them out",
            );
            continue;
        }
        if sources.iter().any(|other: &SourceSettings| other.name == source.name) {
            let text = format!(
                "refid: another reference clock is \"{}\" too; name one of them otherwise",
                source.name
            );
            faults.add(table.place_of("refid"), text);
            continue;
        }
        let Some(place) = places.get_mut(usize::from(device)) else {
            faults.add(
                table.at,
                format!("{TITLE}: more than {MAX_REFCLOCKS} reference clocks; leave some out"),
            );
            break;
        };
        *place = Some(Refclock::Socket(path));
        let clock = ReferenceClock { device, ..clock };
        source.place = clock.place();
        source.refclock = Some(clock);
        sources.push(source);
    }
    for source in &sources {
        let Some(lock) = source.refclock.and_then(|clock| clock.lock) else { continue };
        let mut locked = sources.iter().filter_map(|other| other.refclock);
        if !locked.any(|other| other.reference_id == lock && other.lock.is_none()) {
            let text = format!(
                "{TITLE} {}: lock names no other reference clock that is not locked itself; write the refid of one",
                source.name
            );
            faults.add(root.place_of("refclock"), text);
        }
    }
    (sources, places)
}

fn read_clock(
    table: &Section<'_>,
    faults: &mut Faults<'_>,
) -> Option<(SourceSettings, ReferenceClock, FilePath)> {
    table.refuse_unknown(&keys::REFCLOCK, faults);
    let example = "/run/truechimer/chrony.ttyS0.sock";
    for (key, example) in [("socket", example), ("refid", "GPS")] {
        if !table.has(key) {
            faults.add(table.at, format!("{TITLE}: {key} is missing; add {key} = \"{example}\""));
        }
    }
    let path = table.text("socket", example, faults).and_then(|(at, text)| read_path(at, text, faults));
    let name =
        table.text("refid", "GPS", faults).and_then(|(at, text)| read_refid("refid", at, text, faults));
    let lock = table.text("lock", "NMEA", faults).and_then(|(at, text)| read_refid("lock", at, text, faults));
    let poll = table.whole("poll", 0..=10, POLL, faults).unwrap_or(POLL);
    let filter = table.whole("filter", 1..=64, 64, faults).unwrap_or(64);
    let stratum = table.whole("stratum", 0..=14, 0, faults).unwrap_or(0);
    let offset = table.number("offset", -1.0..=1.0, "seconds", "0.12", faults).unwrap_or(0.0);
    let delay = table.number("delay", 0.0..=1.0, "seconds", "0.2", faults).unwrap_or(1e-9);
    let precision = table.number("precision", 1e-9..=1.0, "seconds", "1e-7", faults).unwrap_or(1e-6);
    let dispersion = table.number("max-dispersion", 1e-9..=16.0, "seconds", "0.1", faults);
    let mut flag = |key| table.boolean(key, faults).unwrap_or(false);
    let [prefer, trust, require, noselect] = ["prefer", "trust", "require", "noselect"].map(&mut flag);
    for (key, is_set) in [("prefer", prefer), ("trust", trust), ("require", require)] {
        if noselect && is_set {
            let text = format!("noselect: such a clock decides nothing; leave {key} out, or noselect");
            faults.add(table.place_of("noselect"), text);
        }
    }
    let (reference_id, path) = (name?, path?);
    let clock = ReferenceClock {
        reference_id,
        stratum: u8::try_from(stratum).ok()?,
        delay: nanos(delay),
        precision: nanos(precision),
        filter: u8::try_from(filter).ok()?,
        max_dispersion: dispersion.map(nanos),
        lock,
        ..ReferenceClock::of(0, [0; 4])
    };
    let poll = i8::try_from(poll).ok()?;
    let source = SourceSettings {
        min_poll: poll,
        max_poll: poll,
        prefer,
        trust,
        require,
        noselect,
        correction: Offset::saturating((offset * 1e9).round() as i64),
        ..SourceSettings::of(text_of(reference_id), clock.place())
    };
    Some((source, clock, path))
}

fn nanos(seconds: f64) -> Span {
    Span::saturating((seconds * 1e9).round() as i64)
}

fn text_of(reference_id: u32) -> String {
    reference_id.to_be_bytes().iter().filter(|octet| **octet != 0).map(|octet| char::from(*octet)).collect()
}

/// Up to four letters, digits or signs of ASCII.
fn read_refid(key: &str, at: usize, text: &str, faults: &mut Faults<'_>) -> Option<u32> {
    let octets = text.as_bytes();
    if !(1..=4).contains(&octets.len()) || !octets.iter().all(u8::is_ascii_graphic) {
        let text = format!(
            "{key}: \"{}\" is no name of one to four letters or digits (ASCII); write {key} = \"GPS\"",
            shorten(text)
        );
        faults.add(at, text);
        return None;
    }
    let mut name = [0; 4];
    name.iter_mut().zip(octets).for_each(|(place, octet)| *place = *octet);
    Some(u32::from_be_bytes(name))
}

fn read_path(at: usize, text: &str, faults: &mut Faults<'_>) -> Option<FilePath> {
    let path = FilePath::parse(text).ok().filter(|_| text.len() <= MAX_SOCKET_PATH);
    if path.is_none() {
        let text = format!(
            "socket: \"{}\" is no absolute path of at most {MAX_SOCKET_PATH} octets without \"..\"; write \
             socket = \"/run/truechimer/chrony.ttyS0.sock\"",
            shorten(text)
        );
        faults.add(at, text);
    }
    path
}

#[cfg(test)]
mod tests {
    use crate::configuration::parse;
    use engine_core::settings::ReferenceClock;
    use ipc::units::Span;

    fn fault(text: &str) -> String {
        parse(text, "test").expect_err("a fault").to_string()
    }

    #[test]
    fn a_clock_is_a_source_with_a_number_and_its_socket_is_in_the_plan() {
        let text = "[[source]]\naddress = \"192.0.2.1\"\n[[refclock]]\nsocket = \"/run/a\"\nrefid = \"NMEA\"\noffset = 0.13\ndelay = 0.2\n\
                    noselect = true\n[[refclock]]\nsocket = \"/run/b\"\nrefid = \"PPS\"\nlock = \"NMEA\"\nprecision = 1e-7\npoll = 2\nprefer = true\n";
        let found = parse(text, "test").expect("in order");
        let [server, nmea, pps] = found.settings.sources.as_slice() else { panic!("{found:?}") };
        assert_eq!((server.refclock, nmea.name.as_str(), pps.name.as_str()), (None, "NMEA", "PPS"));
        let name = u32::from_be_bytes(*b"NMEA");
        let clock = ReferenceClock { delay: Span::from_millis(200), ..ReferenceClock::of(0, *b"NMEA") };
        assert_eq!(nmea.refclock, Some(clock));
        assert_eq!(
            (nmea.correction.nanos(), nmea.noselect, nmea.min_poll, nmea.max_poll),
            (130_000_000, true, 4, 4)
        );
        let clock = ReferenceClock {
            lock: Some(name),
            precision: Span::saturating(100),
            ..ReferenceClock::of(1, *b"PPS\0")
        };
        assert_eq!((pps.refclock, pps.prefer, pps.min_poll), (Some(clock), true, 2));
        assert_ne!(nmea.place, pps.place);
        assert_eq!(found.plan.refclocks.iter().flatten().count(), 2);
        assert!(!found.plan.exchange && found.plan.has_refclocks());
    }

    #[test]
    fn what_is_wrong_with_a_clock_is_said_with_what_to_write() {
        let clock = |more: &str| format!("[[refclock]]\nsocket = \"/run/a\"\n{more}");
        let named = |more: &str| clock(&format!("refid = \"GPS\"\n{more}"));
        let again = "[[refclock]]\nsocket = \"/run/b\"\nrefid = \"GPS\"\n";
        let fifth: String =
            (0..5).map(|n| format!("[[refclock]]\nsocket = \"/run/{n}\"\nrefid = \"C{n}\"\n")).collect();
        for (text, expected) in [
            (clock(""), "refid is missing"),
            ("[[refclock]]\nrefid = \"GPS\"\n".to_owned(), "socket is missing"),
            (clock("refid = \"GLONASS\"\n"), "one to four letters"),
            (clock("refid = \"\"\n"), "one to four letters"),
            (named("stratum = 15\n"), "stratum"),
            (named("lock = \"PPS\"\n"), "lock names no other"),
            (named("lock = \"GPS\"\n"), "lock names no other"),
            (named("noselect = true\nprefer = true\n"), "leave prefer out"),
            (named("dpoll = 2\n"), "dpoll"),
            (named(again), "another reference clock is \"GPS\""),
            (named(&clock("refid = \"PPS\"\n")), "another reference clock has it"),
            (
                format!("[[refclock]]\nsocket = \"/run/{}\"\nrefid = \"GPS\"\n", "a".repeat(110)),
                "at most 107 octets",
            ),
            (fifth, "more than 4 reference clocks"),
        ] {
            let said = fault(&text);
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }
}
