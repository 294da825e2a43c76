//! Key exchanges in a closed loop: a number of clients, each with one exchange in progress, for some time.

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The parameters.
#[derive(Clone, Copy, Debug)]
pub struct KeyLoad {
    /// The server.
    pub address: SocketAddr,
    /// The number of clients.
    pub clients: usize,
    /// The duration, seconds.
    pub seconds: f64,
    /// The requested algorithm.
    pub algorithm: u16,
}

/// The results.
#[derive(Clone, Copy, Debug)]
pub struct KeyFigures {
    /// Exchanges that ended with eight cookies.
    pub exchanged: u64,
    /// All other exchanges.
    pub failed: u64,
    /// The actual duration, seconds.
    pub seconds: f64,
    /// The median duration of an exchange, microseconds.
    pub median_us: f64,
    /// The 99th percentile, microseconds.
    pub p99_us: f64,
}

/// A client that accepts every certificate, so that the generator has less work than the server.
///
/// # Panics
/// If the cryptographic library fails.
pub fn credulous_config() -> Arc<ClientConfig> {
    use rustls::crypto::aws_lc_rs::{
        cipher_suite::TLS13_AES_128_GCM_SHA256, default_provider, kx_group::X25519,
    };
    let mut provider = default_provider();
    // The same for all servers, whatever they prefer.
    provider.kx_groups = vec![X25519];
    provider.cipher_suites = vec![TLS13_AES_128_GCM_SHA256];
    let provider = Arc::new(provider);
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider does TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"ntske/1".to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl KeyLoad {
    /// Runs it.
    ///
    /// # Panics
    /// If a thread cannot be created.
    pub fn run(&self) -> KeyFigures {
        let config = credulous_config();
        let (is_over, failed) = (AtomicBool::new(false), AtomicU64::new(0));
        let begin = Instant::now();
        let mut times: Vec<f64> = std::thread::scope(|scope| {
            let client = || {
                let mut times = Vec::new();
                while !is_over.load(Relaxed) {
                    let start = Instant::now();
                    let keys =
                        crate::key_client::exchange(self.address, "localhost", &config, &[self.algorithm]);
                    if keys.is_ok_and(|keys| keys.cookies.len() == 8 && keys.algorithm == self.algorithm) {
                        times.push(start.elapsed().as_secs_f64() * 1e6);
                    } else {
                        failed.fetch_add(1, Relaxed);
                    }
                }
                times
            };
            let clients: Vec<_> = (0..self.clients).map(|_| scope.spawn(client)).collect();
            std::thread::sleep(Duration::from_secs_f64(self.seconds));
            is_over.store(true, Relaxed);
            clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
        });
        let seconds = begin.elapsed().as_secs_f64();
        times.sort_by(f64::total_cmp);
        let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN);
        KeyFigures {
            exchanged: times.len() as u64,
            failed: failed.into_inner(),
            seconds,
            median_us: at(0.5),
            p99_us: at(0.99),
        }
    }
}
