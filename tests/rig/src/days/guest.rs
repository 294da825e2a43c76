//! The guest's side: the first process, which makes the two networks, starts the daemon under test, is all the servers,
//! and reads the clock once a second.
//!
//! One thread does all of it, so that the order of things depends on simulated time alone. It sets no clock: where the
//! clock is at the start *is* the scenario's offset away from the truth.

use super::daemons::Daemon;
use super::outcome::{MARK, Outcome, Process, Tally};
use super::truth::Truth;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use protocol::header::{Header, MODE_CLIENT};
use simulation::network::Trip;
use simulation::scenario::Scenario;
use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SECOND: i64 = 1_000_000_000;

/// How often the kernel's frequency is read, and whether the daemon is alive; s.
const FREQUENCY_EVERY: i64 = 10;

/// What the daemon says; on a file system of the guest's.
pub const LOG: &str = "/run/daemon.log";

/// Runs the day that the kernel's command line names, tells its outcome on the console and switches off.
pub fn run() {
    // On the host this program would mount over /run and switch off.
    let guest = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let own_kernel = guest.is_empty() || guest.contains("User Mode Linux");
    if std::process::id() != 1 || !own_kernel {
        eprintln!("this is the first process of a guest; `cargo xtask rig days` starts it");
        std::process::exit(78);
    }
    match day() {
        Ok(outcome) => {
            let json = serde_json::to_string(&outcome).expect("plain data");
            println!("{MARK}{json}");
        }
        Err(error) => println!("the day failed: {error}"),
    }
    let _ = reboot(RebootMode::RB_POWER_OFF);
}

fn word(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("the kernel's command line has no {name}="))
}

fn day() -> Result<Outcome, String> {
    for (kind, place) in
        [("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run"), ("tmpfs", "/tmp"), ("tmpfs", "/var")]
    {
        mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>)
            .map_err(|error| format!("{place}: {error}"))?;
    }
    // Replies are due in microseconds; by default a wait may end 50 µs late, and a thousandth of its length.
    std::fs::write("/proc/self/timerslack_ns", "1").map_err(|error| format!("timer slack: {error}"))?;
    let name = word("DAY")?;
    let scenario = super::find(&name)?;
    let seed = word("SEED")?.parse().map_err(|_| "SEED is a number")?;
    let hours: f64 = word("HOURS")?.parse().map_err(|_| "HOURS is a number")?;
    let daemon: Daemon = word("DAEMON")?.parse()?;
    let begin = word("BEGIN")?.parse().map_err(|_| "BEGIN is a number")?;
    let mut network = Network::new(&scenario, seed, begin)?;
    let mut child = daemon.start(&scenario, &network.truth.addresses())?;
    let mut outcome = Outcome {
        day: name,
        seed,
        daemon: daemon.to_string(),
        version: daemon.version(),
        simulated_s: hours * 3600.0,
        ..network.run(&scenario, hours, &mut child)
    };
    outcome.processes = processes();
    if outcome.ended.is_some() || std::env::var_os("TELL").is_some() {
        let log = std::fs::read_to_string(LOG).unwrap_or_default();
        log.lines().for_each(|line| println!("{daemon}: {line}"));
        println!("{}", daemon.status());
    }
    outcome.late_us = network.late as f64 / 1e3 / network.replies.max(1) as f64;
    Ok(outcome)
}

/// All but this one.
fn processes() -> Vec<Process> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = all
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 1)
        .collect();
    numbers.sort_unstable();
    let status = |number| std::fs::read_to_string(format!("/proc/{number}/status")).ok();
    numbers.into_iter().filter_map(status).filter_map(|status| Process::read(&status)).collect()
}

/// Runs `ip` in the calling thread's network.
fn ip(words: &str) -> Result<(), String> {
    let status = Command::new("/bin/ip").args(words.split(' ')).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("ip {words}: {status}")),
        Err(error) => Err(format!("ip: {error}")),
    }
}

/// The servers' sockets, in a network of their own at the other end of a cable.
fn sockets(addresses: &[SocketAddr]) -> Result<Vec<UdpSocket>, String> {
    let (ready, made) = std::sync::mpsc::channel();
    let (go, plugged) = std::sync::mpsc::channel::<()>();
    let addresses = addresses.to_vec();
    // A thread has a network of its own; the sockets that it makes keep that network alive.
    let far = std::thread::spawn(move || -> Result<Vec<UdpSocket>, String> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("a network namespace: {error}"))?;
        ready.send(nix::unistd::gettid()).map_err(|error| error.to_string())?;
        plugged.recv().map_err(|error| error.to_string())?;
        ip("link set lo up")?;
        ip("addr add 5.9.0.1/24 dev far")?;
        ip("link set far up")?;
        addresses
            .iter()
            .map(|address| {
                ip(&format!("addr add {}/32 dev lo", address.ip()))?;
                let socket = UdpSocket::bind(address).map_err(|error| format!("{address}: {error}"))?;
                setsockopt(&socket, ReceiveTimestampns, &true).map_err(|error| error.to_string())?;
                Ok(socket)
            })
            .collect()
    });
    let Ok(thread) = made.recv() else { return far.join().expect("it does not panic") };
    ip("link set lo up")?;
    ip(&format!("link add near type veth peer name far netns /proc/1/task/{thread}/ns/net"))?;
    ip("addr add 5.9.0.2/24 dev near")?;
    ip("link set near up")?;
    ip("route add default via 5.9.0.1")?;
    go.send(()).map_err(|error| error.to_string())?;
    far.join().expect("it does not panic")
}

fn raw() -> i64 {
    nanos(ClockId::CLOCK_MONOTONIC_RAW)
}

fn nanos(clock: ClockId) -> i64 {
    let time = clock_gettime(clock).expect("the clock is there");
    time.tv_sec() * SECOND + time.tv_nsec()
}

/// The clock, and the counter at the same moment, between the last reading of the counter and one more. Each reading
/// costs simulated time, the same for each.
fn clock_and_raw(before: i64) -> (i64, i64) {
    let clock = nanos(ClockId::CLOCK_REALTIME);
    (clock, (before + raw()) / 2)
}

/// By how much the kernel corrects the oscillator, s/s: frequency and tick.
fn correction() -> f64 {
    // SAFETY: a structure of integers, for which zeros are values; modes 0 changes nothing.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to that structure, which lives until the call is over.
    unsafe { libc::adjtimex(&mut state) };
    state.freq as f64 / 65_536e6 + (state.tick - 10_000) as f64 * 1e-4
}

/// A reply on its way.
struct Reply {
    server: usize,
    trip: Trip,
    query: Header,
    to: SocketAddr,
}

struct Network {
    truth: Truth,
    sockets: Vec<UdpSocket>,
    underway: Vec<Reply>,
    /// True time at the beginning, as the truth calls it.
    begin: i64,
    /// What the stamps call it, less that.
    shift: i64,
    packets: Vec<u64>,
    replies: u64,
    late: i64,
}

impl Network {
    fn new(scenario: &Scenario, seed: u64, begin: i64) -> Result<Self, String> {
        let addresses = Truth::new(scenario, seed, begin, 0).addresses();
        let sockets = sockets(&addresses)?;
        let (clock, raw) = clock_and_raw(raw());
        let truth = Truth::new(scenario, seed, begin, raw);
        let shift = clock - (scenario.offset * 1e9) as i64 - begin;
        let packets = vec![0; sockets.len()];
        Ok(Self { truth, sockets, underway: Vec::new(), begin, shift, packets, replies: 0, late: 0 })
    }

    fn run(&mut self, scenario: &Scenario, hours: f64, child: &mut Child) -> Outcome {
        let begin = self.begin;
        let end = begin + (hours * 3600e9) as i64;
        let (mut whole, mut settled) = (Tally::default(), Tally::default());
        let (mut first, mut ended, mut corrected) = (None, None, correction());
        let mut due = begin + SECOND;
        while due <= end && ended.is_none() {
            let mut counter = raw();
            let mut now = self.truth.at(counter);
            if now >= due {
                let clock;
                (clock, counter) = clock_and_raw(counter);
                now = self.truth.at(counter);
                let at = (now - begin) as f64 * 1e-9;
                let error = (clock - now - self.shift) as f64 * 1e-9;
                if (due - begin) % (FREQUENCY_EVERY * SECOND) == 0 {
                    corrected = correction();
                    ended = child.try_wait().ok().flatten().map(|status| format!("{status} after {at:.0} s"));
                }
                let base = (1.0 + self.truth.frequency()) * (1.0 + corrected) - 1.0;
                whole.read(at, error, base);
                if at >= scenario.from {
                    settled.read(at, error, base);
                }
                if error.abs() < scenario.first && first.is_none() {
                    first = Some(at);
                }
                due += SECOND;
            }
            self.send(now);
            self.wait(now, due);
        }
        Outcome {
            day: String::new(),
            seed: 0,
            daemon: String::new(),
            version: String::new(),
            simulated_s: 0.0,
            whole: whole.errors(),
            settled: settled.errors(),
            first_s: first,
            packets: self.packets.clone(),
            replies: self.replies,
            late_us: 0.0,
            ended,
            processes: Vec::new(),
            wall_s: 0.0,
        }
    }

    /// Hands over what is due.
    fn send(&mut self, now: i64) {
        for place in (0..self.underway.len()).rev() {
            if self.underway[place].trip.returned > now {
                continue;
            }
            let Reply { server, trip, query, to } = self.underway.swap_remove(place);
            // Read again: the stamps are to be of the moment at which it goes.
            let now = self.truth.at(raw());
            let reply = self.truth.reply(server, trip, now, &query, self.shift);
            let _ = self.sockets[server].send_to(&reply.encode(), to);
            self.replies += 1;
            self.late += now - trip.returned;
        }
    }

    /// From now until then at most, or until a query comes, or a reply is due.
    fn wait(&mut self, now: i64, until: i64) {
        let returns = self.underway.iter().map(|reply| reply.trip.returned);
        let until = returns.fold(until, i64::min);
        let left = (until - now).max(0);
        let mut polled: Vec<_> =
            self.sockets.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        let timeout = TimeSpec::from_duration(Duration::from_nanos(left as u64));
        if ppoll(&mut polled, Some(timeout), None).unwrap_or(0) > 0 {
            self.receive();
        }
    }

    fn receive(&mut self) {
        for server in 0..self.sockets.len() {
            while let Some((octets, stamp, to)) = receive(&self.sockets[server]) {
                let (clock, counter) = clock_and_raw(raw());
                // A step of the clock in between would make nonsense of it.
                let waited = stamp.map(|stamp| clock - stamp).filter(|waited| (0..SECOND).contains(waited));
                let left = self.truth.at(counter) - waited.unwrap_or(0);
                let Ok(query) = Header::decode(&octets) else { continue };
                if query.mode != MODE_CLIENT {
                    continue;
                }
                self.packets[server] += 1;
                if let Some(trip) = self.truth.travel(server, left) {
                    self.underway.push(Reply { server, trip, query, to });
                }
            }
        }
    }
}

/// A datagram, when the kernel received it by the clock, and who sent it. The sender goes on running until it waits for
/// something and reads the clock meanwhile, which costs simulated time: what this program would read itself is some
/// microseconds late, in one direction only.
fn receive(socket: &UdpSocket) -> Option<(Vec<u8>, Option<i64>, SocketAddr)> {
    let mut octets = [0; 2048];
    let mut space = nix::cmsg_space!(TimeSpec);
    let mut parts = [IoSliceMut::new(&mut octets)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags).ok()?;
    let from = SocketAddr::V4((*message.address.as_ref()?).into());
    let length = message.bytes;
    let stamp = message.cmsgs().ok()?.find_map(|part| match part {
        ControlMessageOwned::ScmTimestampns(time) => Some(time.tv_sec() * SECOND + time.tv_nsec()),
        _ => None,
    });
    Some((octets[..length].to_vec(), stamp, from))
}

/// A program of the guest with its words, its output in the log.
pub(crate) fn start(words: &[&str]) -> Result<Child, String> {
    let log = std::fs::File::create(Path::new(LOG)).map_err(|error| format!("{LOG}: {error}"))?;
    let twice = log.try_clone().map_err(|error| format!("{LOG}: {error}"))?;
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(twice).stderr(log);
    command.spawn().map_err(|error| format!("{}: {error}", words[0]))
}
