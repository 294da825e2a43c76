//! The requests of version 5 of one batch: each reply is written over its request at once, and sent with the others.

use super::{Outcome, Worker};
use crate::control_message::Target;
use crate::outgoing::Addressed;
use crate::respond::{Asked, Refusal, ReplyKind, RequestContext, admit};
use crate::served_clock::receive_stamp;
use crate::source::Source;
use crate::version5::{Written, write};

impl Worker {
    /// Writes the reply to a request of version 5 over it.
    #[cold]
    pub(super) fn write_version5(
        &mut self,
        slot: usize,
        asked: &Asked,
        received: i64,
        context: &RequestContext<'_>,
    ) -> Result<Outcome, Refusal> {
        let length = self.length_of(slot);
        let packet = self.batch.octets_mut(slot).get_mut(..length).ok_or(Refusal::Malformed)?;
        admit(packet, asked, context)?;
        let version5 = context.version5.as_ref().ok_or(Refusal::Malformed)?;
        let times = (received, receive_stamp(received));
        write(packet, asked, times, version5, context, &mut self.rng).map(Outcome::Version5)
    }

    /// Octets of a datagram; 0: it was truncated.
    fn length_of(&self, slot: usize) -> usize {
        let datagram = self.batch.datagram(slot).filter(|datagram| !datagram.is_truncated);
        datagram.map_or(0, |datagram| datagram.octets.len())
    }

    /// Keeps a reply that was written over its request, to be sent with the others.
    pub(super) fn keep_written(
        &mut self,
        slot: usize,
        written: &Written,
        source: Source,
        target: Option<Target>,
    ) {
        let Written { kind, is_spared, departure } = *written;
        self.count_kept(kind, is_spared);
        self.outgoing.put(Addressed {
            slot,
            length: self.length_of(slot),
            source,
            target,
            needs_time: kind == ReplyKind::Basic,
            is_kiss: kind == ReplyKind::Kiss,
            is_protected: false,
            key: None,
            departure,
        });
    }
}
