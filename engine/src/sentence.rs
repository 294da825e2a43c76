//! The sentences for administrators: lines of the log, and the reasons in `chimerctl status` and `chimerctl sources`.
//!
//! The pure engine emits typed values. Each list of reasons has one table here, with one row for each reason. A match
//! without a wildcard makes the compiler check that no reason is missing.
//!
//! ```text
//!   notice        events for the log
//!   refusal       refusals of the governor, and what follows them
//!   selection     no source can be followed
//!   key_exchange  a key exchange failed
//!   packet_test   a reply is not used
//!   system        the state of the clock
//!   source        the state of a source
//!   change        what would change it
//!   hand_step     a step that an administrator asked for
//!   fields        events for programs, as fields of the journal
//!   recording     a recording ended early; a replay
//!   violation     the client violated the protocol of its link
//! ```

mod change;
mod fields;
mod hand_step;
mod key_exchange;
mod notice;
mod packet_test;
mod recording;
mod refusal;
mod selection;
mod source;
mod system;
mod violation;

pub use change::{ALWAYS, change};
pub use fields::{EVENT, Field, fields};
pub use hand_step::{hand_step, leave_for, may_be_permitted};
pub use notice::signer;
pub use packet_test::keyed;

use ipc::served_at::{Missing, Service};
use std::borrow::Cow;

/// A sentence, or the part of one that its table describes.
pub type Text = Cow<'static, str>;

/// A value that is explained to administrators in one sentence.
pub trait Sentence {
    /// The sentence, without a full stop. It says what to do, if there is something to do.
    fn sentence(&self) -> Text;
}

/// An interface that `listen` names is missing, or is there again.
pub fn served_interface(name: &str, service: Service, is_there: bool) -> String {
    match is_there {
        true => format!("interface {name} is there: {} on it", service.is_done()),
        false => Missing(name, service).to_string(),
    }
}

/// `no source`, `1 source`, `2 sources`.
pub fn sources(count: usize) -> String {
    match count {
        0 => "no source".to_owned(),
        1 => "1 source".to_owned(),
        more => format!("{more} sources"),
    }
}
