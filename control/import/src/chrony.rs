//! chrony.conf, with what it includes, and files of sources.
//!
//! ```text
//!   include  include, confdir, sourcedir
//!   source   server, pool, peer, initstepslew
//!   clock    makestep, maxslewrate, leapsecmode, …
//!   server   allow, deny, bindaddress, local, ntsserverkey, …
//! ```

mod clock;
mod include;
mod server;
mod source;

pub use source::{LINK_LOCAL, polls};

use crate::access::ChronyRules;
use crate::files::{Reader, lines};
use crate::key_file::{self, Format, Named};
use crate::plan::{Part, Plan};
use crate::words::{Line, Words};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Directives without something like it here, the loss of which matters.
const MATTER: [&str; 6] = ["refclock", "broadcast", "tempcomp", "manual", "rtcfile", "ptpport"];

/// Directives of versions before 3, which later ones ignore.
const OBSOLETE: [&str; 4] = ["commandkey", "generatecommandkey", "linux_hz", "linux_freq_scale"];

/// Directives of which the page says that there is nothing like it, but that lose nothing where they stand alone.
const NO_LOSS: [(&str, &str); 10] = [
    ("ntsratelimit", "not carried: see rate and network-rate under [server.nts] in truechimer.toml(5)"),
    ("cmddeny", "not carried: there are local sockets only"),
    ("bindcmddevice", "not carried: there are local sockets only"),
    ("hwtstimeout", "not carried: the kernel's software timestamps"),
    ("ptpdomain", "not carried: there is no NTP over PTP"),
    ("maxtxbuffers", "not carried: there is no such buffer"),
    ("dumponexit", "nothing to write: what is worth keeping is kept in the state directory"),
    ("hwtimestamp", "not carried: the kernel's software timestamps"),
    ("maxupdateskew", "not carried: the estimator judges its own frequency"),
    ("lock_all", "not carried: each process has its limits"),
];

/// What is known of all files together.
#[derive(Debug, Default)]
pub struct Found {
    rules: ChronyRules,
    /// The files of certificates of each set.
    sets: BTreeMap<u32, (String, usize)>,
    /// The set of each source with NTS.
    wanted: Vec<(usize, u32)>,
    no_system: bool,
    mode: Option<(String, usize)>,
    /// The offset, in seconds, above which chronyd steps at its start, and the line that says so.
    step: Option<(f64, usize)>,
    is_step_ruled: bool,
    /// ppm, as it is written.
    slew_rate: Option<f64>,
    port: Option<(u16, usize)>,
    bound: [Option<(String, usize)>; 2],
    device: Option<(String, usize)>,
    /// From which addresses sources are asked, of IPv4 and of IPv6.
    asked_from: [Option<(IpAddr, usize)>; 2],
    /// Over which interface.
    asked_over: Option<(String, usize)>,
    dscp: Option<(u8, usize)>,
    nts_port: Option<(u16, usize)>,
    /// Somebody was allowed who is not here.
    lost_rule: bool,
    /// The files of certificates and of keys, each with its line: the first certificate belongs to the first key.
    pairs: [Vec<(String, usize)>; 2],
    drift: Option<(String, usize)>,
    is_limited: bool,
    leap: [Option<usize>; 2],
}

/// Reads a file, and all that it includes.
pub fn read(plan: &mut Plan, reader: &mut Reader<'_>, path: &str, text: &str) {
    let mut found = Found::default();
    file(plan, reader, &mut found, (path, text), 0, path.ends_with(".sources"));
    clock::settle(plan, reader, &mut found);
    source::settle(plan, &mut found);
    server::settle(plan, &mut found);
    key_file::settle(plan, reader);
}

/// Reads one file; `is_list`: of sources alone.
fn file(
    plan: &mut Plan,
    reader: &mut Reader<'_>,
    found: &mut Found,
    (path, text): (&str, &str),
    depth: usize,
    is_list: bool,
) {
    for line in lines(path, text) {
        let trimmed = line.text.trim_start();
        if trimmed.is_empty() || trimmed.starts_with(['!', ';', '#', '%']) {
            continue;
        }
        if let Some(why) = line.damage() {
            let item = plan.item(Part::Rest, &line);
            plan.unread(item, "", why);
            continue;
        }
        let (said, behind) = uncommented(trimmed);
        let mut words = Words::of(said);
        let directive = words.take().unwrap_or_default().to_ascii_lowercase();
        let is_source = matches!(directive.as_str(), "server" | "pool" | "peer");
        if is_list && !is_source {
            plan.explain(
                &line,
                "not carried: in a file of sources, chronyd takes server, pool and peer alone",
                true,
            );
            continue;
        }
        let begin = plan.items.len();
        match directive.as_str() {
            // What is behind it may have been the network: everybody is more than that.
            "allow" if !behind.is_empty() && words.peek().is_none() => {
                found.lost_rule = true;
                plan.explain(&line, "not carried: there is no network before the #", true);
            }
            "include" | "confdir" | "sourcedir" => {
                include::read(plan, reader, found, &line, &directive, &mut words, depth);
            }
            "keyfile" => keys(plan, &line, &mut words),
            _ if is_source => source::read(plan, found, &line, &directive, words),
            _ if source::departure(plan, found, &line, &directive, &mut words) => {}
            _ if clock::read(plan, found, &line, &directive, &mut words) => {}
            _ if server::read(plan, found, &line, &directive, &mut words) => {}
            _ => other(plan, &line, &directive),
        }
        if !behind.is_empty() && begin < plan.items.len() {
            plan.note(begin, behind, "left out: chronyd takes no comment here");
        }
    }
}

/// The file of symmetric keys.
fn keys(plan: &mut Plan, line: &Line, words: &mut Words) {
    let item = plan.item(Part::Keys, line);
    let Some(path) = only(plan, item, words) else { return };
    let named = Named { path, item, format: Format::Chrony, trusted: None };
    if let Some(before) = plan.key_file.replace(named) {
        plan.superseded(before.item, item);
    }
}

/// A line up to a word that begins with #, and the rest. chronyd knows comments of whole lines alone and refuses such a line.
fn uncommented(line: &str) -> (&str, &str) {
    let is_begin = |(at, _): &(usize, &str)| {
        line.get(..*at).is_some_and(|before| before.ends_with(|letter: char| letter.is_whitespace()))
    };
    let end = line.match_indices('#').find(is_begin).map_or(line.len(), |(at, _)| at);
    let (said, behind) = line.split_at_checked(end).unwrap_or((line, ""));
    (said, behind.trim_end())
}

/// A directive that is not carried.
fn other(plan: &mut Plan, line: &Line, directive: &str) {
    if OBSOLETE.contains(&directive) {
        return plan.explain(line, "not needed: later versions of chronyd ignore it too", false);
    }
    let own = NO_LOSS.iter().find(|(word, _)| *word == directive).map(|(_, why)| *why);
    match own.or_else(|| foreign::instead_of(directive)) {
        Some(why) => {
            plan.lost_source |= directive == "refclock";
            plan.explain(line, why, MATTER.contains(&directive));
        }
        None => plan.explain(line, "no directive that is known here, and not carried", true),
    }
}

/// The next word as a number in a range; a note, and none, if it is something else.
fn number<N: std::str::FromStr + PartialOrd + Copy>(
    plan: &mut Plan,
    item: usize,
    (what, words): (&str, &mut Words),
    range: std::ops::RangeInclusive<N>,
) -> Option<N> {
    let word = words.take();
    let value = word.as_deref().and_then(|word| word.parse().ok()).filter(|value| range.contains(value));
    if value.is_none() {
        let said = format!("{what} {}", word.unwrap_or_default());
        plan.loss(item, said.trim_end(), "not carried: no number that can be used");
    }
    value
}

/// The next word, and nothing behind it; a note, and none, without one.
fn only(plan: &mut Plan, item: usize, words: &mut Words) -> Option<String> {
    let word = words.take();
    if word.is_none() {
        plan.loss(item, "", "not carried: there is no value");
    }
    plan.leftover(item, words);
    word
}

/// An item of the section.
fn at(plan: &mut Plan, part: Part, line: &Line) -> usize {
    plan.item(part, line)
}

/// What a line says in the place of an earlier one.
fn replace<T>(plan: &mut Plan, place: &mut Option<(T, usize)>, value: T, item: usize) {
    if let Some((_, old)) = place.replace((value, item)) {
        plan.superseded(old, item);
    }
}
