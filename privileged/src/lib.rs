//! What of `truechimerd` the simulator drives as well: the governor, which judges a simulated day by the
//! same rows as a real one, and the audit log that belongs to it. Everything else is the program's alone.

pub mod audit;
pub mod governor;
