//! The keys of each section, and the section of a key that stands elsewhere.

/// Of `[governor]`.
pub const GOVERNOR: [&str; 1] = ["profile"];

/// Of `[[source]]`.
pub const SOURCE: [&str; 26] = [
    "address",
    "mode",
    "key",
    "roots",
    "aead",
    "pool",
    "members",
    "min-poll",
    "max-poll",
    "burst",
    "prefer",
    "trust",
    "require",
    "noselect",
    "max-delay",
    "max-stratum",
    "min-stratum",
    "offset",
    "family",
    "send-from",
    "send-over",
    "dscp",
    "allow-link-local",
    "interleaved",
    "experimental-nts-pool",
    "experimental-ntpv5",
];

/// Of a `[[source]]` in a file of a program: nothing that changes a vote.
pub const OFFERED: [&str; 5] = ["address", "pool", "members", "min-poll", "max-poll"];

/// Of `[[refclock]]`.
pub const REFCLOCK: [&str; 14] = [
    "socket",
    "refid",
    "poll",
    "filter",
    "offset",
    "delay",
    "precision",
    "stratum",
    "max-dispersion",
    "lock",
    "prefer",
    "trust",
    "require",
    "noselect",
];

/// Of `[keys]`.
pub const KEYS: [&str; 1] = ["allow-md5"];

/// Of `[dhcp]`.
pub const DHCP: [&str; 1] = ["use"];

/// Of `[history]`.
pub const HISTORY: [&str; 1] = ["days"];

/// Of `[clock]`.
pub const CLOCK: [&str; 13] = [
    "minimum-sources",
    "start-step-threshold",
    "run-step-threshold",
    "allow-forward-steps",
    "max-slew-ppm",
    "max-distance",
    "max-jitter",
    "leap-seconds",
    "leap-seconds-list",
    "require-nts",
    "initial-frequency-ppm",
    "clockbound",
    "max-error",
];

/// Of `[roughtime]`.
pub const ROUGHTIME: [&str; 2] = ["interval", "anchor"];

/// Of `[[roughtime.server]]`.
pub const ROUGHTIME_SERVER: [&str; 4] = ["address", "key", "operator", "draft"];

/// Of `[nts]`.
pub const NTS: [&str; 1] = ["system-roots"];

/// Of `[server]`.
pub const SERVER: [&str; 22] = [
    "listen",
    "allow",
    "deny",
    "local-stratum",
    "local-distance",
    "local-activate",
    "local-wait-synchronised",
    "local-wait-unsynchronised",
    "local-orphan",
    "threads",
    "dscp",
    "rate-limit",
    "address-rate",
    "network-rate",
    "total-rate",
    "kiss",
    "interleaved",
    "unsynchronised",
    "leap-smear",
    "keys",
    "experimental-ntpv5",
    "samba-signd",
];

/// Of `[server.nts]`.
pub const SERVER_NTS: [&str; 14] = [
    "listen",
    "certificate",
    "key",
    "threads",
    "aead",
    "ntp-server",
    "ntp-port",
    "fleet-secret",
    "fleet-since",
    "connections",
    "network-connections",
    "rate",
    "network-rate",
    "pair",
];

/// Of `[[server.nts.pair]]`.
pub const SERVER_NTS_PAIR: [&str; 2] = ["certificate", "key"];

/// The section that has this key, if there is exactly one.
pub fn home(key: &str) -> Option<&'static str> {
    let sections: [(&str, &[&str]); 8] = [
        ("[[source]]", &SOURCE),
        ("[clock]", &CLOCK),
        ("[dhcp]", &DHCP),
        ("[governor]", &GOVERNOR),
        ("[keys]", &KEYS),
        ("[nts]", &NTS),
        ("[server]", &SERVER),
        ("[server.nts]", &SERVER_NTS),
    ];
    let mut homes = sections.into_iter().filter(|(_, keys)| keys.contains(&key)).map(|(home, _)| home);
    homes.next().filter(|_| homes.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_keys_only_those_that_mean_the_same_are_words_of_another_daemon_too() {
        let ours = SOURCE.into_iter().chain(CLOCK);
        let theirs: Vec<&str> = ours.filter(|key| foreign::instead_of(key).is_some()).collect();
        assert_eq!(
            theirs,
            ["key", "pool", "burst", "prefer", "trust", "require", "noselect", "offset", "dscp"]
        );
    }
}
