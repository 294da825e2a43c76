//! The private key: read from its file, and used for one thing.

use super::pem::{Packing, first_key};
use ipc::message::key_service::{Scheme, Sign, Signature, TranscriptHash, Unread};
use network::small_file;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::sign::SigningKey;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use tls::certificate_verify::{named, put_together};
use tls::provider;

/// A private key that supports at least one signature scheme.
#[derive(Clone, Debug)]
pub(super) struct Key {
    key: Arc<dyn SigningKey>,
    fingerprint: [u8; 32],
}

impl Key {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Unread`]: why it is not used.
    pub(super) fn read(path: &Path) -> Result<Self, Unread> {
        Self::from_text(&small_file::read_secret(path)?).ok_or(Unread::Unsupported)
    }

    fn from_text(text: &[u8]) -> Option<Self> {
        let (packing, der) = first_key(text)?;
        let der = match packing {
            Packing::Pkcs8 => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.as_slice())),
            Packing::Sec1 => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der.as_slice())),
            Packing::Pkcs1 => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der.as_slice())),
        };
        let key = provider::sign::any_supported_type(&der).ok()?;
        let fingerprint = Sha256::digest(key.public_key()?.as_ref()).into();
        let key = Self { key, fingerprint };
        // Proves that the key works, and that its signatures fit into a message.
        let transcript = TranscriptHash::from_octets(&[0; 32]).ok()?;
        let schemes = [Scheme::EcdsaP256, Scheme::Ed25519, Scheme::RsaPss256];
        schemes
            .into_iter()
            .any(|scheme| key.sign(&Sign { key: 0, scheme, transcript }).is_some())
            .then_some(key)
    }

    /// SHA-256 of its public key.
    pub(super) const fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// Signs the content of a CertificateVerify and nothing else; `None` if the key does not support the scheme.
    pub(super) fn sign(&self, order: &Sign) -> Option<Signature> {
        let signer = self.key.choose_scheme(&[named(order.scheme)])?;
        Signature::from_octets(&signer.sign(&put_together(&order.transcript)).ok()?).ok()
    }
}
