//! Look-ups and key exchanges whose entry is gone. The exchange process isn't told: it ends each of them once, within its
//! own deadline, and has no room for others until then. What it says of them is of use to nobody.

use alloc::vec::Vec;
use ipc::message::exchange::ExchangeId;

/// Those that have not ended yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Abandoned(Vec<ExchangeId>);

impl Abandoned {
    /// How many still take up room of the exchange process.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The entry of a look-up or key exchange is gone.
    pub(crate) fn add(&mut self, id: ExchangeId) {
        self.0.push(id);
    }

    /// A look-up or key exchange has ended, perhaps one of these.
    pub(crate) fn end(&mut self, id: ExchangeId) {
        self.0.retain(|open| *open != id);
    }
}
