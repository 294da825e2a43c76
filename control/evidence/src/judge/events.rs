//! Sentences of what must be recorded.

use super::minutes::{Says, distance};
use super::{Because, Judgement, Tally, Terms, Verdict, counted, minutes_of, missing};
use crate::course::{Course, Kept};
use crate::figure::{length, moment};
use ipc::units::Span;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
const MINUTE: i64 = 60 * SECOND;

/// Everything that happened is recorded where nothing is missing; in words, what is.
fn recorded(course: &Course, terms: &Terms, what: String) -> Judgement {
    let mut parts = vec![what];
    let missing = missing(course, terms);
    let is_whole = missing.is_none() && course.breaks == 0;
    parts.extend(missing);
    if course.breaks > 0 {
        parts.push(format!("the chain of records breaks {}", counted(course.breaks, "time", "times")));
    }
    let (verdict, because) = match is_whole {
        true => (Verdict::Pass, Because::Met),
        false => (Verdict::NotShown, Because::NotKept),
    };
    Judgement::of(verdict, because, parts.join("; "))
}

/// There is a minute of each minute, with what was wrong in it.
pub(super) fn watched(course: &Course, terms: &Terms) -> Judgement {
    let is_off = |kept: &&Kept| !kept.minute.synchronised || distance(kept, terms).0 == Says::No;
    let off = course.minutes.iter().filter(is_off).count() as u64;
    let all = course.minutes.len() as u64;
    let what = format!(
        "the clock was looked at in {}; {} of them out of synchronisation or beyond the limit, and recorded as such",
        minutes_of(all),
        if off == 0 { "none".to_owned() } else { off.to_string() }
    );
    let longest = course.missing(terms.outage.nanos()).max_by_key(|hole| hole.length());
    Judgement {
        count: Some(off),
        longest_s: Some(longest.map_or(0, |hole| hole.length() / SECOND)),
        worst: longest.map(|hole| hole.to),
        ..recorded(course, terms, what)
    }
}

/// Steps of at least this.
pub(super) fn steps(course: &Course, terms: &Terms, least: Span) -> Judgement {
    let large = |nanos: i64| nanos.unsigned_abs() >= least.nanos().unsigned_abs();
    let all: Vec<_> = course.steps.iter().filter(|step| large(step.nanos)).collect();
    let worst = all.iter().max_by_key(|step| step.nanos.unsigned_abs());
    let by_another = all.iter().filter(|step| step.by_another).count() as u64;
    let of = if least.nanos() > 0 { format!(" of {} or more", length(least.nanos())) } else { String::new() };
    let mut what = match all.len() as u64 {
        0 => format!("there was no step{of}"),
        count => format!(
            "{}{of} recorded, listed in the report",
            counted(count, "minute with a step", "minutes with steps")
        ),
    };
    if let Some(worst) = worst {
        what += &format!("; the largest {} (the minute to {})", length(worst.nanos), moment(worst.at));
    }
    if by_another > 0 {
        what += &format!("; {by_another} by another program");
    }
    Judgement {
        count: Some(all.len() as u64),
        worst_ns: worst.map(|step| step.nanos),
        worst: worst.map(|step| step.at),
        ..recorded(course, terms, what)
    }
}

/// Leap seconds.
pub(super) fn leap(course: &Course, terms: &Terms) -> Judgement {
    let all: Vec<usize> =
        course.minutes.iter().enumerate().filter(|(_, kept)| kept.minute.leap).map(|(at, _)| at).collect();
    if all.is_empty() {
        let missing = missing(course, terms).map_or(String::new(), |missing| format!("; {missing}"));
        let reason = format!("no leap second was in the minutes that were kept{missing}");
        return Judgement {
            count: Some(0),
            ..Judgement::of(Verdict::NotShown, Because::DidNotOccur, reason)
        };
    }
    let (mut failed, mut unknown) = (Tally::default(), Tally::default());
    let mut worst: Option<(i64, &Kept)> = None;
    for at in &all {
        let around =
            course.minutes.get(at.saturating_sub(1)..(at + 2).min(course.minutes.len())).unwrap_or_default();
        for kept in around {
            let (says, figure) = distance(kept, terms);
            let since_midnight = kept.end.nanos().rem_euclid(DAY);
            // A minute of the history may have begun up to a minute before midnight.
            let is_at_midnight = since_midnight <= MINUTE + SECOND || since_midnight > DAY - MINUTE;
            match says {
                Says::No => failed.count(kept),
                _ if kept.minute.leap && !is_at_midnight => failed.count(kept),
                Says::Nothing => unknown.count(kept),
                Says::Yes => {}
            }
            if let Some(figure) = figure.filter(|figure| worst.is_none_or(|(most, _)| *figure > most)) {
                worst = Some((figure, kept));
            }
        }
    }
    let times: Vec<String> =
        all.iter().filter_map(|at| course.minutes.get(*at)).map(|kept| moment(kept.end)).collect();
    let recorded = counted(all.len() as u64, "leap second", "leap seconds");
    let limit = length(terms.limit.nanos());
    let (verdict, because, how) = match (failed.minutes, unknown.minutes) {
        (1.., _) => (
            Verdict::Fail,
            Because::Failed,
            "not at the end of its day, or the clock was beyond the limit around it",
        ),
        (_, 1..) => {
            (Verdict::NotShown, Because::Unknown, "the error around it is not known to be within the limit")
        }
        _ => (
            Verdict::Pass,
            Because::Met,
            "at the end of its day, and the clock within the limit in the minutes around it",
        ),
    };
    let reason = format!("{recorded} in the minutes to {}: {how}; limit {limit}", times.join(", "));
    Judgement {
        count: Some(all.len() as u64),
        worst_ns: worst.map(|(figure, _)| figure),
        worst: worst.map(|(_, kept)| kept.end),
        failed,
        unknown,
        ..Judgement::of(verdict, because, reason)
    }
}

/// Starts of the daemon.
pub(super) fn starts(course: &Course, terms: &Terms) -> Judgement {
    let inside = |at| at > course.period.from;
    let all = course.starts.iter().filter(|start| inside(start.at));
    let unexpected = all.clone().filter(|start| start.unexpected).count();
    let what = match all.clone().count() as u64 {
        0 => "there was no start of the daemon".to_owned(),
        count => format!(
            "{} recorded, {unexpected} of them behind a run that had not ended in order; listed in the report",
            counted(count, "start of the daemon", "starts of the daemon")
        ),
    };
    // A start that no record was kept of would be a break: times without minutes are those between runs.
    let whole = recorded_starts(course, what);
    Judgement { count: Some(all.count() as u64), ..with_edges(course, terms, whole) }
}

/// Configurations.
pub(super) fn configured(course: &Course, terms: &Terms) -> Judgement {
    let changes = course.configurations.iter().filter(|one| one.since > course.period.from).count() as u64;
    let first = course.configurations.first();
    let mut what = match course.configurations.len() as u64 {
        0 => "no configuration is recorded".to_owned(),
        count => format!(
            "{} in force, with hash and time listed in the report",
            counted(count, "configuration was", "configurations were")
        ),
    };
    let begin = course.minutes.first().map(|kept| kept.begin);
    let is_known =
        first.is_some_and(|first| begin.is_none_or(|begin| first.since <= begin.max(course.period.from)));
    if !is_known {
        what += "; which one at the beginning of the period, the history does not have any more";
    }
    let whole = recorded_starts(course, what);
    let judgement = with_edges(course, terms, whole);
    let judgement = match judgement.verdict {
        Verdict::Pass if !is_known => {
            Judgement { verdict: Verdict::NotShown, because: Because::NotKept, ..judgement }
        }
        _ => judgement,
    };
    Judgement { count: Some(changes), ..judgement }
}

/// What starts are recorded of does not depend on minutes, only on the chain.
fn recorded_starts(course: &Course, what: String) -> Judgement {
    match course.breaks {
        0 => Judgement::of(Verdict::Pass, Because::Met, what),
        breaks => {
            let breaks = counted(breaks, "time", "times");
            let reason = format!("{what}; the chain of records breaks {breaks}");
            Judgement::of(Verdict::NotShown, Because::NotKept, reason)
        }
    }
}

/// The same, where the history does not begin later than the period and not end earlier.
fn with_edges(course: &Course, terms: &Terms, judgement: Judgement) -> Judgement {
    use crate::course::Absence;
    let is_edge = |what| matches!(what, Absence::Before | Absence::After);
    match course.missing(terms.outage.nanos()).any(|hole| is_edge(hole.what)) {
        true if judgement.verdict == Verdict::Pass => Judgement {
            verdict: Verdict::NotShown,
            because: Because::NotKept,
            reason: judgement.reason + "; the history does not reach over the whole period",
            ..judgement
        },
        _ => judgement,
    }
}
