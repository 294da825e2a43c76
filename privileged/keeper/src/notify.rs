//! Notification of the service manager: ready, watchdog, stopping. One connected datagram socket, opened by the launch
//! and only written to.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// The longest reason for an end, in characters.
const LONGEST: usize = 400;

/// The connection, if a service manager asked for one.
#[derive(Clone, Debug)]
pub struct Notify(Option<Arc<File>>);

impl Notify {
    /// From a connected socket; `None`: no notifications.
    pub fn to(socket: Option<OwnedFd>) -> Self {
        Self(socket.map(|socket| Arc::new(socket.into())))
    }

    /// The socket.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_deref().map(AsFd::as_fd)
    }

    /// Reports why this program ends, in one line that fits `systemctl status`.
    pub fn say_end(&self, why: &str) {
        let line = why.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        let mut line: String = line.take(LONGEST + 1).collect();
        if let Some((end, _)) = line.char_indices().nth(LONGEST) {
            line.replace_range(end.., "…");
        }
        self.say(&format!("STATUS={line}"));
    }

    /// Sends a notification without blocking.
    pub fn say(&self, state: &str) {
        if let Some(socket) = &self.0 {
            let _ = (&**socket).write(state.as_bytes());
        }
    }
}
