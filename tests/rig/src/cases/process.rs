//! Each process of the daemon killed, stopped, and chosen by the kernel when memory runs out.

use super::{Case, Found, SOON, boot_right};
use crate::guest::{Guest, Stand};
use crate::machine::Start;
use crate::recipe::image::Daemon;
use std::fmt::Write;
use std::time::Instant;

pub const CASES: &[Case] = &[
    Case::new("kill", "SIGKILL to each process in turn: slowest to right again", |stand| {
        each(stand, |pid| format!("kill -KILL {pid}"))
    }),
    Case::new("stop", "SIGSTOP to each process in turn: slowest until all of them run again", |stand| {
        each(stand, |pid| format!("kill -STOP {pid}"))
    }),
    Case::new("oom", "each process in turn is the one that the kernel takes when memory runs out", |stand| {
        each(stand, |pid| {
            format!(
                "echo 1000 > /proc/{pid}/oom_score_adj && echo f > /proc/sysrq-trigger; sleep 0.5; ! kill -0 {pid} 2>/dev/null"
            )
        })
    }),
];

fn each(stand: &Stand, strike: fn(u32) -> String) -> Result<Found, String> {
    // A server and a key service as well, so that every process is there.
    let mut guest = boot_right(stand, &Start::default())?;
    if stand.daemon == Daemon::Truechimer {
        guest.read(
            "printf '[server]\\nlisten = [\"0.0.0.0:123\"]\\nallow = [\"10.77.0.0/24\"]\\n' \
             >> /etc/truechimer/truechimer.toml && systemctl restart truechimer",
        )?;
        guest.wait_until_active(Instant::now(), SOON)?;
    }
    let names: Vec<String> = guest.processes()?.into_iter().map(|(name, _)| name).collect();
    let mut slowest = 0.0_f64;
    let mut note = String::new();
    // The same names may come twice, from a process that splits itself: each place in the list is struck once.
    for (at, name) in names.iter().enumerate() {
        let Some((_, pid)) = guest.processes()?.get(at).cloned() else { continue };
        let struck = guest.shell(&strike(pid))?;
        if struck.code != 0 {
            return Err(format!("{name} was not struck: {}", struck.text.trim_end()));
        }
        let since = Instant::now();
        let took = recovered(&mut guest, names.len(), since).map_err(|error| format!("{name}: {error}"))?;
        slowest = slowest.max(took);
        let _ = write!(note, "{name} {took:.1} s, ");
    }
    guest.found(slowest, note.trim_end_matches(", "))
}

/// All processes are there, none of them stopped, and the clock is right.
fn recovered(guest: &mut Guest<'_>, count: usize, since: Instant) -> Result<f64, String> {
    guest.wait_until_active(since, SOON)?;
    loop {
        let processes = guest.processes().unwrap_or_default();
        let pids: Vec<String> = processes.iter().map(|(_, pid)| pid.to_string()).collect();
        let script = format!("for pid in {}; do grep '^State' /proc/$pid/status; done", pids.join(" "));
        let states = if pids.is_empty() { String::new() } else { guest.shell(&script)?.text };
        let run = states.lines().filter(|line| !line.contains("(stopped)")).count();
        if run == count && processes.len() == count {
            break;
        }
        if since.elapsed() > SOON {
            return Err(format!("after {} s {run} of {count} processes run", SOON.as_secs()));
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    guest.wait_until_right(since, SOON)
}
