//! Business clocks: Delegated Regulation (EU) 2017/574 (RTS 25 of MiFID II), and what it was replaced by in the Union.

use crate::rule::{Activity, Limit, Rule, Sentence, Test};
use ipc::units::Span;

const MICROSECONDS_100: Span = match Span::try_new(100_000) {
    Ok(span) => span,
    Err(_) => Span::from_millis(0),
};

pub(super) const RULE: Rule = Rule {
    name: "mifid-ii",
    title: "MiFID II and MiFIR: accuracy of business clocks (RTS 25)",
    edition: "Articles 1 to 4 of Delegated Regulation (EU) 2017/574, which in the Union was repealed with effect from 2 March 2026, and Articles 11 to \
              16 of (EU) 2025/1155, which apply since then; the divergences that are used here are the same in both as far as we know. What \
              other states took over from the first one has its own numbers. Compare the tables of the annex that binds you, in \
              particular the granularity.",
    limit: Limit::ByActivity(&[
        Activity {
            name: "hft",
            means: "member or participant, high-frequency algorithmic trading technique",
            limit: MICROSECONDS_100,
        },
        Activity {
            name: "voice",
            means: "voice trading, requests for quote that people answer, negotiated transactions",
            limit: Span::from_secs(1),
        },
        Activity {
            name: "other",
            means: "member or participant, any other trading activity; publication and reporting services",
            limit: Span::from_millis(1),
        },
        Activity {
            name: "venue-fast",
            means: "trading venue, gateway-to-gateway latency of at most 1 ms",
            limit: MICROSECONDS_100,
        },
        Activity {
            name: "venue",
            means: "trading venue, gateway-to-gateway latency above 1 ms",
            limit: Span::from_millis(1),
        },
    ]),
    sentences: &[
        Sentence {
            section: "2017/574 Art. 2, 3 and annex; 2025/1155 Art. 12 to 15 and annex IV",
            asks: "The business clock does not diverge from UTC by more than the limit of its type of activity.",
            test: Test::Within,
        },
        Sentence {
            section: "2017/574 Art. 1; 2025/1155 Art. 11",
            asks: "The business clock is synchronised with UTC: all the time.",
            test: Test::Synchronised,
        },
        Sentence {
            section: "2017/574 Art. 1; 2025/1155 Art. 11",
            asks: "That UTC is of a timing centre of the BIPM's list, or of a satellite system: only sources are used that were named as \
                   traceable to one.",
            test: Test::Authorised,
        },
        Sentence {
            section: "2017/574 Art. 4; 2025/1155 Art. 16",
            asks: "Traceability to UTC can be demonstrated for the whole period: there is a record of each minute.",
            test: Test::Watched,
        },
        Sentence {
            section: "2017/574 Art. 4; 2025/1155 Art. 16",
            asks: "The system's specification is documented: which configuration was in force, and since when.",
            test: Test::Configured,
        },
        Sentence {
            section: "2017/574 Art. 2, 3 and annex; 2025/1155 Art. 12 to 15 and annex IV",
            asks: "Times of events are recorded with the granularity of the type of activity.",
            test: Test::Elsewhere(
                "the clock counts nanoseconds; what the application writes of them, its records show",
            ),
        },
        Sentence {
            section: "2017/574 Art. 4; 2025/1155 Art. 16",
            asks: "The point at which a time is applied can be identified, and stays the same.",
            test: Test::Elsewhere("the design of the application shows it"),
        },
        Sentence {
            section: "2017/574 Art. 4; 2025/1155 Art. 16",
            asks: "The system of traceability is reviewed at least once a year.",
            test: Test::Elsewhere(
                "this report can be a part of such a review; that it was made is for the organisation to show",
            ),
        },
    ],
    silent: &[
        "Whether a source is traceable to a timing centre of the BIPM's list: name those that are with --authorised.",
        "The latency between the event and the reading of the clock.",
    ],
};
