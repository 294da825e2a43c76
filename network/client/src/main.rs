//! The program `truechimer-client`, started by truechimerd with its descriptors on the command line.
#![forbid(unsafe_code)]

use ipc::process::Process;
use ipc_link::Link;
use policies::Role;

fn main() {
    network::start::run(Process::Client.program(), |start, link| {
        let network = start.required(start.inherited().optional_fd("network"));
        let shortfall = start.confine(Role::Client);
        client::run(Link::new(link), shortfall, network)
    })
}
