//! A key exchange server that does what a test orders (RFC 8915 section 4), implemented a second time like the
//! packets of NTP.

use crate::key_client::record;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// One conversation, from the server's point of view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// The client's request; empty if the handshake failed.
    pub request: Vec<u8>,
    /// Keys client to server and server to client: AEAD 15.
    pub siv: [Vec<u8>; 2],
    /// AEAD 30 by its own number.
    pub gcm_siv: [Vec<u8>; 2],
    /// AEAD 30 by the number 15.
    pub legacy: [Vec<u8>; 2],
}

/// A server in a thread, with a thread for each connection.
pub struct KeyServer {
    address: SocketAddr,
    conversations: Arc<Mutex<Vec<Conversation>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl KeyServer {
    /// Starts on `127.0.0.1`; `answer` makes an answer from each request.
    ///
    /// # Panics
    /// If no port is available.
    pub fn start(config: ServerConfig, answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start_on(([127, 0, 0, 1], 0).into(), config, answer)
    }

    /// The same on an address of the loopback interface.
    ///
    /// # Panics
    /// If the port is not available.
    pub fn start_on(
        address: SocketAddr,
        config: ServerConfig,
        answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let conversations = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (log, end) = (Arc::clone(&conversations), Arc::clone(&is_over));
        let (config, answer) = (Arc::new(config), Arc::new(answer));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if end.load(Ordering::Relaxed) {
                    break;
                }
                let (log, config, answer) = (Arc::clone(&log), Arc::clone(&config), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut conversation = Conversation::default();
                    // A client that closes the connection is the subject of many tests.
                    let _ = serve(stream, config, &*answer, &mut conversation);
                    log.lock().expect("no panic while locked").push(conversation);
                });
            }
        });
        Self { address, conversations, is_over, thread: Some(thread) }
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The conversations that have ended.
    ///
    /// # Panics
    /// If a conversation panicked.
    pub fn conversations(&self) -> Vec<Conversation> {
        self.conversations.lock().expect("no panic while locked").clone()
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread; if that fails, the listener is broken and the thread gone.
        if TcpStream::connect(self.address).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn serve(
    tcp: TcpStream,
    config: Arc<ServerConfig>,
    answer: &dyn Fn(&[u8]) -> Vec<u8>,
    conversation: &mut Conversation,
) -> io::Result<()> {
    tcp.set_read_timeout(Some(Duration::from_secs(10)))?;
    tcp.set_write_timeout(Some(Duration::from_secs(10)))?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, tcp);
    let mut request = Vec::new();
    // Every request ends with this record.
    while !request.ends_with(&record(0x8000, &[])) {
        let mut octets = [0; 256];
        let read = stream.read(&mut octets)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        request.extend_from_slice(&octets[..read]);
    }
    let export = |named: u8, length: usize| {
        [0, 1].map(|direction| {
            let context = [0, 0, 0, named, direction];
            let label = b"EXPORTER-network-time-security";
            stream.conn.export_keying_material(vec![0; length], label, Some(&context)).unwrap_or_default()
        })
    };
    conversation.siv = export(15, 32);
    conversation.gcm_siv = export(30, 16);
    conversation.legacy = export(15, 16);
    conversation.request = request.clone();
    stream.write_all(&answer(&request))?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// An answer with this algorithm and these cookies, with record 1024 if the algorithm is 30.
pub fn answer(algorithm: u16, cookies: &[Vec<u8>]) -> Vec<u8> {
    let mut answer = [record(0x8001, &[0, 0]), record(0x8004, &algorithm.to_be_bytes())].concat();
    if algorithm == 30 {
        answer.extend(record(1024, &[]));
    }
    for cookie in cookies {
        answer.extend(record(5, cookie));
    }
    answer.extend(record(0x8000, &[]));
    answer
}

/// That many different cookies of 100 octets.
pub fn cookies(count: u8) -> Vec<Vec<u8>> {
    (1..=count).map(|number| vec![number; 100]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Authority;
    use crate::key_client;

    #[test]
    fn both_sides_hold_the_same_keys() {
        let authority = Authority::new("root");
        let identity = authority.issue(&["localhost"]);
        let server = KeyServer::start(identity.server_config(), |_| answer(30, &cookies(8)));
        let config = authority.client_config();
        let keys = key_client::exchange(server.address(), "localhost", &config, &[30, 15]).unwrap();
        let seen =
            crate::programs::wait_for(Duration::from_secs(5), || server.conversations().pop()).unwrap();
        assert_eq!([keys.client_to_server, keys.server_to_client], seen.gcm_siv);
        assert_eq!(keys.cookies, cookies(8));
    }
}
