//! The program `truechimer-exchange`, started by truechimerd with its descriptors on the command line.
#![forbid(unsafe_code)]

use exchange::Work;
use ipc::process::Process;
use ipc_link::Link;
use policies::Role;

fn main() {
    network::start::run(Process::Exchange.program(), |start, link| {
        if cfg!(feature = "fips") {
            // The module tests itself and gathers entropy, which a child has neither the calls nor the time for.
            tls::test();
            tls::warm_up();
        }
        let shortfall = start.confine(Role::Exchange);
        exchange::run(Link::new(link), shortfall, Work::confined(start.into_inherited()))
    })
}
