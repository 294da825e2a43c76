//! A client in a container of podman, which keeps the clock of the machine that it runs on, and beside it a server, which
//! tells that clock's time and has no power over it.

use super::nts::{confined, put};
use super::{BOOT, Case, Found, SOON};
use crate::guest::{Guest, Stand};
use crate::machine::Start;
use crate::recipe::containerfile;
use crate::recipe::root::DEBS;
use std::time::{Duration, Instant};

pub const CASES: &[Case] = &[Case::new(
    "container",
    "podman's container with CAP_SYS_TIME, clock 3 s ahead: its start to right; without it none is set, and a server serves",
    container,
)
.bare()
.whole()];

/// What the image has beside programs and libraries.
const FILES: [(&str, &str); 3] = [
    ("passwd", include_str!("../../../../packaging/container/passwd")),
    ("group", include_str!("../../../../packaging/container/group")),
    ("nsswitch.conf", include_str!("../../../../packaging/container/nsswitch.conf")),
];

/// The server's configuration: it has no source, and takes the machine's clock for its own.
const SERVER: &str =
    "[server]\nlisten = [\"10.77.0.2:123\"]\nallow = [\"10.77.0.0/24\"]\nlocal-stratum = 5\n";

/// For podman on an emulated machine on a busy host.
const PATIENCE: Duration = Duration::from_secs(400);

/// Podman's packages without what a container in the host's network needs not. apt would unpack, and order, them all: on an
/// emulated machine beside other work it did not come to an end within 400 s.
const UNPACK: &str = "
set -e
for deb in @DEBS@/podman/*.deb; do
    case $deb in */containernetworking*|*/gnupg*|*/dirmngr*|*/gpgsm*|*/pinentry*|*/iptables*) continue;; esac
    dpkg-deb --fsys-tarfile $deb | tar --directory / --extract --keep-directory-symlink
done
ldconfig
";

/// The root of the image: the package's files, the libraries of its programs (where they have any), and folders.
const ROOT: &str = "
set -e
root=/srv/image
mkdir -p $root/usr/lib64 $root/usr/lib/$(uname -m)-linux-gnu $root/etc $root/proc $root/tmp
dpkg-deb --extract @DEBS@/truechimer.deb $root
ln -s usr/lib $root/lib; ln -s usr/lib64 $root/lib64
mkdir -p $root/var/lib/truechimer $root/run/truechimer/sources.d
for program in $root/usr/sbin/* $root/usr/bin/chimerctl $root/usr/lib/truechimer/truechimer*; do
    ldd $program 2>/dev/null | grep --only-matching '/lib[^ ]*' || true
done | sort --unique | while read library; do cp --dereference $library $root$library; done
cp /srv/container/* $root/etc/
tar --directory $root --create . | podman import --quiet - truechimer
rm -r $root
";

/// Of podman here: the stock kernel has neither overlay nor bridges without the modules that are not on this disk. The host's
/// network is what the manifest of a node's clock asks for too.
const PODMAN: &str = "podman --storage-driver=vfs --cgroup-manager=cgroupfs";

fn container(stand: &Stand) -> Result<Found, String> {
    let mut guest = stand.boot(&Start::default())?;
    guest.wait_for("systemctl is-active --quiet multi-user.target", guest.machine.started(), BOOT)?;
    patient(&mut guest, &UNPACK.replace("@DEBS@", DEBS))?;
    guest.read("mkdir -p /srv/container")?;
    for (name, text) in FILES {
        put(&mut guest, &format!("/srv/container/{name}"), text)?;
    }
    let configuration: String =
        crate::world::SERVERS.iter().map(|server| format!("[[source]]\naddress = \"{server}\"\n")).collect();
    put(&mut guest, "/root/truechimer.toml", &configuration)?;
    put(&mut guest, "/root/server.toml", SERVER)?;
    let script = ROOT.replace("@DEBS@", DEBS).replace("podman ", &format!("{PODMAN} "));
    patient(&mut guest, &script)?;

    // The same without power over the clock: it has to say so, and to leave the clock alone.
    guest.read("date -s '+3 seconds' > /dev/null")?;
    let (ahead, _) = guest.offset()?;
    let options = containerfile::options()?.join(" ").replace("./truechimer.toml", "/root/truechimer.toml");
    patient(&mut guest, &run("powerless", &options, "client")?)?;
    let ended = format!("[ $({PODMAN} inspect --format '{{{{.State.Status}}}}' powerless) = exited ]");
    guest.wait_for(&ended, Instant::now(), PATIENCE)?;
    let said =
        guest.read(&format!("{PODMAN} logs powerless 2>&1 | tail -n 1; {}", exit_code("powerless")))?;
    if !said.contains("--cap-add SYS_TIME") || !said.trim_end().ends_with("77") {
        return Err(format!("without CAP_SYS_TIME it ends with: {said}"));
    }
    // An emulated machine's own clock goes some tenths of a second wrong while the host does other things.
    let (offset, _) = guest.offset()?;
    if (offset - ahead).abs() > 1.0 {
        return Err(format!("without CAP_SYS_TIME the clock went from {ahead:+.3} s to {offset:+.3} s off"));
    }
    patient(&mut guest, &format!("{PODMAN} rm powerless"))?;

    let with_clock = options.replace("--cap-add ", "--cap-add SYS_TIME,");
    let since = Instant::now();
    patient(&mut guest, &run("client", &with_clock, "client")?)?;
    let took = guest.wait_until_right(since, PATIENCE)?;
    let chimerctl = |name: &str| format!("{PODMAN} exec {name} /usr/bin/chimerctl");
    guest.wait_for(&format!("{} wait-sync --timeout 5", chimerctl("client")), Instant::now(), SOON)?;

    let beside = options
        .replace("/root/truechimer.toml", "/root/server.toml")
        .replace("truechimer-state:", "server-state:");
    patient(&mut guest, &run("server", &beside, "server")?)?;
    let deadline = Instant::now() + PATIENCE;
    while !stand.world.is_served(([10, 77, 0, 2], 123).into())? {
        if Instant::now() > deadline {
            let log = guest.read(&format!("{PODMAN} logs server 2>&1 | tail -n 5"))?;
            return Err(format!("the server answers nobody: {log}"));
        }
    }
    let processes = confined(&mut guest, &chimerctl("client"))? + confined(&mut guest, &chimerctl("server"))?;
    let holders = guest.read(HOLDERS)?;
    if holders.trim() != "truechimer-keep" {
        return Err(format!("processes with CAP_SYS_TIME in the two containers: {holders:?}"));
    }

    // Set by hand on the machine, which has one clock for all.
    guest.read("date -s '+0.4 seconds' > /dev/null")?;
    let again = guest.wait_until_right(Instant::now(), SOON)?;
    for name in ["server", "client"] {
        patient(&mut guest, &format!("{PODMAN} stop --time 30 {name}"))?;
        let code = guest.read(&exit_code(name))?;
        if code.trim() != "0" {
            return Err(format!("stopped, the {name}'s container ends with {}", code.trim()));
        }
    }
    let log = guest.read(&format!("{PODMAN} logs client 2>&1"))?;
    let note = format!("{processes} processes; set by hand to right: {again:.1} s; stopped with 0");
    Ok(Found { seconds: Some(took), note, journal: log.lines().map(str::to_owned).collect() })
}

/// Names of the processes that hold the capability (number 25) and are in another namespace of processes than the agent.
const HOLDERS: &str = "
mine=$(readlink /proc/self/ns/pid)
for folder in /proc/[0-9]*; do
    # One that has just ended has neither.
    its=$(readlink $folder/ns/pid) && [ \"$its\" != \"$mine\" ] || continue
    held=$(sed -n 's/^CapPrm:\\t//p' $folder/status 2>/dev/null)
    [ $((0x${held:-0} >> 25 & 1)) = 0 ] || cat $folder/comm
done";

/// A container of the image with the command of this stage of the Containerfile.
fn run(name: &str, options: &str, stage: &str) -> Result<String, String> {
    let command = containerfile::entry_point(stage)?;
    Ok(format!("{PODMAN} run --name {name} --network host --entrypoint '{command}' {options} truechimer"))
}

fn exit_code(name: &str) -> String {
    format!("{PODMAN} inspect --format '{{{{.State.ExitCode}}}}' {name}")
}

fn patient(guest: &mut Guest<'_>, script: &str) -> Result<(), String> {
    let output = guest.machine.shell_within(PATIENCE, script)?;
    if output.code == 0 {
        Ok(())
    } else {
        Err(format!("`{script}` ended with {}: {}", output.code, output.text))
    }
}
