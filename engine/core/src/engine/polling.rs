//! Asking the sources.

use super::Engine;
use crate::io::{Now, Output};
use crate::nts::Identifier;
use crate::source::Source;
use alloc::vec::Vec;
use ipc::message::client::Query;
use ipc::packet::Packet;
use ipc::units::{RawInstant, Span};
use protocol::request;

/// A reply later than this after its query is of no use, whatever the configured delay.
const LONGEST_WAIT: Span = Span::from_secs(5);

/// Where too many queries are under way, the next try.
const CROWDED: Span = Span::from_millis(100);

impl Engine {
    /// Sends the queries that are due.
    pub(super) fn poll_sources(&mut self, now: Now) {
        let known: Vec<u32> = self.sources.iter().map(|source| source.key).collect();
        for id in self.exchanges.expire(now.raw, |key| !known.contains(&key)) {
            self.outputs.push_back(Output::Cancel(id));
        }
        if self.offline {
            return;
        }
        for index in 0..self.sources.len() {
            let source = &mut self.sources[index];
            if source.due() > now.raw {
                continue;
            }
            if self.exchanges.is_full() {
                source.next = now.raw.after(CROWDED);
                continue;
            }
            let (entry, key, destination) = (source.entry, source.key, source.address);
            let nonce = self.nonces.nonce();
            let Some((packet, identifier)) = self.prepare(entry, nonce) else {
                let is_asking = self.exchanges.is_asking(key);
                self.sources[index].skip(now.raw, is_asking);
                continue;
            };
            self.sources[index].transmit(now.raw, &mut self.nonces);
            let wait = self.settings.sources.get(entry).map_or(LONGEST_WAIT, |s| patience(s.max_delay));
            let deadline = now.raw.after(wait);
            let id = self.exchanges.begin(key, nonce, destination, now.raw, deadline, identifier);
            let protected = identifier.is_some();
            if protected {
                // The cookie must be gone from the file before anybody can see it.
                self.save_associations();
            }
            self.outputs.push_back(Output::Query(Query { id, destination, deadline, protected, packet }));
            if self.sources[index].is_dead()
                && let Some(lookup) = self.lookups.get_mut(entry).and_then(Option::as_mut)
            {
                lookup.hurry(now.raw);
            }
        }
    }

    /// The packet of a query: to an NTS source it is protected, or there is none.
    fn prepare(&mut self, entry: usize, nonce: u64) -> Option<(Packet, Option<Identifier>)> {
        if self.settings.sources.get(entry).is_some_and(|settings| settings.nts.is_some()) {
            let association = self.associations.get_mut(entry)?.as_mut()?;
            let request = association.request(nonce, &mut self.nonces);
            if request.is_none() {
                association.count_cookies();
            }
            return request.map(|(packet, identifier)| (packet, Some(identifier)));
        }
        let packet = Packet::from_octets(&request::minimal(nonce).encode()).ok()?;
        Some((packet, None))
    }

    pub(super) fn next_poll(&self) -> Option<RawInstant> {
        if self.offline {
            return None;
        }
        self.sources.iter().map(Source::due).min()
    }
}

fn patience(max_delay: Span) -> Span {
    Span::saturating(max_delay.nanos().saturating_add(500_000_000)).clamp(Span::from_secs(1), LONGEST_WAIT)
}
