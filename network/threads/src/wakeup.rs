//! How a thread is woken that waits for descriptors.

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::{read, write};
use std::os::fd::{AsFd, BorrowedFd};

/// A descriptor that can be read from when somebody rang.
#[derive(Debug)]
pub struct Wakeup(EventFd);

impl Wakeup {
    /// One that is silent.
    ///
    /// # Errors
    /// The kernel's, where there are no descriptors.
    pub fn new() -> Result<Self, Errno> {
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map(Self)
    }

    /// Wakes whoever waits for it, now or the next time.
    pub fn wake(&self) {
        // It can't be full, and is read before anybody sleeps again.
        let _ = write(&self.0, &1u64.to_ne_bytes());
    }

    /// It was heard.
    pub fn clear(&self) {
        let _ = read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Wakeup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
