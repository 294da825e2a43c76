//! `[server]`.

use super::document::{Faults, Section, shorten};
use super::place::{parse_listen, parse_prefix};
use engine::settings::ServerSettings;
use ipc::address::Address;
use ipc::message::privileged::MAX_LISTEN;
use ipc::message::server::{Access, MAX_RULES, Rule};

const KEYS: [&str; 4] = ["listen", "allow", "deny", "local-stratum"];

/// `[server]`, checked.
#[derive(Clone, Debug)]
pub struct Server {
    /// Octet where the section starts.
    pub at: usize,
    /// At most [`MAX_LISTEN`] addresses.
    pub listen: Vec<Address>,
    /// Who is answered.
    pub access: Access,
    /// For the engine.
    pub settings: ServerSettings,
}

/// Rules under which nobody is answered.
pub fn nobody() -> Access {
    Access { count: 0, rules: [Rule::NONE; MAX_RULES] }
}

/// Reads `[server]`, nothing where it isn't there.
pub fn read(root: &Section<'_>, faults: &mut Faults<'_>) -> Option<Server> {
    let section = root.table("server", "[server]", faults)?;
    section.refuse_unknown(&KEYS, faults);
    let listen = read_listen(&section, faults);
    let access = read_access(&section, faults);
    let stratum = section.whole("local-stratum", 1..=15, 10, faults);
    let settings = ServerSettings { local_stratum: stratum.and_then(|stratum| u8::try_from(stratum).ok()) };
    Some(Server { at: section.at, listen, access, settings })
}

fn read_listen(section: &Section<'_>, faults: &mut Faults<'_>) -> Vec<Address> {
    let mut listen: Vec<Address> = Vec::new();
    let missing = "listen: where to serve is missing; add listen = [\"0.0.0.0:123\", \"[::]:123\"]";
    if !section.has("listen") {
        faults.add(section.at, missing);
    }
    let Some(texts) = section.texts("listen", "0.0.0.0:123", faults) else { return listen };
    if texts.is_empty() {
        faults.add(section.place_of("listen"), missing);
    }
    if texts.len() > MAX_LISTEN {
        let text =
            format!("listen: more than {MAX_LISTEN} addresses; use \"0.0.0.0:123\" and \"[::]:123\" for all");
        faults.add(section.place_of("listen"), text);
    }
    for (at, text) in texts {
        match parse_listen(text) {
            Ok(address) if listen.contains(&address) => {
                faults.add(at, format!("listen: \"{text}\" is there twice; leave one out"));
            }
            Ok(address) => listen.push(address),
            Err(wrong) => faults.add(at, format!("listen: \"{}\" is {wrong}", shorten(text))),
        }
    }
    listen
}

fn read_access(section: &Section<'_>, faults: &mut Faults<'_>) -> Access {
    let mut rules: Vec<Rule> = Vec::new();
    if !section.has("allow") {
        faults.add(
            section.at,
            "allow: nobody is answered without a rule; add allow = [\"192.0.2.0/24\"] with your networks",
        );
    }
    for (key, allow) in [("allow", true), ("deny", false)] {
        for (at, text) in section.texts(key, "192.0.2.0/24", faults).unwrap_or_default() {
            match parse_prefix(text, allow) {
                Ok(rule) if rules.iter().any(|other| same_network(other, &rule)) => {
                    let text = format!("{key}: \"{text}\" is there already, in allow or deny; leave one out");
                    faults.add(at, text);
                }
                Ok(rule) => rules.push(rule),
                Err(wrong) => faults.add(at, format!("{key}: \"{}\" {wrong}", shorten(text))),
            }
        }
    }
    if rules.len() > MAX_RULES {
        let text =
            format!("allow: allow and deny have more than {MAX_RULES} networks in all; use shorter prefixes");
        faults.add(section.place_of("allow"), text);
    }
    if section.has("allow") && !rules.iter().any(|rule| rule.allow) {
        faults.warn(section.place_of("allow"), "allow: the list is empty, so nobody is answered");
    }
    let mut access = nobody();
    for (place, rule) in access.rules.iter_mut().zip(&rules) {
        *place = *rule;
    }
    access.count = u8::try_from(rules.len().min(MAX_RULES)).unwrap_or(0);
    access
}

fn same_network(left: &Rule, right: &Rule) -> bool {
    (left.prefix, left.bits, left.ipv6) == (right.prefix, right.bits, right.ipv6)
}
