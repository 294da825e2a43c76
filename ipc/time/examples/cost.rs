//! `cargo xtask bench page [READS]`: what reading the page costs beside clock_gettime, and that no read beside a writer is wrong.

use std::fs::File;
use std::hint::black_box;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use truechimer_time::{LENGTH, Mark, Page, PageWriter, State, TimePage, WallCheck, rate};

const ROUNDS: usize = 1_001;
/// Few enough that most rounds are not interrupted.
const CALLS: u32 = 10_000;

/// True time minus the raw clock, here.
const AHEAD: i64 = 1_700_000_000_000_000_000;

fn clock(id: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec, which the call fills.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn raw() -> i64 {
    clock(libc::CLOCK_MONOTONIC_RAW)
}

/// A page of now, of which the truth is exactly the middle.
fn page(width: i64) -> Page {
    let as_of = raw();
    Page {
        as_of,
        earliest: as_of + AHEAD - width,
        latest: as_of + AHEAD + width,
        estimate: as_of + AHEAD,
        frequency: 0,
        void_after: as_of + 3_600_000_000_000,
        continuous_since: as_of - 3_600_000_000_000,
        synchronised_until: as_of + 60_000_000_000,
        state: State::Synchronised,
        mark: Mark { authenticated: true, attested: false, system_clock: true, sources: 4 },
        marker: None,
        wall: Some(WallCheck {
            wall: clock(libc::CLOCK_REALTIME),
            frequency: 0,
            low: -50_000_000,
            high: 50_000_000,
            rate: rate(500e-6),
        }),
        rates: [2e-6, 3e-6, 4e-6, 6e-6, 10e-6, 15e-6].map(rate),
    }
}

/// Nanoseconds for each call.
fn cost(mut call: impl FnMut()) -> f64 {
    let begun = Instant::now();
    for _ in 0..CALLS {
        call();
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

/// What one round in twenty is below, the median, and what one in twenty is above.
fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    format!("{:7.2} {:7.2} {:7.2}", values[last / 20], values[last / 2], values[last - last / 20])
}

/// The same by the header.
fn measure_header(page: &Path) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = page.with_extension("c.out");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=gnu11", "-O2", "-I"]).arg(folder.join("include"));
    compiler.arg(format!("-DTRUECHIMER_PAGE=\"{}\"", page.display()));
    compiler.arg("-o").arg(&program).arg(folder.join("examples/cost.c"));
    let compiled = compiler.status().expect("a C compiler, which the build needs in any case");
    let run = compiled.success().then(|| Command::new(&program).status().expect("it was just compiled"));
    std::fs::remove_file(&program).expect("it is ours");
    assert!(run.is_some_and(|run| run.success()), "the program in C");
}

fn main() {
    let reads: u64 =
        std::env::args().nth(1).map_or(10_000_000, |word| word.parse().expect("a number of reads"));
    let path = std::env::temp_dir().join(format!("truechimer-page-{}", std::process::id()));
    std::fs::write(&path, [0; LENGTH]).expect("the folder for temporary files can be written");
    let file = File::options().read(true).write(true).open(&path).expect("it was just written");
    let mut writer = PageWriter::map(file.as_fd()).expect("a page");
    let mut reader = TimePage::open_at(&path).expect("a page");
    writer.write(&page(1_000));

    let (mut alone, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let theirs = cost(|| {
            black_box(clock(libc::CLOCK_REALTIME));
        });
        let read = cost(|| {
            let _ = black_box(reader.now());
        });
        alone.push(theirs);
        ours.push(read);
        ratios.push(read / theirs);
    }
    println!("{ROUNDS} rounds of {CALLS} calls: one in twenty is below, median, one in twenty is above");
    println!("clock_gettime(CLOCK_REALTIME), ns      {}", spread(alone));
    println!("TimePage::now, ns                      {}", spread(ours));
    println!("ratio                                  {}", spread(ratios));
    measure_header(&path);
    std::fs::remove_file(&path).expect("it is ours");

    let (is_over, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = Instant::now();
    let (wrong, unknown) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                writer.write(&page(writes.fetch_add(1, Relaxed) as i64 % 1_000));
                std::thread::sleep(Duration::from_micros(20));
            }
        });
        let (mut wrong, mut unknown) = (0_u64, 0_u64);
        let mut before = raw() + AHEAD;
        for _ in 0..reads {
            let said = reader.now();
            let after = raw() + AHEAD;
            match said {
                Ok(it) => wrong += u64::from(it.earliest > after || it.latest < before),
                Err(_) => unknown += 1,
            }
            before = after;
        }
        is_over.store(true, Relaxed);
        (wrong, unknown)
    });
    println!(
        "{reads} reads beside {} writes in {:.1} s: {wrong} wrong, {unknown} without an answer",
        writes.load(Relaxed),
        begun.elapsed().as_secs_f64()
    );
    assert_eq!(wrong, 0);
}
