//! Redaction of secrets. Recordings are passed on, so they contain neither keys nor cookies: each is replaced by a
//! substitute of the same length, and replies that were protected with a key are protected again with its substitute. An
//! engine behaves in the same way with the substitutes.

use alloc::collections::VecDeque;
use hmac_sha256::HMAC;
use ipc::aead::Aead;
use ipc::message::exchange::{AssociationKeys, Cookie, Exchanged};
use ipc::packet::{CookieOctets, Packet};
use ipc::secret::{KeyPair, MAX_KEY, Secret};
use ipc::symmetric_key::{MAX_SYMMETRIC_KEY, SymmetricKey};
use protocol::mac::{MacKey, authenticate_again};
use protocol::nts::aead::Key;
use protocol::nts::reseal::reseal;
use zeroize::{Zeroize, Zeroizing};

/// Most keys that are tried for a reply; the oldest are dropped.
const MOST_KEYS: usize = 128;

/// The salt only allows to recognise the substitute of a secret that is already known. It is never written.
pub(super) struct Redaction {
    salt: [u8; 32],
    /// Keys from server to client, each with its substitute.
    keys: VecDeque<(Key, Key)>,
    /// Symmetric keys, each with its substitute.
    symmetric: VecDeque<(MacKey, MacKey)>,
}

impl Drop for Redaction {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl Redaction {
    pub(super) fn new(salt: [u8; 32]) -> Self {
        Self { salt, keys: VecDeque::new(), symmetric: VecDeque::new() }
    }

    /// The substitute of a pair of keys, by which replies are recognised from now on.
    pub(super) fn pair(&mut self, algorithm: Aead, pair: &KeyPair) -> KeyPair {
        let redacted = KeyPair {
            client_to_server: self.secret(algorithm, &pair.client_to_server),
            server_to_client: self.secret(algorithm, &pair.server_to_client),
        };
        let key = |secret: &Secret| {
            Key::from_octets(algorithm, secret.octets().get(..algorithm.key_length()).unwrap_or_default())
        };
        if let (Some(real), Some(other)) = (key(&pair.server_to_client), key(&redacted.server_to_client)) {
            if self.keys.len() == MOST_KEYS {
                self.keys.pop_front();
            }
            self.keys.push_back((real, other));
        }
        redacted
    }

    /// The substitute of a symmetric key, by which replies are recognised from now on.
    pub(super) fn symmetric_key(&mut self, key: &SymmetricKey) -> Option<SymmetricKey> {
        let mut octets = Zeroizing::new([0; MAX_SYMMETRIC_KEY]);
        let used = octets.get_mut(..key.octets().len())?;
        used.copy_from_slice(key.octets());
        rename(&self.salt, used);
        let substitute = SymmetricKey::new(key.number(), key.kind(), used)?;
        if let (Some(real), Some(other)) = (MacKey::new(key), MacKey::new(&substitute)) {
            if self.symmetric.len() == MOST_KEYS {
                self.symmetric.pop_front();
            }
            self.symmetric.push_back((real, other));
        }
        Some(substitute)
    }

    fn secret(&self, algorithm: Aead, secret: &Secret) -> Secret {
        let mut octets = Zeroizing::new([0; MAX_KEY]);
        let first = HMAC::mac(secret.octets(), self.salt);
        let second = HMAC::mac(first, self.salt);
        let substitute = first.into_iter().chain(second);
        for (place, octet) in octets.iter_mut().zip(substitute).take(algorithm.key_length()) {
            *place = octet;
        }
        Secret::new(&octets)
    }

    pub(super) fn exchanged(&mut self, exchanged: &Exchanged) -> Exchanged {
        let (algorithm, real) = (exchanged.keys.algorithm(), &exchanged.keys);
        let (pair, alternate) = (self.pair(algorithm, real.pair()), real.alternate());
        let alternate = alternate.map(|alternate| self.pair(algorithm, alternate));
        let keys = AssociationKeys::cut(algorithm, pair, alternate);
        Exchanged { keys, ..exchanged.clone() }
    }

    pub(super) fn cookie(&self, cookie: &Cookie) -> Cookie {
        Cookie { octets: self.cookie_octets(&cookie.octets), ..*cookie }
    }

    pub(super) fn cookie_octets(&self, cookie: &CookieOctets) -> CookieOctets {
        let mut octets = [0; ipc::packet::MAX_COOKIE];
        let length = cookie.octets().len();
        let Some(used) = octets.get_mut(..length) else { return *cookie };
        used.copy_from_slice(cookie.octets());
        rename(&self.salt, used);
        // As long as one that was in order, so it is in order.
        CookieOctets::from_octets(used).unwrap_or(*cookie)
    }

    /// A packet that one of the keys sealed, sealed with its substitute; any other one as it came.
    pub(super) fn packet(&self, packet: &Packet) -> Packet {
        let mut octets = [0; ipc::packet::MAX_PACKET];
        let Some(used) = octets.get_mut(..packet.octets().len()) else { return *packet };
        used.copy_from_slice(packet.octets());
        let sealed =
            |(real, other): &(Key, Key)| reseal(used, real, other, &mut |cookie| rename(&self.salt, cookie));
        // The newest first: it is the one in use.
        if self.keys.iter().rev().any(sealed) {
            return Packet::from_octets(used).unwrap_or(*packet);
        }
        if self.symmetric.iter().rev().any(|(real, other)| authenticate_again(used, real, other)) {
            Packet::from_octets(used).unwrap_or(*packet)
        } else {
            *packet
        }
    }
}

/// Other octets, the same ones for the same cookie.
fn rename(salt: &[u8; 32], cookie: &mut [u8]) {
    let root = HMAC::mac(&*cookie, salt);
    for (number, part) in (0u32..).zip(cookie.chunks_mut(32)) {
        let octets = HMAC::mac(number.to_le_bytes(), root);
        for (place, octet) in part.iter_mut().zip(octets) {
            *place = octet;
        }
    }
}
