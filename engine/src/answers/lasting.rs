//! What `status` says of what is kept for auditors.

use crate::anchors::Anchors;
use crate::history::History;
use engine_core::notice::SignerNotice;
use engine_core::status::SignedStatus;
use report::{HistoryFileReply, RoughtimeReply};
use sentence::signer;

/// The history of minutes, or why there is none.
pub fn history(history: &Result<History, &'static str>) -> HistoryFileReply {
    match history {
        Ok(history) => history.report(),
        Err(why) => HistoryFileReply {
            written: false,
            reason: Some(format!("no history of minutes is kept in this run: {why}")),
            records: None,
            first_unix_s: None,
            last_unix_s: None,
            waiting: 0,
            noted_records: None,
            noted_unix_s: None,
            lack: None,
        },
    }
}

/// What is known of Roughtime; `fault`: why anchors cannot be written.
pub fn roughtime(status: SignedStatus, anchors: Option<&Anchors>, fault: Option<&str>) -> RoughtimeReply {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let is_silent = |notice: &SignerNotice| matches!(notice, SignerNotice::Unheard(_));
    let of = |silent: bool| -> Vec<String> {
        let some = status.findings.iter().filter(|(_, notice)| is_silent(notice) == silent);
        some.map(|(name, notice)| format!("{name} {}", signer(*notice))).collect()
    };
    let unwritten = fault
        .map(|error| format!("engine.anchors cannot be written: {error}; it is tried again each minute"));
    RoughtimeReply {
        servers: number(status.servers),
        answered: status.last_round.map(|(answered, _)| number(answered)),
        last_round_s: status.last_round.map(|(_, ago)| ago),
        failed_rounds: status.failures.into(),
        earliest_unix_s: status.bounds.map(|(earliest, _)| (earliest / 1_000_000) as f64 / 1e3),
        latest_unix_s: status.bounds.map(|(_, latest)| (latest / 1_000_000) as f64 / 1e3),
        anchors: anchors.and_then(Anchors::count),
        last_anchor_unix_s: anchors
            .and_then(Anchors::last)
            .map(|wall| wall.nanos().div_euclid(1_000_000_000)),
        anchors_reason: unwritten.or_else(|| anchors.and_then(Anchors::lack).map(str::to_owned)),
        lying: of(false),
        silent: of(true),
    }
}
