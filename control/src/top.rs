//! `chimerctl top`: a live screen.
//!
//! ```text
//!   board     what the daemon and the kernel said last, and rates from two answers
//!   graph     the last hour in characters, and a bar for a source
//!   draw      the screen from that: pure
//!   cells     a grid of characters, and what a terminal is sent when it changes
//!   keys      the octets of keys, and what a key changes
//!   terminal  the terminal's settings, and that they are put back, whatever happens
//! ```
//!
//! Three threads only wait and report to the first: one asks the daemon, one reads keys, one takes signals.

mod board;
mod cells;
mod draw;
mod graph;
mod keys;
mod terminal;

use crate::screen::{Form, Screen};
use crate::{Failure, exit};
use board::{Asker, Board};
use keys::{Key, Next, Stance};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;
use terminal::Terminal;

/// News that wait for the screen; whoever brings more waits.
const WAITING: usize = 16;

/// What the screen is told.
enum News {
    Key(Key),
    Signal(i32),
    Board(Box<Result<Board, String>>),
    /// Keys can be read no longer.
    Closed,
}

/// What is on the screen.
#[derive(Debug)]
pub struct App {
    /// The last answer; none: there was none.
    board: Option<Board>,
    /// Why there is no newer one.
    silence: Option<String>,
    stance: Stance,
    screen: Screen,
    is_coloured: bool,
    /// Seconds between questions.
    interval: f64,
    host: String,
}

/// Shows the screen until somebody ends it.
pub fn show(socket: &Path, interval: f64, form: Form) -> Result<String, Failure> {
    let unable = |text: &str| Failure { text: text.to_owned(), code: exit::UNABLE };
    let Form::Text(screen) = form else {
        return Err(unable("top is a screen for people; for programs there is chimerctl --json status"));
    };
    if let Some(why) = terminal::obstacle() {
        return Err(unable(why));
    }
    let app = App {
        board: None,
        silence: None,
        stance: Stance::default(),
        screen,
        is_coloured: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        interval,
        host: crate::plot::host_name().unwrap_or_default(),
    };
    run(app, Asker::new(socket), Duration::from_secs_f64(interval))
        .map_err(|error| Failure { text: format!("the terminal fails: {error}"), code: exit::UNWRITTEN })?;
    Ok(String::new())
}

fn run(mut app: App, asker: Asker, interval: Duration) -> std::io::Result<()> {
    let (send, news) = sync_channel(WAITING);
    // First: a signal in between would leave the terminal as it is.
    terminal::watch_signals(send.clone())?;
    let mut terminal = Terminal::enter()?;
    terminal::watch_keys(send.clone());
    ask(asker, interval, send);
    loop {
        terminal.draw(&app)?;
        match news.recv() {
            Ok(News::Key(key)) => match app.stance.press(key, app.board.as_ref()) {
                Next::Stay => {}
                Next::Leave => return Ok(()),
                Next::Signal(signal) => terminal.obey(signal)?,
            },
            Ok(News::Signal(signal)) => terminal.obey(signal)?,
            Ok(News::Board(answer)) => app.take(*answer),
            Ok(News::Closed) | Err(_) => return Ok(()),
        }
    }
}

/// Asks again and again, in a thread that ends with this program.
fn ask(mut asker: Asker, interval: Duration, send: SyncSender<News>) {
    thread::spawn(move || {
        while send.send(News::Board(Box::new(asker.ask()))).is_ok() {
            thread::sleep(interval);
        }
    });
}

impl App {
    fn take(&mut self, answer: Result<Board, String>) {
        match answer {
            Ok(board) => {
                if let Some(before) = &self.board {
                    self.stance.follow(before, &board);
                }
                self.stance.keep_within(&board);
                (self.board, self.silence) = (Some(board), None);
            }
            Err(why) => self.silence = Some(why),
        }
    }
}
