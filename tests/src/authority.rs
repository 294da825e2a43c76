//! A certificate authority for the duration of a test: its root, intermediates, and the certificates that it signs.

use crate::programs::Place;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, RsaKeySize, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// The type of the server's private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA with P-256 and SHA-256.
    P256,
    /// ECDSA with P-384 and SHA-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA with 2048 bits.
    Rsa,
    /// RSA with 4096 bits.
    Rsa4096,
}

/// The validity of a certificate, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The first second.
    pub from: i64,
    /// The last second.
    pub until: i64,
}

/// The contents of a server's certificate.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// Host names and addresses.
    pub names: &'a [&'a str],
    /// The key.
    pub key: KeyKind,
    /// Its validity.
    pub period: Period,
    /// Whether it is for servers; otherwise it is for clients.
    pub for_servers: bool,
    /// The organisation of its subject.
    pub organisation: Option<&'a str>,
}

/// An authority that signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    /// The certificates that a server must send between its own and the root.
    between: Vec<Certificate>,
}

/// A server's certificate with its intermediate certificates, and its private key.
#[derive(Debug)]
pub struct Identity {
    /// The server's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key, PKCS #8.
    pub key: PrivateKeyDer<'static>,
    /// The chain, in the form of a server's file.
    pub chain_pem: String,
    /// The private key, in the form of a server's file.
    pub key_pem: String,
}

/// Seconds since 1970 by this host's clock.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

impl Period {
    /// From yesterday, for ninety days.
    pub fn current() -> Self {
        Self { from: now() - DAY, until: now() + 89 * DAY }
    }
}

impl<'a> Order<'a> {
    /// A currently valid one for a server of these names, with P-256.
    pub fn new(names: &'a [&'a str]) -> Self {
        Self { names, key: KeyKind::P256, period: Period::current(), for_servers: true, organisation: None }
    }
}

impl Authority {
    /// A root, valid from 1975 to 2100.
    ///
    /// # Panics
    /// If the kernel has no random numbers.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("random numbers");
        let parameters = authority_parameters(name, Period { from: 1826 * DAY, until: 47_482 * DAY });
        let certificate = parameters.self_signed(&key).expect("lawful parameters");
        Self { issuer: Issuer::new(parameters, key), certificate, between: Vec::new() }
    }

    /// An intermediate authority, signed by this one.
    ///
    /// # Panics
    /// If the kernel has no random numbers.
    pub fn intermediate(&self, name: &str, period: Period) -> Self {
        let key = KeyPair::generate().expect("random numbers");
        let parameters = authority_parameters(name, period);
        let certificate = parameters.signed_by(&key, &self.issuer).expect("lawful parameters");
        let between = [vec![certificate.clone()], self.between.clone()].concat();
        Self { issuer: Issuer::new(parameters, key), certificate, between }
    }

    /// A currently valid certificate for a server of these names, with P-256.
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.issue_as(&Order::new(names))
    }

    /// A certificate with these contents.
    ///
    /// # Panics
    /// If a name is invalid.
    pub fn issue_as(&self, order: &Order<'_>) -> Identity {
        let key = generate(order.key);
        let parameters = server_parameters(order);
        let certificate = parameters.signed_by(&key, &self.issuer).expect("lawful parameters");
        let chain = [vec![certificate], self.between.clone()].concat();
        Identity::new(&chain, &key)
    }

    /// Its own certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        self.certificate.der()
    }

    /// Its own certificate, in the form of a file of roots.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Writes its own certificate to a file that every user may read.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, path: &Path) {
        fs::write(path, self.pem()).expect("the file can be written");
        readable(path);
    }

    /// A TLS client configuration that trusts only this authority.
    ///
    /// # Panics
    /// Never: its own certificate is a root.
    pub fn client_config(&self) -> Arc<rustls::ClientConfig> {
        self.client_config_with(provider())
    }

    /// The same with other cryptography.
    ///
    /// # Panics
    /// If it does no TLS 1.3.
    pub fn client_config_with(
        &self,
        provider: Arc<rustls::crypto::CryptoProvider>,
    ) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate().clone()).expect("a root");
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider does TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"ntske/1".to_vec()];
        Arc::new(config)
    }
}

impl Identity {
    /// A self-signed certificate.
    ///
    /// # Panics
    /// If a name is invalid.
    pub fn self_signed(order: &Order<'_>) -> Self {
        let key = generate(order.key);
        let certificate = server_parameters(order).self_signed(&key).expect("lawful parameters");
        Self::new(&[certificate], &key)
    }

    fn new(chain: &[Certificate], key: &KeyPair) -> Self {
        Self {
            chain: chain.iter().map(|certificate| certificate.der().clone()).collect(),
            key: PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
            chain_pem: chain.iter().map(Certificate::pem).collect(),
            key_pem: key.serialize_pem(),
        }
    }

    /// Writes `fullchain.pem` and `key.pem` into a folder. Every user may read the former, and only its owner the latter:
    /// who it was before, or the user who runs this.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn write(&self, folder: &Place) -> (PathBuf, PathBuf) {
        let (chain, key) = (folder.join("fullchain.pem"), folder.join("key.pem"));
        fs::write(&chain, &self.chain_pem).expect("the folder can be written");
        fs::write(&key, &self.key_pem).expect("the folder can be written");
        readable(&chain);
        private(&key);
        (chain, key)
    }

    /// A TLS 1.3 server configuration for the key exchange.
    ///
    /// # Panics
    /// If key and certificate do not belong together.
    pub fn server_config(&self) -> rustls::ServerConfig {
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider does TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .expect("its own key");
        config.alpn_protocols = vec![b"ntske/1".to_vec()];
        config
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
}

fn readable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("the file is ours");
}

fn generate(kind: KeyKind) -> KeyPair {
    match kind {
        KeyKind::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        KeyKind::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        KeyKind::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
        KeyKind::Rsa4096 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096),
        KeyKind::Rsa => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
    }
    .expect("random numbers")
}

fn authority_parameters(name: &str, period: Period) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_period(&mut parameters, period);
    parameters
}

fn server_parameters(order: &Order<'_>) -> CertificateParams {
    let names: Vec<String> = order.names.iter().map(ToString::to_string).collect();
    let mut parameters = CertificateParams::new(names).expect("host names or addresses");
    parameters.distinguished_name.push(DnType::CommonName, "a server of a test");
    if let Some(organisation) = order.organisation {
        parameters.distinguished_name.push(DnType::OrganizationName, organisation);
    }
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![match order.for_servers {
        true => ExtendedKeyUsagePurpose::ServerAuth,
        false => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    set_period(&mut parameters, order.period);
    parameters
}

fn set_period(parameters: &mut CertificateParams, period: Period) {
    let at = |seconds: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.max(0).unsigned_abs());
    parameters.not_before = at(period.from);
    parameters.not_after = at(period.until);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn every_kind_of_key_makes_a_server_that_tls_takes() {
        let authority = Authority::new("root");
        let between = authority.intermediate("between", Period::current());
        for key in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519, KeyKind::Rsa, KeyKind::Rsa4096] {
            let identity = between.issue_as(&Order { key, ..Order::new(&["localhost", "127.0.0.1"]) });
            assert_eq!(identity.chain.len(), 2);
            identity.server_config();
            let read = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes());
            assert_eq!(read.collect::<Result<Vec<_>, _>>().unwrap(), identity.chain);
        }
        authority.client_config();
    }
}
