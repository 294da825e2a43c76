//! What programs read of the time, as installed.

use super::{BOOT, Case, Found, SOON, boot_right};
use crate::guest::{Guest, Stand};
use crate::machine::Start;
use serde_json::Value;
use std::time::{Duration, Instant};

pub const CASES: &[Case] = &[
    Case::new(
        "time-page",
        "what an unprivileged user reads of the time is true: running, while the clock is set by hand, with the processes \
         stopped, killed, and started again",
        read,
    )
    .ours(),
    Case::new(
        "time-bound",
        "a service that is bound to the bound of the time: not started before it holds, stopped when it does not, back when \
         it does",
        bound,
    )
    .ours(),
    Case::new(
        "time-page-suspend",
        "suspended for 20 s by its own kernel, once with the daemon stopped: the reader alone says that nothing is known, and nothing \
         wrong before it is known again",
        suspend,
    )
    .whole()
    .ours(),
    Case::new(
        "time-page-pause",
        "paused for 20 s by its hypervisor, which no clock of the guest but the real-time clock shows: resume to no wrong answer",
        pause,
    )
    .whole()
    .ours(),
    Case::new("time-clockbound", "ClockBound's pages, in its place by a line of tmpfiles.d", clockbound).ours(),
];

/// What a user without rights reads: [earliest, latest] with the truth in it, or why there is none.
fn now(guest: &mut Guest<'_>) -> Result<Result<[i64; 2], String>, String> {
    let (said, beside, text) = match read_once(guest)? {
        Ok(read) => read,
        Err(why) => return Ok(Err(why)),
    };
    match beside {
        0 => Ok(Ok(said)),
        _ => Err(format!("the truth is not in it, by {beside} ns: {text}")),
    }
}

/// An interval, how far after all of it (positive) or before it the truth was, and the text that it was read from.
type Read = ([i64; 2], i64, String);

fn read_once(guest: &mut Guest<'_>) -> Result<Result<Read, String>, String> {
    let before = guest.stand.world.truth();
    let output = guest.shell("runuser -u nobody -- chimerctl --json now 2>&1")?;
    let after = guest.stand.world.truth();
    match output.code {
        0 => {}
        1 => return Ok(Err(output.text)),
        code => return Err(format!("chimerctl now ends with {code}: {}", output.text)),
    }
    let said: Value =
        serde_json::from_str(&output.text).map_err(|error| format!("{error}: {}", output.text))?;
    let at = |end: &str| -> Option<i64> {
        let seconds = said[format!("{end}_unix_s")].as_i64()?;
        Some(seconds * 1_000_000_000 + said[format!("{end}_ns")].as_i64()?)
    };
    let (Some(earliest), Some(latest)) = (at("earliest"), at("latest")) else {
        return Err(format!("no interval: {}", output.text));
    };
    let beside = (before - latest).max(0) + (after - earliest).min(0);
    Ok(Ok(([earliest, latest], beside, output.text)))
}

/// Asks for so long; how often there was an answer.
fn watch(guest: &mut Guest<'_>, length: Duration) -> Result<(u32, u32), String> {
    let (begun, mut known, mut all) = (Instant::now(), 0, 0);
    while begun.elapsed() < length {
        known += u32::from(now(guest)?.is_ok());
        all += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok((known, all))
}

fn wait_until_known(guest: &mut Guest<'_>, since: Instant) -> Result<f64, String> {
    loop {
        let why = match now(guest)? {
            Ok(_) => return Ok(since.elapsed().as_secs_f64()),
            Err(why) => why,
        };
        if since.elapsed() > SOON {
            return Err(format!("nothing is known: {why}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn read(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    wait_until_known(&mut guest, Instant::now())?;
    let (known, all) = watch(&mut guest, Duration::from_secs(5))?;
    // Set by hand, while the daemon cannot notice: the reader does.
    let pids = PIDS;
    guest.read(&format!("kill -STOP {pids}; date -s '+3 seconds' > /dev/null"))?;
    match now(&mut guest)? {
        Err(why) if why.contains("its clock was set") => {}
        other => return Err(format!("the clock was set by hand: {other:?}")),
    }
    guest.read("date -s '-3 seconds' > /dev/null")?;
    guest.read(&format!("kill -CONT {pids}"))?;
    let took = wait_until_known(&mut guest, Instant::now())?;
    guest.wait_until_right(Instant::now(), SOON)?;
    watch(&mut guest, Duration::from_secs(5))?;
    // Stopped, killed and masked: what was written last holds.
    guest.read(&format!("kill -STOP {pids}"))?;
    let (stopped, asked) = watch(&mut guest, Duration::from_secs(10))?;
    if stopped < asked {
        return Err(format!("stopped: known {stopped} of {asked} times"));
    }
    guest.read("systemctl mask --runtime --quiet truechimer; systemctl kill --signal=KILL truechimer")?;
    let (killed, asked) = watch(&mut guest, Duration::from_secs(10))?;
    if killed < asked {
        return Err(format!("killed: known {killed} of {asked} times"));
    }
    guest.read("systemctl unmask --runtime --quiet truechimer; systemctl restart truechimer")?;
    wait_until_known(&mut guest, Instant::now())?;
    guest.found(
        took,
        &format!("known {known} of {all} times at first; from the clock set by hand to known again"),
    )
}

/// The processes of the daemon.
const PIDS: &str = "$(systemctl show -P MainPID truechimer) $(pgrep truechimer-)";

/// How long a machine sleeps or stands still, in seconds.
const ASLEEP: u64 = 20;

/// Has the guest suspend to RAM by its own kernel, until its real-time clock wakes it.
fn sleep(guest: &mut Guest<'_>) -> Result<(), String> {
    let begun = Instant::now();
    guest.read(&format!(
        "cd /sys/class/rtc/rtc0 && echo 0 > wakealarm && echo +{ASLEEP} > wakealarm && \
         echo deep > /sys/power/mem_sleep && echo mem > /sys/power/state"
    ))?;
    match begun.elapsed() {
        short if short < Duration::from_secs(ASLEEP / 2) => {
            Err(format!("it was not asleep, {:.1} s later", short.as_secs_f64()))
        }
        _ => Ok(()),
    }
}

/// A whole machine on a busy host keeps no clock within the limit of other cases: here what counts is whether the page is true.
fn boot_known(stand: &Stand) -> Result<Guest<'_>, String> {
    let mut guest = stand.boot(&Start::default())?;
    let since = guest.machine.started();
    guest.wait_until_active(since, BOOT)?;
    wait_until_known(&mut guest, Instant::now())?;
    Ok(guest)
}

fn suspend(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_known(stand)?;
    // Nobody is there who could say something about it.
    guest.read(&format!("kill -STOP {PIDS}"))?;
    now(&mut guest)?.map_err(|why| format!("the daemon was stopped: {why}"))?;
    sleep(&mut guest)?;
    for _ in 0..30 {
        match now(&mut guest)? {
            Err(why) if why.contains("its clock was set") => {}
            other => return Err(format!("after {ASLEEP} s asleep: {other:?}")),
        }
    }
    guest.read(&format!("kill -CONT {PIDS}"))?;
    let alone = wait_until_known(&mut guest, Instant::now())?;
    watch(&mut guest, Duration::from_secs(5))?;
    // Once more with the daemon there: no answer is wrong at any time.
    sleep(&mut guest)?;
    let awake = Instant::now();
    let took = wait_until_known(&mut guest, awake)?;
    watch(&mut guest, Duration::from_secs(5))?;
    guest.found(
        took,
        &format!(
            "seconds from waking up to known again ({alone:.1} s from the daemon's going on, where it was stopped)"
        ),
    )
}

fn pause(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_known(stand)?;
    // The kernel sets the real-time clock some seconds after the first synchronisation.
    std::thread::sleep(Duration::from_secs(20));
    wait_until_known(&mut guest, Instant::now())?;
    guest.machine.pause()?;
    std::thread::sleep(Duration::from_secs(ASLEEP));
    guest.machine.resume()?;
    let (since, mut wrong, mut all, mut last) = (Instant::now(), 0, 0, 0.0);
    while since.elapsed() < SOON / 2 {
        all += 1;
        if let Ok((_, beside, text)) = read_once(&mut guest)?
            && beside != 0
        {
            wrong += 1;
            last = since.elapsed().as_secs_f64();
            if beside < 0 || beside > ASLEEP as i64 * 1_500_000_000 {
                return Err(format!("wrong by {beside} ns: {text}"));
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let took = wait_until_known(&mut guest, since)?;
    guest.found(last, &format!("seconds from the resume to the last of {wrong} wrong answers of {all}; known again by {took:.1} s"))
}

const BOUND: &str = "truechimer-bound@200ms.service";

fn bound(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    guest.read(&format!(
        "printf '[Unit]\\nBindsTo={BOUND}\\nAfter={BOUND}\\n[Service]\\nExecStart=/bin/sleep infinity\\n' \
         > /etc/systemd/system/tsa.service
         mkdir -p /etc/systemd/system/{BOUND}.d
         printf '[Unit]\\nUpholds=tsa.service\\n' > /etc/systemd/system/{BOUND}.d/upholds.conf
         systemctl daemon-reload"
    ))?;
    guest.read("systemctl stop truechimer; rm -f /run/truechimer/time")?;
    guest
        .read("systemctl start --no-block tsa.service; sleep 3; ! systemctl is-active --quiet tsa.service")?;
    guest.read("systemctl start truechimer")?;
    let active = "systemctl is-active --quiet tsa.service";
    guest.wait_for(active, Instant::now(), SOON)?;
    guest.read("kill -STOP $(systemctl show -P MainPID truechimer); date -s '+1 hour' > /dev/null")?;
    let stopped = guest.wait_for(&format!("! {active}"), Instant::now(), SOON)?;
    guest.read("date -s '-1 hour' > /dev/null; kill -CONT $(systemctl show -P MainPID truechimer)")?;
    let back = guest.wait_for(active, Instant::now(), SOON)?;
    guest.found(
        stopped,
        &format!("seconds from the clock set by hand to its stop; back {back:.1} s after the return"),
    )
}

fn clockbound(stand: &Stand) -> Result<Found, String> {
    let mut guest = boot_right(stand, &Start::default())?;
    guest.read(
        "printf '\\n[clock]\\nclockbound = true\\n' >> /etc/truechimer/truechimer.toml
         cp /usr/share/truechimer/truechimer-clockbound.conf /etc/tmpfiles.d/ && systemd-tmpfiles --create && \
         systemctl restart truechimer",
    )?;
    guest.wait_until_active(Instant::now(), SOON)?;
    let took = wait_until_known(&mut guest, Instant::now())?;
    // The status of layout 2: the eighth word's second half. 1 is Synchronized.
    let status = "test \"$(od -An -t d4 -j 68 -N 4 /run/clockbound/shm0 | tr -d ' ')\" = 1";
    guest.wait_for(status, Instant::now(), SOON)?;
    let magic =
        guest.read("od -An -t x4 -N 8 /run/clockbound/shm0; od -An -t x4 -N 8 /run/clockbound/shm1")?;
    if magic.matches("414d5a4e 43420200").count() != 2 {
        return Err(format!("not ClockBound's magic: {magic}"));
    }
    // How wrong the kernel's clock can be, by the page, covers how wrong it is.
    let bound: i64 = guest
        .read("od -An -t d8 -j 48 -N 8 /run/clockbound/shm0")?
        .trim()
        .parse()
        .map_err(|error| format!("bound: {error}"))?;
    let (offset, doubt) = guest.offset()?;
    if offset.abs() - doubt > bound as f64 * 1e-9 {
        return Err(format!("a bound of {bound} ns, and the clock is {offset:+.6} s off"));
    }
    guest.read("runuser -u nobody -- cat /run/clockbound/shm1 > /dev/null")?;
    guest.found(took, &format!("bound {:.1} ms", bound as f64 * 1e-6))
}
