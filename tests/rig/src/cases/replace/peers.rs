//! The time daemons that ours takes the place of, each with its configuration.

/// Another time daemon, as its package brings it.
pub(super) struct Peer {
    /// Its package, and the folder of packages that has it.
    pub(super) package: &'static str,
    pub(super) unit: &'static str,
    /// Its processes, for pgrep.
    pub(super) process: &'static str,
    /// A script that configures it: all servers of the rig, each once, and an answer for clients where it gives one.
    pub(super) configure: &'static str,
    /// Where it keeps its frequency, the factor that makes a correction in ppm of what is written there, and whether it writes
    /// that within a minute or at its end: else it is written for it, before it starts.
    pub(super) drift: Option<(&'static str, f64, bool)>,
    /// What the drop-in has to have, each a line.
    pub(super) carried: &'static [&'static str],
}

pub(super) const NAMES: &str =
    "printf '10.77.0.12 pool.rig\\n10.77.0.13 pool.rig\\n10.77.0.12 time.rig\\n' >> /etc/hosts";

pub(super) const CHRONY: Peer = Peer {
    package: "chrony",
    unit: "chrony.service",
    process: "chronyd",
    // Debian's own file, whose folders of sources and of configuration it names.
    configure: "sed -i 's/^pool .*/pool pool.rig iburst minpoll 1 maxpoll 3/' /etc/chrony/chrony.conf && \
                echo 'server 10.77.0.11 iburst minpoll 1 maxpoll 3' > /etc/chrony/sources.d/rig.sources && \
                echo 'allow 10.77.0.0/24' > /etc/chrony/conf.d/clients.conf",
    drift: Some(("/var/lib/chrony/chrony.drift", -1.0, true)),
    carried: &[
        "address = \"pool.rig\"",
        "address = \"10.77.0.11\"",
        "#[server]",
        "#allow = [\"10.77.0.0/24\"]",
    ],
};

pub(super) const TIMESYNCD: Peer = Peer {
    package: "systemd-timesyncd",
    unit: "systemd-timesyncd.service",
    process: "systemd-timesyn",
    configure: "mkdir -p /etc/systemd/timesyncd.conf.d && \
                printf '[Time]\\nNTP=10.77.0.11 time.rig\\nFallbackNTP=10.77.0.13\\nPollIntervalMaxSec=64\\n' > /etc/systemd/timesyncd.conf.d/rig.conf",
    drift: None,
    carried: &[
        "address = \"time.rig\"",
        "address = \"10.77.0.11\"",
        "address = \"10.77.0.13\"",
        "max-poll = 6",
    ],
};

pub(super) const NTPSEC: Peer = Peer {
    package: "ntpsec",
    unit: "ntpsec.service",
    process: "ntpd",
    configure: "sed -i -E '/^(pool|server) /d' /etc/ntpsec/ntp.conf && mkdir -p /etc/ntpsec/ntp.d && \
                echo 'server 10.77.0.11 iburst minpoll 3 maxpoll 4' >> /etc/ntpsec/ntp.conf && \
                echo 'pool pool.rig iburst minpoll 3 maxpoll 4' > /etc/ntpsec/ntp.d/rig.conf",
    drift: Some(("/var/lib/ntpsec/ntp.drift", 1.0, false)),
    carried: &["address = \"pool.rig\"", "address = \"10.77.0.11\"", "#[server]"],
};

pub(super) const OPENNTPD: Peer = Peer {
    package: "openntpd",
    unit: "openntpd.service",
    process: "ntpd",
    // It slews whatever the boot clock is off by, 0.5 ms a second; with -s it sets a clock that is off by more than three minutes.
    configure: "sed -i 's/^DAEMON_OPTS=\"/&-s /' /etc/default/openntpd && \
                sed -i -E '/^(servers?|constraints?|sensor) /d' /etc/openntpd/ntpd.conf && \
                printf 'listen on *\\nserver 10.77.0.11\\nservers pool.rig\\n' >> /etc/openntpd/ntpd.conf && \
                systemctl stop openntpd && date -s '10 minutes ago'",
    drift: Some(("/var/lib/openntpd/db/ntpd.drift", 1.0, false)),
    carried: &["address = \"pool.rig\"", "address = \"10.77.0.11\"", "#[server]"],
};

pub(super) const NTPD_RS: Peer = Peer {
    package: "ntpd-rs",
    unit: "ntpd-rs.service",
    process: "ntp-daemon",
    configure: "printf '[[source]]\\nmode = \"server\"\\naddress = \"10.77.0.11\"\\n[[source]]\\nmode = \"pool\"\\n\
                address = \"pool.rig\"\\ncount = 2\\n[[server]]\\nlisten = \"0.0.0.0:123\"\\n' > /etc/ntpd-rs/ntp.toml",
    drift: None,
    carried: &["address = \"pool.rig\"", "address = \"10.77.0.11\"", "#[server]"],
};
