//! One input as octets, and back.

use super::disguise::Disguise;
use super::octets::{Malformed, Reader, Writer};
use crate::io::{Command, Input, Now, OrderKind};
use alloc::vec::Vec;
use ipc::message::client::{FromClient, ProtectedReply};
use ipc::message::exchange::FromExchange;
use ipc::message::privileged::FromPrivileged;
use ipc::units::{RawInstant, WallTime};

/// Octets of chance that an engine is given with each input of a record.
pub(super) const CHANCE: usize = 16;

const TIMEOUT: u8 = 0;
const PRIVILEGED: u8 = 1;
const CLIENT: u8 = 2;
const EXCHANGE: u8 = 3;
const COMMAND: u8 = 4;
const OWN_ADDRESSES: u8 = 5;

/// One input with all that came with it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fact {
    pub(super) now: Now,
    pub(super) chance: [u8; CHANCE],
    pub(super) input: Input,
}

/// Writes an input, its secrets disguised.
pub(super) fn write(
    out: &mut Writer,
    now: Now,
    chance: &[u8; CHANCE],
    input: &Input,
    disguise: &mut Disguise,
) {
    out.i64(now.raw.nanos());
    out.i64(now.wall.nanos());
    out.octets(chance);
    let privileged = |out: &mut Writer, kind: Option<OrderKind>, message: FromPrivileged| {
        out.u8(PRIVILEGED);
        out.option(kind, |out, kind| {
            out.u8(match kind {
                OrderKind::Adjust => 0,
                OrderKind::Step => 1,
                OrderKind::Status => 2,
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
        Input::Sent(sent) => client(out, FromClient::Sent(*sent)),
        Input::Reply(reply) => client(out, FromClient::PlainReply(*reply)),
        Input::Protected(reply) => {
            let disguised = ProtectedReply { packet: disguise.packet(&reply.packet), ..*reply };
            client(out, FromClient::ProtectedReply(disguised));
        }
        Input::Unanswered(unanswered) => client(out, FromClient::Unanswered(*unanswered)),
        Input::Resolved(resolved) => exchange(out, FromExchange::Resolved(*resolved)),
        Input::LookupFailed(failed) => exchange(out, FromExchange::Failed(*failed)),
        Input::Cookie(cookie) => exchange(out, FromExchange::Cookie(disguise.cookie(cookie))),
        Input::Exchanged(exchanged) => {
            exchange(out, FromExchange::Exchanged(disguise.exchanged(exchanged)));
        }
        Input::ExchangeFailed(failed) => exchange(out, FromExchange::ExchangeFailed(*failed)),
        Input::Command(command) => {
            out.u8(COMMAND);
            out.u8(match command {
                Command::Burst => 0,
                Command::Offline => 1,
                Command::Online => 2,
            });
        }
        Input::OwnAddresses(addresses) => {
            out.u8(OWN_ADDRESSES);
            // The engine looks at 64.
            let count = addresses.len().min(usize::from(u8::MAX)) as u8;
            out.u8(count);
            addresses.iter().take(usize::from(count)).for_each(|address| out.ip(*address));
        }
    }
}

/// Reads an input.
pub(super) fn read(octets: &[u8]) -> Result<Fact, Malformed> {
    let mut from = Reader::new(octets);
    let now = Now {
        raw: RawInstant::try_new(from.i64()?).map_err(|_| Malformed)?,
        wall: WallTime::try_new(from.i64()?).map_err(|_| Malformed)?,
    };
    let chance = from.array()?;
    let input = match from.u8()? {
        TIMEOUT => Input::Timeout,
        PRIVILEGED => {
            let kind = from.option(|from| match from.u8()? {
                0 => Ok(OrderKind::Adjust),
                1 => Ok(OrderKind::Step),
                2 => Ok(OrderKind::Status),
                _ => Err(Malformed),
            })?;
            match (kind, from.message()?) {
                (None, FromPrivileged::Welcome(welcome)) => Input::Welcome(welcome),
                (Some(kind), FromPrivileged::Applied(applied)) => Input::Applied(kind, applied),
                (Some(kind), FromPrivileged::Refused(refused)) => Input::Refused(kind, refused),
                (None, FromPrivileged::ClockEvent(event)) => Input::ClockEvent(event),
                _ => return Err(Malformed),
            }
        }
        CLIENT => match from.message()? {
            FromClient::Sent(sent) => Input::Sent(sent),
            FromClient::PlainReply(reply) => Input::Reply(reply),
            FromClient::ProtectedReply(reply) => Input::Protected(reply),
            FromClient::Unanswered(unanswered) => Input::Unanswered(unanswered),
            FromClient::Hello(_) | FromClient::Pong => return Err(Malformed),
        },
        EXCHANGE => match from.message()? {
            FromExchange::Resolved(resolved) => Input::Resolved(resolved),
            FromExchange::Failed(failed) => Input::LookupFailed(failed),
            FromExchange::Cookie(cookie) => Input::Cookie(cookie),
            FromExchange::Exchanged(exchanged) => Input::Exchanged(exchanged),
            FromExchange::ExchangeFailed(failed) => Input::ExchangeFailed(failed),
            FromExchange::Hello(_) | FromExchange::Pong => return Err(Malformed),
        },
        COMMAND => Input::Command(match from.u8()? {
            0 => Command::Burst,
            1 => Command::Offline,
            2 => Command::Online,
            _ => return Err(Malformed),
        }),
        OWN_ADDRESSES => {
            let count = from.u8()?;
            let addresses: Result<Vec<_>, _> = (0..count).map(|_| from.ip()).collect();
            Input::OwnAddresses(addresses?)
        }
        _ => return Err(Malformed),
    };
    from.end()?;
    Ok(Fact { now, chance, input })
}
