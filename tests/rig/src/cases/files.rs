//! Files of wrong owners, modes and kinds, under the unit.

use super::package::{dpkg, running};
use super::{Case, Found, OFF, SOON, boot_right};
use crate::guest::{Guest, Stand};
use crate::machine::Start;
use std::time::Instant;

pub const CASES: &[Case] = &[
    Case::new(
        "files-upgrade",
        "the unit could not read the configuration, or could not see it: an upgrade leaves the old daemon running",
        upgrade,
    )
    .bare(),
    Case::new("files-state", "state files of wrong owner, mode and kind: each next start comes up, and the file is in order", state)
        .ours(),
    Case::new(
        "files-refused",
        "an unreadable configuration, and a missing group: one message, and no further starts",
        refused,
    )
    .ours(),
];

const FILE: &str = "/etc/truechimer/truechimer.toml";

fn upgrade(stand: &Stand) -> Result<Found, String> {
    let mut guest = running(stand, "truechimer-older.deb")?;
    guest.read("systemctl show -P MainPID truechimer > /run/before")?;
    guest.read(&format!("cp {FILE} /root/kept.toml; cp {FILE} /var/tmp/kept.toml"))?;
    let mut said = Vec::new();
    for (spoil, word) in [
        (format!("chown nobody {FILE}; chmod 600 {FILE}"), "chown root:root"),
        (format!("chown root {FILE}; chmod 0 {FILE}"), "chmod 0600"),
        (format!("rm {FILE}; ln -s /root/kept.toml {FILE}"), "hides (ProtectHome=)"),
        (format!("rm {FILE}; ln -s /var/tmp/kept.toml {FILE}"), "hides (PrivateTmp=)"),
    ] {
        guest.read(&spoil)?;
        let text = dpkg(&mut guest, "--install truechimer.deb")?;
        let line = text.lines().find(|line| line.contains(word));
        said.push(line.ok_or(format!("after {spoil}: not {word:?} in {text}"))?.trim().to_owned());
        guest.read("[ $(systemctl show -P MainPID truechimer) = $(cat /run/before) ]")?;
    }
    guest.read(&format!("rm {FILE}; cp /root/kept.toml {FILE}"))?;
    let since = Instant::now();
    dpkg(&mut guest, "--install truechimer.deb")?;
    guest.read("[ $(systemctl show -P MainPID truechimer) != $(cat /run/before) ]")?;
    let took = guest.wait_until_right(since, SOON)?;
    Ok(Found { journal: said, ..guest.found(took, "restarted once the file was in order again")? })
}

fn state(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    let mut slowest = 0.0_f64;
    for name in [
        "governor",
        "audit.log",
        "engine.state",
        "engine.keys",
        "engine.history",
        "engine.malfeasance",
        "engine.anchors",
    ] {
        for spoil in [
            "chown nobody:nogroup $f",
            "chmod 0 $f",
            "chmod 666 $f",
            "ln $f $f.other",
            "rm $f; mkdir $f; touch $f/inside",
            "rm $f; mkfifo $f",
        ] {
            guest.read(&format!(
                "systemctl stop truechimer; f=/var/lib/truechimer/{name}; {spoil}; systemctl start truechimer || true"
            ))?;
            let since = Instant::now();
            guest.wait_until_active(since, SOON)?;
            slowest = slowest.max(guest.wait_until_right(since, SOON)?);
            let found = guest.read(&format!("stat -c '%F %U %a %h' /var/lib/truechimer/{name}"))?;
            if !found.starts_with("regular") || !found.trim_end().ends_with("root 600 1") {
                return Err(format!("{name} after {spoil}: {found}"));
            }
        }
    }
    guest.found(slowest, "slowest of 24 starts to right")
}

fn refused(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    let mut said = Vec::new();
    guest.read(&format!("cp {FILE} /run/good; cp {FILE} /root/kept.toml"))?;
    for (spoil, word) in [
        (format!("chown nobody {FILE}; chmod 600 {FILE}"), "chown root:root"),
        (format!("rm {FILE}; ln -s /root/kept.toml {FILE}"), "the service unit hides it (ProtectHome=)"),
        (format!("rm {FILE}; mkdir {FILE}"), "is a directory"),
        (
            format!("rmdir {FILE}; cp /run/good {FILE}; echo nonsense >> {FILE}"),
            "the configuration is not in order",
        ),
    ] {
        guest.read(&spoil)?;
        stays_down(&mut guest, 78)?;
        let status = guest.read("systemctl show -P StatusText truechimer")?;
        if !status.contains(word) {
            return Err(format!("after {spoil}: Status: {status:?}"));
        }
        said.push(status.trim().to_owned());
    }
    guest.read(&format!("cp /run/good {FILE}"))?;
    guest.read("cp /etc/group /run/group; sed -i '/^truechimer:/d' /etc/group")?;
    stays_down(&mut guest, 216)?;
    guest.read(&format!("cp /run/group /etc/group; {OFF}; systemctl start truechimer"))?;
    let took = guest.wait_until_right(Instant::now(), SOON)?;
    Ok(Found { journal: said, ..guest.found(took, "right again once all is in order")? })
}

/// A restart ends with this code, and nothing starts it again.
fn stays_down(guest: &mut Guest<'_>, code: i32) -> Result<(), String> {
    guest.shell("systemctl restart truechimer")?;
    let failed = "[ $(systemctl show -P SubState truechimer) = failed ]";
    guest.wait_for(failed, Instant::now(), SOON)?;
    let found = guest.read("systemctl show -P ExecMainStatus truechimer")?;
    if found.trim() != code.to_string() {
        return Err(format!("it ended with {}, not with {code}", found.trim()));
    }
    Ok(())
}
