//! Machines with a kernel of their own.
//!
//! ```text
//!   days   whole days of the real daemon on the real kernel's clock, in simulated time
//! ```

pub mod days;
