//! BSI IT-Grundschutz-Kompendium, module OPS.1.2.6 NTP-Zeitsynchronisation.

use crate::rule::{Limit, Rule, Sentence, Test};
use ipc::units::Span;

pub(super) const RULE: Rule = Rule {
    name: "bsi-ops-1-2-6",
    title: "BSI IT-Grundschutz, OPS.1.2.6 NTP-Zeitsynchronisation",
    edition: "requirements A1 to A12 of the editions 2022 and 2023 of the compendium. B, S and H are basic requirements, standard ones, and those for \
              a high need of protection. The accuracy is what the institution has defined by A1: 1 s is used unless --limit names yours.",
    limit: Limit::Chosen(Span::from_secs(1)),
    sentences: &[
        Sentence {
            section: "OPS.1.2.6.A1 (B)",
            asks: "The accuracy that the institution has defined is kept: within the limit of this report.",
            test: Test::Within,
        },
        Sentence {
            section: "OPS.1.2.6.A1 (B)",
            asks: "The use of NTP is planned and documented.",
            test: Test::Elsewhere("the institution shows it"),
        },
        Sentence {
            section: "OPS.1.2.6.A2 (B)",
            asks: "Only servers are used that were judged to be reliable.",
            test: Test::Authorised,
        },
        Sentence {
            section: "OPS.1.2.6.A3 (B)",
            asks: "No client changes settings of the server, and only trusted ones ask for its status.",
            test: Test::Elsewhere(
                "it is a property of this program: nothing that comes from the network changes a setting or is told the status",
            ),
        },
        Sentence {
            section: "OPS.1.2.6.A3 (B)",
            asks: "The server takes accurate time regularly: some source is used at least every 24 hours.",
            test: Test::Compared(crate::rule::DAY),
        },
        Sentence {
            section: "OPS.1.2.6.A4 (B), A5 (S)",
            asks: "Time that nobody asked for is not considered, and the client-server mode is used.",
            test: Test::Elsewhere(
                "it is a property of this program: it has no other mode, and takes only answers to its own questions",
            ),
        },
        Sentence {
            section: "OPS.1.2.6.A6 (S)",
            asks: "The time of the system is monitored, and unusual times are recorded.",
            test: Test::Watched,
        },
        Sentence {
            section: "OPS.1.2.6.A6 (S)",
            asks: "Unexpected restarts of the system and of the service are recorded.",
            test: Test::Starts,
        },
        Sentence {
            section: "OPS.1.2.6.A7 (S)",
            asks: "It was decided how clients react to times that deviate much, also after a restart.",
            test: Test::Elsewhere(
                "the configuration shows it, whose hashes are listed in the report, and the governor's limits",
            ),
        },
        Sentence {
            section: "OPS.1.2.6.A8 (S), A12 (H)",
            asks: "Secure protocols are used, and only authenticated time is accepted.",
            test: Test::Authenticated,
        },
        Sentence {
            section: "OPS.1.2.6.A9 (H), A10 (H)",
            asks: "There are several stratum 1 servers in the institution's own network, and no others are used.",
            test: Test::Elsewhere(
                "the history has no stratum of each source, and does not know whose network it is in: --authorised names the own ones",
            ),
        },
        Sentence {
            section: "OPS.1.2.6.A11 (H)",
            asks: "Time is taken from at least four independent servers.",
            test: Test::Sources(4),
        },
    ],
    silent: &[
        crate::rules::POLL,
        "Whether servers are independent of each other, and whether they are in the institution's network.",
    ],
};
