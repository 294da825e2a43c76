//! The content that a TLS 1.3 server signs (RFC 8446 section 4.4.3): 64 spaces, a string that states the
//! signature's purpose, a zero octet, and the hash of the handshake so far. The key exchange service extracts the hash,
//! the key holder assembles the content: only the hash is transferred between them.

use ipc::message::key_service::{Scheme, TranscriptHash};
use rustls::SignatureScheme;

const SPACES: [u8; 64] = [0x20; 64];
const CONTEXT: &[u8] = b"TLS 1.3, server CertificateVerify\0";

/// Octets of the longest content.
const MAX_CONTENT: usize = SPACES.len() + CONTEXT.len() + 48;

/// The hash in a content; `None` for anything else.
pub fn take_apart(content: &[u8]) -> Option<TranscriptHash> {
    let hash = content.strip_prefix(&SPACES)?.strip_prefix(CONTEXT)?;
    TranscriptHash::from_octets(hash).ok()
}

/// The content with this hash.
pub fn put_together(hash: &TranscriptHash) -> Vec<u8> {
    let mut content = Vec::with_capacity(MAX_CONTENT);
    content.extend_from_slice(&SPACES);
    content.extend_from_slice(CONTEXT);
    content.extend_from_slice(hash.octets());
    content
}

/// A scheme as TLS names it.
pub fn named(scheme: Scheme) -> SignatureScheme {
    match scheme {
        Scheme::EcdsaP256 => SignatureScheme::ECDSA_NISTP256_SHA256,
        Scheme::Ed25519 => SignatureScheme::ED25519,
        Scheme::RsaPss256 => SignatureScheme::RSA_PSS_SHA256,
        Scheme::RsaPss384 => SignatureScheme::RSA_PSS_SHA384,
        Scheme::RsaPss512 => SignatureScheme::RSA_PSS_SHA512,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a179_what_is_not_the_content_of_a_servers_certificate_verify_has_no_hash() {
        for length in [32, 48] {
            let hash = TranscriptHash::from_octets(&vec![7; length]).unwrap();
            let content = put_together(&hash);
            assert_eq!(take_apart(&content), Some(hash));
            for at in 0..SPACES.len() + CONTEXT.len() {
                let mut other = content.clone();
                other[at] ^= 1;
                assert_eq!(take_apart(&other), None, "octet {at}");
            }
            for cut in 0..content.len() {
                let shorter = take_apart(&content[..cut]);
                assert!(shorter.is_none() || length == 48 && cut == content.len() - 16);
                assert_eq!(take_apart(&content[content.len() - cut..]), None);
            }
            assert_eq!(take_apart(&[&content[..], &[0]].concat()), None);
        }
        let client = String::from_utf8_lossy(CONTEXT).replace("server", "client");
        assert_eq!(take_apart(&[&SPACES[..], client.as_bytes(), &[7; 32]].concat()), None);
    }
}
