//! Readings of the host's clocks, and the virtual clock seen from outside.

use ipc::clock_page::{ClockPage, PAGE};
use ipc::units::{Frequency, RawInstant, WallTime};
use nix::time::{ClockId, clock_gettime};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn read(clock: ClockId) -> i64 {
    let time = clock_gettime(clock).expect("every kernel has this clock");
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

/// CLOCK_MONOTONIC_RAW in nanoseconds.
pub fn raw() -> i64 {
    read(ClockId::CLOCK_MONOTONIC_RAW)
}

/// CLOCK_REALTIME in nanoseconds since 1970.
pub fn wall() -> i64 {
    read(ClockId::CLOCK_REALTIME)
}

/// (RAW, REALTIME) of one moment: the tightest of nine tries. Not the daemon's own function (ipc/clock), which it checks.
pub fn pair() -> (i64, i64) {
    let attempt = || {
        let before = raw();
        let wall = wall();
        let after = raw();
        (after - before, before + (after - before) / 2, wall)
    };
    let (_, raw, wall) = (0..9).map(|_| attempt()).min_by_key(|(width, ..)| *width).expect("nine tries");
    (raw, wall)
}

/// A virtual clock from the test's point of view, next to the true time.
#[derive(Clone, Debug)]
pub struct VirtualClock {
    file: PathBuf,
}

impl VirtualClock {
    /// Creates the file of a clock that shows the host's time plus `error` and gains `oscillator_ppm` on the host's clock,
    /// although its frequency correction is 0. Sources and [`Self::error_ns`] go by the host's clock, which may itself be
    /// steered against CLOCK_MONOTONIC_RAW.
    ///
    /// # Panics
    /// If the file cannot be written or a value is out of the page's range.
    pub fn create(file: &Path, error_ns: i64, oscillator_ppm: f64) -> Self {
        let (raw, wall) = pair();
        let page = ClockPage {
            oscillator: against_the_host(oscillator_ppm),
            ..ClockPage::free_running(
                WallTime::try_new(wall + error_ns).expect("the clock shows a year from 1970 to 2116"),
                RawInstant::try_new(raw).expect("a reading is in range"),
            )
        };
        std::fs::write(file, page.to_octets()).expect("the file of the virtual clock can be written");
        Self { file: file.into() }
    }

    /// A clock whose file exists.
    pub fn at(file: PathBuf) -> Self {
        Self { file }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The page as it is now.
    ///
    /// # Panics
    /// If it stays torn for a second.
    pub fn page(&self) -> ClockPage {
        let file = std::fs::File::open(&self.file).expect("the virtual clock is there");
        let attempt = || {
            let mut octets = [0; PAGE];
            file.read_exact_at(&mut octets, 0).ok()?;
            ClockPage::from_octets(&octets).ok()
        };
        crate::programs::wait_for(Duration::from_secs(1), attempt).expect("the virtual clock's page is whole")
    }

    /// What it shows at this instant of CLOCK_MONOTONIC_RAW, both in nanoseconds.
    ///
    /// # Panics
    /// As [`Self::page`].
    pub fn shown_at(&self, raw: i64) -> i64 {
        self.page().wall_at(RawInstant::saturating(raw)).nanos()
    }

    /// The virtual clock minus the host's, nanoseconds: the error that the daemon has to find.
    pub fn error_ns(&self) -> i64 {
        let page = self.page();
        let (raw, wall) = pair();
        page.wall_at(RawInstant::saturating(raw)).nanos() - wall
    }

    /// Changes the page without the daemon, as root with `date` would change the kernel's clock.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn meddle(&self, change: impl FnOnce(&mut ClockPage)) {
        let mut page = self.page().advanced_to(RawInstant::saturating(raw()));
        change(&mut page);
        page.generation += 1;
        let file = std::fs::OpenOptions::new().write(true).open(&self.file).expect("the page can be opened");
        file.write_all_at(&page.to_octets(), 0).expect("the page can be written");
    }

    /// Sets the oscillator's error against the host's clock from now on; the clock does not jump.
    pub fn set_oscillator(&self, ppm: f64) {
        self.meddle(|page| page.oscillator = against_the_host(ppm));
    }
}

fn against_the_host(ppm: f64) -> Frequency {
    scaled(ppm + crate::kernel_clock::frequency_ppm())
}

/// A frequency from ppm.
///
/// # Panics
/// Beyond what a frequency can be.
pub fn scaled(ppm: f64) -> Frequency {
    Frequency::try_new((ppm * f64::from(Frequency::PER_PPM)).round() as i32).expect("a frequency")
}

/// Frequency in ppm.
pub fn ppm(frequency: Frequency) -> f64 {
    f64::from(frequency.scaled()) / f64::from(Frequency::PER_PPM)
}
