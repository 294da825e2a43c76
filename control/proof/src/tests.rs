//! What the files of a host prove, and what is found when they were touched.

mod hosts;
mod liars;
mod manipulations;
mod rings;
