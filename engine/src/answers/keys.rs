//! Reply to `keys`: what is known of keys, never a key.

use super::write;
use crate::cookie_keys::CookieSource;
use crate::key_exchange::KeyExchange;
use engine_core::report::{NtsReport, Report};
use ipc::message::key_service::Loaded;
use ipc::units::WallTime;
use serde::Serialize;

#[derive(Serialize)]
struct KeysReply<'a> {
    sources: Vec<SourceKeys<'a>>,
    cookie_keys: Option<CookieKeysReply<'a>>,
    key_exchange: Option<KeyExchangeReply>,
}

#[derive(Serialize)]
struct SourceKeys<'a> {
    name: &'a str,
    address: &'a str,
    #[serde(flatten)]
    nts: &'a NtsReport,
}

#[derive(Serialize)]
struct CookieKeysReply<'a> {
    origin: &'static str,
    /// Day since 1970 whose key seals.
    current: Option<u32>,
    /// Days whose keys open.
    epochs: Vec<u32>,
    settled: bool,
    trouble: Option<&'a str>,
}

/// The key exchange service, as status replies have it too.
#[derive(Serialize)]
pub struct KeyExchangeReply {
    certificate: CertificateReply,
    counters: Option<CountersReply>,
}

#[derive(Serialize)]
struct CertificateReply {
    /// `in-use`, `unread`, `no-certificate`, `no-key` or `mismatch`: how the last reading ended.
    state: &'static str,
    /// How often it was read.
    readings: u32,
    /// Of the certificate in use, in seconds since 1970.
    not_before: Option<i64>,
    not_after: Option<i64>,
    days_left: Option<i64>,
    warning: Option<String>,
}

#[derive(Serialize)]
struct CountersReply {
    accepted: u64,
    exchanged: u64,
    limited: u64,
    tls: u64,
    refused: u64,
    late: u64,
    gone: u64,
}

impl KeyExchangeReply {
    /// At this moment of the steered clock.
    pub fn of(known: &KeyExchange, now: WallTime) -> Self {
        let state = match known.last {
            None => "unread",
            Some(Loaded::InUse { .. }) => "in-use",
            Some(Loaded::NoCertificate(_)) => "no-certificate",
            Some(Loaded::NoKey) => "no-key",
            Some(Loaded::Mismatch) => "mismatch",
        };
        let counters = known.counters.map(|counters| CountersReply {
            accepted: counters.accepted,
            exchanged: counters.exchanged,
            limited: counters.limited,
            tls: counters.tls,
            refused: counters.refused,
            late: counters.late,
            gone: counters.gone,
        });
        let certificate = CertificateReply {
            state,
            readings: known.readings,
            not_before: known.in_use.map(|(since, _)| since),
            not_after: known.in_use.map(|(_, until)| until),
            days_left: known.days_left(now),
            warning: known.warning(now),
        };
        Self { certificate, counters }
    }
}

/// The reply.
pub fn keys(
    report: &Report,
    cookies: Option<&CookieSource>,
    known: Option<&KeyExchange>,
    now: WallTime,
) -> String {
    let sources = report.sources.iter().filter_map(|source| {
        Some(SourceKeys { name: &source.name, address: &source.address, nts: source.nts.as_ref()? })
    });
    let cookie_keys = cookies.map(|cookies| {
        let (current, epochs) = cookies.epochs().map_or((None, Vec::new()), |(now, all)| (Some(now), all));
        CookieKeysReply {
            origin: if cookies.is_fleet() { "fleet" } else { "own" },
            current,
            epochs,
            settled: cookies.is_settled(),
            trouble: cookies.trouble(),
        }
    });
    write(&KeysReply {
        sources: sources.collect(),
        cookie_keys,
        key_exchange: known.map(|known| KeyExchangeReply::of(known, now)),
    })
}
