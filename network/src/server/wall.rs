//! The time that replies carry: CLOCK_REALTIME, or the virtual clock at a raw instant.

use crate::clock::{self, Pair};
use ipc::clock_page::{ClockPage, PAGE};
use nix::sys::uio::pread;
use protocol::timestamp::Timestamp;
use std::os::fd::OwnedFd;

/// How often a torn page is read again.
const TRIES: usize = 100;

/// What is read for T2 and T3.
#[derive(Debug)]
pub(super) enum Wall {
    /// The kernel's clock.
    Kernel,
    /// A file, and its page as it was last read.
    Virtual(OwnedFd, Option<ClockPage>),
}

impl Wall {
    pub(super) fn new(file: Option<OwnedFd>) -> Self {
        match file {
            None => Wall::Kernel,
            Some(file) => Wall::Virtual(file, None),
        }
    }

    /// Reads a virtual clock's page again. Where it stays torn, the one before still tells the time.
    pub(super) fn refresh(&mut self) {
        let Wall::Virtual(file, page) = self else { return };
        let mut octets = [0; PAGE];
        for _ in 0..TRIES {
            if pread(&*file, &mut octets, 0) == Ok(PAGE)
                && let Ok(fresh) = ClockPage::from_octets(&octets)
            {
                // From now on: a slew that began long ago is then not computed afresh for each packet.
                *page = Some(fresh.advanced_to(clock::raw()));
                return;
            }
        }
    }

    /// T2: the kernel's stamp where it is plausible, else now. Nothing where there is no time to be had.
    pub(super) fn at_arrival(&self, stamp: Option<i64>, pair: Pair) -> Option<Timestamp> {
        let arrived = stamp.and_then(|stamp| Some((stamp, pair.to_raw(stamp)?)));
        let (realtime, raw) = arrived.unwrap_or((pair.realtime, pair.raw));
        match self {
            Wall::Kernel => Some(Timestamp::from_unix_nanos(realtime)),
            Wall::Virtual(_, page) => {
                page.as_ref().map(|page| Timestamp::from_unix_nanos(page.wall_at(raw).nanos()))
            }
        }
    }

    /// T3, to be taken as late as possible.
    pub(super) fn now(&self) -> Option<Timestamp> {
        match self {
            Wall::Kernel => Some(Timestamp::from_unix_nanos(clock::realtime())),
            Wall::Virtual(_, page) => {
                page.as_ref().map(|page| Timestamp::from_unix_nanos(page.wall_at(clock::raw()).nanos()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::units::{Frequency, Offset, RawInstant, TimeConstant, WallTime};
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    const HOUR: i64 = 3_600_000_000_000;

    fn page_one_hour_ahead(pair: Pair) -> ClockPage {
        ClockPage {
            since: pair.raw,
            wall: WallTime::saturating(pair.realtime + HOUR),
            frequency: Frequency::ZERO,
            oscillator: Frequency::ZERO,
            slew: Offset::ZERO,
            time_constant: TimeConstant::MIN,
            status: 0,
            maxerror: 0,
            esterror: 0,
            tai: 37,
            generation: 1,
        }
    }

    fn file(octets: &[u8]) -> File {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("truechimer-wall-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, octets).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }

    fn nanos(stamp: Timestamp) -> i64 {
        stamp.unix_nanos(0)
    }

    #[test]
    fn a_kernel_stamp_is_t2_and_an_implausible_one_is_not() {
        let pair = Pair { realtime: 1_800_000_000_000_000_000, raw: RawInstant::saturating(HOUR) };
        let t2 = |stamp| nanos(Wall::Kernel.at_arrival(stamp, pair).unwrap());
        assert_eq!(t2(Some(pair.realtime - 777)), pair.realtime - 777);
        for stamp in [None, Some(0), Some(pair.realtime + 1_000_000_001)] {
            assert_eq!(t2(stamp), pair.realtime, "{stamp:?}");
        }
    }

    #[test]
    fn a_virtual_clock_shifts_both_times() {
        let pair = Pair::read();
        let mut wall = Wall::new(Some(file(&page_one_hour_ahead(pair).to_octets()).into()));
        assert_eq!(wall.now(), None, "no time before the first reading");
        wall.refresh();
        let later = Pair::read();
        let t2 = nanos(wall.at_arrival(Some(later.realtime - 5_000), later).unwrap());
        assert!((t2 - (later.realtime - 5_000) - HOUR).abs() < 100_000, "{t2}");
        let t3 = nanos(wall.now().unwrap());
        assert!(t3 >= t2 && t3 - t2 < 1_000_000_000);
    }

    #[test]
    fn a_torn_page_leaves_the_one_before_in_force() {
        let file = file(&page_one_hour_ahead(Pair::read()).to_octets());
        let mut wall = Wall::new(Some(file.try_clone().unwrap().into()));
        wall.refresh();
        file.write_all_at(&[0xff; 8], 32).unwrap();
        wall.refresh();
        assert!(wall.now().is_some());
        let mut fresh = Wall::new(Some(file.into()));
        fresh.refresh();
        assert_eq!(fresh.now(), None);
    }
}
