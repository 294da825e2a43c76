//! The role between its two links and a socket that speaks as Samba's does.

use super::*;
use ipc::message::samba::Unsigned;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use nix::sys::time::TimeVal;
use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::JoinHandle;

/// How long something may take that is to happen.
const LIMIT: i64 = 60;

/// The role at work; its folder goes with it.
struct Bench {
    folder: PathBuf,
    engine: Link<ToSamba, FromSamba>,
    server: Link<ToSigner, FromSigner>,
    role: Option<JoinHandle<Ending>>,
}

/// An end for the test, which waits, and one for the role.
fn pair() -> (OwnedFd, OwnedFd) {
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    setsockopt(&ours, sockopt::ReceiveTimeout, &TimeVal::new(LIMIT, 0)).unwrap();
    let flags = nix::fcntl::OFlag::O_NONBLOCK;
    nix::fcntl::fcntl(&theirs, nix::fcntl::FcntlArg::F_SETFL(flags)).unwrap();
    (ours, theirs)
}

impl Bench {
    fn start() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("truechimer-samba-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o750)).unwrap();
        Self::start_in(folder)
    }

    fn start_in(folder: PathBuf) -> Self {
        let ((engine, engines), (server, servers)) = (pair(), pair());
        let place = Place::new(folder.join("socket"));
        let role =
            std::thread::spawn(move || run(Link::new(engines), Link::new(servers), place, Shortfall::NONE));
        let mut bench =
            Self { folder, engine: Link::new(engine), server: Link::new(server), role: Some(role) };
        assert_eq!(bench.told(), FromSamba::Hello(Shortfall::NONE));
        bench
    }

    fn listen(&self) -> UnixListener {
        let path = self.folder.join("socket");
        let _ = fs::remove_file(&path);
        UnixListener::bind(path).unwrap()
    }

    fn told(&mut self) -> FromSamba {
        self.engine.receive().unwrap().expect("within the limit").1
    }

    fn ask(&mut self, account: u32) {
        self.server.send(&ToSigner::Sign(Unsigned { account, header: [[0x1c; 16]; 3] })).unwrap();
    }

    fn answer(&mut self) -> FromSigner {
        self.server.receive().unwrap().expect("within the limit").1
    }

    /// Asks until it is answered by something else than a failure.
    fn ask_until_answered(&mut self, account: u32) -> FromSigner {
        for _ in 0..LIMIT {
            self.ask(account);
            match self.answer() {
                FromSigner::Failed => std::thread::sleep(std::time::Duration::from_millis(200)),
                answer => return answer,
            }
        }
        panic!("never answered");
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let (engine, _) = pair();
        self.engine = Link::new(engine);
        let ending = self.role.take().unwrap().join().unwrap();
        let _ = fs::remove_dir_all(&self.folder);
        if !std::thread::panicking() {
            assert_eq!(ending, Ending::EngineGone);
        }
    }
}

/// One request as Samba reads it.
fn heard(samba: &mut UnixStream) -> [u8; 68] {
    let mut octets = [0; 68];
    samba.read_exact(&mut octets).unwrap();
    octets
}

/// The answer to it with this operation and digest.
fn answer_to(request: &[u8; 68], operation: u8, digest: [u8; 16]) -> Vec<u8> {
    let packet = [&request[20..], &request[16..20], &digest].concat();
    let number = [0, 0, request[12], request[13]];
    let head = [0, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, operation];
    [&head[..], &number, &packet].concat()
}

/// Answers one request with this digest.
fn sign(samba: &mut UnixStream, digest: [u8; 16]) {
    let request = heard(samba);
    samba.write_all(&answer_to(&request, 3, digest)).unwrap();
}

#[test]
fn a_reply_is_signed_and_one_that_samba_will_not_sign_is_refused() {
    let mut bench = Bench::start();
    assert!(matches!(bench.told(), FromSamba::Contact(Contact::Refused(_))), "there is no socket yet");
    let listener = bench.listen();
    // Samba comes late: it is found without a client that asks.
    let (mut samba, _) = listener.accept().unwrap();
    assert_eq!(bench.told(), FromSamba::Contact(Contact::Made));
    for (operation, expected) in [(3, FromSigner::Signed([9; 16])), (4, FromSigner::Refused)] {
        bench.ask(1105);
        let request = heard(&mut samba);
        samba.write_all(&answer_to(&request, operation, [9; 16])).unwrap();
        assert_eq!(bench.answer(), expected);
    }
    bench.engine.send(&ToSamba::Ping).unwrap();
    assert_eq!(bench.told(), FromSamba::Pong);
}

#[test]
fn an_answer_in_two_halves_is_one_and_a_half_one_is_waited_for_a_second_and_no_longer() {
    let mut bench = Bench::start();
    let listener = bench.listen();
    let (mut samba, _) = listener.accept().unwrap();
    bench.ask(1105);
    let answer = answer_to(&heard(&mut samba), 3, [5; 16]);
    for half in answer.chunks(41) {
        samba.write_all(half).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(bench.answer(), FromSigner::Signed([5; 16]));
    bench.ask(1105);
    let answer = answer_to(&heard(&mut samba), 3, [5; 16]);
    samba.write_all(&answer[..40]).unwrap();
    assert_eq!(bench.answer(), FromSigner::Failed);
    assert_eq!(samba.read(&mut [0]).unwrap(), 0, "the connection is given up");
    // The rest of that answer reaches nobody, and the next reply goes over another connection.
    bench.ask(1106);
    let (mut samba, _) = listener.accept().unwrap();
    sign(&mut samba, [6; 16]);
    assert_eq!(bench.answer(), FromSigner::Signed([6; 16]));
}

/// Makes another answer of a right one.
type Lie = fn(&mut Vec<u8>);

#[test]
fn a223_a_samba_that_lies_about_the_packet_gains_a_closed_connection() {
    let lies: [(&str, Lie); 8] = [
        ("another transmit timestamp", |answer| answer[63] ^= 1),
        ("another stratum", |answer| answer[17] ^= 3),
        ("another account", |answer| answer[64] ^= 1),
        ("another number", |answer| answer[15] ^= 1),
        ("another version", |answer| answer[7] = 1),
        ("an unknown operation", |answer| answer[11] = 2),
        ("a longer packet", |answer| {
            answer[3] += 4;
            answer.extend([0; 4]);
        }),
        ("two answers", |answer| answer.extend(answer.clone())),
    ];
    let mut bench = Bench::start();
    let listener = bench.listen();
    for (what, lie) in lies {
        let (mut samba, _) = listener.accept().unwrap();
        bench.ask(1105);
        let mut answer = answer_to(&heard(&mut samba), 3, [5; 16]);
        lie(&mut answer);
        let _ = samba.write_all(&answer);
        // Of two answers the first one may have been read alone: the second one then ends the connection all the same.
        let given = bench.answer();
        let is_first = what == "two answers" && given == FromSigner::Signed([5; 16]);
        assert!(given == FromSigner::Failed || is_first, "{what}: {given:?}");
        let end = samba.read(&mut [0]);
        assert!(matches!(&end, Ok(0)) || end.is_err(), "{what}: {end:?}");
    }
}

/// As Samba does for an account that is disabled.
#[test]
fn a222_an_account_for_which_samba_ends_the_connection_costs_others_no_signature() {
    let mut bench = Bench::start();
    let listener = bench.listen();
    // It ends with this program.
    std::thread::spawn(move || {
        loop {
            let (mut samba, _) = listener.accept().unwrap();
            let mut request = [0; 68];
            while samba.read_exact(&mut request).is_ok() && request[16] != 7 {
                let _ = samba.write_all(&answer_to(&request, 3, [2; 16]));
            }
        }
    });
    // The first attempt to connect may have been before there was somebody to listen.
    assert_eq!(bench.ask_until_answered(8), FromSigner::Signed([2; 16]));
    let (mut refused, mut signed) = (0, 0);
    for _ in 0..200u32 {
        bench.ask(7);
        refused += u32::from(bench.answer() == FromSigner::Refused);
        bench.ask(8);
        signed += u32::from(bench.answer() == FromSigner::Signed([2; 16]));
    }
    // On a busy machine the other thread may once not be there for a second.
    assert!(refused >= 190 && signed >= 190, "{refused} {signed}");
}

#[test]
fn a_samba_that_is_restarted_is_found_again() {
    let mut bench = Bench::start();
    for round in 0..3u8 {
        let listener = bench.listen();
        let samba = std::thread::spawn(move || {
            let (mut samba, _) = listener.accept().unwrap();
            sign(&mut samba, [round; 16]);
        });
        assert_eq!(bench.ask_until_answered(1105), FromSigner::Signed([round; 16]));
        samba.join().unwrap();
    }
}

#[test]
fn a_folder_in_which_others_could_put_another_socket_is_not_used_until_it_is_in_order() {
    let mut bench = Bench::start();
    fs::set_permissions(&bench.folder, Permissions::from_mode(0o770)).unwrap();
    let listener = bench.listen();
    while bench.told() != FromSamba::Contact(Contact::Exposed(0o770)) {}
    bench.ask(1105);
    assert_eq!(bench.answer(), FromSigner::Failed);
    fs::set_permissions(&bench.folder, Permissions::from_mode(0o750)).unwrap();
    let samba = std::thread::spawn(move || {
        let (mut samba, _) = listener.accept().unwrap();
        sign(&mut samba, [1; 16]);
    });
    assert_eq!(bench.ask_until_answered(1105), FromSigner::Signed([1; 16]));
    samba.join().unwrap();
}

#[test]
fn a_server_that_asks_twice_ends_the_role() {
    let mut bench = Bench::start();
    let listener = bench.listen();
    let (mut samba, _) = listener.accept().unwrap();
    bench.ask(1105);
    heard(&mut samba);
    bench.ask(1106);
    let ending = bench.role.take().unwrap().join().unwrap();
    assert_eq!(ending, Ending::Rule("a reply before the last one was answered"));
    bench.role = Some(std::thread::spawn(|| Ending::EngineGone));
}

#[test]
fn a_samba_that_ends_every_connection_is_told_of_as_such_and_one_that_signs_again_is_too() {
    let mut bench = Bench::start();
    let listener = bench.listen();
    let ends = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_ending = ends.clone();
    // It ends with this program.
    std::thread::spawn(move || {
        loop {
            let (mut samba, _) = listener.accept().unwrap();
            let mut request = [0; 68];
            while samba.read_exact(&mut request).is_ok() && !is_ending.load(Relaxed) {
                let _ = samba.write_all(&answer_to(&request, 3, [2; 16]));
            }
        }
    });
    assert_eq!(bench.ask_until_answered(7), FromSigner::Refused);
    for account in 8..30 {
        bench.ask(account);
        bench.answer();
    }
    while bench.told() != FromSamba::Contact(Contact::Ended) {}
    ends.store(false, Relaxed);
    while bench.ask_until_answered(7) != FromSigner::Signed([2; 16]) {}
    while bench.told() != FromSamba::Contact(Contact::Made) {}
}
