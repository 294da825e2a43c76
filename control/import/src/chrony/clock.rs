//! Directives of chrony.conf about clock, selection and certificates.

use super::{Found, at, number, only};
use crate::drift::{self, Sign};
use crate::files::Reader;
use crate::plan::{Part, Plan, number as toml, quoted};
use crate::words::{Line, Words};
use ipc::file_path::FilePath;

/// Reads one of them; `false`: it is another directive.
pub fn read(plan: &mut Plan, found: &mut Found, line: &Line, directive: &str, words: &mut Words) -> bool {
    match directive {
        "makestep" => makestep(plan, found, line, words),
        "initstepslew" => initstepslew(plan, found, line, words),
        "maxslewrate" => {
            let item = at(plan, Part::Clock, line);
            if let Some(rate) = number(plan, item, (directive, words), 0.0..=1e9f64) {
                found.slew_rate = Some(rate);
                let used = rate.clamp(1.0, 500.0);
                if used != rate {
                    plan.note(
                        item,
                        "",
                        &format!("{used} here, which is the limit: a slew of 1 s takes over half an hour"),
                    );
                }
                plan.set(Part::Clock, "max-slew-ppm", toml(used), item);
            }
            plan.leftover(item, words);
        }
        "maxjitter" => {
            let item = at(plan, Part::Clock, line);
            if let Some(jitter) = number(plan, item, (directive, words), 0.0..=1e9f64) {
                let used = jitter.clamp(0.000_001, 16.0);
                if used != jitter {
                    plan.note(item, "", &format!("{used} here, which is the limit"));
                }
                plan.set(Part::Clock, "max-jitter", toml(used), item);
            }
            plan.leftover(item, words);
        }
        "maxdistance" => {
            let item = at(plan, Part::Clock, line);
            if let Some(distance) = number(plan, item, (directive, words), 0.0..=1e9f64) {
                let used = distance.clamp(0.01, 16.0);
                if used != distance {
                    plan.note(item, "", &format!("{used} here, which is the limit"));
                }
                plan.set(Part::Clock, "max-distance", toml(used), item);
            }
            plan.leftover(item, words);
        }
        "minsources" => {
            let item = at(plan, Part::Clock, line);
            if let Some(count) = number(plan, item, (directive, words), 1..=1_000_000u32) {
                plan.set(Part::Clock, "minimum-sources", count.to_string(), item);
            }
            plan.leftover(item, words);
        }
        "leapsecmode" => leapsecmode(plan, found, line, words),
        "authselectmode" => authselectmode(plan, found, line, words),
        "ntstrustedcerts" => ntstrustedcerts(plan, found, line, words),
        "nosystemcert" => {
            let item = at(plan, Part::Nts, line);
            found.no_system = true;
            plan.note(item, "", "each source with NTS has roots of its own");
            plan.leftover(item, words);
        }
        "ntsaeads" => ntsaeads(plan, line, words),
        "driftfile" => {
            let item = at(plan, Part::Clock, line);
            driftfile(plan, found, item, words);
        }
        _ => return false,
    }
    true
}

/// Its path, and how often chronyd writes it.
fn driftfile(plan: &mut Plan, found: &mut Found, item: usize, words: &mut Words) {
    let Some(file) = words.take() else { return plan.loss(item, "", "not carried: there is no value") };
    if words.peek().is_some_and(|word| word.eq_ignore_ascii_case("interval")) {
        let said = [words.take(), words.take()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        plan.note(item, &said, "fixed: the frequency is kept in the state directory");
    }
    plan.leftover(item, words);
    if let Some((_, old)) = found.drift.replace((file, item)) {
        plan.superseded(old, item);
    }
}

fn makestep(plan: &mut Plan, found: &mut Found, line: &Line, words: &mut Words) {
    let item = at(plan, Part::Clock, line);
    let Some(threshold) = number(plan, item, ("makestep", words), 0.0..=1e12f64) else { return };
    let limit = number(plan, item, ("makestep", words), -1_000_000_000..=1_000_000_000i64);
    plan.leftover(item, words);
    let Some(limit) = limit else { return };
    found.is_step_ruled = limit != 0;
    if let Some((_, old)) = found.step.take() {
        plan.superseded(old, item);
    }
    if limit == 0 {
        return plan.note(
            item,
            "",
            "chronyd never steps then; here the first setting of a boot is a step above start-step-threshold",
        );
    }
    found.step = Some((threshold, item));
    if limit < 0 && (0.000_001..=1.0).contains(&threshold) {
        plan.set(Part::Clock, "run-step-threshold", toml(threshold), item);
        plan.note(item, "", "later ones: at most 1 s, and one in 15 minutes; see also allow-forward-steps");
    } else if limit < 0 {
        plan.note(
            item,
            "",
            "later steps of this size are not made: run-step-threshold is 0.000001 to 1; see also allow-forward-steps",
        );
    }
}

fn initstepslew(plan: &mut Plan, found: &mut Found, line: &Line, words: &mut Words) {
    let item = at(plan, Part::Clock, line);
    if let Some(threshold) = number(plan, item, ("initstepslew", words), 0.0..=1e12f64)
        && !found.is_step_ruled
    {
        (found.is_step_ruled, found.step) = (true, Some((threshold, item)));
    }
    let hosts = words.rest();
    if !hosts.is_empty() {
        plan.lost_source = true;
        plan.note(
            item,
            &hosts.join(" "),
            "asked at the start alone by chronyd; here the sources set the clock at the start",
        );
    }
}

fn leapsecmode(plan: &mut Plan, found: &mut Found, line: &Line, words: &mut Words) {
    let item = at(plan, Part::Clock, line);
    let Some(mode) = only(plan, item, words) else { return };
    let (pass, why) = match mode.to_ascii_lowercase().as_str() {
        "system" => ("true", ""),
        "ignore" => ("false", ""),
        "step" => ("true", "the kernel steps the clock here, as with leapsecmode system"),
        "slew" => {
            found.leap[0] = Some(item);
            (
                "false",
                "the kernel is not told of the leap second, and the sources' second is slewed as any other offset, within \
                 max-slew-ppm: for over half an hour at least",
            )
        }
        _ => return plan.loss(item, &mode, "no mode that is known here, and not carried"),
    };
    plan.set(Part::Clock, "leap-seconds", pass.to_owned(), item);
    if !why.is_empty() {
        plan.note(item, "", why);
    }
}

fn authselectmode(plan: &mut Plan, found: &mut Found, line: &Line, words: &mut Words) {
    let item = at(plan, Part::Clock, line);
    let Some(mode) = only(plan, item, words).map(|mode| mode.to_ascii_lowercase()) else { return };
    match mode.as_str() {
        "require" => {}
        "mix" | "prefer" => plan.note(item, "", foreign::instead_of("authselectmode").unwrap_or_default()),
        "ignore" => {
            plan.note(item, "", "not carried: plain sources never decide against authenticated ones here")
        }
        _ => return plan.loss(item, &mode, "no mode that is known here, and not carried"),
    }
    if let Some((_, old)) = found.mode.replace((mode, item)) {
        plan.superseded(old, item);
    }
}

fn ntstrustedcerts(plan: &mut Plan, found: &mut Found, line: &Line, words: &mut Words) {
    let item = at(plan, Part::Nts, line);
    let first = words.take().unwrap_or_default();
    let (set, file) = match words.take() {
        Some(file) => (first.parse::<u32>().ok(), file),
        None => (Some(0), first),
    };
    plan.leftover(item, words);
    let Some(set) = set.filter(|_| FilePath::parse(&file).is_ok()) else {
        return plan.loss(item, "", "not carried: no set and file that can be used");
    };
    match found.sets.get(&set) {
        Some(_) => plan.loss(
            item,
            "",
            "not carried: a source has one file of roots; put the certificates one after the other into one file",
        ),
        None => {
            plan.note(item, "", "as roots at the sources of this set; a file, not a folder");
            found.sets.insert(set, (file, item));
        }
    }
}

fn ntsaeads(plan: &mut Plan, line: &Line, words: &mut Words) {
    let item = at(plan, Part::Nts, line);
    let ids = words.rest();
    let names: Option<Vec<String>> = ids.iter().map(|id| aead(id).map(quoted)).collect();
    let Some(names) = names.filter(|names| !names.is_empty()) else {
        return plan.loss(item, "", "not carried: 30, 15, 17 and 2 are the algorithms that there are");
    };
    if ids != ["30", "15"] {
        plan.aead = Some(format!("[{}]", names.join(", ")));
    }
    plan.note(
        item,
        "",
        "as aead at each source with NTS, where it is not what is offered anyway; a server agrees to 30, 15 and 17 unless aead \
         under [server.nts] says otherwise",
    );
}

/// The name of an algorithm by its number.
pub fn aead(id: &str) -> Option<&'static str> {
    match id {
        "2" => Some("gcm"),
        "15" => Some("siv"),
        "17" => Some("siv-512"),
        "30" => Some("gcm-siv"),
        _ => None,
    }
}

/// What chronyd slews at most unless told otherwise, and what the daemon does, in ppm.
const CHRONY_SLEW: f64 = 83_333.333;
const OWN_SLEW: f64 = 500.0;

/// Above how many seconds the daemon steps at the first setting of a boot unless told otherwise.
const OWN_STEP: f64 = 0.010;

/// What chronyd does not step it slews within seconds. Slewed here the same would take half an hour, in which the clock is wrong.
fn start_step(plan: &mut Plan, threshold: f64, item: usize, rate: f64) {
    if threshold <= OWN_STEP || rate <= OWN_SLEW {
        plan.set(Part::Clock, "start-step-threshold", toml(threshold.min(86_400.0)), item);
        return plan.note(item, "", "for the first setting of a boot; see Start steps in truechimerd(8)");
    }
    let why = format!(
        "the first setting of a boot is a step above {OWN_STEP:.3} s here, which is the default: chronyd slews what is less than \
         {threshold} s at up to {rate:.0} ppm, the most is {OWN_SLEW} ppm here, and 1 s would be wrong for over half an hour. \
         To have it slewed all the same: start-step-threshold = {}",
        toml(threshold.min(86_400.0))
    );
    plan.note(item, "", &why);
}

/// What no line says.
pub fn settle(plan: &mut Plan, reader: &mut Reader<'_>, found: &mut Found) {
    if let Some((file, item)) = found.drift.take() {
        drift::take(plan, reader, &file, item, Sign::Gain);
    }
    if let Some((threshold, item)) = found.step {
        start_step(plan, threshold, item, found.slew_rate.unwrap_or(CHRONY_SLEW));
    }
    if !found.is_step_ruled {
        plan.remark(
            Part::Clock,
            "Without makestep chronyd slews whatever it finds. Here the first setting of a boot is a step above \
             start-step-threshold, 0.010 s unless it is written here.",
        );
    }
}
