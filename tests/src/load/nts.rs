//! Requests under NTS (RFC 8915), of one association for a whole load. A request is sealed once and sent
//! repeatedly: a server cannot tell the difference, and this side has less work.

use crate::key_client;
use protocol::header::Header;
use protocol::nts::MAX_PACKET;
use protocol::nts::aead::{Algorithm, SessionKeys};
use protocol::nts::client::{Awaited, ProtectedRequest, Reply, read_reply};
use protocol::nts::cookie::CookieKeys;
use protocol::nts::ratchet::{EpochKey, Ratchet};
use protocol::request::minimal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// The epoch of [`cookie_keys`].
pub const EPOCH: u32 = 20_700;

/// The origin of an association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// No key exchange: the server's cookie keys are those of [`cookie_keys`].
    Known(u16),
    /// From a key exchange with the server at this address, authenticated by these roots as `localhost`.
    Exchanged {
        /// The address of the key exchange server.
        server: SocketAddr,
        /// PEM.
        roots: PathBuf,
        /// Number of the AEAD algorithm.
        algorithm: u16,
    },
}

/// Keys and cookies of one key exchange.
pub struct Association {
    keys: SessionKeys,
    cookies: Vec<Vec<u8>>,
    /// The port that the key exchange names.
    pub port: Option<u16>,
}

/// Publicly known keys, for servers that are only measured.
pub fn epoch_keys() -> impl Iterator<Item = EpochKey> {
    Ratchet::from_random(&[0x5a; 32], EPOCH).keys()
}

/// The same, to seal and open with.
///
/// # Panics
/// Never.
pub fn cookie_keys() -> CookieKeys {
    CookieKeys::new(EPOCH, epoch_keys()).expect("keys of a ratchet are a set")
}

impl Association {
    /// Makes an association or exchanges keys.
    ///
    /// # Errors
    /// A sentence about the failure of the exchange.
    pub fn new(from: &Keys) -> Result<Self, String> {
        match from {
            Keys::Known(id) => {
                let algorithm = Algorithm::from_id(*id).ok_or("aead: 15 or 30")?;
                let key = |octet| vec![octet; algorithm.key_length()];
                let keys = SessionKeys::from_octets(algorithm, &key(1), &key(2)).ok_or("keys")?;
                let cookies = vec![cookie_keys().seal(&keys, &[7; 12]).unwrap().octets().to_vec()];
                Ok(Self { keys, cookies, port: None })
            }
            Keys::Exchanged { server, roots, algorithm } => {
                let mut store = RootCertStore::empty();
                for root in CertificateDer::pem_file_iter(roots).map_err(|error| error.to_string())? {
                    let root = root.map_err(|error| error.to_string())?;
                    store.add(root).map_err(|error| error.to_string())?;
                }
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let mut config = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .map_err(|error| error.to_string())?
                    .with_root_certificates(store)
                    .with_no_client_auth();
                config.alpn_protocols = vec![b"ntske/1".to_vec()];
                let given = key_client::exchange(*server, "localhost", &Arc::new(config), &[*algorithm])
                    .map_err(|error| format!("key exchange with {server}: {error}"))?;
                let algorithm = Algorithm::from_id(given.algorithm)
                    .ok_or_else(|| format!("key exchange with {server}: {given:?}"))?;
                let keys =
                    SessionKeys::from_octets(algorithm, &given.client_to_server, &given.server_to_client);
                Ok(Self {
                    keys: keys.ok_or("keys of another length")?,
                    cookies: given.cookies,
                    port: given.port,
                })
            }
        }
    }

    /// The request whose transmit timestamp is `nonce`.
    ///
    /// # Panics
    /// If the server gave no cookies, or cookies that are too long.
    pub fn request(&self, nonce: u64) -> Vec<u8> {
        let mut seal_nonce = [0x33; 16];
        seal_nonce[..8].copy_from_slice(&nonce.to_be_bytes());
        let request = ProtectedRequest {
            header: Header { transmit_timestamp: nonce, ..minimal(0) },
            unique_identifier: &identifier(nonce),
            cookie: &self.cookies[nonce as usize % self.cookies.len()],
            placeholders: 0,
            key: &self.keys.client_to_server,
            nonce: &seal_nonce,
        };
        let mut packet = [0; MAX_PACKET];
        let length = request.encode(&mut packet).expect("a cookie that fits");
        packet[..length].to_vec()
    }

    /// The fault of a reply to that request.
    ///
    /// # Errors
    /// A word for it.
    pub fn verify(&self, reply: &mut [u8], nonce: u64) -> Result<(), &'static str> {
        let identifier = identifier(nonce);
        let awaited =
            Awaited { unique_identifier: &identifier, origin: nonce, key: &self.keys.server_to_client };
        match read_reply(reply, &awaited) {
            Ok(Reply::Protected(reply)) if reply.cookies().count() == 1 => Ok(()),
            Ok(Reply::Protected(_)) => Err("cookies"),
            Ok(Reply::Nak) => Err("NAK"),
            Err(_) => Err("protection"),
        }
    }
}

fn identifier(nonce: u64) -> [u8; 32] {
    let mut identifier = [0x1d; 32];
    identifier[..8].copy_from_slice(&nonce.to_be_bytes());
    identifier
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::nts::server::{Request, read_request};

    #[test]
    fn a_request_of_a_known_association_is_opened_and_its_reply_verified() {
        for id in [15, 30] {
            let association = Association::new(&Keys::Known(id)).unwrap();
            let mut packet = association.request(77);
            let Ok(Request::Protected(request)) = read_request(&mut packet, &cookie_keys()) else {
                panic!("not opened");
            };
            let mut reply = [0; 512];
            let header = protocol::header::Header { mode: 4, origin_timestamp: 77, ..*request.header() };
            let length = request.write_reply(&cookie_keys(), &[1; 200], || header, &mut reply).unwrap();
            assert_eq!(association.verify(&mut reply[..length].to_vec(), 77), Ok(()));
            assert_eq!(association.verify(&mut reply[..length].to_vec(), 78), Err("protection"));
        }
    }
}
