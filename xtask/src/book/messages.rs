//! The page of the messages whose meaning is in a table of the program: packet tests, and refusals of the governor.

use ipc::message::privileged::Refusal;
use report::RejectReason;
use sentence::Sentence;

/// The page.
pub fn page() -> String {
    let mut page = "# What messages mean\n\nThis page is made from the tables from which the programs make their messages.\n\n\
        ## Packet tests\n\nThe words are those of `rejected` in `chimerctl source NAME` and `chimerctl why`. A reply that is discarded \
        counts as none; one that is not used shows that the server is reachable.\n\n| test | reply | what it means |\n|---|---|---|\n"
        .to_owned();
    for test in RejectReason::ALL {
        page += &format!("| `{test}` | {} | {} |\n", test.effect().name(), test.meaning());
    }
    page += "\n## Refusals of the governor\n\nIn the log as \"the governor refused …\" with the name in brackets, in `chimerctl status` \
        and in `chimerctl audit`. REFUSALS in truechimerd(8) has more on each of them.\n\n| name | what it means |\n|---|---|\n";
    for refusal in Refusal::ALL {
        page += &format!("| `{}` | {} |\n", refusal.name(), refusal.sentence());
    }
    super::manual::linked(&page, "../")
}
