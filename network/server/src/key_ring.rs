//! The symmetric keys that clients may use.

use ipc::message::server::MAX_KEY_RING;
use ipc::symmetric_key::SymmetricKey;
use protocol::mac::{MacKey, find, key_id};

/// Keys, each of another number. They wipe themselves when they are dropped.
#[derive(Debug)]
pub struct KeyRing(Vec<MacKey>);

/// The place of a key in its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPlace(u16);

impl KeyRing {
    /// Prepares keys; none: two of one number, too many, or one that its kind does not take.
    pub fn new(keys: &[SymmetricKey]) -> Option<Self> {
        let mut ring: Vec<MacKey> = keys.iter().map(MacKey::new).collect::<Option<_>>()?;
        ring.sort_by_key(MacKey::number);
        let is_clear = |pair: &[MacKey]| !matches!(pair, [one, other] if one.number() == other.number());
        (ring.len() <= MAX_KEY_RING && ring.windows(2).all(is_clear)).then_some(Self(ring))
    }

    /// Which of the keys has authenticated a packet of this version, of which it is known that it is well-formed and has a MAC or
    /// a crypto-NAK; none: none of them.
    pub fn verify(&self, packet: &[u8], version: u8) -> Option<KeyPlace> {
        let mac = find(packet, version).ok()?;
        let number = key_id(mac)?;
        let place = self.0.binary_search_by_key(&number, MacKey::number).ok()?;
        self.0.get(place)?.verify(packet, mac, version).ok()?;
        u16::try_from(place).ok().map(KeyPlace)
    }

    /// Its number, for a client's place in the rate limit.
    pub fn number(&self, place: KeyPlace) -> Option<u32> {
        self.0.get(usize::from(place.0)).map(MacKey::number)
    }

    /// Octets that a reply of this version has with a MAC of this key, if `bare` has them without one.
    pub fn reply_length(&self, place: KeyPlace, bare: usize, version: u8) -> usize {
        self.0.get(usize::from(place.0)).map_or(bare, |key| bare + key.mac_length(version))
    }

    /// Writes the MAC of a whole reply behind its first `bare` octets.
    pub fn put(&self, place: KeyPlace, reply: &mut [u8], bare: usize) {
        let version = reply.first().map_or(0, |first| first >> 3 & 7);
        if let Some(key) = self.0.get(usize::from(place.0)) {
            key.put(reply, bare, version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::symmetric_key::MacKind;

    fn key(number: u32, octet: u8) -> SymmetricKey {
        SymmetricKey::new(number, MacKind::Aes128, &[octet; 16]).unwrap()
    }

    #[test]
    fn a_ring_has_each_number_once_and_no_more_keys_than_it_may() {
        assert!(KeyRing::new(&[key(9, 1), key(7, 2)]).is_some());
        assert!(KeyRing::new(&[key(9, 1), key(7, 2), key(9, 3)]).is_none());
        let many: Vec<_> = (1..=MAX_KEY_RING as u32 + 1).map(|number| key(number, 1)).collect();
        assert!(KeyRing::new(&many[1..]).is_some() && KeyRing::new(&many).is_none());
    }

    #[test]
    fn the_key_of_the_number_that_a_packet_names_is_the_one_that_counts() {
        let ring = KeyRing::new(&[key(9, 1), key(7, 2)]).unwrap();
        for (number, octet, is_right) in
            [(9, 1, true), (7, 2, true), (9, 2, false), (7, 1, false), (8, 1, false)]
        {
            let mut packet = [0; 68];
            packet[0] = 0x23;
            MacKey::new(&key(number, octet)).unwrap().put(&mut packet, 48, 4).unwrap();
            let found = ring.verify(&packet, 4);
            assert_eq!(found.and_then(|place| ring.number(place)), is_right.then_some(number));
        }
    }
}
