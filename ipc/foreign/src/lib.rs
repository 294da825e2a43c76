//! Words of other daemons' configuration that are not valid in ours, and what to write instead, as the pages docs/from-*.md
//! have them. The engine says it of a line that it refuses, and `chimerctl import` of one that it does not carry.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod chrony;
mod others;

pub use others::{instead_of, instead_of_line, of_clock};
