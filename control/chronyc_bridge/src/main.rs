//! truechimer-chronyc-bridge: chronyc, and the programs that speak its protocol, read from truechimer what they read from
//! chronyd. Nothing can be changed this way.
//!
//! ```text
//!   main           the command line; one datagram in, at most one out
//!   place          the socket in chronyd's place
//!   request        what a datagram asks
//!   daemon         the daemon's state, asked for at most once a second
//!   snapshot       that state, and the sources in it
//!   answer         the reply to a question; the clock, the server
//!   source_fields  what is shown of a source
//!   reply          the form of a reply
//!   number         its numbers
//! ```
//!
//! A process of its own without any privilege: it opens the control socket as chimerctl does, so the mode of that socket
//! decides whether it may read. From `request` to `number` nothing has input, output or a clock, but for `daemon`. Neither
//! side is trusted: requests are bounded in length, no reply is longer than its request, nobody who does not read their
//! replies is waited for, and what the daemon says is bounded in size and time by `control_socket`.
#![forbid(unsafe_code)]

mod answer;
mod daemon;
mod number;
mod place;
mod reply;
mod request;
mod snapshot;
mod source_fields;

use answer::{Moment, answer};
use clap::Parser;
use daemon::Daemon;
use ipc::text::escape;
use nix::sys::socket::{MsgFlags, UnixAddr, sendto};
use reply::Reply;
use request::{Heard, LONGEST, read};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

#[derive(Parser)]
#[command(
    name = "truechimer-chronyc-bridge",
    version,
    about = "Answers chronyc in the place of chronyd, read-only"
)]
struct Cli {
    /// The daemon's control socket
    #[arg(long, value_name = "PATH", default_value = "/run/truechimer/control.sock")]
    socket: PathBuf,
    /// The socket on which chronyc asks
    #[arg(long, value_name = "PATH", default_value = "/run/chrony/chronyd.sock")]
    listen: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = place::take(&cli.listen)
        .and_then(|socket| serve(&socket, Daemon::new(cli.socket)).map_err(|error| error.to_string()));
    let why = ended.err().unwrap_or_default();
    eprintln!("truechimer-chronyc-bridge: {}", escape(&why));
    ExitCode::FAILURE
}

/// Answers for ever.
fn serve(socket: &UnixDatagram, mut daemon: Daemon) -> std::io::Result<()> {
    // One octet more than a request may have: what fills it was longer.
    let mut datagram = [0; LONGEST + 1];
    let mut heard: u64 = 0;
    loop {
        let (length, from) = match socket.recv_from(&mut datagram) {
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let reply = match read(datagram.get(..length).unwrap_or_default()) {
            Heard::Noise => continue,
            Heard::Refused(head, refusal) => Reply::refused(&head, refusal),
            Heard::Asked(head, question) => {
                heard = heard.saturating_add(1);
                answer(&head, question, Moment { snapshot: daemon.look_for(question), now: now(), heard })
            }
        };
        send(socket, &reply, &from);
    }
}

/// Sends a reply to whoever can be named and has room for it. Everybody else is left without one: waiting for them would
/// leave all others without one.
fn send(socket: &UnixDatagram, reply: &[u8], to: &SocketAddr) {
    if let Some(to) = to.as_pathname().and_then(|path| UnixAddr::new(path).ok()) {
        let _ = sendto(socket.as_raw_fd(), reply, &to, MsgFlags::MSG_DONTWAIT);
    }
}

/// Nanoseconds since 1970; before that 0.
fn now() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
