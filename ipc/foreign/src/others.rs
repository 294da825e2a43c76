//! Words of other daemons' configuration that are not valid here, and what to write instead: ntp.conf, ntp.toml of
//! ntpd-rs, timesyncd.conf and OpenNTPD's ntpd.conf, as docs/from-ntpd.md, from-ntpd-rs.md, from-timesyncd.md and
//! from-openntpd.md have them. Those of chrony.conf have a file of their own, and come first.

use crate::chrony;

const NO_STATISTICS: &str = "nothing to write: truechimer-chrony-logs writes similar files; see also chimerctl plot and truechimer-metrics";
const BOUNDED: &str = "nothing to write: the governor's table bounds each change, see truechimerd(8)";
const NO_MULTICAST: &str =
    "there is no broadcast or multicast; a source is a [[source]] with address = \"NAME\"";
const COOKIE_KEYS: &str =
    "nothing to write: the keys of cookies are made and changed by themselves, see docs/nts.md";
const NO_CONSTRAINTS: &str = "there are no constraints by HTTPS; use mode = \"nts\" under [[source]]";

/// Each word, and its replacement.
const WORDS: [(&str, &str); 85] = [
    // ntp.conf
    (
        "fudge",
        "for the local clock, write local-stratum = 10 under [server]; there are no other reference clocks",
    ),
    ("tinker", BOUNDED),
    (
        "tos",
        "for minsane, write minimum-sources under [clock], and for orphan local-orphan and local-stratum under [server]; chimerctl import carries the rest",
    ),
    (
        "leapfile",
        "leap-seconds-list = true under [clock] has tzdata's list of leap seconds used, another one by a link to it, truechimer.leap-seconds",
    ),
    ("statsdir", NO_STATISTICS),
    ("statistics", NO_STATISTICS),
    ("filegen", NO_STATISTICS),
    ("logconfig", "nothing to write: see the journal"),
    ("logfile", "nothing to write: see the journal"),
    ("crypto", "there is no Autokey; use mode = \"nts\" under [[source]]"),
    ("autokey", "there is no Autokey; use mode = \"nts\" under [[source]]"),
    ("trustedkey", "keys = [1, 2] under [server] for clients; a source names its own key"),
    ("requestkey", "there is no remote control; see chimerctl(1)"),
    ("controlkey", "there is no remote control; see chimerctl(1)"),
    ("disable", "nothing to write: what ntpd lets one disable is not there, see chimerctl(1) for the rest"),
    ("enable", "nothing to write: what ntpd lets one enable is not there, see chimerctl(1) for the rest"),
    (
        "includefile",
        "put the file into truechimer.d beside the configuration, with a name that ends with .toml",
    ),
    (
        "interface",
        "write listen = [\"0.0.0.0%eth0\", \"::%eth0\"] with that interface, or addresses of it, under [server]",
    ),
    (
        "nic",
        "write listen = [\"0.0.0.0%eth0\", \"::%eth0\"] with that interface, or addresses of it, under [server]",
    ),
    ("listen", "write listen = [\"0.0.0.0:123\"] under [server]"),
    ("limit", "see the rate limits under [server] in truechimer.toml(5)"),
    ("unrestrict", "leave the rule out of allow and deny, under [server]"),
    ("nonvolatile", "nothing to write: the frequency is kept in the state directory"),
    ("leapsmearinterval", "write leap-smear under [server]; it spreads a leap second over a day"),
    ("reset", "there is nothing like it; the counters begin at 0 with each start"),
    ("discard", "see the rate limits under [server] in truechimer.toml(5)"),
    ("mru", "nothing to write: the table of clients has a fixed size; see chimerctl clients"),
    ("rlimit", "nothing to write: each process has its limits"),
    ("broadcastclient", NO_MULTICAST),
    ("broadcastdelay", NO_MULTICAST),
    ("multicastclient", NO_MULTICAST),
    ("manycastclient", NO_MULTICAST),
    ("manycastserver", NO_MULTICAST),
    ("setvar", "there is nothing like it; modes 6 and 7 are never answered"),
    ("phone", "there are no modems; a source is a [[source]] with address = \"NAME\""),
    ("tick", "nothing to write: the frequency is kept in the state directory"),
    ("unpeer", "leave the [[source]] out"),
    // ntp.toml
    ("source-defaults", "write min-poll and max-poll under each [[source]]"),
    ("poll-interval-limits", "write min-poll and max-poll under [[source]]"),
    ("initial-poll-interval", "write min-poll under [[source]]"),
    ("synchronization", "write it under [clock]"),
    ("minimum-agreeing-sources", "write minimum-sources under [clock]"),
    ("single-step-panic-threshold", BOUNDED),
    ("startup-step-panic-threshold", BOUNDED),
    ("accumulated-step-panic-threshold", BOUNDED),
    ("warn-on-jump", "nothing to write: each jump of the clock is in the journal"),
    ("algorithm", "nothing to write: the estimator finds its parameters by itself, see docs/estimator.md"),
    ("observability", "nothing to write: see chimerctl(1) and the journal"),
    ("log-level", "nothing to write: lines of the journal have a priority; see chimerctl log"),
    ("ansi-colors", "nothing to write: see the journal"),
    ("observation-path", "nothing to write: the control socket is /run/truechimer/control.sock"),
    ("observation-permissions", "nothing to write: who is in the group truechimer may read"),
    (
        "metrics-exporter-listen",
        "nothing to write: truechimer-metrics is the exporter, and its socket unit has the address",
    ),
    ("count", "write members under [[source]], with pool = true"),
    ("ignore", "leave these addresses out: give each server a [[source]] of its own"),
    (
        "ntp-version",
        "nothing to write: queries are of version 4, or with experimental-ntpv5 of a draft of version 5",
    ),
    ("certificate-authority", "write roots = \"FILE\" under [[source]]"),
    ("allowlist", "write allow = [\"NETWORK\"] under [server]"),
    ("denylist", "write deny = [\"NETWORK\"] under [server]"),
    (
        "rate-limiting-cache-size",
        "nothing to write: the table of clients has a fixed size; see chimerctl clients",
    ),
    ("rate-limiting-cutoff", "see the rate limits under [server] in truechimer.toml(5)"),
    ("rate-limiting-cutoff-ms", "see the rate limits under [server] in truechimer.toml(5)"),
    (
        "accept-ntp-versions",
        "nothing to write: versions 1 to 4 are answered, with experimental-ntpv5 a draft of version 5 too",
    ),
    ("nts-ke-server", "write [server.nts], with certificate and key"),
    ("certificate-chain-path", "write certificate under [server.nts]"),
    ("private-key-path", "write key under [server.nts]"),
    ("key-exchange-timeout-ms", "nothing to write: a key exchange has a time limit"),
    ("concurrent-connections", "write connections under [server.nts]"),
    ("keyset", COOKIE_KEYS),
    ("key-storage-path", COOKIE_KEYS),
    ("key-rotation-interval", COOKIE_KEYS),
    ("stale-key-count", COOKIE_KEYS),
    // timesyncd.conf
    ("Time", "each server is a [[source]] with address = \"NAME\""),
    ("NTP", "each server is a [[source]] with address = \"NAME\""),
    ("FallbackNTP", "each server is a [[source]] with address = \"NAME\"; all of them are used at once"),
    ("RootDistanceMaxSec", "write max-distance under [clock]"),
    ("PollIntervalMinSec", "write min-poll under [[source]], the exponent of two: 5 for 32 s"),
    ("PollIntervalMaxSec", "write max-poll under [[source]], the exponent of two: 11 for 2048 s"),
    ("ConnectionRetrySec", "nothing to write: what does not answer is asked again by itself"),
    ("SaveIntervalSec", "nothing to write: what is to be remembered is kept in the state directory"),
    // ntpd.conf of OpenNTPD
    ("sensor", "there are no reference clocks"),
    ("query", "nothing to write: the kernel chooses the address from which a source is asked"),
    ("servers", "a pool is a [[source]] with address = \"NAME\" and pool = true"),
    ("constraint", NO_CONSTRAINTS),
    ("constraints", NO_CONSTRAINTS),
];

/// The replacement for this word; `None`: it is not one of theirs.
pub fn instead_of(word: &str) -> Option<&'static str> {
    let ours = || WORDS.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours);
    chrony::instead_of(word).or_else(ours)
}

/// The same for a line that is not TOML; its first word decides, but for the addresses that ntpd gives to its
/// reference clocks (127.127.TYPE.UNIT).
pub fn instead_of_line(line: &str) -> Option<(&str, &'static str)> {
    if let Some(address) = line.split_whitespace().find(|word| word.starts_with("127.127.")) {
        return Some((address, of_clock(address.starts_with("127.127.1."))));
    }
    let word = line.split(|letter: char| letter.is_whitespace() || letter == '=').next()?;
    // Of files with an equals sign in each line, this one can't be TOML.
    let is_theirs = !line.contains('=') || matches!(word, "NTP" | "FallbackNTP") || word.ends_with("Sec");
    Some((word, instead_of(word).filter(|_| is_theirs)?))
}

/// What is said of an address of ntpd's reference clocks.
pub const fn of_clock(is_local: bool) -> &'static str {
    if is_local {
        "ntpd's local clock; leave it out, and to serve time without a source write local-stratum = 10 under [server]"
    } else {
        "one of ntpd's reference clocks, of which there are none here; leave it out"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::ToOwned;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    #[test]
    fn no_word_is_told_two_things() {
        for (place, (word, _)) in WORDS.iter().enumerate() {
            assert!(!WORDS[..place].iter().any(|(other, _)| other == word), "{word} twice");
            assert_eq!(chrony::instead_of(word), None, "{word} is in chrony.rs");
        }
    }

    /// What the tables of the pages have in their first column besides words that a line or a key may begin with: options
    /// and values behind such a word, options of programs, and keys that are called the same here.
    #[rustfmt::skip]
    const NO_WORDS: [&str; 37] = [
        // ntp.conf: behind server, tos, tinker, restrict and nts
        "true", "bias", "preempt", "mdnstries", "maxclock", "orphan", "orphanwait", "beacon", "cohort", "stepback", "stepfwd",
        "dispersion", "freq", "huffpuff", "noquery", "notrap", "nopeer", "limited", "flake", "mssntp", "maxtls", "tlsciphersuites",
        // ntp.toml: the same keys as here, in another place or with other values
        "mode", "pps", "sock", "address", "ntp-server", "ntp-port", "local-stratum", "require-nts", "listen",
        // ntpd.conf: behind server, sensor and listen on
        "weight", "trusted", "correction", "refid", "stratum", "rtable",
    ];

    /// The words in the first column of the tables of a page whose heads begin so.
    fn words_of(page: &str, head: &str) -> Vec<String> {
        let tables = page.split("\n\n").filter(|part| part.starts_with(&format!("| {head}")));
        let cells = tables.flat_map(|table| table.lines().skip(2)).filter_map(|row| row.split(" | ").next());
        let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        let first = quoted.filter_map(|text| text.trim_matches(['[', '"']).split([' ', ']', '=']).next());
        first.filter(|word| !word.starts_with(['-', '/'])).map(str::to_owned).collect()
    }

    #[test]
    fn the_words_of_the_pages_for_those_who_come_from_another_daemon_have_an_answer_and_the_other_way_round()
    {
        let mut all = Vec::new();
        for (page, head) in [
            (include_str!("../../../docs/from-ntpd.md"), "ntp.conf"),
            (include_str!("../../../docs/from-ntpd-rs.md"), "ntp.toml |"),
            (include_str!("../../../docs/from-timesyncd.md"), "timesyncd.conf |"),
            (include_str!("../../../docs/from-openntpd.md"), "ntpd.conf |"),
        ] {
            let words = words_of(page, head);
            assert!(words.len() > 4, "the tables were not found: {head}");
            let unanswered =
                |word: &&String| instead_of(word).is_none() && !NO_WORDS.contains(&word.as_str());
            let without: Vec<_> = words.iter().filter(unanswered).collect();
            assert!(without.is_empty(), "words of {head} without an answer: {without:?}");
            all.push(page);
        }
        let is_there = |word: &&str| all.iter().any(|page| page.contains(&format!("`{word}")));
        let left_out: Vec<_> = WORDS.iter().map(|(word, _)| *word).filter(|word| !is_there(word)).collect();
        assert!(left_out.is_empty(), "words that the pages leave out: {left_out:?}");
    }

    #[test]
    fn a_line_of_another_format_gets_the_answer_of_its_word() {
        for (line, expected) in [
            ("server 127.127.1.0 prefer", "local-stratum = 10"),
            ("fudge 127.127.1.0 stratum 10", "local-stratum = 10"),
            ("server 127.127.28.0", "reference clocks"),
            ("tinker panic 0", "governor"),
            ("NTP=a.example b.example", "[[source]]"),
            ("PollIntervalMinSec=32s", "5 for 32 s"),
            ("constraints from \"https://www.example.org\"", "nts"),
            ("servers pool.example.org", "pool = true"),
            ("pool pool.example.org iburst", "pool = true"),
        ] {
            let (_, ours) = instead_of_line(line).unwrap_or_else(|| panic!("{line}"));
            assert!(ours.contains(expected), "{line}: {ours}");
        }
        assert_eq!(instead_of_line("address = \"a\""), None);
    }
}
