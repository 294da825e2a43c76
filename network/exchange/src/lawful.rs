//! Which messages a child may send: only about its own task, in the form of this task. The parent checks, because
//! a child has read untrusted input and may be compromised. The engine applies the same rules to the parent.

use ipc::message::exchange::{
    Asked, ExchangeFailed, ExchangeFailure, Failed, FromExchange, Heard, LookupFailure, Progress,
};

/// What a message of a child is.
#[allow(clippy::large_enum_variant, reason = "lives on the stack for a moment")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// A cookie or an answer of a round, with more to come.
    Part(FromExchange),
    /// The last message.
    End(FromExchange),
    /// A message that it may not send.
    Unlawful,
}

/// Judges a message of the child whose task is `asked`.
pub(super) fn judge(asked: &mut Asked, said: FromExchange) -> Judged {
    let is_a_childs = match &said {
        FromExchange::Failed(Failed { reason, .. }) => is_a_childs(*reason),
        FromExchange::ExchangeFailed(ExchangeFailed { reason, .. }) => is_of_an_exchange(*reason),
        FromExchange::Measured(ended) => ended.heard.iter().all(is_of_a_round),
        FromExchange::MeasureFailed(_) => false,
        _ => true,
    };
    match (asked.judge(&said), said) {
        (Ok(Progress::Part), said) => Judged::Part(said),
        (Ok(Progress::Ended), said) if is_a_childs => Judged::End(said),
        _ => Judged::Unlawful,
    }
}

/// Whether a child may report this reason: the other reasons are reported by its parent.
const fn is_a_childs(reason: LookupFailure) -> bool {
    match reason {
        LookupFailure::NoSuchName
        | LookupFailure::NoAddress
        | LookupFailure::TryAgain
        | LookupFailure::NoResolver
        | LookupFailure::Refused
        | LookupFailure::NoInterface => true,
        LookupFailure::NotStarted
        | LookupFailure::Deadline
        | LookupFailure::Broken
        | LookupFailure::Denied(_) => false,
    }
}

/// The same for the child of an exchange.
const fn is_of_an_exchange(reason: ExchangeFailure) -> bool {
    match reason {
        ExchangeFailure::Lookup(reason) => is_a_childs(reason),
        ExchangeFailure::NotStarted
        | ExchangeFailure::Deadline
        | ExchangeFailure::Broken
        | ExchangeFailure::Denied(_) => false,
        _ => true,
    }
}

/// The same for a server of a round.
const fn is_of_a_round(heard: &Heard) -> bool {
    match heard {
        Heard::NoAddress(reason) => is_a_childs(*reason),
        Heard::Answer | Heard::Unreachable | Heard::Refused | Heard::Nothing | Heard::Invalid => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::aead::AeadOffer;
    use ipc::message::exchange::{
        Denied, Exchange, ExchangeId, Families, HeardOf, HostName, KeyServer, Measure, MeasureFailed,
        MeasureFailure, Measured, Resolve, RoundServer, RoundServers, ToExchange,
    };
    use ipc::units::WallTime;

    const ID: ExchangeId = ExchangeId(7);

    fn judge_of(task: ToExchange, said: &FromExchange) -> Judged {
        judge(&mut Asked::of(&task).unwrap(), said.clone())
    }

    #[test]
    fn a176_a_child_cannot_say_what_its_parent_says_of_children() {
        let name = HostName::parse("time.example").unwrap();
        let look_up = ToExchange::Resolve(Resolve { id: ID, name, port: 123, families: Families::Both });
        let parents = [
            LookupFailure::NotStarted,
            LookupFailure::Deadline,
            LookupFailure::Broken,
            LookupFailure::Denied(16),
        ];
        for reason in parents {
            let said = FromExchange::Failed(Failed { id: ID, reason });
            assert_eq!(judge_of(look_up, &said), Judged::Unlawful, "{reason:?}");
        }
        let said = FromExchange::Failed(Failed { id: ID, reason: LookupFailure::NoSuchName });
        assert_eq!(judge_of(look_up, &said), Judged::End(said));
        let exchange = ToExchange::Exchange(Exchange {
            id: ID,
            server: KeyServer::Name(name),
            port: 4460,
            roots: 0,
            now: WallTime::MIN,
            not_before: None,
            offer: AeadOffer::GCM_SIV_FIRST,
            turn: 0,
            at: None,
            denied: Denied::NONE,
            departure: ipc::departure::Departure::USUAL,
            families: Families::Both,
        });
        let parents = parents.map(ExchangeFailure::Lookup).into_iter();
        for reason in parents.chain([
            ExchangeFailure::NotStarted,
            ExchangeFailure::Deadline,
            ExchangeFailure::Broken,
            ExchangeFailure::Denied(16),
        ]) {
            let said = FromExchange::ExchangeFailed(ExchangeFailed { id: ID, reason });
            assert_eq!(judge_of(exchange, &said), Judged::Unlawful, "{reason:?}");
        }
        for reason in [LookupFailure::TryAgain, LookupFailure::NoResolver].map(ExchangeFailure::Lookup) {
            let said = FromExchange::ExchangeFailed(ExchangeFailed { id: ID, reason });
            assert_eq!(judge_of(exchange, &said), Judged::End(said));
        }
    }

    #[test]
    fn a176_a_child_of_a_round_cannot_say_what_its_parent_says() {
        let host = KeyServer::Name(HostName::parse("time.example").unwrap());
        let server = |key: u8| RoundServer { public_key: [key; 32], version: 1, host, port: 5_319 };
        let servers = RoundServers::new([1, 2, 3].map(server)).unwrap();
        let round = ToExchange::Measure(Measure { id: ID, first_nonce: [1; 32], seed: [2; 32], servers });
        let failed = MeasureFailed { id: ID, reason: MeasureFailure::Deadline };
        assert_eq!(judge_of(round, &FromExchange::MeasureFailed(failed)), Judged::Unlawful);
        let ended = |heard| {
            let heard = HeardOf::new([Heard::Nothing, heard, Heard::Unreachable]).unwrap();
            FromExchange::Measured(Measured { id: ID, answers: 0, heard })
        };
        let good = ended(Heard::NoAddress(LookupFailure::TryAgain));
        assert_eq!(judge_of(round, &good), Judged::End(good));
        let bad = ended(Heard::NoAddress(LookupFailure::Denied(7)));
        assert_eq!(judge_of(round, &bad), Judged::Unlawful);
    }

    #[test]
    fn a176_what_is_of_another_look_up_is_unlawful() {
        let name = HostName::parse("time.example").unwrap();
        let look_up = ToExchange::Resolve(Resolve { id: ID, name, port: 123, families: Families::Both });
        let said = FromExchange::Failed(Failed { id: ExchangeId(8), reason: LookupFailure::NoSuchName });
        assert_eq!(judge_of(look_up, &said), Judged::Unlawful);
    }
}
