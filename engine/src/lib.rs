//! The sentences for administrators, without the process: it writes them, and simulated days show them.
#![forbid(unsafe_code)]

mod sentence;

pub use sentence::{Sentence, Text, change, served_interface, sources};
