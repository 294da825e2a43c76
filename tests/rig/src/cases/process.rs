//! Each process of the daemon killed, stopped, and chosen by the kernel when memory runs out.

use super::{Case, Found, SOON, boot_right};
use crate::guest::{Guest, Stand};
use crate::machine::Start;
use crate::recipe::image::Daemon;
use bench::authority::Authority;
use std::fmt::Write;
use std::time::Instant;

pub const CASES: &[Case] = &[
    Case::new("kill", "SIGKILL to each process in turn: slowest to right again", |stand| {
        each(stand, "", |pid| format!("kill -KILL {pid}"))
    }),
    Case::new(
        "stop",
        "SIGSTOP to each process in turn, WatchdogSec=30: slowest until all of them run again and the clock is right",
        |stand| each(stand, "WatchdogSec=30", |pid| format!("kill -STOP {pid}")),
    ),
    Case::new("oom", "each process in turn is the one that the kernel takes when memory runs out", |stand| {
        each(stand, "", |pid| {
            format!(
                "echo 1000 > /proc/{pid}/oom_score_adj && echo f > /proc/sysrq-trigger; sleep 0.5; \
                 ! kill -0 {pid} 2>/dev/null"
            )
        })
    }),
];

/// Processes of ours with a server, a key service, and a source with a name.
const OURS: usize = 7;

/// `shortened`: a line for the unit, so that what hangs is found sooner than as installed.
fn each(stand: &Stand, shortened: &str, strike: fn(u32) -> String) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    if stand.daemon == Daemon::Truechimer {
        if !shortened.is_empty() {
            guest.read(&format!(
                "mkdir -p /run/systemd/system/truechimer.service.d\n\
                 printf '[Service]\\n{shortened}\\n' > /run/systemd/system/truechimer.service.d/rig.conf\n\
                 systemctl daemon-reload"
            ))?;
        }
        everything(&mut guest)?;
    }
    let all = guest.processes()?;
    if stand.daemon == Daemon::Truechimer && all.len() != OURS {
        return Err(format!("{} processes run, and not {OURS}: {all:?}", all.len()));
    }
    let (slowest, note) = strike_each(&mut guest, strike)?;
    guest.found(slowest, &note)
}

/// Strikes each process in turn, and waits until all of them run again and the clock is right; gives the seconds of the slowest
/// recovery, and those of each.
pub(super) fn strike_each(guest: &mut Guest<'_>, strike: fn(u32) -> String) -> Result<(f64, String), String> {
    let all = guest.processes()?;
    let mut slowest = 0.0_f64;
    let mut note = String::new();
    let mut struck = Vec::new();
    for (name, _) in &all {
        // The same name may come twice, from a process that splits itself; only the first of them is struck.
        if struck.contains(name) {
            continue;
        }
        let processes = guest.processes()?;
        let found = processes.iter().find(|(other, _)| other == name);
        let (_, pid) = found.ok_or_else(|| format!("there is no {name} any more: {processes:?}"))?;
        let outcome = guest.shell(&strike(*pid))?;
        if outcome.code != 0 {
            return Err(format!("{name} was not struck: {}", outcome.text.trim_end()));
        }
        let since = Instant::now();
        let took = recovered(guest, (*pid, all.len()), since).map_err(|error| format!("{name}: {error}"))?;
        slowest = slowest.max(took);
        let _ = write!(note, "{name} {took:.1} s, ");
        struck.push(name.clone());
    }
    Ok((slowest, note.trim_end_matches(", ").to_owned()))
}

/// Configures a server with a key service, and a source with a name, so that every process is there; gives the authority of
/// its certificate for `time.rig.test`.
pub(super) fn everything(guest: &mut Guest<'_>) -> Result<Authority, String> {
    let authority = Authority::new("the rig's authority");
    let identity = authority.issue(&["time.rig.test"]);
    let folder = "/etc/truechimer/nts";
    guest.read(&format!(
        "echo '10.77.0.11 one.rig.test' >> /etc/hosts; mkdir -p {folder}\n\
         cat > {folder}/fullchain.pem <<'EOF'\n{}EOF\ncat > {folder}/key.pem <<'EOF'\n{}EOF\n\
         chown truechimer-key {folder}/key.pem; chmod 600 {folder}/key.pem\n\
         sed -i 's/10.77.0.11/one.rig.test/' /etc/truechimer/truechimer.toml\n\
         cat >> /etc/truechimer/truechimer.toml <<'EOF'\n\
         [server]\nlisten = [\"0.0.0.0:123\"]\nallow = [\"10.77.0.0/24\"]\n\
         [server.nts]\nlisten = [\"0.0.0.0:4460\"]\ncertificate = \"{folder}/fullchain.pem\"\nkey = \"{folder}/key.pem\"\n\
         EOF\n\
         systemctl restart truechimer",
        identity.chain_pem, identity.key_pem
    ))?;
    let since = Instant::now();
    guest.wait_until_active(since, SOON)?;
    guest.wait_for("chimerctl wait-sync --timeout 20", since, SOON)?;
    guest.wait_until_right(since, SOON).map(|_| authority)
}

/// The one that was struck is gone, all processes are there, none of them stopped, and the clock is right.
fn recovered(guest: &mut Guest<'_>, (struck, count): (u32, usize), since: Instant) -> Result<f64, String> {
    guest.wait_until_active(since, SOON)?;
    loop {
        let processes = guest.processes().unwrap_or_default();
        let pids: Vec<String> = processes.iter().map(|(_, pid)| pid.to_string()).collect();
        let script = format!("for pid in {}; do grep '^State' /proc/$pid/status; done", pids.join(" "));
        let states = if pids.is_empty() { String::new() } else { guest.shell(&script)?.text };
        let run = states.lines().filter(|line| !line.contains("(stopped)")).count();
        let is_gone = processes.iter().all(|(_, pid)| *pid != struck);
        if is_gone && run == count && processes.len() == count {
            break;
        }
        if since.elapsed() > SOON {
            return Err(format!("after {} s {run} of {count} processes run", SOON.as_secs()));
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    guest.wait_until_right(since, SOON)
}
