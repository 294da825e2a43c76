//! The network process: started once for each role, with its role and descriptors on the command line.
#![forbid(unsafe_code)]

use ipc::message::Shortfall;
use ipc::process::Process;
use ipc_link::Link;
use network::ending::{BROKEN, Ending};
use network::key_holder::{Holder, MAX_LINKS};
use network::{client, exchange, key_service, server};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use policies::{ConfineError, InheritError, Inherited, Role};
use std::fmt::Display;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::exit;

fn main() {
    end_on_panic();
    let inherited = Inherited::from_args().unwrap_or_else(|error| fail(error));
    inherited.close_others();
    let link = inherited.fd("link").unwrap_or_else(|error| fail(error));
    unblock(&link).unwrap_or_else(|errno| fail(errno.desc()));
    let asked = inherited.text("role");
    let role = Process::ALL.into_iter().find(|process| asked.is_some() && process.role() == asked);
    let ending = match role {
        Some(Process::Client) => {
            let shortfall = confine(Role::Client, &inherited);
            client::run(Link::new(link), shortfall)
        }
        Some(Process::Server) => serve(link, &inherited),
        Some(Process::Exchange) => {
            let shortfall = confine(Role::Exchange, &inherited);
            exchange::run(Link::new(link), shortfall, exchange::Work::confined(inherited))
        }
        Some(Process::KeyService) => exchange_keys(link, &inherited),
        Some(Process::KeyHolder) => hold_key(link, &inherited),
        None | Some(Process::Privileged | Process::Engine) => {
            fail("a word like role=client is missing; this program is started by truechimerd, not by hand")
        }
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
    let (shortfall, crew) = confined.unwrap_or_else(|error| unconfined(error));
    server::run(Link::new(link), shortfall, &crew)
}

fn exchange_keys(engine: OwnedFd, inherited: &Inherited) -> Ending {
    let certificate = path(inherited, "certificate");
    let holder = inherited.fd("holder").unwrap_or_else(|error| fail(error));
    let signing = signing_links(inherited, |fd| block(fd, true));
    let listeners = inherited.fds("listeners").unwrap_or_else(|error| fail(error));
    for fd in listeners.iter().chain([&holder]) {
        block(fd, false);
    }
    let signing = signing.into_iter().map(Link::new).collect();
    // Before the filter: it allows no socket option, and no thread.
    let muster = || key_service::muster(listeners, signing).unwrap_or_else(|ending| fail(ending));
    let confined = policies::confine_then(Role::KeyService, inherited, muster);
    let (shortfall, crew) = confined.unwrap_or_else(|error| unconfined(error));
    key_service::run(Link::new(engine), Link::new(holder), certificate, shortfall, &crew)
}

fn hold_key(link: OwnedFd, inherited: &Inherited) -> Ending {
    let path = path(inherited, "key");
    let mut links = vec![link];
    links.extend(signing_links(inherited, |fd| block(fd, false)));
    let links = links.into_iter().map(Link::new).collect();
    // The first use of the key is before the filter, and after everything else that hides other files.
    let confined = policies::confine_then(Role::KeyHolder, inherited, || Holder::new(path));
    let (shortfall, holder) = confined.unwrap_or_else(|error| unconfined(error));
    holder.run(links, shortfall)
}

/// One for each thread of the key exchange service, and an end in each of both processes.
fn signing_links(inherited: &Inherited, prepare: impl Fn(&OwnedFd)) -> Vec<OwnedFd> {
    let links = inherited.fds("signing").unwrap_or_else(|error| fail(error));
    if !(1..MAX_LINKS).contains(&links.len()) {
        fail("the word signing=FD,FD,… has an impossible number of links; it is truechimerd's fault");
    }
    links.iter().for_each(prepare);
    links
}

fn path(inherited: &Inherited, word: &'static str) -> PathBuf {
    let path = inherited.text(word).filter(|path| path.starts_with('/'));
    path.map_or_else(|| fail(InheritError::Missing(word.to_owned())), PathBuf::from)
}

fn confine(role: Role, inherited: &Inherited) -> Shortfall {
    policies::confine(role, inherited).unwrap_or_else(|error| unconfined(error))
}

fn unblock(fd: &OwnedFd) -> Result<(), Errno> {
    set_blocking(fd, false)
}

fn block(fd: &OwnedFd, blocks: bool) {
    set_blocking(fd, blocks).unwrap_or_else(|errno| fail(errno.desc()));
}

fn set_blocking(fd: &OwnedFd, blocks: bool) -> Result<(), Errno> {
    let mut flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_NONBLOCK, !blocks);
    fcntl(fd, FcntlArg::F_SETFL(flags)).map(drop)
}

/// A panic is a fault of ours; it ends the process with one line, and with it the daemon.
fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        say(format_args!("a fault of its own: {}", ipc::text::escape(&panic.to_string())));
        exit(BROKEN);
    }));
}

fn unconfined(error: ConfineError) -> ! {
    match error {
        // Of a start that failed truechimerd has said why.
        ConfineError::Orphaned => exit(BROKEN),
        error => fail(error),
    }
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
