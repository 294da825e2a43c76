//! The service manager's end of NOTIFY_SOCKET.

use crate::daemon::Setup;
use crate::programs::Place;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Mutex;

/// A socket, and everything that was received on it.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    heard: Mutex<String>,
}

impl Manager {
    /// Listens in this folder.
    ///
    /// # Panics
    /// If the socket cannot be made.
    pub fn listen(place: &Place) -> Self {
        let path = place.join("notify");
        let socket = UnixDatagram::bind(&path).expect("a new name");
        socket.set_nonblocking(true).expect("ours");
        fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("ours");
        Self { socket, path, heard: Mutex::default() }
    }

    /// A daemon that reports here.
    pub fn watch(&self, setup: Setup) -> Setup {
        setup.with_environment("NOTIFY_SOCKET", &self.path.display().to_string())
    }

    /// Everything received so far, each message followed by a line feed.
    ///
    /// # Panics
    /// After a panic in another thread.
    pub fn heard(&self) -> String {
        let mut heard = self.heard.lock().expect("no panic while locked");
        let mut message = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut message) {
            heard.push_str(&String::from_utf8_lossy(&message[..length]));
            heard.push('\n');
        }
        heard.clone()
    }
}
