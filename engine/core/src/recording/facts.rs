//! The encoding of one call of the engine.

use super::octets::{Malformed, Reader, Writer};
use super::redaction::Redaction;
use super::start::{
    read_clock, read_leap_list, read_local, read_source, write_clock, write_leap_list, write_local,
    write_source,
};
use crate::entries::EntryId;
use crate::io::{Command, Input, Now, OrderKind};
use crate::settings::{ClockSettings, LocalTime, SourceSettings};
use alloc::borrow::Cow;
use alloc::vec::Vec;
use ipc::message::client::{FromClient, ProtectedReply};
use ipc::message::exchange::FromExchange;
use ipc::message::privileged::FromPrivileged;
use ipc::message::refclock::FromRefclock;
use ipc::units::{RawInstant, WallTime};
use protocol::leap_list::LeapList;

/// Octets of entropy with which a recorded engine is seeded before each call.
pub(super) const ENTROPY: usize = 16;

const TIMEOUT: u8 = 0;
const PRIVILEGED: u8 = 1;
const CLIENT: u8 = 2;
const EXCHANGE: u8 = 3;
const COMMAND: u8 = 4;
const OWN_ADDRESSES: u8 = 5;
const ADD_ENTRY: u8 = 6;
const REMOVE_ENTRY: u8 = 7;
const CHANGE_ENTRY: u8 = 8;
const CHANGE_CLOCK: u8 = 9;
const CHANGE_LOCAL_TIME: u8 = 10;
const CHANGE_VERSION5: u8 = 11;
const REFCLOCK: u8 = 12;
const CHANGE_LEAP_LIST: u8 = 13;

/// A call that changes an engine.
#[allow(clippy::large_enum_variant, reason = "one at a time, never stored")]
#[derive(Clone, Debug, PartialEq)]
pub enum Call<'a> {
    /// [`Engine::handle_input`](crate::Engine::handle_input).
    Input(Cow<'a, Input>),
    /// [`Engine::add_entry`](crate::Engine::add_entry).
    AddEntry(Cow<'a, SourceSettings>),
    /// [`Engine::remove_entry`](crate::Engine::remove_entry).
    RemoveEntry(EntryId),
    /// [`Engine::change_entry`](crate::Engine::change_entry).
    ChangeEntry(EntryId, Cow<'a, SourceSettings>),
    /// [`Engine::change_clock`](crate::Engine::change_clock).
    ChangeClock(ClockSettings),
    /// [`Engine::change_local_time`](crate::Engine::change_local_time).
    ChangeLocalTime(Option<LocalTime>),
    /// [`Engine::change_version5`](crate::Engine::change_version5).
    ChangeVersion5(bool),
    /// [`Engine::change_leap_list`](crate::Engine::change_leap_list).
    ChangeLeapList(Option<LeapList>),
}

/// A call with its time and its entropy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fact {
    pub(super) now: Now,
    pub(super) entropy: [u8; ENTROPY],
    pub(super) call: Call<'static>,
}

/// Writes a call, with its secrets redacted.
pub(super) fn write(
    out: &mut Writer,
    now: Now,
    entropy: &[u8; ENTROPY],
    call: &Call<'_>,
    redaction: &mut Redaction,
) {
    out.i64(now.raw.nanos());
    out.i64(now.wall.nanos());
    out.octets(entropy);
    match call {
        Call::Input(input) => write_input(out, input, redaction),
        Call::AddEntry(settings) => {
            out.u8(ADD_ENTRY);
            write_source(out, settings, redaction);
        }
        Call::RemoveEntry(id) => {
            out.u8(REMOVE_ENTRY);
            out.octets(&id.number().to_le_bytes());
        }
        Call::ChangeEntry(id, settings) => {
            out.u8(CHANGE_ENTRY);
            out.octets(&id.number().to_le_bytes());
            write_source(out, settings, redaction);
        }
        Call::ChangeClock(clock) => {
            out.u8(CHANGE_CLOCK);
            write_clock(out, clock);
        }
        Call::ChangeLocalTime(local) => {
            out.u8(CHANGE_LOCAL_TIME);
            out.option(*local, |out, local| write_local(out, &local));
        }
        Call::ChangeVersion5(is_served) => {
            out.u8(CHANGE_VERSION5);
            out.bool(*is_served);
        }
        Call::ChangeLeapList(list) => {
            out.u8(CHANGE_LEAP_LIST);
            out.option(list.as_ref(), write_leap_list);
        }
    }
}

fn write_input(out: &mut Writer, input: &Input, redaction: &mut Redaction) {
    let privileged = |out: &mut Writer, kind: Option<OrderKind>, message: FromPrivileged| {
        out.u8(PRIVILEGED);
        out.option(kind, |out, kind| {
            out.u8(match kind {
                OrderKind::Adjust => 0,
                OrderKind::Step => 1,
                OrderKind::Status => 2,
                OrderKind::Tai => 3,
            });
        });
        out.message(&message);
    };
    let client = |out: &mut Writer, message: FromClient| {
        out.u8(CLIENT);
        out.message(&message);
    };
    let exchange = |out: &mut Writer, message: FromExchange| {
        out.u8(EXCHANGE);
        out.message(&message);
    };
    match input {
        Input::Timeout => out.u8(TIMEOUT),
        Input::Welcome(welcome) => privileged(out, None, FromPrivileged::Welcome(*welcome)),
        Input::Applied(kind, applied) => privileged(out, Some(*kind), FromPrivileged::Applied(*applied)),
        Input::Refused(kind, refused) => privileged(out, Some(*kind), FromPrivileged::Refused(*refused)),
        Input::ClockEvent(event) => privileged(out, None, FromPrivileged::ClockEvent(*event)),
        Input::HistoryNoted(ends) => privileged(out, None, FromPrivileged::HistoryNoted(*ends)),
        Input::Sent(sent) => client(out, FromClient::Sent(*sent)),
        Input::Reply(reply) => client(out, FromClient::PlainReply(*reply)),
        Input::Version5(reply) => client(out, FromClient::Version5Reply(*reply)),
        Input::Protected(reply) => {
            let redacted = ProtectedReply { packet: redaction.packet(&reply.packet), ..*reply };
            client(out, FromClient::ProtectedReply(redacted));
        }
        Input::Unanswered(unanswered) => client(out, FromClient::Unanswered(*unanswered)),
        Input::Resolved(resolved) => exchange(out, FromExchange::Resolved(*resolved)),
        Input::LookupFailed(failed) => exchange(out, FromExchange::Failed(*failed)),
        Input::Cookie(cookie) => exchange(out, FromExchange::Cookie(redaction.cookie(cookie))),
        Input::Exchanged(exchanged) => {
            exchange(out, FromExchange::Exchanged(redaction.exchanged(exchanged)));
        }
        Input::ExchangeFailed(failed) => exchange(out, FromExchange::ExchangeFailed(*failed)),
        Input::Signed(signed) => exchange(out, FromExchange::Signed(*signed)),
        Input::Measured(ended) => exchange(out, FromExchange::Measured(*ended)),
        Input::MeasureFailed(failed) => exchange(out, FromExchange::MeasureFailed(*failed)),
        Input::Clock(sample) => {
            out.u8(REFCLOCK);
            out.message(&FromRefclock::Sample(*sample));
        }
        Input::ClockDiscarded(discarded) => {
            out.u8(REFCLOCK);
            out.message(&FromRefclock::Discarded(*discarded));
        }
        Input::Command(command) => {
            out.u8(COMMAND);
            let (kind, of) = match *command {
                Command::Burst(of) => (0, of),
                Command::Offline(of) => (1, of),
                Command::Online(of) => (2, of),
                Command::Step => (3, None),
            };
            out.u8(kind);
            out.option(of, |out, id| out.octets(&id.number().to_le_bytes()));
        }
        Input::OwnAddresses(addresses) => {
            out.u8(OWN_ADDRESSES);
            // The engine uses the first 64.
            let count = addresses.len().min(usize::from(u8::MAX)) as u8;
            out.u8(count);
            addresses.iter().take(usize::from(count)).for_each(|address| out.ip(*address));
        }
    }
}

/// Reads a call.
pub(super) fn read(octets: &[u8]) -> Result<Fact, Malformed> {
    let mut from = Reader::new(octets);
    let now = Now {
        raw: RawInstant::try_new(from.i64()?).map_err(|_| Malformed)?,
        wall: WallTime::try_new(from.i64()?).map_err(|_| Malformed)?,
    };
    let entropy = from.array()?;
    let call = match from.u8()? {
        ADD_ENTRY => Call::AddEntry(Cow::Owned(read_source(&mut from)?)),
        REMOVE_ENTRY => Call::RemoveEntry(read_id(&mut from)?),
        CHANGE_ENTRY => Call::ChangeEntry(read_id(&mut from)?, Cow::Owned(read_source(&mut from)?)),
        CHANGE_CLOCK => Call::ChangeClock(read_clock(&mut from)?),
        CHANGE_LOCAL_TIME => Call::ChangeLocalTime(from.option(read_local)?),
        CHANGE_VERSION5 => Call::ChangeVersion5(from.bool()?),
        CHANGE_LEAP_LIST => Call::ChangeLeapList(from.option(read_leap_list)?),
        kind => Call::Input(Cow::Owned(read_input(&mut from, kind)?)),
    };
    from.end()?;
    Ok(Fact { now, entropy, call })
}

fn read_id(from: &mut Reader<'_>) -> Result<EntryId, Malformed> {
    from.array().map(u32::from_le_bytes).map(EntryId::from_number)
}

fn read_input(from: &mut Reader<'_>, kind: u8) -> Result<Input, Malformed> {
    Ok(match kind {
        TIMEOUT => Input::Timeout,
        PRIVILEGED => {
            let kind = from.option(|from| match from.u8()? {
                0 => Ok(OrderKind::Adjust),
                1 => Ok(OrderKind::Step),
                2 => Ok(OrderKind::Status),
                3 => Ok(OrderKind::Tai),
                _ => Err(Malformed),
            })?;
            match (kind, from.message()?) {
                (None, FromPrivileged::Welcome(welcome)) => Input::Welcome(welcome),
                (Some(kind), FromPrivileged::Applied(applied)) => Input::Applied(kind, applied),
                (Some(kind), FromPrivileged::Refused(refused)) => Input::Refused(kind, refused),
                (None, FromPrivileged::ClockEvent(event)) => Input::ClockEvent(event),
                (None, FromPrivileged::HistoryNoted(ends)) => Input::HistoryNoted(ends),
                _ => return Err(Malformed),
            }
        }
        CLIENT => match from.message()? {
            FromClient::Sent(sent) => Input::Sent(sent),
            FromClient::PlainReply(reply) => Input::Reply(reply),
            FromClient::Version5Reply(reply) => Input::Version5(reply),
            FromClient::ProtectedReply(reply) => Input::Protected(reply),
            FromClient::Unanswered(unanswered) => Input::Unanswered(unanswered),
            FromClient::Hello(_) | FromClient::Pong | FromClient::Network(_) => return Err(Malformed),
        },
        EXCHANGE => match from.message()? {
            FromExchange::Resolved(resolved) => Input::Resolved(resolved),
            FromExchange::Failed(failed) => Input::LookupFailed(failed),
            FromExchange::Cookie(cookie) => Input::Cookie(cookie),
            FromExchange::Exchanged(exchanged) => Input::Exchanged(exchanged),
            FromExchange::ExchangeFailed(failed) => Input::ExchangeFailed(failed),
            FromExchange::Signed(signed) => Input::Signed(signed),
            FromExchange::Measured(ended) => Input::Measured(ended),
            FromExchange::MeasureFailed(failed) => Input::MeasureFailed(failed),
            FromExchange::Hello(_) | FromExchange::Pong => return Err(Malformed),
        },
        REFCLOCK => match from.message()? {
            FromRefclock::Sample(sample) => Input::Clock(sample),
            FromRefclock::Discarded(discarded) => Input::ClockDiscarded(discarded),
            FromRefclock::Hello(_) | FromRefclock::Pong => return Err(Malformed),
        },
        COMMAND => {
            let kind = from.u8()?;
            let of = from.option(read_id)?;
            Input::Command(match kind {
                0 => Command::Burst(of),
                1 => Command::Offline(of),
                2 => Command::Online(of),
                3 if of.is_none() => Command::Step,
                _ => return Err(Malformed),
            })
        }
        OWN_ADDRESSES => {
            let count = from.u8()?;
            let addresses: Result<Vec<_>, _> = (0..count).map(|_| from.ip()).collect();
            Input::OwnAddresses(addresses?)
        }
        _ => return Err(Malformed),
    })
}
