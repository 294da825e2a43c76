//! `[roughtime]`: servers that sign the time.

use super::document::{Faults, Section};
use super::keys;
use super::place::parse_place;
use super::words::shorten;
use engine_core::settings::{Place, RoughtimeSettings, Signer};
use ipc::message::exchange::{KeyServer, MAX_ROUND, MIN_ROUND, RoundServer};
use ipc::units::Span;
use protocol::primitives;
use roughtime::{PublicKey, Version, read_key};

/// The UDP port of Roughtime (RFC 10049 section 12.1).
const PORT: u16 = 5319;

/// Most servers.
const MAX_SERVERS: usize = MAX_ROUND;

/// Seconds between rounds: not so often that servers of others are burdened, not so seldom that drift makes the limits wide.
const INTERVAL: std::ops::RangeInclusive<i64> = 600..=86_400;
const USUAL_INTERVAL: i64 = 3_600;

const TITLE: &str = "[[roughtime.server]]";

/// Reads `[roughtime]`, `None` if it is absent.
pub fn read(root: &Section<'_>, faults: &mut Faults<'_>) -> Option<RoughtimeSettings> {
    let section = root.table("roughtime", "[roughtime]", faults)?;
    let known: Vec<&str> = keys::ROUGHTIME.into_iter().chain(["server"]).collect();
    section.refuse_unknown(&known, faults);
    if primitives::name().is_some() {
        let text =
            "[roughtime]: its signatures are not verified by the FIPS 140 module of this build; leave it out"
                .to_owned();
        faults.add(section.at, text);
    }
    let interval = section.whole("interval", INTERVAL, USUAL_INTERVAL, faults).unwrap_or(USUAL_INTERVAL);
    let anchor = section.boolean("anchor", faults).unwrap_or(true);
    let tables = section.tables("server", TITLE, faults);
    let mut servers: Vec<(Signer, String)> = Vec::new();
    for table in &tables {
        let Some((at, signer, operator)) = read_server(table, faults) else { continue };
        if let Some(twin) =
            servers.iter().find(|(other, _)| other.server.public_key == signer.server.public_key)
        {
            let text =
                format!("key: it is that of {} too, so both are one server; leave one out", twin.0.name);
            faults.add(table.place_of("key"), text);
        } else if let Some((twin, _)) = servers.iter().find(|(other, _)| {
            (other.server.host, other.server.port) == (signer.server.host, signer.server.port)
        }) {
            let text =
                format!("address: it is that of {} too, and a server has one key; leave one out", twin.name);
            faults.add(table.place_of("address"), text);
        } else if let Some((twin, _)) = servers.iter().find(|(_, other)| *other == operator) {
            let text = format!(
                "operator: {} has the same; take one server of each operator, or one could outvote the others by itself",
                twin.name
            );
            faults.add(at, text);
        } else {
            servers.push((signer, operator));
        }
    }
    if !(MIN_ROUND..=MAX_SERVERS).contains(&tables.len()) {
        let text = format!(
            "[roughtime]: {} servers, expected {MIN_ROUND} to {MAX_SERVERS} of different operators, of which most must be honest; \
             write {TITLE} for each",
            tables.len()
        );
        faults.add(section.at, text);
    }
    let servers = servers.into_iter().map(|(signer, _)| signer).collect();
    Some(RoughtimeSettings { servers, interval: Span::from_secs(interval), anchor })
}

/// A server, with its operator and where that stands.
fn read_server(table: &Section<'_>, faults: &mut Faults<'_>) -> Option<(usize, Signer, String)> {
    table.refuse_unknown(&keys::ROUGHTIME_SERVER, faults);
    let missing = |key: &str, example: &str, faults: &mut Faults<'_>| {
        if !table.has(key) {
            faults.add(table.at, format!("{TITLE}: {key} is missing; add {key} = \"{example}\""));
        }
        table.text(key, example, faults)
    };
    let address = missing("address", "roughtime.example.org", faults);
    let key = missing("key", "AW5uAoTSTDfG5NfY1bTh08GUnOqlRb+HVhbJ3ODJvsE=", faults);
    let operator = missing("operator", "Example Foundation", faults);
    let is_draft = table.boolean("draft", faults).unwrap_or(false);
    let version = if is_draft { Version::Draft } else { Version::One };
    let (host, port) = address.and_then(|(at, text)| read_address(at, text, faults))?;
    let public_key = key.and_then(|(at, text)| read_public_key(at, text, faults))?;
    let (at, operator) = operator?;
    if operator.trim().is_empty() {
        faults.add(
            at,
            "operator: it is empty; write who runs the server, as operator = \"Example Foundation\"",
        );
        return None;
    }
    let name = address?.1.to_owned();
    let server = RoundServer { public_key, version: version.number(), host, port };
    Some((at, Signer { name, server }, operator.trim().to_lowercase()))
}

fn read_address(at: usize, text: &str, faults: &mut Faults<'_>) -> Option<(KeyServer, u16)> {
    match parse_place(text, PORT) {
        Ok(Place::Address(address)) => Some((KeyServer::Address(address), address.port())),
        Ok(Place::Name(name, port)) if name.scoped().is_none() => Some((KeyServer::Name(name), port)),
        Ok(Place::Name(..)) => {
            faults.add(
                at,
                "address: an address of one link; give one that does not need the name of an interface",
            );
            None
        }
        Err(wrong) => {
            faults.add(at, format!("address: \"{}\" is {wrong}", shorten(text)));
            None
        }
    }
}

fn read_public_key(at: usize, text: &str, faults: &mut Faults<'_>) -> Option<PublicKey> {
    let key = read_key(text);
    if key.is_none() {
        let text = format!(
            "key: \"{}\" is not 32 octets in base64; give the server's long-term public key as its operator publishes it",
            shorten(text)
        );
        faults.add(at, text);
    }
    key
}
