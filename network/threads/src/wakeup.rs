//! Wakes a thread that waits in poll(2) or epoll_wait(2).

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::{read, write};
use std::os::fd::{AsFd, BorrowedFd};

/// An eventfd that becomes readable when [`Wakeup::wake`] is called.
#[derive(Debug)]
pub struct Wakeup(EventFd);

impl Wakeup {
    /// Not yet signalled.
    ///
    /// # Errors
    /// The kernel's error if no descriptor is available.
    pub fn new() -> Result<Self, Errno> {
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map(Self)
    }

    /// Wakes the thread that waits for it, now or at its next wait.
    pub fn wake(&self) {
        // The counter cannot overflow, and is read before a thread sleeps again.
        let _ = write(&self.0, &1u64.to_ne_bytes());
    }

    /// Resets it, once the thread is awake.
    pub fn clear(&self) {
        let _ = read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Wakeup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
