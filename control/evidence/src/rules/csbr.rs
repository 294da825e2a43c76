//! Baseline Requirements for the Issuance and Management of Publicly-Trusted Code Signing Certificates, section 6.8.

use crate::rule::{DAY, Limit, Rule, Sentence, Test};
use ipc::units::Span;

pub(super) const RULE: Rule = Rule {
    name: "csbr",
    title: "CA/Browser Forum, Baseline Requirements for Code Signing Certificates: timestamp authorities",
    edition: "section 6.8 of the editions that follow RFC 3647 (3.x); it was 16.1 before. Compare it with the edition that binds you. The \
              section names no accuracy; the limit here is the second from which an adjustment is an event. The guidelines for \
              EV code signing had the same source of time (UTC(k)) before they became part of this document.",
    limit: Limit::AtMost(Span::from_secs(1)),
    sentences: &[
        Sentence {
            section: "6.8",
            asks: "The timestamp server is synchronised with a source of UTC(k) at least every 24 hours.",
            test: Test::Compared(DAY),
        },
        Sentence {
            section: "6.8",
            asks: "That source is one of UTC(k): only sources are used that were named as such.",
            test: Test::Authorised,
        },
        Sentence {
            section: "6.8",
            asks: "Drifts and jumps out of synchronisation with UTC are detected and reported automatically.",
            test: Test::Watched,
        },
        Sentence {
            section: "6.8",
            asks: "The clock stays in synchronisation with UTC: within the limit of this report.",
            test: Test::Within,
        },
        Sentence {
            section: "6.8",
            asks: "Synchronisation is maintained when a leap second occurs.",
            test: Test::Leap,
        },
        Sentence {
            section: "6.8",
            asks: "Adjustments of the clock by one second or more are events that can be audited.",
            test: Test::Steps(Span::from_secs(1)),
        },
        Sentence {
            section: "6.8",
            asks: "Changes of the signing process are events that can be audited.",
            test: Test::Elsewhere("the signing process is not the clock; its own log shows it"),
        },
    ],
    silent: &[
        crate::rules::POLL,
        "Whether a source is one of UTC(k), that is, of a laboratory in the BIPM's list: name those that are with --authorised.",
        "What the timestamp server signed, by which key, and which digests it takes.",
    ],
};
