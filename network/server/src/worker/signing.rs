//! The requests of one batch whose replies are to be signed: another thread sends those.

use super::{Worker, add};
use crate::control_message::Target;
use crate::source::Source;
use crate::unsigned::{NAME, Unsigned};
use ipc::units::RawInstant;
use protocol::header::LENGTH;

impl Worker {
    /// Has a reply signed, which another thread sends then.
    pub(super) fn hand_over(
        &mut self,
        (at, slot): (usize, usize),
        (account, header, since, smear): (u32, [u8; LENGTH], RawInstant, i64),
        source: Source,
        target: Option<Target>,
    ) {
        let (Some(queue), Some(listener)) = (&self.shared.unsigned, self.listeners.get(at)) else { return };
        let Some(datagram) = self.batch.datagram(slot) else { return };
        let mut name = [0; NAME];
        name.iter_mut().zip(datagram.name).for_each(|(place, octet)| *place = *octet);
        let (socket, name_length) = (listener.socket(), datagram.name.len());
        let unsigned = Unsigned { socket, name, name_length, source, target, account, header, smear, since };
        add(&mut self.counters.unsigned_late, usize::from(queue.push(unsigned)));
    }
}
