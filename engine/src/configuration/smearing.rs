//! Time servers that are known to smear leap seconds: for hours around one their time is not UTC, by up to half a second.
//! Beside others that is a mistake, and this host cannot see it before the day.

use super::document::Faults;
use engine_core::settings::{Place, SourceSettings};
use std::net::IpAddr;

/// Names, with all below them, and whose they are.
const NAMES: [(&str, &str); 10] = [
    ("time.google.com", "Google"),
    ("time1.google.com", "Google"),
    ("time2.google.com", "Google"),
    ("time3.google.com", "Google"),
    ("time4.google.com", "Google"),
    ("time.android.com", "Google"),
    ("metadata.google.internal", "Google Cloud"),
    ("time.aws.com", "Amazon"),
    ("time.facebook.com", "Meta"),
    ("smear.public-utc.com", "public-utc.com"),
];

/// Addresses, and whose they are.
const ADDRESSES: [(&str, &str); 12] = [
    ("169.254.169.123", "Amazon"),
    ("fd00:ec2::123", "Amazon"),
    ("169.254.169.254", "Google Cloud"),
    ("216.239.35.0", "Google"),
    ("216.239.35.4", "Google"),
    ("216.239.35.8", "Google"),
    ("216.239.35.12", "Google"),
    ("2001:4860:4806::", "Google"),
    ("2001:4860:4806:4::", "Google"),
    ("2001:4860:4806:8::", "Google"),
    ("2001:4860:4806:c::", "Google"),
    ("129.134.28.123", "Meta"),
];

/// Who smears at this place, as far as is known.
fn owner(place: &Place) -> Option<&'static str> {
    match place {
        Place::Name(name, _) => {
            let name = name.as_str().trim_end_matches('.').to_ascii_lowercase();
            let is_below =
                |of: &str| name.strip_suffix(of).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            NAMES.iter().find(|(of, _)| is_below(of)).map(|(_, owner)| *owner)
        }
        Place::Address(address) => {
            let ip = address.ip().to_canonical();
            let is_it = |text: &&str| text.parse::<IpAddr>().is_ok_and(|other| other == ip);
            ADDRESSES.iter().find(|(text, _)| is_it(text)).map(|(_, owner)| *owner)
        }
    }
}

/// Whether one of these is known to smear: then a list of leap seconds would step the clock away from what it follows.
pub fn is_smeared(sources: &[SourceSettings]) -> bool {
    sources.iter().any(|source| owner(&source.place).is_some())
}

/// Warns of sources that smear beside others that, as far as is known, do not; `at`: where the sources are. With one kind
/// alone there is nothing to say, except where this server would smear once more.
pub fn warn(sources: &[SourceSettings], at: usize, smears_itself: Option<usize>, faults: &mut Faults<'_>) {
    let smeared = sources.iter().find_map(|source| Some((source, owner(&source.place)?)));
    let Some((smeared, owner)) = smeared else { return };
    if let Some(true_one) = sources.iter().find(|source| self::owner(&source.place).is_none()) {
        let text = format!(
            "[[source]]: \"{}\" smears leap seconds ({owner}), and \"{}\" does not, as far as is known; for a day around \
             a leap second they are up to half a second apart, and some would be taken for false; use sources of one kind",
            smeared.name, true_one.name
        );
        faults.warn(at, text);
    }
    if let Some(at) = smears_itself {
        let text = format!(
            "leap-smear: \"{}\" smears leap seconds already ({owner}), so none is announced that could be smeared here; \
             leave leap-smear out, or use other sources",
            smeared.name
        );
        faults.warn(at, text);
    }
}

#[cfg(test)]
mod tests {
    use crate::configuration::parse;

    fn warnings(text: &str) -> Vec<String> {
        parse(text, "test.toml").unwrap_or_else(|error| panic!("{error}")).warnings
    }

    fn sources(addresses: &[&str]) -> String {
        addresses.iter().map(|address| format!("[[source]]\naddress = \"{address}\"\n")).collect()
    }

    #[test]
    fn smeared_sources_beside_true_ones_are_named() {
        for (smeared, owner) in [
            ("time.google.com", "Google"),
            ("TIME2.Google.com.", "Google"),
            ("169.254.169.123", "Amazon"),
            ("[fd00:ec2::123]:123", "Amazon"),
            ("metadata.google.internal", "Google Cloud"),
            ("216.239.35.4", "Google"),
            ("time.aws.com", "Amazon"),
        ] {
            for order in [[smeared, "ntp.example.org"], ["ntp.example.org", smeared]] {
                let warnings = warnings(&sources(&order));
                assert_eq!(warnings.len(), 1, "{smeared}: {warnings:?}");
                let expected =
                    format!("\"{smeared}\" smears leap seconds ({owner}), and \"ntp.example.org\" does not");
                assert!(warnings[0].contains(&expected), "{warnings:?}");
            }
        }
    }

    #[test]
    fn sources_of_one_kind_are_not_warned_of() {
        for of_one_kind in [
            ["time.google.com", "time1.google.com", "169.254.169.123"],
            ["ntp.example.org", "nottime.google.com", "169.254.169.12"],
        ] {
            assert_eq!(warnings(&sources(&of_one_kind)), [""; 0], "{of_one_kind:?}");
        }
    }

    #[test]
    fn a_smear_that_can_never_happen_is_told() {
        let server =
            "[server]\nlisten = [\"127.0.0.1:123\"]\nallow = [\"127.0.0.0/8\"]\nleap-smear = \"linear\"\n";
        let of = |address: &str, clock: &str| warnings(&format!("{}{clock}{server}", sources(&[address])));
        assert_eq!(of("ntp.example.org", ""), [""; 0]);
        let twice = of("time.google.com", "");
        assert!(twice.len() == 1 && twice[0].contains("smears leap seconds already"), "{twice:?}");
        for clock in ["[clock]\nleap-seconds = false\n", "[governor]\nprofile = \"strict\"\n"] {
            let unknown = of("ntp.example.org", clock);
            assert!(unknown.len() == 1 && unknown[0].contains("leap-seconds = true"), "{unknown:?}");
        }
    }
}
