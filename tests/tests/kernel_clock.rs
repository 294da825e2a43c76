//! The kernel's own clock: as root, one test at a time, by a few milliseconds, restored afterwards. Only
//! `cargo xtask test` lets these run (`TRUECHIMER_REAL_CLOCK=1`).

use bench::clock::{pair, ppm, raw};
use bench::daemon::{Daemon, Setup};
use bench::forger::Forger;
use bench::kernel_clock::{Found, MOST, adjust, frequency_ppm};
use bench::programs::program;
use ipc::clock_page::ClockPage;
use ipc::units::{Frequency, Offset, RawInstant, TimeConstant, WallTime};
use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use nix::sys::signal::Signal;
use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How far the source is from the clock as found.
const AHEAD: i64 = 8_000_000;

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

/// The process that puts the clock back, in a group of its own: a signal to that of the test does not reach it.
fn guard(found: &Found) -> Child {
    let mut command = Command::new(program("clock_guard"));
    command.args(found.words()).process_group(0).stdin(Stdio::piped());
    command.spawn().expect("the guard is built")
}

/// The clock as found. Another process puts it back when this is dropped, and also when this process is killed.
struct Saved {
    /// Two of these tests at the same time would undo each other's restoration.
    _alone: Flock<File>,
    found: Found,
    guard: Child,
}

impl Saved {
    /// `None`, and the reason is recorded, if this run may not move the clock, or another program steers it.
    fn now() -> Option<Self> {
        if !may_run() {
            return None;
        }
        let lock =
            File::create(std::env::temp_dir().join("truechimer-kernel-clock.lock")).expect("it can be made");
        let alone = Flock::lock(lock, FlockArg::LockExclusive).expect("it can be waited for");
        let Some(found) = Found::now() else {
            bench::skip(&format!(
                "another program steers this clock ({:.1} ppm), and the test would disturb it",
                frequency_ppm()
            ));
            return None;
        };
        let guard = guard(&found);
        Some(Self { _alone: alone, found, guard })
    }

    /// Starts a daemon that steers the clock.
    fn start(&self, configuration: &str) -> Daemon {
        let daemon = Setup::new("real", configuration).with_kernel_clock().start();
        let mut guard = self.guard.stdin.as_ref().expect("taken only when dropped");
        writeln!(guard, "{}", daemon.pid()).expect("the guard lives");
        daemon
    }

    /// The clock now, minus its value without the test.
    fn moved(&self) -> i64 {
        self.found.moved()
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.stdin.take() {
            let _ = guard.write_all(b"over\n");
        }
        let _ = self.guard.wait();
    }
}

/// A source whose clock is CLOCK_MONOTONIC_RAW from now on: no change of the clock moves it.
fn source(saved: &Saved) -> (Forger, String) {
    let (start_raw, start_wall) = (saved.found.raw, saved.found.wall + AHEAD);
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
    let daemon = saved.start(configuration);
    daemon.wait_until("slewing", Duration::from_secs(30), |_| {
        watch_over(saved);
        in_force().0.abs() > 500_000 && saved.moved() > 200_000
    });
    daemon
}

#[test]
fn the_kernels_clock_is_slewed_to_its_source_and_left_at_its_base_frequency() {
    let Some(saved) = Saved::now() else { return };
    let (_forger, configuration) = source(&saved);
    let daemon = saved.start(&configuration);
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

#[test]
fn a_tick_that_is_found_is_taken_over_as_part_of_the_base_frequency() {
    let Some(saved) = Saved::now() else { return };
    // 20 ppm together.
    adjust(|timex| {
        timex.modes = libc::ADJ_TICK | libc::ADJ_FREQUENCY;
        (timex.tick, timex.freq) = (10_003, -280 * i64::from(Frequency::PER_PPM));
    });
    let (_forger, configuration) = source(&saved);
    let daemon = saved.start(&configuration);
    daemon.wait_until("of the clock's own frequency", Duration::from_secs(20), |daemon| {
        watch_over(&saved);
        daemon.setup().audit_log().contains("event=start")
    });
    let log = daemon.setup().audit_log();
    let found = format!(" frequency={} ", 20 * Frequency::PER_PPM);
    let line = log.lines().find(|line| line.contains("event=start")).expect("it has started");
    assert!(line.contains(&found), "{line}");
    assert_eq!(adjust(|_| ()).tick, 10_000, "frequency alone is enough");
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_test_that_is_killed_leaves_the_clock_as_it_was() {
    let Some(saved) = Saved::now() else { return };
    let mut guard = guard(&saved.found);
    let of_base = 20 * i64::from(Frequency::PER_PPM);
    adjust(|timex| (timex.modes, timex.freq) = (libc::ADJ_FREQUENCY, of_base));
    assert!(!saved.found.is_back());
    // The end of the only writer, as after a kill.
    drop(guard.stdin.take());
    assert!(guard.wait().expect("it is ours").success());
    assert!(saved.found.is_back());
    assert!(saved.moved().abs() < 1_000_000, "{}", saved.moved());
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
    let Some(saved) = Saved::now() else { return };
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

/// One order: when, in milliseconds from the beginning; base frequency as tick and as frequency in ppm; the slew and its
/// time constant; or a step by so much instead.
struct Order {
    at: u64,
    tick: i64,
    ppm: i32,
    slew: i64,
    constant: u8,
    step: i64,
}

const fn slew(at: u64, tick: i64, ppm: i32, slew: i64, constant: u8) -> Order {
    Order { at, tick, ppm, slew, constant, step: 0 }
}

/// Slews that end, that are replaced in both directions and at other frequencies, also by tick; a step in mid-slew. Never
/// faster than 500 ppm, never farther than 20 ms.
const ORDERS: [Order; 10] = [
    slew(0, 10_000, 30, 4_000_000, 2),
    slew(4_300, 10_000, -40, -3_000_000, 2),
    slew(8_950, 10_000, 100, 1_200_000, 0),
    slew(13_050, 10_003, -250, 900_000, 1),
    slew(18_100, 9_996, 420, 7_999_999, 4),
    Order { step: 2_000_000, ..slew(22_600, 9_996, 420, 0, 0) },
    slew(23_400, 10_000, 20, -1_000_001, 2),
    slew(24_100, 10_000, 20, -1_000_001, 2),
    slew(30_000, 10_000, 0, 50_001, 0),
    slew(36_500, 10_000, 0, 0, 0),
];

/// How long the kernel may notice a whole second too late: a few of its ticks, on a machine with other work.
const TOO_LATE: f64 = 0.020;

/// Carries an order out on both clocks.
fn carry_out(order: &Order, page: ClockPage) -> ClockPage {
    let base = Frequency::saturating((order.ppm + (order.tick - 10_000) as i32 * 100) * Frequency::PER_PPM);
    let before = raw();
    if order.step != 0 {
        adjust(|timex| {
            timex.modes = libc::ADJ_SETOFFSET | libc::ADJ_NANO;
            timex.time.tv_usec = order.step;
        });
    } else {
        adjust(|timex| {
            timex.modes = libc::ADJ_STATUS | libc::ADJ_NANO | libc::ADJ_FREQUENCY | libc::ADJ_TICK;
            timex.modes |= libc::ADJ_OFFSET | libc::ADJ_TIMECONST;
            timex.status = libc::STA_PLL | libc::STA_FREQHOLD | libc::STA_UNSYNC;
            timex.freq = i64::from(order.ppm * Frequency::PER_PPM);
            (timex.tick, timex.offset, timex.constant) = (order.tick, order.slew, order.constant.into());
        });
    }
    let page = page.advanced_to(RawInstant::saturating(before + (raw() - before) / 2));
    match order.step {
        0 => page.adjusted(base, Offset::saturating(order.slew), TimeConstant::saturating(order.constant)),
        step => page.set_to(page.wall.moved_by(Offset::saturating(step))),
    }
}

#[test]
fn the_virtual_clock_does_in_each_second_what_the_kernels_does() {
    let Some(saved) = Saved::now() else { return };
    adjust(|timex| {
        timex.modes = libc::ADJ_STATUS | libc::ADJ_MAXERROR;
        (timex.status, timex.maxerror) = (libc::STA_PLL | libc::STA_FREQHOLD | libc::STA_UNSYNC, 1_000);
    });
    let (begin, wall) = pair();
    let free = ClockPage::free_running(WallTime::saturating(wall), RawInstant::saturating(begin));
    let mut page = ClockPage { maxerror: 1_000, ..free };
    let (mut largest, mut largest_at) = (0, 0);
    let mut orders = ORDERS.iter().peekable();
    let end = 38_000;
    loop {
        let (now, wall) = pair();
        let millis = ((now - begin) / 1_000_000) as u64;
        let model = page.advanced_to(RawInstant::saturating(now));
        let last = wall - model.wall.nanos();
        watch_over(&saved);
        if last.abs() > i64::abs(largest) {
            (largest, largest_at) = (last, millis);
        }
        // What is under way begins and ends so much too late at most; once it is over, what is left of that is a tick of the
        // rate by which two parts differed.
        let rate = model
            .under_way
            .nanos()
            .abs()
            .max(page.advanced_to(RawInstant::saturating(now - 1_000_000_000)).under_way.nanos().abs());
        let most = (rate as f64 * TOO_LATE) as i64 + 3_000;
        assert!(last.abs() <= most, "{last} ns beside it after {millis} ms, {most} at most: {model:?}");
        // Early in a second the kernel may not have noticed it.
        let of_second = wall.rem_euclid(1_000_000_000);
        if (100_000_000..800_000_000).contains(&of_second) {
            let timex = adjust(|_| ());
            let told =
                (timex.offset - model.slew.nanos()).abs() <= 1 && timex.maxerror == i64::from(model.maxerror);
            assert!(
                told,
                "after {millis} ms {} ns left, {} µs at most: {model:?}",
                timex.offset, timex.maxerror
            );
        }
        if let Some(order) = orders.next_if(|order| order.at <= millis) {
            page = carry_out(order, page);
        }
        if millis > end {
            return println!(
                "after {end} ms {last} ns beside it; {largest} ns at most, after {largest_at} ms"
            );
        }
        std::thread::sleep(Duration::from_millis(4));
    }
}
