//! Linux as a program.

use super::link::Link;
use super::{Disk, Start, qemu};
use crate::world::World;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Memory of a guest, in MiB; taken as it is used.
const MEMORY: u32 = 320;

pub(super) type Powered = (Child, Link, Option<qemu::Monitor>);

/// Starts it. Its serial line is its standard input, both ways.
pub(super) fn power_on(
    program: &Path,
    world: &World,
    disk: &Disk,
    start: &Start,
    console: &Path,
) -> Result<Powered, String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", program.display());
    let (ours, theirs) = UnixStream::pair().map_err(wrong)?;
    let log = File::options().create(true).append(true).open(console).map_err(wrong)?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "ip", "netns", "exec", world.namespace()]).arg(program);
    command.arg(format!("mem={MEMORY}M"));
    command.arg(format!("ubd0={},{}", disk.changes().display(), disk.image.display()));
    command.args(["root=/dev/ubda", "rw", "con=null", "con0=null,fd:1", "ssl=null", "ssl0=fd:0"]);
    let number = start.number();
    command.arg(format!("vec0:transport=tap,ifname=tap{number},mac=52:54:00:77:00:0{number}"));
    command.args(["net.ifnames=0", "quiet"]);
    command.args(["systemd.firstboot=no", "init=/srv/rig/start.sh"]);
    if let Some(seconds) = start.clock {
        command.arg(format!("rig.date={seconds}"));
    }
    command.args(&start.words);
    // Its memory is a file of the folder that TMPDIR names; its runtime files are in HOME.
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("TMPDIR", "/dev/shm");
    command.env("HOME", &disk.folder);
    command.stdin(Stdio::from(OwnedFd::from(theirs)));
    command.stdout(log.try_clone().map_err(wrong)?).stderr(log);
    command.process_group(0);
    let child = command.spawn().map_err(wrong)?;
    Ok((child, Link::over(ours).map_err(wrong)?, None))
}
