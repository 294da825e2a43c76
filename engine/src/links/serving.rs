//! What is sent to the server in several records, to whom it answers and under which keys; and what comes from it.

use super::{Breach, Fact, Links, Process, listen};
use ipc::list::{Bounded, Empty};
use ipc::message::server::{Access, FromServer, Rule, SymmetricKeys, ToServer};
use ipc::packet::FilterOctets;
use ipc::served_at::Service;
use ipc::symmetric_key::SymmetricKey;
use ipc::units::RawInstant;

impl Links {
    /// Sends the access rules, in as many records as needed. Without rules, the one record sent allows no client.
    pub fn send_access(&mut self, now: RawInstant, rules: &[Rule]) -> Result<(), Breach> {
        for (begins, ends, rules) in parts(rules) {
            let access = Access { begins, ends, rules };
            self.server.send_surely(now, ToServer::Access(access))?;
        }
        Ok(())
    }

    /// Sends the reference ids of version 5; what still waits is replaced.
    pub fn send_reference_ids(&mut self, now: RawInstant, filter: FilterOctets) -> Result<(), Breach> {
        self.server.replace_waiting(|waiting| matches!(waiting, ToServer::ReferenceIds(_)));
        self.server.send_surely(now, ToServer::ReferenceIds(filter))
    }

    /// Sends the symmetric keys that clients may use, at most [`MAX_KEY_RING`](ipc::message::server::MAX_KEY_RING).
    pub fn send_symmetric_keys(&mut self, now: RawInstant, keys: &[SymmetricKey]) -> Result<(), Breach> {
        for (begins, ends, keys) in parts(keys) {
            let keys = SymmetricKeys { begins, ends, keys };
            self.server.send_surely(now, ToServer::SymmetricKeys(keys))?;
        }
        Ok(())
    }

    /// One record of the server, checked.
    pub(super) fn receive_server(&mut self, now: RawInstant) -> Result<Option<Fact>, Breach> {
        let Some(message) = self.server.receive_greeted()? else { return Ok(None) };
        Ok(Some(match message {
            FromServer::Hello(shortfall) => Fact::Hello(Process::Server, shortfall),
            FromServer::Pong => Fact::Alive(Process::Server),
            FromServer::Counters(counters) => {
                self.counting.take(now, counters.list())?;
                Fact::Counters(counters)
            }
            FromServer::Interface(said) => {
                let listen = listen(self.plan.as_ref(), Service::Time);
                let name = self.interfaces.take(now, listen, said)?;
                Fact::Interface(Service::Time, name, said.is_there)
            }
            FromServer::Clients(part) => Fact::Clients(self.take_clients(&part)?),
        }))
    }
}

/// A list in parts, one at least, each with whether it is the first and whether it is the last one.
fn parts<T: Empty + Clone, const N: usize>(list: &[T]) -> impl Iterator<Item = (bool, bool, Bounded<T, N>)> {
    let last = list.len().div_ceil(N).saturating_sub(1);
    let parts = list.chunks(N).map(Some).chain(list.is_empty().then_some(None));
    parts.enumerate().map(move |(at, part)| {
        // A chunk fits.
        let part = Bounded::new(part.unwrap_or_default().iter().cloned()).unwrap_or_else(|_| Bounded::none());
        (at == 0, at == last, part)
    })
}
