//! The program `truechimer-key-holder`, started by truechimerd with its descriptors on the command line.
#![forbid(unsafe_code)]

use ipc::message::launch::KEY_WORDS;
use ipc::process::Process;
use ipc_link::Link;
use key_holder::Holder;
use policies::Role;

fn main() {
    network::start::run(Process::KeyHolder.program(), |start, link| {
        let paths = start.paths(KEY_WORDS);
        let links = [link].into_iter().chain(start.signing_links(false)).map(Link::new).collect();
        tls::test();
        // The first use of the key is before the filter, and after everything that hides other files.
        let (shortfall, holder) = start.confine_then(Role::KeyHolder, || Holder::new(paths));
        holder.run(links, shortfall)
    })
}
