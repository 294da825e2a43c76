//! Clocks other than the kernel's, for uses that must not change that one.

mod untouched;
mod virtual_file;

pub use untouched::Untouched;
pub use virtual_file::VirtualClock;
