//! Servers to be measured, each in a process of its own that cannot set a clock.

use super::built;
use bench::daemon::{Daemon, Setup, spawn};
use bench::peers::chronyd;
use bench::programs::{Place, find_peer, free_port, wait_for};
use std::any::Any;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The minimal one.
    Floor,
    /// The minimal one that sends replies to one client together.
    FloorOfSegments,
    /// This daemon, in its sandbox, with additional lines in `[server]` and this many additional access rules.
    Ours {
        /// Its name in tables.
        name: &'static str,
        /// Lines.
        more: &'static str,
        /// Rules.
        rules: usize,
    },
    /// chronyd.
    Chronyd,
    /// chronyd with its rate limit.
    ChronydLimited,
    /// ntpd of NTPsec.
    Ntpsec,
    /// ntpd-rs.
    NtpdRs,
    /// ntpd-rs with its rate limit.
    NtpdRsLimited,
}

impl Kind {
    /// This daemon with one thread and without a rate limit.
    pub const fn ours() -> Self {
        Self::Ours { name: "truechimer", more: "rate-limit = false\nthreads = 1", rules: 0 }
    }

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::FloorOfSegments => "floor, replies in segments",
            Self::Ours { name, .. } => name,
            Self::Chronyd => "chronyd",
            Self::ChronydLimited => "chronyd, ratelimit",
            Self::Ntpsec => "ntpd (NTPsec)",
            Self::NtpdRs => "ntpd-rs",
            Self::NtpdRsLimited => "ntpd-rs, rate limit",
        }
    }
}

/// A running server; ends when dropped.
pub struct Contestant {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: SocketAddrV4,
    /// The words that run a program where the server can be reached.
    pub entrance: Vec<String>,
    /// The words for the generator: how to query this server.
    pub words: Vec<String>,
    /// The process that answers.
    pid: u32,
    _owner: Box<dyn Any>,
}

struct Owned(Child, #[expect(dead_code, reason = "the folder goes with its owner")] Option<Place>);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Contestant {
    /// Starts one; `None` if it is not installed.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn start(kind: Kind, programs: &Path) -> Result<Option<Self>, String> {
        let port = free_port();
        let (pid, owner): (u32, Box<dyn Any>) = match kind {
            Kind::Floor | Kind::FloorOfSegments => {
                let mut command = built(programs, "floor");
                command.arg(port.to_string());
                if kind == Kind::FloorOfSegments {
                    command.arg("segments");
                }
                let child = spawn(command.stdin(Stdio::null()));
                (child.id(), Box::new(Owned(child, None)))
            }
            Kind::Ours { more, rules, .. } => {
                let daemon = start_ours(port, more, rules, programs);
                (daemon.process("server").pid, Box::new(daemon))
            }
            Kind::Chronyd | Kind::ChronydLimited => match start_chronyd(port, kind == Kind::ChronydLimited) {
                Some(owned) => (owned.0.id(), Box::new(owned)),
                None => return Ok(None),
            },
            Kind::Ntpsec => {
                let Some(ntpd) = start_ntpsec() else { return Ok(None) };
                let pid = ntpd.0.id();
                let entrance = ["nsenter".into(), format!("--net=/proc/{pid}/ns/net"), "--".into()].into();
                let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 123);
                let name = kind.name().to_owned();
                return Ok(Some(Self { entrance, ..Self::of(&name, address, pid, Box::new(ntpd)) }));
            }
            Kind::NtpdRs | Kind::NtpdRsLimited => match start_ntpd_rs(port, kind == Kind::NtpdRsLimited) {
                Some(owned) => (owned.0.id(), Box::new(owned)),
                None => return Ok(None),
            },
        };
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let up = wait_for(Duration::from_secs(10), || {
            bench::client::query(address.into(), Duration::from_millis(200))
                .filter(|answer| answer.header.stratum != 0)
        });
        up.ok_or_else(|| format!("{} does not answer", kind.name()))?;
        Ok(Some(Self::of(kind.name(), address, pid, owner)))
    }

    /// A process that runs already, and ends with its owner.
    pub fn of(name: &str, address: SocketAddrV4, pid: u32, owner: Box<dyn Any>) -> Self {
        let (entrance, words) = (Vec::new(), Vec::new());
        Self { name: name.to_owned(), address, entrance, words, pid, _owner: owner }
    }

    /// CPU time of all its threads, nanoseconds.
    pub fn cpu_nanos(&self) -> u64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        let spent = threads.filter_map(|thread| {
            let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        spent.sum()
    }

    /// Resident memory, KiB.
    pub fn resident_kib(&self) -> u64 {
        bench::process::Process::read(self.pid).map_or(0, |process| process.resident / 1024)
    }

    /// Pins all its threads to one core.
    pub fn pin(&self, core: &str) {
        let _ = Command::new("taskset")
            .args(["-apc", core, &self.pid.to_string()])
            .stdout(Stdio::null())
            .status();
    }

    /// Unpins its threads.
    pub fn unpin(&self) {
        self.pin("0-63");
    }
}

fn start_ours(port: u16, more: &str, rules: usize, programs: &Path) -> Daemon {
    // Rules that match no client here, in no favourable order.
    let list: String = (0..rules.saturating_sub(1))
        .map(|n| format!("\"{}.{}.{}.0/24\", ", 11 + n * 37 % 100, n / 256, n % 256))
        .collect();
    let configuration = format!(
        "[server]\nlisten = [\"127.0.0.1:{port}\"]\nallow = [\"127.0.0.0/8\"]\ndeny = [{list}]\nlocal-stratum = 5\n{more}\n"
    );
    Setup::new("bench", &configuration).with_programs(programs.into()).start()
}

fn start_chronyd(port: u16, is_limited: bool) -> Option<Owned> {
    let place = Place::new("bench-chronyd");
    // Sixteen a second to an address, 128 at once: our default.
    let limit = if is_limited { "\nratelimit interval -4 burst 128" } else { "" };
    let configuration = format!(
        "port {port}\nbindaddress 127.0.0.1\nallow 127.0.0.0/8\nlocal stratum 8\ncmdport 0\nbindcmdaddress /\npidfile {}{limit}",
        place.join("pid").display()
    );
    let mut command = chronyd(&configuration)?;
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Some(Owned(spawn(&mut command), Some(place)))
}

/// In a separate network, because it insists on port 123, and in a separate user namespace, in which the kernel
/// allows no process to set the clock. Its limits are off: they would answer one address once a second.
fn start_ntpsec() -> Option<Owned> {
    let program = find_peer("ntpd").filter(|_| bench::is_root())?;
    let place = Place::new("bench-ntpsec");
    let limits = "limit average 1000000000 burst 1000000000";
    let configuration = format!("disable ntp\ntos orphan 6 orphanwait 1\nrestrict default\n{limits}\n");
    let file = place.join("ntp.conf");
    std::fs::write(&file, configuration).ok()?;
    let script = format!(
        "ip link set lo up && exec {} -n -N -c {} -p {}",
        program.display(),
        file.display(),
        place.join("pid").display()
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--", "sh", "-c", &script]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut owned = Owned(spawn(&mut command), Some(place));
    // Time to take up its orphan stratum.
    std::thread::sleep(Duration::from_secs(4));
    owned.0.try_wait().ok()?.is_none().then_some(owned)
}

/// In a separate user namespace, in which the kernel allows no process to set the clock.
fn start_ntpd_rs(port: u16, is_limited: bool) -> Option<Owned> {
    let program = find_peer("ntp-daemon")?;
    let place = Place::new("bench-ntpd-rs");
    // At most one answer in so many milliseconds to an address, as our default, and addresses remembered.
    let limit =
        if is_limited { "rate-limiting-cache-size = 10000\nrate-limiting-cutoff-ms = 62\n" } else { "" };
    let configuration = format!(
        "[observability]\nlog-level = \"warn\"\n[synchronization]\nlocal-stratum = 5\n[[server]]\nlisten = \"127.0.0.1:{port}\"\n{limit}"
    );
    let file = place.join("ntp.toml");
    std::fs::write(&file, configuration).ok()?;
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--"]).arg(program).arg("-c").arg(file);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Some(Owned(spawn(&mut command), Some(place)))
}
