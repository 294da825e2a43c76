//! From a request to a response (RFC 8915 section 4): keys from the TLS connection, and cookies that contain them.

use super::context::{Context, End};
use protocol::nts::MAX_COOKIES;
use protocol::nts::aead::{
    Algorithm, Direction, EXPORTER_LABEL, Exporter, MAX_KEY, SessionKeys, exporter_context,
};
use protocol::nts::cookie::{Cookie, MAX_LENGTH, NONCE};
use protocol::nts::ke_request::{Agreement, Request};
use protocol::nts::ke_response::{Answer, encode_error, encode_no_algorithm, encode_no_protocol};
use protocol::nts::record::{ErrorCode, HEAD, NoRoom};
use rustls::server::ServerConnection;
use zeroize::Zeroizing;

/// Octets of the longest response: eight cookies with their record headers, a host name of 253, and a few more.
const MAX_RESPONSE: usize = MAX_COOKIES * (HEAD + MAX_LENGTH) + 320;

/// The response to a complete request, and its outcome.
pub(super) fn answer(request: &[u8], tls: &ServerConnection, context: &Context) -> (Vec<u8>, End) {
    let policy = &context.settings.policy;
    match Request::decode(request).map(|request| request.agree(policy.aead)) {
        Err(refusal) => (error(refusal.code()), End::Refused),
        Ok(Agreement::NoProtocol) => (write(encode_no_protocol), End::Refused),
        Ok(Agreement::NoAlgorithm) => (write(encode_no_algorithm), End::Refused),
        Ok(Agreement::Agreed { algorithm, exporter, says_compliant_exporter }) => {
            match export(tls, algorithm, exporter).and_then(|keys| seal(&keys, context)) {
                None => (error(ErrorCode::InternalServerError), End::Refused),
                Some(cookies) => {
                    let cookies = cookies.each_ref().map(Cookie::octets);
                    let answer = Answer {
                        algorithm,
                        says_compliant_exporter,
                        server: policy.ntp_server.as_ref().map(ipc::message::exchange::HostName::as_str),
                        port: policy.ntp_port,
                        cookies: &cookies,
                    };
                    (write(|out| answer.encode(out)), End::Exchanged)
                }
            }
        }
    }
}

/// The response that reports an error.
pub(super) fn error(code: ErrorCode) -> Vec<u8> {
    write(|out| encode_error(code, out))
}

fn write(encode: impl FnOnce(&mut [u8]) -> Result<usize, NoRoom>) -> Vec<u8> {
    let mut out = vec![0; MAX_RESPONSE];
    let length = encode(&mut out).unwrap_or(0);
    out.truncate(length);
    out
}

fn export(tls: &ServerConnection, algorithm: Algorithm, exporter: Exporter) -> Option<SessionKeys> {
    let export = |direction| {
        let mut octets = Zeroizing::new([0; MAX_KEY]);
        let place = octets.get_mut(..algorithm.key_length())?;
        let context = exporter_context(algorithm, direction, exporter);
        tls.export_keying_material(place, EXPORTER_LABEL, Some(&context)).ok()?;
        Some(octets)
    };
    let (to_server, to_client) = (export(Direction::ClientToServer)?, export(Direction::ServerToClient)?);
    let length = algorithm.key_length();
    SessionKeys::from_octets(algorithm, to_server.get(..length)?, to_client.get(..length)?)
}

fn seal(keys: &SessionKeys, context: &Context) -> Option<[Cookie; MAX_COOKIES]> {
    let cookies = context.settings.cookies.as_ref()?;
    let mut nonces = [0; MAX_COOKIES * NONCE];
    context.config.as_ref()?.crypto_provider().secure_random.fill(&mut nonces).ok()?;
    let (nonces, _) = nonces.as_chunks::<NONCE>();
    let nonces: [[u8; NONCE]; MAX_COOKIES] = nonces.try_into().ok()?;
    let mut sealed = [cookies.seal(keys, &nonces[0])?; MAX_COOKIES];
    for (place, nonce) in sealed.iter_mut().zip(&nonces).skip(1) {
        *place = cookies.seal(keys, nonce)?;
    }
    Some(sealed)
}
