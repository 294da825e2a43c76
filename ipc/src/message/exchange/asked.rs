//! A request, and the one judge of the messages about it: the exchange process judges its child by it, and the engine
//! judges the exchange process.

use super::{
    AeadOffer, Exchange, ExchangeId, Exchanged, FromExchange, KeyServer, MAX_COOKIES, Resolve, Resolved,
    ToExchange,
};
use crate::secret::Aead;

/// The rule that an answer violates, as the predicate of a sentence whose subject is the process.
pub type Violation = &'static str;

/// A look-up or a key exchange that hasn't ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    task: Task,
    /// How many came so far.
    cookies: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Resolve(Resolve),
    Exchange(Exchange),
}

/// What a lawful record means for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A cookie, with more to come.
    Cookie,
    /// The end.
    Ended,
}

impl Asked {
    /// `None` if there is nothing to end.
    pub const fn of(asked: &ToExchange) -> Option<Self> {
        let task = match asked {
            ToExchange::Resolve(resolve) => Task::Resolve(*resolve),
            ToExchange::Exchange(exchange) => Task::Exchange(*exchange),
            ToExchange::Ping => return None,
        };
        Some(Self { task, cookies: 0 })
    }

    /// Its name.
    pub const fn id(&self) -> ExchangeId {
        match self.task {
            Task::Resolve(resolve) => resolve.id,
            Task::Exchange(exchange) => exchange.id,
        }
    }

    /// Whether it is a key exchange.
    pub const fn is_exchange(&self) -> bool {
        matches!(self.task, Task::Exchange(_))
    }

    /// Judges a record that is about this, and counts cookies. After an end nothing more may be said of it.
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
                if self.cookies >= MAX_COOKIES {
                    return Err("sent more than 8 cookies of one key exchange");
                }
                self.cookies += 1;
                return Ok(Progress::Cookie);
            }
            (Task::Exchange(asked), FromExchange::Exchanged(ended)) => {
                if ended.cookies == 0 || ended.cookies != self.cookies {
                    return Err("sent another number of cookies than it says");
                }
                judge_keys(&asked, ended)?;
            }
            (Task::Resolve(_), FromExchange::Failed(_))
            | (Task::Exchange(_), FromExchange::ExchangeFailed(_)) => {}
            (Task::Resolve(_), _) => return Err("answered a look-up as if it were a key exchange"),
            (Task::Exchange(_), _) => return Err("answered a key exchange as if it were a look-up"),
        }
        Ok(Progress::Ended)
    }
}

impl FromExchange {
    /// Which look-up or key exchange it is about.
    pub const fn id(&self) -> Option<ExchangeId> {
        match self {
            Self::Resolved(said) => Some(said.id),
            Self::Failed(said) => Some(said.id),
            Self::Cookie(said) => Some(said.id),
            Self::Exchanged(said) => Some(said.id),
            Self::ExchangeFailed(said) => Some(said.id),
            Self::Hello(_) | Self::Pong => None,
        }
    }
}

/// All have one port.
fn judge_addresses(asked: &Resolve, resolved: &Resolved) -> Result<(), Violation> {
    match resolved.addresses.first().is_some_and(|first| first.port() == asked.port) {
        true => Ok(()),
        false => Err("sent an address with another port than was asked for"),
    }
}

fn judge_keys(asked: &Exchange, ended: &Exchanged) -> Result<(), Violation> {
    let is_offered = match asked.offer {
        AeadOffer::GcmSivFirst => true,
        AeadOffer::SivOnly => ended.keys.algorithm() == Aead::AesSivCmac256,
    };
    if !is_offered {
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
    let KeyServer::Address(server) = asked.server else { return true };
    match ended.redirected {
        false => ended.addresses.iter().all(|one| one.ip() == server.ip()),
        true => server.ip().is_loopback() || ended.addresses.iter().all(|one| !one.ip().is_loopback()),
    }
}

#[cfg(test)]
mod tests;
