//! chimerctl.
fn main() {}
