//! The network process: started once for each role, with its role and descriptors on the command line.
#![forbid(unsafe_code)]

use ipc::link::Link;
use ipc::message::Shortfall;
use network::ending::{BROKEN, Ending};
use network::{client, exchange, server};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use policies::{Inherited, Role};
use std::fmt::Display;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::exit;

fn main() {
    end_on_panic();
    let inherited = Inherited::from_args().unwrap_or_else(|error| fail(error));
    inherited.close_others();
    let link = inherited.fd("link").unwrap_or_else(|error| fail(error));
    unblock(&link).unwrap_or_else(|errno| fail(errno.desc()));
    let ending = match inherited.text("role") {
        Some("client") => {
            let shortfall = confine(Role::Client, &inherited);
            client::run(Link::new(link), shortfall)
        }
        Some("server") => serve(link, &inherited),
        Some("exchange") => {
            let shortfall = confine(Role::Exchange, &inherited);
            exchange::run(Link::new(link), shortfall, exchange::Work::look_up(inherited))
        }
        _ => fail("role=client, role=server or role=exchange is missing; it is started by truechimerd"),
    };
    if ending != Ending::EngineGone {
        say(ending);
    }
    exit(ending.code());
}

fn serve(link: OwnedFd, inherited: &Inherited) -> Ending {
    let sockets = inherited.fds("sockets").unwrap_or_else(|error| fail(error));
    let clock = inherited.optional_fd("clock").unwrap_or_else(|error| fail(error));
    // Before the filter: it allows no socket option, and no thread.
    let listeners = server::listen(sockets).unwrap_or_else(|ending| fail(ending));
    let muster = || server::muster(listeners, clock.as_ref()).unwrap_or_else(|ending| fail(ending));
    let confined = policies::confine_then(Role::Server, inherited, muster);
    let (shortfall, crew) = confined.unwrap_or_else(|error| fail(error));
    server::run(Link::new(link), told(shortfall), &crew)
}

fn confine(role: Role, inherited: &Inherited) -> Shortfall {
    told(policies::confine(role, inherited).unwrap_or_else(|error| fail(error)))
}

fn told(shortfall: policies::Shortfall) -> Shortfall {
    Shortfall {
        namespaces: shortfall.namespaces,
        file_view: shortfall.file_view,
        landlock: shortfall.landlock,
        write_execute: shortfall.write_execute,
        user: shortfall.user,
        insecure: shortfall.insecure,
    }
}

fn unblock(fd: &OwnedFd) -> Result<(), Errno> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}

/// A panic is a fault of ours; it ends the process with one line, and with it the daemon.
fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        say(format_args!("a fault of its own: {}", panic.to_string().escape_debug()));
        exit(BROKEN);
    }));
}

fn fail(error: impl Display) -> ! {
    say(error);
    exit(BROKEN)
}

/// One line; where it can't be written there is nobody to read it.
fn say(what: impl Display) {
    let line = format!("truechimer-network: {what}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
