//! SHA-512, cut to its first 32 octets (RFC 10049 section 5.3).

use sha2::{Digest, Sha512};

/// Of these octets, one after the other.
pub(crate) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut all = Sha512::new();
    for part in parts {
        all.update(part);
    }
    let whole = all.finalize();
    let mut cut = [0; 32];
    cut.copy_from_slice(&whole[..32]);
    cut
}

/// Of a leaf of the Merkle tree: a whole request.
pub(crate) fn leaf(request: &[u8]) -> [u8; 32] {
    hash(&[&[0], request])
}

/// Of what joins two nodes of the Merkle tree.
pub(crate) fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    hash(&[&[1], left, right])
}

/// Which of its long-term keys a server is asked for.
pub(crate) fn name_of_key(key: &[u8; 32]) -> [u8; 32] {
    hash(&[&[0xff], key])
}
