//! Machines that are paused, and states that are restored: the guest's clock stood still, and nothing in the guest
//! noticed.

use super::{Case, Found, SOON, boot_right};
use crate::guest::Stand;
use crate::machine::Start;
use std::time::{Duration, Instant};

const HOUR: i64 = 3_600_000_000_000;

pub const CASES: &[Case] = &[
    Case::new("pause-60s", "paused for a minute: resume to right", |stand| pause(stand, 60, 0)).whole(),
    Case::new("pause-1h", "paused for an hour of real time", |stand| pause(stand, 2, HOUR)).whole(),
    Case::new("restore-1d", "state saved, and restored after a day of real time", restore).whole(),
];

fn pause(stand: &Stand, seconds: u64, beside: i64) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    guest.machine.pause()?;
    std::thread::sleep(Duration::from_secs(seconds));
    stand.world.pass(beside);
    guest.machine.resume()?;
    let since = Instant::now();
    let (offset, _) = guest.offset()?;
    let took = guest.wait_until_right(since, SOON)?;
    guest.found(took, &format!("{offset:+.1} s at the resume"))
}

fn restore(stand: &Stand) -> Result<Found, String> {
    let guest = boot_right(stand, &Start::default())?;
    let file = stand.folder.join("state");
    let disk = guest.machine.save(&file)?;
    stand.world.pass(24 * HOUR);
    let start = Start { saved: Some(file), ..Start::default() };
    let mut guest = stand.boot_from(disk, &start)?;
    let since = Instant::now();
    let (offset, _) = guest.offset()?;
    let took = guest.wait_until_right(since, SOON)?;
    guest.found(took, &format!("{offset:+.1} s at the restore"))
}
