//! One TLS connection for one key exchange (RFC 8915 sections 3 and 4): a request, a response, keys.

use super::roots::Roots;
use super::verify::{Verdict, Verifier};
use ipc::message::exchange::{Exchange, ExchangeFailure, KeyServer};
use ipc::secret::{KeyPair, Secret};
use protocol::nts::aead::{Algorithm, Direction, EXPORTER_LABEL, Exporter, MAX_KEY, exporter_context};
use protocol::nts::record::{ALPN, Boundary};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection, Error, PeerMisbehaved};
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use tls::crypto;
use zeroize::Zeroizing;

/// Most octets that are read until the handshake is complete.
const MAX_HANDSHAKE: u64 = 64 << 10;

/// Most octets that are read after that: a message of 64 KiB, in records with at least eight octets of it.
const MAX_REST: u64 = 256 << 10;

/// A connection to an authenticated server, and its answer.
pub(super) struct Session {
    connection: ClientConnection,
    /// The state of certificate verification.
    pub(super) verdict: Verdict,
    /// The answer, a complete message.
    pub(super) message: Vec<u8>,
}

fn name_of(server: &KeyServer) -> Result<ServerName<'static>, ExchangeFailure> {
    match server {
        KeyServer::Name(name) => {
            if let Some((address, _)) = name.scoped() {
                return Ok(ServerName::from(IpAddr::V6(address)));
            }
            let text = name.as_str();
            let text = text.strip_suffix('.').unwrap_or(text).to_owned();
            ServerName::try_from(text).map_err(|_| ExchangeFailure::WrongName)
        }
        KeyServer::Address(address) => Ok(ServerName::from(address.ip())),
    }
}

impl Session {
    /// Completes the handshake, sends the request, and reads the answer.
    ///
    /// # Errors
    /// The fault of the connection, of TLS, of the certificate, or of the message's framing.
    pub(super) fn open(
        mut stream: &TcpStream,
        exchange: &Exchange,
        roots: Roots,
        request: &[u8],
    ) -> Result<Self, ExchangeFailure> {
        let provider = crypto();
        let verifier = Arc::new(Verifier::new(exchange, roots, provider.signature_verification_algorithms));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|_| ExchangeFailure::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<Verifier>::clone(&verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        let connection = ClientConnection::new(Arc::new(config), name_of(&exchange.server)?);
        let mut connection = connection.map_err(|_| ExchangeFailure::Tls)?;

        let why = |error: Error| match (verifier.verdict(), error) {
            (Some(Err(reason)), _) => reason,
            (
                _,
                Error::NoApplicationProtocol
                | Error::AlertReceived(AlertDescription::NoApplicationProtocol)
                | Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol),
            ) => ExchangeFailure::NoAlpn,
            _ => ExchangeFailure::Tls,
        };
        let outcome = Self::converse(&mut connection, stream, request, why);
        connection.send_close_notify();
        // A failed shutdown does not matter: the answer has arrived.
        while connection.wants_write() && connection.write_tls(&mut stream).is_ok_and(|sent| sent > 0) {}
        let message = outcome?;
        let verdict = verifier.verdict().and_then(Result::ok).ok_or(ExchangeFailure::BadCertificate)?;
        Ok(Self { connection, verdict, message })
    }

    /// Reads and writes until the message is complete.
    fn converse(
        connection: &mut ClientConnection,
        mut stream: &TcpStream,
        request: &[u8],
        why: impl Fn(Error) -> ExchangeFailure,
    ) -> Result<Vec<u8>, ExchangeFailure> {
        let mut has_asked = false;
        let mut left = MAX_HANDSHAKE;
        let mut boundary = Boundary::of_response();
        let mut message = Vec::new();
        loop {
            if !has_asked && !connection.is_handshaking() {
                if connection.alpn_protocol() != Some(ALPN) {
                    return Err(ExchangeFailure::NoAlpn);
                }
                connection.writer().write_all(request).map_err(|_| ExchangeFailure::Tls)?;
                has_asked = true;
                left = MAX_REST;
            }
            while connection.wants_write() {
                connection.write_tls(&mut stream).map_err(|_| ExchangeFailure::Reset)?;
            }
            if left == 0 {
                return Err(if has_asked { ExchangeFailure::BadResponse } else { ExchangeFailure::Tls });
            }
            let read = connection.read_tls(&mut stream.take(left)).map_err(|error| {
                // Other errors than the kernel's come from a message that is longer than TLS permits.
                if error.raw_os_error().is_some() { ExchangeFailure::Reset } else { ExchangeFailure::Tls }
            })?;
            left = left.saturating_sub(read as u64);
            let state = connection.process_new_packets().map_err(&why)?;
            if Self::collect(connection, state.plaintext_bytes_to_read(), &mut message, &mut boundary)? {
                return Ok(message);
            }
            if state.peer_has_closed() {
                return Err(ExchangeFailure::BadResponse);
            }
            if read == 0 {
                return Err(ExchangeFailure::Reset);
            }
        }
    }

    /// Processes the input that has arrived; returns whether the message is complete.
    fn collect(
        connection: &mut ClientConnection,
        arrived: usize,
        message: &mut Vec<u8>,
        boundary: &mut Boundary,
    ) -> Result<bool, ExchangeFailure> {
        if arrived == 0 {
            return Ok(false);
        }
        let start = message.len();
        // At most as much as was read from the socket, which is bounded.
        message.resize(start.saturating_add(arrived), 0);
        let place = message.get_mut(start..).ok_or(ExchangeFailure::BadResponse)?;
        connection.reader().read_exact(place).map_err(|_| ExchangeFailure::BadResponse)?;
        boundary.find(message).map(|end| end.is_some()).map_err(|_| ExchangeFailure::BadResponse)
    }

    /// The keys of this connection.
    ///
    /// # Errors
    /// `Tls` if there are none.
    pub(super) fn keys(&self, algorithm: Algorithm, exporter: Exporter) -> Result<KeyPair, ExchangeFailure> {
        let export = |direction| -> Result<Secret, ExchangeFailure> {
            let context = exporter_context(algorithm, direction, exporter);
            let mut octets = Zeroizing::new([0; MAX_KEY]);
            let place = octets.get_mut(..algorithm.key_length()).ok_or(ExchangeFailure::Tls)?;
            let exported = self.connection.export_keying_material(place, EXPORTER_LABEL, Some(&context));
            exported.map_err(|_| ExchangeFailure::Tls)?;
            Ok(Secret::new(&octets))
        };
        Ok(KeyPair {
            client_to_server: export(Direction::ClientToServer)?,
            server_to_client: export(Direction::ServerToClient)?,
        })
    }
}
