//! Which daemon's file it is.

/// A daemon whose configuration is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// chrony.conf.
    Chrony,
    /// ntp.conf of ntpd (ntp.org) and of NTPsec.
    Ntp,
    /// timesyncd.conf.
    Timesyncd,
    /// ntpd.conf of OpenNTPD.
    OpenNtpd,
    /// ntp.toml of ntpd-rs.
    NtpdRs,
}

/// Where their packages have it, in the order in which they are named.
pub const USUAL: [(&str, Kind); 8] = [
    ("/etc/chrony/chrony.conf", Kind::Chrony),
    ("/etc/chrony.conf", Kind::Chrony),
    ("/etc/ntpsec/ntp.conf", Kind::Ntp),
    ("/etc/ntp.conf", Kind::Ntp),
    ("/etc/openntpd/ntpd.conf", Kind::OpenNtpd),
    ("/etc/ntpd.conf", Kind::OpenNtpd),
    ("/etc/ntpd-rs/ntp.toml", Kind::NtpdRs),
    ("/etc/systemd/timesyncd.conf", Kind::Timesyncd),
];

/// Words that a line begins with in the file of one daemon alone.
const CHRONY: [&str; 14] = [
    "makestep",
    "rtcsync",
    "confdir",
    "sourcedir",
    "leapsectz",
    "maxupdateskew",
    "allow",
    "deny",
    "initstepslew",
    "cmdallow",
    "dumpdir",
    "ntsdumpdir",
    "hwtimestamp",
    "logchange",
];
const NTP: [&str; 8] =
    ["restrict", "fudge", "tinker", "tos", "statsdir", "filegen", "includefile", "disable"];
const OPENNTPD: [&str; 6] = ["servers", "constraint", "constraints", "sensor", "listen", "query"];

impl Kind {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chrony => "chrony",
            Self::Ntp => "ntpd",
            Self::Timesyncd => "systemd-timesyncd",
            Self::OpenNtpd => "OpenNTPD",
            Self::NtpdRs => "ntpd-rs",
        }
    }

    /// By the name of a file, or else by what is in it.
    pub fn of(path: &str, text: &str) -> Option<Self> {
        let base = path.rsplit('/').next().unwrap_or_default();
        match base {
            "timesyncd.conf" => return Some(Self::Timesyncd),
            "chrony.conf" => return Some(Self::Chrony),
            "ntp.conf" => return Some(Self::Ntp),
            "ntpd.conf" => return Some(Self::OpenNtpd),
            "ntp.toml" => return Some(Self::NtpdRs),
            _ if base.ends_with(".sources") => return Some(Self::Chrony),
            _ if base.ends_with(".toml") => return Some(Self::NtpdRs),
            _ => {}
        }
        let lines = || text.lines().map(str::trim);
        if lines().any(|line| line == "[Time]") {
            return Some(Self::Timesyncd);
        }
        if lines().any(|line| matches!(line, "[[source]]" | "[[server]]" | "[source-defaults]")) {
            return Some(Self::NtpdRs);
        }
        let begins = |words: &[&str]| {
            lines().any(|line| {
                let word = line.split_whitespace().next().unwrap_or_default();
                words.iter().any(|known| known.eq_ignore_ascii_case(word))
            })
        };
        let found: Vec<Self> = [(Self::Chrony, &CHRONY[..]), (Self::Ntp, &NTP), (Self::OpenNtpd, &OPENNTPD)]
            .into_iter()
            .filter(|(_, words)| begins(words))
            .map(|(kind, _)| kind)
            .collect();
        match found[..] {
            [kind] => Some(kind),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_name_or_by_what_only_one_daemon_has() {
        for (path, text, kind) in [
            ("/etc/chrony.conf", "", Some(Kind::Chrony)),
            ("/x/dhcp.sources", "server a", Some(Kind::Chrony)),
            ("/x/ntp.conf", "server a", Some(Kind::Ntp)),
            ("/x/old", "server a iburst\nmakestep 1 3\n", Some(Kind::Chrony)),
            ("/x/old", "server a iburst\nrestrict default\n", Some(Kind::Ntp)),
            ("/x/old", "servers a\n", Some(Kind::OpenNtpd)),
            ("/x/old", "[Time]\nNTP=a\n", Some(Kind::Timesyncd)),
            ("/x/old", "[[source]]\nmode = \"pool\"\n", Some(Kind::NtpdRs)),
            ("/x/old", "server a iburst\n", None),
            ("/x/old", "makestep 1 3\nrestrict default\n", None),
        ] {
            assert_eq!(Kind::of(path, text), kind, "{path} {text}");
        }
    }
}
