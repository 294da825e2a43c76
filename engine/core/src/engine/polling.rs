//! Queries: which sources are queried, and when.

use super::Engine;
use super::key_exchanges::order_save;
use crate::entries::{Authentication, Entry, Group};
use crate::exchanges::Proof;
use crate::io::{Now, Output};
use crate::nonce::Nonces;
use crate::version5::Speech;
use ipc::message::client::Query;
use ipc::packet::{MAX_PACKET, Packet};
use ipc::units::{RawInstant, Span};
use protocol::header::{Header, LENGTH};
use protocol::ntpv5::UPGRADE;
use protocol::ntpv5::client::{self, Wanted};
use protocol::request;

/// A reply that comes later than this after its query is not used, whatever the configured delay.
const LONGEST_WAIT: Span = Span::from_secs(5);

/// The next attempt, if too many queries are in progress.
const CROWDED: Span = Span::from_millis(100);

impl Engine {
    /// Sends the queries of a group that are due, and returns when the next one is due.
    pub(super) fn poll_sources(&mut self, group: Group, now: Now) -> Option<RawInstant> {
        if !self.offline {
            self.read_clocks(group, now);
        }
        let entries = &self.entries;
        for id in self.exchanges.expire(now.raw, group, |source| entries.source(source).is_none()) {
            self.outputs.push_back(Output::Cancel(id));
        }
        if self.offline {
            return None;
        }
        let need = self.need_of(group);
        // Who serves nobody cannot be part of a loop.
        let reference_ids = self.settings.server.is_some();
        let nonces = self.nonces.of(group);
        let mut next: Option<RawInstant> = None;
        for Entry { settings, authentication, members, asked, .. } in
            self.entries.of_mut(group).filter(|it| !it.offline)
        {
            for source in members {
                let is_due = settings.refclock.is_none() && source.poll_process.due() <= now.raw;
                if is_due && group == Group::Deciding {
                    self.outputs.extend(self.exchanges.make_room().map(Output::Cancel));
                }
                if is_due && self.exchanges.is_full() {
                    source.poll_process.next = now.raw.after(CROWDED);
                } else if is_due {
                    let (destination, nonce) = (source.address(), nonces.nonce());
                    let is_plain = matches!(authentication, Authentication::Plain);
                    let speech =
                        if settings.version5 && is_plain { source.version5.ask() } else { Speech::Version4 };
                    let asks = settings.interleaved && speech == Speech::Version4 && source.may_interleave();
                    let interleaved = asks.then(|| source.interleaving.ask(|| nonces.nonce())).flatten();
                    let header = match &interleaved {
                        Some(asked) => request::interleaved(nonce, asked.name(), asked.nonce.get()),
                        None => request::minimal(nonce),
                    };
                    match prepare(authentication, header, nonces, (speech, reference_ids)) {
                        None => source.poll_process.skip(now.raw, self.exchanges.is_asking(source.id)),
                        Some((packet, proof)) => {
                            source.transmit(now.raw, need, nonces);
                            source.interleaving.left(interleaved.is_some());
                            asked.get_or_insert(now.raw);
                            let deadline = now.raw.after(patience(settings.max_delay));
                            let protected = proof.is_some();
                            if matches!(proof, Some(Proof::Nts(_))) {
                                // The cookie must be removed from the file before it is sent.
                                order_save(&mut self.outputs);
                            }
                            let id = self.exchanges.begin(
                                (source.id, group),
                                (nonce, speech, interleaved),
                                destination,
                                now.raw,
                                deadline,
                                proof,
                            );
                            let departure = settings.departure;
                            let query = Query { id, destination, deadline, protected, departure, packet };
                            self.outputs.push_back(Output::Query(query));
                        }
                    }
                }
                next = next.into_iter().chain([source.poll_process.due()]).min();
            }
        }
        let after = self.need_of(group);
        if after != need {
            // The last one that answered has become silent: those that were before it need not wait any longer.
            self.entries.sources_mut().for_each(|source| source.hasten(now.raw, after));
            let asked = self.entries.members().filter(|(entry, _)| !entry.offline);
            next = asked.map(|(_, source)| source.poll_process.due()).min();
        }
        next
    }
}

/// The packet of a query. For an authenticated source it is protected, or there is none.
fn prepare(
    authentication: &mut Authentication,
    header: Header,
    nonces: &mut Nonces,
    (speech, reference_ids): (Speech, bool),
) -> Option<(Packet, Option<Proof>)> {
    match authentication {
        Authentication::Nts(association) => {
            let request = association.request(header, nonces);
            if request.is_none() {
                association.count_cookies();
            }
            request.map(|(packet, identifier)| (packet, Some(Proof::Nts(identifier))))
        }
        Authentication::Key(association) => Some((association.request(header)?, Some(Proof::Key))),
        Authentication::Plain => Some((plain(header, speech, reference_ids)?, None)),
    }
}

/// The packet of a query without authentication. `reference_ids`: in version 5 all servers that the time comes from are asked for.
fn plain(header: Header, speech: Speech, reference_ids: bool) -> Option<Packet> {
    let mut octets = [0; MAX_PACKET];
    let length = match speech {
        Speech::Version5 => client::put_request(
            &mut octets,
            header.transmit_timestamp,
            Wanted { reference_ids, correction: true },
        )?,
        Speech::Version4 | Speech::Offer => {
            let sign = if speech == Speech::Offer { UPGRADE } else { 0 };
            let header = Header { reference_timestamp: sign, ..header };
            *octets.first_chunk_mut()? = header.encode();
            LENGTH
        }
    };
    Packet::from_octets(octets.get(..length)?).ok()
}

fn patience(max_delay: Span) -> Span {
    Span::saturating(max_delay.nanos().saturating_add(500_000_000)).clamp(Span::from_secs(1), LONGEST_WAIT)
}
