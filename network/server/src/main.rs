//! The program `truechimer-server`, started by truechimerd with its descriptors on the command line.
#![forbid(unsafe_code)]

use ipc::process::Process;
use ipc_link::Link;
use policies::Role;
use server::{listen, muster};

fn main() {
    network::start::run(Process::Server.program(), |start, link| {
        let sockets = start.required(start.inherited().fds("sockets"));
        let clock = start.required(start.inherited().optional_fd("clock"));
        // Before the filter: it allows no socket option, and no thread.
        let listeners = start.required(listen(sockets));
        let muster = || start.required(muster(listeners, clock.as_ref()));
        let (shortfall, crew) = start.confine_then(Role::Server, muster);
        server::run(Link::new(link), shortfall, crew)
    })
}
