//! What is known to fail, so that nobody forgets it. An entry that no longer fails makes the run fail: then it is to
//! be taken out.

use crate::debian::Release;
use crate::recipe::image::Daemon;

/// Case, daemon, release (none: both), and the number of the issue and its line that will mend it.
const KNOWN: &[(&str, Daemon, Option<Release>, &str)] = &[
    ("boot-local-ahead", Daemon::Truechimer, None, "12.A6"),
    ("boot-2038", Daemon::Truechimer, None, "12.A6"),
    ("rtc-local-ahead", Daemon::Truechimer, None, "12.A6"),
    ("rtc-2038", Daemon::Truechimer, None, "12.A6"),
    ("pause-60s", Daemon::Truechimer, None, "12.A7"),
    ("pause-1h", Daemon::Truechimer, None, "12.A7"),
    ("restore-1d", Daemon::Truechimer, None, "12.A7"),
    ("fight", Daemon::Truechimer, None, "12.A9"),
    ("state-full", Daemon::Truechimer, None, "12.A12"),
    ("state-read-only", Daemon::Truechimer, None, "12.A12"),
];

/// Why this is known to fail, where it is.
pub fn known(case: &str, daemon: Daemon, release: Release) -> Option<&'static str> {
    let fits = |entry: &&(&str, Daemon, Option<Release>, &str)| {
        entry.0 == case && entry.1 == daemon && entry.2.is_none_or(|only| only == release)
    };
    KNOWN.iter().find(fits).map(|entry| entry.3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_to_fail_names_cases_that_there_are() {
        let all = crate::cases::all();
        for (name, daemon, release, _) in KNOWN {
            let case = all.iter().find(|case| case.name == *name);
            let case = case.unwrap_or_else(|| panic!("there is no case {name}"));
            assert!(case.daemons.contains(daemon), "{name} is not run with {daemon:?}");
            assert!(release.is_none_or(|release| case.releases.contains(&release)), "{name}: {release:?}");
        }
    }
}
