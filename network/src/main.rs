//! The network process.
fn main() {}
