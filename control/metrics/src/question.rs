//! Asks the daemon, once a second at most, however many ask for the page.

use crate::metric::Metric;
use crate::page::Page;
use crate::{clock, server, sources};
use control_socket::{AskError, ask_here, read};
use report::read::{KeysReply, SourcesReply, StatusReply};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long all answers of the daemon may take together: less than the ten seconds after which Prometheus gives up.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// How long a page is shown again.
const FRESH: Duration = Duration::from_secs(1);

/// What is asked, in this order.
struct Answers {
    status: StatusReply,
    sources: SourcesReply,
    keys: KeysReply,
}

/// The daemon behind a control socket.
#[derive(Debug)]
pub struct Daemon {
    socket: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The last page, and when its questions were answered.
    page: Option<(Instant, Arc<Page>)>,
    /// Since when a thread has been asking.
    asking: Option<Instant>,
}

impl Daemon {
    /// The daemon of this socket.
    pub fn new(socket: PathBuf) -> Arc<Self> {
        Arc::new(Self { socket, state: Mutex::default(), changed: Condvar::new() })
    }

    /// The page: at most a second old, or about to be. One thread asks at a time, whoever waits for it, so that a daemon that
    /// hangs costs no more than one.
    pub fn page(self: &Arc<Self>) -> Arc<Page> {
        let begun = Instant::now();
        let mut state = self.locked();
        loop {
            match &state.page {
                Some((at, page)) if at.elapsed() < FRESH || *at > begun => return Arc::clone(page),
                _ => {}
            }
            // Where no thread can be had, the daemon counts as silent.
            if state.asking.is_none() && self.ask().is_ok() {
                state.asking = Some(Instant::now());
            }
            let Some(since) = state.asking else { return Arc::new(down(&AskError::TooSlow(PATIENCE))) };
            let left = PATIENCE.saturating_sub(since.elapsed()).min(PATIENCE.saturating_sub(begun.elapsed()));
            if left.is_zero() {
                return Arc::new(down(&AskError::TooSlow(PATIENCE)));
            }
            let waited = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
        }
    }

    /// Begins to ask in a thread, which tells those who wait.
    fn ask(self: &Arc<Self>) -> io::Result<()> {
        let daemon = Arc::clone(self);
        let ask = move || {
            let page = Arc::new(ask_now(&daemon.socket));
            *daemon.locked() = State { page: Some((Instant::now(), page)), asking: None };
            daemon.changed.notify_all();
        };
        thread::Builder::new().name("question".to_owned()).spawn(ask).map(drop)
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The page of this moment.
pub fn ask_now(socket: &Path) -> Page {
    let begun = Instant::now();
    match ask_all(socket, begun) {
        Ok(answers) => up(&answers, begun.elapsed()),
        Err(error) => down(&error),
    }
}

fn ask_all(socket: &Path, begun: Instant) -> Result<Answers, AskError> {
    let ask = |verb: &str| {
        let left = PATIENCE.saturating_sub(begun.elapsed());
        if left.is_zero() { Err(AskError::TooSlow(PATIENCE)) } else { ask_here(socket, verb, left) }
    };
    Ok(Answers {
        status: read(&ask("status")?)?,
        sources: read(&ask("sources")?)?,
        keys: read(&ask("keys")?)?,
    })
}

/// The page of a daemon that answered.
fn up(answers: &Answers, took: Duration) -> Page {
    let mut page = begin(true);
    page.number(Metric::AnswerSeconds, &[], Some(took.as_secs_f64()));
    clock::add(&mut page, &answers.status);
    sources::add(&mut page, &answers.sources);
    server::add_cookie_keys(&mut page, &answers.keys);
    page
}

/// The page of one that did not: nothing of what it said before.
fn down(error: &AskError) -> Page {
    let reason = match error {
        AskError::NotRunning(_) => "not-running",
        AskError::Forbidden(_) => "forbidden",
        AskError::TooSlow(_) => "too-slow",
        AskError::TooLong => "too-long",
        AskError::NotUnderstood => "not-understood",
        AskError::Refused(_) => "refused",
        AskError::Broken(_) => "broken",
    };
    let mut page = begin(false);
    page.says(Metric::Down, &[("reason", reason)]);
    page
}

fn begin(is_up: bool) -> Page {
    let mut page = Page::default();
    page.flag(Metric::Up, &[], Some(is_up));
    page.says(Metric::Exporter, &[("version", env!("CARGO_PKG_VERSION"))]);
    page
}

#[cfg(test)]
mod tests;
