//! `[[source]]`.

use super::MAX_SOURCES;
use super::aead::{USUAL_OFFER, read_aead};
use super::document::{Faults, Section};
use super::key_file::KeyFile;
use super::nts::{RootSets, SYSTEM, SYSTEM_ROOTS, read_path};
use super::place::{KEY_EXCHANGE, NTP, parse_place};
use super::words::{nearest, shorten};
use super::{departure, keys};
use engine_core::settings::{NtsSettings, Place, SourceSettings};
use ipc::message::exchange::{Families, is_one_name};
use ipc::symmetric_key::SymmetricKey;
use ipc::units::{Offset, Span};
use std::net::IpAddr;

const MIN_POLL: i64 = 6;
const MAX_POLL: i64 = 10;

/// Of a poll interval that is configured.
const SHORTEST: i64 = engine_core::SHORTEST_POLL as i64;
const MEMBERS: i64 = 4;

/// Its name says that a standard may yet change what it does.
const SHARES_OUT: &str = "experimental-nts-pool";

/// All sources in the order of the files; those with a fault are left out. What two files say of one server, the later one
/// decides. The files of root certificates that they name get their numbers.
pub fn read(
    root: &Section<'_>,
    key_file: &KeyFile,
    roots: &mut RootSets,
    faults: &mut Faults<'_>,
) -> Vec<SourceSettings> {
    let mut sources: Vec<(usize, SourceSettings)> = Vec::new();
    for section in root.tables("source", "[[source]]", faults) {
        let Some(source) = read_source(&section, key_file, roots, faults) else { continue };
        let alike = sources.iter().position(|(_, other)| likeness(&other.place, &source.place).is_some());
        // A later file may ask the same server in the other mode.
        let is_instead = |(at, other): &(usize, SourceSettings)| {
            faults.file_of(*at) != faults.file_of(section.at) && is_other_mode(other, &source)
        };
        let Some(twin) = alike.or_else(|| sources.iter().position(is_instead)) else {
            sources.push((section.at, source));
            continue;
        };
        let Some((at, other)) = sources.get_mut(twin) else { continue };
        let is_same = !matches!(likeness(&other.place, &source.place), Some(Likeness::Possible));
        let text = if is_same && faults.file_of(*at) != faults.file_of(section.at) {
            let text =
                format!("address: \"{}\" is in {} too; this one counts", source.name, faults.place(*at));
            faults.warn(section.place_of("address"), text);
            (*at, *other) = (section.at, source);
            continue;
        } else if is_same {
            format!("address: the source \"{}\" is there already; leave one of them out", other.name)
        } else {
            format!(
                "address: \"{}\" may be the source \"{}\", which is there already; leave one of them out, or write the \
                 names of both interfaces",
                source.name, other.name
            )
        };
        faults.add(section.place_of("address"), text);
    }
    let mut total = 0;
    for (at, source) in &sources {
        let before = total;
        total += usize::from(source.members);
        if before <= MAX_SOURCES && total > MAX_SOURCES {
            let text =
                format!("[[source]]: more than {MAX_SOURCES} sources, pool members counted; leave some out");
            faults.add(*at, text);
        }
    }
    let mut sources: Vec<SourceSettings> = sources.into_iter().map(|(_, source)| source).collect();
    roots.keep_used(sources.iter_mut().filter_map(|source| source.nts.as_mut()));
    sources
}

/// Whether both are written for one host, or may be, whatever the ports.
pub fn are_of_one_host(one: &SourceSettings, other: &SourceSettings) -> bool {
    likeness(&one.place, &at_port_of(&other.place, &one.place)).is_some()
}

/// Whether one is plain and the other NTS, each at its usual port, of one host.
fn is_other_mode(one: &SourceSettings, other: &SourceSettings) -> bool {
    let is_usual = |source: &SourceSettings| {
        port(&source.place) == if source.nts.is_some() { KEY_EXCHANGE } else { NTP }
    };
    one.nts.is_some() != other.nts.is_some()
        && is_usual(one)
        && is_usual(other)
        && matches!(likeness(&one.place, &at_port_of(&other.place, &one.place)), Some(Likeness::Same))
}

fn port(place: &Place) -> u16 {
    match place {
        Place::Name(_, port) => *port,
        Place::Address(address) => address.port(),
    }
}

/// The same host at the port of another place.
fn at_port_of(place: &Place, other: &Place) -> Place {
    match place {
        Place::Name(name, _) => Place::Name(*name, port(other)),
        Place::Address(address) => {
            let mut socket = address.socket_address();
            socket.set_port(port(other));
            Place::Address(socket.into())
        }
    }
}

/// How two ways to write a place go together.
enum Likeness {
    /// They are one server.
    Same,
    /// They are one server if the interface of that name has that number, which may change.
    Possible,
}

/// Whether two places are one server, however they are written; none: they are not, as far as their texts say.
fn likeness(one: &Place, other: &Place) -> Option<Likeness> {
    let is_same = match (one, other) {
        (Place::Name(one, port), Place::Name(other, other_port)) => {
            let is_one = match (one.scoped(), other.scoped()) {
                (None, None) => is_one_name(one.as_str(), other.as_str()),
                (one, other) => one == other,
            };
            is_one && port == other_port
        }
        // Only on a link does the index of an interface say which host it is.
        (Place::Address(one), Place::Address(other)) => {
            let is_of_link = matches!(one.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local());
            one == other || (!is_of_link && (one.ip(), one.port()) == (other.ip(), other.port()))
        }
        (Place::Name(name, port), Place::Address(address))
        | (Place::Address(address), Place::Name(name, port)) => {
            let (ip, _) = name.scoped()?;
            return (address.ip() == IpAddr::V6(ip) && address.port() == *port).then_some(Likeness::Possible);
        }
    };
    is_same.then_some(Likeness::Same)
}

/// Whether it is written as an address, with or without the name of an interface.
fn is_address(place: &Place) -> bool {
    matches!(place, Place::Address(_)) || place.is_scoped()
}

/// One `[[source]]`; none: it has a fault.
pub fn read_source(
    section: &Section<'_>,
    key_file: &KeyFile,
    roots: &mut RootSets,
    faults: &mut Faults<'_>,
) -> Option<SourceSettings> {
    section.refuse_unknown(&keys::SOURCE, faults);
    let nts = read_nts(section, roots, faults);
    let key = read_key(section, nts.is_some(), key_file, faults);
    let place = read_address(section, if nts.is_some() { KEY_EXCHANGE } else { NTP }, faults);
    let is_numeric = place.as_ref().is_some_and(|(place, _)| is_address(place));
    let pool = section.boolean("pool", faults).unwrap_or(false);
    let members = section.whole("members", 1..=16, MEMBERS, faults);
    if pool && is_numeric {
        faults.add(
            section.place_of("pool"),
            "pool: an address is one server; leave pool out, or give the name of a pool as address",
        );
    }
    if nts.is_some_and(|nts| nts.shares_out) && !pool {
        let text = format!("{SHARES_OUT}: only a pool has it; add pool = true, or leave {SHARES_OUT} out");
        faults.add(section.place_of(SHARES_OUT), text);
    }
    if members.is_some() && !pool {
        faults.add(
            section.place_of("members"),
            "members: only a pool has members; add pool = true, or leave members out",
        );
    }
    let min_poll = section.whole("min-poll", SHORTEST..=17, MIN_POLL, faults).unwrap_or(MIN_POLL);
    // If only the minimum interval is configured, and it exceeds the default maximum, the maximum follows it, and vice
    // versa.
    let max_poll =
        section.whole("max-poll", SHORTEST..=17, MAX_POLL, faults).unwrap_or(MAX_POLL.max(min_poll));
    let min_poll = if section.has("min-poll") { min_poll } else { min_poll.min(max_poll) };
    if min_poll > max_poll {
        faults.add(
            section.place_of("min-poll"),
            format!("min-poll: {min_poll} is above max-poll = {max_poll}; exchange them, or leave one out"),
        );
    }
    let (burst, burst_always) = read_burst(section, faults);
    let prefer = section.boolean("prefer", faults).unwrap_or(false);
    let trust = section.boolean("trust", faults).unwrap_or(false);
    let require = section.boolean("require", faults).unwrap_or(false);
    let noselect = section.boolean("noselect", faults).unwrap_or(false);
    for (key, is_set) in [("prefer", prefer), ("trust", trust), ("require", require)] {
        if noselect && is_set {
            let text = format!("noselect: such a source decides nothing; leave {key} out, or noselect");
            faults.add(section.place_of("noselect"), text);
        }
    }
    let max_delay = section.number("max-delay", 0.000_01..=16.0, "seconds", "3.0", faults).unwrap_or(3.0);
    let max_stratum = section.whole("max-stratum", 1..=15, 15, faults).unwrap_or(15);
    let min_stratum = section.whole("min-stratum", 1..=14, 1, faults).unwrap_or(1);
    if min_stratum > max_stratum {
        faults.add(
            section.place_of("min-stratum"),
            format!("min-stratum: {min_stratum} is above max-stratum = {max_stratum}; exchange them, or leave one out"),
        );
    }
    let correction = section.number("offset", -1.0..=1.0, "seconds", "-0.000_05", faults).unwrap_or(0.0);
    let allow_link_local = section.boolean("allow-link-local", faults).unwrap_or(false);
    if allow_link_local && is_numeric {
        faults.add(
            section.place_of("allow-link-local"),
            "allow-link-local: an address is used as it is written; leave it out",
        );
    }
    let families = read_family(section, place.as_ref().map(|(place, _)| place), faults);
    let is_ipv4 = place.as_ref().and_then(|(place, _)| written(place)).map(|ip| ip.is_ipv4());
    let asked = match is_ipv4 {
        Some(true) => Families::V4,
        Some(false) => Families::V6,
        None => families,
    };
    let departure = departure::read(section, asked, faults);
    let version5 = read_version5(section, nts.is_some() || key.is_some(), faults);
    let interleaved = section.boolean("interleaved", faults).unwrap_or(false);
    if interleaved && version5 {
        let text = "interleaved: a source that may be asked in version 5 is asked in basic mode; leave one of the two out";
        faults.add(section.place_of("interleaved"), text);
    }
    let (place, name) = place?;
    Some(SourceSettings {
        name,
        place,
        nts,
        key,
        members: if pool { u8::try_from(members.unwrap_or(MEMBERS)).ok()? } else { 1 },
        min_poll: i8::try_from(min_poll).ok()?,
        max_poll: i8::try_from(max_poll).ok()?,
        burst,
        burst_always,
        prefer,
        trust,
        require,
        max_delay: span(max_delay),
        max_stratum: u8::try_from(max_stratum).ok()?,
        allow_link_local,
        offered: false,
        noselect,
        min_stratum: u8::try_from(min_stratum).ok()?,
        correction: Offset::saturating((correction * 1e9).round() as i64),
        families,
        departure,
        version5,
        interleaved,
        refclock: None,
    })
}

/// `experimental-ntpv5`.
fn read_version5(section: &Section<'_>, is_authenticated: bool, faults: &mut Faults<'_>) -> bool {
    let is_on = section.boolean("experimental-ntpv5", faults).unwrap_or(false);
    if is_on && is_authenticated {
        let text = "experimental-ntpv5: a source with NTS or a key is asked in version 4; leave it out";
        faults.add(section.place_of("experimental-ntpv5"), text);
    }
    is_on
}

/// `key`, the number of a symmetric key.
fn read_key(
    section: &Section<'_>,
    is_nts: bool,
    key_file: &KeyFile,
    faults: &mut Faults<'_>,
) -> Option<SymmetricKey> {
    let (_, number) = section.key_number("key", faults)?;
    if is_nts {
        let text = "key: NTS has keys of its own; leave key out, or mode = \"nts\"";
        faults.add(section.place_of("key"), text);
        return None;
    }
    match key_file.find(number) {
        Ok(key) => Some(key),
        Err(why) => {
            faults.add(section.place_of("key"), format!("key: {why}"));
            None
        }
    }
}

/// `mode`, `roots` and `aead`; nothing for plain NTP.
fn read_nts(section: &Section<'_>, roots: &mut RootSets, faults: &mut Faults<'_>) -> Option<NtsSettings> {
    let is_nts = read_mode(section, faults);
    for key in ["roots", "aead", SHARES_OUT] {
        if section.has(key) && !is_nts {
            let text = format!("{key}: plain NTP has no use for it; add mode = \"nts\", or leave {key} out");
            faults.add(section.place_of(key), text);
        }
    }
    let file = read_path(section, "roots", SYSTEM_ROOTS, faults);
    let offer = read_aead(section, faults).unwrap_or(USUAL_OFFER);
    if !is_nts {
        return None;
    }
    let shares_out = section.boolean(SHARES_OUT, faults).unwrap_or(false);
    let roots = file.map_or(SYSTEM, |(at, file)| roots.number(at, file, faults));
    Some(NtsSettings { roots, offer, shares_out })
}

/// Whether this source is authenticated.
fn read_mode(section: &Section<'_>, faults: &mut Faults<'_>) -> bool {
    let Some((at, mode)) = section.text("mode", "nts", faults) else { return false };
    match mode {
        "ntp" => false,
        "nts" => true,
        other => {
            let near = nearest(other, &["nts", "ntp"]).unwrap_or("nts");
            let text = format!(
                "mode: expected \"nts\" (authenticated) or \"ntp\", found \"{}\"; write mode = \"{near}\"",
                shorten(other)
            );
            faults.add(at, text);
            false
        }
    }
}

/// `burst`: whether there are some, and whether at each poll.
fn read_burst(section: &Section<'_>, faults: &mut Faults<'_>) -> (bool, bool) {
    if !section.is_text("burst") {
        return (section.boolean("burst", faults).unwrap_or(true), false);
    }
    match section.text("burst", "always", faults) {
        Some((_, "always")) => (true, true),
        Some((at, other)) => {
            let text = format!(
                "burst: expected true, false or \"always\" (at each poll too), found \"{}\"; leave it out",
                shorten(other)
            );
            faults.add(at, text);
            (true, false)
        }
        None => (true, false),
    }
}

/// The address as which a place is written.
fn written(place: &Place) -> Option<IpAddr> {
    match place {
        Place::Address(address) => Some(address.ip()),
        Place::Name(name, _) => name.scoped().map(|(ip, _)| IpAddr::V6(ip)),
    }
}

/// `family`; an address that is written has one already.
fn read_family(section: &Section<'_>, place: Option<&Place>, faults: &mut Faults<'_>) -> Families {
    let families = match section.text("family", "ipv4", faults) {
        None => return Families::Both,
        Some((_, "ipv4")) => Families::V4,
        Some((_, "ipv6")) => Families::V6,
        Some((at, other)) => {
            let text = format!(
                "family: expected \"ipv4\" or \"ipv6\", found \"{}\"; leave it out for addresses of both",
                shorten(other)
            );
            faults.add(at, text);
            return Families::Both;
        }
    };
    if place.and_then(written).is_some_and(|ip| !families.admits(ip)) {
        let text = "family: the address is of the other family; leave family out, or write another address";
        faults.add(section.place_of("family"), text);
    }
    families
}

fn read_address(section: &Section<'_>, usual_port: u16, faults: &mut Faults<'_>) -> Option<(Place, String)> {
    if !section.has("address") && !section.misspells("address", &keys::SOURCE) {
        faults.add(
            section.at,
            "[[source]]: the address is missing; add address = \"ntp.example.org\" or an IP address",
        );
    }
    let (at, text) = section.text("address", "ntp.example.org", faults)?;
    match parse_place(text, usual_port) {
        Ok(place) => Some((place, text.to_owned())),
        Err(wrong) => {
            faults.add(at, format!("address: \"{}\" is {wrong}", shorten(text)));
            None
        }
    }
}

/// A checked number of seconds; saturating, so that it cannot panic whatever the range was.
pub fn span(seconds: f64) -> Span {
    // `as` saturates, and the ranges that are read stay far inside.
    Span::saturating((seconds * 1e9).round() as i64)
}
