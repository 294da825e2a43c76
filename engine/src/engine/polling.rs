//! Asking the sources.

use super::Engine;
use crate::io::{Now, Output};
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
            if source.next > now.raw {
                continue;
            }
            if self.exchanges.is_full() {
                source.next = now.raw.after(CROWDED);
                continue;
            }
            let nonce = self.nonces.nonce();
            let Ok(packet) = Packet::from_octets(&request::minimal(nonce).encode()) else { continue };
            source.transmit(now.raw, &mut self.nonces);
            let entry = source.entry;
            let (key, destination) = (source.key, source.address);
            let wait = self.settings.sources.get(entry).map_or(LONGEST_WAIT, |s| patience(s.max_delay));
            let deadline = now.raw.after(wait);
            let id = self.exchanges.begin(key, nonce, destination, now.raw, deadline);
            self.outputs.push_back(Output::Query(Query { id, destination, deadline, packet, protected: false }));
            if self.sources[index].is_dead()
                && let Some(lookup) = self.lookups.get_mut(entry).and_then(Option::as_mut)
            {
                lookup.hurry(now.raw);
            }
        }
    }

    pub(super) fn next_poll(&self) -> Option<RawInstant> {
        if self.offline {
            return None;
        }
        self.sources.iter().map(|source| source.next).min()
    }
}

fn patience(max_delay: Span) -> Span {
    Span::saturating(max_delay.nanos().saturating_add(500_000_000)).clamp(Span::from_secs(1), LONGEST_WAIT)
}
