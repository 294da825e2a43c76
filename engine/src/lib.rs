//! The sentences for administrators, without the process: it writes them, and simulated days show them.
#![forbid(unsafe_code)]

mod sentence;

pub use sentence::{
    ALWAYS, EVENT, Field, Sentence, Text, change, fields, hand_step, keyed, leave_for, may_be_permitted,
    served_interface, signer, sources,
};
