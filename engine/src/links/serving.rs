//! What is sent to the server in several records: to whom it answers, and under which keys.

use super::{Breach, Links};
use ipc::list::Bounded;
use ipc::message::server::{Access, MAX_KEYS, MAX_RULES, Rule, SymmetricKeys, ToServer};
use ipc::symmetric_key::SymmetricKey;
use ipc::units::RawInstant;

impl Links {
    /// Sends the access rules, in as many records as needed. Without rules, the one record sent allows no client.
    pub fn send_access(&mut self, now: RawInstant, rules: &[Rule]) -> Result<(), Breach> {
        let parts = rules.chunks(MAX_RULES).map(Some).chain(rules.is_empty().then_some(None));
        let last = rules.len().div_ceil(MAX_RULES).saturating_sub(1);
        for (at, part) in parts.enumerate() {
            let part = part.unwrap_or_default();
            // A chunk fits.
            let rules = Bounded::new(part.iter().copied()).unwrap_or_else(|_| Bounded::none());
            let access = Access { begins: at == 0, ends: at == last, rules };
            self.server.send_surely(now, ToServer::Access(access))?;
        }
        Ok(())
    }

    /// Sends the symmetric keys that clients may use, at most [`MAX_KEY_RING`](ipc::message::server::MAX_KEY_RING).
    pub fn send_symmetric_keys(&mut self, now: RawInstant, keys: &[SymmetricKey]) -> Result<(), Breach> {
        let parts = keys.chunks(MAX_KEYS).map(Some).chain(keys.is_empty().then_some(None));
        let last = keys.len().div_ceil(MAX_KEYS).saturating_sub(1);
        for (at, part) in parts.enumerate() {
            let part = part.unwrap_or_default();
            // A chunk fits.
            let keys = Bounded::new(part.iter().cloned()).unwrap_or_else(|_| Bounded::none());
            let keys = SymmetricKeys { begins: at == 0, ends: at == last, keys };
            self.server.send_surely(now, ToServer::SymmetricKeys(keys))?;
        }
        Ok(())
    }
}
