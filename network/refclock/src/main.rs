//! The program `truechimer-refclock`, started by truechimerd with its descriptors on the command line.
#![forbid(unsafe_code)]

use ipc::process::Process;
use ipc_link::Link;
use policies::Role;

fn main() {
    network::start::run(Process::Refclock.program(), |start, link| {
        let clocks = start.required(start.inherited().fds("clocks"));
        clocks.iter().for_each(|clock| start.block(clock, false));
        let shortfall = start.confine(Role::Refclock);
        refclock::run(Link::new(link), clocks, shortfall)
    })
}
