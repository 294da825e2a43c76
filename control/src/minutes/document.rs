//! The rows and events as JSON. A document of months is put together text by text, a line for each row: as values it would take
//! gigabytes.

use super::Named;
use super::course::{Course, Line};
use super::event::{Event, What, hex};
use super::row::{Row, limit};
use crate::Failure;
use crate::text::json;
use history::{Finding, History, Survey};
use ipc::calendar::Rfc3339;
use ipc::units::WallTime;
use report::FORMAT;
use serde_json::{Value, json};

/// The whole document.
pub fn document(
    path: &str,
    history: &History<'_>,
    survey: &Survey,
    course: Course<'_>,
    is_by_minutes: bool,
) -> Result<String, Failure> {
    let end = history.end();
    let findings: Vec<Value> = survey.findings.iter().map(finding).collect();
    let head = json!({
        "format": FORMAT,
        "file": path,
        "room": history.room(),
        "records": survey.records,
        "first": survey.first.map(|(sequence, _)| sequence),
        "end": { "records": end.lines, "hash": hex(&end.hash) },
        "findings": findings,
        "more_findings": survey.more,
        "row": if is_by_minutes { "minute" } else { "hour" },
    });
    let mut text = json(&head);
    text.truncate(text.trim_end().trim_end_matches('}').trim_end().len());
    text.push_str(",\n\"rows\": [");
    let (mut rows, mut events, mut named) = (0_usize, Vec::new(), Named::default());
    for line in course {
        match line {
            Line::Row(row) => {
                named.take(&row)?;
                text.push_str(if rows > 0 { ",\n" } else { "\n" });
                // In it is nothing but ASCII: names are.
                text.push_str(&of_row(&row).to_string());
                rows += 1;
            }
            Line::Event(event) => events.push(json(&of_event(&event))),
        }
    }
    text.push_str("],\n\"events\": [\n");
    text.push_str(&events.join(","));
    text.push_str("]\n}\n");
    Ok(text)
}

fn time(wall: WallTime) -> String {
    Rfc3339(wall).to_string()
}

fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

/// A finding.
pub fn finding(finding: &Finding) -> Value {
    json!({
        "record": finding.sequence,
        "at": finding.wall.map(time),
        "power_cut": finding.may_be_a_power_cut(),
        "text": finding.to_string(),
    })
}

fn of_row(row: &Row) -> Value {
    json!({
        "begin": time(row.begin),
        "end": time(row.end),
        "minutes": row.minutes,
        "synchronised_minutes": row.synchronised,
        "gaps": row.gaps,
        "authenticated": row.authenticated,
        "signed": row.signed,
        "offset_least_s": row.offset.map(|(least, _)| seconds(least)),
        "offset_largest_s": row.offset.map(|(_, largest)| seconds(largest)),
        "error_bound_s": limit(row.bound),
        "likely_error_s": limit(row.likely),
        "frequency_ppm": row.frequency,
        "stepped_s": seconds(row.steps),
        "steps": row.stepped,
        "used_at_least": row.used_at_least,
        "authenticated_at_least": row.authenticated_at_least,
        "stratum": row.stratum,
        "used": row.used,
        "falsetickers": row.falsetickers,
    })
}

fn of_event(event: &Event) -> Value {
    let stepped = match event.what {
        What::Step(nanos) | What::OthersStep(nanos) => Some(seconds(nanos)),
        _ => None,
    };
    json!({
        "at": event.at.map(time),
        "record": event.record,
        "event": event.what.word(),
        "stepped_s": stepped,
        "text": event.what.to_string(),
    })
}
