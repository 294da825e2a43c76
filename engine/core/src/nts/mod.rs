//! Network Time Security (RFC 8915), the client side without sockets: the association with each NTS source, and the
//! schedule of key exchanges.
//!
//! ```text
//!   schedule      when the next key exchange may begin: back-off, and what ends it
//!   jar           cookies, each used once
//!   session       the keys: protects a request, verifies a reply
//!   association   all three for one `[[source]]`, and its state
//!   quorum        sources whose certificates cannot be judged because the clock is wrong: when their common time is
//!                 accepted, once
//!   operator      whether certificates of two sources show one operator
//!   failure       why there are no keys
//! ```
//!
//! They are used in `engine/key_exchanges`, `engine/protected` and `engine/deferred`.

mod association;
mod failure;
mod jar;
mod operator;
mod quorum;
mod schedule;
mod session;

pub(crate) use association::{Association, Deferral};
pub use failure::KeyExchangeFailure;
pub use operator::Kinship;
pub(crate) use operator::kinship;
pub(crate) use quorum::{Deferred, Needed, Witness, agree, of_one_name};
pub(crate) use session::{Identifier, Session};
