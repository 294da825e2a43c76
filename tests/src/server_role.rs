//! The server role as a real process in its sandbox, the engine played: no other process is needed to measure how it
//! answers, and its cookie keys are those that everybody knows ([`crate::load::nts`]).

use crate::daemon::spawn;
use crate::load::nts::{EPOCH, epoch_keys};
use ipc::link::Link;
use ipc::message::server::{
    Access, CookieKeys, EpochKey, FromServer, MAX_RULES, Rule, ServerPolicy, ServerState, ToServer,
};
use ipc::secret::Secret;
use ipc::units::{Leap, RawInstant, Span, WallTime};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The user that it becomes where this is root.
const USER: u32 = 60_003;

/// The process; it ends with this.
pub struct ServerRole {
    /// The engine's end.
    pub engine: Link<ToServer, FromServer>,
    /// The port on 127.0.0.1 where it answers.
    pub port: u16,
    child: Child,
}

impl ServerRole {
    /// Starts `truechimer-network` with one thread, answering the loopback network as this policy says.
    ///
    /// # Panics
    /// Where it doesn't say hello within 5 s.
    pub fn start(program: &Path, policy: ServerPolicy) -> Self {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).expect("descriptors");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let port = socket.local_addr().expect("it is bound").port();
        let given = [theirs, OwnedFd::from(socket)];
        let keep = |flag| {
            for fd in &given {
                fcntl(fd, FcntlArg::F_SETFD(flag)).expect("it is open");
            }
        };
        let [link, socket] = given.each_ref().map(AsRawFd::as_raw_fd);
        let mut command = Command::new(program);
        command.args(["role=server".to_owned(), format!("link={link}"), format!("sockets={socket}")]);
        if crate::is_root() {
            command.args([format!("uid={USER}"), format!("gid={USER}")]);
        }
        keep(FdFlag::empty());
        let child = spawn(command.stdin(Stdio::null()));
        keep(FdFlag::FD_CLOEXEC);
        drop(given);
        let mut role = Self { engine: Link::new(ours), port, child };
        let mut places = [PollFd::new(role.engine.as_fd(), PollFlags::POLLIN)];
        let said = poll(&mut places, PollTimeout::from(5_000u16));
        assert_eq!(said, Ok(1), "no hello");
        let hello = role.engine.receive().expect("it runs");
        assert!(matches!(hello, Some((_, FromServer::Hello(_)))), "{hello:?}");
        role.begin(policy);
        role
    }

    /// The same without a rate limit.
    ///
    /// # Panics
    /// As above.
    pub fn unlimited(program: &Path) -> Self {
        Self::start(program, ServerPolicy { limited: false, ..ServerPolicy::DEFAULT })
    }

    fn begin(&mut self, policy: ServerPolicy) {
        let mut rules = [Rule::NONE; MAX_RULES];
        rules[0] = Rule {
            prefix: [127, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            bits: 8,
            ipv6: false,
            allow: true,
        };
        let all: Vec<EpochKey> =
            epoch_keys().map(|key| EpochKey { epoch: key.epoch(), key: Secret::new(key.octets()) }).collect();
        let none = EpochKey { epoch: 0, key: Secret::new(&[0; 32]) };
        let keys = std::array::from_fn(|at| all.get(at).unwrap_or(&none).clone());
        let state = ServerState {
            leap: Leap::None,
            stratum: 5,
            precision: -24,
            root_delay: Span::ZERO,
            root_dispersion: Span::from_millis(1),
            as_of: RawInstant::MIN,
            reference_id: 0x7f7f_0101,
            reference_time: WallTime::saturating(1_800_000_000_000_000_000),
            valid_until: RawInstant::MAX,
        };
        for message in [
            ToServer::Policy(policy),
            ToServer::Access(Access { begins: true, ends: true, count: 1, rules }),
            ToServer::CookieKeys(CookieKeys { current: EPOCH, count: all.len() as u8, keys }),
            ToServer::State(state),
        ] {
            self.engine.send(&message).expect("it runs");
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for ServerRole {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
