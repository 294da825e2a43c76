//! The service manager: ready, alive, stopping. One connected datagram socket, opened by the launch and only written to.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// The longest reason of an end, in characters.
const LONGEST: usize = 400;

/// The connection, where a service manager asked for one.
#[derive(Clone, Debug)]
pub struct Notify(Option<Arc<File>>);

impl Notify {
    /// Over a socket that is connected already; none: nobody is to be told.
    pub fn to(socket: Option<OwnedFd>) -> Self {
        Self(socket.map(|socket| Arc::new(socket.into())))
    }

    /// The socket.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_deref().map(AsFd::as_fd)
    }

    /// Says why this program ends, in one line that `systemctl status` has room for.
    pub fn say_end(&self, why: &str) {
        let line = why.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        let mut line: String = line.take(LONGEST + 1).collect();
        if let Some((end, _)) = line.char_indices().nth(LONGEST) {
            line.replace_range(end.., "…");
        }
        self.say(&format!("STATUS={line}"));
    }

    /// Says it; nobody waits for the service manager.
    pub fn say(&self, state: &str) {
        if let Some(socket) = &self.0 {
            let _ = (&**socket).write(state.as_bytes());
        }
    }
}
