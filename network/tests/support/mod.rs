//! The engine's side of a link, and roles to talk to: in a thread, or as the real program.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod bench;
pub mod client;
pub mod nts;
pub mod server;

use ipc::Message;
use ipc::units::{RawInstant, Span};
use ipc_link::{Link, LinkError};
use network::clock;
use network::ending::Ending;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::fmt::Debug;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Both ends of a link.
pub fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap()
}

/// The engine's end, and what is at the other one.
pub struct Role<Out, In> {
    pub link: Link<Out, In>,
    place: Place,
}

enum Place {
    Thread(Option<JoinHandle<Ending>>),
    Process(Child),
}

impl<Out: Message, In: Message + Debug> Role<Out, In> {
    /// In a thread of this process.
    pub fn in_thread(run: impl FnOnce(Link<In, Out>) -> Ending + Send + 'static) -> Self {
        let (ours, theirs) = pair();
        let thread = std::thread::spawn(move || run(Link::new(theirs)));
        Self { link: Link::new(ours), place: Place::Thread(Some(thread)) }
    }

    /// As the real program, `words` on its command line besides the link, started by a shell after `before`.
    pub fn in_process(before: &str, words: &str, descriptors: &[&OwnedFd]) -> Self {
        Self::in_process_on(pair(), before, words, descriptors)
    }

    /// The same on a link that was made before.
    pub fn in_process_on(
        (ours, theirs): (OwnedFd, OwnedFd),
        before: &str,
        words: &str,
        descriptors: &[&OwnedFd],
    ) -> Self {
        let words = format!("insecure {words}");
        Self::started((ours, theirs), before, &words, descriptors)
    }

    /// As the real program in its full confinement, as a user that owns nothing where this is root.
    pub fn confined(words: &str) -> Self {
        Self::confined_after("exec", words)
    }

    /// The same, started by a shell after `before`.
    pub fn confined_after(before: &str, words: &str) -> Self {
        let user = if nix::unistd::geteuid().is_root() { "uid=64999 gid=64999" } else { "" };
        Self::started(pair(), before, &format!("{user} {words}"), &[])
    }

    fn started(
        (ours, theirs): (OwnedFd, OwnedFd),
        before: &str,
        words: &str,
        descriptors: &[&OwnedFd],
    ) -> Self {
        for fd in descriptors.iter().copied().chain([&theirs]) {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        }
        let program = env!("CARGO_BIN_EXE_truechimer-network");
        let line = format!("{before} {program} link={} {words}", theirs.as_raw_fd());
        let child = Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).spawn().unwrap();
        for fd in descriptors {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        Self { link: Link::new(ours), place: Place::Process(child) }
    }

    pub fn send(&mut self, body: &Out) {
        self.link.send(body).unwrap();
    }

    /// The next message, or nothing when none comes in time.
    pub fn next_within(&mut self, patience: Duration) -> Option<In> {
        let end = Instant::now() + patience;
        loop {
            match self.link.receive() {
                Ok(Some((_, body))) => return Some(body),
                Ok(None) => {}
                Err(error) => panic!("{error}"),
            }
            let left = end.checked_duration_since(Instant::now())?;
            let left = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap();
            poll(&mut [PollFd::new(self.link.as_fd(), PollFlags::POLLIN)], left).unwrap();
        }
    }

    /// The next message; it has to come.
    pub fn next(&mut self) -> In {
        self.next_within(Duration::from_secs(10)).expect("a message")
    }

    /// Hangs up and returns how the role ended.
    pub fn hang_up(self) -> Ending {
        let Role { link, place } = self;
        drop(link);
        match place {
            Place::Thread(mut thread) => thread.take().unwrap().join().unwrap(),
            Place::Process(_) => panic!("a process ends with a status"),
        }
    }

    /// Waits for the role to end by itself.
    pub fn ending(mut self) -> Ending {
        while !matches!(self.link.receive(), Err(LinkError::Closed)) {
            poll(&mut [PollFd::new(self.link.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
        }
        self.hang_up()
    }

    /// Hangs up (or not) and returns the program's exit status.
    pub fn status(self, hang_up: bool) -> ExitStatus {
        let Role { link, place } = self;
        let Place::Process(mut child) = place else { panic!("not a process") };
        let kept = (!hang_up).then_some(link);
        let status = child.wait().unwrap();
        drop(kept);
        status
    }

    pub fn process_id(&self) -> u32 {
        match &self.place {
            Place::Process(child) => child.id(),
            Place::Thread(_) => panic!("not a process"),
        }
    }
}

/// An instant that many milliseconds from now.
pub fn in_millis(millis: i64) -> RawInstant {
    clock::raw().after(Span::from_millis(millis))
}

/// Whether this host has IPv6 at all; a test that leaves it out says so.
pub fn has_ipv6() -> bool {
    let has = std::net::UdpSocket::bind("[::1]:0").is_ok();
    if !has {
        eprintln!("skipped: the part over IPv6, there is none here");
    }
    has
}

/// User and system time of a process so far.
pub fn cpu_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Numbers without a pattern, the same in every run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
