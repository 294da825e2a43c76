//! Replies in the draft of NTP version 5, and the reference ids that this host serves.

use super::Engine;
use super::answers::Beyond;
use crate::io::{Now, Output};
use crate::nonce::own_reference_id;
use crate::sanity::unix_nanos;
use crate::version5::{objection, translate, union};
use alloc::vec::Vec;
use ipc::message::client::Version5Reply;
use ipc::packet::FilterOctets;
use ipc::process::Process;
use protocol::ntpv5::{Filter, Flags, ReferenceId};

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
        let own = self.settings.server.is_some().then_some(self.loops.own);
        let Some((_, _, source)) = self.entries.source_mut(exchange.source) else { return };
        source.counters.add_rejected(&reply.rejected);
        let filter = reply.filter.as_ref().map(|filter| Filter::from_octets(*filter.array()));
        source.version5.heard_version5(filter);
        let header = translate(&reply.header, source.poll_process.poll.exponent());
        if Flags::from_bits(reply.header.flags).is_synchronised() && header.stratum > 0 {
            source.poll_process.poll.at_least(header.poll);
        }
        let received = unix_nanos(header.receive_timestamp, floor);
        let beyond = Beyond {
            objection: objection(&reply.header, filter.as_ref(), received, own.as_ref()),
            held_up: reply.held_up,
        };
        self.learn_from(now, (&exchange, reply.stamp), readings, &header, Some(beyond));
    }

    /// Tells the server the reference ids of all servers that the time comes from, where they have changed.
    pub(super) fn publish_reference_ids(&mut self) {
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
