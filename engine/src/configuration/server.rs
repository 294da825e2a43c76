//! `[server]`.

use super::document::{Faults, Section};
use super::key_file::KeyFile;
use super::key_service::{self, KeySettings};
use super::place::{NTP, parse_listen_list, parse_prefix};
use super::words::shorten;
use super::{keys, local_time};
use engine_core::settings::{ServerSettings, SourceSettings};
use ipc::address::Address;
use ipc::file_path::FilePath;
use ipc::message::launch::{MAX_LISTEN, MAX_THREADS};
use ipc::message::server::{MAX_LIST, MAX_RATE, MAX_TOTAL, Rule, ServerPolicy, Smear};
use ipc::served_at::ServedAt;
use ipc::symmetric_key::SymmetricKey;
use std::collections::HashSet;

/// The name of a socket has at most 107 octets (unix(7)); of these, `/socket` is behind the folder.
const LONGEST_FOLDER: usize = 100;

/// `[server]`, checked.
#[derive(Clone, Debug)]
pub struct Server {
    /// Offset of the section's first octet.
    pub at: usize,
    /// At most [`MAX_LISTEN`] addresses.
    pub listen: Vec<ServedAt>,
    /// Threads that answer; 0: as many as there are cores, at most 4.
    pub threads: u8,
    /// Differentiated services code point, 0 to 63.
    pub dscp: u8,
    /// Which clients are answered.
    pub access: Vec<Rule>,
    /// How often, and with which time.
    pub policy: ServerPolicy,
    /// For the engine.
    pub settings: ServerSettings,
    /// `[server.nts]`.
    pub keys: Option<KeySettings>,
    /// Symmetric keys that clients may use.
    pub client_keys: Vec<SymmetricKey>,
    /// The folder of Samba's socket for signatures.
    pub samba: Option<FilePath>,
}

/// Reads `[server]`, `None` if it is absent.
pub fn read(
    root: &Section<'_>,
    key_file: &KeyFile,
    sources: &[SourceSettings],
    faults: &mut Faults<'_>,
) -> Option<Server> {
    let section = root.table("server", "[server]", faults)?;
    let known: Vec<&str> = keys::SERVER.into_iter().chain(["nts"]).collect();
    section.refuse_unknown(&known, faults);
    let listen = read_listen(&section, faults);
    let access = read_access(&section, faults);
    warn_of_families(&section, &listen, &access, faults);
    let policy = read_policy(&section, faults);
    let local = local_time::read(&section, faults);
    let threads = section.whole("threads", 1..=i64::from(MAX_THREADS), 2, faults).unwrap_or(0);
    let dscp = section.whole("dscp", 0..=63, 46, faults).unwrap_or(0);
    let addresses: Vec<Address> = listen.iter().map(|served| served.address).collect();
    let keys = key_service::read(&section, &addresses, faults);
    let client_keys = read_keys(&section, key_file, sources, faults);
    let settings =
        ServerSettings { local, listen: addresses, nts: keys.is_some(), version5: policy.version5 };
    Some(Server {
        at: section.at,
        listen,
        threads: u8::try_from(threads).unwrap_or(0),
        dscp: u8::try_from(dscp).unwrap_or(0),
        access,
        policy,
        settings,
        keys,
        client_keys,
        samba: read_samba(&section, faults),
    })
}

/// `samba-signd`: the folder that Samba makes for its socket.
fn read_samba(section: &Section<'_>, faults: &mut Faults<'_>) -> Option<FilePath> {
    let (at, text) = section.text("samba-signd", "/var/lib/samba/ntp_signd", faults)?;
    let folder = FilePath::parse(text.trim_end_matches('/'))
        .ok()
        .filter(|folder| folder.octets().len() <= LONGEST_FOLDER);
    if folder.is_none() {
        let found = shorten(text);
        let text = format!(
            "samba-signd: \"{found}\" is no absolute path of at most {LONGEST_FOLDER} octets without \"..\"; give the folder of Samba's \
             socket, samba-signd = \"/var/lib/samba/ntp_signd\""
        );
        faults.add(at, text);
    }
    folder
}

/// `keys`: those that are listed, or all of the file that no source has: what authenticates a source to us is nothing that the process which
/// answers strangers needs to have, nor that one of our clients should be able to say to us.
fn read_keys(
    section: &Section<'_>,
    key_file: &KeyFile,
    sources: &[SourceSettings],
    faults: &mut Faults<'_>,
) -> Vec<SymmetricKey> {
    let is_a_sources = |number: u32| {
        sources.iter().filter_map(|source| source.key.as_ref()).any(|key| key.number() == number)
    };
    let Some(numbers) = section.key_numbers("keys", faults) else {
        return key_file.keys().iter().filter(|key| !is_a_sources(key.number())).cloned().collect();
    };
    let mut found: Vec<SymmetricKey> = Vec::new();
    for (at, number) in numbers {
        match key_file.find(number) {
            Ok(key) if found.iter().any(|other| other.number() == key.number()) => {
                faults.add(at, format!("keys: {number} is there already; leave one out"));
            }
            Ok(key) => {
                if is_a_sources(key.number()) {
                    let text = format!(
                        "keys: {number} is the key of a source too, so that whoever takes over the server, or is a client with it, can \
                         speak for that source; give clients a key of their own"
                    );
                    faults.warn(at, text);
                }
                found.push(key);
            }
            Err(why) => faults.add(at, format!("keys: {why}")),
        }
    }
    found
}

fn read_policy(section: &Section<'_>, faults: &mut Faults<'_>) -> ServerPolicy {
    let base = ServerPolicy::DEFAULT;
    let mut rate = |key: &str, most: u32, default: u32| {
        let found = section.whole(key, 1..=i64::from(most), i64::from(default), faults);
        found.and_then(|rate| u32::try_from(rate).ok()).unwrap_or(default)
    };
    let address_rate = rate("address-rate", MAX_RATE, base.address_rate);
    let network_rate = rate("network-rate", MAX_RATE, base.network_rate.max(address_rate));
    let total_rate = rate("total-rate", MAX_TOTAL, base.total_rate);
    let mut switch = |key: &str, default: bool| section.boolean(key, faults).unwrap_or(default);
    let limited = switch("rate-limit", base.limited);
    let kiss = switch("kiss", base.kiss);
    let interleaved = switch("interleaved", base.interleaved);
    let version5 = switch("experimental-ntpv5", base.version5);
    let smear = match section.text("leap-smear", "off", faults) {
        None | Some((_, "off")) => Smear::Off,
        Some((_, "linear")) => Smear::Linear,
        Some((_, "cosine")) => Smear::Cosine,
        Some((at, other)) => {
            let found = shorten(other);
            let text = format!(
                "leap-smear: expected \"off\", \"linear\" or \"cosine\", found \"{found}\"; leave it out \
                 unless all clients use this server alone"
            );
            faults.add(at, text);
            Smear::Off
        }
    };
    let silent = match section.text("unsynchronised", "answer", faults) {
        None | Some((_, "answer")) => false,
        Some((_, "silent")) => true,
        Some((at, other)) => {
            let found = shorten(other);
            let text = format!(
                "unsynchronised: expected \"answer\" (with a time marked as unsynchronised) or \"silent\", \
                 found \"{found}\"; write unsynchronised = \"answer\""
            );
            faults.add(at, text);
            false
        }
    };
    if network_rate < address_rate {
        let text = format!(
            "network-rate: {network_rate} is below address-rate = {address_rate}, which no client could reach; \
             exchange them"
        );
        faults.add(section.place_of("network-rate"), text);
    }
    ServerPolicy {
        limited,
        address_rate,
        network_rate,
        total_rate,
        kiss,
        interleaved,
        silent,
        smear,
        version5,
    }
}

fn read_listen(section: &Section<'_>, faults: &mut Faults<'_>) -> Vec<ServedAt> {
    let missing = "listen: where to serve is missing; add listen = [\"0.0.0.0:123\", \"[::]:123\"]";
    if !section.has("listen") {
        faults.add(section.at, missing);
    }
    let Some(texts) = section.texts("listen", "0.0.0.0:123", faults) else { return Vec::new() };
    if texts.is_empty() {
        faults.add(section.place_of("listen"), missing);
    }
    if texts.len() > MAX_LISTEN {
        let text =
            format!("listen: more than {MAX_LISTEN} addresses; use \"0.0.0.0:123\" and \"[::]:123\" for all");
        faults.add(section.place_of("listen"), text);
    }
    parse_listen_list(texts, NTP, faults)
}

/// Warns where clients of a family cannot reach this server, or are not answered.
fn warn_of_families(section: &Section<'_>, listen: &[ServedAt], access: &[Rule], faults: &mut Faults<'_>) {
    if listen.is_empty() || !access.iter().any(|rule| rule.allow) {
        return;
    }
    for (ipv6, family, all, everywhere) in
        [(false, "IPv4", "0.0.0.0/0", "0.0.0.0:123"), (true, "IPv6", "::/0", "[::]:123")]
    {
        let is_listened = listen.iter().any(|served| served.address.ip().is_ipv6() == ipv6);
        let is_allowed = access.iter().any(|rule| rule.allow && rule.ipv6 == ipv6);
        if is_listened && !is_allowed {
            let text = format!(
                "allow: it has no {family} network, so no {family} client is answered; add your networks (\"{all}\" for \
                 all), or leave {family} addresses out of listen"
            );
            faults.warn(section.place_of("allow"), text);
        }
        if is_allowed && !is_listened {
            let text = format!(
                "listen: it has no {family} address, so no {family} client is answered; add \"{everywhere}\", or leave \
                 {family} networks out of allow"
            );
            faults.warn(section.place_of("listen"), text);
        }
    }
}

fn read_access(section: &Section<'_>, faults: &mut Faults<'_>) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut known = HashSet::new();
    if !section.has("allow") {
        faults.add(
            section.at,
            "allow: no client is answered without a rule; add allow = [\"192.0.2.0/24\"] with your networks",
        );
    }
    for (key, allow) in [("allow", true), ("deny", false)] {
        for (at, text) in section.texts(key, "192.0.2.0/24", faults).unwrap_or_default() {
            match parse_prefix(text, allow) {
                Ok(rule) if !known.insert((rule.prefix, rule.bits, rule.ipv6)) => {
                    let text = format!("{key}: \"{text}\" is there already, in allow or deny; leave one out");
                    faults.add(at, text);
                }
                Ok(rule) => rules.push(rule),
                Err(wrong) => faults.add(at, format!("{key}: \"{}\" {wrong}", shorten(text))),
            }
        }
    }
    if rules.len() > MAX_LIST {
        let text =
            format!("allow: allow and deny have more than {MAX_LIST} networks in all; use shorter prefixes");
        faults.add(section.place_of("allow"), text);
    }
    if section.has("allow") && !rules.iter().any(|rule| rule.allow) {
        faults.warn(section.place_of("allow"), "allow: the list is empty, so no client is answered");
    }
    rules
}
