//! The kernel's own clock: as root, one test at a time, by a few milliseconds, restored afterwards. Only
//! `cargo xtask test` lets these run (`TRUECHIMER_REAL_CLOCK=1`).

use bench::clock::{pair, ppm, raw};
use bench::daemon::{Daemon, Setup};
use bench::forger::Forger;
use ipc::units::Frequency;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use nix::sys::signal::Signal;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How far the source is from the clock as found.
const AHEAD: i64 = 8_000_000;
/// Beyond this nothing is restored automatically: then something other than these tests moved the clock.
const MOST: i64 = 50_000_000;

/// Whether this run may move the clock; records the reason if not.
fn may_run() -> bool {
    match std::env::var("TRUECHIMER_REAL_CLOCK").as_deref() {
        Ok("1") if bench::is_root() => true,
        Ok("later") => {
            bench::left_for_later("run by itself, with power over the clock");
            false
        }
        _ => {
            bench::skip("moves the kernel's clock: `cargo xtask test` as root, with CAP_SYS_TIME, does it");
            false
        }
    }
}

/// One call of clock_adjtime. `timex.time` is an output of every call: a struct used twice would add the
/// date to the clock. So each call makes a new one, all zero, and sets only what `change` sets.
fn adjust(change: impl FnOnce(&mut libc::timex)) -> libc::timex {
    // SAFETY: struct timex is plain integers, for which all zeroes are a valid value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    change(&mut timex);
    // SAFETY: `timex` is a valid struct timex for the whole call, which reads and writes only it.
    let state = unsafe { libc::clock_adjtime(libc::CLOCK_REALTIME, &mut timex) };
    assert!(state >= 0, "clock_adjtime: {}", std::io::Error::last_os_error());
    timex
}

/// The clock as found; restores it when dropped, also after a panic.
struct Saved {
    /// Two of these tests at the same time would undo each other's restoration.
    _alone: Flock<File>,
    raw: i64,
    wall: i64,
    timex: libc::timex,
}

impl Saved {
    fn now() -> Self {
        let lock =
            File::create(std::env::temp_dir().join("truechimer-kernel-clock.lock")).expect("it can be made");
        let alone = Flock::lock(lock, FlockArg::LockExclusive).expect("it can be waited for");
        let timex = adjust(|_| ());
        assert_eq!(
            (timex.tick, timex.freq),
            (10_000, 0),
            "another program steers this clock: the test would disturb it"
        );
        let (raw, wall) = pair();
        Self { _alone: alone, raw, wall, timex }
    }

    /// The clock now, minus its value without the test.
    fn moved(&self) -> i64 {
        let (raw, wall) = pair();
        (wall - self.wall) - (raw - self.raw)
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        // The rest of a slew ends only with the loop on.
        adjust(|timex| {
            timex.modes =
                libc::ADJ_STATUS | libc::ADJ_NANO | libc::ADJ_OFFSET | libc::ADJ_FREQUENCY | libc::ADJ_TICK;
            timex.status = libc::STA_PLL | libc::STA_FREQHOLD | libc::STA_UNSYNC;
            timex.freq = self.timex.freq;
            timex.tick = self.timex.tick;
        });
        let back = -self.moved();
        if back.abs() > MOST {
            eprintln!(
                "the clock is {back} ns from where it would be: too far for this test to have done it; left so"
            );
        } else {
            adjust(|timex| {
                timex.modes = libc::ADJ_SETOFFSET | libc::ADJ_NANO;
                timex.time.tv_sec = back.div_euclid(1_000_000_000);
                timex.time.tv_usec = back.rem_euclid(1_000_000_000);
            });
        }
        let read_only = libc::STA_PPSSIGNAL | libc::STA_PPSJITTER | libc::STA_PPSWANDER | libc::STA_PPSERROR;
        let computed = libc::STA_CLOCKERR | libc::STA_NANO | libc::STA_MODE | libc::STA_CLK;
        let nano = self.timex.status & libc::STA_NANO != 0;
        adjust(|timex| {
            timex.modes = libc::ADJ_STATUS | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR | libc::ADJ_TIMECONST;
            timex.modes |= if nano { libc::ADJ_NANO } else { libc::ADJ_MICRO };
            timex.status = self.timex.status & !(read_only | computed);
            timex.maxerror = self.timex.maxerror;
            timex.esterror = self.timex.esterror;
            // The kernel adds 4 where the unit is not the nanosecond.
            timex.constant = (self.timex.constant - if nano { 0 } else { 4 }).max(0);
        });
    }
}

/// A source whose clock is CLOCK_MONOTONIC_RAW from now on: no change of the clock moves it.
fn source(saved: &Saved) -> (Forger, String) {
    let (start_raw, start_wall) = (saved.raw, saved.wall + AHEAD);
    let clock = move |_| start_wall + (raw() - start_raw);
    let forger = Forger::start_with_clock(HERE, clock, |request| vec![request.with(|_| ())]);
    let configuration = format!(
        "{}[clock]\nstart-step-threshold = 0.4\nmax-slew-ppm = 400\n",
        bench::daemon::source(forger.address())
    );
    (forger, configuration)
}

/// The rest of the slew, ns; and the frequency.
fn in_force() -> (i64, i64) {
    let timex = adjust(|_| ());
    let scale = if timex.status & libc::STA_NANO != 0 { 1 } else { 1000 };
    (timex.offset * scale, timex.freq)
}

/// The base frequency and the slew of the last adjustment that was carried out, from the audit log. A reading
/// of the clock is less exact: an order may come between it and the next action.
fn last_adjustment(setup: &Setup) -> (i64, i64) {
    let log = setup.audit_log();
    let line = log.lines().rfind(|line| line.contains("event=applied asked=adjust")).expect("it slewed");
    let value = |key: &str| {
        let word = line.split_whitespace().find_map(|word| word.strip_prefix(key));
        word.and_then(|word| word.parse::<i64>().ok()).unwrap_or_else(|| panic!("no {key} in {line}"))
    };
    (value("frequency="), value("slew_ns="))
}

fn watch_over(saved: &Saved) {
    let moved = saved.moved();
    assert!(moved.abs() < MOST, "the clock went {moved} ns away");
}

/// Starts and waits until a slew is in progress.
fn start_slewing(saved: &Saved, configuration: &str) -> Daemon {
    let daemon = Setup::new("real", configuration).with_kernel_clock().start();
    daemon.wait_until("slewing", Duration::from_secs(30), |_| {
        watch_over(saved);
        in_force().0.abs() > 500_000 && saved.moved() > 200_000
    });
    daemon
}

#[test]
fn the_kernels_clock_is_slewed_to_its_source_and_left_at_its_base_frequency() {
    if !may_run() {
        return;
    }
    let saved = Saved::now();
    let (_forger, configuration) = source(&saved);
    let daemon = Setup::new("real", &configuration).with_kernel_clock().start();
    let start = Instant::now();
    daemon.wait_until("within 0.5 ms of its source", Duration::from_secs(120), |daemon| {
        watch_over(&saved);
        daemon.is_synchronised() && (saved.moved() - AHEAD).abs() < 500_000
    });
    println!("8 ms were slewed to within 0.5 ms in {:.1} s", start.elapsed().as_secs_f64());
    the_keeper_holds_one_capability_and_its_files(daemon.pid());
    let timex = adjust(|_| ());
    assert_eq!(timex.status & libc::STA_UNSYNC, 0, "the kernel is not told that it is synchronised");
    assert!(timex.maxerror < 1_000_000 && timex.esterror < 100_000, "{} {}", timex.maxerror, timex.esterror);
    let setup = daemon.setup().clone();
    assert_eq!(daemon.stop().code, Some(0));
    let (slew, frequency) = in_force();
    assert_eq!(slew, 0, "a slew was left behind");
    let (base, _) = last_adjustment(&setup);
    assert!((frequency - base).abs() <= 1, "base frequency was {base}, is {frequency}");
}

/// The kernel's view of the process that sets its clock.
fn the_keeper_holds_one_capability_and_its_files(pid: u32) {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).expect("it lives");
    assert_eq!(read("comm"), "truechimer-keep\n");
    let status = read("status");
    let sys_time = 1u64 << 25;
    for (set, value) in
        [("CapPrm", sys_time), ("CapEff", sys_time), ("CapBnd", 0), ("CapInh", 0), ("CapAmb", 0)]
    {
        assert!(status.contains(&format!("{set}:\t{value:016x}\n")), "{set}: {status}");
    }
    assert!(status.contains("Seccomp:\t2\n") && status.contains("NoNewPrivs:\t1\n"), "{status}");
    // Besides standard streams, link, signals and timer: the record, the audit log, and the locks of the state
    // directory and of the run directory.
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("we are root").flatten();
    let mut files: Vec<String> = open
        .filter_map(|fd| std::fs::read_link(fd.path()).ok())
        .filter_map(|path| Some(path.strip_prefix("/").ok()?.file_name()?.to_string_lossy().into_owned()))
        .filter(|name| !["null", "stderr"].contains(&name.as_str()))
        .collect();
    files.sort();
    assert_eq!(files, ["audit.log", "governor", "lock", "lock"]);
}

/// Kills a process in mid-slew; afterwards the clock goes no farther than the order and keeps its frequency.
fn a_death_leaves_the_clock_in_order(role: &str) {
    if !may_run() {
        return;
    }
    let saved = Saved::now();
    let (_forger, configuration) = source(&saved);
    let mut daemon = start_slewing(&saved, &configuration);
    daemon.signal(daemon.process(role).pid, Signal::SIGKILL);
    let exit = daemon.wait_for_end(Duration::from_secs(5));
    // From now on no orders are given, and the last one is in the log.
    let (left, frequency) = in_force();
    let moved = saved.moved();
    let (base, slew) = last_adjustment(daemon.setup());
    assert!((frequency - base).abs() <= 1, "base frequency was {base}, is {frequency}; {exit:?}");
    // If the privileged process lives, it ends the slew at once; otherwise the kernel ends it.
    let most = if role == "privileged" { slew } else { 0 };
    assert!(
        left.abs() <= most.abs(),
        "{slew} ns were ordered, {left} ns are left after {role} died; {exit:?}"
    );
    let drift = ppm(Frequency::saturating(base as i32)) * 1e3;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        let since = saved.moved() - moved;
        // The base frequency continues, and the order to its end; the kernel slews until its second is over, at most
        // by 500 ppm; 100 µs for readings that are not simultaneous.
        let beside = (drift.abs() * start.elapsed().as_secs_f64()) as i64 + 500_000 + 100_000;
        assert!(
            (left.min(0) - beside..=left.max(0) + beside).contains(&since),
            "{since} ns since {role} died, {left} ns were left, base {base}; {exit:?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let (slew, frequency) = in_force();
    assert!(slew.abs() <= left.abs(), "{left} ns were left when {role} died, {slew} ns are left now");
    assert!((frequency - base).abs() <= 1, "base frequency was {base}, is {frequency}; {exit:?}");
}

#[test]
fn the_death_of_the_privileged_process_in_mid_slew_leaves_the_clock_in_order() {
    a_death_leaves_the_clock_in_order("privileged");
}

#[test]
fn a137_the_death_of_the_engine_in_mid_slew_leaves_the_clock_in_order() {
    a_death_leaves_the_clock_in_order("engine");
}

#[test]
fn a110_the_death_of_the_client_role_in_mid_slew_leaves_the_clock_in_order() {
    a_death_leaves_the_clock_in_order("client");
}
