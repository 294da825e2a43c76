//! What the units promise.

use super::{BOOT, Case, Found, SOON, boot_right};
use crate::guest::Stand;
use crate::machine::Start;
use crate::recipe::image::Daemon;
use std::time::{Duration, Instant};

/// Longer than the unit's watchdog takes, and what follows.
const LATE: Duration = Duration::from_secs(400);

pub const CASES: &[Case] = &[
    Case::new("exposure", "systemd-analyze security of the unit that runs", exposure),
    Case::new(
        "reload",
        "systemctl reload takes up a changed configuration, and refuses a wrong one without harm",
        reload,
    )
    .ours(),
    Case::new("watchdog", "the unit's watchdog is on and answered", watchdog).ours(),
    Case::new(
        "time-sync",
        "time-set.target and time-sync.target are reached after the clock is right",
        time_sync,
    )
    .ours(),
    Case::new("status", "Status: follows what happens", status).ours(),
    Case::new(
        "stop-at-start",
        "stopped at 30 moments of its first third of a second: ends at once and in order",
        stop_at_start,
    )
    .ours(),
    Case::new("second-instance", "a second truechimerd is refused, the first is unharmed", second)
        .ours()
        .newer(),
];

fn exposure(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    let unit = stand.daemon.unit();
    // Tenths: what was reached before is kept.
    let threshold = if stand.daemon == Daemon::Truechimer { 31 } else { 100 };
    let lines = guest.read(&format!("systemd-analyze security --no-pager --threshold={threshold} {unit}"))?;
    if stand.daemon == Daemon::Truechimer {
        // What the unit forbids must not be what the processes confine themselves with.
        let short = "journalctl -b -u truechimer -o cat | grep -e 'runs without: ' -e 'less confinement'";
        let said = guest.shell(short)?;
        if said.code == 0 {
            return Err(format!("under the unit: {}", said.text.trim_end()));
        }
    }
    let overall = lines.lines().last().unwrap_or_default().trim_start_matches(['→', ' ']).to_owned();
    let open: Vec<String> =
        lines.lines().filter(|line| line.starts_with('✗')).map(|line| line.trim().to_owned()).collect();
    Ok(Found { seconds: None, note: overall, journal: open })
}

fn reload(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    let file = "/etc/truechimer/truechimer.toml";
    let server = "printf '[server]\\nlisten = [\"0.0.0.0:123\"]\\nallow = [\"127.0.0.1/32\"]\\n'";
    guest.read(&format!("{server} >> {file} && systemctl restart truechimer"))?;
    guest.wait_until_active(Instant::now(), SOON)?;
    guest.read("systemctl show -P MainPID truechimer > /run/before")?;
    guest.read(&format!("sed -i 's/127.0.0.1/127.0.0.2/' {file} && systemctl reload truechimer"))?;
    let said = |text: &str| format!("journalctl -u truechimer -o cat | grep -q '{text}'");
    guest.wait_for(&said("configuration read again: new access"), Instant::now(), SOON)?;
    guest.read(&format!("cp {file} /run/good; echo nonsense >> {file}"))?;
    if guest.shell("systemctl reload truechimer")?.code == 0 {
        return Err("systemctl reload says that a broken configuration was taken".into());
    }
    guest.read("systemctl is-active --quiet truechimer")?;
    guest.read(&format!(
        "cp /run/good {file} && systemctl kill --kill-whom=main -s HUP truechimer && sleep 1"
    ))?;
    guest.read("[ $(systemctl show -P MainPID truechimer) = $(cat /run/before) ]")?;
    let took = guest.wait_until_right(Instant::now(), SOON)?;
    guest.found(took, "same process throughout")
}

fn watchdog(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    let usec = guest.read("systemctl show -P WatchdogUSec truechimer")?;
    if usec.trim() != "3min" {
        return Err(format!(
            "the unit has a watchdog of {}, and this case waits for one of 3min",
            usec.trim()
        ));
    }
    // Longer than the watchdog's time: who is not answered would be dead by now.
    guest.machine.shell_within(LATE, "sleep 200")?;
    let restarts = guest.read("systemctl show -P NRestarts truechimer")?;
    if restarts.trim() != "0" {
        return Err(format!("restarted {} times by its watchdog of {}", restarts.trim(), usec.trim()));
    }
    guest.read("kill -STOP $(systemctl show -P MainPID truechimer)")?;
    let since = Instant::now();
    let took = guest.wait_for("[ $(systemctl show -P NRestarts truechimer) -gt 0 ]", since, LATE)?;
    guest.wait_until_active(since, LATE)?;
    guest.wait_until_right(since, LATE)?;
    guest.found(
        took,
        &format!("watchdog {}; seconds from SIGSTOP of the main process to its restart", usec.trim()),
    )
}

fn time_sync(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    guest.read("systemctl enable --quiet truechimer-wait.service")?;
    let disk = guest.machine.shut_down(BOOT)?;
    // No source answers at first: the targets have to wait.
    stand.world.answer(false);
    let mut guest = stand.boot_from(disk, &Start::at(super::today() - 60))?;
    guest.wait_until_active(guest.machine.started(), BOOT)?;
    let waits = "systemctl show -P ActiveState truechimer-wait | grep -q activating";
    guest.wait_for(waits, Instant::now(), SOON)?;
    for target in ["time-set.target", "time-sync.target"] {
        if guest.shell(&format!("systemctl is-active --quiet {target}"))?.code == 0 {
            return Err(format!("{target} is reached and the clock is not"));
        }
    }
    stand.world.answer(true);
    let since = Instant::now();
    let took = guest.wait_for("systemctl is-active --quiet time-sync.target", since, BOOT)?;
    let (offset, doubt) = guest.offset()?;
    if offset.abs() - doubt > crate::guest::RIGHT {
        return Err(format!("time-sync.target is reached with a clock that is {offset:+.3} s off"));
    }
    guest.read("systemctl is-active --quiet time-set.target")?;
    guest.found(took, &format!("{:+.1} ms at that moment", offset * 1e3))
}

fn status(stand: &Stand) -> Result<Found, String> {
    stand.world.answer(false);
    let mut guest = stand.boot(&Start::default())?;
    guest.wait_until_active(guest.machine.started(), BOOT)?;
    let text = "systemctl show -P StatusText truechimer";
    guest.wait_for(&format!("{text} | grep -q '^waiting for the network'"), Instant::now(), SOON)?;
    let waiting = guest.read(text)?.trim().to_owned();
    stand.world.answer(true);
    let since = Instant::now();
    let took = guest.wait_for(&format!("{text} | grep -q '^synchronised'"), since, SOON)?;
    let synchronised = guest.read(text)?.trim().to_owned();
    guest.found(took, &format!("before an answer: {waiting:?}; then: {synchronised:?}"))
}

/// Moments of a start at which it is stopped, in hundredths of a second.
const MOMENTS: u32 = 30;

fn stop_at_start(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    let unit = stand.daemon.unit();
    let mut slowest = 0.0_f64;
    for moment in 0..MOMENTS {
        let since = Instant::now();
        guest.read(&format!(
            "systemctl stop {unit}; systemctl start --no-block {unit}; sleep 0.{moment:02}; systemctl stop {unit}"
        ))?;
        slowest = slowest.max(since.elapsed().as_secs_f64());
        let result = guest.read(&format!("systemctl show -P Result {unit}"))?;
        if result.trim() != "success" {
            return Err(format!("stopped 0.{moment:02} s after its start: {}", guest.state()?));
        }
    }
    guest.read(&format!("systemctl start {unit}"))?;
    guest.wait_until_right(Instant::now(), SOON)?;
    guest.found(slowest, &format!("{MOMENTS} moments of a start; slowest stop, start and stop"))
}

fn second(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    let other = guest.shell("truechimerd")?;
    if other.code == 0 || !other.text.contains("another truechimerd") {
        return Err(format!("the second one ended with {}: {}", other.code, other.text.trim_end()));
    }
    guest.read("chimerctl status > /dev/null")?;
    let took = guest.wait_until_right(Instant::now(), SOON)?;
    guest.found(took, other.text.trim_end())
}
