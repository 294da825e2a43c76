//! The chain of nonces (RFC 10049 section 8.2): each request depends on the answer before, so that the answers cannot have come in
//! another order. The first nonce of an anchor depends on where the audit log and the history ended, so that these existed
//! before any of the answers.

use crate::hash::hash;
use crate::request::{Nonce, Rand};
use crate::response::{Fault, Signed, verify};
use crate::version::Version;
use alloc::vec::Vec;
use ipc::anchor::{Anchor, Exchange};

/// The nonce of a round's first request, of what is to be proved to have existed ([`ipc::anchor::commitment`]).
pub fn first_nonce(commitment: &[u8]) -> Nonce {
    hash(&[commitment])
}

/// The nonce of the request after this whole response.
pub fn next_nonce(response: &[u8], rand: &Rand) -> Nonce {
    hash(&[response, rand])
}

/// Of each exchange of a round, in its order, what its server has signed, or exactly why that is not so. An answer that is not
/// valid breaks nothing but itself: the nonce behind depends on its octets all the same.
pub fn verify_chain(first: &Nonce, exchanges: &[Exchange]) -> Vec<Result<Signed, Fault>> {
    let nonces = nonces(first, exchanges);
    let judged = exchanges.iter().zip(nonces).map(|(exchange, nonce)| {
        let version = Version::of(exchange.version).ok_or(Fault::UnknownVersion(exchange.version))?;
        verify(&exchange.response, &nonce, &exchange.public_key, version)
    });
    judged.collect()
}

/// The nonces of a round.
pub(crate) fn nonces<'a>(first: &Nonce, exchanges: &'a [Exchange]) -> impl Iterator<Item = Nonce> + use<'a> {
    let rest = exchanges.iter().zip(exchanges.iter().skip(1));
    let rest = rest.map(|(before, exchange)| next_nonce(&before.response, &exchange.rand));
    core::iter::once(*first).chain(rest).take(exchanges.len())
}

/// The same of an anchor, without a network: what is signed was signed after both ends were there. Whose keys these are the caller
/// knows.
pub fn verify_anchor(anchor: &Anchor) -> Vec<Result<Signed, Fault>> {
    verify_chain(&first_nonce(&anchor.commitment()), &anchor.exchanges)
}
