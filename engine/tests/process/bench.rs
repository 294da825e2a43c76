//! One engine process and the doubles around it.

use super::nts;
pub use super::start::Start;
use ipc::clock_page::ClockPage;
use ipc::message::Shortfall;
use ipc::message::client::{
    FromClient, PlainReply, ProtectedReply, Query, QueryId, Rejected, ReplyHeader, Sent, Silence, Stamp,
    ToClient, Unanswered,
};
use ipc::message::exchange::{FromExchange, ToExchange};
use ipc::message::key_service::{FromKeyService, ToKeyService};
use ipc::message::launch::{FromLaunch, LaunchPlan, ToLaunch};
use ipc::message::privileged::{Applied, ClockKind, ClockReading, FromPrivileged, ToPrivileged, Welcome};
use ipc::message::server::{FromServer, ToServer};
use ipc::process::{Parting, PerProcess, Process};
use ipc::units::{Frequency, Leap, RawInstant, WallTime};
use ipc_link::Link;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Longer than anything may take that isn't measured.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Descriptors are inheritable only while this is held, so that no other child gets them.
static SPAWNING: Mutex<()> = Mutex::new(());

/// The process and everything at its ends.
pub struct Bench {
    child: Child,
    directory: PathBuf,
    clock: File,
    orders: u32,
    /// The double of the syslog daemon.
    pub syslog: UnixDatagram,
    /// The double of truechimerd.
    launch: Link<FromLaunch, ToLaunch>,
    pub privileged: Link<FromPrivileged, ToPrivileged>,
    /// The double of the client.
    pub client: Link<FromClient, ToClient>,
    /// The double of the exchange process.
    pub exchange: Link<FromExchange, ToExchange>,
    /// The double of the server.
    pub server: Link<FromServer, ToServer>,
    /// The double of the key exchange service.
    pub key_service: Link<FromKeyService, ToKeyService>,
}

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap()
}

fn now(clock: ClockId) -> i64 {
    let time = clock_gettime(clock).unwrap();
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

fn raw() -> RawInstant {
    RawInstant::try_new(now(ClockId::CLOCK_MONOTONIC_RAW)).unwrap()
}

/// The true time, in NTP format.
fn true_time() -> u64 {
    let nanos = now(ClockId::CLOCK_REALTIME);
    let seconds = (nanos / 1_000_000_000) as u64 + 2_208_988_800;
    (seconds << 32) | ((nanos % 1_000_000_000) as u64 * (1 << 32) / 1_000_000_000)
}

impl Bench {
    /// Starts the process; nothing is answered yet.
    pub fn start(name: &str, config: &str, start: Start) -> Self {
        let directory = std::env::temp_dir().join(format!("truechimer-engine-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let open = |file: &str, octets: &[u8]| {
            let path = directory.join(file);
            std::fs::write(&path, octets).unwrap();
            File::options().read(true).write(true).open(path).unwrap()
        };
        let config_file = open("config", config.as_bytes());
        let mode = if start.private { 0o600 } else { 0o644 };
        config_file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let state = open("state", &start.state);
        let keys = match &start.keys {
            None => open("keys", b""),
            Some(path) => {
                File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap()
            }
        };
        // The clock is 2 ms behind: less than a step, more than noise.
        let page = ClockPage::free_running(
            WallTime::try_new(now(ClockId::CLOCK_REALTIME) - 2_000_000).unwrap(),
            raw(),
        );
        let clock = open("clock", &page.to_octets());
        let listener = UnixListener::bind(directory.join("control.sock")).unwrap();

        let guard = SPAWNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (launch, launch_theirs) = pair();
        let (mut ours, mut theirs) = (PerProcess::default(), Vec::new());
        for process in Process::Engine.with_link_to() {
            let (end, engines) = pair();
            ours[process] = Some(end);
            theirs.push((process.word(), engines));
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_truechimer-engine"));
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.arg(format!("config-name={name}.toml"));
        let is_root = nix::unistd::geteuid().is_root();
        match (start.confined, is_root) {
            (true, true) => command.args(["uid=61999", "gid=61999"]),
            (true, false) => &mut command,
            (false, _) => command.arg("insecure"),
        };
        if start.check {
            command.arg("check");
        }
        let links = theirs.iter().map(|(word, end)| (*word, end.as_fd()));
        let others = [
            ("launch", launch_theirs.as_fd()),
            ("keys", keys.as_fd()),
            ("config", config_file.as_fd()),
            ("control", listener.as_fd()),
            ("state", state.as_fd()),
            ("clock", clock.as_fd()),
        ];
        for (key, fd) in links.chain(others) {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
            command.arg(format!("{key}={}", fd.as_raw_fd()));
        }
        let (syslog, syslog_theirs) = UnixDatagram::pair().unwrap();
        if start.syslog {
            fcntl(&syslog_theirs, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
            command.arg(format!("syslog={}", syslog_theirs.as_raw_fd()));
        }
        let child = command.spawn().unwrap();
        fcntl(&clock, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        drop((launch_theirs, theirs, keys, config_file, listener, state));
        drop(guard);
        let mut end = |process| -> OwnedFd { ours[process].take().unwrap() };
        Self {
            child,
            directory,
            clock,
            orders: 0,
            syslog,
            launch: Link::new(launch),
            privileged: Link::new(end(Process::Privileged)),
            client: Link::new(end(Process::Client)),
            exchange: Link::new(end(Process::Exchange)),
            server: Link::new(end(Process::Server)),
            key_service: Link::new(end(Process::KeyService)),
        }
    }

    /// Starts the process and goes through the launch with a client only.
    pub fn started(name: &str, config: &str) -> Self {
        let mut bench = Self::start(name, config, Start::default());
        bench.expect_plan();
        bench.client.send(&FromClient::Hello(Shortfall::NONE)).unwrap();
        bench.expect_hello();
        bench.welcome();
        bench
    }

    /// The next message to privileged but conditions within `timeout`. Orders are answered as applied.
    pub fn poll_privileged(&mut self, timeout: Duration) -> Option<ToPrivileged> {
        if !readable(self.privileged.as_fd(), timeout) {
            return None;
        }
        let (sequence, message) = self
            .privileged
            .receive()
            .unwrap_or_else(|error| panic!("{error}; the engine says: {}", self.log()))?;
        let page = self.page();
        let before = reading(&page, raw());
        let after = match message {
            ToPrivileged::Adjust(adjust) => self.write_page(page.advanced_to(raw()).adjusted(
                adjust.frequency,
                adjust.slew,
                adjust.time_constant,
            )),
            ToPrivileged::Step(step) => {
                let page = page.advanced_to(raw());
                self.write_page(page.set_to(page.wall.checked_add(step.delta).unwrap()))
            }
            ToPrivileged::SetStatus(_) => page,
            ToPrivileged::SetTai(tai) => page.with_tai(tai.seconds),
            ToPrivileged::Condition(_) => return self.poll_privileged(timeout),
            _ => return Some(message),
        };
        self.orders += 1;
        let after = reading(&after, raw());
        let applied = FromPrivileged::Applied(Applied { answers: sequence, before, after });
        let _ = self.privileged.send(&applied);
        Some(message)
    }

    /// The next message to privileged.
    pub fn expect_privileged(&mut self) -> ToPrivileged {
        self.poll_privileged(TIMEOUT).unwrap_or_else(|| panic!("no message; the engine says: {}", self.log()))
    }

    /// The next message to the client.
    pub fn expect_client(&mut self) -> ToClient {
        assert!(readable(self.client.as_fd(), TIMEOUT), "no message; the engine says: {}", self.log());
        self.client.receive().unwrap().unwrap().1
    }

    /// The next message to the server.
    pub fn expect_server(&mut self) -> ToServer {
        assert!(readable(self.server.as_fd(), TIMEOUT), "no message; the engine says: {}", self.log());
        self.server.receive().unwrap().unwrap().1
    }

    /// The next message to the exchange process.
    pub fn expect_exchange(&mut self) -> ToExchange {
        assert!(readable(self.exchange.as_fd(), TIMEOUT), "no message; the engine says: {}", self.log());
        self.exchange.receive().unwrap().unwrap().1
    }

    /// The next message to the key exchange service.
    pub fn expect_key_service(&mut self) -> ToKeyService {
        assert!(readable(self.key_service.as_fd(), TIMEOUT), "no message; the engine says: {}", self.log());
        self.key_service.receive().unwrap().unwrap().1
    }

    /// Whether nothing is there for the exchange process.
    pub fn exchange_is_idle(&self) -> bool {
        !readable(self.exchange.as_fd(), Duration::ZERO)
    }

    /// The next message to the launch.
    fn expect_launch(&mut self) -> ToLaunch {
        assert!(readable(self.launch.as_fd(), TIMEOUT), "no message; the engine says: {}", self.log());
        self.launch.receive().unwrap().unwrap().1
    }

    /// The first message.
    pub fn expect_plan(&mut self) -> LaunchPlan {
        match self.expect_launch() {
            ToLaunch::Plan(plan) => plan,
            other => panic!("{other:?} instead of a plan"),
        }
    }

    /// The second message, after which the launch hears nothing more.
    pub fn expect_hello(&mut self) {
        assert_eq!(self.expect_launch(), ToLaunch::Hello);
    }

    /// The last message, whatever comes before it.
    pub fn expect_goodbye(&mut self) -> Parting {
        loop {
            if let ToPrivileged::Goodbye(goodbye) = self.expect_privileged() {
                return goodbye;
            }
        }
    }

    /// Answers the hello.
    pub fn welcome(&mut self) {
        let welcome = Welcome {
            epoch: 1,
            clock: ClockKind::Virtual,
            found: reading(&self.page(), raw()),
            floor: WallTime::try_new(1_700_000_000_000_000_000).unwrap(),
            latest: WallTime::try_new(2_400_000_000_000_000_000).unwrap(),
            start_steps: 3,
            base_frequency: Frequency::ZERO,
            band: Frequency::try_new(200 * Frequency::PER_PPM).unwrap(),
            band_centre: Frequency::ZERO,
            pauses: Default::default(),
            marker: None,
            processes: PerProcess::from_fn(|process| {
                if process == Process::Engine { self.child.id() } else { std::process::id() }
            }),
        };
        self.privileged.send(&FromPrivileged::Welcome(welcome)).unwrap();
    }

    /// Plays an honest server behind the client until an order is the one that is wanted.
    pub fn answer_queries_until<T>(
        &mut self,
        timeout: Duration,
        wanted: impl FnMut(&ToPrivileged) -> Option<T>,
    ) -> T {
        self.answer_until(timeout, |_| (), wanted)
    }

    /// The same; `answered` sees each query.
    pub fn answer_until<T>(
        &mut self,
        timeout: Duration,
        mut answered: impl FnMut(&Query),
        mut wanted: impl FnMut(&ToPrivileged) -> Option<T>,
    ) -> T {
        let start = Instant::now();
        while start.elapsed() < timeout {
            if readable(self.client.as_fd(), Duration::from_millis(5))
                && let Some((_, ToClient::Query(query))) = self.client.receive().unwrap()
            {
                self.reply(&query);
                answered(&query);
            }
            if let Some(order) = self.poll_privileged(Duration::from_millis(5))
                && let Some(found) = wanted(&order)
            {
                return found;
            }
        }
        panic!("not within {timeout:?}; the engine says: {}", self.log());
    }

    fn reply(&mut self, query: &Query) {
        let t1 = raw();
        let received = true_time();
        let nonce = query.packet.octets()[40..48].try_into().unwrap();
        if query.protected {
            return self.protected_reply(query, t1);
        }
        let t4 = raw();
        let sent = Sent { id: query.id, t1, stamp: Stamp::Kernel, local: ipc::address::Address::NONE };
        self.client.send(&FromClient::Sent(sent)).unwrap();
        let header = ReplyHeader {
            leap: Leap::None,
            version: 4,
            mode: 4,
            stratum: 2,
            poll: 4,
            precision: -25,
            root_delay: 0x100,
            root_dispersion: 0x100,
            reference_id: 0xc000_0202,
            reference_timestamp: received - (16 << 32),
            origin_timestamp: u64::from_be_bytes(nonce),
            receive_timestamp: received,
            transmit_timestamp: received,
        };
        let reply = PlainReply {
            id: query.id,
            source: query.destination,
            t4,
            stamp: Stamp::Kernel,
            header,
            rejected: Rejected::NONE,
        };
        self.client.send(&FromClient::PlainReply(reply)).unwrap();
    }

    fn protected_reply(&mut self, query: &Query, t1: RawInstant) {
        let mut request = query.packet.octets().to_vec();
        let packet = nts::reply(&mut request, true_time());
        let t4 = raw();
        let sent = Sent { id: query.id, t1, stamp: Stamp::Kernel, local: ipc::address::Address::NONE };
        self.client.send(&FromClient::Sent(sent)).unwrap();
        let candidate =
            ProtectedReply { id: query.id, source: query.destination, t4, stamp: Stamp::Kernel, packet };
        self.client.send(&FromClient::ProtectedReply(candidate)).unwrap();
    }

    /// Ends a query that was never made.
    pub fn unknown_reply(&mut self) {
        let unanswered =
            Unanswered { id: QueryId(u64::MAX), reason: Silence::Deadline, rejected: Rejected::NONE };
        self.client.send(&FromClient::Unanswered(unanswered)).unwrap();
    }

    /// The client's end is closed.
    pub fn close_client(&mut self) {
        self.client = Link::new(pair().0);
    }

    /// The exchange process's end is closed.
    pub fn close_exchange(&mut self) {
        self.exchange = Link::new(pair().0);
    }

    /// One question on the control socket.
    pub fn ask(&self, verb: &str) -> serde_json::Value {
        self.request(&format!("{{\"verb\":\"{verb}\"}}"))
    }

    /// One line on the control socket.
    pub fn request(&self, line: &str) -> serde_json::Value {
        let mut stream = UnixStream::connect(self.directory.join("control.sock")).unwrap();
        writeln!(stream, "{line}").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// What the kernel reports of the process.
    pub fn kernel_status(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap()
    }

    /// How often the process went to sleep so far.
    pub fn wake_ups(&self) -> u64 {
        let status = self.kernel_status();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse().unwrap()
    }

    /// Closes all links, as a daemon that ends; gives what was printed, and the exit code.
    pub fn stop(mut self) -> (String, Option<i32>) {
        let (left, _) = pair();
        self.privileged = Link::new(left);
        self.wait()
    }

    /// Waits for the end; gives what was printed, and the exit code.
    pub fn wait(mut self) -> (String, Option<i32>) {
        let deadline = Instant::now() + TIMEOUT;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the engine doesn't end");
            std::thread::sleep(Duration::from_millis(5));
        }
        let code = self.child.wait().unwrap().code();
        (self.log(), code)
    }

    /// Ends the process and gives what it printed.
    fn log(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mut text = String::new();
        if let Some(mut out) = self.child.stdout.take() {
            let _ = out.read_to_string(&mut text);
        }
        if let Some(mut out) = self.child.stderr.take() {
            let _ = out.read_to_string(&mut text);
        }
        text
    }

    fn page(&self) -> ClockPage {
        let mut octets = [0; ipc::clock_page::PAGE];
        self.clock.read_exact_at(&mut octets, 0).unwrap();
        ClockPage::from_octets(&octets).unwrap()
    }

    fn write_page(&self, page: ClockPage) -> ClockPage {
        let page = ClockPage { generation: page.generation + 1, ..page };
        self.clock.write_all_at(&page.to_octets(), 0).unwrap();
        page
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn readable(fd: std::os::fd::BorrowedFd<'_>, timeout: Duration) -> bool {
    let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
    matches!(poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout), Ok(1))
}

fn reading(page: &ClockPage, at: RawInstant) -> ClockReading {
    ClockReading {
        wall: page.wall_at(at),
        raw: at,
        frequency: page.frequency,
        slew_left: page.slew_left_at(at),
        tai: page.tai as u8,
    }
}
