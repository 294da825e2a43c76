//! What a thread has for its clients, and what can become of one.

use super::shared::Settings;
use rustls::ServerConfig;
use std::sync::Arc;
use threads::Version;

/// The resources of a thread for its clients.
#[derive(Debug)]
pub(super) struct Context {
    pub settings: Arc<Version<Settings>>,
    /// `None` without a certificate.
    pub config: Option<Arc<ServerConfig>>,
}

/// The outcome for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has received its cookies.
    Exchanged,
    /// Its request was answered with an error, or had nothing in common with this server.
    Refused,
    /// TLS failed, on either side.
    Tls,
    /// Too many handshakes came before it.
    Limited,
    /// It closed the connection.
    Gone,
}
