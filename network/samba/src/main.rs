//! The program `truechimer-samba`, started by truechimerd with its descriptors on the command line.
#![forbid(unsafe_code)]

use ipc::process::Process;
use ipc_link::Link;
use policies::Role;
use samba::Place;

fn main() {
    network::start::run(Process::Samba.program(), |start, link| {
        let server = start.required(start.inherited().fd("server"));
        start.block(&server, false);
        let place = Place::new(start.path("socket"));
        let shortfall = start.confine(Role::Samba);
        samba::run(Link::new(link), Link::new(server), place, shortfall)
    })
}
