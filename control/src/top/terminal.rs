//! The terminal: its settings are put back before this program ends or stops, by a key, a signal, an error or a panic.

use super::cells::Grid;
use super::{App, News, draw, keys};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::panic;
use std::sync::Mutex;
use std::sync::mpsc::SyncSender;
use std::thread;

/// The other screen, without a cursor, and no line goes on in the next one; and back.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &[u8] = b"\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";

/// How long the rest of a key may be under way.
const REST: u8 = 50;

/// The settings as they were found; none: they are in force.
static FOUND: Mutex<Option<Termios>> = Mutex::new(None);

/// Why nothing can be shown here; none: it can.
pub fn obstacle() -> Option<&'static str> {
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return Some("top needs a terminal for its screen and its keys; chimerctl status says the same once");
    }
    let name = std::env::var("TERM").unwrap_or_default();
    (name.is_empty() || name == "dumb").then_some(
        "top needs a terminal whose cursor it can move, and TERM names none; chimerctl status says the same once",
    )
}

/// The terminal while it is ours.
pub struct Terminal {
    /// What it shows; none: not known.
    shown: Option<Grid>,
}

impl Terminal {
    /// Takes it over.
    pub fn enter() -> io::Result<Self> {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            leave();
            before(panic);
        }));
        take_over()?;
        // From here on it is put back when this is dropped.
        Ok(Self { shown: None })
    }

    /// Shows what there is.
    pub fn draw(&mut self, app: &App) -> io::Result<()> {
        let size = terminal_size::terminal_size_of(io::stdout());
        let (width, height) = size.map_or((80, 24), |(width, height)| (width.0.into(), height.0.into()));
        let mut grid = Grid::new(width, height);
        draw::draw(app, &mut grid);
        write(grid.changes(self.shown.as_ref(), app.is_coloured).as_bytes())?;
        self.shown = Some(grid);
        Ok(())
    }

    /// Does what a signal does to any program, with the terminal as it was.
    pub fn obey(&mut self, signal: i32) -> io::Result<()> {
        self.shown = None;
        match signal {
            SIGWINCH => return Ok(()),
            // It was stopped by a signal that nobody can take.
            SIGCONT => {}
            _ => {
                leave();
                emulate_default_handler(signal)?;
            }
        }
        take_over()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave();
    }
}

fn write(octets: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(octets)?;
    output.flush()
}

fn take_over() -> io::Result<()> {
    let input = io::stdin();
    let found = tcgetattr(&input)?;
    let mut raw = found.clone();
    cfmakeraw(&mut raw);
    if let Ok(mut kept) = FOUND.lock() {
        // Those of the first time, if they are not in force again.
        kept.get_or_insert(found);
    }
    tcsetattr(&input, SetArg::TCSANOW, &raw)?;
    write(ENTER).inspect_err(|_| leave())
}

/// Puts everything back. Where that fails, the terminal is gone.
fn leave() {
    let Some(found) = FOUND.lock().ok().and_then(|mut kept| kept.take()) else { return };
    let _ = write(LEAVE);
    let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &found);
}

/// Reports signals, in a thread that ends with this program.
pub fn watch_signals(send: SyncSender<News>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGTSTP, SIGCONT, SIGWINCH])?;
    thread::spawn(move || {
        for signal in signals.forever() {
            if send.send(News::Signal(signal)).is_err() {
                break;
            }
        }
    });
    Ok(())
}

/// Reports keys, in a thread that ends with this program.
pub fn watch_keys(send: SyncSender<News>) {
    thread::spawn(move || {
        let mut octets = Vec::new();
        loop {
            match read(&mut octets) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => {
                    let _ = send.send(News::Closed);
                    break;
                }
            }
            for key in keys::decode(&octets) {
                if send.send(News::Key(key)).is_err() {
                    return;
                }
            }
            octets.clear();
        }
    });
}

/// Waits for octets of keys, whole ones as far as they come soon.
fn read(octets: &mut Vec<u8>) -> io::Result<()> {
    let mut input = io::stdin().lock();
    loop {
        let mut part = [0; 64];
        let length = input.read(&mut part)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        octets.extend(part.iter().take(length));
        let mut waited = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
        if octets.len() > 256 || !keys::is_cut(octets) || poll(&mut waited, PollTimeout::from(REST))? == 0 {
            return Ok(());
        }
    }
}
