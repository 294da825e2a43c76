//! Clients that insist on port 123, in a separate network beside the server's. None of them has the capability
//! to set a clock, or can regain it.

use crate::daemon::spawn;
use crate::netns::Network;
use crate::peers::Peer;
use crate::programs::{Place, find_peer};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

/// The address on which the server must listen.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 1);
/// The address of the clients.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 2);

/// The server's network and the clients', connected; `None` without the permission to create them.
pub fn cable() -> Option<(Network, Network)> {
    let (near, far) = (Network::new()?, Network::new()?);
    near.connect(&far, SERVER, CLIENT).then_some((near, far))
}

/// Runs these words in that network, without the capability to set a clock.
fn fenced(network: &Network) -> Command {
    let [enter, place, end] = network.entrance();
    let mut command = Command::new(enter);
    command.args([&place, &end, "setpriv", "--bounding-set", "-sys_time", "--inh-caps", "-sys_time", "--"]);
    command.stdin(Stdio::null());
    command
}

fn started(mut command: Command, place: Place) -> Peer {
    let log = fs::File::create(place.join("log")).expect("a new folder can be written");
    command.stdout(log.try_clone().expect("a file can be shared")).stderr(log);
    Peer::new(spawn(&mut command), place, 123)
}

/// ntpd of NTPsec; `None` if it is missing.
///
/// # Panics
/// If its files cannot be written.
pub fn ntpsec(network: &Network) -> Option<Peer> {
    let program = find_peer("ntpd")?;
    let place = Place::new("ntpsec-client");
    let configuration = format!(
        "disable ntp\nserver {SERVER} iburst minpoll 3 maxpoll 3\ntos mincluster 1\nstatsdir {}/\nstatistics peerstats\n\
         filegen peerstats file peerstats type none enable\n",
        place.path().display()
    );
    fs::write(place.join("ntp.conf"), configuration).expect("a new folder can be written");
    let mut command = fenced(network);
    command.arg(program).arg("-n").arg("-c").arg(place.join("ntp.conf")).arg("-p").arg(place.join("pid"));
    Some(started(command, place))
}

/// Whether the statistics of NTPsec's ntpd show that it follows the server: the second digit of the
/// peer's status is 6.
pub fn ntpsec_follows(client: &Peer) -> bool {
    let statistics = client.file("peerstats");
    let lines = statistics.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.into_iter().any(|words| {
        let [_, _, address, status, ..] = words[..] else { return false };
        address == SERVER.to_string() && status.as_bytes().get(1) == Some(&b'6')
    })
}

/// OpenNTPD's ntpd; `None` if it is missing. It requires a user and folders of its own, and finds them in a private
/// view of the file system.
///
/// # Panics
/// If its files cannot be written.
pub fn openntpd(network: &Network) -> Option<Peer> {
    let program = find_peer("openntpd")?;
    let place = Place::new("openntpd-client");
    fs::write(place.join("ntpd.conf"), format!("server {SERVER}\n")).expect("a new folder can be written");
    for (file, line) in [("passwd", "ntpd:x:61998:61998::/:/bin/false\n"), ("group", "ntpd:x:61998:\n")] {
        let known = fs::read_to_string(Path::new("/etc").join(file)).unwrap_or_default();
        let all: String =
            known.lines().filter(|line| !line.starts_with("ntpd:")).map(|line| format!("{line}\n")).collect();
        fs::write(place.join(file), all + line).expect("a new folder can be written");
    }
    let script = format!(
        "cd {place} && mount --bind passwd /etc/passwd && mount --bind group /etc/group && mount -t tmpfs none /var/lib \
         && mkdir -p /var/lib/openntpd/db /var/lib/openntpd/run && exec {program} -d -v -f ntpd.conf",
        place = place.path().display(),
        program = program.display()
    );
    let mut command = fenced(network);
    command.args(["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", &script]);
    Some(started(command, place))
}

/// busybox's ntpd, which only queries the server; `None` if there is no busybox with it.
///
/// # Panics
/// If its files cannot be written.
pub fn busybox(network: &Network) -> Option<Peer> {
    let program = find_peer("busybox")?;
    let list = Command::new(&program).arg("--list").output().ok()?;
    String::from_utf8_lossy(&list.stdout).lines().find(|name| *name == "ntpd")?;
    let mut command = fenced(network);
    command.arg(program).args(["ntpd", "-d", "-w", "-n", "-p", &SERVER.to_string()]);
    Some(started(command, Place::new("busybox-client")))
}

/// The offset that ntpdig measures, in seconds, and its output; `None` if it or its Python is missing.
pub fn ntpdig(network: &Network) -> Option<(Option<f64>, String)> {
    let program = find_peer("ntpdig")?;
    let modules = find_modules(&program);
    let python = find_peer("python3")?;
    let mut command = fenced(network);
    command.arg(python).arg(program).args(["-j", "-t", "2", &SERVER.to_string()]).envs(modules);
    let output = command.output().ok()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if said.contains("can't find Python NTP library") || said.contains("Can't find ntpc library") {
        return None;
    }
    let offset =
        said.split("\"offset\":").nth(1).and_then(|rest| rest.split([',', '}']).next()?.trim().parse().ok());
    Some((offset, said))
}

/// Its modules, where `cargo xtask peers` unpacked them beside it.
fn find_modules(program: &Path) -> Option<(&'static str, std::path::PathBuf)> {
    let modules = program.ancestors().nth(4)?.join("python3-ntp/usr/lib/python3/dist-packages");
    modules.is_dir().then_some(("PYTHONPATH", modules))
}
