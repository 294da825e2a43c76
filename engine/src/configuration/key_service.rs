//! `[server.nts]`.

use super::aead::{USUAL_AGREEMENT, read_aead};
use super::document::{Faults, Section};
use super::keys;
use super::nts::read_path;
use super::place::{KEY_EXCHANGE, NTP, parse_listen_list};
use super::words::shorten;
use ipc::address::Address;
use ipc::file_path::FilePath;
use ipc::list::Bounded;
use ipc::message::exchange::HostName;
use ipc::message::key_service::{KeyPolicy, MAX_CONNECTIONS, MAX_HANDSHAKES};
use ipc::message::launch::{KeyService, MAX_KEY_LISTEN, MAX_KEY_THREADS, MAX_PAIRS, Pair};
use ipc::served_at::ServedAt;
use policies::CONFIGURATION_FOLDER;
use protocol::nts::ratchet::SECRET;
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

/// The title of further certificates.
const PAIR: &str = "[[server.nts.pair]]";

/// `[server.nts]`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct KeySettings {
    /// The processes that exchange keys; none: other servers of the fleet do it.
    pub service: Option<KeyService>,
    /// How they answer.
    pub policy: KeyPolicy,
    /// Where cookie keys come from; none: this server makes its own.
    pub fleet: Option<Fleet>,
}

/// What the servers of a fleet share. Wiped when dropped, never printed.
#[derive(Clone, PartialEq)]
pub struct Fleet {
    /// At least [`SECRET`] octets.
    pub secret: Zeroizing<Vec<u8>>,
    /// The day on which it was made, in days since 1970.
    pub since: u32,
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("since", &self.since).finish_non_exhaustive()
    }
}

/// Reads `[server.nts]`, `None` if it is absent. `served` are the UDP addresses of `[server]`.
pub fn read(server: &Section<'_>, served: &[Address], faults: &mut Faults<'_>) -> Option<KeySettings> {
    let section = server.table("nts", "[server.nts]", faults)?;
    section.refuse_unknown(&keys::SERVER_NTS, faults);
    let fleet = read_fleet(&section, faults);
    let names_service = ["listen", "certificate", "key", "pair"].iter().any(|key| section.has(key));
    let service = match names_service || !section.has("fleet-secret") {
        true => read_service(&section, faults),
        false => None,
    };
    let policy = read_policy(&section, served, faults);
    Some(KeySettings { service, policy, fleet })
}

fn read_service(section: &Section<'_>, faults: &mut Faults<'_>) -> Option<KeyService> {
    let listen = read_listen(section, faults);
    let first = read_pair(section, ("[server.nts]", &keys::SERVER_NTS), faults);
    let mut further = Vec::new();
    for section in section.tables("pair", PAIR, faults) {
        section.refuse_unknown(&keys::SERVER_NTS_PAIR, faults);
        if further.len() == MAX_PAIRS - 1 {
            let text = format!(
                "{PAIR}: more than {} of them; a certificate may be for several names: have one for all that belong together",
                MAX_PAIRS - 1
            );
            faults.add(section.at, text);
            break;
        }
        further.push(read_pair(&section, (PAIR, &keys::SERVER_NTS_PAIR), faults));
    }
    let all = || [first].into_iter().chain(further.iter().copied()).flatten();
    let is_read_by_both = |pair: &Pair| all().any(|other| other.key == pair.certificate);
    if all().any(|pair| pair.key != pair.certificate && is_read_by_both(&pair)) {
        let text = format!(
            "{PAIR}: the key of one is the certificate of another; the process that talks TLS reads the certificates and must \
             not be able to read a key: put them into files of their own"
        );
        faults.add(section.at, text);
    }
    let threads = section.whole("threads", 0..=i64::from(MAX_KEY_THREADS), 2, faults).unwrap_or(0);
    let mut places = [None; MAX_PAIRS - 1];
    for (place, pair) in places.iter_mut().zip(&further) {
        *place = Some((*pair)?);
    }
    Some(KeyService {
        listen: Bounded::new(listen).ok()?,
        threads: u8::try_from(threads).ok()?,
        first: first?,
        further: places,
    })
}

/// The files of a certificate and of its key, in a section with this title and these keys; none: there is a fault.
fn read_pair(
    section: &Section<'_>,
    (title, known): (&str, &[&str]),
    faults: &mut Faults<'_>,
) -> Option<Pair> {
    let mut file = |key: &str, what: &str, example: &str| {
        if !section.has(key) && !section.misspells(key, known) {
            faults.add(section.at, format!("{title}: {what} is missing; add {key} = \"{example}\""));
        }
        read_path(section, key, example, faults).map(|(_, file)| file)
    };
    let certificate = file("certificate", "the chain of certificates", "/etc/truechimer/nts/fullchain.pem");
    let key = file("key", "the private key of the certificate", "/etc/truechimer/nts/key.pem");
    if key.is_some() && key == certificate {
        let text = "key: the same file as certificate; the process that talks TLS reads the certificate and must \
                    not be able to read the key: put them into two files";
        faults.add(section.place_of("key"), text);
    }
    let is_frozen =
        |file: &FilePath| Path::new(file.as_str()).parent() == Some(Path::new(CONFIGURATION_FOLDER));
    for (name, file) in [("certificate", &certificate), ("key", &key)] {
        if file.as_ref().is_some_and(is_frozen) {
            let text = format!(
                "{name}: what lies in {CONFIGURATION_FOLDER} itself is seen as it was at the start, so a renewed \
                 one never would be; put it into a folder of its own, such as {CONFIGURATION_FOLDER}/nts"
            );
            faults.add(section.place_of(name), text);
        }
    }
    Some(Pair { certificate: certificate?, key: key? })
}

fn read_listen(section: &Section<'_>, faults: &mut Faults<'_>) -> Vec<ServedAt> {
    let missing = "listen: where to exchange keys is missing; add listen = [\"0.0.0.0:4460\", \"[::]:4460\"]";
    if !section.has("listen") {
        faults.add(section.at, missing);
    }
    let Some(texts) = section.texts("listen", "0.0.0.0:4460", faults) else { return Vec::new() };
    if texts.is_empty() {
        faults.add(section.place_of("listen"), missing);
    }
    if texts.len() > MAX_KEY_LISTEN {
        let text = format!(
            "listen: more than {MAX_KEY_LISTEN} addresses; use \"0.0.0.0:4460\" and \"[::]:4460\" for all"
        );
        faults.add(section.place_of("listen"), text);
    }
    parse_listen_list(texts, KEY_EXCHANGE, faults)
}

fn read_policy(section: &Section<'_>, served: &[Address], faults: &mut Faults<'_>) -> KeyPolicy {
    let usual = KeyPolicy::DEFAULT;
    let mut number = |key: &str, most: i64, example: u32| {
        let found = section.whole(key, 1..=most, i64::from(example), faults);
        found.and_then(|found| u32::try_from(found).ok())
    };
    let connections = number("connections", i64::from(MAX_CONNECTIONS), u32::from(usual.connections));
    let connections = connections.unwrap_or(u32::from(usual.connections));
    let network_connections = number(
        "network-connections",
        i64::from(connections),
        u32::from(usual.network_connections).min(connections),
    );
    let network_connections =
        network_connections.unwrap_or_else(|| u32::from(usual.network_connections).min(connections));
    let rate = number("rate", i64::from(MAX_HANDSHAKES), usual.rate).unwrap_or(usual.rate);
    let network_rate = number("network-rate", i64::from(rate), usual.network_rate.min(rate))
        .unwrap_or_else(|| usual.network_rate.min(rate));
    let ntp_port = section.whole("ntp-port", 1..=65_535, 123, faults);
    let ntp_port = ntp_port.and_then(|port| u16::try_from(port).ok()).or_else(|| only_port(served));
    KeyPolicy {
        ntp_server: read_ntp_server(section, faults),
        ntp_port,
        connections: u16::try_from(connections).unwrap_or(usual.connections),
        network_connections: u16::try_from(network_connections).unwrap_or(usual.network_connections),
        rate,
        network_rate,
        aead: read_aead(section, faults).unwrap_or(USUAL_AGREEMENT),
    }
}

/// The common port of all served addresses, if it is not the default that clients assume.
fn only_port(served: &[Address]) -> Option<u16> {
    let port = served.first()?.port();
    (port != NTP && served.iter().all(|address| address.port() == port)).then_some(port)
}

fn read_ntp_server(section: &Section<'_>, faults: &mut Faults<'_>) -> Option<HostName> {
    let (at, text) = section.text("ntp-server", "ntp.example.org", faults)?;
    let name = HostName::parse(text).ok();
    if name.is_none() {
        let text = format!(
            "ntp-server: \"{}\" is not a host name or IPv4 address; leave it out where the same host serves the \
             time, or write ntp-server = \"ntp.example.org\"",
            shorten(text)
        );
        faults.add(at, text);
    }
    name
}

fn read_fleet(section: &Section<'_>, faults: &mut Faults<'_>) -> Option<Fleet> {
    const SECRET_KEY: &str = "fleet-secret";
    const SINCE: &str = "fleet-since";
    if !section.has(SECRET_KEY) {
        if section.has(SINCE) {
            faults.add(
                section.place_of(SINCE),
                "fleet-since: without fleet-secret it means nothing; leave it out",
            );
        }
        return None;
    }
    // What stands there is a secret whatever its form: no message repeats it.
    let secret = match section.is_text(SECRET_KEY) {
        true => section.text(SECRET_KEY, "", faults).map(|(_, text)| text).unwrap_or_default(),
        false => "",
    };
    if secret.len() < SECRET {
        let text = format!(
            "fleet-secret: expected a text of at least {SECRET} octets; make one with: openssl rand -base64 48"
        );
        faults.add(section.place_of(SECRET_KEY), text);
    }
    if !section.has(SINCE) {
        let text = "fleet-secret: the day on which it was made is missing; add fleet-since = \"2026-11-01\", the \
                    same on each server of the fleet";
        faults.add(section.place_of(SECRET_KEY), text);
    }
    let since = section.day(SINCE, faults)?;
    Some(Fleet { secret: Zeroizing::new(secret.as_bytes().to_vec()), since })
}
