//! Sentences that hold in each minute, or do not.

use super::{Because, Figure, Judgement, Tally, Terms, Verdict, minutes_of, missing};
use crate::course::{Course, Kept, Whose};
use crate::figure::{length, moment};

/// What a minute says of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    Yes,
    No,
    Nothing,
}

/// How a sentence is told of.
struct Words {
    /// What all minutes have.
    all: &'static str,
    /// What those have in which it is not so.
    not: &'static str,
    /// What those have that do not tell.
    unknown: &'static str,
    /// What does not count in minutes that are a part of an outage: behind a start of the daemon, before it was synchronised.
    forgiven: &'static [Says],
}

/// It is a part of an outage that does not count: behind a start of the daemon, and before it was synchronised.
fn is_of_an_outage(kept: &Kept, terms: &Terms) -> bool {
    kept.starting.is_some_and(|since| since <= terms.outage.nanos())
}

/// The line of a sentence of which each minute says something.
fn each(course: &Course, terms: &Terms, words: &Words, says: impl Fn(&Kept) -> Says) -> Judgement {
    let (mut failed, mut unknown, mut outages) = (Tally::default(), Tally::default(), Tally::default());
    for kept in &course.minutes {
        match says(kept) {
            Says::Yes => {}
            said if words.forgiven.contains(&said) && is_of_an_outage(kept, terms) => outages.count(kept),
            Says::No => failed.count(kept),
            Says::Nothing => unknown.count(kept),
        }
    }
    let missing = missing(course, terms);
    let all = course.minutes.len() as u64;
    let (verdict, because) = match (failed.minutes, unknown.minutes, &missing) {
        (1.., ..) => (Verdict::Fail, Because::Failed),
        (_, 1.., _) => (Verdict::NotShown, Because::Unknown),
        (_, _, Some(_)) => (Verdict::NotShown, Because::NotKept),
        _ => (Verdict::Pass, Because::Met),
    };
    let among = |tally: &Tally, what: &str| {
        let (first, last) = (tally.first.map(moment)?, tally.last.map(moment)?);
        let times =
            if tally.minutes == 1 { format!("the one to {first}") } else { format!("{first} to {last}") };
        Some(format!("{} of {all}: {what} ({times})", minutes_of(tally.minutes)))
    };
    let mut parts: Vec<String> = among(&failed, words.not).into_iter().collect();
    parts.extend(among(&unknown, words.unknown));
    if parts.is_empty() {
        let kept = if missing.is_some() { " that were kept" } else { "" };
        let count = all - outages.minutes;
        parts.push(format!("all {}{kept}: {}", minutes_of(count), words.all));
    }
    if outages.minutes > 0 {
        let outage = length(terms.outage.nanos());
        parts.push(format!(
            "{} behind starts not counted, in outages of up to {outage}",
            minutes_of(outages.minutes)
        ));
    }
    parts.extend(missing);
    Judgement { failed, unknown, ..Judgement::of(verdict, because, parts.join("; ")) }
}

/// Whether the clock was within the limit of UTC, and how far from it at most, in nanoseconds.
pub(super) fn distance(kept: &Kept, terms: &Terms) -> (Says, Option<i64>) {
    let minute = &kept.minute;
    let measured = minute.offset.map(|(least, largest)| least.unsigned_abs().max(largest.unsigned_abs()));
    let limit = match terms.figure {
        Figure::Bound => minute.bound,
        // It is no larger than the bound, which the model may be wrong about.
        Figure::Likely => minute.likely.map(|likely| minute.bound.map_or(likely, |bound| likely.min(bound))),
    };
    let signed = |nanos: u64| i64::try_from(nanos).unwrap_or(i64::MAX);
    let most = terms.limit.nanos().unsigned_abs();
    let says = match (measured, limit) {
        (Some(measured), _) if measured > most => Says::No,
        (_, Some(limit)) if limit <= most => Says::Yes,
        _ => Says::Nothing,
    };
    (says, limit.map(|limit| signed(limit.max(measured.unwrap_or(0)))))
}

pub(super) fn within(course: &Course, terms: &Terms) -> Judgement {
    let words = Words {
        all: "within the limit",
        not: "measured to be beyond the limit",
        unknown: "no figure, or one beyond the limit while the clock was measured to be within it",
        forgiven: &[Says::Nothing],
    };
    let mut judgement = each(course, terms, &words, |kept| distance(kept, terms).0);
    let far = |kept: &&Kept| {
        let (says, figure) = distance(kept, terms);
        let measured =
            kept.minute.offset.map(|(least, largest)| least.unsigned_abs().max(largest.unsigned_abs()));
        (says == Says::No, figure.map(i64::unsigned_abs).or(measured))
    };
    if let Some(worst) = course.minutes.iter().filter(|kept| far(kept).1.is_some()).max_by_key(far) {
        let nanos = far(&worst).1.map(|nanos| i64::try_from(nanos).unwrap_or(i64::MAX));
        (judgement.worst_ns, judgement.worst) = (nanos, Some(worst.end));
    }
    let name = match terms.figure {
        Figure::Bound => "bound",
        Figure::Likely => "likely error",
    };
    if let (Some(nanos), Some(at)) = (judgement.worst_ns, judgement.worst) {
        let limit = length(terms.limit.nanos());
        judgement.reason +=
            &format!("; largest {name} {} (the minute to {}), limit {limit}", length(nanos), moment(at));
    }
    judgement
}

pub(super) fn synchronised(course: &Course, terms: &Terms) -> Judgement {
    let words = Words {
        all: "synchronised",
        not: "not synchronised throughout",
        unknown: "nothing",
        forgiven: &[Says::No],
    };
    each(course, terms, &words, |kept| if kept.minute.synchronised { Says::Yes } else { Says::No })
}

pub(super) fn authenticated(course: &Course, terms: &Terms) -> Judgement {
    let words = Words {
        all: "authenticated sources alone",
        not: "a source that is not authenticated, or none",
        unknown: "nothing",
        forgiven: &[Says::No],
    };
    each(course, terms, &words, |kept| if kept.minute.authenticated { Says::Yes } else { Says::No })
}

pub(super) fn sources(course: &Course, terms: &Terms, least: u8) -> Judgement {
    let words =
        Words { all: "enough sources", not: "too few sources", unknown: "nothing", forgiven: &[Says::No] };
    let mut judgement =
        each(
            course,
            terms,
            &words,
            |kept| if kept.minute.used_at_least >= least { Says::Yes } else { Says::No },
        );
    let counting = course.minutes.iter().filter(|kept| !is_of_an_outage(kept, terms));
    if let Some(worst) = counting.min_by_key(|kept| kept.minute.used_at_least) {
        judgement.count = Some(worst.minute.used_at_least.into());
        judgement.worst = Some(worst.end);
        judgement.reason +=
            &format!("; the smallest number used at a time was {}", worst.minute.used_at_least);
    }
    judgement
}

pub(super) fn authorised(course: &Course, terms: &Terms) -> Judgement {
    let used = course.sources.iter().filter(|one| one.minutes > 0);
    let count = Some(used.clone().count() as u64);
    if !terms.has_authorised {
        let reason = "nobody named the authorised sources (--authorised); those that were used are listed in the report";
        return Judgement { count, ..Judgement::of(Verdict::NotShown, Because::NotNamed, reason.to_owned()) };
    }
    let words = Words {
        all: "authorised sources alone",
        not: "a source that is not authorised",
        unknown: "a source whose name the history does not have",
        forgiven: &[],
    };
    let mut judgement = each(course, terms, &words, |kept| match kept.sources {
        Whose::Authorised => Says::Yes,
        Whose::Other => Says::No,
        Whose::Unknown => Says::Nothing,
    });
    let others: Vec<&str> =
        used.filter(|one| one.authorised == Some(false)).filter_map(|one| one.name.as_deref()).collect();
    if !others.is_empty() {
        judgement.reason += &format!("; not authorised: {}", others.join(", "));
    }
    Judgement { count, ..judgement }
}

pub(super) fn nobody_else(course: &Course, terms: &Terms) -> Judgement {
    let words = Words {
        all: "no step of another program",
        not: "a step of another program",
        unknown: "nothing",
        forgiven: &[],
    };
    let mut judgement =
        each(course, terms, &words, |kept| if kept.minute.stepped_by_another { Says::No } else { Says::Yes });
    let steps = course.steps.iter().filter(|step| step.by_another);
    judgement.count = Some(steps.clone().count() as u64);
    if let Some(worst) = steps.max_by_key(|step| step.nanos.unsigned_abs()) {
        (judgement.worst_ns, judgement.worst) = (Some(worst.nanos), Some(worst.at));
    }
    judgement
}
