//! Network Time Security, the client's side that needs no socket: what is remembered of each NTS source, and
//! when keys are exchanged anew (RFC 8915).
//!
//! ```text
//!   schedule      when the next key exchange may begin: back-off, and what ends it
//!   jar           cookies, each used once
//!   session       the keys: a request sealed, a reply verified
//!   association   all three for one `[[source]]`, and its state
//!   quorum        sources whose certificates could not be judged because the clock is wrong: when they are
//!                 believed together, once
//!   failure       why there are no keys
//! ```
//!
//! What happens with them is in `engine/key_exchanges`, `engine/protected` and `engine/deferred`.

mod association;
mod failure;
mod jar;
mod quorum;
mod schedule;
mod session;

pub(crate) use association::{Association, Deferral};
pub use failure::KeyExchangeFailure;
pub(crate) use quorum::{Deferred, Witness, agree};
pub(crate) use session::{Identifier, Session, algorithm};
