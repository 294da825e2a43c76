//! Replies that are to be signed, on real sockets; the test plays the process that asks Samba.

mod support;

use bench::role::pair;
use ipc::list::Bounded;
use ipc::message::Shortfall;
use ipc::message::samba::{FromSigner, ToSigner, Unsigned};
use ipc::message::server::{Access, Counters, FromServer, Rule, ServerPolicy, ToServer};
use ipc_link::{Link, LinkError};
use network::ending::Ending;
use network::interfaces::Served;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;
use protocol::ms_sntp::signed;
use server::{listen, run, start_threads};
use std::net::UdpSocket;
use std::time::Duration;
use support::{Server, counters_when, wait_until_in_force};

const DEADLINE: Duration = Duration::from_secs(20);

/// A server on all addresses of IPv4, and the other end of its link to whom it asks for signatures.
fn serve() -> (Server, Link<FromSigner, ToSigner>, u16) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let (ours, theirs) = pair();
    let flags = nix::fcntl::OFlag::empty();
    nix::fcntl::fcntl(&ours, nix::fcntl::FcntlArg::F_SETFL(flags)).unwrap();
    setsockopt(&ours, sockopt::ReceiveTimeout, &TimeVal::new(20, 0)).unwrap();
    let listeners = listen(vec![socket.into()]).unwrap();
    let threads = start_threads(listeners, (Served::default(), None), None, Some(theirs)).unwrap();
    let mut server = Server::in_thread(move |link| run(link, Shortfall::NONE, threads));
    assert!(matches!(server.hear(), FromServer::Hello(_)));
    server.send(&ToServer::Policy(ServerPolicy { limited: false, ..ServerPolicy::DEFAULT }));
    let rules = Bounded::new([Rule { allow: true, ..Rule::NONE }]).unwrap();
    server.send(&ToServer::Access(Access { begins: true, ends: true, rules }));
    wait_until_in_force(&mut server);
    (server, Link::new(ours), port)
}

fn request(number: u8) -> [u8; 68] {
    let mut header = [0; 48];
    header[0] = 0x1b;
    header[47] = number;
    signed(&header, 1105, &[0; 16])
}

/// A client that takes replies from this address alone.
fn client(server: &str, port: u16) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect((server, port)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

fn next(signer: &mut Link<FromSigner, ToSigner>) -> Unsigned {
    let (_, ToSigner::Sign(unsigned)) = signer.receive().unwrap().expect("within the limit");
    unsigned
}

#[test]
fn a_signed_reply_is_what_was_to_be_signed_and_its_digest_from_the_address_that_was_asked() {
    let (mut server, mut signer, port) = serve();
    for (number, address) in (1..).zip(["127.0.0.1", "127.0.0.7", "127.0.0.1"]) {
        let client = client(address, port);
        client.send(&request(number)).unwrap();
        let unsigned = next(&mut signer);
        assert_eq!(unsigned.account, 1105);
        signer.send(&FromSigner::Signed([number; 16])).unwrap();
        let mut reply = [0; 100];
        assert_eq!(client.recv(&mut reply).unwrap(), 68);
        let header = unsigned.header.as_flattened();
        assert_eq!((&reply[..48], &reply[52..68]), (header, &[number; 16][..]));
        assert_eq!((reply[0] & 0x3f, reply[31]), (0x1c, number), "version 3, mode 4, its origin timestamp");
        let time = |at: usize| u64::from_be_bytes(reply[at..at + 8].try_into().unwrap());
        assert!(time(32) != 0 && time(40) >= time(32), "received, then sent");
    }
    let counted = counters_when(&mut server, |counters| counters.signed == 3);
    assert_eq!((counted.signed, counted.unsigned), (3, 0));
}

#[test]
fn one_is_signed_at_a_time_the_others_wait_and_what_is_refused_or_fails_is_silent() {
    let (mut server, mut signer, port) = serve();
    let client = client("127.0.0.1", port);
    (1..=3).for_each(|number| assert_eq!(client.send(&request(number)).unwrap(), 68));
    let mut reply = [0; 100];
    for (number, answer) in
        [(1, FromSigner::Refused), (2, FromSigner::Failed), (3, FromSigner::Signed([7; 16]))]
    {
        assert_eq!(next(&mut signer).header[1][15], number, "the origin timestamp, in their order");
        signer.send(&answer).unwrap();
    }
    client.recv(&mut reply).unwrap();
    assert_eq!(reply[31], 3, "the others got none");
    let counts = |it: &Counters| (it.signed, it.unsigned, it.unsigned_late);
    assert_eq!(counts(&counters_when(&mut server, |it| counts(it) == (1, 1, 1))), (1, 1, 1));
}

#[test]
fn a223_a_signature_that_comes_late_is_not_sent_for_it_would_shift_the_clients_clock() {
    let (mut server, mut signer, port) = serve();
    let client = client("127.0.0.1", port);
    (1..=2).for_each(|number| assert_eq!(client.send(&request(number)).unwrap(), 68));
    assert_eq!(next(&mut signer).header[1][15], 1);
    // Samba is slow.
    std::thread::sleep(Duration::from_millis(300));
    signer.send(&FromSigner::Signed([7; 16])).unwrap();
    assert_eq!(next(&mut signer).header[1][15], 2);
    signer.send(&FromSigner::Refused).unwrap();
    let counts = |it: &Counters| (it.signed, it.unsigned, it.unsigned_late);
    assert_eq!(counts(&counters_when(&mut server, |it| counts(it) == (0, 1, 1))), (0, 1, 1));
    client.set_nonblocking(true).unwrap();
    assert!(client.recv(&mut [0; 100]).is_err(), "nothing was sent");
}

#[test]
fn a225_an_answer_that_nobody_asked_for_ends_the_server() {
    let (server, mut signer, _) = serve();
    signer.send(&FromSigner::Signed([0; 16])).unwrap();
    assert!(matches!(server.ending(), Ending::Signer(LinkError::Malformed(_))));
}
