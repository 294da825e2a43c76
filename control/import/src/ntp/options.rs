//! tos, tinker, nts, enable and disable.

use super::Found;
use crate::plan::{Part, Plan, number, quoted};
use crate::words::{Line, Words};
use ipc::file_path::FilePath;

/// `tos`: pairs of an option and a value.
pub fn tos(plan: &mut Plan, found: &mut Found, line: &Line, mut words: Words) {
    let item = plan.item(Part::Clock, line);
    while let Some(word) = words.take() {
        let value = words.take().unwrap_or_default();
        let said = format!("{word} {value}");
        let said = said.trim_end();
        let amount = value.parse::<f64>().ok().filter(|amount| amount.is_finite());
        match (word.as_str(), amount) {
            ("minsane", Some(count)) if (1.0..=1e6).contains(&count) => {
                plan.set(Part::Clock, "minimum-sources", format!("{}", count as u32), item);
            }
            ("maxdist", Some(distance)) if distance > 0.0 => {
                let used = distance.clamp(0.01, 16.0);
                if used != distance {
                    plan.note(item, said, &format!("{used} here, which is the limit"));
                }
                plan.set(Part::Clock, "max-distance", number(used), item);
            }
            ("ceiling", Some(ceiling)) if (1.0..=16.0).contains(&ceiling) => {
                found.ceiling = Some(ceiling as u8);
                plan.note(
                    item,
                    said,
                    "as max-stratum at each source: one below, since ntpd excludes the number itself",
                );
            }
            ("minclock" | "maxclock", _) => {
                plan.note(
                    item,
                    said,
                    "not carried: all that agree are used, and of each pool members are asked, 4 unless written otherwise",
                );
            }
            // No source has a stratum above 15, so from 16 on it is off.
            ("orphan", Some(stratum)) if stratum >= 16.0 => {
                plan.note(item, said, "not carried: with 16 or more there is no such time");
            }
            ("orphan", Some(stratum)) if stratum >= 1.0 => {
                if let Some((_, before)) = found.orphan.stratum.replace((stratum as u8, item)) {
                    plan.superseded(before, item);
                }
            }
            ("orphanwait", Some(seconds)) if (0.0..=1e6).contains(&seconds) => {
                found.orphan.wait = Some((seconds, item));
            }
            ("floor" | "mindist" | "beacon" | "cohort" | "bcpollbstep", _) => {
                plan.note(item, said, "not carried: there is nothing like it here");
            }
            _ => plan.loss(item, said, "not understood, and not carried"),
        }
    }
}

/// `tinker`: pairs of an option and a value.
pub fn tinker(plan: &mut Plan, line: &Line, mut words: Words) {
    let item = plan.item(Part::Clock, line);
    while let Some(word) = words.take() {
        let value = words.take().unwrap_or_default();
        let said = format!("{word} {value}");
        let said = said.trim_end();
        match (word.as_str(), value.parse::<f64>().ok().filter(|amount| amount.is_finite())) {
            ("step", Some(threshold)) if threshold > 0.0 => {
                plan.set(Part::Clock, "start-step-threshold", number(threshold.min(86_400.0)), item);
                if (0.000_001..=1.0).contains(&threshold) {
                    plan.set(Part::Clock, "run-step-threshold", number(threshold), item);
                } else {
                    plan.note(item, said, "for the first setting of a boot; later nothing is stepped");
                }
            }
            ("step", Some(_)) => plan.note(
                item,
                said,
                "ntpd never steps then; here the first setting of a boot is a step above start-step-threshold",
            ),
            ("panic", _) => plan.note(item, said, foreign::instead_of("tinker").unwrap_or_default()),
            ("stepout" | "stepback" | "stepfwd" | "allan" | "dispersion" | "freq" | "huffpuff" | "tick", _) => {
                plan.note(item, said, "not carried: the estimator finds its parameters by itself");
            }
            _ => plan.loss(item, said, "not understood, and not carried"),
        }
    }
}

/// `nts` of NTPsec.
pub fn nts(plan: &mut Plan, found: &mut Found, line: &Line, mut words: Words) {
    let first = words.peek().unwrap_or_default().to_owned();
    let item = plan.item(if first == "ca" { Part::Nts } else { Part::ServerNts }, line);
    while let Some(word) = words.take() {
        if let "enable" | "disable" = word.as_str() {
            found.nts_enabled = word == "enable";
            continue;
        }
        let value = words.take().unwrap_or_default();
        let said = format!("{word} {value}");
        let said = said.trim_end();
        let is_path = FilePath::parse(&value).is_ok();
        match word.as_str() {
            "cert" if is_path => set_pair(plan, found, 0, value, item),
            "key" if is_path => set_pair(plan, found, 1, value, item),
            "ca" if is_path => plan.set(Part::Nts, "system-roots", quoted(&value), item),
            "cookie" => plan.note(item, said, "fixed: in the state directory; for a fleet see fleet-secret"),
            "mintls" | "maxtls" | "tlsciphersuites" | "tlsciphers" | "tlsecdhcurves" => {
                plan.note(item, said, "fixed: TLS 1.3");
            }
            "aead" if aead(&value).is_some() => plan.aead = aead(&value),
            _ => plan.loss(item, said, "not understood, and not carried"),
        }
    }
}

/// An algorithm of NTPsec, as a value here.
pub fn aead(name: &str) -> Option<String> {
    match name {
        "AES_SIV_CMAC_256" => Some(quoted("siv")),
        "AES_SIV_CMAC_512" => Some(quoted("siv-512")),
        _ => None,
    }
}

fn set_pair(plan: &mut Plan, found: &mut Found, which: usize, file: String, item: usize) {
    let Some(place) = found.pair.get_mut(which) else { return };
    if let Some((_, before)) = place.replace((file, item))
        && before != item
    {
        plan.note(before, "", "a later line says it too, and counts");
    }
}

/// `enable` and `disable`.
pub fn switch(plan: &mut Plan, line: &Line, directive: &str, mut words: Words) {
    let item = plan.item(Part::Rest, line);
    let switches = words.rest();
    if directive == "disable" && switches.iter().any(|switch| switch == "ntp") {
        plan.loss(item, "ntp", "the clock is disciplined here; --clock none of truechimerd leaves it alone");
    }
    if directive == "enable" && switches.iter().any(|switch| switch == "auth") {
        plan.note(item, "auth", "sources are authenticated with NTS; see require-nts");
    }
    plan.note(item, "", foreign::instead_of(directive).unwrap_or_default());
}
