//! What the daemon would refuse is taken out of the plan, and said.

use crate::place;
use crate::plan::{Part, Plan, Source};
use crate::serving::MAX_RULES;
use ipc::message::launch::MAX_PAIRS;

/// Most sources, members of pools counted.
const MAX_SOURCES: usize = 32;

/// Most files of root certificates.
const MAX_ROOTS: usize = 4;

/// Most addresses to serve on, and to exchange keys on.
const MAX_LISTEN: usize = 16;
const MAX_KEY_LISTEN: usize = 8;

/// Where the daemon sees files as they were at its start.
const FROZEN: &str = "/etc/truechimer";

/// Leaves a plan that makes a configuration in order, but for that there may be nothing to do in it.
pub fn finish(plan: &mut Plan) {
    observed(plan);
    twins(plan);
    roots(plan);
    authentication(plan);
    capacity(plan);
    commented(plan);
    minimum(plan);
    leases(plan);
    bereft(plan);
    serving(plan);
    sourceless(plan);
}

/// chronyd asks the servers of DHCP leases beside its own ones. Debian's file has their folder on each host, also where no lease
/// brings any.
fn leases(plan: &mut Plan) {
    let Some(item) = plan.value(Part::Dhcp, "use").map(|key| key.item) else { return };
    if plan.sources.iter().any(decides) {
        let why = "servers of DHCP leases are not asked while there is a [[source]] that decides: to have them, take out each \
                   [[source]], or write them as [[source]] too";
        match plan.has_leases {
            true => plan.loss(item, "", why),
            false => plan.note(item, "", why),
        }
    }
}

/// A server that has lost whatever it had its time from would serve a clock that runs free, with nothing in its answers that
/// tells it from the time before: nobody is answered. One that had nothing to begin with is so by design.
fn bereft(plan: &mut Plan) {
    let has_lost = plan.lost_source
        || plan.sources.iter().any(|source| source.out.as_ref().is_some_and(|why| !why.is_empty()));
    if has_lost && !plan.sources.iter().any(decides) && plan.serving.unwanted.is_none() {
        plan.serving.block("what it had its time from is not carried, and its own clock must not be served in the place of it");
    }
}

/// What happens without a source that decides.
fn sourceless(plan: &mut Plan) {
    if plan.value(Part::Dhcp, "use").is_some() || plan.sources.iter().any(decides) {
        return;
    }
    let is_served = plan.serving.blocked.is_none() && plan.serving.unwanted.is_none();
    if is_served && plan.value(Part::Server, "local-stratum").is_some() {
        plan.remark(
            Part::Server,
            "There is no source in it that decides: this host serves its own time, as before.",
        );
        return;
    }
    let is_observed = plan.sources.iter().any(|source| source.out.is_none());
    plan.lose(match is_observed && !is_served {
        true => "there is no source in it that decides: the clock is set by none; see noselect in truechimer.toml(5)",
        false => {
            "there is no source in it that decides: until one is written, the daemon refuses to start with it; see truechimer.toml(5)"
        }
    });
}

/// What decides nothing is neither preferred nor required.
fn observed(plan: &mut Plan) {
    const DECIDING: [&str; 3] = ["prefer", "trust", "require"];
    let mut items = Vec::new();
    for source in
        plan.sources.iter_mut().filter(|source| source.keys.iter().any(|(name, _)| *name == "noselect"))
    {
        let before = source.keys.len();
        source.keys.retain(|(name, _)| !DECIDING.contains(name));
        if source.keys.len() != before {
            items.push(source.item);
        }
    }
    for item in items {
        plan.note(
            item,
            "",
            "noselect alone is carried: such a source is neither preferred nor trusted nor required",
        );
    }
}

/// A server that is there already is asked once.
fn twins(plan: &mut Plan) {
    for at in 0..plan.sources.len() {
        let (before, rest) = plan.sources.split_at_mut(at);
        let Some(source) = rest.first_mut() else { continue };
        if source.out.is_some() {
            continue;
        }
        let port = |nts: bool, port: Option<u16>| port.unwrap_or(if nts { 4460 } else { 123 });
        let own = port(source.nts, source.port);
        let twin = before.iter().find(|other| {
            other.out.is_none()
                && port(other.nts, other.port) == own
                && place::are_one(&other.host, &source.host)
        });
        let Some(twin) = twin else { continue };
        let (twin, item, host) = (twin.item, source.item, source.host.clone());
        source.out = Some(String::new());
        let place = plan.place(twin);
        plan.note(item, &host, &format!("not carried: it is the server of {place}, which is asked once"));
    }
}

fn roots(plan: &mut Plan) {
    let mut files: Vec<String> = Vec::new();
    for source in plan.sources.iter_mut().filter(|source| source.out.is_none()) {
        let Some(file) = source.roots.clone().filter(|file| !files.contains(file)) else { continue };
        match files.len() < MAX_ROOTS {
            true => files.push(file),
            false => {
                source.out = Some(format!(
                    "there are {MAX_ROOTS} other files of root certificates, which is the limit"
                ))
            }
        }
    }
}

/// Whether it may decide: it is written, and not only observed.
pub fn decides(source: &Source) -> bool {
    source.out.is_none() && !source.keys.iter().any(|(name, _)| *name == "noselect")
}

/// Where plain sources may not decide and there is no other, none may.
fn authentication(plan: &mut Plan) {
    let Some(key) = plan.value(Part::Clock, "require-nts") else { return };
    let (item, is_there) = (key.item, plan.sources.iter().any(|source| decides(source) && source.nts));
    if plan.sources.iter().any(|source| decides(source) && source.key.is_some()) {
        plan.keys.retain(|key| key.name != "require-nts");
        return plan.note(
            item,
            "",
            "not needed: plain sources never decide beside those with symmetric keys",
        );
    }
    if is_there {
        return;
    }
    plan.keys.retain(|key| key.name != "require-nts");
    for source in plan.sources.iter_mut().filter(|source| source.out.is_none()) {
        source.out = Some("without a source with NTS, plain ones would decide".to_owned());
    }
    plan.loss(
        item,
        "",
        "no source with NTS is left that could be required: plain ones are written as comments",
    );
}

fn capacity(plan: &mut Plan) {
    let mut total = 0;
    for source in plan.sources.iter_mut().filter(|source| source.out.is_none()) {
        if total + source.count() <= MAX_SOURCES {
            total += source.count();
        } else {
            source.out = Some(format!(
                "with it there would be more than {MAX_SOURCES} sources, members of pools counted"
            ));
        }
    }
}

/// A source that is written as a comment is a loss, unless it is a twin.
fn commented(plan: &mut Plan) {
    let out: Vec<(usize, String)> = plan
        .sources
        .iter()
        .filter_map(|source| Some((source.item, source.out.clone().filter(|why| !why.is_empty())?)))
        .collect();
    for (item, why) in out {
        plan.loss(item, "", &format!("written as a comment: {why}"));
    }
}

fn minimum(plan: &mut Plan) {
    let most: usize = plan.sources.iter().filter(|source| decides(source)).map(Source::count).sum();
    // How many there are of DHCP leases is not known.
    let is_unknown = most == 0 && plan.value(Part::Dhcp, "use").is_some();
    let Some(key) = plan.keys.iter_mut().find(|key| key.name == "minimum-sources") else { return };
    let wanted: usize = key.value.parse().unwrap_or(1);
    let most = if is_unknown { MAX_SOURCES } else { most };
    let used = wanted.clamp(1, most.clamp(1, MAX_SOURCES));
    let item = key.item;
    key.value = used.to_string();
    if used != wanted {
        let why = match most {
            0 => format!("{used} here, because no source is left: add sources, and write {wanted}"),
            _ => format!("{used} here, because that many sources are left: add sources, and write {wanted}"),
        };
        plan.loss(item, "", &why);
    }
}

fn serving(plan: &mut Plan) {
    let rules = plan.serving.rules.0.len();
    if rules > MAX_RULES {
        plan.serving.block("there are more networks than the 4096 that allow and deny may have");
    }
    let entries = plan.serving.listen.len();
    if entries > MAX_LISTEN || (plan.serving.nts.is_some() && entries > MAX_KEY_LISTEN) {
        plan.serving.block("there are more addresses than can be served on");
    }
    if plan.serving.blocked.is_some() && !plan.serving.rules.allow_any() {
        plan.serving.blocked = None;
        plan.serving.unwanted.get_or_insert_with(|| "no client is let in by what could be read".to_owned());
    }
    if let Some(why) = plan.serving.blocked.clone() {
        plan.serving.unwanted = None;
        plan.lose(&format!("[server] is written as a comment, and no client is answered: {why}"));
    }
    if plan.serving.unwanted.is_some() || plan.serving.blocked.is_some() {
        return;
    }
    let is_heard = |ipv6: bool| {
        let listen = &plan.serving.listen;
        listen.is_empty() || listen.iter().any(|entry| entry.contains(':') == ipv6)
    };
    let heard = [is_heard(false), is_heard(true)];
    plan.serving.rules.0.retain(|network, _| heard.get(usize::from(network.ipv6)) == Some(&true));
    if plan.serving.rules.allow_any() {
        key_exchange(plan);
        open(plan);
    } else {
        let family = |ipv6: bool| if ipv6 { "IPv6" } else { "IPv4" };
        let why = match heard {
            [true, true] => "no client is answered".to_owned(),
            [_, ipv6] => format!(
                "no client is answered, because listen has addresses of {} alone, and allow has none of them",
                family(ipv6)
            ),
        };
        plan.serving.unwanted = Some(why);
    }
}

/// Nothing has said whom to answer: that it is everybody may not be known.
fn open(plan: &mut Plan) {
    let Some(name) = plan.serving.open else { return };
    let is_loopback = |entry: &String| entry.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let listen = &plan.serving.listen;
    let is_within = !listen.is_empty() && listen.iter().all(is_loopback);
    if !is_within && plan.serving.rules.list(true).any(|network| network.bits == 0) {
        plan.lose(&format!(
            "[server] answers everybody, as {name} did: if this host is no public server, write its networks into allow, or remove it"
        ));
    }
}

/// Takes out a key exchange that the daemon would not take.
fn key_exchange(plan: &mut Plan) {
    if plan.serving.nts.is_none() {
        return;
    }
    let file = |name: &str| {
        plan.value(Part::ServerNts, name).map(|key| (key.value.trim_matches('"').to_owned(), key.item))
    };
    let (Some((certificate, _)), Some((key, item))) = (file("certificate"), file("key")) else {
        plan.serving.nts = None;
        return;
    };
    if let Some(fault) = fault(&certificate, &key) {
        plan.serving.nts = None;
        return plan.loss(item, "", &format!("[server.nts] is written as a comment: {fault}"));
    }
    let mut further =
        plan.serving.nts.as_mut().map(|nts| std::mem::take(&mut nts.further)).unwrap_or_default();
    let beyond = further.split_off(further.len().min(MAX_PAIRS - 1));
    for (_, _, item) in beyond {
        plan.loss(item, "", &format!("not carried: {MAX_PAIRS} certificates are the limit"));
    }
    further.retain(|(certificate, key, item)| match fault(certificate, key) {
        Some(fault) => {
            plan.loss(*item, "", &format!("not carried: {fault}"));
            false
        }
        None => true,
    });
    for item in [item].into_iter().chain(further.iter().map(|(_, _, item)| *item)) {
        plan.loss(
            item,
            "",
            "carried; the key has to be readable by the user truechimer-key, and the certificate by truechimer-ntske",
        );
    }
    if let Some(nts) = &mut plan.serving.nts {
        nts.further = further;
    }
}

/// Why the daemon would not take these files.
fn fault(certificate: &str, key: &str) -> Option<&'static str> {
    let is_frozen = |file: &str| file.rsplit_once('/').is_some_and(|(folder, _)| folder == FROZEN);
    if certificate == key {
        return Some(
            "certificate and key are one file, which the process that reads the certificate must not be able to read",
        );
    }
    (is_frozen(certificate) || is_frozen(key)).then_some(
        "files in /etc/truechimer itself are seen as they were at the start; put them into a folder of their own",
    )
}
