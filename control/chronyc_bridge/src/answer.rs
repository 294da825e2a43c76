//! What is asked, from what the daemon said: units and signs are those of chrony, and what was never measured is what chronyd
//! shows before it has measured it. docs/chronyc.md has the table.
//!
//! chrony's offsets are positive where the local clock is ahead, truechimer's where it is behind; two of chrony's are as
//! truechimer's (the correction that is left, and the offset of the last reply).

use crate::reply::{Address, NEVER, Reply};
use crate::request::{Head, Page, Question, Refusal};
use crate::snapshot::{Client, Snapshot, Source};
use crate::source_fields;
use report::{LeapName, SourceActivity, SystemState, Word};
use std::collections::BTreeMap;

/// The reference id of a host that serves its own time, in chrony.
const LOCAL: u32 = 0x7f7f_0101;

/// What chronyd shows as root delay and root dispersion of a clock that is not synchronised, in seconds.
const UNSYNCHRONISED: f64 = 1.0;

/// The clients in a reply, and the octets of each.
const EIGHT: usize = 8;
const CLIENT: usize = 60;

/// What is shorter, in seconds, is as long as this: requests that came together.
const SHORTEST: f64 = 1e-6;

/// An interval that is not known.
const NO_INTERVAL: i8 = 127;

/// Whose values these are, and when.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The daemon's state; none: it does not answer.
    pub snapshot: Option<&'a Snapshot>,
    /// The clock, in nanoseconds since 1970.
    pub now: i64,
    /// Requests that have come here so far.
    pub heard: u64,
}

/// The reply to a question.
pub fn answer(head: &Head, question: Question, moment: Moment<'_>) -> Vec<u8> {
    match reply(head, question, moment) {
        Ok(reply) => reply.finish(head),
        Err(refusal) => Reply::refused(head, refusal),
    }
}

fn reply(head: &Head, question: Question, moment: Moment<'_>) -> Result<Reply, Refusal> {
    let known = moment.snapshot.ok_or(Refusal::Failed)?;
    let found = |source: Option<&Source>, form: u16, write: fn(&Source, &mut Reply)| {
        let mut reply = Reply::new(head, form);
        write(source.ok_or(Refusal::NoSuchSource)?, &mut reply);
        Ok(reply)
    };
    match question {
        Question::SourceCount => {
            let mut reply = Reply::new(head, 2);
            reply.word(saturated(known.sources.len() as u64));
            Ok(reply)
        }
        Question::Source(index) => found(known.at(index), 3, source_fields::sample),
        Question::Tracking => Ok(tracking(head, known, moment.now)),
        Question::Statistics(index) => found(known.at(index), 6, source_fields::statistics),
        Question::Activity => Ok(activity(head, known)),
        Question::LastReply(which) => match head.length >= source_fields::LAST_REPLY {
            true => found(known.find(which), 26, source_fields::last_reply),
            false => found(known.find(which), 16, source_fields::last_reply_before_4_6),
        },
        Question::Name(which) => found(known.find(which), 19, source_fields::name),
        Question::Authentication(which) => found(known.find(which), 20, source_fields::authentication),
        Question::Selection(index) => found(known.at(index), 23, source_fields::selection),
        Question::Server => Ok(server(head, known, moment.heard)),
        Question::Clients(page) => Ok(clients(head, known.clients.as_deref().ok_or(Refusal::Failed)?, page)),
        Question::HardwareClock => Err(Refusal::NoHardwareClock),
        Question::Smoothing => Err(Refusal::NotEnabled),
    }
}

fn tracking(head: &Head, known: &Snapshot, now: i64) -> Reply {
    let system = &known.system;
    let is_synchronised = system.synchronised == Some(true);
    let is_local = system.state.as_ref().and_then(Word::known) == Some(SystemState::Local);
    let reference = known.reference().filter(|_| is_synchronised);
    let reported = system.reference_id.as_deref().and_then(|id| u32::from_str_radix(id, 16).ok());
    let mut reply = Reply::new(head, 5);
    reply.word(match (is_synchronised, is_local) {
        (true, _) => reported.unwrap_or(0),
        (false, true) => LOCAL,
        (false, false) => 0,
    });
    reply.address(reference.map_or(Address::None, Source::address));
    let stratum = system.stratum.filter(|_| is_synchronised || is_local);
    reply.short(stratum.map_or(0, u16::from));
    reply.short(match system.leap.as_ref().and_then(Word::known) {
        _ if is_local => 0,
        Some(LeapName::None) if is_synchronised => 0,
        Some(LeapName::Insert) if is_synchronised => 1,
        Some(LeapName::Delete) if is_synchronised => 2,
        _ => 3,
    });
    let age = reference.and_then(|source| source.report.last_valid_s).or(system.last_update_s);
    reply.time(match age.filter(|_| is_synchronised) {
        Some(age) => now.saturating_sub((age * 1e9) as i64),
        None => 0,
    });
    let or_zero = |value: Option<f64>| value.unwrap_or(0.0);
    let followed = |value: Option<f64>| value.filter(|_| is_synchronised);
    let (offset, error) = (or_zero(system.offset_s), or_zero(system.estimated_error_s));
    let is_corrected = system.last_update_s.is_some();
    reply.number(offset);
    // As of now, not of the last correction: the daemon keeps no offset of that moment, and no long-term average.
    reply.number(if is_corrected { -offset } else { 0.0 });
    reply.number(if is_corrected { offset.hypot(error) } else { 0.0 });
    reply.number(-or_zero(system.frequency_ppm));
    // The whole of the estimated frequency is in force.
    reply.number(0.0);
    reply.number(or_zero(followed(system.frequency_error_ppm)));
    let root = |value: Option<f64>| match (is_synchronised, is_local) {
        (true, _) => or_zero(value),
        (false, true) => 0.0,
        (false, false) => UNSYNCHRONISED,
    };
    reply.number(root(system.root_delay_s)).number(root(system.root_dispersion_s));
    let poll = reference.and_then(|source| source.report.poll).filter(|_| is_corrected);
    reply.number(poll.map_or(0.0, |poll| 2_f64.powi(poll.into())));
    reply
}

fn activity(head: &Head, known: &Snapshot) -> Reply {
    let count = |activity: SourceActivity| {
        let is_it =
            |source: &&Source| source.report.activity.as_ref().and_then(Word::known) == Some(activity);
        saturated(known.sources.iter().filter(is_it).count() as u64)
    };
    let mut reply = Reply::new(head, 12);
    reply.word(count(SourceActivity::Online)).word(count(SourceActivity::Offline));
    // After a burst they are online again; while sources are offline there is none.
    reply.word(count(SourceActivity::Bursting)).word(0);
    reply.word(count(SourceActivity::Unresolved));
    reply
}

/// How many positions there are, the next one, how many clients follow, and room for eight.
fn clients(head: &Head, all: &[Client], page: Page) -> Reply {
    let asks = |client: &Client| client.report.requests.unwrap_or(0) >= u64::from(page.least_hits);
    let wanted = all.iter().zip(1..).skip(page.first as usize).filter(|(client, _)| asks(client));
    let most = EIGHT.min(page.most as usize);
    let shown: Vec<(&Client, u32)> = wanted.take(most).collect();
    let count = saturated(all.len() as u64);
    let next = shown.last().filter(|_| shown.len() == most).map_or(count, |(_, next)| *next);
    let mut reply = Reply::new(head, 21);
    reply.word(count).word(next).word(shown.len() as u32);
    for (client, _) in &shown {
        let report = &client.report;
        let count = |count: Option<u64>| saturated(count.unwrap_or(0));
        // Of NTP, key exchanges and commands.
        reply.address(Address::Known(client.ip));
        reply.word(count(report.requests)).word(0).word(0).word(count(report.dropped)).word(0).word(0);
        let interval =
            report.interval_s.map_or(NO_INTERVAL, |interval| interval.max(SHORTEST).log2().round() as i8);
        reply.octets(&[interval as u8, NO_INTERVAL as u8, NO_INTERVAL as u8, NO_INTERVAL as u8]);
        let age = report.last_request_s.map_or(NEVER, |age| saturated(age as u64));
        reply.word(age).word(NEVER).word(NEVER);
    }
    reply.octets(&[0; CLIENT].repeat(EIGHT - shown.len()));
    reply
}

/// Counters in the order of chrony's newest reply. Earlier ones have fewer of them, and in 32 bits.
fn server(head: &Head, known: &Snapshot, heard: u64) -> Reply {
    let count = |counters: &BTreeMap<String, u64>, name: &str| counters.get(name).copied().unwrap_or(0);
    let (server, exchange) = (&known.server, &known.key_exchange);
    let (received, limited) = (count(server, "received"), count(server, "limited"));
    let all = [
        received,
        count(exchange, "accepted"),
        heard,
        limited,
        count(exchange, "limited").saturating_add(count(exchange, "denied")),
        // Requests dropped here, records of clients dropped.
        0,
        0,
        count(server, "protected").saturating_add(count(server, "keyed")),
        count(server, "interleaved"),
        // Timestamps kept, and for how long.
        0,
        0,
    ];
    // The reply of version 3 of chrony: without key exchanges.
    let first = [received, heard, limited, 0, 0];
    let (form, counters): (u16, &[u64]) = match head.length {
        ..60 => (14, &first),
        60..72 => (22, all.split_at(8).0),
        72..196 => (24, &all),
        _ => {
            let mut reply = Reply::new(head, 25);
            for counter in all {
                reply.long(counter);
            }
            // Six counters of time stamps by their origin, then four that are reserved.
            reply.octets(&[0; 6 * 8]).octets(&[0xff; 4 * 8]);
            return reply;
        }
    };
    let mut reply = Reply::new(head, form);
    for counter in counters {
        reply.word(saturated(*counter));
    }
    reply
}

/// In 32 bits; the largest number has another meaning.
pub fn saturated(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(NEVER).min(NEVER - 1)
}

#[cfg(test)]
mod tests;
