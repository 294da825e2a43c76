//! Reply to `keys`: what is known of keys, never a key.

use super::write;
use crate::cookie_keys::CookieSource;
use crate::key_exchange::{KeyExchange, Pair};
use ipc::message::key_service::{KeyCounters, Loaded};
use ipc::units::WallTime;
use report::{
    CertificateReply, CertificateState, CookieKeyOrigin, CookieKeysReply, Counts, FORMAT,
    FurtherCertificateReply, KeyExchangeReply, KeysReply, Report, SourceKeys,
};

/// The key exchange service at this moment of the steered clock.
pub fn service(known: &KeyExchange, now: WallTime) -> KeyExchangeReply {
    let counts =
        |counters: KeyCounters| Counts(KeyCounters::NAMES.into_iter().zip(counters.list()).collect());
    let first = &known.first;
    let certificate = CertificateReply {
        state: state(first),
        readings: known.readings,
        not_before: first.in_use.map(|(since, _)| since),
        not_after: first.in_use.map(|(_, until)| until),
        days_left: first.days_left(now),
        warning: known.warning(first, now),
    };
    let further = |pair: &Pair| FurtherCertificateReply {
        file: pair.certificate().to_owned(),
        state: state(pair),
        not_before: pair.in_use.map(|(since, _)| since),
        not_after: pair.in_use.map(|(_, until)| until),
        days_left: pair.days_left(now),
        warning: known.warning(pair, now),
    };
    KeyExchangeReply {
        certificate,
        counters: known.counters.map(counts),
        further: known.further().map(further).collect(),
    }
}

fn state(pair: &Pair) -> CertificateState {
    match pair.last {
        None => CertificateState::Unread,
        Some(Loaded::InUse { .. }) => CertificateState::InUse,
        Some(Loaded::NoCertificate(_)) => CertificateState::NoCertificate,
        Some(Loaded::NoKey(_)) => CertificateState::NoKey,
        Some(Loaded::Mismatch) => CertificateState::Mismatch,
        Some(Loaded::Kept(_)) => CertificateState::Kept,
    }
}

/// The reply.
pub fn keys(
    report: Report,
    cookies: Option<&CookieSource>,
    known: Option<&KeyExchange>,
    now: WallTime,
) -> String {
    let sources = report.sources.into_iter().filter_map(|source| {
        Some(SourceKeys { name: source.name, address: source.address, nts: source.nts? })
    });
    let cookie_keys = cookies.map(|cookies| {
        let (current, epochs) = cookies.epochs().map_or((None, Vec::new()), |(now, all)| (Some(now), all));
        CookieKeysReply {
            origin: if cookies.is_fleet() { CookieKeyOrigin::Fleet } else { CookieKeyOrigin::Own },
            current,
            epochs,
            settled: cookies.is_settled(),
            trouble: cookies.trouble().map(str::to_owned),
        }
    });
    write(&KeysReply {
        sources: sources.collect(),
        cookie_keys,
        key_exchange: known.map(|known| service(known, now)),
        format: FORMAT,
    })
}
