//! Bytes of the standards.
#![no_std]
#![forbid(unsafe_code)]
