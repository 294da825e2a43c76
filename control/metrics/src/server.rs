//! Samples of the server: its counters, its key exchange service, the keys of its cookies.

use crate::clock::known;
use crate::metric::Metric;
use crate::page::Page;
use report::read::{CertificateReply, FurtherCertificateReply, KeyExchangeReply, KeysReply};
use std::collections::BTreeMap;

/// A counter of the daemon, its metric, and the reason that is its label; empty: it has none.
type Row = (&'static str, Metric, &'static str);

const SERVER: [Row; 18] = [
    ("received", Metric::ServerRequests, ""),
    ("answered", Metric::ServerReplies, ""),
    ("malformed", Metric::ServerDropped, "malformed"),
    ("control", Metric::ServerDropped, "control"),
    ("denied", Metric::ServerDropped, "denied"),
    ("limited", Metric::ServerDropped, "limited"),
    ("unsynchronised", Metric::ServerDropped, "unsynchronised"),
    ("failed", Metric::ServerFailed, ""),
    ("spared", Metric::ServerSpared, ""),
    ("interleaved", Metric::ServerInterleaved, ""),
    ("kissed", Metric::ServerKisses, ""),
    ("protected", Metric::ServerNtsReplies, ""),
    ("nak", Metric::ServerNtsNaks, ""),
    ("keyed", Metric::ServerKeyedReplies, ""),
    ("unauthenticated", Metric::ServerDropped, "unauthenticated"),
    ("signed", Metric::ServerSignedReplies, ""),
    ("unsigned", Metric::ServerDropped, "unsigned"),
    ("unsigned_late", Metric::ServerDropped, "unsigned_late"),
];

const KEY_EXCHANGE: [Row; 8] = [
    ("accepted", Metric::KeConnections, ""),
    ("exchanged", Metric::KeExchanges, ""),
    ("limited", Metric::KeFailures, "limited"),
    ("denied", Metric::KeFailures, "denied"),
    ("tls", Metric::KeFailures, "tls"),
    ("refused", Metric::KeFailures, "refused"),
    ("late", Metric::KeFailures, "late"),
    ("gone", Metric::KeFailures, "gone"),
];

/// Adds the counters of the server; nothing, if there is none or it has counted nothing yet.
pub fn add_counts(page: &mut Page, counts: Option<&BTreeMap<String, u64>>) {
    add_rows(page, &SERVER, counts);
}

/// Adds the key exchange service.
pub fn add_key_exchange(page: &mut Page, service: Option<&KeyExchangeReply>) {
    let Some(service) = service else { return };
    add_rows(page, &KEY_EXCHANGE, service.counters.as_ref());
    if let Some(certificate) = &service.certificate {
        add_certificate(page, certificate);
        service.further.iter().flatten().for_each(|further| add_further(page, further));
    }
}

/// Adds the keys of cookies, of the reply to `keys`; the rest of it is in the other replies too.
pub fn add_cookie_keys(page: &mut Page, reply: &KeysReply) {
    let Some(keys) = &reply.cookie_keys else { return };
    page.count(Metric::CookieKeys, &[], keys.epochs.as_ref().map(|epochs| epochs.len() as u64));
    page.flag(Metric::CookieKeysSettled, &[], keys.settled);
    page.flag(Metric::CookieKeysTrouble, &[], Some(keys.trouble.is_some()));
}

fn add_rows(page: &mut Page, rows: &[Row], counts: Option<&BTreeMap<String, u64>>) {
    let Some(counts) = counts else { return };
    for (name, metric, reason) in rows {
        let count = counts.get(*name).copied();
        match *reason {
            "" => page.count(*metric, &[], count),
            reason => page.count(*metric, &[("reason", reason)], count),
        }
    }
}

fn add_certificate(page: &mut Page, certificate: &CertificateReply) {
    if let Some(state) = &certificate.state {
        page.says(Metric::CertificateState, &[("state", known(state))]);
    }
    page.number(Metric::CertificateBegin, &[], certificate.not_before.map(|since| since as f64));
    page.number(Metric::CertificateEnd, &[], certificate.not_after.map(|until| until as f64));
    page.count(Metric::CertificateReadings, &[], certificate.readings.map(u64::from));
}

fn add_further(page: &mut Page, further: &FurtherCertificateReply) {
    let file = [("certificate", further.file.as_deref().unwrap_or_default())];
    page.number(Metric::CertificateBegin, &file, further.not_before.map(|since| since as f64));
    page.number(Metric::CertificateEnd, &file, further.not_after.map(|until| until as f64));
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::message::key_service::KeyCounters;
    use ipc::message::server::Counters;

    #[test]
    fn each_counter_of_the_daemon_is_a_metric() {
        assert_eq!(SERVER.map(|(name, ..)| name), Counters::NAMES);
        assert_eq!(KEY_EXCHANGE.map(|(name, ..)| name), KeyCounters::NAMES);
    }
}
