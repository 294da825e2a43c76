//! ntp.conf of ntpd (ntp.org) and of NTPsec, with what it includes.
//!
//! ```text
//!   source    server, pool, peer, fudge
//!   restrict  who is answered
//!   nic       interface, nic, listen: where
//!   options   tos, tinker, nts, enable, disable
//! ```

mod nic;
mod options;
mod restrict;
mod source;

use crate::access::Network;
use crate::drift::{self, Sign};
use crate::files::{FileError, MAX_DEPTH, Reader, lines};
use crate::key_file::{self, Format, Named};
use crate::plan::{Part, Plan, number, quoted};
use crate::serving::{KeyExchange, LEAST_OF_ORPHANS, sign, too_low};
use crate::words::{Line, Words};
use nic::Interfaces;
use restrict::Restrictions;

/// Most numbers of `trustedkey` that are looked at: as many as ntpd takes keys to be sensible.
const MOST_TRUSTED: usize = 65_535;

/// Directives that are not carried, the loss of which matters.
const MATTER: [&str; 10] = [
    "broadcast",
    "broadcastclient",
    "multicastclient",
    "manycastclient",
    "manycastserver",
    "refclock",
    "phone",
    "crypto",
    "unpeer",
    "reset",
];

/// Those of them that the time came from.
const SOURCES: [&str; 5] = ["broadcastclient", "multicastclient", "manycastclient", "refclock", "phone"];

/// What `tos` says of this host's own time, each with its line.
#[derive(Debug, Default)]
struct Orphan {
    /// Its stratum, 1 to 15.
    stratum: Option<(u8, usize)>,
    /// Seconds without a source before it is served.
    wait: Option<(f64, usize)>,
}

impl Orphan {
    fn settle(&self, plan: &mut Plan) {
        let Some((stratum, item)) = self.stratum else {
            if let Some((_, item)) = self.wait {
                plan.note(item, "orphanwait", "not carried: there is no orphan beside it");
            }
            return;
        };
        let used = stratum.max(LEAST_OF_ORPHANS);
        let said = format!("orphan {stratum}");
        if used != stratum {
            plan.loss(item, &said, &too_low(used));
        }
        let words = "as local-orphan and local-stratum under [server]; servers that are orphans together name each other as [[source]] \
                     there, where ntpd has peer";
        plan.note(item, &said, words);
        plan.set(Part::Server, "local-orphan", "true".to_owned(), item);
        plan.set(Part::Server, "local-stratum", used.to_string(), item);
        if let Some((seconds, item)) = self.wait {
            plan.note(item, "orphanwait", "as local-wait-unsynchronised under [server]");
            plan.set(Part::Server, "local-wait-unsynchronised", number(seconds), item);
        }
    }
}

/// What is known of all files together.
#[derive(Debug, Default)]
pub struct Found {
    restrictions: Restrictions,
    interfaces: Interfaces,
    /// `server 127.127.1.x`, and the stratum that `fudge` gives it.
    local: Option<usize>,
    stratum: Option<(u8, usize)>,
    ceiling: Option<u8>,
    /// `tos orphan` and `orphanwait`.
    orphan: Orphan,
    drift: Option<(String, usize)>,
    nts_enabled: bool,
    pair: [Option<(String, usize)>; 2],
    is_limited: bool,
    /// The folder of Samba's socket, and the first line that has replies signed there.
    signd: Option<(String, usize)>,
    mssntp: Option<usize>,
    /// Numbers of `trustedkey`.
    trusted: Vec<u32>,
}

/// Reads a file, and all that it includes.
pub fn read(plan: &mut Plan, reader: &mut Reader<'_>, path: &str, text: &str) {
    let mut found = Found::default();
    file(plan, reader, &mut found, (path, text), 0);
    // NTPsec reads this folder too.
    if let Some(folder) = path.strip_suffix("/ntp.conf").map(|folder| format!("{folder}/ntp.d")) {
        let unread = |plan: &mut Plan, path: &str, error: FileError| {
            if let FileError::Other(why) = error {
                plan.lose(&format!("{path}: {why}"));
                plan.serving.block("what cannot be read may keep clients out");
            }
        };
        let names = reader.names(&folder, ".conf").unwrap_or_else(|error| {
            unread(plan, &folder, error);
            Vec::new()
        });
        for name in names {
            let path = format!("{folder}/{name}");
            match reader.text(&path) {
                Ok(text) => file(plan, reader, &mut found, (&path, &text), 0),
                Err(error) => unread(plan, &path, error),
            }
        }
    }
    settle(plan, reader, &mut found);
}

fn file(
    plan: &mut Plan,
    reader: &mut Reader<'_>,
    found: &mut Found,
    (path, text): (&str, &str),
    depth: usize,
) {
    for line in lines(path, text) {
        let Some(words) = split(&line.text) else {
            let item = plan.item(Part::Rest, &line);
            plan.unread(item, "", "not carried: a quotation mark is open");
            continue;
        };
        if words.is_empty() {
            continue;
        }
        if let Some(why) = line.damage() {
            let item = plan.item(Part::Rest, &line);
            plan.unread(item, "", why);
            continue;
        }
        let mut words = Words::from_list(words);
        let directive = words.take().unwrap_or_default();
        match directive.as_str() {
            "includefile" => include(plan, reader, found, &line, &mut words, depth),
            "server" | "pool" | "peer" => source::read(plan, found, &line, &directive, words),
            "keys" | "trustedkey" => keys(plan, found, &line, directive == "keys", &mut words),
            "fudge" => source::fudge(plan, found, &line, words),
            "restrict" | "unrestrict" => restrict::read(plan, found, &line, directive == "restrict", words),
            "interface" | "nic" => nic::read(plan, found, &line, words),
            "tos" => options::tos(plan, found, &line, words),
            "tinker" => options::tinker(plan, &line, words),
            "nts" => options::nts(plan, found, &line, words),
            "enable" | "disable" => options::switch(plan, &line, &directive, words),
            "driftfile" => {
                let item = plan.item(Part::Clock, &line);
                match words.take() {
                    Some(file) => {
                        if let Some((_, old)) = found.drift.replace((file, item)) {
                            plan.superseded(old, item);
                        }
                    }
                    None => plan.loss(item, "", "there is no file"),
                }
                let rest = words.rest();
                if !rest.is_empty() {
                    plan.note(item, &rest.join(" "), "not carried: the file is read once");
                }
            }
            "leapsmearinterval" => leap_smear(plan, &line, &mut words),
            "ntpsigndsocket" => {
                let item = plan.item(Part::Server, &line);
                match words.take() {
                    Some(folder) => {
                        if let Some((_, old)) = found.signd.replace((folder, item)) {
                            plan.superseded(old, item);
                        }
                    }
                    None => plan.loss(item, "", "there is no folder"),
                }
                plan.leftover(item, &mut words);
            }
            _ => other(plan, &line, &directive),
        }
    }
}

/// The file of symmetric keys, and which of them may be used: numbers, or `(1 ... 9)`.
fn keys(plan: &mut Plan, found: &mut Found, line: &Line, is_file: bool, words: &mut Words) {
    let item = plan.item(Part::Keys, line);
    if !is_file {
        let text = words.rest().join(" ").replace(['(', ')'], " ").replace("...", " ... ");
        let mut numbers = text.split_whitespace().peekable();
        while let Some(word) = numbers.next() {
            let Ok(first) = word.parse::<u32>() else {
                plan.loss(item, word, "not carried: no number of a key");
                continue;
            };
            let last = match numbers.next_if_eq(&"...") {
                Some(_) => numbers.next().and_then(|word| word.parse().ok()).unwrap_or(first),
                None => first,
            };
            found.trusted.extend((first..=last).take(MOST_TRUSTED));
            found.trusted.truncate(MOST_TRUSTED);
        }
        return plan.note(item, "", "the others of the file are left out");
    }
    match words.take() {
        Some(path) => {
            // Without trustedkey ntpd trusts none.
            let named = Named { path, item, format: Format::Ntp, trusted: Some(Vec::new()) };
            if let Some(before) = plan.key_file.replace(named) {
                plan.superseded(before.item, item);
            }
        }
        None => plan.loss(item, "", "there is no file"),
    }
    plan.leftover(item, words);
}

/// A directive that is not carried.
fn other(plan: &mut Plan, line: &Line, directive: &str) {
    let why = foreign::instead_of(directive).map(|why| match why.contains("from-chrony") {
        true => "there is nothing like it here, see docs/from-ntpd.md",
        false => why,
    });
    match why {
        Some(why) => {
            plan.lost_source |= SOURCES.contains(&directive);
            plan.explain(line, why, MATTER.contains(&directive));
        }
        None => plan.explain(line, "no directive that is known here, and not carried", true),
    }
}

/// Words between white space, or between quotation marks; what is behind # is a comment. None: a mark is open.
fn split(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut is_open, mut is_word) = (Vec::new(), String::new(), false, false);
    for letter in text.chars() {
        match letter {
            '"' => (is_open, is_word) = (!is_open, true),
            '#' if !is_open => break,
            letter if letter.is_whitespace() && !is_open => {
                if std::mem::take(&mut is_word) {
                    words.push(std::mem::take(&mut word));
                }
            }
            letter => {
                is_word = true;
                word.push(letter);
            }
        }
    }
    if is_word {
        words.push(word);
    }
    (!is_open).then_some(words)
}

fn include(
    plan: &mut Plan,
    reader: &mut Reader<'_>,
    found: &mut Found,
    line: &Line,
    words: &mut Words,
    depth: usize,
) {
    let item = plan.item(Part::Rest, line);
    let path = words.take().unwrap_or_default();
    plan.leftover(item, words);
    if depth >= MAX_DEPTH {
        return plan.unread(item, "", "not read: files include each other too deeply");
    }
    if !path.starts_with('/') {
        return plan.unread(item, "", "not read: no absolute path");
    }
    match reader.text(&path) {
        Ok(text) => {
            plan.note(item, "", "read here");
            file(plan, reader, found, (&path, &text), depth + 1);
        }
        Err(FileError::Absent) => plan.unread(item, "", "there is no such file"),
        Err(FileError::Other(why)) => plan.unread(item, "", &why),
    }
}

fn leap_smear(plan: &mut Plan, line: &Line, words: &mut Words) {
    let item = plan.item(Part::Server, line);
    let interval = words.take().unwrap_or_default();
    plan.leftover(item, words);
    if interval == "0" {
        return plan.note(item, "", "off, as here");
    }
    plan.set(Part::Server, "leap-smear", quoted("cosine"), item);
    plan.loss(
        item,
        "",
        "the curve is another one here, from noon to noon (UTC) around the leap second: clients must use servers of one kind \
         alone",
    );
}

fn settle(plan: &mut Plan, reader: &mut Reader<'_>, found: &mut Found) {
    if let Some(named) = &mut plan.key_file {
        named.trusted = Some(std::mem::take(&mut found.trusted));
    }
    key_file::settle(plan, reader);
    if let Some((file, item)) = found.drift.take() {
        drift::take(plan, reader, &file, item, Sign::Correction);
    }
    if let Some(ceiling) = found.ceiling {
        // What ntpd does not take any more is the stratum itself.
        let most = ceiling.saturating_sub(1).clamp(1, 15).to_string();
        plan.sources.iter_mut().for_each(|source| source.keys.push(("max-stratum", most.clone())));
    }
    if let Some(local) = found.local {
        let (stratum, item) = found.stratum.unwrap_or((10, local));
        plan.set(Part::Server, "local-stratum", stratum.clamp(1, 15).to_string(), item);
    } else if let Some((_, item)) = found.stratum {
        plan.note(item, "", "not carried: there is no such server");
    }
    match (found.signd.take(), found.mssntp) {
        (Some((folder, item)), Some(_)) => sign(plan, item, &folder),
        (Some((_, item)), None) => plan.note(item, "", "not carried: no restrict line has mssntp, so nothing is signed"),
        (None, Some(item)) => plan.loss(
            item,
            "mssntp",
            "not carried: no line says where Samba's socket is; write its folder as samba-signd under [server]",
        ),
        (None, None) => {}
    }
    found.orphan.settle(plan);
    plan.serving.rules = found.restrictions.rules();
    if !plan.serving.rules.allow_any() && plan.serving.blocked.is_none() {
        plan.serving.unwanted = Some("everybody is restricted".to_owned());
    } else if plan.serving.blocked.is_none() && plan.serving.rules.list(true).all(Network::is_loopback) {
        plan.serving.unwanted = Some(
            "only this host itself is let in, which is what ntpq needs; remove the signs # if it has clients of its own"
                .to_owned(),
        );
    }
    found.interfaces.settle(plan);
    if plan.serving.rules.allow_any() && plan.serving.unwanted.is_none() {
        plan.serving.open = Some("ntpd");
        plan.remark(
            Part::Server,
            "ntpd answers everybody whom no restrict line keeps out, and this section does the same. If this host is to serve \
             nobody, remove the section; if it is to serve some, write their networks into allow.",
        );
        if !found.is_limited {
            plan.remark(
                Part::Server,
                "ntpd limits no rates without limited; here a client has 16 answers a second, see address-rate and rate-limit.",
            );
        }
    }
    let [certificate, key] = std::mem::take(&mut found.pair);
    match (certificate, key) {
        (Some((certificate, at)), Some((key, item))) if found.nts_enabled => {
            plan.serving.nts =
                Some(KeyExchange { listen: plan.serving.listen.clone(), ..KeyExchange::default() });
            plan.set(Part::ServerNts, "certificate", quoted(&certificate), at);
            plan.set(Part::ServerNts, "key", quoted(&key), item);
        }
        (one, other) => {
            for (_, item) in one.into_iter().chain(other) {
                plan.note(item, "", "not carried: nts enable, a certificate and a key are needed all three");
            }
        }
    }
}
