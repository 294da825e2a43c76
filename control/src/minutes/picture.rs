//! The history as an SVG, drawn as the course of the last hours is.

use super::Period;
use super::row::{Row, begin_of};
use crate::plot::{self, Spot};
use history::History;
use ipc::history::Said;
use ipc::units::WallTime;
use std::collections::BTreeSet;

/// The most points that are drawn.
const MOST: i64 = 400;
/// The length of a point in ns is a multiple of this: a minute.
const MINUTE: i64 = 60_000_000_000;

/// The picture.
pub fn draw(history: &History<'_>, period: Period) -> String {
    let minutes = history.walk().filter_map(Result::ok);
    let minutes = minutes.filter_map(|entry| match entry.record.said {
        Said::Minute(minute) => Some((begin_of(&minute, entry.record.wall), entry.record.wall)),
        _ => None,
    });
    let is_in = |wall: &WallTime| period.since < *wall && *wall <= period.until;
    let ends = minutes.filter(|(_, end)| is_in(end)).fold(None, |ends: Option<(i64, i64)>, (begin, end)| {
        let (least, largest) = ends.unwrap_or((begin.nanos(), end.nanos()));
        Some((least.min(begin.nanos()), largest.max(end.nanos())))
    });
    let (begin, end) = ends.unwrap_or((0, 0));
    let length = ((end - begin) / MOST / MINUTE + 1) * MINUTE;
    let mut course = plot::Course::default();
    let mut open: Option<(Row, f64)> = None;
    let mut last: Option<WallTime> = None;
    for entry in history.walk().filter_map(Result::ok) {
        let (Said::Minute(minute), wall) = (&entry.record.said, entry.record.wall) else { continue };
        if !is_in(&wall) {
            continue;
        }
        let row = Row::of(minute, wall, BTreeSet::new(), BTreeSet::new());
        let middle = minute.offset.map_or(0.0, |(least, largest)| (least as f64 + largest as f64) / 2e9);
        // Between two minutes is no time, as a rule.
        let is_far = last.is_some_and(|last| (row.begin.nanos() - last.nanos()) > MINUTE);
        if is_far && let Some(last) = last {
            course.gaps.push((unix(last), unix(row.begin)));
        }
        // Of its end: where one ends, the next one begins.
        let slot = |wall: WallTime| (wall.nanos() - 1 - begin).div_euclid(length);
        let is_next = open.as_ref().is_some_and(|(open, _)| is_far || slot(open.end) != slot(wall));
        if is_next {
            push(&mut course, open.take());
        }
        if minute.gap {
            course.gaps.push((unix(wall), unix(wall)));
        }
        last = Some(wall);
        open = Some(match open.take() {
            Some((before, sum)) => (before.and(row), sum + middle),
            None => (row, middle),
        });
    }
    push(&mut course, open);
    let known = match ends {
        Some(_) => {
            let (begin, end) = (unix(WallTime::saturating(begin)), unix(WallTime::saturating(end)));
            format!("from {} to {} UTC", plot::moment(begin), plot::moment(end))
        }
        None => "nothing is known of this time".to_owned(),
    };
    let said = [
        format!("{known}; a point is {} min", length / MINUTE),
        "mean: of what is in the middle between the least and the largest offset of each minute".to_owned(),
    ];
    plot::drawn("The clock by its history of minutes", &said, &course)
}

fn unix(wall: WallTime) -> f64 {
    wall.nanos() as f64 / 1e9
}

fn push(course: &mut plot::Course, row: Option<(Row, f64)>) {
    let Some((row, sum)) = row else { return };
    let seconds = |nanos: i64| nanos as f64 / 1e9;
    let offset = row.offset.map(|(least, largest)| {
        let (least, largest) = (seconds(least), seconds(largest));
        ((sum / f64::from(row.minutes)).clamp(least, largest), least, largest)
    });
    // Where the clock was set back, nothing overlaps.
    let begin = course.spots.last().map_or(f64::NEG_INFINITY, |spot| spot.time.1).max(unix(row.begin));
    course.spots.push(Spot {
        time: (begin, unix(row.end).max(begin)),
        offset,
        bound: super::row::limit(row.bound),
        likely: super::row::limit(row.likely),
        frequency: row.frequency,
        used: row.used_at_least,
        is_synchronised: row.synchronised == row.minutes,
        stepped: (row.stepped > 0).then(|| seconds(row.steps)),
    });
}
