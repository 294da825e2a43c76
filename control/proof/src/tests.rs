//! What the files of a host prove, and what is found when they were touched.

mod by_root;
mod hosts;
mod liars;
mod manipulations;
mod rings;

use crate::{Report, Weight};

/// What is found and no power cut explains.
fn altered(report: &Report) -> Vec<String> {
    report
        .findings
        .iter()
        .filter(|finding| finding.weight != Weight::PowerCut)
        .map(ToString::to_string)
        .collect()
}
