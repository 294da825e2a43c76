//! Look-ups and key exchanges whose entry was removed. The exchange process is not notified: it ends each of them once,
//! within its own deadline, and until then they occupy its capacity. Their results are discarded.

use alloc::vec::Vec;
use ipc::message::exchange::ExchangeId;

/// Those that are still in progress.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Abandoned(Vec<ExchangeId>);

impl Abandoned {
    /// How many still occupy the exchange process.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The entry of a look-up or key exchange was removed.
    pub(crate) fn add(&mut self, id: ExchangeId) {
        self.0.push(id);
    }

    /// A look-up or key exchange has ended. It may be one of these.
    pub(crate) fn end(&mut self, id: ExchangeId) {
        self.0.retain(|open| *open != id);
    }
}
