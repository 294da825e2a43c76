//! A request (RFC 10049 section 5.1). It has nothing in it but nonce, key and version: made of the same it is the same.

use crate::hash::name_of_key;
use crate::message::{HEADER, Tag, header};
use crate::version::Version;

/// Octets of a request with its header: a message of 1024, as a server may ask for. No answer is longer.
pub const REQUEST: usize = ipc::anchor::MAX_RESPONSE;

/// What an answer must be about.
pub type Nonce = [u8; 32];
/// A server's long-term public key (Ed25519), by which it is known.
pub type PublicKey = [u8; 32];
/// Random octets in the chain of nonces.
pub type Rand = [u8; 32];

const COUNT: usize = 5;
const HEAD: usize = HEADER + 8 * COUNT;

/// Of one version, to the server with this key.
pub fn request(nonce: &Nonce, key: &PublicKey, version: Version) -> [u8; REQUEST] {
    let (number, server, kind) = (version.number().to_le_bytes(), name_of_key(key), 0u32.to_le_bytes());
    // The padding is what is left: zeros.
    let values: [(Tag, &[u8]); COUNT] =
        [(Tag::VER, &number), (Tag::SRV, &server), (Tag::NONC, nonce), (Tag::TYPE, &kind), (Tag::ZZZZ, &[])];
    let mut packet = [0; REQUEST];
    packet[..HEADER].copy_from_slice(&header(REQUEST - HEADER));
    packet[HEADER..HEADER + 4].copy_from_slice(&(COUNT as u32).to_le_bytes());
    let (offsets, tags) = (HEADER + 4, HEADER + 4 * COUNT);
    let mut begin = 0;
    for (at, (tag, value)) in values.into_iter().enumerate() {
        if let Some(before) = at.checked_sub(1) {
            put(&mut packet, offsets + 4 * before, &(begin as u32).to_le_bytes());
        }
        put(&mut packet, tags + 4 * at, &tag.octets());
        put(&mut packet, HEAD + begin, value);
        begin += value.len();
    }
    packet
}

fn put(packet: &mut [u8; REQUEST], at: usize, what: &[u8]) {
    packet[at..at + what.len()].copy_from_slice(what);
}
