//! Signatures for handshakes, requested from the key holder: one request at a time over a thread's own link, and the
//! thread waits for the answer. Meanwhile the other threads continue.

use ipc::message::key_service::{FromKeyHolder, Scheme, Sign, Signature, ToKeyHolder};
use ipc_link::{Link, LinkError};
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tls::certificate_verify::{named, take_apart};

use super::certificate::{Certificate, KeyKind};

/// A blocking link to the key holder, with a bounded waiting time.
pub(super) struct Holder {
    link: Link<ToKeyHolder, FromKeyHolder>,
    /// Answers that did not arrive in time and may still arrive.
    owed: u32,
    /// Why the link can no longer be used.
    failure: Option<LinkError>,
}

impl Holder {
    pub(super) const fn new(link: Link<ToKeyHolder, FromKeyHolder>) -> Self {
        Self { link, owed: 0, failure: None }
    }

    /// Why no further signature can be obtained, if so.
    pub(super) const fn failure(&self) -> Option<LinkError> {
        self.failure
    }

    /// From now on signatures with the key of this number are made with the one that was read last.
    pub(super) fn change_key(&mut self, number: u8) {
        match self.link.send(&ToKeyHolder::Use(number)) {
            Ok(_) => {}
            Err(error) => self.failure = Some(error),
        }
    }

    fn sign(&mut self, order: Sign) -> Option<Signature> {
        let signed = self.ask(order);
        // A peer of ours that is out of step ends the process; a full link does not.
        if let Err(error) = signed
            && error != LinkError::Full
        {
            self.failure = Some(error);
        }
        signed.ok().flatten()
    }

    fn ask(&mut self, order: Sign) -> Result<Option<Signature>, LinkError> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        while self.owed > 0 {
            if self.link.receive()?.is_none() {
                return Ok(None);
            }
            self.owed -= 1;
        }
        self.link.send(&ToKeyHolder::Sign(order))?;
        match self.link.receive()? {
            Some((_, FromKeyHolder::Signed(signature))) => Ok(Some(signature)),
            Some(_) => Ok(None),
            None => {
                self.owed += 1;
                Ok(None)
            }
        }
    }
}

/// The private key in this process: a reference to the key holder.
pub(super) struct HeldKey {
    pub holder: Arc<Mutex<Holder>>,
    pub number: u8,
    pub kind: KeyKind,
}

impl fmt::Debug for HeldKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HeldKey").field(&self.kind).finish()
    }
}

impl SigningKey for HeldKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = *self.kind.schemes().iter().find(|scheme| offered.contains(&named(**scheme)))?;
        Some(Box::new(Order { holder: Arc::clone(&self.holder), key: self.number, scheme }))
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        match self.kind {
            KeyKind::P256 => rustls::SignatureAlgorithm::ECDSA,
            KeyKind::Ed25519 => rustls::SignatureAlgorithm::ED25519,
            KeyKind::Rsa => rustls::SignatureAlgorithm::RSA,
        }
    }
}

struct Order {
    holder: Arc<Mutex<Holder>>,
    key: u8,
    scheme: Scheme,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Order").field(&self.scheme).finish()
    }
}

impl Signer for Order {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let refused = |why: &str| rustls::Error::General(why.to_owned());
        let transcript = take_apart(message).ok_or_else(|| refused("not a CertificateVerify"))?;
        let order = Sign { key: self.key, scheme: self.scheme, transcript };
        let signed = self.holder.lock().unwrap_or_else(PoisonError::into_inner).sign(order);
        signed
            .map(|signature| signature.octets().to_vec())
            .ok_or_else(|| refused("the key holder signs nothing"))
    }

    fn scheme(&self) -> SignatureScheme {
        named(self.scheme)
    }
}

/// The certificates in use, in their order.
#[derive(Debug)]
pub(super) struct ByName {
    /// For clients that ask for no name (those that know an address), or for one that none is for: these refuse it, and say which
    /// name they want in their log.
    pub usual: Option<Arc<CertifiedKey>>,
    pub all: Vec<(Arc<Certificate>, Arc<CertifiedKey>)>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.all.iter().find(|(it, _)| it.is_for(name)));
        named.map(|(_, key)| key).or(self.usual.as_ref()).map(Arc::clone)
    }
}
