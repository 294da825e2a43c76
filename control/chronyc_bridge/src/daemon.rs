//! The daemon, which is asked at most once a second, however often somebody asks here.

use crate::request::Question;
use crate::snapshot::{Client, Snapshot};
use control_socket::{AskError, ask_here, read};
use ipc::text::escape;
use report::read::{ClientsReply, SourcesReply, StatusReply};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long an answer counts, or that there was none.
const AGE: Duration = Duration::from_secs(1);

/// How long one answer is waited for. chronyc asks again after 1 s and 3 s, and gives up after 7 s.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a daemon that hangs is left alone.
const REST: Duration = Duration::from_secs(10);

/// The daemon behind a control socket.
#[derive(Debug)]
pub struct Daemon {
    socket: PathBuf,
    last: Option<Snapshot>,
    /// Until when `last` counts.
    until: Option<Instant>,
    /// Why there was no answer, as it was said last.
    trouble: Option<String>,
    /// Until when it is not asked for clients, since it did not answer.
    rests: Option<Instant>,
}

impl Daemon {
    /// The daemon of this socket.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket, last: None, until: None, trouble: None, rests: None }
    }

    /// Its state, at most a second old; none: it does not answer.
    pub fn look(&mut self) -> Option<&Snapshot> {
        if self.until.is_none_or(|until| until <= Instant::now()) {
            let asked = self.ask();
            let counts = if matches!(asked, Err(AskError::TooSlow(_))) { REST } else { AGE };
            self.until = Some(Instant::now() + counts);
            self.note(asked.as_ref().err().map(ToString::to_string));
            self.last = asked.ok();
        }
        self.last.as_ref()
    }

    /// The same with what this question needs besides.
    pub fn look_for(&mut self, question: Question) -> Option<&Snapshot> {
        self.look();
        let is_asked = self.last.as_ref().is_some_and(|known| known.clients.is_none());
        let rests = self.rests.is_some_and(|until| until > Instant::now());
        if matches!(question, Question::Clients(_)) && is_asked && !rests {
            let clients = self.ask_for_clients().ok();
            self.rests = clients.is_none().then(|| Instant::now() + REST);
            if let Some(known) = &mut self.last {
                known.clients = clients;
            }
        }
        self.last.as_ref()
    }

    fn ask_for_clients(&self) -> Result<Vec<Client>, AskError> {
        let reply: ClientsReply = read(&ask_here(&self.socket, "clients", PATIENCE)?)?;
        Ok(Client::list(reply.clients.unwrap_or_default()))
    }

    fn ask(&self) -> Result<Snapshot, AskError> {
        let status: StatusReply = read(&ask_here(&self.socket, "status", PATIENCE)?)?;
        let sources: SourcesReply = read(&ask_here(&self.socket, "sources", PATIENCE)?)?;
        Ok(Snapshot::new(status, sources.sources.unwrap_or_default()))
    }

    /// Says once why there is no answer, and once that there is one again.
    fn note(&mut self, trouble: Option<String>) {
        if trouble != self.trouble {
            match &trouble {
                Some(trouble) => eprintln!("truechimer-chronyc-bridge: {}", escape(trouble)),
                None => eprintln!("truechimer-chronyc-bridge: the daemon answers again"),
            }
            self.trouble = trouble;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a185_it_is_asked_once_a_second_however_often_somebody_asks_here() {
        let path = std::env::temp_dir().join(format!("chronyc-bridge-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 64];
                let length = stream.read(&mut request).unwrap();
                let reply = match request[..length].starts_with(b"{\"verb\":\"status\"}") {
                    true => "{\"report\":{\"stratum\":3}}\n",
                    false => {
                        "{\"sources\":[{\"name\":\"a\",\"address\":\"192.0.2.1:123\"},{\"name\":\"b\"}]}\n"
                    }
                };
                counter.fetch_add(1, Ordering::SeqCst);
                stream.write_all(reply.as_bytes()).unwrap();
            }
        });
        let mut daemon = Daemon::new(path.clone());
        for _ in 0..100 {
            let known = daemon.look().unwrap();
            assert_eq!((known.system.stratum, known.sources.len()), (Some(3), 2));
            assert_eq!(known.sources[0].place, Some("192.0.2.1:123".parse().unwrap()));
            assert_eq!((known.sources[1].place, known.sources[1].number), (None, 2));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2, "one status, one list of sources");
        std::thread::sleep(AGE);
        daemon.look().unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 4);
        std::fs::remove_file(&path).unwrap();
        std::thread::sleep(AGE);
        assert!(daemon.look().is_none(), "what it said before is not repeated");
        assert!(
            daemon.trouble.as_ref().is_some_and(|trouble| trouble.contains("systemctl start truechimer"))
        );
    }
}
