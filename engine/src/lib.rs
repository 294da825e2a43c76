//! The sentences for administrators, without the process: it writes them, and simulated days show them.
#![forbid(unsafe_code)]

mod sentence;

pub use sentence::{ALWAYS, Field, Sentence, Text, change, fields, served_interface, sources};
