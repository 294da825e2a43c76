//! What is known of keys, never a key.

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
        /// The keys of cookies; none: there is no server with NTS.
        cookie_keys: Option<CookieKeysReply>,
        /// The key exchange service; none: there is none.
        key_exchange: Option<KeyExchangeReply>,
    }

    /// The keys that seal and open cookies.
    CookieKeysReply {
        /// `fleet` or `own`: whose secret they are made of.
        origin: &'static str,
        /// Day since 1970 whose key seals; none: there is no key yet.
        current: Option<u32>,
        /// Days whose keys open.
        epochs: Vec<u32>,
        /// Whether they change with the days: the clock has been synchronised.
        settled: bool,
        /// One sentence: what is wrong with them; none: nothing.
        trouble: Option<String>,
    }

    /// The key exchange service, as replies to `status` have it too.
    KeyExchangeReply {
        /// What it shows its clients.
        certificate: CertificateReply,
        /// What it did, by name; none: nothing counted yet.
        counters: Option<Counts>,
    }

    /// Certificate and key of the service.
    CertificateReply {
        /// `in-use`, `unread`, `no-certificate`, `no-key` or `mismatch`: how the last reading ended.
        state: &'static str,
        /// How often it was read.
        readings: u32,
        /// Of the certificate in use, in seconds since 1970.
        not_before: Option<i64>,
        /// Of the certificate in use, in seconds since 1970.
        not_after: Option<i64>,
        /// Whole days until `not_after`, rounded down; negative: it has expired.
        days_left: Option<i64>,
        /// One sentence: what people should know of it; none: it is as it should be.
        warning: Option<String>,
    }
}

/// One NTS source in a reply to `keys`: its association's fields follow its name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceKeys {
    /// As configured.
    pub name: String,
    /// Address and port; empty while it isn't known.
    pub address: String,
    /// The association.
    #[serde(flatten)]
    pub nts: NtsReport,
}

impl crate::schema::Written for SourceKeys {
    type Read = ReadSourceKeys;
}

/// The same as it is read.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub struct ReadSourceKeys {
    /// As configured.
    pub name: Option<String>,
    /// Address and port; empty while it isn't known.
    pub address: Option<String>,
    /// The association.
    #[serde(flatten)]
    pub nts: crate::source::read::NtsReport,
}
