//! Samples of the reply to `sources`.

use crate::clock::{OTHER, known, ratio};
use crate::metric::Metric;
use crate::page::Page;
use report::SourceState;
use report::read::{NtsReport, SourceReport, SourcesReply};
use std::collections::BTreeMap;

/// Sources that are shown. A configuration has 32 at most, members of pools counted; an entry whose address is not known yet
/// is shown as one.
const MAX_SOURCES: usize = 64;

/// The stratum that stands for none.
const NO_STRATUM: u8 = 16;

/// Adds what the reply says.
pub fn add(page: &mut Page, reply: &SourcesReply) {
    let Some(sources) = &reply.sources else { return };
    page.count(Metric::Sources, &[], Some(sources.len() as u64));
    page.count(
        Metric::SourcesUsed,
        &[],
        Some(sources.iter().filter(|source| is_used(source)).count() as u64),
    );
    for source in sources.iter().take(MAX_SOURCES) {
        add_source(page, source);
    }
}

fn is_used(source: &SourceReport) -> bool {
    source.state.as_ref().and_then(|state| state.known()).is_some_and(SourceState::is_used)
}

fn add_source(page: &mut Page, source: &SourceReport) {
    let name = source.name.as_deref().unwrap_or_default();
    let address = source.address.as_deref().unwrap_or_default();
    let own = [("source", name), ("address", address)];
    if let Some(state) = &source.state {
        page.says(Metric::SourceState, &[own[0], own[1], ("state", known(state))]);
    }
    page.flag(Metric::SourceAuthenticated, &own, source.authenticated);
    let stratum = source.stratum.filter(|stratum| *stratum != NO_STRATUM);
    page.count(Metric::SourceStratum, &own, stratum.map(u64::from));
    let reach = source.reach.filter(|_| source.sent.is_none_or(|sent| sent > 0));
    page.count(Metric::SourceReach, &own, reach.map(u64::from));
    page.number(Metric::SourceReachRatio, &own, reach.map(|reach| f64::from(reach.count_ones()) / 8.0));
    page.number(Metric::SourcePoll, &own, source.poll.map(|poll| f64::from(poll).exp2()));
    page.number(Metric::SourceNextPoll, &own, source.next_poll_s);
    page.number(Metric::SourceOffset, &own, source.offset_s);
    page.number(Metric::SourceOffsetError, &own, source.offset_error_s);
    page.number(Metric::SourceDelay, &own, source.delay_s);
    page.number(Metric::SourceJitter, &own, source.jitter_s);
    page.number(Metric::SourceDeviation, &own, source.deviation_s);
    page.number(Metric::SourceFrequency, &own, source.frequency_ppm.map(ratio));
    page.number(Metric::SourceFrequencyError, &own, source.frequency_error_ppm.map(ratio));
    page.count(Metric::SourceSamples, &own, source.samples.map(u64::from));
    page.number(Metric::SourceSpan, &own, source.span_s);
    page.number(Metric::SourceDistance, &own, source.root_distance_s);
    page.number(Metric::SourceAge, &own, source.last_valid_s);
    page.count(Metric::SourceQueries, &own, source.sent);
    page.count(Metric::SourceReplies, &own, source.valid);
    // Reasons of another version together: two samples of one label would be two values for it.
    let mut rejected: BTreeMap<&str, u64> = BTreeMap::new();
    for (reason, count) in source.rejected.iter().flatten() {
        let sum = rejected.entry(reason.known().map_or(OTHER, |reason| reason.name())).or_default();
        *sum = sum.saturating_add(*count);
    }
    for (reason, count) in rejected {
        page.count(Metric::SourceRejected, &[own[0], own[1], ("reason", reason)], Some(count));
    }
    if let Some(nts) = &source.nts {
        add_association(page, own, nts);
    }
}

fn add_association(page: &mut Page, own: [(&'static str, &str); 2], nts: &NtsReport) {
    if let Some(state) = &nts.state {
        page.says(Metric::NtsState, &[own[0], own[1], ("state", known(state))]);
    }
    page.count(Metric::NtsCookies, &own, nts.cookies.map(u64::from));
    if let Some(aead) = nts.aead {
        page.says(Metric::NtsAead, &[own[0], own[1], ("aead", &aead.to_string())]);
    }
    page.number(Metric::NtsKeyAge, &own, nts.key_age_s);
    page.number(Metric::NtsNext, &own, nts.next_exchange_s);
    page.count(Metric::NtsExchanges, &own, nts.exchanges);
    page.count(Metric::NtsFailures, &own, nts.failures);
    page.count(Metric::NtsNaks, &own, nts.naks);
    page.number(Metric::NtsCertificate, &own, nts.certificate_until.map(|until| until as f64));
}
