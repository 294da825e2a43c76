//! A state directory that cannot be written.

use super::{BOOT, Case, Found, OFF, SOON, boot_right};
use crate::guest::Stand;
use crate::machine::Start;
use std::time::Instant;

pub const CASES: &[Case] = &[
    Case::new("state-full", "state directory of 64 KB, full, from the start: the clock is kept", |stand| {
        troubled(
            stand,
            "mount -t tmpfs -o size=64k,mode=755 tmpfs $state; head -c 1M /dev/zero > $state/filler; true",
        )
    }),
    Case::new("state-read-only", "state directory read-only from the start: the clock is kept", |stand| {
        troubled(stand, "mount -t tmpfs -o size=64k,mode=755 tmpfs $state && mount -o remount,ro $state")
    }),
    Case::new(
        "state-full-later",
        "state directory of 8 MB, filled while the daemon is stopped: the next start keeps the clock",
        troubled_later,
    ),
];

/// Sets `state` in a script to the daemon's directory.
const STATE: &str = "state=/var/lib/truechimer; [ -d $state ] || state=/var/lib/chrony; ";

fn troubled(stand: &Stand, trouble: &str) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    let unit = stand.daemon.unit();
    guest.read(&format!("{STATE}systemctl stop {unit}; {trouble}"))?;
    guest.read(&format!("{OFF}; systemctl start {unit} || true"))?;
    let since = Instant::now();
    guest.wait_until_active(since, SOON)?;
    let took = guest.wait_until_right(since, BOOT)?;
    guest.found(took, "")
}

fn troubled_later(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    let unit = stand.daemon.unit();
    let filler = "cp -a $state/. /run/kept; mount -t tmpfs -o size=8M,mode=755 tmpfs $state; cp -a /run/kept/. $state; \
                  head -c 16M /dev/zero > $state/filler 2>/dev/null";
    guest.read(&format!(
        "{STATE}systemctl stop {unit}; mkdir -p /run/kept; {filler}; {OFF}; systemctl start {unit} || true"
    ))?;
    let since = Instant::now();
    guest.wait_until_active(since, SOON)?;
    let took = guest.wait_until_right(since, BOOT)?;
    guest.found(took, "")
}
