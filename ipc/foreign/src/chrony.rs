//! Directives of chrony.conf and ntp.conf that are not valid here, and what to write instead.

/// Each directive, and its replacement.
const WORDS: [(&str, &str); 75] = [
    ("server", "a source is a [[source]] with address = \"NAME\""),
    ("peer", "there are no peers; a source is a [[source]] with address = \"NAME\""),
    ("pool", "a pool is a [[source]] with address = \"NAME\" and pool = true"),
    ("iburst", "write burst under [[source]]; it is on unless switched off"),
    ("maxsources", "write members under [[source]], with pool = true"),
    ("minpoll", "write min-poll under [[source]]"),
    ("maxpoll", "write max-poll under [[source]]"),
    ("maxdelay", "write max-delay under [[source]]"),
    ("nts", "write mode = \"nts\" under [[source]]"),
    ("minsources", "write minimum-sources under [clock]"),
    ("makestep", "write start-step-threshold under [clock]; the first correction is a step above it"),
    ("initstepslew", "write start-step-threshold under [clock]; the first correction is a step above it"),
    ("maxslewrate", "write max-slew-ppm under [clock]"),
    ("maxchange", "nothing to write: the governor's table bounds each change, see truechimerd(8)"),
    (
        "authselectmode",
        "for require, write require-nts = true under [clock]; prefer and mix are how it is without; there is no ignore",
    ),
    ("driftfile", "nothing to write: the frequency is kept in the state directory"),
    ("dumpdir", "nothing to write: what is worth keeping is kept in the state directory"),
    ("ntsdumpdir", "nothing to write: keys and cookies are kept in the state directory"),
    ("rtcsync", "nothing to write: the kernel copies a synchronised clock to the hardware clock"),
    (
        "logdir",
        "nothing to write: truechimer-chrony-logs writes chrony's log files, into /var/log/truechimer",
    ),
    ("keyfile", "copy that file to truechimer.keys beside truechimer.toml; it is read as it is"),
    (
        "keys",
        "in ntp.conf: write the keys in chrony's format to truechimer.keys beside truechimer.toml; chimerctl import does it",
    ),
    ("allow", "write allow = [\"NETWORK\"] under [server]"),
    ("deny", "write deny = [\"NETWORK\"] under [server]"),
    ("restrict", "write allow and deny under [server]"),
    ("local", "write local-stratum under [server]"),
    ("ratelimit", "see the rate limits under [server] in truechimer.toml(5)"),
    ("refclock", "there are no reference clocks but those of SOCK; for one write [[refclock]]"),
    ("leapsectz", "leap-seconds-list = true under [clock] has tzdata's list of leap seconds used"),
    ("port", "write it behind the colon in address, under [[source]], or in listen, under [server]"),
    ("bindaddress", "write listen under [server]"),
    ("binddevice", "write listen = [\"0.0.0.0%eth0\", \"::%eth0\"] with that interface under [server]"),
    ("refresh", "nothing to write: names are looked up again by themselves"),
    ("burst", "write burst = \"always\" under [[source]]"),
    ("prefer", "write prefer = true under [[source]]"),
    ("trust", "write trust = true under [[source]]"),
    ("require", "write require = true under [[source]]"),
    ("noselect", "write noselect = true under [[source]]"),
    ("minstratum", "write min-stratum under [[source]]"),
    ("offset", "write offset under [[source]], in seconds and with chrony's sign"),
    ("ipv4", "write family = \"ipv4\" under [[source]]"),
    ("ipv6", "write family = \"ipv6\" under [[source]]"),
    ("ntsport", "write the port in address, under [[source]], or in listen, under [server.nts]"),
    ("certset", "write roots under [[source]]"),
    ("ntstrustedcerts", "write roots under each [[source]] that it is for"),
    ("nosystemcert", "write roots under each NTS [[source]]"),
    ("key", "the same under [[source]], with the number alone"),
    ("ntsrefresh", "nothing to write: keys are exchanged anew after four weeks"),
    ("ntsaeads", "write aead under [[source]]"),
    ("maxdrift", "nothing to write: the governor bounds the frequency, see truechimerd(8)"),
    ("leapsecmode", "write leap-seconds = true (system) or false (ignore) under [clock]"),
    (
        "leapseclist",
        "leap-seconds-list = true under [clock] has tzdata's list of leap seconds used, another one by a link to it, truechimer.leap-seconds",
    ),
    ("offline", "nothing to write: chimerctl offline, for all sources or by name"),
    ("clientloglimit", "nothing to write: the table of clients has a fixed size; see chimerctl clients"),
    ("noclientlog", "nothing to write: the table of clients has a fixed size; see chimerctl clients"),
    ("bindacqaddress", "write send-from under [[source]]"),
    ("bindacqdevice", "write send-over under [[source]]"),
    ("dscp", "write dscp under [server] and under [[source]]"),
    ("smoothtime", "for leaponly, write leap-smear under [server]; there is nothing else like it"),
    ("ntsserverkey", "write key under [server.nts]"),
    ("ntsservercert", "write certificate under [server.nts]"),
    ("ntsprocesses", "write threads under [server.nts]"),
    ("maxntsconnections", "write connections under [server.nts]"),
    ("ntsntpserver", "write ntp-server under [server.nts]"),
    (
        "ntsrotate",
        "nothing to write for one server; several share fleet-secret and fleet-since under [server.nts]",
    ),
    (
        "confdir",
        "nothing to write: drop-ins are read from truechimer.d beside the configuration, see truechimer.toml(5)",
    ),
    (
        "sourcedir",
        "nothing to write: programs leave sources in sources.d of the run directory, see truechimer.toml(5)",
    ),
    (
        "include",
        "nothing to write: put the file into truechimer.d beside the configuration, with a name that ends with .toml",
    ),
    ("maxjitter", "write max-jitter under [clock], in seconds"),
    ("ntpsigndsocket", "write samba-signd under [server]"),
    ("maxdistance", "write max-distance under [clock], at most 16"),
    ("user", "nothing to write: each process has a user of its own"),
    (
        "log",
        "nothing to write: systemctl enable --now truechimer-chrony-logs writes measurements, statistics and tracking",
    ),
    ("logbanner", "nothing to write: --banner of truechimer-chrony-logs"),
    ("logchange", "nothing to write: each step is in the journal and in chimerctl audit"),
];

/// Directives of chrony.conf without a replacement.
#[rustfmt::skip]
const ABSENT: [&str; 44] = [
    "maxdelayratio", "maxdelaydevratio", "maxdelayquant", "mindelay", "asymmetry",
    "minsamples", "maxsamples", "filter", "polltarget", "presend", "auto_offline",
    "xleave", "version", "extfield", "copy", "acquisitionport", "nocerttimecheck",
    "combinelimit", "reselectdist", "stratumweight", "maxclockerror", "clockprecision",
    "corrtimeratio", "maxupdateskew", "tempcomp", "fallbackdrift", "manual", "rtcfile", "rtcdevice", "rtcautotrim",
    "rtconutc", "hwclockfile", "broadcast", "ptpport", "hwtimestamp", "lock_all",
    "sched_priority", "pidfile", "mailonchange", "bindcmdaddress", "cmdport", "cmdallow", "cmdratelimit",
    "opencommands",
];

/// The replacement for this directive; `None`: it is not one of chrony or ntpd.
pub fn instead_of(word: &str) -> Option<&'static str> {
    let ours = WORDS.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours);
    ours.or_else(|| {
        ABSENT.contains(&word).then_some("there is nothing like it here, see docs/from-chrony.md")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    /// Words of ntp.conf that chrony.conf does not have.
    const OF_NTP_CONF: [&str; 2] = ["keys", "restrict"];

    /// What the page's tables have besides words that a line may begin with: values, and a command of chronyc.
    const NO_WORDS: [&str; 8] =
        ["activate", "distance", "ignore", "mix", "settime", "step", "waitsynced", "waitunsynced"];

    /// What stands between ` in some text, by its first word.
    fn quoted(text: &str) -> impl Iterator<Item = &str> {
        text.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.split(' ').next())
    }

    #[test]
    fn the_page_for_those_who_come_from_chrony_has_the_same_words() {
        let page = include_str!("../../../docs/from-chrony.md");
        let tables = page.split("\n\n").flat_map(|part| part.split("\n## "));
        let tables = tables.filter_map(|part| part.split_once("| chrony.conf").map(|(_, table)| table));
        let rows = tables.flat_map(|table| table.lines().skip(2));
        let theirs: BTreeSet<&str> = rows
            .flat_map(|row| quoted(row.split(" | ").next().unwrap_or_default()))
            .filter(|word| !word.starts_with('-') && !NO_WORDS.contains(word))
            .collect();
        assert!(theirs.len() > 100, "the tables were not found: {theirs:?}");
        let without: Vec<_> = theirs.iter().filter(|word| instead_of(word).is_none()).collect();
        assert!(without.is_empty(), "words of the page without an answer: {without:?}");

        let anywhere: BTreeSet<&str> = quoted(page).collect();
        let known = WORDS.iter().map(|(word, _)| *word).chain(ABSENT);
        let unknown: Vec<_> =
            known.filter(|word| !anywhere.contains(word) && !OF_NTP_CONF.contains(word)).collect();
        assert!(unknown.is_empty(), "words that the page leaves out: {unknown:?}");
    }

    #[test]
    fn no_word_is_told_two_things() {
        let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).chain(ABSENT).collect();
        assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), words.len());
    }
}
