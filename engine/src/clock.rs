//! Reading the two clocks next to each other: the raw one, and the one that is steered.

use engine_core::io::Now;
use ipc::clock_page::{ClockPage, PAGE};
use ipc::units::{RawInstant, Span, WallTime};
use ipc_clock::{Pair, raw};
use nix::errno::Errno;
use std::fmt;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// How often a torn page is read again before the one before it is used.
const RETRIES: usize = 100;

/// How long a complete page may replace torn ones.
const TIMEOUT: Span = Span::from_secs(1);

/// The clocks that the engine reads.
#[derive(Debug)]
pub struct Clock {
    page: Option<VirtualClock>,
}

#[derive(Debug)]
struct VirtualClock {
    file: File,
    last: Option<(RawInstant, ClockPage)>,
}

/// Why the clocks cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockError {
    /// The kernel refused to read the file of a virtual clock.
    Kernel(Errno),
    /// The virtual clock's file holds no whole page.
    Torn,
    /// The clock shows a time before its zero.
    Range,
}

impl fmt::Display for ClockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(errno) => write!(f, "the clock cannot be read: {}", errno.desc()),
            Self::Torn => f.write_str(
                "the virtual clock's file is damaged; remove it, a new one is made from the host's time",
            ),
            Self::Range => {
                f.write_str("the clock shows a time before 1970; set it by hand to today's date once")
            }
        }
    }
}

impl std::error::Error for ClockError {}

impl Clock {
    /// The kernel's clock, or the virtual one in the file.
    pub fn new(file: Option<OwnedFd>) -> Self {
        Self { page: file.map(|fd| VirtualClock { file: File::from(fd), last: None }) }
    }

    /// Both clocks.
    ///
    /// # Errors
    /// [`ClockError`]; nothing can be decided without time.
    pub fn now(&mut self) -> Result<Now, ClockError> {
        match &mut self.page {
            Some(clock) => clock.now(),
            None => kernel_now(),
        }
    }

    /// The smallest time between two readings, as a power of two of seconds, −30 to −18 (RFC 5905
    /// section 7.3, `precision`).
    ///
    /// # Errors
    /// [`ClockError`].
    pub fn measure_precision(&mut self) -> Result<i8, ClockError> {
        let mut smallest = i64::MAX;
        for _ in 0..32 {
            let first = self.now()?.raw;
            let gap = self.now()?.raw.since(first).nanos();
            if gap > 0 {
                smallest = smallest.min(gap);
            }
        }
        Ok(exponent_above(smallest))
    }
}

/// The first power of two of seconds that is not below `nanos`.
fn exponent_above(nanos: i64) -> i8 {
    let fits = |exponent: &i8| {
        let length = 1e9 / f64::from(1_u32 << u32::from(exponent.unsigned_abs()).min(31));
        length >= nanos as f64
    };
    (-30..=-18).find(fits).unwrap_or(-18)
}

impl VirtualClock {
    fn now(&mut self) -> Result<Now, ClockError> {
        let mut octets = [0; PAGE];
        for _ in 0..RETRIES {
            match self.file.read_at(&mut octets, 0) {
                Ok(PAGE) => {
                    if let Ok(page) = ClockPage::from_octets(&octets) {
                        let raw = raw();
                        self.last = Some((raw, page));
                        return Ok(Now { raw, wall: page.wall_at(raw) });
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    return Err(ClockError::Kernel(Errno::from_raw(error.raw_os_error().unwrap_or(0))));
                }
            }
        }
        // The writer was interrupted in the middle of its write; the page before still tells the time.
        let raw = raw();
        match self.last {
            Some((at, page)) if raw.since(at).nanos() <= TIMEOUT.nanos() => {
                Ok(Now { raw, wall: page.wall_at(raw) })
            }
            _ => Err(ClockError::Torn),
        }
    }
}

fn kernel_now() -> Result<Now, ClockError> {
    let pair = Pair::read();
    Ok(Now { raw: pair.raw, wall: WallTime::try_new(pair.realtime).map_err(|_| ClockError::Range)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> ClockPage {
        ClockPage {
            tai: 37,
            ..ClockPage::free_running(WallTime::try_new(1_900_000_000_000_000_000).unwrap(), raw())
        }
    }

    fn file(name: &str, octets: &[u8]) -> (std::path::PathBuf, File) {
        let path = std::env::temp_dir().join(format!("truechimer-clock-{name}-{}", std::process::id()));
        std::fs::write(&path, octets).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        (path, file)
    }

    #[test]
    fn the_pair_of_the_kernel_is_tight_and_goes_forward() {
        let mut clock = Clock::new(None);
        let first = clock.now().unwrap();
        let second = clock.now().unwrap();
        assert!(second.raw > first.raw);
        let drift = second.wall.minus(first.wall).nanos() - second.raw.since(first.raw).nanos();
        assert!(drift.abs() < 5_000_000, "{drift}");
    }

    #[test]
    fn the_virtual_clock_shows_the_time_of_its_page() {
        let page = page();
        let (path, file) = file("whole", &page.to_octets());
        let now = Clock::new(Some(file.into())).now().unwrap();
        assert_eq!(now.wall, page.wall_at(now.raw));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_torn_page_is_bridged_for_a_moment_and_refused_without_one_before() {
        let (path, file) = file("torn", &page().to_octets());
        let mut clock = Clock::new(Some(file.try_clone().unwrap().into()));
        clock.now().unwrap();
        file.write_all_at(&[0xff; 8], 40).unwrap();
        assert!(clock.now().is_ok());
        assert_eq!(Clock::new(Some(file.into())).now(), Err(ClockError::Torn));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn precision_is_a_power_of_two_in_range() {
        assert_eq!(exponent_above(1), -29);
        assert_eq!(exponent_above(29), -25);
        assert_eq!(exponent_above(30), -24);
        assert_eq!(exponent_above(953), -20);
        assert_eq!(exponent_above(i64::MAX), -18);
        let measured = Clock::new(None).measure_precision().unwrap();
        assert!((-30..=-18).contains(&measured));
    }
}
