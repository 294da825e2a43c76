//! truechimer-metrics: what monitoring systems see of the daemon, over HTTP or as a file.
//!
//! ```text
//!   options   the command line
//!   serve     as many threads as places, and a deadline for each connection
//!   listener  the listening socket: TCP, or one in the file system
//!   places    eight connections at a time, and who gives way
//!   request   the little of HTTP that a scrape needs
//!   question  asks the daemon, once a second at most
//!   clock     samples of the reply to status
//!   sources   of the reply to sources
//!   server    of the server, its key exchange service, the keys of its cookies
//!   metric    the metrics: name, kind, help
//!   page      samples in two text formats
//! ```
//!
//! It reads the control socket, as chimerctl does, and changes nothing: it runs as a user who may not. What it hears from
//! the network is one request of at most eight KiB, of which it takes a path and one header. What the engine says is not
//! trusted either: bounded, escaped, and no sample twice. A value that was never measured is absent.
#![forbid(unsafe_code)]

mod clock;
mod listener;
mod metric;
mod options;
mod page;
mod places;
mod question;
mod request;
mod serve;
mod server;
mod sources;

use ipc::text::escape;
use listener::Listener;
use options::{Asked, Place};
use page::Format;
use question::Daemon;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Something does not work.
const FAILED: u8 = 1;

/// The command line is wrong.
const WRONG: u8 = 2;

/// It may not do what it is to do, or more than it should.
const NOT_PERMITTED: u8 = 77;

fn main() -> ExitCode {
    let asked = match options::parse(std::env::args_os().skip(1)) {
        Ok(asked) => asked,
        Err(wrong) => return fail(&wrong, WRONG),
    };
    match asked {
        Asked::Help => print(&format!("{}\n", options::HELP)),
        Asked::Version => print(&format!("truechimer-metrics {}\n", env!("CARGO_PKG_VERSION"))),
        Asked::Once { socket } => print(&question::ask_now(&socket).write(Format::Text)),
        Asked::Serve { place, socket } => serve(place, socket),
    }
}

/// A file that is not whole would be a page with other values: an error in writing it is one of the program.
fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("the page cannot be written: {error}"), FAILED),
    }
}

fn serve(place: Place, socket: PathBuf) -> ExitCode {
    if is_root() {
        let why = "does not hear the network as root: start it as a user of the group truechimer, as the unit \
                   truechimer-metrics.service does";
        return fail(why, NOT_PERMITTED);
    }
    let listener = match place {
        Place::Address(address) => Listener::bind(address)
            .map_err(|error| format!("{address}: {error}; name another address with --listen")),
        Place::Inherited => {
            Listener::inherited().map_err(|error| format!("standard input is no listening socket: {error}"))
        }
    };
    match listener {
        Ok(listener) => {
            let error = serve::serve(&listener, &Daemon::new(socket));
            fail(&format!("no connection is accepted any more: {error}"), FAILED)
        }
        Err(why) => fail(&why, FAILED),
    }
}

/// Whether this process is root's: `/proc/self` belongs to its effective user.
fn is_root() -> bool {
    std::fs::metadata(Path::new("/proc/self")).is_ok_and(|own| own.uid() == 0)
}

fn fail(why: &str, code: u8) -> ExitCode {
    eprintln!("truechimer-metrics: {}", escape(why));
    ExitCode::from(code)
}
