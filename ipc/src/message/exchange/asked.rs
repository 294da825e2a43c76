//! A request, and the one judge of the messages about it: the exchange process judges its child by it, and the engine
//! judges the exchange process.

use super::{
    Exchange, ExchangeId, Exchanged, FromExchange, Heard, KeyServer, MAX_COOKIES, Measure, Measured, PASSES,
    Resolve, Resolved, Signed, ToExchange,
};
use crate::units::RawInstant;

/// The rule that an answer violates, as the predicate of a sentence whose subject is the process.
pub type Violation = &'static str;

/// A look-up, a key exchange or a round that hasn't ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    task: Task,
    /// How many cookies or answers came so far.
    parts: u8,
    /// Of a round.
    last: Option<Last>,
}

#[allow(clippy::large_enum_variant, reason = "eight of them are open at most")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Resolve(Resolve),
    Exchange(Exchange),
    Measure(Measure),
}

/// The last answer of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    server: u8,
    received: RawInstant,
    /// How often the order of the servers began anew before it.
    passes: u8,
    /// A bit for each server that has answered.
    answered: u8,
}

/// What a lawful record means for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A cookie or an answer of a round, with more to come.
    Part,
    /// The end.
    Ended,
}

impl Asked {
    /// `None` if there is nothing to end.
    pub const fn of(asked: &ToExchange) -> Option<Self> {
        let task = match asked {
            ToExchange::Resolve(resolve) => Task::Resolve(*resolve),
            ToExchange::Exchange(exchange) => Task::Exchange(*exchange),
            ToExchange::Measure(measure) => Task::Measure(*measure),
            ToExchange::Ping => return None,
        };
        Some(Self { task, parts: 0, last: None })
    }

    /// Its name.
    pub const fn id(&self) -> ExchangeId {
        match self.task {
            Task::Resolve(resolve) => resolve.id,
            Task::Exchange(exchange) => exchange.id,
            Task::Measure(measure) => measure.id,
        }
    }

    /// Whether it is a key exchange.
    pub const fn is_exchange(&self) -> bool {
        matches!(self.task, Task::Exchange(_))
    }

    /// Judges a record that is about this, and counts parts. After an end nothing more may be said of it.
    ///
    /// # Errors
    /// [`Violation`]: no honest role says this.
    pub fn judge(&mut self, said: &FromExchange) -> Result<Progress, Violation> {
        if said.id() != Some(self.id()) {
            return Err("answered something else than was asked");
        }
        match (self.task, said) {
            (Task::Resolve(asked), FromExchange::Resolved(resolved)) => judge_addresses(&asked, resolved)?,
            (Task::Exchange(_), FromExchange::Cookie(_)) => {
                if self.parts >= MAX_COOKIES {
                    return Err("sent more than 8 cookies of one key exchange");
                }
                self.parts += 1;
                return Ok(Progress::Part);
            }
            (Task::Exchange(asked), FromExchange::Exchanged(ended)) => {
                if ended.cookies == 0 || ended.cookies != self.parts {
                    return Err("sent another number of cookies than it says");
                }
                judge_keys(&asked, ended)?;
            }
            (Task::Measure(asked), FromExchange::Signed(signed)) => {
                self.last = Some(judge_answer(&asked, self.last, signed)?);
                // There are no more of them than passes through the servers.
                self.parts = self.parts.saturating_add(1);
                return Ok(Progress::Part);
            }
            (Task::Measure(asked), FromExchange::Measured(ended)) => {
                judge_round(&asked, self.parts, self.last, ended)?;
            }
            (Task::Resolve(_), FromExchange::Failed(_))
            | (Task::Exchange(_), FromExchange::ExchangeFailed(_))
            | (Task::Measure(_), FromExchange::MeasureFailed(_)) => {}
            (Task::Resolve(_), _) => return Err("answered a look-up as if it were something else"),
            (Task::Exchange(_), _) => return Err("answered a key exchange as if it were something else"),
            (Task::Measure(_), _) => {
                return Err("answered a round of Roughtime as if it were something else");
            }
        }
        Ok(Progress::Ended)
    }
}

impl FromExchange {
    /// Which look-up, key exchange or round it is about.
    pub const fn id(&self) -> Option<ExchangeId> {
        match self {
            Self::Resolved(said) => Some(said.id),
            Self::Failed(said) => Some(said.id),
            Self::Cookie(said) => Some(said.id),
            Self::Exchanged(said) => Some(said.id),
            Self::ExchangeFailed(said) => Some(said.id),
            Self::Signed(said) => Some(said.id),
            Self::Measured(said) => Some(said.id),
            Self::MeasureFailed(said) => Some(said.id),
            Self::Hello(_) | Self::Pong => None,
        }
    }
}

/// The servers answer in their order, twice at most, and one after the other.
fn judge_answer(asked: &Measure, last: Option<Last>, said: &Signed) -> Result<Last, Violation> {
    if usize::from(said.server) >= asked.servers.len() {
        return Err("sent an answer of a server that was not to be asked");
    }
    let begins_anew = last.is_some_and(|last| said.server <= last.server);
    let passes = last.map_or(0, |last| last.passes).saturating_add(u8::from(begins_anew));
    if passes >= PASSES {
        return Err("sent answers of a round in another order than it was to ask in");
    }
    if said.received < said.sent || last.is_some_and(|last| said.sent < last.received) {
        return Err("sent answers of a round whose times overlap");
    }
    if last.is_none() && said.rand != [0; 32] {
        return Err("sent a first answer with random octets of a chain");
    }
    let answered = last.map_or(0, |last| last.answered) | 1 << said.server;
    Ok(Last { server: said.server, received: said.received, passes, answered })
}

fn judge_round(asked: &Measure, parts: u8, last: Option<Last>, ended: &Measured) -> Result<(), Violation> {
    if ended.answers != parts || ended.heard.len() != asked.servers.len() {
        return Err("sent another number of answers than it says");
    }
    let answered = last.map_or(0, |last| last.answered);
    let agrees = |(at, heard): (usize, &Heard)| (answered >> at & 1 == 1) == (*heard == Heard::Answer);
    match ended.heard.iter().enumerate().all(agrees) {
        true => Ok(()),
        false => Err("says of a server of a round that it answered, or did not, against its answers"),
    }
}

/// All have one port.
fn judge_addresses(asked: &Resolve, resolved: &Resolved) -> Result<(), Violation> {
    if !resolved.addresses.iter().all(|address| asked.families.admits(address.ip())) {
        return Err("sent an address of a family that was not asked for");
    }
    match resolved.addresses.first().is_some_and(|first| first.port() == asked.port) {
        true => Ok(()),
        false => Err("sent an address with another port than was asked for"),
    }
}

fn judge_keys(asked: &Exchange, ended: &Exchanged) -> Result<(), Violation> {
    if !asked.offer.contains(ended.keys.algorithm()) {
        return Err("chose an algorithm that was not offered");
    }
    let is_valid = match asked.not_before {
        None if ended.deferred => return Err("put off the question of validity without leave"),
        Some(floor) if ended.deferred => floor <= ended.validity.until(),
        _ => ended.validity.holds_at(asked.now),
    };
    if !is_valid {
        return Err("took certificates that are not valid at the time that was asked for");
    }
    if !is_where_it_may_be(asked, ended) {
        return Err("named a server that this key exchange can't lead to");
    }
    Ok(())
}

/// Without another server's name it is the one address of the server itself. Where that was configured as an
/// address, only one on this host leads to this host; names are the engine's business.
fn is_where_it_may_be(asked: &Exchange, ended: &Exchanged) -> bool {
    if !ended.redirected && ended.addresses.len() != 1 {
        return false;
    }
    if !ended.addresses.iter().all(|address| asked.families.admits(address.ip())) {
        return false;
    }
    let KeyServer::Address(server) = asked.server else { return true };
    match ended.redirected {
        false => ended.addresses.iter().all(|one| one.ip() == server.ip()),
        true => server.ip().is_loopback() || ended.addresses.iter().all(|one| !one.ip().is_loopback()),
    }
}

#[cfg(test)]
mod tests;
