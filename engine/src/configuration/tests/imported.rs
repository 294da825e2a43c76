//! What `chimerctl import` makes of other daemons' configuration: this reader takes it, whatever it was made of.

use super::*;
use import::{FileError, Files, Imported, Kind};
use proptest::prelude::*;
use proptest::sample::select;
use std::path::Path;

/// One file, or those of a folder as the root.
enum Given<'t> {
    Text(&'t str, &'t str),
    Root(&'t Path),
}

impl Files for Given<'_> {
    fn read(&mut self, path: &str) -> Result<Vec<u8>, FileError> {
        match self {
            Given::Text(only, text) if *only == path => Ok(text.as_bytes().to_vec()),
            Given::Text(..) => Err(FileError::Absent),
            Given::Root(root) => std::fs::read(root.join(&path[1..])).map_err(|_| FileError::Absent),
        }
    }

    fn list(&mut self, folder: &str) -> Result<Vec<String>, FileError> {
        let Given::Root(root) = self else { return Err(FileError::Absent) };
        let entries = std::fs::read_dir(root.join(&folder[1..])).map_err(|_| FileError::Absent)?;
        Ok(entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
    }
}

fn made(path: &str, text: &str, kind: Kind) -> Imported {
    import::import(&[path.to_owned()], Some(kind), &mut Given::Text(path, text)).unwrap()
}

/// The reader takes it; where it names no source, with as many as there may be.
fn taken(imported: &Imported) -> Configuration {
    let Imported { text, sources, losses, keys, .. } = imported;
    let read_whole = |text: &str| {
        let mut texts = Texts::only(FileText::private("imported.toml", text));
        texts.keys = keys.as_ref().map(|keys| FileText::private("imported.keys", keys));
        read(&mut texts)
    };
    let is_refused = losses.iter().any(|loss| loss.contains("the daemon refuses to start"));
    assert_eq!(is_refused, read_whole(text).is_err(), "{losses:?}\n{text}");
    assert!(!text.contains("\n[dhcp]") || *sources > 0 || read_whole(text).is_ok(), "{text}");
    let text = match *sources {
        // Those that are only observed may be as many as there can be.
        0 if text.contains("\nnoselect = true\n") => text
            .lines()
            .filter(|line| *line != "noselect = true" && !line.starts_with("minimum-sources"))
            .flat_map(|line| [line, "\n"])
            .collect(),
        0 => ["a", "b"].iter().fold(text.clone(), |text, name| {
            format!("{text}\n[[source]]\naddress = \"{name}.last.example\"\npool = true\nmembers = 16\n")
        }),
        _ => text.clone(),
    };
    read_whole(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// In comments a long note is wrapped.
fn flat(text: &str) -> String {
    text.lines().map(|line| line.trim_start_matches(['#', ' '])).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_stratum_of_chronys_orphans_that_is_too_low_here_is_raised_and_said() {
    let chrony = |lines: &str| {
        let text = format!("server a.example iburst\nserver b.example iburst\nallow 10.0.0.0/8\n{lines}\n");
        made("/etc/chrony.conf", &text, Kind::Chrony)
    };
    for (line, stratum, losses) in [
        ("local stratum 3 orphan", 5, 1),
        ("local orphan stratum 4", 5, 1),
        ("local stratum 5 orphan", 5, 0),
        ("local stratum 3", 3, 0),
    ] {
        let imported = chrony(line);
        let local = taken(&imported).settings.server.and_then(|server| server.local).unwrap();
        assert_eq!(
            (local.stratum, imported.losses.len()),
            (stratum, losses),
            "{line}: {:?}",
            imported.losses
        );
        let says = flat(&imported.text).contains("5 here, which is the least with orphan");
        assert_eq!(says, losses > 0, "{line}: {}", imported.text);
    }
}

#[test]
fn what_is_made_of_each_configuration_of_a_real_host_is_one_in_order() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../control/import/tests/data");
    for (name, path, sources, served) in [
        ("debian", "/etc/chrony/chrony.conf", 3, false),
        ("fedora", "/etc/chrony.conf", 1, false),
        ("aws", "/etc/chrony.conf", 3, false),
        ("gcp", "/etc/chrony/chrony.conf", 1, false),
        ("azure", "/etc/chrony.conf", 2, false),
        ("gps", "/etc/chrony/chrony.conf", 3, true),
        ("pool", "/etc/chrony/chrony.conf", 4, true),
        ("nts", "/etc/chrony/chrony.conf", 4, true),
        ("idm", "/etc/chrony.conf", 3, true),
        ("ad", "/etc/chrony/chrony.conf", 3, true),
        ("node", "/etc/chrony/chrony.conf", 3, false),
        ("database", "/etc/chrony.conf", 2, false),
        ("ntp", "/etc/ntpsec/ntp.conf", 5, true),
        ("timesyncd", "/etc/systemd/timesyncd.conf", 5, false),
        ("openntpd", "/etc/openntpd/ntpd.conf", 3, true),
        ("ntpd-rs", "/etc/ntpd-rs/ntp.toml", 3, true),
    ] {
        let root = data.join(name);
        let imported = import::import(&[path.to_owned()], None, &mut Given::Root(&root)).unwrap();
        let found = taken(&imported);
        assert_eq!(found.settings.sources.len(), sources, "{name}: {}", imported.text);
        assert_eq!(found.settings.server.is_some(), served, "{name}: {}", imported.text);
    }
}

fn host() -> impl Strategy<Value = String> {
    select(vec![
        "ntp1.example.org",
        "ntp2.example.org",
        "NTP1.example.org.",
        "192.0.2.1",
        "192.0.2.2",
        "2001:db8::1",
        "fe80::1",
        "fe80::1%eth0",
        "fe80::1%2",
        "127.127.1.0",
        "127.127.28.0",
        "224.0.1.1",
        "bad_host",
        "a..b",
        "0.0.0.0",
        "\"x",
        "é.example",
        "1.2.3",
        "::ffff:192.0.2.1",
    ])
    .prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (-40i32..200).prop_map(|number| number.to_string()),
        2 => (0.0f64..40.0).prop_map(|number| number.to_string()),
        1 => select(vec!["x", "-", "1e400", "nan", "99999999999999999999", "/etc/a.pem", "/etc/truechimer/b", "../c", "0x10"]).prop_map(str::to_owned),
    ]
}

fn option(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    (select(words), prop_oneof![Just(None), value().prop_map(Some)])
        .prop_map(|(word, value)| value.map_or(word.to_owned(), |value| format!("{word} {value}")))
}

const OPTIONS: &[&str] = &[
    "iburst",
    "burst",
    "nts",
    "prefer",
    "trust",
    "require",
    "minpoll",
    "maxpoll",
    "maxsources",
    "maxdelay",
    "port",
    "ntsport",
    "certset",
    "key",
    "offline",
    "xleave",
    "version",
    "polltarget",
    "extfield",
    "unheard-of",
    "IBURST",
    "asymmetry",
    "autokey",
    "true",
    "ca",
    "ask",
    "aead AES_SIV_CMAC_256",
    "preempt",
    "ipv4",
    "copy",
    "noselect",
    "minstratum",
    "offset",
];

const DIRECTIVES: &[&str] = &[
    "makestep",
    "makestep 1",
    "maxslewrate",
    "maxdistance",
    "minsources",
    "leapsecmode slew",
    "leapsecmode ignore",
    "leapsecmode",
    "authselectmode require",
    "authselectmode mix",
    "ntstrustedcerts 1",
    "ntstrustedcerts",
    "nosystemcert",
    "ntsaeads 15",
    "ntsaeads",
    "driftfile",
    "port",
    "bindaddress 192.0.2.9",
    "bindaddress ::1",
    "bindaddress",
    "binddevice eth0",
    "binddevice",
    "local",
    "local stratum",
    "local activate",
    "local orphan stratum 3",
    "ratelimit",
    "ratelimit interval",
    "ratelimit kod",
    "smoothtime 400 0.01 leaponly",
    "smoothtime",
    "dscp",
    "ntsport",
    "ntsserverkey /etc/k.pem",
    "ntsservercert /etc/c.pem",
    "ntsserverkey",
    "ntsprocesses",
    "maxntsconnections",
    "ntsntpserver",
    "ntsrotate",
    "refclock",
    "keyfile",
    "rtcsync",
    "hwtimestamp",
    "include",
    "confdir",
    "sourcedir /run/chrony-dhcp",
    "sourcedir",
    "unheard-of",
    "driftfile /d",
    "initstepslew",
    "tos minsane",
    "tos maxdist",
    "tos ceiling",
    "tos orphan",
    "tinker step",
    "tinker panic",
    "fudge 127.127.1.0 stratum",
    "server 127.127.1.0",
    "interface listen",
    "interface listen eth0",
    "interface ignore wildcard",
    "interface ignore",
    "interface ignore ipv6",
    "nts enable",
    "nts cert /etc/c.pem",
    "nts key /etc/k.pem",
    "nts ca",
    "disable",
    "leapsmearinterval",
    "includefile",
    "listen on 192.0.2.9",
    "listen on *",
    "listen on",
    "sensor",
    "constraint from",
    "query from",
    "[Time]",
    "NTP=a b",
    "NTP=",
    "PollIntervalMinSec=32",
    "PollIntervalMaxSec=5us",
    "RootDistanceMaxSec=1h",
    "FallbackNTP=c",
];

fn access() -> impl Strategy<Value = String> {
    let network = select(vec![
        "",
        "all",
        "10.0.0.0/8",
        "10.1",
        "10.1.2.3",
        "10.1.2.3/9",
        "::/0",
        "2001:db8::/33",
        "::ffff:10.0.0.0/104",
        "1.2.3.4/40",
        "name.example",
        "0/0",
        "all 10",
        "10.1.2.0 mask 255.255.255.0",
        "default",
        "source",
        "10.0.0.0 mask 255.0.255.0",
    ]);
    let flags = select(vec![
        "",
        "noserve",
        "kod limited",
        "ignore",
        "notrust",
        "ntpport",
        "ntpport noserve",
        "nomodify",
        "unheard-of",
    ]);
    let word = select(vec!["allow", "deny", "restrict", "restrict -4", "unrestrict"]);
    (word, network, flags).prop_map(|(word, network, flags)| match word {
        "allow" | "deny" => format!("{word} {network}"),
        _ => format!("{word} {network} {flags}"),
    })
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (select(vec!["server", "pool", "peer", "servers", "Server"]), host(), prop::collection::vec(option(OPTIONS), 0..5))
            .prop_map(|(word, host, options)| format!("{word} {host} {}", options.join(" "))),
        4 => option(DIRECTIVES),
        3 => access(),
        1 => "[ -~\t]{0,40}",
        1 => ".{0,20}".prop_map(|text| text.replace(['\n', '\r'], " ")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Whatever another daemon's file has, with or without faults: each word of it stands in what is made of it, which is in
    /// order, and where it is neither taken as another one's nor read as a comment, it is there with its line.
    #[test]
    fn of_any_lines_nothing_is_lost_and_what_is_made_is_in_order(
        lines in prop::collection::vec(line(), 0..24),
        kind in select(vec![Kind::Chrony, Kind::Ntp, Kind::OpenNtpd, Kind::Timesyncd]),
    ) {
        let lines: Vec<String> = match kind {
            Kind::Timesyncd => std::iter::once("[Time]".to_owned()).chain(lines).collect(),
            _ => lines,
        };
        let imported = made("/in/a.conf", &lines.join("\n"), kind);
        taken(&imported);
        let said = flat(&imported.text);
        let is_quoted = |line: &str, number: usize| {
            said.contains(&format!("/in/a.conf:{number}: {}", ipc::text::escape(line.trim())))
        };
        // A line that goes on in the next one is quoted as one with it.
        if lines.iter().any(|line| line.ends_with('\\')) || (kind == Kind::OpenNtpd && said.contains('\\')) {
            return Ok(());
        }
        for (number, line) in (1..).zip(&lines) {
            // The mark that editors of other systems put in front of a file is none of its text.
            let line = line.strip_prefix('\u{feff}').filter(|_| number == 1).unwrap_or(line);
            let bare = line.trim();
            let is_comment = match kind {
                Kind::Chrony => bare.starts_with(['!', ';', '#', '%']),
                Kind::Timesyncd => bare.starts_with(['#', ';']) || bare == "[Time]",
                _ => bare.starts_with('#'),
            };
            prop_assert!(bare.is_empty() || is_comment || is_quoted(line, number), "{}: {:?}\n{}", number, line, imported.text);
        }
    }

    /// The same of any text as ntp.toml.
    #[test]
    fn of_any_ntp_toml_what_is_made_is_in_order(
        keys in prop::collection::vec((select(vec![
            "[[source]]", "mode = \"pool\"", "mode = \"nts\"", "mode = \"server\"", "mode = \"pps\"", "address = \"a.example\"",
            "address = \"b.example:99999\"", "address = 7", "count = 99", "count = -1", "certificate-authority = \"/x\"", "[[server]]",
            "listen = \"0.0.0.0:123\"", "listen = \"[::1]:0\"", "allowlist = { filter = [\"10.0.0.0/8\"], action = \"deny\" }",
            "denylist = { filter = [\"x\"] }", "denylist = { filter = [\"10.1.0.0/16\", \"10.0.0.0/7\"] }", "require-nts = true", "[[nts-ke-server]]",
            "certificate-chain-path = \"/c\"", "private-key-path = \"/k\"", "private-key-path = \"/c\"", "ntp-server = \"a b\"", "[synchronization]",
            "minimum-agreeing-sources = 5", "local-stratum = 16", "local-stratum = 4", "[source-defaults]",
            "poll-interval-limits = { min = 20, max = -3 }", "unheard-of = [1, { a = 2 }]", "[observability]", "log-level = \"info\"",
        ]), any::<bool>()), 0..20),
    ) {
        // Keys may be there once in a table.
        let mut text = String::new();
        let mut known: Vec<&str> = Vec::new();
        for (line, _) in &keys {
            let key = line.split(' ').next().unwrap();
            if line.starts_with("[[") {
                known.retain(|key| key.starts_with('['));
            } else if known.contains(&key) {
                continue;
            } else if line.starts_with('[') {
                known.retain(|key| key.starts_with('['));
                known.push(key);
            } else {
                known.push(key);
            }
            text += line;
            text += "\n";
        }
        let imported = made("/in/ntp.toml", &text, Kind::NtpdRs);
        taken(&imported);
        let said = flat(&imported.text);
        for line in text.lines().filter(|line| !line.starts_with('[')) {
            let is_sign = |letter: char| "[]{}=, ".contains(letter);
            for word in line.split(is_sign) {
                prop_assert!(said.contains(word), "{} of {}\n{}\n{}", word, line, text, imported.text);
            }
        }
    }
}
