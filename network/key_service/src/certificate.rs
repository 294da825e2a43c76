//! The certificate, read from its file, with the fields that are reported.

use ipc::message::key_service::{Objection, Scheme, Unread};
use network::small_file;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, alg_id};
use rustls::server::ParsedCertificate;
use sha2::{Digest, Sha256};
use std::path::Path;
use tls::subject_names::{self, Names};
use tls::validity::Validity;

/// Most certificates, and most octets of all together: all of it is sent in each handshake.
const MAX_CHAIN: usize = 8;
const MAX_OCTETS: usize = 16 * 1024;

/// The type of a certificate's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// ECDSA with P-256.
    P256,
    /// Ed25519.
    Ed25519,
    /// RSA.
    Rsa,
}

impl KeyKind {
    /// The signature schemes that it supports, best first.
    pub(super) const fn schemes(self) -> &'static [Scheme] {
        match self {
            KeyKind::P256 => &[Scheme::EcdsaP256],
            KeyKind::Ed25519 => &[Scheme::Ed25519],
            KeyKind::Rsa => &[Scheme::RsaPss256, Scheme::RsaPss384, Scheme::RsaPss512],
        }
    }

    fn of(public_key: &[u8]) -> Option<Self> {
        let kinds = [
            (alg_id::ECDSA_P256, Self::P256),
            (alg_id::ED25519, Self::Ed25519),
            (alg_id::RSA_ENCRYPTION, Self::Rsa),
        ];
        // SEQUENCE { SEQUENCE { the algorithm } .. }, whose first length takes one octet or three.
        let starts = [2, 4].map(|at| public_key.get(at..).and_then(|rest| rest.strip_prefix(&[0x30])));
        starts.into_iter().flatten().filter_map(|rest| rest.get(1..)).find_map(|rest| {
            kinds.iter().find(|(algorithm, _)| rest.starts_with(algorithm.as_ref())).map(|(_, kind)| *kind)
        })
    }
}

/// A certificate with its intermediate certificates.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    /// The server's certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    pub kind: KeyKind,
    /// SHA-256 of its public key.
    pub fingerprint: [u8; 32],
    /// When it is valid.
    pub validity: Validity,
    /// Which names it is for.
    pub names: Names,
}

impl Certificate {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Unread`]: why it is not used.
    pub(super) fn read(path: &Path) -> Result<Self, Unread> {
        Self::from_text(&small_file::read(path)?).ok_or(Unread::Unsupported)
    }

    /// Whether it is for a host name, by one of its names or by a wildcard that stands for one label (RFC 9525 section 6.3).
    pub(super) fn is_for(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let mut wanted = [Some(name), wildcard].into_iter().flatten();
        wanted.any(|wanted| self.names.contains(&(subject_names::HOST, wanted.into_bytes())))
    }

    /// Why this one must not replace another that is in use at this time, seconds since 1970.
    pub(super) fn objection(&self, in_use: &Self, now: i64) -> Option<Objection> {
        if !in_use.validity.contains(now) {
            return None;
        }
        if now > self.validity.until {
            Some(Objection::Expired)
        } else if now < self.validity.from {
            Some(Objection::NotYetValid)
        } else {
            (!in_use.names.is_subset(&self.names)).then_some(Objection::LacksName)
        }
    }

    fn from_text(text: &[u8]) -> Option<Self> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(text).take(MAX_CHAIN + 1).collect::<Result<_, _>>().ok()?;
        let octets: usize = chain.iter().map(|one| one.len()).sum();
        if chain.len() > MAX_CHAIN || octets > MAX_OCTETS {
            return None;
        }
        let own = chain.first()?;
        let public_key = ParsedCertificate::try_from(own).ok()?.subject_public_key_info();
        let kind = KeyKind::of(&public_key)?;
        // A certificate that is never valid is of no use to any client, and a message cannot represent it.
        let validity = Validity::of(own).filter(|period| period.from <= period.until)?;
        Some(Self {
            kind,
            fingerprint: Sha256::digest(&public_key).into(),
            validity,
            names: subject_names::of(own),
            chain,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench::authority::{Authority, DAY, KeyKind as Made, Order, Period, now};
    use proptest::prelude::*;

    #[test]
    fn each_kind_of_key_is_known_and_a_chain_is_taken_whole() {
        let between = Authority::new("root").intermediate("between", Period::current());
        for (made, kind) in
            [(Made::P256, KeyKind::P256), (Made::Ed25519, KeyKind::Ed25519), (Made::Rsa, KeyKind::Rsa)]
        {
            let identity = between.issue_as(&Order { key: made, ..Order::new(&["localhost"]) });
            let read = Certificate::from_text(identity.chain_pem.as_bytes()).unwrap();
            assert_eq!((read.kind, read.chain.len()), (kind, 2));
        }
    }

    #[test]
    fn a207_a_certificate_is_for_its_names_and_for_one_label_below_its_wildcards() {
        let identity = Authority::new("root").issue(&["a.example", "*.b.example", "127.0.0.1"]);
        let read = Certificate::from_text(identity.chain_pem.as_bytes()).unwrap();
        for name in ["a.example", "A.Example.", "x.b.example", "X.b.example"] {
            assert!(read.is_for(name), "{name}");
        }
        for name in
            ["example", "b.example", "x.a.example", "x.y.b.example", "c.example", "127.0.0.1", "", "."]
        {
            assert!(!read.is_for(name), "{name}");
        }
    }

    #[test]
    fn a_chain_that_is_too_long_or_has_no_certificate_in_it_is_refused() {
        let one = Authority::new("root").issue(&["localhost"]).chain_pem;
        assert!(Certificate::from_text(one.repeat(MAX_CHAIN).as_bytes()).is_some());
        assert!(Certificate::from_text(one.repeat(MAX_CHAIN + 1).as_bytes()).is_none());
        assert!(Certificate::from_text(b"").is_none());
        assert!(Certificate::from_text(one.replace("MII", "MIJ").as_bytes()).is_none());
    }

    #[test]
    fn a_certificate_that_ends_before_it_begins_is_none() {
        let authority = Authority::new("root");
        let of = |from: i64, until: i64| {
            let order = Order { period: Period { from, until }, ..Order::new(&["localhost"]) };
            Certificate::from_text(authority.issue_as(&order).chain_pem.as_bytes())
        };
        assert!(of(now(), now() + DAY).is_some());
        assert!(of(now(), now() - DAY).is_none(), "the engine trusts no server that uses one");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a097_no_damage_to_a_certificate_panics(at in 0usize..600, octet: u8, cut in 0usize..900) {
            let identity = Authority::new("root").issue(&["localhost"]);
            let mut text = identity.chain_pem.into_bytes();
            if let Some(place) = text.get_mut(at) {
                *place = octet;
            }
            let _ = Certificate::from_text(&text);
            text.truncate(cut);
            let _ = Certificate::from_text(&text);
        }
    }
}
