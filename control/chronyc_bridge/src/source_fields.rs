//! What chronyc shows of a source.

use crate::answer::saturated;
use crate::reply::{Address, NEVER, Reply};
use crate::snapshot::Source;
use report::{AssociationState, Effect, LeapName, RejectReason, SourceState, StampOrigin, Word};

/// The length of the reply with the last reply of a source, from chrony 4.6 on, in octets.
pub const LAST_REPLY: usize = 172;

/// What chronyd shows of a source whose frequency it does not know, in ppm.
const ANY_FREQUENCY: f64 = 2000.0;

/// What chronyd shows of a source whose deviation it does not know, in seconds.
const ANY_DEVIATION: f64 = 4.0;

/// `sources`.
pub fn sample(source: &Source, reply: &mut Reply) {
    let report = &source.report;
    reply.address(source.address());
    reply.short(i16::from(report.poll.unwrap_or(0)) as u16);
    reply.short(stratum(source));
    reply.short(state(source));
    // A server; no flags.
    reply.short(0).short(0);
    reply.short(report.reach.unwrap_or(0).into());
    reply.word(ago(report.last_valid_s));
    // The daemon keeps the estimate and not the last sample: both offsets are the estimate of now.
    let offset = -report.offset_s.unwrap_or(0.0);
    reply.number(offset).number(offset).number(report.root_distance_s.unwrap_or(0.0));
}

/// Of the last valid reply; 0: none yet.
fn stratum(source: &Source) -> u16 {
    let stratum = source.report.stratum.filter(|_| source.report.last_valid_s.is_some());
    stratum.map_or(0, u16::from)
}

/// Whole seconds.
fn ago(seconds: Option<f64>) -> u32 {
    seconds.map_or(NEVER, |seconds| saturated(seconds.max(0.0) as u64))
}

/// The state as `sources` shows it: `*`, `?`, `x`, `+`, `-`.
fn state(source: &Source) -> u16 {
    match source.state() {
        Some(SourceState::Selected) => 0,
        Some(SourceState::Falseticker | SourceState::Outvoted | SourceState::NoMajority) => 2,
        Some(SourceState::Combined) => 4,
        Some(SourceState::Spare) => 5,
        _ => 1,
    }
}

/// The state as `selectdata` shows it.
fn letter(source: &Source) -> u8 {
    let has_estimate = source.report.offset_s.is_some();
    if source.report.noselect == Some(true) {
        return b'N';
    }
    let few = if source.report.last_valid_s.is_some() { b'M' } else { b's' };
    match source.state() {
        Some(SourceState::Selected) => b'*',
        Some(SourceState::Combined) => b'+',
        Some(SourceState::Spare) => b'P',
        Some(SourceState::Falseticker | SourceState::Outvoted | SourceState::NoMajority) => b'x',
        Some(SourceState::Provisional) => b'w',
        Some(SourceState::Waiting) if has_estimate => b'w',
        Some(SourceState::Unreachable) if has_estimate => b'S',
        Some(SourceState::Unusable) => match most_frequent(source) {
            Some(RejectReason::StratumLimit) => b'r',
            Some(RejectReason::LeapUnknown | RejectReason::Unsynchronised | RejectReason::Kiss) => b's',
            Some(RejectReason::RootDistance | RejectReason::DelayLimit) | None => b'd',
            Some(_) => few,
        },
        _ => few,
    }
}

/// Replies that came and were not used, by the most frequent reason.
fn most_frequent(source: &Source) -> Option<RejectReason> {
    let counts = source.report.rejected.iter().flatten();
    let unused = counts.filter_map(|(reason, count)| Some((reason.known()?, *count)));
    let unused = unused.filter(|(reason, _)| reason.effect() == Effect::Unused);
    unused.max_by_key(|(_, count)| *count).map(|(reason, _)| reason)
}

/// `sourcestats`.
pub fn statistics(source: &Source, reply: &mut Reply) {
    let report = &source.report;
    reply.word(source.reference_id()).address(source.address());
    // Runs of residuals belong to chrony's regression.
    reply.word(report.samples.unwrap_or(0)).word(0).word(saturated(report.span_s.unwrap_or(0.0) as u64));
    reply.number(report.deviation_s.unwrap_or(ANY_DEVIATION));
    // chrony's is that of the local clock beside the source.
    reply.number(-report.frequency_ppm.unwrap_or(0.0));
    reply.number(report.frequency_error_ppm.unwrap_or(ANY_FREQUENCY));
    reply.number(-report.offset_s.unwrap_or(0.0));
    reply.number(report.root_distance_s.unwrap_or(0.0) + report.offset_error_s.unwrap_or(0.0));
}

/// `selectdata`.
pub fn selection(source: &Source, reply: &mut Reply) {
    let report = &source.report;
    reply.word(source.reference_id()).address(source.address());
    let leap = if report.last_valid_s.is_some() { leap(source) } else { 3 };
    reply.octets(&[letter(source), u8::from(report.authenticated == Some(true)), leap, 0]);
    let marks = [report.noselect, report.prefer, report.trust, report.require];
    let options =
        (0..).zip(marks).filter(|(_, mark)| *mark == Some(true)).fold(0, |all, (bit, _)| all | 1 << bit);
    reply.short(options).short(options);
    reply.word(report.last_valid_s.map_or(0, |seconds| ago(Some(seconds))));
    reply.number(1.0);
    let limits = report.offset_s.zip(report.root_distance_s);
    let (low, high) = limits.map_or((0.0, 0.0), |(offset, distance)| (-offset - distance, distance - offset));
    reply.number(low).number(high);
}

/// `authdata`.
pub fn authentication(source: &Source, reply: &mut Reply) {
    if let Some(key) = &source.report.key {
        let kind = key.kind.as_deref().map_or(0, chrony_type);
        reply.short(1).short(kind).word(key.number.unwrap_or(0)).short(key.bits.unwrap_or(0)).short(0);
        reply.word(NEVER).octets(&[0; 8]);
        return;
    }
    let Some(nts) = &source.report.nts else {
        reply.octets(&[0; 12]).word(NEVER).octets(&[0; 8]);
        return;
    };
    let short = |value: u64| u16::try_from(value).unwrap_or(u16::MAX);
    let has_keys = nts.aead.is_some();
    let bits = match nts.aead {
        Some(2 | 15) => 256,
        Some(17) => 512,
        Some(30) => 128,
        _ => 0,
    };
    let is_ready = nts.state.as_ref().and_then(Word::known) == Some(AssociationState::Ready);
    let attempts = if is_ready { 0 } else { nts.failures.unwrap_or(0) };
    reply.short(2).short(nts.aead.unwrap_or(0)).word(saturated(nts.exchanges.unwrap_or(0)));
    reply.short(bits).short(short(attempts));
    reply.word(ago(nts.key_age_s.filter(|_| has_keys)));
    // How long a cookie is, is not in the daemon's documents.
    reply.short(nts.cookies.unwrap_or(0).into()).short(0);
    reply.short(short(nts.naks.unwrap_or(0))).short(0);
}

/// The number of a type of symmetric keys in chrony; 0: unknown.
fn chrony_type(kind: &str) -> u16 {
    match kind {
        "MD5" => 1,
        "SHA1" => 2,
        "SHA256" => 3,
        "SHA384" => 4,
        "SHA512" => 5,
        "AES128" => 13,
        "AES256" => 14,
        _ => 0,
    }
}

/// `sourcename`: at most 255 octets, and a zero at the end.
pub fn name(source: &Source, reply: &mut Reply) {
    let mut field = [0; 256];
    let name = source.report.name.as_deref().unwrap_or_default().bytes();
    for (place, octet) in field.iter_mut().take(255).zip(name) {
        *place = octet;
    }
    reply.octets(&field);
}

/// The leap indicator of the last valid reply, as in a packet; 0: none yet.
fn leap(source: &Source) -> u8 {
    let leap = source.report.last_reply.as_ref().and_then(|last| last.leap.as_ref()?.known());
    match leap {
        Some(LeapName::None) | None => 0,
        Some(LeapName::Insert) => 1,
        Some(LeapName::Delete) => 2,
        Some(LeapName::Unknown) => 3,
    }
}

/// Who took a time stamp: the hardware, the kernel, or the daemon.
fn stamp_letter(stamp: Option<&Word<StampOrigin>>) -> u8 {
    match stamp.and_then(Word::known) {
        Some(StampOrigin::Hardware) => b'H',
        Some(StampOrigin::Kernel) => b'K',
        Some(StampOrigin::User) => b'D',
        None => 0,
    }
}

/// `ntpdata`, from chrony 4.6 on.
pub fn last_reply(source: &Source, reply: &mut Reply) {
    last_reply_common(source, reply);
    // How many time stamps were of each origin is not in the daemon's documents; then what is reserved.
    reply.octets(&[0; 4 * 4]).octets(&[0xff; 4 * 4]);
}

/// `ntpdata`, in the form that chrony had before.
pub fn last_reply_before_4_6(source: &Source, reply: &mut Reply) {
    last_reply_common(source, reply);
    reply.octets(&[0xff; 3 * 4]);
}

fn last_reply_common(source: &Source, reply: &mut Reply) {
    let report = &source.report;
    let is_measured = report.last_valid_s.is_some();
    let last = report.last_reply.as_ref();
    let local = last.and_then(|last| last.local_address.as_deref()?.parse().ok());
    reply.address(source.address()).address(local.map_or(Address::None, Address::Known));
    reply.short(source.place.map_or(0, |place| place.port()));
    let version = last.and_then(|last| last.version).unwrap_or(4);
    let (version, mode) = if is_measured { (version, 4) } else { (0, 0) };
    let poll = report.poll.filter(|_| is_measured).unwrap_or(0);
    let precision = last.and_then(|last| last.precision).unwrap_or(0);
    reply.octets(&[leap(source), version, mode, stratum(source) as u8, poll as u8, precision as u8]);
    let delay = report.delay_s.unwrap_or(0.0);
    for of_root in [last.and_then(|last| last.root_delay_s), last.and_then(|last| last.root_dispersion_s)] {
        reply.number(of_root.unwrap_or(0.0));
    }
    let id = report.reference_id.as_deref().and_then(|id| u32::from_str_radix(id, 16).ok());
    let corrected = last.and_then(|last| last.reference_time_unix_s).unwrap_or(0.0);
    reply.word(id.unwrap_or(0)).time((corrected * 1e9) as i64);
    reply.number(report.offset_s.unwrap_or(0.0)).number(delay);
    reply.number(report.offset_error_s.unwrap_or(0.0));
    reply.number(last.and_then(|last| last.response_s).unwrap_or(0.0)).number(0.0);
    let passed = match source.state() {
        _ if !is_measured => 0,
        // Of the first group; which one of the others failed is told by `chimerctl source`.
        Some(SourceState::Unusable) => 0x380,
        _ => 0x3ff,
    };
    let authenticated = if report.authenticated == Some(true) { 0x8000 } else { 0 };
    let interleaved = if last.and_then(|last| last.interleaved) == Some(true) { 0x4000 } else { 0 };
    reply.short(passed | if is_measured { authenticated | interleaved } else { 0 });
    let stamps = last.map(|last| [&last.departure_stamp, &last.arrival_stamp]);
    reply.octets(&stamps.map_or([0, 0], |stamps| stamps.map(|stamp| stamp_letter(stamp.as_ref()))));
    // Those that are not used are among the valid ones.
    let valid = report.valid.unwrap_or(0);
    let (unused, discarded) = (rejected(source, Effect::Unused), rejected(source, Effect::Discarded));
    reply.word(saturated(report.sent.unwrap_or(0))).word(saturated(valid.saturating_add(discarded)));
    reply.word(saturated(valid)).word(saturated(valid.saturating_sub(unused)));
}

/// Replies that failed a test with this effect. Of a test that is not known here, they were discarded.
fn rejected(source: &Source, effect: Effect) -> u64 {
    let all = source.report.rejected.iter().flatten();
    let of = |word: &Word<RejectReason>| word.known().map_or(Effect::Discarded, RejectReason::effect);
    all.filter(|(word, _)| of(word) == effect).fold(0, |sum, (_, count)| sum.saturating_add(*count))
}
