//! One client's key exchange, as octets in and octets out: TLS, one request, one response.

use super::answer::answer;
use super::context::{Context, End};
use protocol::nts::record::{ALPN, Boundary, ErrorCode, MAX_REQUEST};
use rustls::server::{Accepted, Acceptor, ServerConnection};
use std::io::Read;
use std::sync::Arc;
use zeroize::Zeroize;

/// Most octets that a client may send: its first message, and one complete TLS record, so that it can be told that
/// its request is too long.
const MAX_HEARD: usize = 32 * 1024;

/// An alert that ends the connection (RFC 8446 section 6): no application protocol in common.
const NO_PROTOCOL: [u8; 7] = [21, 3, 3, 0, 2, 2, 120];

/// An exchange in progress.
pub(super) struct Session {
    stage: Stage,
    heard: usize,
}

enum Stage {
    Hello(Box<Acceptor>),
    Secret(Box<Secret>),
    Over,
}

/// The TLS connection, once it is accepted.
struct Secret {
    tls: ServerConnection,
    request: Vec<u8>,
    boundary: Boundary,
}

impl Session {
    pub(super) fn new() -> Self {
        Self { stage: Stage::Hello(Box::default()), heard: 0 }
    }

    /// Whether the client's first message was accepted, and counted against the budget.
    pub(super) const fn is_secret(&self) -> bool {
        matches!(self.stage, Stage::Secret(_))
    }

    /// Processes input from a client, and appends the output to `out`. `begins` is called once, when the first message
    /// is complete. After an end, input is ignored.
    pub(super) fn hear(
        &mut self,
        mut octets: &[u8],
        context: &Context,
        begins: impl FnOnce() -> bool,
        out: &mut Vec<u8>,
    ) -> Option<End> {
        self.heard = self.heard.saturating_add(octets.len());
        if self.heard > MAX_HEARD {
            return self.end(End::Refused);
        }
        if let Stage::Hello(acceptor) = &mut self.stage {
            let accepted = loop {
                match acceptor.accept() {
                    Ok(Some(accepted)) => break accepted,
                    Ok(None) => {}
                    Err((_, mut alert)) => {
                        let _ = alert.write_all(out);
                        return self.end(End::Tls);
                    }
                }
                if octets.is_empty() {
                    return None;
                }
                if !matches!(acceptor.read_tls(&mut octets), Ok(1..)) {
                    return self.end(End::Tls);
                }
            };
            match begin(accepted, context, begins, out) {
                Ok(secret) => self.stage = Stage::Secret(Box::new(secret)),
                Err(end) => return self.end(end),
            }
        }
        let Stage::Secret(secret) = &mut self.stage else { return None };
        let end = secret.hear(octets, context);
        secret.tell(out);
        end.and_then(|end| self.end(end))
    }

    /// The client's time is over. It receives an error response if possible.
    pub(super) fn run_out(&mut self, out: &mut Vec<u8>) {
        if let Stage::Secret(secret) = &mut self.stage
            && !secret.tls.is_handshaking()
        {
            secret.say(&super::answer::error(ErrorCode::BadRequest));
            secret.tell(out);
        }
        self.stage = Stage::Over;
    }

    fn end(&mut self, end: End) -> Option<End> {
        self.stage = Stage::Over;
        Some(end)
    }
}

fn begin(
    accepted: Accepted,
    context: &Context,
    begins: impl FnOnce() -> bool,
    out: &mut Vec<u8>,
) -> Result<Secret, End> {
    // rustls continues with a client that offers no protocol at all.
    let names_ours = accepted.client_hello().alpn().is_some_and(|mut names| names.any(|name| name == ALPN));
    if !names_ours {
        out.extend_from_slice(&NO_PROTOCOL);
        return Err(End::Tls);
    }
    let config = context.config.as_ref().ok_or(End::Tls)?;
    if !begins() {
        return Err(End::Limited);
    }
    match accepted.into_connection(Arc::clone(config)) {
        Ok(tls) => Ok(Secret { tls, request: Vec::new(), boundary: Boundary::of_request() }),
        Err((_, mut alert)) => {
            let _ = alert.write_all(out);
            Err(End::Tls)
        }
    }
}

impl Secret {
    fn hear(&mut self, mut octets: &[u8], context: &Context) -> Option<End> {
        loop {
            let state = match self.tls.process_new_packets() {
                Ok(state) => state,
                Err(_) => return Some(End::Tls),
            };
            if state.plaintext_bytes_to_read() > 0 {
                let end = self.take(state.plaintext_bytes_to_read(), context);
                if end.is_some() {
                    return end;
                }
            }
            if state.peer_has_closed() {
                return Some(End::Gone);
            }
            if octets.is_empty() {
                return None;
            }
            if !matches!(self.tls.read_tls(&mut octets), Ok(1..)) {
                return Some(End::Tls);
            }
        }
    }

    /// Reads the decrypted data, and answers when the request is complete.
    fn take(&mut self, arrived: usize, context: &Context) -> Option<End> {
        let from = self.request.len();
        // Room for one octet more than a request may have: it shows one that is too long.
        let room = (MAX_REQUEST + 1).saturating_sub(from).min(arrived);
        self.request.resize(from + room, 0);
        let read = self.tls.reader().read(self.request.get_mut(from..)?).unwrap_or(0);
        self.request.truncate(from + read);
        // The client offered the protocol, or there would be no connection; it was selected, or the client ended it.
        let is_ours = self.tls.alpn_protocol() == Some(ALPN);
        let (response, end) = match self.boundary.find(&self.request) {
            Ok(None) if is_ours => return None,
            Ok(Some(length)) if is_ours => answer(self.request.get(..length)?, &self.tls, context),
            _ => (super::answer::error(ErrorCode::BadRequest), End::Refused),
        };
        self.say(&response);
        Some(end)
    }

    /// Sends the response and the close notification.
    fn say(&mut self, response: &[u8]) {
        use std::io::Write;
        let _ = self.tls.writer().write_all(response);
        self.tls.send_close_notify();
    }

    fn tell(&mut self, out: &mut Vec<u8>) {
        while self.tls.wants_write() {
            if !matches!(self.tls.write_tls(out), Ok(1..)) {
                break;
            }
        }
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.request.zeroize();
    }
}

#[cfg(test)]
mod tests;
