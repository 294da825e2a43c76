//! ETSI EN 319 421: policy and security requirements for trust service providers issuing time-stamps, clause 7.7.2.

use crate::rule::{Limit, Rule, Sentence, Test};
use ipc::units::Span;

pub(super) const RULE: Rule = Rule {
    name: "etsi-319-421",
    title: "ETSI EN 319 421: time-stamping authorities, clock synchronisation with UTC",
    edition: "the labels TIS-7.7.x are those of V1.2.1 (2023-05); V1.1.1 (2016-03) has the same requirements in 7.7.1 and 7.7.2 with letters. \
              Later editions may number them otherwise: compare them with the one that binds you.",
    limit: Limit::AtMost(Span::from_secs(1)),
    sentences: &[
        Sentence {
            section: "7.7.2, TIS-7.7.2-01, -03",
            asks: "The clock of the time-stamping unit is synchronised with UTC within the declared accuracy, which is 1 s or better.",
            test: Test::Within,
        },
        Sentence {
            section: "7.7.2, TIS-7.7.2-02",
            asks: "It is kept so that it does not drift outside of the declared accuracy: it is synchronised all the time.",
            test: Test::Synchronised,
        },
        Sentence {
            section: "7.7.1",
            asks: "The time is traceable to a laboratory of UTC(k): only sources are used that were named as such.",
            test: Test::Authorised,
        },
        Sentence {
            section: "7.7.2, TIS-7.7.2-04",
            asks: "The clock is protected against changes that would go unnoticed: no other program set it.",
            test: Test::NobodyElse,
        },
        Sentence {
            section: "7.7.2, TIS-7.7.2-04",
            asks: "The same on the network, as we read it: all that the clock follows is authenticated.",
            test: Test::Authenticated,
        },
        Sentence {
            section: "7.7.2, TIS-7.7.2-05",
            asks: "Drifts and jumps out of synchronisation with UTC are detected.",
            test: Test::Watched,
        },
        Sentence {
            section: "7.7.1, TIS-7.7.2-06",
            asks: "No time-stamps are issued while the clock is out of the declared accuracy.",
            test: Test::Elsewhere(
                "the log of the time-stamping unit shows it, compared with the minutes that fail above",
            ),
        },
        Sentence {
            section: "7.7.2, TIS-7.7.2-07 to -09",
            asks: "Synchronisation is maintained when a leap second occurs; it is inserted in the last minute of its day, and recorded.",
            test: Test::Leap,
        },
    ],
    silent: &[
        "Whether a source is traceable to a laboratory of UTC(k): name those that are with --authorised.",
        "Physical threats to the clock (tampering, radio, electrical shocks) that 7.7.2 names.",
        "The accuracy that the time-stamps themselves declare: give it with --limit.",
    ],
};
