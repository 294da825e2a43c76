//! Machines that are paused, and states that are restored: the guest's clock stood still, and nothing in the guest
//! noticed.

use super::{Case, Found, SOON, boot_right};
use crate::guest::{Guest, Stand};
use crate::machine::Start;
use crate::recipe::image::Daemon;
use std::time::{Duration, Instant};

const HOUR: i64 = 3_600_000_000_000;

pub const CASES: &[Case] = &[
    Case::new("pause-60s", "paused for a minute: resume to right", |stand| pause(stand, 60, 0)).whole(),
    Case::new("pause-1h", "paused for an hour of real time", |stand| pause(stand, 2, HOUR)).whole(),
    Case::new(
        "agent",
        "paused for a minute, and the guest's clock set right by its own date: stays right",
        agent,
    )
    .whole(),
    Case::new("restore-1d", "state saved, and restored after a day of real time", restore).whole(),
];

/// Boots, and waits until the kernel has set the real-time clock, which it does within some seconds of the first
/// synchronisation. A pause that ends right before that leaves no evidence: the kernel sets the clock to its own time.
fn boot_settled<'a>(stand: &'a Stand) -> Result<Guest<'a>, String> {
    let guest = boot_right(stand, &Start::default())?;
    std::thread::sleep(Duration::from_secs(20));
    Ok(guest)
}

fn pause(stand: &Stand, seconds: u64, beside: i64) -> Result<Found, String> {
    let mut guest = boot_settled(stand)?;
    guest.machine.pause()?;
    std::thread::sleep(Duration::from_secs(seconds));
    stand.world.pass(beside);
    guest.machine.resume()?;
    let since = Instant::now();
    if beside != 0 {
        set_rtc(stand, &mut guest)?;
    }
    let (offset, _) = guest.offset()?;
    let took = guest.wait_until_right(since, SOON)?;
    says(stand, &mut guest, "the machine was paused for about ")?;
    guest.found(took, &format!("{offset:+.1} s at the resume"))
}

/// An agent of the hypervisor, which knows the time.
fn agent(stand: &Stand) -> Result<Found, String> {
    const PAUSE: u64 = 60;
    const WATCHED: u64 = 90;
    let mut guest = boot_settled(stand)?;
    guest.machine.pause()?;
    std::thread::sleep(Duration::from_secs(PAUSE));
    guest.machine.resume()?;
    let (offset, _) = guest.offset()?;
    guest.read(&format!("date -s '{:+.3} seconds' > /dev/null", -offset))?;
    let set = Instant::now();
    let took = guest.wait_until_right(set, SOON)?;
    // Nothing may undo it afterwards.
    while set.elapsed() < Duration::from_secs(WATCHED) {
        std::thread::sleep(Duration::from_secs(5));
        let (offset, _) = guest.offset()?;
        if offset.abs() > 1.0 {
            return Err(format!("its clock is {offset:+.1} s off again"));
        }
    }
    says(stand, &mut guest, "is kept: ")?;
    guest.found(took, &format!("{offset:+.1} s at the resume"))
}

fn restore(stand: &Stand) -> Result<Found, String> {
    let guest = boot_settled(stand)?;
    let file = stand.folder.join("state");
    let disk = guest.machine.save(&file)?;
    stand.world.pass(24 * HOUR);
    let start = Start { saved: Some(file), ..Start::default() };
    let mut guest = stand.boot_from(disk, &start)?;
    let since = Instant::now();
    set_rtc(stand, &mut guest)?;
    let (offset, _) = guest.offset()?;
    let took = guest.wait_until_right(since, SOON)?;
    says(stand, &mut guest, "the machine was paused for about ")?;
    guest.found(took, &format!("{offset:+.1} s at the restore"))
}

/// Sets the guest's real-time clock to the truth. The emulated one follows the host's clock, which knows nothing of the time
/// that passes for all but the guest.
fn set_rtc(stand: &Stand, guest: &mut Guest<'_>) -> Result<(), String> {
    let now = stand.world.truth() / 1_000_000_000;
    // RTC_SET_TIME
    let set = format!(
        "perl -e 'open(my $rtc, \"<\", \"/dev/rtc0\") or die $!; my @now = gmtime({now}); \
         ioctl($rtc, 0x4024700a, pack(\"i9\", @now)) or die $!'"
    );
    guest.read(&set).map(drop)
}

/// Our daemon has told the administrator.
fn says(stand: &Stand, guest: &mut Guest<'_>, what: &str) -> Result<(), String> {
    if stand.daemon == Daemon::Truechimer && !guest.journal()?.iter().any(|line| line.contains(what)) {
        return Err(format!("no line has \"{what}\""));
    }
    Ok(())
}
