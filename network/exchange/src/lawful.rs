//! What a child may say: only about what it was started for, in the form that this has. The parent asks, for
//! a child has read what strangers wrote and may be theirs.

use super::key_exchange::offer;
use ipc::address::Address;
use ipc::message::exchange::{
    Cookie, Exchange, ExchangeFailed, ExchangeFailure, Exchanged, Failed, FromExchange, KeyServer,
    LookupFailure, MAX_ADDRESSES, MAX_COOKIES, Resolve, Resolved, ToExchange,
};
use ipc::secret::{Aead, KeyPair, Secret};
use protocol::nts::aead::Algorithm;

/// What a record of a child is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// A cookie, with more to come.
    Cookie(Cookie),
    /// The end.
    End(FromExchange),
    /// Nothing that it may say.
    Unlawful,
}

/// Judges a record of the child that works on `task` and gave `cookies` so far.
pub(super) fn judge(task: &ToExchange, cookies: usize, said: FromExchange) -> Judged {
    let is_lawful = match (task, &said) {
        (ToExchange::Resolve(task), FromExchange::Resolved(resolved)) => is_answer(task, resolved),
        (ToExchange::Resolve(task), FromExchange::Failed(Failed { id, reason })) => {
            *id == task.id && is_a_childs(*reason)
        }
        (ToExchange::Exchange(task), FromExchange::Cookie(cookie)) => {
            if cookie.id == task.id && cookies < usize::from(MAX_COOKIES) {
                return Judged::Cookie(*cookie);
            }
            false
        }
        (ToExchange::Exchange(task), FromExchange::Exchanged(exchanged)) => {
            usize::from(exchanged.cookies) == cookies && cookies > 0 && is_outcome(task, exchanged)
        }
        (ToExchange::Exchange(task), FromExchange::ExchangeFailed(ExchangeFailed { id, reason })) => {
            *id == task.id && is_of_an_exchange(*reason)
        }
        _ => false,
    };
    if is_lawful { Judged::End(said) } else { Judged::Unlawful }
}

/// Whether a child can find this reason: the others are what its parent says of it.
const fn is_a_childs(reason: LookupFailure) -> bool {
    match reason {
        LookupFailure::NoSuchName
        | LookupFailure::NoAddress
        | LookupFailure::TryAgain
        | LookupFailure::NoResolver
        | LookupFailure::Refused => true,
        LookupFailure::NotStarted | LookupFailure::Deadline | LookupFailure::Broken => false,
    }
}

/// The same for the child of an exchange.
const fn is_of_an_exchange(reason: ExchangeFailure) -> bool {
    match reason {
        ExchangeFailure::Lookup(reason) => is_a_childs(reason),
        ExchangeFailure::NotStarted | ExchangeFailure::Deadline | ExchangeFailure::Broken => false,
        _ => true,
    }
}

fn is_answer(task: &Resolve, resolved: &Resolved) -> bool {
    let used = used(resolved.count, &resolved.addresses);
    resolved.id == task.id
        && used.is_some_and(|used| used.iter().all(|one| one.port() == task.port && one.is_unicast()))
}

fn is_outcome(task: &Exchange, exchanged: &Exchanged) -> bool {
    let Some(used) = used(exchanged.count, &exchanged.addresses) else { return false };
    let port = used.first().map_or(0, Address::port);
    let algorithm = match exchanged.algorithm {
        Aead::AesSivCmac256 => Algorithm::AesSivCmac256,
        Aead::Aes128GcmSiv => Algorithm::Aes128GcmSiv,
    };
    let pairs = [Some(&exchanged.keys), exchanged.alternate.as_ref()];
    exchanged.id == task.id
        && used.iter().all(|one| one.port() == port && one.is_unicast())
        && is_where_it_may_be(task, exchanged, used)
        && offer(task.offer).contains(algorithm)
        && (exchanged.alternate.is_none() || algorithm == Algorithm::Aes128GcmSiv)
        && pairs.into_iter().flatten().all(|pair| has_length(pair, algorithm.key_length()))
        && exchanged.valid_from <= exchanged.valid_until
        && match task.not_before {
            Some(floor) if exchanged.deferred => floor <= exchanged.valid_until,
            None if exchanged.deferred => false,
            _ => exchanged.valid_from <= task.now && task.now <= exchanged.valid_until,
        }
}

/// The addresses that count, where they are 1 to 16 and the others are none.
fn used(count: u8, addresses: &[Address; MAX_ADDRESSES]) -> Option<&[Address]> {
    let (used, unused) = addresses.split_at_checked(usize::from(count))?;
    (!used.is_empty() && unused.iter().all(|one| *one == Address::NONE)).then_some(used)
}

/// Without another server's name it is the one address of the server itself. Where that was configured as an
/// address, only one on this host leads to this host; names are the engine's business.
fn is_where_it_may_be(task: &Exchange, exchanged: &Exchanged, used: &[Address]) -> bool {
    if !exchanged.redirected && used.len() != 1 {
        return false;
    }
    let KeyServer::Address(server) = task.server else { return true };
    match exchanged.redirected {
        false => used.iter().all(|one| one.ip() == server.ip()),
        true => server.ip().is_loopback() || used.iter().all(|one| !one.ip().is_loopback()),
    }
}

/// Whether both keys have no octets beyond this length.
fn has_length(pair: &KeyPair, length: usize) -> bool {
    let ends = |secret: &Secret| secret.octets().iter().skip(length).all(|octet| *octet == 0);
    ends(&pair.client_to_server) && ends(&pair.server_to_client)
}

#[cfg(test)]
mod tests;
