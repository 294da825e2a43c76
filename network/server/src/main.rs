//! The program `truechimer-server`, started by truechimerd with its descriptors on the command line.
#![forbid(unsafe_code)]

use ipc::process::Process;
use ipc_link::Link;
use network::interfaces::Served;
use policies::Role;
use protocol::primitives;
use server::{listen, start_threads};

fn main() {
    network::start::run(Process::Server.program(), |start, link| {
        let sockets = start.required(start.inherited().fds("sockets"));
        let clock = start.required(start.inherited().optional_fd("clock"));
        let served = start.required(Served::parse(start.inherited().text("served")));
        let news = start.required(start.inherited().optional_fd("interfaces"));
        let signer = start.required(start.inherited().optional_fd("signer"));
        signer.iter().for_each(|signer| start.block(signer, false));
        start.required(primitives::test());
        // Before the filter, which allows neither socket options nor new threads.
        let listeners = start.required(listen(sockets));
        let start_threads =
            || start.required(start_threads(listeners, (served, news), clock.as_ref(), signer));
        let (shortfall, threads) = start.confine_then(Role::Server, start_threads);
        server::run(Link::new(link), shortfall, threads)
    })
}
