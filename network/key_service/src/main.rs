//! The program `truechimer-key-service`, started by truechimerd with its descriptors on the command line.
#![forbid(unsafe_code)]

use ipc::message::launch::CERTIFICATE_WORDS;
use ipc::process::Process;
use ipc_link::Link;
use key_service::start_threads;
use network::interfaces::Served;
use policies::Role;
use protocol::primitives;

fn main() {
    network::start::run(Process::KeyService.program(), |start, engine| {
        let certificates = start.paths(CERTIFICATE_WORDS);
        let pairs = certificates.len();
        let holder = start.required(start.inherited().fd(Process::KeyHolder.word()));
        let signing = start.signing_links(true).into_iter().map(Link::new).collect();
        let listeners = start.required(start.inherited().fds("listeners"));
        let served = start.required(Served::parse(start.inherited().text("served")));
        for fd in listeners.iter().chain([&holder]) {
            start.block(fd, false);
        }
        start.required(primitives::test());
        // Before the filter, which allows neither socket options nor new threads.
        let start_threads = || start.required(start_threads(listeners, served, signing, pairs));
        let (shortfall, threads) = start.confine_then(Role::KeyService, start_threads);
        key_service::run(Link::new(engine), Link::new(holder), certificates, shortfall, threads)
    })
}
