//! Other implementations as servers and clients, none of which can set a clock.

use crate::programs::{Place, find_peer, free_port, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running peer; killed when dropped.
pub struct Peer {
    child: Child,
    place: Place,
    /// Its port on the loopback addresses.
    pub port: u16,
}

impl Peer {
    /// Takes over a process, with the folder of its files; its log is the file `log` there.
    pub(crate) fn new(child: Child, place: Place, port: u16) -> Self {
        Self { child, place, port }
    }

    /// A file of its folder, as it is now.
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.place.join(name)).unwrap_or_default()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.place.join("log")).unwrap_or_default()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        if wait_for(Duration::from_secs(2), || self.child.try_wait().ok().flatten()).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The reason for a skipped test if chronyd is missing.
pub const NO_CHRONYD: &str = "chronyd is missing; `cargo xtask peers` fetches it on Debian";
/// The reason for a skipped test if ntpd is missing or cannot be isolated.
pub const NO_NTPD: &str =
    "ntpd of NTPsec is missing (`cargo xtask peers`), or no user namespaces to keep it from the clock";

/// The installed peers with their versions, for the headers of tables; OpenNTPD reports none.
pub fn versions() -> String {
    const PEERS: [(&str, &str); 5] = [
        ("chronyd", "-v"),
        ("chronyd-newest", "-v"),
        ("ntpd", "--version"),
        ("ntpd-newest", "--version"),
        ("ntp-daemon", "--version"),
    ];
    let version = |(name, word): (&str, &str)| {
        let output = Command::new(find_peer(name)?).arg(word).stdin(Stdio::null()).output().ok()?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Some(format!("{name} {}", numbered(&said)?))
    };
    let known: Vec<String> = PEERS.into_iter().filter_map(version).collect();
    if known.is_empty() { "peers: none".into() } else { format!("peers: {}", known.join(", ")) }
}

/// The first number that contains a point, with what is joined to it.
fn numbered(said: &str) -> Option<&str> {
    let words = said.split(|character: char| character.is_whitespace() || character == '-');
    words
        .filter(|word| word.starts_with(|character: char| character.is_ascii_digit()))
        .find(|word| word.contains('.'))
}

/// chronyd with this configuration, unable to set the clock (`-x`); `None` if it is not installed.
///
/// # Panics
/// If its files cannot be written.
pub fn chronyd(configuration: &str) -> Option<Command> {
    let mut command = chronyd_program("chronyd")?;
    command.stdin(Stdio::null()).args(configuration.lines());
    Some(command)
}

/// A chronyd of this name, unable to set the clock; the lines of its configuration are its further arguments.
pub fn chronyd_program(name: &str) -> Option<Command> {
    let mut command = Command::new(find_peer(name)?);
    command.args(["-x", "-d", "-U"]);
    as_ourselves(&mut command);
    Some(command)
}

/// A program behind words that lead to where it is to run, and silent. Not by a thread that goes there: what that starts ends with it.
pub fn behind(words: &[String], program: &Command) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(program.get_program()).args(program.get_args());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The user that Debian's build expects may not exist: the package is not installed.
fn as_ourselves(command: &mut Command) {
    if let Ok(Some(user)) = nix::unistd::User::from_uid(nix::unistd::geteuid()) {
        command.args(["-u", &user.name]);
    }
}

/// chronyd as a server of the host's own time at stratum 8, on 127.0.0.1 and ::1.
///
/// # Panics
/// If it does not answer within 5 s.
pub fn chronyd_server() -> Option<Peer> {
    chronyd_server_with_keys("")
}

/// The same with this file of keys.
///
/// # Panics
/// As [`chronyd_server`].
pub fn chronyd_server_with_keys(keys: &str) -> Option<Peer> {
    let place = Place::new("chronyd");
    let port = free_port();
    let mut configuration = format!(
        "port {port}\nbindaddress 127.0.0.1\nallow 127.0.0.0/8\nallow ::1/128\nlocal stratum 8\ncmdport 0\n\
         bindcmdaddress /\npidfile {}",
        place.join("pid").display()
    );
    if crate::programs::has_ipv6() {
        configuration += "\nbindaddress ::1";
    }
    if !keys.is_empty() {
        fs::write(place.join("keys"), keys).expect("a new folder can be written");
        configuration += &format!("\nkeyfile {}", place.join("keys").display());
    }
    let mut command = chronyd(&configuration)?;
    let log = fs::File::create(place.join("log")).expect("a new folder can be written");
    command.stdout(log.try_clone().expect("a file can be shared")).stderr(log);
    let peer = Peer { child: crate::daemon::spawn(&mut command), place, port };
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let up = wait_for(Duration::from_secs(5), || crate::client::query(address, Duration::from_millis(200)));
    assert!(up.is_some(), "chronyd does not answer:\n{}", peer.log());
    Some(peer)
}

/// The offset that `chronyd -Q` measures against a server, in seconds (positive: the host's clock is behind), and
/// its output. The clock is not set. `None` if chronyd is not installed.
///
/// # Panics
/// If it cannot be executed.
pub fn chronyd_measures(address: &str, port: u16) -> Option<(Option<f64>, String)> {
    let place = Place::new("chronyd-q");
    let source = format!("server {address} port {port} iburst");
    let pid_file = format!("pidfile {}", place.join("pid").display());
    let mut command = Command::new(find_peer("chronyd")?);
    command.args(["-Q", "-t", "12", "-U"]);
    as_ourselves(&mut command);
    command.args([&source, "cmdport 0", "bindcmdaddress /", &pid_file]);
    let output = command.stdin(Stdio::null()).output().expect("chronyd can be executed");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let wrong_by =
        said.split("System clock wrong by ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    Some((wrong_by, said))
}

/// ntpd of NTPsec in a separate network (it insists on port 123) and in a separate user namespace, in
/// which the kernel allows no process to set the clock.
pub struct FencedNtpd {
    /// The process; its namespaces are those of the isolation.
    pub peer: Peer,
}

impl FencedNtpd {
    /// Starts it as an orphan server at stratum 6. `None` if ntpd is missing or namespaces are forbidden.
    ///
    /// # Panics
    /// If its files cannot be written.
    pub fn start() -> Option<Self> {
        Self::start_with_keys("")
    }

    /// The same with this file of keys, all of which are trusted.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_with_keys(keys: &str) -> Option<Self> {
        let ntpd = find_peer("ntpd")?;
        let place = Place::new("ntpd");
        let mut configuration = "disable ntp\ntos orphan 6 orphanwait 1\nrestrict default\n".to_owned();
        if !keys.is_empty() {
            fs::write(place.join("keys"), keys).expect("a new folder can be written");
            let numbers = keys.lines().filter_map(|line| line.split_whitespace().next());
            let numbers: Vec<&str> = numbers.collect();
            let file = place.join("keys").display().to_string();
            configuration += &format!("keys {file}\ntrustedkey {}\n", numbers.join(" "));
        }
        fs::write(place.join("ntp.conf"), configuration).expect("a new folder can be written");
        let log = fs::File::create(place.join("log")).expect("a new folder can be written");
        let script = format!(
            "ip link set lo up && exec {} -n -N -c {} -p {}",
            ntpd.display(),
            place.join("ntp.conf").display(),
            place.join("pid").display()
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "--", "sh", "-c", &script]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file can be shared")).stderr(log);
        let mut peer = Peer { child: crate::daemon::spawn(&mut command), place, port: 123 };
        wait_for(Duration::from_secs(10), || {
            if peer.child.try_wait().ok().flatten().is_some() {
                return Some(None);
            }
            peer.log().contains("Listen normally").then_some(Some(()))
        })??;
        Some(Self { peer })
    }

    /// The words that run a program in the isolated network; only root may enter it.
    pub fn entrance(&self) -> [String; 3] {
        ["nsenter".into(), format!("--net=/proc/{}/ns/net", self.peer.pid()), "--".into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forger::Forger;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        assert_eq!(numbered("chronyd (chrony) version 4.9 (+CMDMON -DEBUG)"), Some("4.9"));
        assert_eq!(numbered("ntpd ntpsec-1.2.5\n"), Some("1.2.5"));
        assert_eq!(numbered("ntp-daemon 1.9.0"), Some("1.9.0"));
        assert_eq!(numbered("usage: ntpd [-dnv]"), None);
    }

    #[test]
    fn chronyd_and_the_forger_agree_about_the_offset() {
        let forger = Forger::honest([127, 0, 0, 1].into(), 40_000_000);
        let Some((wrong_by, said)) = chronyd_measures("127.0.0.1", forger.address().port()) else {
            return crate::skip(NO_CHRONYD);
        };
        assert!(wrong_by.is_some_and(|seconds| (seconds - 0.04).abs() < 0.005), "{wrong_by:?}: {said}");
    }

    #[test]
    fn a_fenced_ntpd_runs_in_a_network_of_its_own() {
        let Some(ntpd) = FencedNtpd::start() else { return crate::skip(NO_NTPD) };
        let network = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/net")).expect("it is ours");
        assert_ne!(network(ntpd.peer.pid()), network(std::process::id()));
    }
}
