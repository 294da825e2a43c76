//! The checks on time of DISA's security technical implementation guides for Linux.

use crate::rule::{DAY, Limit, Rule, Sentence, Test};
use ipc::units::Span;

pub(super) const RULE: Rule = Rule {
    name: "stig",
    title: "DISA STIG for Linux: checks on time synchronisation",
    edition: "RHEL 9: RHEL-09-252020; RHEL 8: RHEL-08-030740; Ubuntu 24.04: UBTU-24-600160 and UBTU-24-600180. They are written for chrony.conf, and \
              other releases of the guides number them otherwise. They name no accuracy but the second above which the clock is set.",
    limit: Limit::Chosen(Span::from_secs(1)),
    sentences: &[
        Sentence {
            section: "RHEL-09-252020, RHEL-08-030740, UBTU-24-600160",
            asks: "The clock is compared with a time server at least every 24 hours (maxpoll 16 at most in chrony.conf).",
            test: Test::Compared(DAY),
        },
        Sentence {
            section: "RHEL-09-252020, RHEL-08-030740, UBTU-24-600160",
            asks: "The servers are authoritative ones: only sources are used that were named as such.",
            test: Test::Authorised,
        },
        Sentence {
            section: "RHEL-09-252020",
            asks: "The comparison is secure, as we read it: all that the clock follows is authenticated.",
            test: Test::Authenticated,
        },
        Sentence {
            section: "UBTU-24-600180",
            asks: "The clock is set to the authoritative source when the difference is greater than one second: within an hour.",
            test: Test::Corrected(Span::from_secs(1)),
        },
        Sentence {
            section: "SRG-OS-000359-GPOS-00146",
            asks: "Times of audit records can be mapped to UTC: the clock is within the limit of this report.",
            test: Test::Within,
        },
        Sentence {
            section: "RHEL-09-252020, UBTU-24-600160",
            asks: "The configuration file has the lines that the check looks for.",
            test: Test::Elsewhere(
                "there is no chrony.conf; the configuration's hashes are listed in the report, and max-poll is 17 at most, 10 unless it is set",
            ),
        },
    ],
    silent: &[
        crate::rules::POLL,
        "Whether a server is an authoritative one of the DoD: name those that are with --authorised.",
    ],
};
