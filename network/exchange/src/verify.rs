//! Verifies a server's identity: its certificate chain, at the time of the request.
//!
//! A host whose clock is known to be wrong may request *deferred validity*: if only the time is wrong, the chain is
//! judged at an instant at which all of it is valid, and which is not before the earliest possible time.
//! The engine then withholds the result until other sources agree.

use super::roots::Roots;
use ipc::message::exchange::{CertifiedNames, Exchange, ExchangeFailure, Operator, Organisation};
use ipc::units::WallTime;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerIncompatible, SignatureScheme};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;
use tls::validity::Validity;
use tls::{organisation, subject_names};
use webpki::{EndEntityCert, Error as PathError, KeyUsage};

/// Most certificates that a server may send.
const MAX_CHAIN: usize = 8;

/// The result of verifying a server's certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// When the whole chain is valid.
    pub(super) validity: Validity,
    /// Whether it is not valid now.
    pub(super) deferred: bool,
    /// Whose the server's own certificate is.
    pub(super) operator: Operator,
}

/// Verifies one server, once.
#[derive(Debug)]
pub(super) struct Verifier {
    roots: Roots,
    algorithms: WebPkiSupportedAlgorithms,
    /// Seconds since 1970.
    now: i64,
    not_before: Option<i64>,
    verdict: OnceLock<Result<Verdict, ExchangeFailure>>,
}

/// Why a chain is not valid at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// At another instant it might be valid.
    Time(ExchangeFailure),
    /// It is never valid.
    Other(ExchangeFailure),
}

impl Verifier {
    pub(super) fn new(exchange: &Exchange, roots: Roots, algorithms: WebPkiSupportedAlgorithms) -> Self {
        let not_before = exchange.not_before.map(seconds);
        Self { roots, algorithms, now: seconds(exchange.now), not_before, verdict: OnceLock::new() }
    }

    /// The result, if verification has taken place.
    pub(super) fn verdict(&self) -> Option<Result<Verdict, ExchangeFailure>> {
        self.verdict.get().copied()
    }

    fn judge(
        &self,
        server: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> Result<Verdict, ExchangeFailure> {
        if between.len() >= MAX_CHAIN {
            return Err(ExchangeFailure::BadCertificate);
        }
        let reason = match self.check(server, between, name, self.now) {
            Ok(validity) => {
                return Ok(Verdict { validity, deferred: false, operator: operator(server) });
            }
            Err(Flaw::Other(reason)) => return Err(reason),
            Err(Flaw::Time(reason)) => reason,
        };
        // A chain is valid at some instant if and only if it is valid when its last certificate becomes valid.
        let begins = [server].into_iter().chain(between).filter_map(|one| Validity::of(one));
        let mut begins: Vec<i64> = begins.map(|period| period.from).collect();
        begins.sort_unstable();
        begins.dedup();
        if let Some(floor) = self.not_before {
            let mut instants: Vec<i64> = begins.iter().map(|from| floor.max(*from)).collect();
            instants.dedup();
            for instant in instants {
                if let Ok(validity) = self.check(server, between, name, instant) {
                    return Ok(Verdict { validity, deferred: true, operator: operator(server) });
                }
            }
        }
        let mut never = None;
        for instant in begins {
            match self.check(server, between, name, instant) {
                Ok(_) => return Err(reason),
                Err(Flaw::Other(other)) => never = Some(other),
                Err(Flaw::Time(_)) => {}
            }
        }
        Err(never.unwrap_or(reason))
    }

    /// The validity of the chain that leads to a root and is valid at this instant.
    fn check(
        &self,
        server: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        at: i64,
    ) -> Result<Validity, Flaw> {
        const UNREADABLE: Flaw = Flaw::Other(ExchangeFailure::BadCertificate);
        let end = EndEntityCert::try_from(server).map_err(flaw)?;
        let own = Validity::of(server).ok_or(UNREADABLE)?;
        let validity = if self.roots.pin(server) {
            own
        } else {
            let algorithms = self.algorithms.all;
            let usage = KeyUsage::server_auth();
            let at = UnixTime::since_unix_epoch(Duration::from_secs(at.max(0).unsigned_abs()));
            let path = end.verify_for_usage(algorithms, self.roots.anchors(), between, at, usage, None, None);
            let path = path.map_err(flaw)?;
            let periods = path.intermediate_certificates().map(|between| Validity::of(&between.der()));
            periods.chain([Some(own)]).try_fold(own, |all, one| Some(all.and(one?))).ok_or(UNREADABLE)?
        };
        end.verify_is_valid_for_subject_name(name).map_err(flaw)?;
        match validity.contains(at) {
            true => Ok(validity),
            false if at < validity.from => Err(Flaw::Time(ExchangeFailure::NotYetValid)),
            false => Err(Flaw::Time(ExchangeFailure::Expired)),
        }
    }
}

/// Read only once the certificate is known to be an authority's.
fn operator(server: &CertificateDer<'_>) -> Operator {
    let names = subject_names::of(server);
    let names = names.iter().filter_map(|(kind, name)| match *kind {
        subject_names::HOST => Some(name.clone()),
        subject_names::ADDRESS => {
            let ip = <[u8; 4]>::try_from(name.as_slice()).map(IpAddr::from);
            ip.or_else(|_| <[u8; 16]>::try_from(name.as_slice()).map(IpAddr::from))
                .ok()
                .map(|ip| ip.to_canonical().to_string().into_bytes())
        }
        _ => None,
    });
    Operator {
        organisation: organisation::of(server).map_or(Organisation::NONE, Organisation::of),
        names: CertifiedNames::of(names.collect::<Vec<_>>().iter().map(Vec::as_slice)),
        fingerprint: hmac_sha256::Hash::hash(server),
    }
}

fn seconds(time: WallTime) -> i64 {
    time.nanos() / 1_000_000_000
}

fn flaw(error: PathError) -> Flaw {
    Flaw::Other(match error {
        PathError::CertExpired { .. } => return Flaw::Time(ExchangeFailure::Expired),
        PathError::CertNotValidYet { .. } => return Flaw::Time(ExchangeFailure::NotYetValid),
        PathError::CertNotValidForName(_) => ExchangeFailure::WrongName,
        PathError::UnknownIssuer => ExchangeFailure::UnknownIssuer,
        PathError::RequiredEkuNotFoundContext(_) => ExchangeFailure::NotForServers,
        _ => ExchangeFailure::BadCertificate,
    })
}

/// The alert that the server is sent.
fn alert(failure: ExchangeFailure) -> CertificateError {
    match failure {
        ExchangeFailure::Expired => CertificateError::Expired,
        ExchangeFailure::NotYetValid => CertificateError::NotValidYet,
        ExchangeFailure::WrongName => CertificateError::NotValidForName,
        ExchangeFailure::UnknownIssuer => CertificateError::UnknownIssuer,
        ExchangeFailure::NotForServers => CertificateError::InvalidPurpose,
        _ => CertificateError::BadEncoding,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = *self.verdict.get_or_init(|| self.judge(server, between, name));
        verdict.map(|_| ServerCertVerified::assertion()).map_err(|reason| alert(reason).into())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        server: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, server, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
