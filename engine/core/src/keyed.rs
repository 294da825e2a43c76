//! The association with one source whose replies a symmetric key authenticates (RFC 5905 section 7.3).

use ipc::packet::{MAX_PACKET, Packet};
use ipc::symmetric_key::SymmetricKey;
use protocol::header::{Header, LENGTH};
use protocol::mac::{MacError, MacKey, read_reply};

/// This many consecutive wrong digests indicate an attack, or another key at the server.
const ATTACK: u32 = 8;

/// One `[[source]]` with a key. The key is bound to it: no other one is accepted of its server, and nothing without one.
#[derive(Clone, Debug)]
pub(crate) struct KeyedAssociation {
    /// None: cannot be, since a key has a length that its kind takes. Then it asks nothing and accepts nothing.
    key: Option<MacKey>,
    /// Wrong digests since the last right one.
    forged: u32,
}

/// Of two for the same settings, which hold the key itself.
impl PartialEq for KeyedAssociation {
    fn eq(&self, other: &Self) -> bool {
        self.forged == other.forged
    }
}

impl KeyedAssociation {
    pub(crate) fn new(key: &SymmetricKey) -> Self {
        Self { key: MacKey::new(key), forged: 0 }
    }

    /// The packet of a query.
    pub(crate) fn request(&self, header: Header) -> Option<Packet> {
        let mut octets = [0; MAX_PACKET];
        octets.get_mut(..LENGTH)?.copy_from_slice(&header.encode());
        let length = self.key.as_ref()?.put(&mut octets, LENGTH, header.version)?;
        Packet::from_octets(octets.get(..length)?).ok()
    }

    /// The header of the reply to the query with this nonce, whichever of two it may be, if the packet is it.
    ///
    /// # Errors
    /// [`MacError`].
    pub(crate) fn verify(&mut self, packet: &[u8], nonce: u64) -> Result<Header, MacError> {
        let header = read_reply(packet, self.key.as_ref().ok_or(MacError::Forged)?, nonce)?;
        self.forged = 0;
        Ok(header)
    }

    /// A packet was not a valid reply. True: from now on, an attack is assumed.
    pub(crate) fn reject(&mut self, error: MacError) -> bool {
        if !matches!(error, MacError::Forged | MacError::OtherKey | MacError::Length) {
            return false;
        }
        self.forged = self.forged.saturating_add(1);
        self.forged == ATTACK
    }
}
