//! What a file has that only a restart puts in force, one phrase for each section. The structures are taken apart
//! without `..`: a new setting does not compile before it is compared here.

use super::InForce;
use crate::configuration::{Fleet, KeySettings};
use engine_core::settings::{ServerSettings, Settings};
use ipc::message::launch::{KeyService, LaunchPlan, Pair};

/// What of the new file waits for a restart; empty: nothing.
pub(super) fn list(
    in_force: &InForce,
    (settings, history_days): (&Settings, u16),
    plan: &LaunchPlan,
    keys: Option<&KeySettings>,
) -> Vec<String> {
    let InForce { settings: old, plan: old_plan, keys: old_keys, .. } = in_force;
    let Settings {
        leap_seconds,
        leap_list: _,
        forward_step,
        // In force at once (`sources`, `take_up_clock`), but for whether there may be a step while running: the plan has that.
        sources: _,
        clock: _,
        // Follows from the profile.
        strict_quorum: _,
        server: _,
        roughtime,
    } = settings;
    let LaunchPlan {
        profile,
        // Of the sources, each of which says what it lacks.
        system_roots: _,
        roots: _,
        // Compared with their sections.
        listen: _,
        threads: _,
        dscp: _,
        key_service: _,
        samba: _,
        // Of the reference clocks, each of which says what it lacks.
        refclocks: _,
        // These follow from the sources and from [clock].
        leap_seconds: _,
        run_step,
        forward_step: _,
        exchange: _,
        attested,
    } = plan;
    let clock = [
        ("run-step-threshold", *run_step != old_plan.run_step),
        ("allow-forward-steps", *forward_step != old.forward_step),
        ("leap-seconds", *leap_seconds != old.leap_seconds),
    ];
    // How many, if any are kept, is in force at once.
    let history = [("days", (history_days == 0) != (in_force.history_days == 0))];
    [
        changed("[clock]", &clock),
        changed("[history]", &history),
        changed("[roughtime]", &[("server", *roughtime != old.roughtime)]),
        changed("[governor]", &[("profile", (*profile, *attested) != (old_plan.profile, old_plan.attested))]),
        server((settings.server.as_ref(), plan), (old.server.as_ref(), old_plan)),
        nts((keys, plan), (old_keys.as_ref(), old_plan)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn server(
    (new, plan): (Option<&ServerSettings>, &LaunchPlan),
    (old, old_plan): (Option<&ServerSettings>, &LaunchPlan),
) -> Option<String> {
    match (new, old) {
        (None, None) => None,
        (Some(_), None) => Some("[server] is new".to_owned()),
        (None, Some(_)) => Some("[server] was removed, and clients are still served".to_owned()),
        // The stratum is in force at once. Whether there are keys is told under [server.nts], and the plan has the addresses too.
        (Some(ServerSettings { local: _, listen: _, nts: _, version5: _ }), Some(_)) => {
            let keys = [
                ("listen", plan.listen != old_plan.listen),
                ("threads", plan.threads != old_plan.threads),
                ("dscp", plan.dscp != old_plan.dscp),
                ("samba-signd", plan.samba != old_plan.samba),
            ];
            changed("[server]", &keys)
        }
    }
}

fn nts(
    (new, plan): (Option<&KeySettings>, &LaunchPlan),
    (old, old_plan): (Option<&KeySettings>, &LaunchPlan),
) -> Option<String> {
    // The plan has the service too, and the policy takes effect at once.
    let (KeySettings { service: _, policy: _, fleet }, KeySettings { fleet: old_fleet, .. }) =
        match (new, old) {
            (None, None) => return None,
            (Some(_), None) => return Some("[server.nts] is new".to_owned()),
            (None, Some(_)) => {
                return Some("[server.nts] was removed, and keys are still given to clients".to_owned());
            }
            (Some(new), Some(old)) => (new, old),
        };
    let [listen, threads, certificate, key, pairs] = match (&plan.key_service, &old_plan.key_service) {
        (None, None) => [false; 5],
        (Some(new), Some(old)) => {
            let KeyService { listen, threads, first: Pair { certificate, key }, further } = new;
            [
                *listen != old.listen,
                *threads != old.threads,
                *certificate != old.first.certificate,
                *key != old.first.key,
                *further != old.further,
            ]
        }
        (Some(_), None) | (None, Some(_)) => [true, false, true, true, false],
    };
    let secret = |fleet: &Option<Fleet>| fleet.as_ref().map(|Fleet { secret, since: _ }| secret.clone());
    let since = |fleet: &Option<Fleet>| fleet.as_ref().map(|fleet| fleet.since);
    let keys = [
        ("listen", listen),
        ("certificate", certificate),
        ("key", key),
        ("pair", pairs),
        ("threads", threads),
        ("fleet-secret", secret(fleet) != secret(old_fleet)),
        ("fleet-since", since(fleet) != since(old_fleet)),
    ];
    changed("[server.nts]", &keys)
}

/// The keys of a section that have another value than at the start.
fn changed(section: &str, keys: &[(&str, bool)]) -> Option<String> {
    let changed: Vec<&str> = keys.iter().filter(|(_, is_other)| *is_other).map(|(key, _)| *key).collect();
    (!changed.is_empty()).then(|| format!("{section} has changed: {}", changed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::{FileText, Texts, parse};

    const FILE: &str = "[[source]]\naddress = \"192.0.2.1\"\n\n[clock]\n\n[history]\ndays = 9\n\n[governor]\nprofile = \"standard\"\n\n\
        [server]\nlisten = [\"127.0.0.1:123\"]\nallow = [\"127.0.0.0/8\"]\n\n[server.nts]\nlisten = [\"127.0.0.1:4460\"]\n\
        certificate = \"/a/c.pem\"\nkey = \"/a/k.pem\"\nfleet-secret = \"0123456789abcdef0123456789abcdef\"\n\
        fleet-since = \"2026-11-01\"\n";

    /// What waits after each of these was replaced in the file.
    fn waiting(changes: &[(&str, &str)]) -> Vec<String> {
        let in_force = InForce::of(&parse(FILE, "t").unwrap(), Texts::only(FileText::private("t", FILE)));
        let text = changes.iter().fold(FILE.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        let new = parse(&text, "t").unwrap();
        list(&in_force, (&new.settings, new.history_days), &new.plan, new.keys.as_ref())
    }

    #[test]
    fn each_section_that_has_changed_is_named_whatever_else_has() {
        let changes = [
            (
                (
                    "[clock]\n",
                    "[clock]\nmax-slew-ppm = 50\nallow-forward-steps = 60.0\nleap-seconds = false\n",
                ),
                "[clock] has changed: allow-forward-steps, leap-seconds",
            ),
            (("days = 9", "days = 0"), "[history] has changed: days"),
            (("127.0.0.1:123", "127.0.0.2:123"), "[server] has changed: listen"),
            (("/a/c.pem", "/b/c.pem"), "[server.nts] has changed: certificate"),
        ];
        assert_eq!(waiting(&[]), [""; 0]);
        for (at, (one, said)) in changes.iter().enumerate() {
            assert_eq!(waiting(&[*one]), [*said]);
            for (other, said_too) in changes.iter().skip(at + 1) {
                assert_eq!(waiting(&[*one, *other]), [*said, *said_too]);
            }
        }
        assert_eq!(waiting(&changes.map(|(change, _)| change)), changes.map(|(_, said)| said));
        // The strict profile passes on no leap seconds unless the file says so.
        assert_eq!(
            waiting(&[("standard", "strict"), ("192.0.2.1", "192.0.2.2")]),
            ["[clock] has changed: leap-seconds", "[governor] has changed: profile"]
        );
    }

    #[test]
    fn each_key_that_waits_for_a_restart_is_named_and_no_other() {
        let under = |section: &str, line: &str| {
            waiting(&[(&format!("\n{section}\n"), &format!("\n{section}\n{line}\n"))])
        };
        for (section, lines) in [
            (
                "[clock]",
                &["run-step-threshold = 0.5", "allow-forward-steps = 86400.0", "leap-seconds = false"][..],
            ),
            ("[server]", &["threads = 3", "dscp = 46", "samba-signd = \"/a\""]),
            ("[server.nts]", &["threads = 3"]),
        ] {
            for line in lines {
                let key = line.split(' ').next().unwrap();
                assert_eq!(under(section, line), [format!("{section} has changed: {key}")]);
            }
        }
        for line in
            ["start-step-threshold = 0.5", "max-slew-ppm = 50", "max-distance = 5.0", "minimum-sources = 1"]
        {
            assert_eq!(under("[clock]", line), [""; 0], "{line} takes effect at once");
        }
        assert_eq!(waiting(&[("days = 9", "days = 10")]), [""; 0], "it takes effect at once");
        for line in [
            "rate-limit = false",
            "address-rate = 2",
            "leap-smear = \"linear\"",
            "deny = [\"127.0.0.2/32\"]",
            "local-stratum = 9",
        ] {
            assert_eq!(under("[server]", line), [""; 0], "{line} takes effect at once");
        }
        for line in ["connections = 9", "rate = 9", "ntp-server = \"a.example\""] {
            assert_eq!(under("[server.nts]", line), [""; 0], "{line} takes effect at once");
        }
        for (from, to, key) in [
            ("/a/k.pem", "/b/k.pem", "key"),
            ("127.0.0.1:4460", "127.0.0.1:4461", "listen"),
            ("abcdef", "ABCDEF", "fleet-secret"),
            ("2026-11-01", "2026-11-02", "fleet-since"),
        ] {
            assert_eq!(waiting(&[(from, to)]), [format!("[server.nts] has changed: {key}")]);
        }
    }
}
