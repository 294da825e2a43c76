//! Power that is cut, resets, reboots, and hard deaths of the daemon in its first run.

use super::{BOOT, Case, Found, boot_right};
use crate::guest::{Guest, Stand};
use crate::machine::{MACHINE_ENDED, Start};
use std::time::{Duration, Instant};

/// Power cuts on each release.
const CUTS: usize = 25;
/// Hard deaths on each release.
const DEATHS: usize = 100;
/// Guests that may end by themselves meanwhile.
const MOST_ENDS: usize = 20;
/// Reboots in a row.
const REBOOTS: usize = 10;

pub const CASES: &[Case] = &[
    Case::new(
        "power-cut-first-boot",
        "first boot, unreachable sources, power cut at a random moment, 25 times: the next boot comes right",
        cuts,
    )
    .ours()
    .waiting(),
    Case::new(
        "hard-deaths",
        "first run, unreachable sources, SIGKILL to all at a random moment of the first minute, 100 times: the next \
         start comes up",
        deaths,
    )
    .ours()
    .waiting(),
    Case::new("hard-resets", "ten hard resets in a row: slowest power-on to right", |stand| again(stand, true))
        .newer(),
    Case::new("reboots", "ten orderly reboots in a row: slowest power-on to right", |stand| again(stand, false))
        .newer(),
];

fn cuts(stand: &Stand) -> Result<Found, String> {
    let mut random = stand.random();
    let (mut slowest, mut with_state) = (0.0_f64, 0);
    for attempt in 1..=CUTS {
        stand.world.answer(false);
        let machine = stand.power_on(stand.disk()?, &Start::default())?;
        // From before the first process to well after the launch.
        let moment = 2.0 + 16.0 * random.part();
        std::thread::sleep(Duration::from_secs_f64(moment));
        let disk = machine.cut_power()?;
        stand.world.answer(true);
        let mut guest = stand.boot_from(disk, &Start::default())?;
        let since = guest.machine.started();
        let in_time = |error| format!("attempt {attempt}, power cut {moment:.2} s after power-on: {error}");
        guest.wait_until_active(since, BOOT).map_err(in_time)?;
        slowest = slowest.max(guest.wait_until_right(since, BOOT).map_err(in_time)?);
        let log = guest.read("grep -ac event=start /var/lib/truechimer/audit.log || true")?;
        with_state += usize::from(log.trim().parse::<u32>().unwrap_or(0) > 1);
    }
    Ok(Found {
        seconds: Some(slowest),
        note: format!(
            "{CUTS} of {CUTS}, {with_state} of them cut after the daemon had begun to write; slowest"
        ),
        journal: Vec::new(),
    })
}

fn deaths(stand: &Stand) -> Result<Found, String> {
    stand.world.answer(false);
    let mut random = stand.random();
    let (mut slowest, mut with_state, mut ended) = (0.0_f64, 0, 0);
    let mut guest = stand.boot(&Start::default())?;
    let mut attempt = 0;
    while attempt < DEATHS {
        // Of each size alike: from 3 ms to a minute.
        let moment = 0.003 * 20_000_f64.powf(random.part());
        match death(&mut guest, moment) {
            Ok((took, has_left_files)) => {
                attempt += 1;
                slowest = slowest.max(took);
                with_state += usize::from(has_left_files);
            }
            // A kernel that runs as a program ends when a process is killed in the middle of its birth. What the guest's
            // daemon would have done then is not known: the attempt does not count.
            Err(why) if why.contains(MACHINE_ENDED) && ended < MOST_ENDS => {
                ended += 1;
                guest = stand.boot(&Start::default())?;
            }
            Err(why) => return Err(format!("attempt {attempt}, killed after {moment:.3} s: {why}")),
        }
    }
    let note = format!(
        "{DEATHS} of {DEATHS} came up, {with_state} had left files; guests that ended: {ended}; slowest"
    );
    guest.found(slowest, &note)
}

/// A first run, killed after so many seconds: how long the next start takes, and whether there were files by then.
fn death(guest: &mut Guest<'_>, moment: f64) -> Result<(f64, bool), String> {
    guest.wait_until_active(Instant::now(), BOOT)?;
    let script = format!(
        "systemctl stop truechimer; rm -rf /var/lib/truechimer/*; systemctl start --no-block truechimer; \
         sleep {moment:.3}; \
         for pid in $(cat /sys/fs/cgroup/system.slice/truechimer.service/cgroup.procs 2>/dev/null); do \
         kill -KILL $pid; done; find /var/lib/truechimer -type f | wc -l"
    );
    let output = guest.machine.shell_within(Duration::from_secs(180), &script)?;
    let up = guest.wait_for("chimerctl status >/dev/null", Instant::now(), Duration::from_secs(60))?;
    Ok((up, output.text.trim().parse::<u32>().unwrap_or(0) > 0))
}

fn again(stand: &Stand, hard: bool) -> Result<Found, String> {
    let mut slowest = 0.0_f64;
    let mut guest = boot_right(stand, &Start::default())?;
    for attempt in 1..=REBOOTS {
        let disk = if hard { guest.machine.cut_power()? } else { guest.machine.shut_down(BOOT)? };
        guest = stand.boot_from(disk, &Start::default())?;
        let since = guest.machine.started();
        let in_time = |error| format!("start {attempt}: {error}");
        guest.wait_until_active(since, BOOT).map_err(in_time)?;
        slowest = slowest.max(guest.wait_until_right(since, BOOT).map_err(in_time)?);
    }
    guest.found(slowest, &format!("{REBOOTS} of {REBOOTS}, slowest"))
}
