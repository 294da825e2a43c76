//! The key exchange service and its key holder as real processes, and the engine's end of the link to them.

use crate::daemon::spawn;
use crate::programs::program;
use ipc::list::Bounded;
use ipc::message::Shortfall;
use ipc::message::key_service::{
    FromKeyHolder, FromKeyService, KeyCounters, KeyPolicy, Loaded, ToKeyHolder, ToKeyService,
};
use ipc::message::server::{CookieKeys as GivenKeys, EpochKey as GivenKey};
use ipc::process::Process;
use ipc::secret::Secret;
use ipc_link::{Link, LinkError};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, listen, socketpair};
use protocol::nts::cookie::CookieKeys;
use protocol::nts::ratchet::EpochKey;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The users that both become if this is root: they must be able to read the certificate and the key.
pub const USERS: [u32; 2] = [60_005, 60_006];

/// Gives a file to the user of the key holder, if this is root. A key that everybody may read would not be used.
///
/// # Panics
/// If there is no such file.
pub fn give_key(key: &Path) {
    if crate::is_root() && key.exists() {
        std::os::unix::fs::chown(key, Some(USERS[1]), Some(USERS[1])).expect("root may");
    }
}

/// Limits that no test reaches.
pub const GENEROUS: KeyPolicy = KeyPolicy {
    connections: 512,
    network_connections: 512,
    rate: 100_000,
    network_rate: 100_000,
    ..KeyPolicy::DEFAULT
};

/// The epoch of [`CookieSecret`].
pub const EPOCH: u32 = 20_700;

/// The parameters of a start.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The service's certificate.
    pub certificate: PathBuf,
    /// The holder's key.
    pub key: PathBuf,
    /// Threads of the service.
    pub threads: usize,
    /// The addresses to listen on; port 0 takes a free one.
    pub addresses: Vec<SocketAddr>,
    /// The processor that both are pinned to.
    pub cpu: Option<usize>,
}

impl Plan {
    /// One thread on 127.0.0.1.
    pub fn new(certificate: &Path, key: &Path) -> Self {
        Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            threads: 1,
            addresses: vec![([127, 0, 0, 1], 0).into()],
            cpu: None,
        }
    }
}

/// Both processes. They end when this is dropped.
pub struct KeyPair {
    /// The engine's end.
    pub engine: Link<ToKeyService, FromKeyService>,
    /// The addresses that it listens on, in the plan's order.
    pub addresses: Vec<SocketAddr>,
    /// The missing parts of its confinement.
    pub shortfall: Shortfall,
    service: Child,
    /// `None` if a test plays the holder.
    holder: Option<Child>,
}

/// The holder's ends of the links, for a test that plays it: the one for orders, then one for each thread.
pub type HolderEnds = Vec<Link<FromKeyHolder, ToKeyHolder>>;

fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SockFlag::SOCK_CLOEXEC;
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).expect("descriptors")
}

fn joined(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn numbers(fds: &[OwnedFd]) -> String {
    fds.iter().map(|fd| fd.as_raw_fd().to_string()).collect::<Vec<_>>().join(",")
}

/// Starts one role with these descriptors. As root it becomes its user; it is confined in any case.
fn start(plan: &Plan, process: Process, words: &[String], user: u32, fds: &[&OwnedFd]) -> Child {
    let program = program(process.program());
    let mut command = match plan.cpu {
        Some(cpu) => {
            let mut command = Command::new("taskset");
            command.args(["-c", &cpu.to_string()]).arg(&program);
            command
        }
        None => Command::new(&program),
    };
    command.args(words).stdin(Stdio::null());
    if crate::is_root() {
        command.args([format!("uid={user}"), format!("gid={user}")]);
    }
    let keep = |flag| {
        for fd in fds {
            fcntl(fd, FcntlArg::F_SETFD(flag)).expect("it is open");
        }
    };
    keep(FdFlag::empty());
    let child = spawn(&mut command);
    keep(FdFlag::FD_CLOEXEC);
    child
}

impl KeyPair {
    /// Starts both, and waits for both hellos.
    ///
    /// # Panics
    /// If they do not start.
    pub fn start(plan: &Plan) -> Self {
        let (mut pair, ends) = Self::start_service(plan);
        let (control, signing) = ends.split_first().expect("links");
        give_key(&plan.key);
        let words = [
            format!("link={}", control.as_raw_fd()),
            format!("signing={}", numbers(signing)),
            format!("key={}", plan.key.display()),
        ];
        pair.holder =
            Some(start(plan, Process::KeyHolder, &words, USERS[1], &ends.iter().collect::<Vec<_>>()));
        drop(ends);
        pair.greet();
        pair
    }

    /// Starts only the service; the test plays the key holder, whose ends do not block.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_without_holder(plan: &Plan) -> (Self, HolderEnds) {
        let (pair, ends) = Self::start_service(plan);
        (pair, ends.into_iter().map(Link::new).collect())
    }

    fn start_service(plan: &Plan) -> (Self, Vec<OwnedFd>) {
        let (ours, engine) = pair();
        let (holder, theirs): (Vec<OwnedFd>, Vec<OwnedFd>) = (0..=plan.threads).map(|_| pair()).unzip();
        let (control, signing) = holder.split_first().expect("one more than threads");
        let listeners: Vec<TcpListener> =
            plan.addresses.iter().map(|address| TcpListener::bind(address).expect("a free port")).collect();
        let addresses: Vec<SocketAddr> =
            listeners.iter().map(|listener| listener.local_addr().expect("it is bound")).collect();
        let listeners: Vec<OwnedFd> = listeners.into_iter().map(OwnedFd::from).collect();
        for listener in &listeners {
            listen(listener, Backlog::MAXALLOWABLE).expect("it is bound");
        }
        let words = [
            format!("link={}", engine.as_raw_fd()),
            format!("{}={}", Process::KeyHolder.word(), control.as_raw_fd()),
            format!("signing={}", numbers(signing)),
            format!("listeners={}", numbers(&listeners)),
            format!("served={}", joined(&addresses)),
            format!("certificate={}", plan.certificate.display()),
        ];
        let fds: Vec<&OwnedFd> = holder.iter().chain(&listeners).chain([&engine]).collect();
        let service = start(plan, Process::KeyService, &words, USERS[0], &fds);
        let mut pair =
            Self { engine: Link::new(ours), addresses, shortfall: Shortfall::NONE, service, holder: None };
        match pair.hear() {
            FromKeyService::Hello(shortfall) => pair.shortfall = shortfall,
            other => panic!("{other:?} instead of a hello"),
        }
        (pair, theirs)
    }

    fn greet(&mut self) {
        match self.hear() {
            FromKeyService::HolderHello(_) => {}
            other => panic!("{other:?} instead of the holder's hello"),
        }
    }

    /// Sends to the service.
    ///
    /// # Panics
    /// If it is gone.
    pub fn send(&mut self, message: &ToKeyService) {
        self.engine.send(message).expect("the service is there");
    }

    /// The next message of the service; `None` if there is none in time.
    ///
    /// # Panics
    /// If the service is gone.
    pub fn next_within(&mut self, timeout: Duration) -> Option<FromKeyService> {
        let end = Instant::now() + timeout;
        loop {
            let left = end.checked_duration_since(Instant::now())?;
            let left = PollTimeout::try_from(left + Duration::from_millis(1)).expect("a short time");
            let mut places = [PollFd::new(self.engine.as_fd(), PollFlags::POLLIN)];
            if poll(&mut places, left) == Ok(0) {
                return None;
            }
            match self.engine.receive() {
                Ok(Some((_, message))) => return Some(message),
                Ok(None) => {}
                Err(error) => panic!("the key exchange service: {error} ({:?})", self.service.try_wait()),
            }
        }
    }

    /// The next message of the service, which must come.
    ///
    /// # Panics
    /// If there is none within 10 s.
    pub fn hear(&mut self) -> FromKeyService {
        self.next_within(Duration::from_secs(10)).expect("a message of the key exchange service")
    }

    /// The next report on the certificate; counters before it are ignored.
    ///
    /// # Panics
    /// If there is none.
    pub fn loaded(&mut self) -> Loaded {
        loop {
            match self.hear() {
                FromKeyService::Certificate(_, loaded) => return loaded,
                FromKeyService::Counters(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Waits until the counters fulfil a condition.
    ///
    /// # Panics
    /// If they never do; the message contains the last ones.
    pub fn counters(&mut self, are_such: impl Fn(&KeyCounters) -> bool) -> KeyCounters {
        let end = Instant::now() + Duration::from_secs(10);
        let mut last = KeyCounters::ZERO;
        loop {
            assert!(Instant::now() < end, "{last:?}");
            match self.next_within(Duration::from_secs(1)) {
                Some(FromKeyService::Counters(counters)) => last = counters,
                Some(other) => panic!("{other:?}"),
                None => {}
            }
            if are_such(&last) {
                return last;
            }
        }
    }

    /// Sends a policy and cookie keys, and waits for the certificate.
    ///
    /// # Panics
    /// If the certificate is not in use.
    pub fn open(&mut self, policy: KeyPolicy) {
        self.send(&ToKeyService::Policy(policy));
        self.send(&ToKeyService::CookieKeys(CookieSecret(7).given()));
        let loaded = self.loaded();
        assert!(matches!(loaded, Loaded::InUse { .. }), "{loaded:?}");
    }

    /// The process ids of the service and of the holder.
    pub fn pids(&self) -> (u32, Option<u32>) {
        (self.service.id(), self.holder.as_ref().map(Child::id))
    }

    /// How the service ends after `word`; the engine's end stays open until then.
    ///
    /// # Panics
    /// If it does not end.
    pub fn ending(mut self, word: impl FnOnce(&mut Self)) -> ExitStatus {
        word(&mut self);
        let status =
            crate::programs::wait_for(Duration::from_secs(10), || self.service.try_wait().ok().flatten());
        status.expect("the service ends")
    }

    /// Kills only the holder.
    ///
    /// # Panics
    /// If there is no holder.
    pub fn kill_holder(&mut self) {
        let holder = self.holder.as_mut().expect("a holder");
        let _ = holder.kill();
        let _ = holder.wait();
    }
}

impl Drop for KeyPair {
    fn drop(&mut self) {
        for child in [Some(&mut self.service), self.holder.as_mut()].into_iter().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The key holder alone, as a real process; the test plays the service.
pub struct Holder {
    /// The first link, then one for each thread.
    ends: Vec<Link<ToKeyHolder, FromKeyHolder>>,
    child: Child,
}

impl Holder {
    /// Starts it.
    ///
    /// # Panics
    /// If it cannot be executed.
    pub fn start(plan: &Plan) -> Self {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let pair = || socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).expect("descriptors");
        let (ours, theirs): (Vec<OwnedFd>, Vec<OwnedFd>) = (0..=plan.threads).map(|_| pair()).unzip();
        let (control, signing) = theirs.split_first().expect("one more than threads");
        give_key(&plan.key);
        let words = [
            format!("link={}", control.as_raw_fd()),
            format!("signing={}", numbers(signing)),
            format!("key={}", plan.key.display()),
        ];
        let child = start(plan, Process::KeyHolder, &words, USERS[1], &theirs.iter().collect::<Vec<_>>());
        Self { ends: ours.into_iter().map(Link::new).collect(), child }
    }

    /// Sends an order over a link.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn order(&mut self, link: usize, word: &ToKeyHolder) {
        assert!(self.try_order(link, word), "the holder does not read link {link}");
    }

    /// The same; returns false if the holder does not read.
    ///
    /// # Panics
    /// If the holder is gone.
    pub fn try_order(&mut self, link: usize, word: &ToKeyHolder) -> bool {
        match self.ends[link].send(word) {
            Ok(_) => true,
            Err(LinkError::Full) => false,
            Err(error) => panic!("link {link}: {error}"),
        }
    }

    /// The next message on a link, which must come.
    ///
    /// # Panics
    /// If there is none within 10 s.
    pub fn hear(&mut self, link: usize) -> FromKeyHolder {
        loop {
            match self.ends[link].receive() {
                Ok(Some((_, word))) => return word,
                Ok(None) => {}
                Err(error) => panic!("link {link}: {error}"),
            }
            let mut places = [PollFd::new(self.ends[link].as_fd(), PollFlags::POLLIN)];
            assert_ne!(poll(&mut places, 10_000u16), Ok(0), "the key holder says nothing on link {link}");
        }
    }

    /// Its exit status.
    ///
    /// # Panics
    /// If it does not end.
    pub fn ending(&mut self) -> ExitStatus {
        let status =
            crate::programs::wait_for(Duration::from_secs(10), || self.child.try_wait().ok().flatten());
        status.expect("the key holder ends")
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A secret known to tests, from which cookie keys are derived.
#[derive(Clone, Copy, Debug)]
pub struct CookieSecret(pub u8);

impl CookieSecret {
    /// In the form of the engine's message.
    pub fn given(self) -> GivenKeys {
        let key = GivenKey { epoch: EPOCH, key: Secret::new(&[self.0; 32]) };
        GivenKeys { current: EPOCH, keys: Bounded::new([key]).expect("one fits") }
    }

    /// For opening cookies, as in the server.
    ///
    /// # Panics
    /// Never.
    pub fn keys(self) -> CookieKeys {
        CookieKeys::new(EPOCH, [EpochKey::from_octets(EPOCH, &[self.0; 32])])
            .expect("one key, the current one")
    }
}

/// The next message to a holder that is played by a test; `None` if there is none within `timeout`.
///
/// # Panics
/// If the link is broken.
pub fn heard(end: &mut Link<FromKeyHolder, ToKeyHolder>, timeout: Duration) -> Option<ToKeyHolder> {
    let left = PollTimeout::try_from(timeout).expect("a short time");
    let mut places = [PollFd::new(end.as_fd(), PollFlags::POLLIN)];
    if poll(&mut places, left) == Ok(0) {
        return None;
    }
    match end.receive() {
        Ok(message) => message.map(|(_, message)| message),
        Err(LinkError::Closed) => None,
        Err(error) => panic!("{error}"),
    }
}
