//! What would change whether a source is used. The reason itself is in `source`.

use super::Text;
use engine_core::status::{KeyStatus, SourceReason};
use report::RejectReason;

/// While it is used.
const UNTIL: &str =
    "it is used no longer if it does not answer eight queries in a row, or if the majority contradicts it";

/// Of a source that decides nothing, whatever else is to be said of it.
pub const ALWAYS: &str = "nothing does while its configuration has noselect = true";

/// What would change whether a source is used, without a full stop.
pub fn change(reason: &SourceReason) -> Text {
    match *reason {
        SourceReason::Starting => "it is asked as soon as the daemon has started",
        SourceReason::SameAddress => {
            "it is asked if the other entry goes, or one of the two gets another address: take one out of the configuration"
        }
        SourceReason::SameKeyServer => {
            "it gets keys if the other entry goes: take one of the two out of the configuration"
        }
        SourceReason::AddressesTaken => {
            "it is asked once its name has an address that no other entry has: take one of them out of the configuration"
        }
        SourceReason::Unresolved(None) => "it is asked as soon as its name is resolved",
        SourceReason::Unresolved(Some(_)) => {
            "it is asked as soon as its name is resolved, which is tried again by itself"
        }
        SourceReason::AwaitingKeys(keys) | SourceReason::NoCookies(keys) => return with_keys(keys),
        SourceReason::UnderAttack => {
            "it is used again when authentic replies come through; they are waited for by itself"
        }
        SourceReason::Provisional => {
            "it is used as others are once the clock is right enough to judge its certificate, and a key exchange has succeeded then"
        }
        SourceReason::Denied { retry_s: Some(_), .. } => {
            "it is used if it answers with the time when it is asked again: have its operator let this host in, or use another \
             source"
        }
        SourceReason::Denied { retry_s: None, .. } => {
            "it is used as soon as it answers with the time: have its operator let this host in, or use another source"
        }
        SourceReason::Kissed(_) => "it is used as soon as it answers with the time instead",
        SourceReason::Oneself => "nothing does while it has this address",
        SourceReason::Unused(test) => return passes(test).into(),
        SourceReason::NoReplyYet(_) => "it is measured as soon as it answers",
        SourceReason::NeverReplied { .. } => {
            "it is measured as soon as it answers; it is asked again, though ever more rarely"
        }
        SourceReason::Silent { .. } => "it is used again when it answers, if it agrees with the majority",
        SourceReason::NoUsableReply(_) => "it is measured from its first reply that passes the tests",
        SourceReason::Unsteady { .. } => "it is used once its measurements differ by no more than max-jitter",
        SourceReason::TooDistant { .. } => "it is used once its root distance is no more than max-distance",
        SourceReason::Contradictory { .. } | SourceReason::Doubtful { .. } => {
            "it counts again with a reply that fits its earlier ones, or else after the third that does not"
        }
        SourceReason::Noselect { .. } => ALWAYS,
        SourceReason::Orphan => {
            "it is used once its stratum is below local-stratum, or where no such source answers and its reference id is the smallest"
        }
        SourceReason::NotCompared => "it is compared with the others at the next reply",
        SourceReason::Reference { .. } => {
            return format!("another one is the reference once it is nearer to true time; {UNTIL}").into();
        }
        SourceReason::Survivor { .. } => UNTIL,
        SourceReason::Spare => "it is used when no source marked `prefer` can be used",
        SourceReason::NotReachable => "it is used again with its next reply that passes the tests",
        SourceReason::NotFollowed => "it is used as soon as what chimerctl status names is there",
        SourceReason::Falseticker { smears: true, .. } | SourceReason::Drifting { smears: true, .. } => {
            "it is used when its time agrees with that of the majority, after the smear; do not mix sources that spread leap \
             seconds with others that do not"
        }
        SourceReason::Falseticker { smears: false, .. } => {
            "it is used when its time agrees with that of the majority: if it lasts, use another source, or, if this one is \
             right and the others are not, find out what is wrong with them"
        }
        SourceReason::Refuted { .. } => {
            "it is used when its time is inside of what the Roughtime servers sign: if it lasts, use another source, or, if this one \
             is right, other Roughtime servers"
        }
        SourceReason::Drifting { smears: false, .. } => {
            "it is used when its clock runs as those of the others do: if it lasts, use another source"
        }
        SourceReason::Probation => "it is used after its eighth reply, if it agrees with the majority",
        SourceReason::OutvotedByAuthenticated => {
            "it is used when it agrees with the authenticated sources"
        }
        SourceReason::OutvotedByTrusted => "it is used when it agrees with the sources marked `trust`",
        SourceReason::NoMajority { .. } => {
            "it is used when more than half of the sources with a vote agree with it: find out which are wrong, or add sources"
        }
    }
    .into()
}

fn with_keys(keys: KeyStatus) -> Text {
    match keys.failure {
        None => "it is asked as soon as a key exchange has brought cookies",
        Some(_) => {
            "it is asked as soon as a key exchange has brought cookies, which is tried again by itself: chimerctl keys says more"
        }
    }
    .into()
}

/// What would have a source pass this test.
const fn passes(test: RejectReason) -> &'static str {
    match test {
        RejectReason::Origin
        | RejectReason::Version
        | RejectReason::Mode
        | RejectReason::Malformed
        | RejectReason::Source
        | RejectReason::UnexpectedMac => {
            "it is used when proper replies come: check that its address is that of an NTP server, and what is on the way to it"
        }
        RejectReason::BadInterval
        | RejectReason::NegativeDelay
        | RejectReason::Date
        | RejectReason::Precision => {
            "it is used when what it says is possible: if it lasts, its operator has to see to it; use another source"
        }
        RejectReason::Discontinuity | RejectReason::Readings => "it is used again with its next reply",
        RejectReason::Unprotected
        | RejectReason::Forged
        | RejectReason::Identifier
        | RejectReason::NtsFields => {
            "it is used when authentic replies come through: what comes is altered or made on the way, or the server has no NTS, or another key"
        }
        RejectReason::CryptoNak => {
            "it is used when number, type and key are the same there as in the file of keys here"
        }
        RejectReason::NtsNak => "it is used again when keys have been exchanged, which happens by itself",
        RejectReason::LeapUnknown | RejectReason::Unsynchronised => {
            "it is used as soon as it is synchronised itself: if it lasts, its operator has to see to it; use another source"
        }
        RejectReason::Kiss => "it is used as soon as it answers with the time instead",
        RejectReason::StratumLimit => {
            "it is used once its stratum is no more than max-stratum, or with a larger max-stratum of this source"
        }
        RejectReason::RootDistance => {
            "it is used once it is nearer to its reference clock, or has better sources itself: use another source"
        }
        RejectReason::DelayLimit => {
            "it is used once the round trip is shorter than max-delay, or with a larger max-delay of this source"
        }
        RejectReason::Loop => "it is used once it gets its time from others than this host",
        RejectReason::Timescale => {
            "it is used once it serves UTC, or without experimental-ntpv5 if it does so in version 4: use another source"
        }
        RejectReason::ReferenceIds => {
            "it is used once it names the servers of its time, and no more than there can be: if it lasts, use another source"
        }
        RejectReason::Itself => "nothing does while it has this address: name another server",
        RejectReason::Certificate => {
            "it is used once its time lies within the validity of its certificate: one of the two is wrong, and its operator \
             has to see to it"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sentence;
    use super::*;
    use engine_core::notice::{Chosen, KeyExchangeFailure};
    use engine_core::status::PathDoubt;
    use ipc::message::client::Silence;
    use ipc::message::exchange::LookupFailure;
    use ipc::units::Span;
    use protocol::kiss::KissCode;
    use report::SourceState;
    use std::collections::BTreeSet;

    /// Each kind of reason.
    fn reasons() -> Vec<SourceReason> {
        let keys = KeyStatus { failure: None, next_s: Some(5.0) };
        let chosen = Chosen { is_larger: true, replies: 3, queries: 9, spread: Span::from_millis(4) };
        let mut all = vec![
            SourceReason::Starting,
            SourceReason::SameAddress,
            SourceReason::SameKeyServer,
            SourceReason::AddressesTaken,
            SourceReason::Unresolved(None),
            SourceReason::Unresolved(Some(LookupFailure::TryAgain)),
            SourceReason::AwaitingKeys(keys),
            SourceReason::AwaitingKeys(KeyStatus { failure: Some(KeyExchangeFailure::NoAddress), ..keys }),
            SourceReason::NoCookies(keys),
            SourceReason::UnderAttack,
            SourceReason::Provisional,
            SourceReason::Denied { code: KissCode::Deny, retry_s: Some(86_400.0) },
            SourceReason::Denied { code: KissCode::Deny, retry_s: None },
            SourceReason::Kissed(KissCode::Rate),
            SourceReason::Oneself,
            SourceReason::NoReplyYet(None),
            SourceReason::NoReplyYet(Some(Silence::Unreachable)),
            SourceReason::NeverReplied { obstacle: None, cause: None },
            SourceReason::Silent { obstacle: None, has_estimate: true },
            SourceReason::NoUsableReply(None),
            SourceReason::TooDistant { distance: 4.0, most: Span::from_secs(3) },
            SourceReason::Unsteady { jitter: 0.5, most: Span::from_millis(100) },
            SourceReason::Contradictory { offset: 0.5 },
            SourceReason::Doubtful { offset: 0.5 },
            SourceReason::Noselect { offset: 0.5 },
            SourceReason::Orphan,
            SourceReason::NotCompared,
            SourceReason::Reference { doubt: PathDoubt::None },
            SourceReason::Survivor { doubt: PathDoubt::Chosen(chosen) },
            SourceReason::Spare,
            SourceReason::NotReachable,
            SourceReason::NotFollowed,
            SourceReason::Probation,
            SourceReason::OutvotedByAuthenticated,
            SourceReason::OutvotedByTrusted,
            SourceReason::NoMajority { offset: 0.5 },
            SourceReason::Refuted { offset: 0.5 },
        ];
        for smears in [false, true] {
            all.push(SourceReason::Falseticker { offset: 0.5, distance: 0.01, smears });
            all.push(SourceReason::Drifting { ppm: 30.0, smears });
        }
        all.extend(RejectReason::ALL.map(SourceReason::Unused));
        all
    }

    #[test]
    fn each_reason_says_what_would_change_it_and_does_not_contradict_its_state() {
        let mut states = BTreeSet::new();
        for reason in reasons() {
            let (why, change) = (reason.sentence(), change(&reason));
            for text in [&why, &change] {
                assert!(
                    text.len() > 10 && !text.ends_with(['.', ' ', ';']) && !text.contains("  "),
                    "{text:?}"
                );
            }
            assert_eq!(change.contains("used no longer"), reason.state().is_used(), "{reason:?}: {change}");
            states.insert(reason.state().name());
        }
        assert_eq!(
            states,
            BTreeSet::from(SourceState::ALL.map(SourceState::name)),
            "a state without an example"
        );
    }
}
