//! Reply to `keys`. It contains no key.

use crate::reason::{CertificateState, CookieKeyOrigin};
use crate::schema::Counts;
use crate::source::NtsReport;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Serialize;

documents! {
    /// Reply to `keys`.
    KeysReply {
        /// The NTS sources, in the order of the configuration.
        sources: Vec<SourceKeys>,
        /// The keys of cookies; none: no NTS server is configured.
        cookie_keys: Option<CookieKeysReply>,
        /// The key exchange service; none: none is configured.
        key_exchange: Option<KeyExchangeReply>,
        /// The version of the form of this document ([`FORMAT`](crate::FORMAT)).
        format: u32,
    }

    /// The keys that encrypt and decrypt cookies.
    CookieKeysReply {
        /// The secret from which they are derived.
        origin: CookieKeyOrigin,
        /// Day since 1970 whose key encrypts; none: there is no key yet.
        current: Option<u32>,
        /// Days since 1970 whose keys decrypt.
        epochs: Vec<u32>,
        /// Whether the keys change every day, which they do once the clock has been synchronised.
        settled: bool,
        /// What is wrong with the keys, in one sentence; none: nothing.
        trouble: Option<String>,
    }

    /// The key exchange service, as replies to `status` have it too.
    KeyExchangeReply {
        /// The certificate that it presents.
        certificate: CertificateReply,
        /// Counters by name; none: nothing has been counted yet.
        counters: Option<Counts>,
        /// Further certificates, for clients that ask for a name of theirs.
        further: Vec<FurtherCertificateReply>,
    }

    /// A further certificate and its private key.
    FurtherCertificateReply {
        /// The file of the certificate.
        file: String,
        /// The result of the last reading.
        state: CertificateState,
        /// Validity of the certificate in use, in seconds since 1970.
        not_before: Option<i64>,
        /// Validity of the certificate in use, in seconds since 1970.
        not_after: Option<i64>,
        /// Whole days until `not_after`, rounded down; negative: it has expired.
        days_left: Option<i64>,
        /// A warning about the certificate, in one sentence; none: there is none.
        warning: Option<String>,
    }

    /// Certificate and private key of the service.
    CertificateReply {
        /// The result of the last reading.
        state: CertificateState,
        /// How often the certificate was read.
        readings: u32,
        /// Validity of the certificate in use, in seconds since 1970.
        not_before: Option<i64>,
        /// Validity of the certificate in use, in seconds since 1970.
        not_after: Option<i64>,
        /// Whole days until `not_after`, rounded down; negative: it has expired.
        days_left: Option<i64>,
        /// A warning about the certificate, in one sentence; none: there is none.
        warning: Option<String>,
    }
}

/// One NTS source. The fields of its association follow its name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceKeys {
    /// The name as configured.
    pub name: String,
    /// Address and port; empty while it is not known.
    pub address: String,
    /// The association.
    #[serde(flatten)]
    pub nts: NtsReport,
}

impl crate::schema::Written for SourceKeys {
    type Read = ReadSourceKeys;
}

/// The same, as it is read.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub struct ReadSourceKeys {
    /// The name as configured.
    pub name: Option<String>,
    /// Address and port; empty while it is not known.
    pub address: Option<String>,
    /// The association.
    #[serde(flatten)]
    pub nts: crate::source::read::NtsReport,
}
