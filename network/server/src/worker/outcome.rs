//! How the outcome of a request is counted.

use super::Outcome;
use crate::clients::Fate;
use crate::respond::{Refusal, Reply, ReplyKind};
use crate::version5::Written;
use ipc::message::server::Counters;

/// What became of a request, if it is counted for its client by now: not of what is none, and not before it is opened.
pub(super) fn fate(outcome: &Result<Outcome, Refusal>) -> Option<Fate> {
    match outcome {
        Ok(Outcome::Reply(Reply { kind, .. }) | Outcome::Version5(Written { kind, .. }))
            if *kind == ReplyKind::Kiss =>
        {
            Some(Fate::Dropped)
        }
        Ok(Outcome::Reply(_) | Outcome::Version5(_)) | Err(Refusal::Unsynchronised) => Some(Fate::Answered),
        Err(Refusal::Limited | Refusal::Unauthenticated) => Some(Fate::Dropped),
        Err(Refusal::Denied) => Some(Fate::Denied),
        Ok(Outcome::Protected(_)) | Err(Refusal::Malformed | Refusal::Control) => None,
    }
}

/// Where a refusal is counted.
pub(super) fn counter_of(counters: &mut Counters, refusal: Refusal) -> &mut u64 {
    match refusal {
        Refusal::Malformed => &mut counters.malformed,
        Refusal::Control => &mut counters.control,
        Refusal::Denied => &mut counters.denied,
        Refusal::Unauthenticated => &mut counters.unauthenticated,
        Refusal::Limited => &mut counters.limited,
        Refusal::Unsynchronised => &mut counters.unsynchronised,
    }
}
