//! The engine: from replies to orders.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod io;
pub mod report;
pub mod settings;
