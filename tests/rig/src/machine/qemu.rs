//! A whole machine under emulation: a stock kernel, a real-time clock, a pause button.

use super::link::Link;
use super::uml::Powered;
use super::{Disk, Start};
use crate::architecture::Architecture;
use crate::world::World;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Memory of a guest, in MiB.
const MEMORY: u32 = 384;

/// Starts it; the agent's line and the monitor are sockets in the disk's folder.
pub(super) fn power_on(
    architecture: Architecture,
    (kernel, initrd): (&Path, &Path),
    world: &World,
    disk: &Disk,
    start: &Start,
    console: &Path,
) -> Result<Powered, String> {
    let (program, console_port, kind) = of(architecture);
    let wrong = |error: std::io::Error| format!("{program}: {error}");
    let log = File::options().create(true).append(true).open(console).map_err(wrong)?;
    let place = |name: &str| disk.folder.join(name);
    for socket in ["agent", "monitor"] {
        let _ = std::fs::remove_file(place(socket));
    }
    make_changes(disk)?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "ip", "netns", "exec", world.namespace(), program]);
    command.args(kind).args(["-accel", "tcg", "-smp", "1", "-nodefaults"]);
    command.args(["-display", "none", "-m", &MEMORY.to_string()]).arg("-kernel").arg(kernel);
    command.arg("-initrd").arg(initrd);
    let mut line = format!(
        "console={console_port} quiet panic=-1 net.ifnames=0 mitigations=off systemd.firstboot=no \
         systemd.mask=serial-getty@{console_port}.service"
    );
    for word in &start.words {
        line.push(' ');
        line.push_str(word);
    }
    command.arg("-append").arg(line);
    // No process writes to the image below, and user-mode Linux locks it as well.
    let unlocked = "backing.file.locking=off";
    command
        .arg("-drive")
        .arg(format!("file={},if=none,id=d0,format=qcow2,{unlocked}", disk.changes().display()));
    command.args(["-device", "virtio-blk-pci,drive=d0", "-device", "virtio-rng-pci"]);
    let number = start.number();
    command.arg("-netdev").arg(format!("tap,id=n0,ifname=tap{number},script=no,downscript=no"));
    command.arg("-device").arg(format!("virtio-net-pci,netdev=n0,mac=52:54:00:77:00:0{number}"));
    command.arg("-serial").arg(format!("file:{}", console.display()));
    command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", place("monitor").display()));
    command
        .arg("-chardev")
        .arg(format!("socket,id=rig,path={},server=on,wait=off", place("agent").display()));
    command.args(["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=rig,name=rig"]);
    let clock = start.clock.map_or_else(|| "utc".to_owned(), date);
    command.arg("-rtc").arg(format!("base={clock}"));
    if let Some(saved) = &start.saved {
        command.arg("-incoming").arg(format!("exec:cat {}", saved.display()));
    }
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(wrong)?).stderr(log);
    command.process_group(0);
    let mut child = command.spawn().map_err(wrong)?;
    let agent = connect(&place("agent"), &mut child, console)?;
    let mut monitor = Monitor::over(connect(&place("monitor"), &mut child, console)?)?;
    if start.saved.is_some() {
        monitor.wait_for_state("running")?;
    }
    Ok((child, Link::over(agent).map_err(wrong)?, Some(monitor)))
}

/// The emulator, the name of the serial port, and the kind of machine.
fn of(architecture: Architecture) -> (&'static str, &'static str, [&'static str; 4]) {
    match architecture {
        Architecture::Amd64 => {
            // Not q35, whose firmware does not bring the ACPI timer back when the machine wakes from S3: it sleeps once, and
            // where the kernel then takes that timer for its clock, time stands still.
            ("qemu-system-x86_64", "ttyS0", ["-M", "pc", "-cpu", "qemu64,+rdrand,+rdtscp"])
        }
        Architecture::Arm64 => ("qemu-system-aarch64", "ttyAMA0", ["-M", "virt", "-cpu", "cortex-a72"]),
    }
}

fn make_changes(disk: &Disk) -> Result<(), String> {
    if disk.changes().exists() {
        return Ok(());
    }
    let mut command = Command::new("qemu-img");
    command.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(&disk.image).arg(disk.changes());
    crate::command::run(&mut command).map(drop)
}

/// Seconds since 1970 as qemu wants its dates.
fn date(seconds: i64) -> String {
    let mut command = Command::new("date");
    command.args(["--utc", &format!("--date=@{seconds}"), "+%Y-%m-%dT%H:%M:%S"]);
    crate::command::run(&mut command).map_or_else(|_| "utc".into(), |text| text.trim().to_owned())
}

fn connect(path: &Path, child: &mut Child, console: &Path) -> Result<UnixStream, String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                let ended = child.try_wait().is_ok_and(|status| status.is_some());
                if ended || Instant::now() > deadline {
                    let said = std::fs::read_to_string(console).unwrap_or_default();
                    return Err(format!("{}: {error}; {said}", path.display()));
                }
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The monitor, in its JSON protocol.
#[derive(Debug)]
pub struct Monitor {
    out: UnixStream,
    back: BufReader<UnixStream>,
}

impl Monitor {
    fn over(stream: UnixStream) -> Result<Self, String> {
        stream.set_read_timeout(Some(Duration::from_secs(120))).map_err(|error| error.to_string())?;
        let back = BufReader::new(stream.try_clone().map_err(|error| error.to_string())?);
        let mut monitor = Self { out: stream, back };
        monitor.line()?;
        monitor.execute("qmp_capabilities", "{}")?;
        Ok(monitor)
    }

    /// One command with its arguments as JSON; gives the answer's line.
    ///
    /// # Errors
    /// The monitor's own, or its silence.
    pub fn execute(&mut self, command: &str, arguments: &str) -> Result<String, String> {
        let line = format!("{{\"execute\":\"{command}\",\"arguments\":{arguments}}}\n");
        self.out.write_all(line.as_bytes()).map_err(|error| format!("monitor: {error}"))?;
        loop {
            let line = self.line()?;
            if line.starts_with("{\"return\"") {
                return Ok(line);
            }
            if line.starts_with("{\"error\"") {
                return Err(format!("monitor: {command}: {}", line.trim_end()));
            }
        }
    }

    /// Writes the whole state into a file; the machine stands still afterwards.
    pub(super) fn save(&mut self, file: &Path) -> Result<(), String> {
        self.execute("stop", "{}")?;
        self.execute("migrate", &format!("{{\"uri\":\"exec:cat > {}\"}}", file.display()))?;
        let deadline = Instant::now() + Duration::from_secs(120);
        while Instant::now() < deadline {
            let state = self.execute("query-migrate", "{}")?;
            if state.contains("\"completed\"") {
                return Ok(());
            }
            if state.contains("\"failed\"") {
                return Err(format!("the state was not saved: {}", state.trim_end()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("the state was not saved within two minutes".into())
    }

    fn wait_for_state(&mut self, wanted: &str) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(120);
        while Instant::now() < deadline {
            let state = self.execute("query-status", "{}")?;
            // The answer has a field of the name "running" as well.
            if state.contains(&format!("\"status\": \"{wanted}\"")) {
                return Ok(());
            }
            // A state that was saved while it stood still is restored standing still.
            if state.contains("\"paused\"") || state.contains("\"postmigrate\"") {
                self.execute("cont", "{}")?;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("the machine is not {wanted} after two minutes"))
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.back.read_line(&mut line) {
            Ok(0) => Err("the monitor has ended".into()),
            Ok(_) => Ok(line),
            Err(error) => Err(format!("monitor: {error}")),
        }
    }
}
