//! Packets that may be the reply to a protected query.
//!
//! The client, which passed the packet on, is trusted only for the times of departure and arrival, and for these only
//! within the engine's own readings. The first packet with a valid tag is the reply. Packets before it are ignored, and an
//! unauthenticated packet has no effect except that it is counted. That holds of NTS and of symmetric keys alike.

use super::{Engine, key_exchanges};
use crate::entries::Authentication;
use crate::exchanges::{Exchange, Proof, Readings};
use crate::io::{Now, Output};
use crate::notice::{EntryNotice, Notice, SourceNotice};
use crate::nts::{Association, Identifier};
use crate::sanity::unix_nanos;
use crate::source_id::SourceId;
use ipc::message::client::{ProtectedReply, ReplyHeader};
use ipc::packet::MAX_PACKET;
use ipc::process::Process;
use protocol::header::Header;
use protocol::mac::MacError;
use protocol::nts::client::{Reply, ReplyError};
use report::RejectReason;

impl Engine {
    pub(super) fn protected_reply(&mut self, now: Now, reply: &ProtectedReply) {
        let (exchange, proof) = match self.exchanges.candidate(reply.id) {
            Ok(Some(found)) => found,
            Ok(None) => return,
            Err(breach) => return self.distrust(Process::Client, breach),
        };
        let readings = match exchange.readings(reply.source, reply.t4, reply.stamp, now) {
            Ok(readings) => readings,
            Err(breach) => return self.distrust(Process::Client, breach),
        };
        match proof {
            Proof::Nts(identifier) => self.nts_reply(now, reply, &exchange, readings, &identifier),
            Proof::Key => self.keyed_reply(now, reply, &exchange, readings),
        }
    }

    fn keyed_reply(&mut self, now: Now, reply: &ProtectedReply, exchange: &Exchange, readings: Readings) {
        let Some((settings, Authentication::Key(association), source)) =
            self.entries.source_mut(exchange.source)
        else {
            return;
        };
        match association.verify(reply.packet.octets(), origin_awaited(exchange, reply)) {
            Err(error) => {
                source.counters.reject(reason_of_mac(error));
                if association.reject(error) {
                    let (name, address) = (settings.name.clone(), source.address().socket_address());
                    self.tell(Notice::Source(name, address, SourceNotice::UnderAttack));
                }
            }
            Ok(header) => {
                self.exchanges.accept(reply.id);
                self.outputs.push_back(Output::Cancel(reply.id));
                self.learn_from(now, (exchange, reply.stamp), readings, &ReplyHeader::from(&header), None);
            }
        }
    }

    fn nts_reply(
        &mut self,
        now: Now,
        reply: &ProtectedReply,
        exchange: &Exchange,
        readings: Readings,
        identifier: &Identifier,
    ) {
        let Some((settings, Authentication::Nts(association), source)) =
            self.entries.source_mut(exchange.source)
        else {
            return;
        };
        let Some(session) = &association.session else { return };
        let mut octets = [0; MAX_PACKET];
        let came = reply.packet.octets();
        let Some(packet) = octets.get_mut(..came.len()) else { return };
        packet.copy_from_slice(came);
        let verified = match session.verify(packet, identifier, origin_awaited(exchange, reply)) {
            Err(error) => {
                source.counters.reject(reason_of(error));
                if association.reject(error) {
                    let (name, address) = (settings.name.clone(), source.address().socket_address());
                    self.tell(Notice::Source(name, address, SourceNotice::UnderAttack));
                }
                return;
            }
            Ok(Reply::Nak) => {
                source.counters.reject(RejectReason::NtsNak);
                association.count_nak();
                self.exchanges.note_nak(reply.id);
                return;
            }
            Ok(Reply::Protected(verified)) => verified,
        };
        let was_empty = association.cookies() == 0;
        association.prove(verified.cookies(), now.raw);
        association.count_cookies();
        // The file holds none of them until the next query: a restart before it would exchange keys anew.
        if was_empty && association.cookies() > 0 {
            key_exchanges::order_save(&mut self.outputs);
        }
        let header = ReplyHeader::from(&verified.header);
        let floor = self.basis.as_ref().map_or(0, |basis| basis.welcome.floor.nanos());
        let beside = is_beside_its_certificate(association, &header, floor);
        if beside {
            source.refuse(RejectReason::Certificate, &header, now);
            source.history.count(&mut self.counted, 0.0);
            self.unsettle(exchange.group);
        }
        self.exchanges.accept(reply.id);
        self.outputs.push_back(Output::Cancel(reply.id));
        if !beside {
            self.learn_from(now, (exchange, reply.stamp), readings, &header, None);
        }
    }

    /// A protected query ended without a valid reply. Only now is an NTS NAK acted upon.
    pub(super) fn protected_silence(&mut self, id: SourceId, nak: bool, now: Now) {
        let Some((settings, Authentication::Nts(association), source)) = self.entries.source_mut(id) else {
            return;
        };
        association.count_cookies();
        if !nak {
            return;
        }
        if association.session.as_mut().is_some_and(crate::nts::Session::switch) {
            source.poll_process.start_burst(now.raw);
            self.abandon(id);
            self.save_associations();
        } else if association.schedule.due().is_none() {
            association.schedule.want();
            let name = settings.name.clone();
            self.tell(Notice::Entry(name, EntryNotice::CookiesRejected));
        }
    }
}

/// The origin timestamp that a packet must have to be the reply. Which of two that can be is looked up in the packet itself; whether it
/// is authentic is tested after that.
fn origin_awaited(exchange: &Exchange, reply: &ProtectedReply) -> u64 {
    let origin = Header::decode(reply.packet.octets()).map_or(0, |header| header.origin_timestamp);
    exchange.origin(origin)
}

/// Whether the first time that new keys brought lies outside the validity of the certificates that vouched for
/// them (RFC 8915 section 8.5).
fn is_beside_its_certificate(association: &mut Association, header: &ReplyHeader, floor: i64) -> bool {
    let Some(session) = &mut association.session else { return false };
    if header.stratum == 0 || header.transmit_timestamp == 0 || !session.awaits_time() {
        return false;
    }
    // In interleaved mode the transmit timestamp is that of a reply before.
    let holds = session.holds(unix_nanos(header.receive_timestamp, floor));
    if holds {
        session.has_time();
    }
    !holds
}

fn reason_of_mac(error: MacError) -> RejectReason {
    match error {
        MacError::Header(_) | MacError::Walk(_) => RejectReason::Malformed,
        MacError::Mode => RejectReason::Mode,
        MacError::Origin => RejectReason::Origin,
        MacError::Missing => RejectReason::Unprotected,
        MacError::CryptoNak => RejectReason::CryptoNak,
        MacError::OtherKey | MacError::Length | MacError::Forged => RejectReason::Forged,
    }
}

fn reason_of(error: ReplyError) -> RejectReason {
    match error {
        ReplyError::Header(_) => RejectReason::Malformed,
        ReplyError::Mode => RejectReason::Mode,
        ReplyError::Fields(_) | ReplyError::Followed | ReplyError::EncryptedFields => RejectReason::NtsFields,
        ReplyError::Unprotected => RejectReason::Unprotected,
        ReplyError::Forged => RejectReason::Forged,
        ReplyError::UniqueIdentifier => RejectReason::Identifier,
        ReplyError::Origin => RejectReason::Origin,
    }
}
