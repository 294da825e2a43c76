//! Replies in the draft of NTP version 5, and the reference ids that this host serves.

use super::Engine;
use super::answers::Beyond;
use crate::io::{Now, Output};
use crate::nonce::own_reference_id;
use crate::sanity::unix_nanos;
use crate::version5::{Use, objection, translate, union};
use alloc::vec::Vec;
use ipc::message::client::Version5Reply;
use ipc::packet::FilterOctets;
use ipc::process::Process;
use protocol::ntpv5::{Filter, ReferenceId};
use report::RejectReason;

/// What is known for the detection of loops.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Loops {
    /// Our own reference id, another one in each run.
    own: ReferenceId,
    /// What the server was told last.
    told: Option<Filter>,
}

impl Loops {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { own: own_reference_id(seed), told: None }
    }
}

impl Engine {
    pub(super) fn version5_reply(&mut self, now: Now, reply: &Version5Reply) {
        let exchange = match self.exchanges.end(reply.id) {
            Ok(Some(exchange)) => exchange,
            Ok(None) => return,
            Err(breach) => return self.distrust(Process::Client, breach),
        };
        if let Err(breach) = exchange.judged(true) {
            return self.distrust(Process::Client, breach);
        }
        let readings = match exchange.readings(reply.source, reply.t4, reply.stamp, now) {
            Ok(readings) => readings,
            Err(breach) => return self.distrust(Process::Client, breach),
        };
        let floor = self.basis.as_ref().map_or(0, |basis| basis.welcome.floor.nanos());
        let own = self.serves_version5().then_some(self.loops.own);
        let addresses: &[_] = if self.settings.server.is_some() { &self.own } else { &[] };
        let Some((_, _, source)) = self.entries.source_mut(exchange.source) else { return };
        source.counters.add_rejected(&reply.rejected);
        let filter = reply.filter.as_ref().map(|filter| Filter::from_octets(*filter.array()));
        let upstream = source.version5.upstream(reply.header.stratum);
        let header = translate(&reply.header, source.poll_process.poll.exponent(), upstream);
        let received = unix_nanos(header.receive_timestamp, floor);
        let objection = match header.stratum {
            0 => None,
            _ => objection(&reply.header, filter.as_ref(), received, own.as_ref(), addresses),
        };
        let beyond = Beyond { objection, held_up: reply.held_up };
        let before = source.counters.valid;
        self.learn_from(now, (&exchange, reply.stamp), readings, &header, Some(beyond));
        let Some((_, _, source)) = self.entries.source_mut(exchange.source) else { return };
        let is_valid = source.counters.valid != before;
        let good_for = match (objection, source.unused) {
            (Some(_), _) | (None, Some(RejectReason::Loop)) => Use::Objected,
            (None, Some(_)) => Use::None,
            (None, None) if is_valid => Use::Measured,
            // It was discarded.
            (None, None) if header.stratum > 0 => Use::Objected,
            (None, None) => Use::None,
        };
        if good_for == Use::Measured {
            source.poll_process.poll.at_least(header.poll);
        }
        source.version5.heard_version5(filter, good_for, header.stratum);
    }

    /// Whether our clients may ask in version 5.
    pub(super) fn serves_version5(&self) -> bool {
        self.settings.server.as_ref().is_some_and(|server| server.version5)
    }

    /// Tells the server the reference ids of all servers that the time comes from, where they have changed.
    pub(super) fn publish_reference_ids(&mut self) {
        if !self.serves_version5() {
            self.loops.told = None;
            return;
        }
        let survivors = self.entries.sources().filter(|source| source.track.survives());
        let of_each: Vec<Filter> = survivors
            .map(|source| {
                source.version5.filter.unwrap_or_else(|| {
                    let mut filter = Filter::EMPTY;
                    filter.add(&ReferenceId::of_address(source.address().ip()));
                    filter
                })
            })
            .collect();
        let all = union(&self.loops.own, of_each);
        if self.loops.told != Some(all) {
            self.loops.told = Some(all);
            self.outputs.push_back(Output::ServeReferenceIds(FilterOctets::from(all.octets())));
        }
    }
}
