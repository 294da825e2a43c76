//! A certificate, and the processes that use it.
#![allow(dead_code, reason = "each test file uses its part")]

use bench::authority::{Authority, KeyKind, Order};
use bench::key_pair::{Plan, give_key};
use bench::programs::{Place, has_ipv6};
use rustls::SignatureScheme;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub struct Setting {
    pub authority: Authority,
    pub place: Place,
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl Setting {
    pub fn new() -> Self {
        Self::with(KeyKind::P256)
    }

    pub fn with(key: KeyKind) -> Self {
        let (authority, place) = (Authority::new("root"), Place::new("key-service"));
        let identity = authority.issue_as(&Order { key, ..Order::new(&["localhost"]) });
        let (chain, key) = identity.write(&place);
        Self { authority, place, chain, key }
    }

    /// Replaces the certificate and its key.
    pub fn replace(&self, key: KeyKind) {
        let identity = self.authority.issue_as(&Order { key, ..Order::new(&["localhost"]) });
        self.write(&self.chain, identity.chain_pem.as_bytes());
        self.write(&self.key, identity.key_pem.as_bytes());
    }

    /// Replaces the file by a rename, as ACME clients do.
    pub fn write(&self, path: &Path, octets: &[u8]) {
        let new = path.with_extension("new");
        fs::write(&new, octets).unwrap();
        // A key has a name of its own, and belongs to the user who reads it.
        let is_key = path.file_stem().is_some_and(|name| name.to_string_lossy().starts_with("key"));
        fs::set_permissions(&new, Permissions::from_mode(if is_key { 0o600 } else { 0o644 })).unwrap();
        if is_key {
            give_key(&new);
        }
        fs::rename(&new, path).unwrap();
    }

    /// The secret parts of its key, in either order of octets: libraries store numbers in different orders.
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        let PrivateKeyDer::Pkcs8(key) = PrivateKeyDer::from_pem_file(&self.key).unwrap() else { panic!() };
        let der = key.secret_pkcs8_der();
        let behind =
            |mark: &[u8]| der.windows(mark.len()).position(|window| window == mark).map(|at| at + mark.len());
        let mut secrets = if let Some(at) = behind(&[2, 1, 1, 4, 0x20]).or(behind(&[4, 0x22, 4, 0x20])) {
            vec![der[at..at + 32].to_vec()]
        } else {
            // The modulus and the public exponent are not secret.
            let at = behind(&[4, 0x82]).unwrap() + 2 + 4;
            integers(&der[at..]).into_iter().skip(3).take(3).collect()
        };
        secrets.extend(secrets.clone().into_iter().map(|mut secret| {
            secret.reverse();
            secret
        }));
        assert!(secrets.iter().all(|secret| secret.len() >= 32));
        secrets
    }

    /// Whether a signature over a content was made with the certificate's key.
    pub fn verifies(&self, scheme: SignatureScheme, content: &[u8], signature: &[u8]) -> bool {
        let own = CertificateDer::from_pem_file(&self.chain).unwrap();
        let own = webpki::EndEntityCert::try_from(&own).unwrap();
        let all = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        let named = all.mapping.iter().find(|(name, _)| *name == scheme).unwrap().1;
        named.iter().any(|algorithm| own.verify_signature(*algorithm, content, signature).is_ok())
    }

    /// SHA-256 of the public key of its certificate.
    pub fn fingerprint(&self) -> [u8; 32] {
        let own = CertificateDer::from_pem_file(&self.chain).unwrap();
        let parsed = rustls::server::ParsedCertificate::try_from(&own).unwrap();
        Sha256::digest(parsed.subject_public_key_info()).into()
    }
}

/// The integers of a DER text, in order.
fn integers(mut der: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let [2, first, rest @ ..] = der {
        let (length, rest) = match first {
            0x81 => (usize::from(rest[0]), &rest[1..]),
            0x82 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            short => (usize::from(*short), rest),
        };
        found.push(rest[..length].iter().copied().skip_while(|octet| *octet == 0).collect());
        der = &rest[length..];
    }
    found
}

pub fn plan(setting: &Setting, threads: usize, both_families: bool) -> Plan {
    let mut plan = Plan { threads, ..Plan::new(&setting.chain, &setting.key) };
    if both_families && has_ipv6() {
        plan.addresses.push("[::1]:0".parse().unwrap());
    }
    plan
}
