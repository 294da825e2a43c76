//! From the first instruction of a program until it is confined, and its end.

use crate::ending::{BROKEN, Ending};
use ipc::message::Shortfall;
use ipc::message::launch::MAX_KEY_THREADS;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use policies::{ConfineError, InheritError, Inherited, Role};
use std::fmt::Display;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::exit;

/// A program with its arguments and only the descriptors that they name; a missing one ends it with [`BROKEN`].
#[derive(Debug)]
pub struct Start {
    program: &'static str,
    inherited: Inherited,
}

/// Runs the body of a program with its non-blocking link, to its end.
pub fn run(program: &'static str, body: impl FnOnce(Start, OwnedFd) -> Ending) -> ! {
    end_on_panic(program);
    let inherited = Inherited::from_args().unwrap_or_else(|error| fail(program, error));
    inherited.close_others();
    let start = Start { program, inherited };
    let link = start.required(start.inherited.fd("link"));
    start.block(&link, false);
    let ending = body(start, link);
    if ending != Ending::EngineGone {
        say(program, ending);
    }
    exit(ending.code())
}

impl Start {
    /// Confines this process; [`policies::confine`].
    pub fn confine(&self, role: Role) -> Shortfall {
        policies::confine(role, &self.inherited).unwrap_or_else(|error| self.unconfined(error))
    }

    /// The same with the last preparations before the filter is in force; [`policies::confine_then`].
    pub fn confine_then<T>(&self, role: Role, last: impl FnOnce() -> T) -> (Shortfall, T) {
        policies::confine_then(role, &self.inherited, last).unwrap_or_else(|error| self.unconfined(error))
    }

    /// Its arguments.
    pub const fn inherited(&self) -> &Inherited {
        &self.inherited
    }

    /// Its arguments, by value.
    pub fn into_inherited(self) -> Inherited {
        self.inherited
    }

    /// Unwraps a required value, or exits.
    pub fn required<T, E: Display>(&self, result: Result<T, E>) -> T {
        result.unwrap_or_else(|error| fail(self.program, error))
    }

    /// The file that an argument names.
    pub fn path(&self, word: &'static str) -> PathBuf {
        let path = self.inherited.text(word).filter(|path| path.starts_with('/'));
        self.required(path.map(PathBuf::from).ok_or_else(|| InheritError::Missing(word.to_owned())))
    }

    /// The files that these arguments name, in their order: the first one at least.
    pub fn paths<const N: usize>(&self, words: [&'static str; N]) -> Vec<PathBuf> {
        let is_there = |word: &&str| self.inherited.text(word).is_some();
        let given = words.into_iter().enumerate().filter(|(at, word)| *at == 0 || is_there(word));
        given.map(|(_, word)| self.path(word)).collect()
    }

    /// The links over which signatures are requested and returned: one for each thread of the key service, with
    /// one end in each of the two processes.
    pub fn signing_links(&self, blocks: bool) -> Vec<OwnedFd> {
        let links = self.required(self.inherited.fds("signing"));
        if !(1..=usize::from(MAX_KEY_THREADS)).contains(&links.len()) {
            let impossible = "the word signing=FD,FD,… has an impossible number of links";
            fail(self.program, format_args!("{impossible}; it is truechimerd's fault"));
        }
        links.iter().for_each(|link| self.block(link, blocks));
        links
    }

    /// Makes a descriptor blocking or non-blocking.
    pub fn block(&self, fd: &OwnedFd, blocks: bool) {
        let change = || -> Result<(), Errno> {
            let mut flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
            flags.set(OFlag::O_NONBLOCK, !blocks);
            fcntl(fd, FcntlArg::F_SETFL(flags)).map(drop)
        };
        self.required(change().map_err(Errno::desc));
    }

    fn unconfined(&self, error: ConfineError) -> ! {
        match error {
            // Of a start that failed truechimerd has said why.
            ConfineError::Orphaned => exit(BROKEN),
            error => fail(self.program, error),
        }
    }
}

/// A panic is a bug; it ends the process with one line, and with it the daemon.
pub fn end_on_panic(program: &'static str) {
    std::panic::set_hook(Box::new(move |panic| {
        say(program, format_args!("a fault of its own: {}", panic.to_string().escape_debug()));
        exit(BROKEN);
    }));
}

fn fail(program: &str, error: impl Display) -> ! {
    say(program, error);
    exit(BROKEN)
}

/// Writes one line; if that fails, no reader is left.
fn say(program: &str, what: impl Display) {
    let line = format!("{program}: {what}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
