//! What the pictures show: a client and server with NTS and a wrong virtual clock; of its five sources one falls silent and one
//! becomes wrong. It serves a program that asks too often and a client with NTS.

use bench::client::query;
use bench::clock;
use bench::daemon::{Daemon, Setup};
use bench::forger::Forger;
use bench::nts::{NtsServer, Trust};
use bench::packet::timestamp;
use bench::programs::free_port;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const ERROR_NS: i64 = -3_700_000_000;
const OSCILLATOR_PPM: f64 = -40.0;
/// By how much the wrong source is ahead.
const LIE_NS: i64 = 80_000_000;
/// Between two queries of the program that asks.
const PAUSE: Duration = Duration::from_millis(250);

/// All of it runs until it is dropped.
pub struct Scene {
    forgers: Vec<Forger>,
    daemon: Daemon,
    _others: [Daemon; 2],
    _files: [NtsServer; 2],
    end: Arc<AtomicBool>,
    asker: Option<JoinHandle<()>>,
}

impl Scene {
    /// Starts it. Of the sources only the one with NTS answers yet, by which the clock is set.
    ///
    /// # Panics
    /// As [`Setup::start`].
    pub fn start() -> Self {
        let authenticated = NtsServer::new("upstream", &["127.0.0.1"], "");
        let upstream = authenticated.setup.start();
        let silent = |last: u8| Forger::start([127, 0, 0, last].into(), 0, |_| Vec::new());
        let forgers: Vec<Forger> = (2..=5).map(silent).collect();
        let plain = |forger: &Forger| {
            format!("[[source]]\naddress = \"{}\"\nmin-poll = 1\nmax-poll = 4\n\n", forger.address())
        };
        let sources: String = forgers.iter().map(plain).collect();
        let (port, key_port, trust) = (free_port(), free_port(), Trust::new("served"));
        let configuration = format!(
            "{}{sources}[server]\nlisten = [\"127.0.0.1:{port}\"]\nallow = [\"127.0.0.0/8\"]\n[server.nts]\n\
             listen = [\"127.0.0.1:{key_port}\"]\ncertificate = \"{}\"\nkey = \"{}\"\n",
            authenticated.source_polled("127.0.0.1", 1..=4, ""),
            trust.chain().display(),
            trust.key().display(),
        );
        let setup = Setup::new("pictures", &configuration).with_virtual_clock(ERROR_NS, OSCILLATOR_PPM);
        let daemon = setup.start();
        let served = NtsServer { setup, key_port, port, trust };
        let client = Setup::new("served", &served.source_polled("127.0.0.1", 3..=4, "")).start();
        let end = Arc::new(AtomicBool::new(false));
        let asker = std::thread::spawn({
            let end = Arc::clone(&end);
            move || {
                while !end.load(Ordering::SeqCst) {
                    let _ = query(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PAUSE);
                    std::thread::sleep(PAUSE);
                }
            }
        });
        let others = [upstream, client];
        let files = [authenticated, served];
        Self { forgers, daemon, _others: others, _files: files, end, asker: Some(asker) }
    }

    /// The daemon that is shown.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// All sources are heard from now on; before each reply of the last one comes another one that answers no query, and is discarded.
    pub fn sources_answer(&self) {
        for forger in &self.forgers {
            forger.change(|request| vec![request.with(|_| ())]);
        }
        if let [.., last] = self.forgers.as_slice() {
            last.change(|request| {
                vec![request.with(|header| header.origin = header.transmit), request.with(|_| ())]
            });
        }
    }

    /// The last one is not heard any more.
    pub fn one_falls_silent(&self) {
        if let [.., last] = self.forgers.as_slice() {
            last.change(|_| Vec::new());
        }
    }

    /// The last but one is ahead from now on.
    pub fn one_becomes_wrong(&self) {
        if let [.., wrong, _] = self.forgers.as_slice() {
            wrong.change(|request| {
                let received = request.received + LIE_NS;
                vec![request.with(|header| {
                    header.receive = timestamp(received);
                    header.transmit = timestamp(clock::wall() + LIE_NS);
                })]
            });
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        if let Some(asker) = self.asker.take() {
            let _ = asker.join();
        }
    }
}
