//! The crate from outside: answers of our double and of a real server, all that can be wrong with one, chains, verdicts.

mod answers;
mod chains;
#[cfg(feature = "json")]
mod documents;
mod verdicts;

use crate::double::{Answer, Server};
use crate::{Signed, Version};

const NONCE: [u8; 32] = [9; 32];
const NOW: Signed = Signed { midpoint: 1_800_000_000, radius: 3 };

/// A server, and its answer to a request of [`NONCE`], after it was changed so.
fn answered(change: impl FnOnce(&mut Answer)) -> (Server, std::vec::Vec<u8>) {
    let server = Server::new(1);
    let mut answer = Answer::of(NOW, Version::One);
    change(&mut answer);
    let packet = server.answer(&NONCE, &answer);
    (server, packet)
}
