//! The package as an administrator handles it.

use super::{BOOT, Case, Found, SOON};
use crate::guest::{Guest, Stand};
use crate::machine::Start;
use std::time::Instant;

pub const CASES: &[Case] = &[
    Case::new(
        "install",
        "fresh install to right: enabled, not started without a source, started with one",
        install,
    )
    .bare(),
    Case::new("short", "install to synchronised, kill, stop, start, purge", short).bare().short(),
    Case::new(
        "upgrade",
        "a running older version: restarted as the new one, state and configuration kept",
        upgrade,
    )
    .bare(),
    Case::new(
        "upgrade-refused",
        "the new version refuses the configuration: the old one keeps running",
        refused,
    )
    .bare(),
    Case::new(
        "upgrade-failed",
        "the configuration kept the service down, and is mended: an upgrade starts it",
        failed,
    )
    .bare(),
    Case::new("upgrade-disabled", "a disabled and stopped service stays so", disabled).bare(),
    Case::new("downgrade", "from a newer version back", downgrade).bare(),
    Case::new("reinstall", "removed and installed again: enabled and running as before", reinstall).bare(),
    Case::new("purge", "nothing is left but the users", purge).bare(),
];

const SOURCES: &str = "printf '[[source]]\\naddress = \"10.77.0.11\"\\n[[source]]\\naddress = \"10.77.0.12\"\\n\
                       [[source]]\\naddress = \"10.77.0.13\"\\n' > /etc/truechimer/truechimer.toml";

pub(super) fn dpkg(guest: &mut Guest<'_>, words: &str) -> Result<String, String> {
    let output = guest.shell(&format!(
        "export DEBIAN_FRONTEND=noninteractive; cd /srv/rig; dpkg --force-confold {words}"
    ))?;
    if output.code == 0 {
        Ok(output.text)
    } else {
        Err(format!("dpkg {words} ended with {}: {}", output.code, output.text))
    }
}

/// A machine, booted to its end, with the package of this name installed, configured and right.
pub(super) fn running<'a>(stand: &'a Stand, package: &str) -> Result<Guest<'a>, String> {
    let mut guest = stand.boot(&Start::default())?;
    guest.wait_for("systemctl is-active --quiet multi-user.target", guest.machine.started(), BOOT)?;
    dpkg(&mut guest, &format!("--install {package}"))?;
    guest.read(SOURCES)?;
    guest.read("systemctl start truechimer")?;
    guest.wait_until_right(Instant::now(), SOON)?;
    Ok(guest)
}

fn install(stand: &Stand) -> Result<Found, String> {
    let mut guest = stand.boot(&Start::default())?;
    guest.wait_for("systemctl is-active --quiet multi-user.target", guest.machine.started(), BOOT)?;
    let since = Instant::now();
    let said = dpkg(&mut guest, "--install truechimer.deb")?;
    guest.read("systemctl is-enabled --quiet truechimer")?;
    if guest.shell("systemctl is-active --quiet truechimer")?.code == 0 {
        return Err("it was started without a source".into());
    }
    guest.read(SOURCES)?;
    guest.read("systemctl start truechimer")?;
    let took = guest.wait_until_right(since, SOON)?;
    guest.read("[ \"$(stat -c %a /usr/lib/truechimer/truechimer-keeper*)\" = \"$(printf '711\\n711')\" ]")?;
    let last = said.lines().last().unwrap_or_default().to_owned();
    guest.found(took, &last)
}

fn short(stand: &Stand) -> Result<Found, String> {
    let mut guest = running(stand, "truechimer.deb")?;
    guest.wait_for("chimerctl wait-sync --timeout 20", Instant::now(), SOON)?;
    let since = Instant::now();
    guest.read("kill -KILL $(systemctl show -P MainPID truechimer)")?;
    guest.wait_for("chimerctl wait-sync --timeout 20", since, SOON)?;
    let took = guest.wait_until_right(since, SOON)?;
    // The journal knows the events of this unit by their words.
    let event =
        "journalctl -b -u truechimer TRUECHIMER_EVENT=clock-synchronised -o verbose | grep -q PRIORITY=5";
    guest.wait_for(event, since, SOON)?;
    let note = guest.state()?;
    let journal = guest.journal()?;
    guest.read("systemctl stop truechimer && [ $(systemctl show -P Result truechimer) = success ]")?;
    guest.read("systemctl start truechimer && systemctl is-active --quiet truechimer")?;
    dpkg(&mut guest, "--purge truechimer")?;
    nothing_left(&mut guest)?;
    Ok(Found { seconds: Some(took), note: format!("SIGKILL to right; service then: {note}"), journal })
}

fn version(guest: &mut Guest<'_>) -> Result<String, String> {
    Ok(guest.read("dpkg-query -W -f '${Version}' truechimer")?.trim().to_owned())
}

fn upgrade(stand: &Stand) -> Result<Found, String> {
    replaced(stand, "truechimer-older.deb")
}

fn downgrade(stand: &Stand) -> Result<Found, String> {
    replaced(stand, "truechimer-newer.deb")
}

/// Another version takes the place of the one that runs: another process of the new program goes on with the state, the
/// configuration and the clock.
fn replaced(stand: &Stand, before: &str) -> Result<Found, String> {
    let mut guest = running(stand, before)?;
    let before = version(&mut guest)?;
    guest.read(
        "systemctl show -P MainPID truechimer > /run/before; cat /etc/truechimer/truechimer.toml > /run/conf",
    )?;
    let since = Instant::now();
    dpkg(&mut guest, "--install truechimer.deb")?;
    let after = version(&mut guest)?;
    if before == after {
        return Err(format!("both packages are of version {after}"));
    }
    guest.wait_until_active(since, SOON)?;
    guest.read("[ $(systemctl show -P MainPID truechimer) != $(cat /run/before) ]")?;
    guest.read("! ls -l /proc/$(systemctl show -P MainPID truechimer)/exe | grep -q deleted")?;
    guest.read("cmp /run/conf /etc/truechimer/truechimer.toml && systemctl is-enabled --quiet truechimer")?;
    guest.read("grep -a event=start /var/lib/truechimer/audit.log | tail -1 | grep -q record=resumed")?;
    let took = guest.wait_until_right(since, SOON)?;
    guest.found(took, &format!("{before} to {after}"))
}

fn refused(stand: &Stand) -> Result<Found, String> {
    let mut guest = running(stand, "truechimer-older.deb")?;
    guest.read("systemctl show -P MainPID truechimer > /run/before")?;
    guest.read("sed -i '1i a-word-of-tomorrow = true' /etc/truechimer/truechimer.toml")?;
    let since = Instant::now();
    let said = dpkg(&mut guest, "--install truechimer.deb")?;
    guest.read("systemctl is-active --quiet truechimer")?;
    guest.read("[ $(systemctl show -P MainPID truechimer) = $(cat /run/before) ]")?;
    guest.read("chimerctl status > /dev/null")?;
    let took = guest.wait_until_right(since, SOON)?;
    let line = said.lines().find(|line| line.contains("a-word-of-tomorrow"));
    guest.found(took, line.ok_or("dpkg's output does not say what is refused")?)
}

/// Down with 78 the service is started by an upgrade as soon as its configuration is in order, and not before.
fn failed(stand: &Stand) -> Result<Found, String> {
    let mut guest = running(stand, "truechimer-older.deb")?;
    guest.read("sed -i '1i a-word-of-tomorrow = true' /etc/truechimer/truechimer.toml")?;
    guest.read("systemctl restart truechimer || true")?;
    let is_down = "[ $(systemctl show -P ActiveState truechimer) = failed ] && \
                   [ $(systemctl show -P ExecMainStatus truechimer) = 78 ]";
    guest.wait_for(is_down, Instant::now(), SOON)?;
    let said = dpkg(&mut guest, "--install truechimer.deb")?;
    guest.read(is_down)?;
    let line = said.lines().find(|line| line.contains("a-word-of-tomorrow"));
    let line = line.ok_or("dpkg's output does not say what is refused")?.to_owned();
    guest.read("sed -i 1d /etc/truechimer/truechimer.toml")?;
    let since = Instant::now();
    dpkg(&mut guest, "--install truechimer-newer.deb")?;
    guest.wait_until_active(since, SOON)?;
    let took = guest.wait_until_right(since, SOON)?;
    guest.found(took, &line)
}

fn disabled(stand: &Stand) -> Result<Found, String> {
    let mut guest = running(stand, "truechimer-older.deb")?;
    guest.read("systemctl disable --quiet --now truechimer")?;
    let since = Instant::now();
    dpkg(&mut guest, "--install truechimer.deb")?;
    guest.read("! systemctl is-enabled --quiet truechimer && ! systemctl is-active --quiet truechimer")?;
    guest.found(since.elapsed().as_secs_f64(), "disabled and stopped")
}

fn reinstall(stand: &Stand) -> Result<Found, String> {
    let mut guest = running(stand, "truechimer.deb")?;
    dpkg(&mut guest, "--remove truechimer")?;
    guest.read("! pgrep truechimer")?;
    guest.read("[ -e /etc/truechimer/truechimer.toml ] && [ -e /var/lib/truechimer/governor ]")?;
    let since = Instant::now();
    dpkg(&mut guest, "--install truechimer.deb")?;
    guest.read("systemctl is-enabled --quiet truechimer")?;
    guest.wait_until_active(since, SOON)?;
    let took = guest.wait_until_right(since, SOON)?;
    guest.found(took, "enabled and active")
}

fn purge(stand: &Stand) -> Result<Found, String> {
    let mut guest = running(stand, "truechimer.deb")?;
    guest.read("systemctl enable --quiet truechimer-wait")?;
    let since = Instant::now();
    dpkg(&mut guest, "--purge truechimer")?;
    nothing_left(&mut guest)?;
    Ok(Found {
        seconds: Some(since.elapsed().as_secs_f64()),
        note: "no file, no process".into(),
        journal: Vec::new(),
    })
}

fn nothing_left(guest: &mut Guest<'_>) -> Result<(), String> {
    guest.read("! pgrep truechimer")?;
    let left = guest
        .read("find / /run -xdev -path /srv -prune -o -path /proc -prune -o -iname '*truechimer*' -print")?;
    let ours: Vec<&str> = left.lines().filter(|path| !path.starts_with("/sys/")).collect();
    if !ours.is_empty() {
        return Err(format!("left behind: {}", ours.join(" ")));
    }
    guest.read("systemctl daemon-reload && ! systemctl cat truechimer > /dev/null 2>&1").map(drop)
}
