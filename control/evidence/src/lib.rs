//! What a history of the clock shows of the sentences of a rule, for an auditor. Pure: `chimerctl evidence` reads the history and writes
//! the files.
//!
//! ```text
//!   rule       what a rule is: sentences, each with the test that computes it
//!   rules      the rules, a file of each
//!   course     what a history has of a period: minutes, what lies between them, sources, starts, configurations
//!   judge      the line of a sentence: met, not met, not shown, with figure, minutes and reason
//!   report     a rule, a period, and what came out
//!   document   the report as JSON
//!   page       the report as a page for a browser and for paper
//!   picture    the period as pictures
//!   figure     lengths and moments of time as text
//! ```
//!
//! A sentence is met only where the history shows it for the whole period: a minute that was not kept, or whose error was not known, is
//! neither met nor failed, and what no history can show is said of each report. A new rule is a file in `rules`; a new way to compute
//! a sentence is a variant of [`rule::Test`], with its line in `judge`.
#![forbid(unsafe_code)]

pub mod course;
mod document;
pub mod figure;
pub mod judge;
mod page;
mod picture;
mod report;
pub mod rule;
pub mod rules;

pub use report::{Asked, Chain, Origin, Records, Report, Witness};
