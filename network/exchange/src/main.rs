//! The program `truechimer-exchange`, started by truechimerd with its descriptors on the command line.
#![forbid(unsafe_code)]

use exchange::Work;
use ipc::process::Process;
use ipc_link::Link;
use policies::Role;

fn main() {
    network::start::run(Process::Exchange.program(), |start, link| {
        let shortfall = start.confine(Role::Exchange);
        exchange::run(Link::new(link), shortfall, Work::confined(start.into_inherited()))
    })
}
