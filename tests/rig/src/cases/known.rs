//! Known failures. An entry that no longer fails makes the run fail: then it is to
//! be taken out.

use crate::debian::Release;
use crate::recipe::image::Daemon;

/// Something that is known to fail.
struct Known {
    case: &'static str,
    /// None: on both.
    release: Option<Release>,
    /// The number of the issue and of the line in it that will mend it.
    line: &'static str,
    /// What is wrong, in a sentence.
    about: &'static str,
    /// Part of what the case says when it fails in this way. A failure that says something else is another one.
    says: &'static str,
}

const KNOWN: &[Known] = &[];

#[allow(dead_code, reason = "at times nothing is known to fail")]
const fn known_everywhere(
    case: &'static str,
    line: &'static str,
    about: &'static str,
    says: &'static str,
) -> Known {
    Known { case, release: None, line, about, says }
}

/// The line that will mend it, where this case with our daemon is known to fail; and what it says then.
pub fn known(case: &str, daemon: Daemon, release: Release) -> Option<(&'static str, &'static str)> {
    let fits = |known: &&Known| known.case == case && known.release.is_none_or(|only| only == release);
    KNOWN.iter().filter(|_| daemon == Daemon::Truechimer).find(fits).map(|known| (known.line, known.says))
}

/// The list, for people.
pub fn list() -> Vec<String> {
    KNOWN.iter().map(|known| format!("{:20} {:7} {}", known.case, known.line, known.about)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_to_fail_names_cases_that_there_are() {
        let all = crate::cases::all();
        for known in KNOWN {
            let case = all.iter().find(|case| case.name == known.case);
            let case = case.unwrap_or_else(|| panic!("there is no case {}", known.case));
            assert!(case.daemons.contains(&Daemon::Truechimer), "{} is not run with ours", known.case);
            assert!(known.release.is_none_or(|release| case.releases.contains(&release)), "{}", known.case);
        }
    }
}
