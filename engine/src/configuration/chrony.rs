//! Words of chrony.conf and ntp.conf, for whoever writes them into our file: what to write instead.

/// Each word, and what stands for it here.
const WORDS: [(&str, &str); 29] = [
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
    ("authselectmode", "write require-nts = true under [clock]"),
    ("driftfile", "nothing to write: the frequency is kept in the state directory"),
    ("dumpdir", "nothing to write: what is worth keeping is kept in the state directory"),
    ("ntsdumpdir", "nothing to write: keys and cookies are kept in the state directory"),
    ("rtcsync", "nothing to write: the kernel copies a synchronised clock to the hardware clock"),
    ("logdir", "nothing to write: see the journal, and chimerctl audit"),
    ("keyfile", "there are no symmetric keys; use mode = \"nts\" under [[source]]"),
    ("keys", "there are no symmetric keys; use mode = \"nts\" under [[source]]"),
    ("allow", "write allow = [\"NETWORK\"] under [server]"),
    ("deny", "write deny = [\"NETWORK\"] under [server]"),
    ("restrict", "write allow and deny under [server]"),
    ("local", "write local-stratum under [server]"),
    ("ratelimit", "see the rate limits under [server] in truechimer.toml(5)"),
    ("refclock", "there are no reference clocks"),
    ("leapsectz", "nothing to write: leap seconds are announced by the sources"),
];

/// What to write instead of this word; none: it is no word of theirs.
pub fn instead_of(word: &str) -> Option<&'static str> {
    WORDS.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours)
}
