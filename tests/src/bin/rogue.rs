//! A compromised process: it takes the place of truechimer-engine or truechimer-client (by the
//! name that it is started under) and does what the file `script` beside that name says.
//!
//! It is started by the real truechimerd with the real descriptors, and reports on standard error what it did
//! and what it received, one `rogue: …` line each.

#[path = "rogue/protected.rs"]
mod protected;

use ipc::address::Address;
use ipc::message::Shortfall;
use ipc::message::client::{
    FromClient, PlainReply, Query, QueryId, Rejected, ReplyHeader, Sent, Stamp, ToClient,
};
use ipc::message::launch::{FromLaunch, LaunchPlan, ToLaunch};
use ipc::message::privileged::{
    Adjust, FromPrivileged, Profile, Status, Step, StepReason, ToPrivileged, Welcome,
};
use ipc::process::Process;
use ipc::units::{Frequency, Leap, Offset, RawInstant, Span, TimeConstant};
use ipc::{MAX_FRAME, Message, encode};
use ipc_link::{Link, LinkError};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{ClockId, clock_gettime};
use policies::Inherited;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::exit;
use std::sync::OnceLock;
use std::time::Duration;

const SECOND: i64 = 1_000_000_000;

fn main() {
    PARENT.get_or_init(nix::unistd::getppid);
    let name = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    let script = std::fs::read_to_string(name.with_file_name("script")).unwrap_or_default();
    let inherited = Inherited::from_args().unwrap_or_else(|error| leave(&error.to_string()));
    if name.ends_with(Process::Engine.program()) {
        Engine::start(&inherited).play(script.trim());
    } else {
        Client::start(&inherited, script.trim()).play(script.trim());
    }
}

fn say(text: &str) {
    eprintln!("rogue: {text}");
}

fn leave(text: &str) -> ! {
    say(text);
    exit(3)
}

/// Who started this program.
static PARENT: OnceLock<nix::unistd::Pid> = OnceLock::new();

/// Waits until it is killed, or its parent is gone.
fn linger() -> ! {
    let parent = *PARENT.get_or_init(nix::unistd::getppid);
    for _ in 0..600 {
        std::thread::sleep(Duration::from_millis(100));
        if nix::unistd::getppid() != parent {
            exit(0);
        }
    }
    leave("not killed within a minute")
}

fn take(inherited: &Inherited, key: &str) -> OwnedFd {
    inherited.fd(key).unwrap_or_else(|error| leave(&error.to_string()))
}

fn nanos(clock: ClockId) -> i64 {
    let time = clock_gettime(clock).expect("clocks can be read");
    time.tv_sec() * SECOND + time.tv_nsec()
}

fn raw_now() -> RawInstant {
    RawInstant::saturating(nanos(ClockId::CLOCK_MONOTONIC_RAW))
}

/// Octets for the socket, bypassing all checks of `Link`.
fn write_raw(fd: impl AsFd, octets: &[u8]) {
    if let Err(errno) = nix::unistd::write(fd, octets) {
        say(&format!("write: {errno}"));
    }
}

fn frame<M: Message>(sequence: u32, body: &M) -> Vec<u8> {
    let mut frame = [0; MAX_FRAME];
    let length = encode(sequence, body, &mut frame);
    frame[..length].to_vec()
}

/// The frames of A096 and A098, made from a valid one.
fn broken_frame(script: &str, lawful: &[u8]) -> Option<Vec<u8>> {
    let mut octets = lawful.to_vec();
    match script.strip_prefix("frame-")? {
        "empty" => octets.clear(),
        "one" => octets.truncate(1),
        "short" => octets.truncate(lawful.len() - 1),
        "long" => octets.push(0),
        "huge" => octets.resize(65_536, 0),
        "version" => octets[0] ^= 1,
        "kind" => octets[6] = 200,
        "sequence-back" => octets[2..6].fill(0),
        "sequence-skip" => octets[2..6].copy_from_slice(&99u32.to_le_bytes()),
        other => leave(&format!("no such frame: {other}")),
    }
    Some(octets)
}

/// The engine's end of the link to the process that holds the clock, compromised.
struct Engine {
    link: Link<ToPrivileged, FromPrivileged>,
    welcome: Welcome,
    /// Links to processes that are not compromised: they stay open.
    _others: Vec<OwnedFd>,
    sent: u32,
}

impl Engine {
    fn start(inherited: &Inherited) -> Self {
        let others = Process::Engine.with_link_to().filter(|process| *process != Process::Privileged);
        let others = others.map(|process| take(inherited, process.word())).collect();
        let mut launch: Link<ToLaunch, FromLaunch> = Link::new(take(inherited, "launch"));
        let mut link = Link::new(take(inherited, "privileged"));
        let plan = LaunchPlan {
            threads: 0,
            dscp: 0,
            profile: Profile::Standard,
            leap_seconds: true,
            run_step: Span::from_secs(1),
            forward_step: Span::from_secs(3_600),
            exchange: false,
            ..LaunchPlan::CLIENT
        };
        for message in [ToLaunch::Plan(plan), ToLaunch::Hello] {
            if let Err(error) = launch.send(&message) {
                leave(&error.to_string());
            }
        }
        match hear(&mut link) {
            FromPrivileged::Welcome(welcome) => Self { link, welcome, _others: others, sent: 0 },
            other => leave(&format!("no welcome but {other:?}")),
        }
    }

    /// Sends an order and reports the answer.
    fn order(&mut self, name: &str, message: &ToPrivileged) {
        if let Err(error) = self.link.send(message) {
            leave(&error.to_string());
        }
        match hear(&mut self.link) {
            FromPrivileged::Refused(refused) => say(&format!("{name}: refused {:?}", refused.code)),
            FromPrivileged::Applied(_) => say(&format!("{name}: applied")),
            other => say(&format!("{name}: {other:?}")),
        }
    }

    fn step(&self, delta: i64, reason: StepReason) -> ToPrivileged {
        let delta = Offset::saturating(delta);
        ToPrivileged::Step(Step { epoch: self.welcome.epoch, delta, reason, asked_at: raw_now() })
    }

    fn step_to(&self, seconds: i64) -> ToPrivileged {
        let found = self.welcome.found;
        let wall = found.wall.nanos() + raw_now().since(found.raw).nanos();
        self.step(seconds.saturating_mul(SECOND) - wall, StepReason::Start)
    }

    fn adjust(&self, ppm: i32, slew: i64, constant: u8) -> Adjust {
        Adjust {
            epoch: self.welcome.epoch,
            frequency: Frequency::saturating(ppm * Frequency::PER_PPM),
            slew: Offset::saturating(slew),
            time_constant: TimeConstant::saturating(constant),
            asked_at: raw_now(),
        }
    }

    fn status(&self, leap: Leap, synchronised: bool) -> ToPrivileged {
        let (maxerror, esterror) = (Span::ZERO, Span::ZERO);
        ToPrivileged::SetStatus(Status { epoch: self.welcome.epoch, leap, synchronised, maxerror, esterror })
    }

    fn play(mut self, script: &str) -> ! {
        if script.starts_with("frame-") {
            write_raw(self.link.as_fd(), &frame(0, &ToPrivileged::Heartbeat));
            self.sent = 1;
        }
        if let Some(octets) = broken_frame(script, &frame(self.sent, &ToPrivileged::Heartbeat)) {
            write_raw(self.link.as_fd(), &octets);
            linger();
        }
        match script {
            "far-steps" => self.step_far(),
            "false-evidence" => self.claim_falsely(),
            "start-steps" => {
                for number in 1..=4 {
                    self.order(&format!("start step {number}"), &self.step(SECOND, StepReason::Start));
                }
            }
            "stale" => self.order_late(),
            "flood" => self.flood(),
            "slew" => self.order("slew", &ToPrivileged::Adjust(self.adjust(30, 20_000_000, 4))),
            "slew-and-exit" => {
                self.order("slew", &ToPrivileged::Adjust(self.adjust(30, 20_000_000, 4)));
                exit(0)
            }
            "hello-again" => write_raw(self.link.as_fd(), &frame(self.sent, &ToLaunch::Hello)),
            "deaf" => loop {
                // Answers are never read.
                match self.link.send(&self.status(Leap::None, false)) {
                    Ok(_) => {}
                    Err(LinkError::Full) => std::thread::sleep(Duration::from_millis(20)),
                    Err(error) => leave(&error.to_string()),
                }
            },
            "full-disk" => {
                self.order("step", &self.step(SECOND / 2, StepReason::Start));
                self.order("frequency", &ToPrivileged::Adjust(self.adjust(5, 0, 0)));
            }
            other => leave(&format!("no such script: {other}")),
        }
        say("done");
        linger()
    }

    fn step_far(&mut self) {
        let floor = self.welcome.floor.nanos() / SECOND;
        for (name, seconds) in
            [("1970", 0), ("before the floor", floor - 1), ("2038", 0x8000_0008), ("2116", 1 << 62)]
        {
            self.order(name, &self.step_to(seconds.min((1 << 62) / SECOND)));
        }
        self.order("the least number", &self.step(i64::MIN, StepReason::Run));
    }

    fn claim_falsely(&mut self) {
        self.order("restore", &self.step(SECOND, StepReason::Restore));
        self.order("resume", &self.step(SECOND, StepReason::Resume));
        self.order("synchronised", &self.status(Leap::None, true));
    }

    fn order_late(&mut self) {
        let order = self.adjust(1, 0, 0);
        let at = |seconds: i64| RawInstant::saturating(raw_now().nanos() + seconds * SECOND);
        self.order("five seconds old", &ToPrivileged::Adjust(Adjust { asked_at: at(-5), ..order }));
        self.order("from the future", &ToPrivileged::Adjust(Adjust { asked_at: at(5), ..order }));
        let epoch = order.epoch - 1;
        self.order("earlier epoch", &ToPrivileged::Adjust(Adjust { epoch, asked_at: raw_now(), ..order }));
    }

    fn flood(&mut self) {
        let (mut applied, mut refused) = (0u32, 0u32);
        for _ in 0..100_000 {
            match self.link.send(&ToPrivileged::Adjust(self.adjust(1, 0, 0))) {
                Ok(_) | Err(LinkError::Full) => {}
                Err(error) => leave(&error.to_string()),
            }
            while let Ok(Some((_, answer))) = self.link.receive() {
                match answer {
                    FromPrivileged::Applied(_) => applied += 1,
                    _ => refused += 1,
                }
            }
        }
        say(&format!("flood: applied={applied} refused={refused}"));
    }
}

fn hear<Out: Message, In: Message>(link: &mut Link<Out, In>) -> In {
    let mut fds = [PollFd::new(link.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut fds, PollTimeout::from(30_000u16));
    match link.receive() {
        Ok(Some((_, message))) => message,
        Ok(None) => leave("nothing was said"),
        Err(error) => leave(&error.to_string()),
    }
}

/// A compromised client.
struct Client {
    link: Link<FromClient, ToClient>,
}

impl Client {
    fn start(inherited: &Inherited, script: &str) -> Self {
        let mut link = Link::new(take(inherited, "link"));
        if script == "denied-call" {
            let _ = policies::confine(policies::Role::Client, inherited);
            // SAFETY: the call has no path, and the filter denies it.
            unsafe { libc::syscall(libc::SYS_execve, 0, 0, 0) };
            leave("a denied call came back");
        }
        if link.send(&FromClient::Hello(Shortfall::NONE)).is_err() {
            leave("no engine");
        }
        Self { link }
    }

    fn next_query(&mut self) -> Query {
        loop {
            if let ToClient::Query(query) = hear(&mut self.link) {
                return query;
            }
        }
    }

    fn sent(query: &Query) -> FromClient {
        FromClient::Sent(Sent { id: query.id, t1: raw_now(), stamp: Stamp::Kernel, local: Address::NONE })
    }

    /// A reply from a source whose time is the host's plus `lie` ns.
    fn reply(query: &Query, lie: i64) -> PlainReply {
        let ntp = |nanos: i64| {
            let seconds = (nanos.div_euclid(SECOND) + 2_208_988_800) as u64;
            (seconds << 32) | (((nanos.rem_euclid(SECOND) as u64) << 32) / SECOND as u64)
        };
        let origin =
            query.packet.octets().get(40..48).and_then(|octets| octets.try_into().ok()).unwrap_or([0; 8]);
        let now = ntp(nanos(ClockId::CLOCK_REALTIME) + lie);
        let header = ReplyHeader {
            leap: Leap::None,
            version: 4,
            mode: 4,
            stratum: 1,
            poll: 6,
            precision: -24,
            root_delay: 0,
            root_dispersion: 1,
            reference_id: 0x4750_5300,
            reference_timestamp: now,
            origin_timestamp: u64::from_be_bytes(origin),
            receive_timestamp: now,
            transmit_timestamp: now,
        };
        let rejected = Rejected::NONE;
        PlainReply {
            id: query.id,
            source: query.destination,
            t4: raw_now(),
            stamp: Stamp::Kernel,
            header,
            rejected,
        }
    }

    fn send(&mut self, message: &FromClient) {
        match self.link.send(message) {
            Ok(_) | Err(LinkError::Full) => {}
            Err(error) => leave(&error.to_string()),
        }
    }

    fn answer(&mut self, query: &Query, lie: i64) {
        self.send(&Self::sent(query));
        self.send(&FromClient::PlainReply(Self::reply(query, lie)));
    }

    fn play(mut self, script: &str) -> ! {
        let query = self.next_query();
        if let Some(octets) = broken_frame(script, &frame(1, &Self::sent(&query))) {
            write_raw(self.link.as_fd(), &octets);
            linger();
        }
        let at = |seconds: i64| RawInstant::saturating(raw_now().nanos() + seconds * SECOND);
        match script {
            "hello-again" => self.send(&FromClient::Hello(Shortfall::NONE)),
            "unknown-id" => self.send(&FromClient::Sent(Sent {
                id: QueryId(9_999),
                t1: raw_now(),
                stamp: Stamp::User,
                local: Address::NONE,
            })),
            "reply-before-sent" => self.send(&FromClient::PlainReply(Self::reply(&query, 0))),
            "sent-twice" => {
                self.send(&Self::sent(&query));
                self.send(&Self::sent(&query));
            }
            "reply-twice" => {
                self.answer(&query, 0);
                self.send(&FromClient::PlainReply(Self::reply(&query, 0)));
            }
            "other-source" => {
                self.send(&Self::sent(&query));
                let elsewhere: std::net::SocketAddr = "192.0.2.77:123".parse().expect("an address");
                let source = elsewhere.into();
                self.send(&FromClient::PlainReply(PlainReply { source, ..Self::reply(&query, 0) }));
            }
            "t1-early" => {
                self.send(&FromClient::Sent(Sent {
                    id: query.id,
                    t1: at(-5),
                    stamp: Stamp::Kernel,
                    local: Address::NONE,
                }));
                self.send(&FromClient::PlainReply(Self::reply(&query, 0)));
            }
            "t4-late" => {
                self.send(&Self::sent(&query));
                self.send(&FromClient::PlainReply(PlainReply { t4: at(5), ..Self::reply(&query, 0) }));
            }
            "t4-before-t1" => {
                let t4 = raw_now();
                std::thread::sleep(Duration::from_millis(2));
                self.send(&Self::sent(&query));
                self.send(&FromClient::PlainReply(PlainReply { t4, ..Self::reply(&query, 0) }));
            }
            "exit" => exit(0),
            "abort" => std::process::abort(),
            "silent" => loop {
                self.next_query();
            },
            "forge-protected" => protected::forge(self, &query),
            "deaf" => linger(),
            "flood" => {
                for _ in 0..1_000_000 {
                    self.send(&FromClient::Sent(Sent {
                        id: QueryId(0),
                        t1: raw_now(),
                        stamp: Stamp::User,
                        local: Address::NONE,
                    }));
                }
            }
            "honest" | "lie-by-two-days" => {
                let lie = if script == "honest" { 0 } else { 2 * 86_400 * SECOND };
                self.answer(&query, lie);
                loop {
                    let query = self.next_query();
                    self.answer(&query, lie);
                }
            }
            other => leave(&format!("no such script: {other}")),
        }
        linger()
    }
}
