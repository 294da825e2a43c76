//! `key_floor ADDRESS CERTIFICATE KEY`: the lowest cost of a key exchange with rustls: threads that block, the
//! private key in the process, no counters and no limits. The reference for servers.

use bench::key_pair::CookieSecret;
use protocol::nts::aead::{Algorithm, Direction, EXPORTER_LABEL, Exporter, SessionKeys, exporter_context};
use protocol::nts::ke_response::Answer;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ServerConnection};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

const THREADS: usize = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, certificate, key] = words.as_slice() else {
        return Err("usage: key_floor ADDRESS CERTIFICATE KEY".into());
    };
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"ntske/1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    let (config, listener) = (Arc::new(config), TcpListener::bind(address)?);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Ok((stream, _)) = listener.accept() {
                    let _ = serve(stream, &config);
                }
            });
        }
    });
    Ok(())
}

fn serve(mut stream: TcpStream, config: &Arc<ServerConfig>) -> Result<(), Box<dyn Error>> {
    let mut tls = ServerConnection::new(Arc::clone(config))?;
    let mut request = [0; 1024];
    let mut length = 0;
    while length < 4 || request[length - 4..length] != [0x80, 0, 0, 0] {
        if tls.read_tls(&mut stream)? == 0 {
            return Err("gone".into());
        }
        tls.process_new_packets()?;
        length += tls.reader().read(&mut request[length..]).unwrap_or(0);
        while tls.wants_write() {
            tls.write_tls(&mut stream)?;
        }
    }
    let export = |direction| {
        let context = exporter_context(Algorithm::AesSivCmac256, direction, Exporter::Standard);
        tls.export_keying_material([0; 32], EXPORTER_LABEL, Some(&context))
    };
    let keys = [Direction::ClientToServer, Direction::ServerToClient].map(export);
    let [Ok(to_server), Ok(to_client)] = keys else { return Err("no keys".into()) };
    let keys = SessionKeys::from_octets(Algorithm::AesSivCmac256, &to_server, &to_client).ok_or("keys")?;
    let mut nonces = [0; 96];
    config.crypto_provider().secure_random.fill(&mut nonces).map_err(|_| "no random numbers")?;
    let secret = CookieSecret(7).keys();
    let cookies: Vec<_> =
        nonces.as_chunks::<12>().0.iter().map(|nonce| secret.seal(&keys, nonce).unwrap()).collect();
    let cookies: Vec<&[u8]> = cookies.iter().map(|cookie| cookie.octets()).collect();
    let answer = Answer {
        algorithm: Algorithm::AesSivCmac256,
        says_compliant_exporter: false,
        server: None,
        port: None,
        cookies: &cookies,
    };
    let mut response = [0; 1280];
    let length = answer.encode(&mut response).map_err(|_| "no room")?;
    tls.writer().write_all(&response[..length])?;
    tls.send_close_notify();
    while tls.wants_write() {
        tls.write_tls(&mut stream)?;
    }
    Ok(())
}
