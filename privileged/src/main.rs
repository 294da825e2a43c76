//! truechimerd.
fn main() {}
