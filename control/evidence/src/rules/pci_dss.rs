//! Payment Card Industry Data Security Standard, requirement 10.6.

use crate::rule::{Limit, Rule, Sentence, Test};
use ipc::units::Span;

pub(super) const RULE: Rule = Rule {
    name: "pci-dss",
    title: "PCI DSS, requirement 10.6: consistent time settings across all systems",
    edition: "requirements 10.6.1 to 10.6.3 of 4.0 and 4.0.1; they were 10.4 in 3.2.1. The standard names no accuracy: 1 s is used unless --limit \
              names yours.",
    limit: Limit::Chosen(Span::from_secs(1)),
    sentences: &[
        Sentence {
            section: "10.6.1",
            asks: "The system clock is synchronised by a technology for it.",
            test: Test::Synchronised,
        },
        Sentence {
            section: "10.6.1",
            asks: "That technology is kept current.",
            test: Test::Elsewhere(
                "the versions are listed in the report; whether they were the newest, the project's changes show",
            ),
        },
        Sentence {
            section: "10.6.2",
            asks: "The system has the correct and consistent time: within the limit of this report.",
            test: Test::Within,
        },
        Sentence {
            section: "10.6.2",
            asks: "Time is taken from the designated servers only, and by these only from accepted external sources that give UTC or TAI.",
            test: Test::Authorised,
        },
        Sentence {
            section: "10.6.2",
            asks: "Where there are several designated servers, they compare their time with each other.",
            test: Test::Elsewhere(
                "the configuration of these servers shows it; here, the number of sources used is listed in the report",
            ),
        },
        Sentence {
            section: "10.6.3",
            asks: "Changes of the time settings are logged: each configuration that was in force.",
            test: Test::Configured,
        },
        Sentence {
            section: "10.6.3",
            asks: "Changes of the time are logged: each step of the clock.",
            test: Test::Steps(Span::from_millis(0)),
        },
        Sentence {
            section: "10.6.3",
            asks: "Nobody changes the time who may not: no other program set the clock.",
            test: Test::NobodyElse,
        },
        Sentence {
            section: "10.6.3",
            asks: "Access to time data is restricted to personnel with a business need, and changes are monitored and reviewed.",
            test: Test::Elsewhere("the organisation shows it"),
        },
    ],
    silent: &[
        "Whether this host is one of the designated servers or one that asks them, and which sources are accepted by the industry.",
    ],
};
