//! The engine's side of a link, and roles to test: in a thread, or as the real program.

use crate::clock;
use crate::netns::Network;
use crate::programs::program;
use ipc::Message;
use ipc::process::Process;
use ipc::units::{RawInstant, Span};
use ipc_link::{Link, LinkError};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::fmt::Debug;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Both ends of a link.
///
/// # Panics
/// If no descriptors are available.
pub fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).expect("descriptors")
}

/// The engine's end, and the role at the other one. A thread ends with an `End`.
pub struct Role<Out, In, End> {
    /// The engine's end.
    pub link: Link<Out, In>,
    place: Place<End>,
}

enum Place<End> {
    Thread(JoinHandle<End>),
    Process(Child),
}

impl<Out: Message, In: Message + Debug, End: Send + 'static> Role<Out, In, End> {
    /// In a thread of this process.
    pub fn in_thread(run: impl FnOnce(Link<In, Out>) -> End + Send + 'static) -> Self {
        let (ours, theirs) = pair();
        let thread = std::thread::spawn(move || run(Link::new(theirs)));
        Self { link: Link::new(ours), place: Place::Thread(thread) }
    }

    /// As the real program, with `words` on its command line besides the link, started by a shell after `before`.
    ///
    /// # Panics
    /// If it cannot be executed.
    pub fn in_process(process: Process, before: &str, words: &str, descriptors: &[&OwnedFd]) -> Self {
        Self::in_process_on(pair(), process, before, words, descriptors)
    }

    /// The same on an existing link.
    ///
    /// # Panics
    /// If it cannot be executed.
    pub fn in_process_on(
        link: (OwnedFd, OwnedFd),
        process: Process,
        before: &str,
        words: &str,
        descriptors: &[&OwnedFd],
    ) -> Self {
        let words = format!("insecure {words}");
        Self::started(link, process, before, &words, descriptors)
    }

    /// As the real program in its full confinement; if this is root, as a user that owns nothing.
    ///
    /// # Panics
    /// If it cannot be executed.
    pub fn confined(process: Process, words: &str) -> Self {
        Self::confined_after(process, "exec", words)
    }

    /// The same in another network, with descriptors that its words name.
    ///
    /// # Panics
    /// If it cannot be executed.
    pub fn confined_in(network: &Network, process: Process, words: &str, descriptors: &[&OwnedFd]) -> Self {
        let before = format!("exec {}", network.entrance().join(" "));
        Self::started(pair(), process, &before, &format!("{} {words}", user()), descriptors)
    }

    /// The same, started by a shell after `before`.
    ///
    /// # Panics
    /// If it cannot be executed.
    pub fn confined_after(process: Process, before: &str, words: &str) -> Self {
        Self::started(pair(), process, before, &format!("{} {words}", user()), &[])
    }

    fn started(
        (ours, theirs): (OwnedFd, OwnedFd),
        process: Process,
        before: &str,
        words: &str,
        descriptors: &[&OwnedFd],
    ) -> Self {
        let set = |fd: &OwnedFd, flag| fcntl(fd, FcntlArg::F_SETFD(flag)).expect("it is open");
        for fd in descriptors.iter().copied().chain([&theirs]) {
            set(fd, FdFlag::empty());
        }
        let program = program(process.program());
        let line = format!("{before} {} link={} {words}", program.display(), theirs.as_raw_fd());
        let child = Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).spawn().expect("a shell");
        for fd in descriptors {
            set(fd, FdFlag::FD_CLOEXEC);
        }
        Self { link: Link::new(ours), place: Place::Process(child) }
    }

    /// Sends to it.
    ///
    /// # Panics
    /// If it is gone, or does not read.
    pub fn send(&mut self, body: &Out) {
        self.link.send(body).expect("it reads");
    }

    /// The next message; `None` if there is none in time.
    ///
    /// # Panics
    /// If it is gone.
    pub fn next_within(&mut self, timeout: Duration) -> Option<In> {
        let end = Instant::now() + timeout;
        loop {
            match self.link.receive() {
                Ok(Some((_, body))) => return Some(body),
                Ok(None) => {}
                Err(error) => panic!("{error}"),
            }
            let left = end.checked_duration_since(Instant::now())?;
            let left = PollTimeout::try_from(left + Duration::from_millis(1)).expect("less than a month");
            poll(&mut [PollFd::new(self.link.as_fd(), PollFlags::POLLIN)], left).expect("it is open");
        }
    }

    /// The next message, which must come.
    ///
    /// # Panics
    /// If there is none.
    pub fn hear(&mut self) -> In {
        self.next_within(Duration::from_secs(10)).expect("a message")
    }

    /// Hangs up and returns how a thread ended.
    ///
    /// # Panics
    /// If it is a process.
    pub fn hang_up(self) -> End {
        let Role { link, place } = self;
        drop(link);
        match place {
            Place::Thread(thread) => thread.join().expect("no panic"),
            Place::Process(_) => panic!("a process ends with a status"),
        }
    }

    /// Waits for a thread to end by itself.
    ///
    /// # Panics
    /// If it is a process.
    pub fn ending(mut self) -> End {
        while !matches!(self.link.receive(), Err(LinkError::Closed)) {
            poll(&mut [PollFd::new(self.link.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)
                .expect("it is open");
        }
        self.hang_up()
    }

    /// Hangs up (or not) and returns the program's exit status.
    ///
    /// # Panics
    /// If it is a thread.
    pub fn status(self, hang_up: bool) -> ExitStatus {
        let Role { link, place } = self;
        let Place::Process(mut child) = place else { panic!("not a process") };
        let kept = (!hang_up).then_some(link);
        let status = child.wait().expect("a child of ours");
        drop(kept);
        status
    }

    /// Hangs up, then calls `then`, and returns the program's exit status.
    ///
    /// # Panics
    /// If it is a thread.
    pub fn status_after_hanging_up(self, then: impl FnOnce()) -> ExitStatus {
        let Role { link, place } = self;
        let Place::Process(mut child) = place else { panic!("not a process") };
        drop(link);
        then();
        child.wait().expect("a child of ours")
    }

    /// Its process id.
    ///
    /// # Panics
    /// If it is a thread.
    pub fn process_id(&self) -> u32 {
        match &self.place {
            Place::Process(child) => child.id(),
            Place::Thread(_) => panic!("not a process"),
        }
    }
}

/// If this is root, a user that owns nothing.
fn user() -> &'static str {
    if nix::unistd::geteuid().is_root() { "uid=64999 gid=64999" } else { "" }
}

/// An instant this many milliseconds from now.
pub fn in_millis(millis: i64) -> RawInstant {
    RawInstant::saturating(clock::raw()).after(Span::from_millis(millis))
}

/// User and system time of a process so far.
///
/// # Panics
/// If it is gone.
pub fn cpu_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("its form").1.split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Pseudo-random numbers, the same in every run.
pub struct Numbers(pub u64);

impl Numbers {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
