//! Clocks that are not the kernel's: for everything that must not touch that one.

mod untouched;
mod virtual_file;

pub use untouched::Untouched;
pub use virtual_file::VirtualClock;
