//! The time in replies: CLOCK_REALTIME, or the virtual clock at a raw instant; smeared if so configured.

use ipc::clock_page::{ClockPage, PAGE};
use ipc::units::RawInstant;
use network::clock::{self, Pair};
use nix::sys::uio::pread;
use protocol::timestamp::Timestamp;
use std::os::fd::OwnedFd;

/// The most attempts to read a page that is being written.
const TRIES: usize = 100;

/// A kernel timestamp farther than this from our own reading is ignored, in nanoseconds.
const FARTHEST: i64 = 1_000_000_000;

/// The clock for T2 and T3.
#[derive(Debug)]
pub(super) struct ServedClock {
    kind: Kind,
    /// Added to both times.
    smear: i64,
}

#[derive(Debug)]
enum Kind {
    /// The kernel's clock.
    Kernel,
    /// A file, and its page as it was last read.
    Virtual(OwnedFd, Option<ClockPage>),
}

/// The clock readings that all requests of one batch share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pair: Pair,
}

impl Moment {
    /// CLOCK_MONOTONIC_RAW.
    pub(super) fn raw(&self) -> RawInstant {
        self.pair.raw
    }
}

impl ServedClock {
    pub(super) fn new(file: Option<OwnedFd>) -> Self {
        let kind = match file {
            None => Kind::Kernel,
            Some(file) => Kind::Virtual(file, None),
        };
        Self { kind, smear: 0 }
    }

    /// Reads the clocks for a batch: the kernel's, and the page of a virtual clock. If the page stays torn, the
    /// previous one is used.
    pub(super) fn refresh(&mut self) -> Moment {
        let Kind::Virtual(file, page) = &mut self.kind else {
            // Stamps are in this clock already: one reading of each is enough.
            let realtime = clock::realtime();
            return Moment { pair: Pair { realtime, raw: clock::raw() } };
        };
        let mut octets = [0; PAGE];
        for _ in 0..TRIES {
            if pread(&*file, &mut octets, 0) == Ok(PAGE)
                && let Ok(fresh) = ClockPage::from_octets(&octets)
            {
                // From now on: a slew that began long ago is then not computed again for each packet.
                *page = Some(fresh.advanced_to(clock::raw()));
                break;
            }
        }
        Moment { pair: Pair::read() }
    }

    /// Sets an error of this many nanoseconds for both times.
    pub(super) fn smear_by(&mut self, nanos: i64) {
        self.smear = nanos;
    }

    /// T2 in nanoseconds since 1970: the kernel's timestamp if it is plausible, otherwise the batch's own reading, and
    /// never later than that. `None` if there is no time.
    pub(super) fn at_arrival(&self, stamp: Option<i64>, moment: &Moment) -> Option<i64> {
        let now = moment.pair.realtime;
        let plausible = stamp.filter(|stamp| now.saturating_sub(*stamp).saturating_abs() <= FARTHEST);
        let arrived = plausible.unwrap_or(now).min(now);
        self.show(arrived, moment)
    }

    /// A timestamp of CLOCK_REALTIME converted to this clock; `None` if it is implausible.
    pub(super) fn at_departure(&self, stamp: i64, moment: &Moment) -> Option<i64> {
        let distance = moment.pair.realtime.saturating_sub(stamp).saturating_abs();
        if distance <= FARTHEST { self.show(stamp, moment) } else { None }
    }

    fn show(&self, realtime: i64, moment: &Moment) -> Option<i64> {
        let shown = match &self.kind {
            Kind::Kernel => realtime,
            Kind::Virtual(_, page) => page.as_ref()?.wall_at(moment.pair.to_raw(realtime)?).nanos(),
        };
        Some(shown.saturating_add(self.smear))
    }

    /// T3 in nanoseconds since 1970, to be taken as late as possible.
    pub(super) fn now(&self) -> Option<i64> {
        Some(self.unsmeared()?.saturating_add(self.smear))
    }

    /// The clock's own time, without smear.
    pub(super) fn unsmeared(&self) -> Option<i64> {
        match &self.kind {
            Kind::Kernel => Some(clock::realtime()),
            Kind::Virtual(_, page) => Some(page.as_ref()?.wall_at(clock::raw()).nanos()),
        }
    }
}

/// Our receive timestamps end in a one ...
pub(super) fn receive_stamp(nanos: i64) -> Timestamp {
    Timestamp::from_bits(Timestamp::from_unix_nanos(nanos).bits() | 1)
}

/// ... and transmit timestamps in a zero, by which [`super::interleave`] distinguishes them.
pub(super) fn transmit_stamp(nanos: i64) -> Timestamp {
    let bits = Timestamp::from_unix_nanos(nanos).bits() & !1;
    Timestamp::from_bits(if bits == 0 { 2 } else { bits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::units::{RawInstant, WallTime};
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    const HOUR: i64 = 3_600_000_000_000;

    fn page_one_hour_ahead(pair: Pair) -> ClockPage {
        ClockPage { tai: 37, ..ClockPage::free_running(WallTime::saturating(pair.realtime + HOUR), pair.raw) }
    }

    fn file(octets: &[u8]) -> File {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("truechimer-clock-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, octets).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }

    fn moment(pair: Pair) -> Moment {
        Moment { pair }
    }

    #[test]
    fn a_kernel_stamp_is_t2_and_an_implausible_one_is_not() {
        let pair = Pair { realtime: 1_800_000_000_000_000_000, raw: RawInstant::saturating(HOUR) };
        let t2 = |stamp| ServedClock::new(None).at_arrival(stamp, &moment(pair)).unwrap();
        assert_eq!(t2(Some(pair.realtime - 777)), pair.realtime - 777);
        for stamp in [None, Some(0), Some(pair.realtime - 1_000_000_001), Some(i64::MIN), Some(i64::MAX)] {
            assert_eq!(t2(stamp), pair.realtime, "{stamp:?}");
        }
        assert_eq!(t2(Some(pair.realtime + 5_000)), pair.realtime, "nothing arrives after it was read");
    }

    #[test]
    fn a_virtual_clock_shifts_both_times() {
        let pair = Pair::read();
        let mut clock = ServedClock::new(Some(file(&page_one_hour_ahead(pair).to_octets()).into()));
        assert_eq!(clock.now(), None, "no time before the first reading");
        let later = clock.refresh().pair;
        let t2 = clock.at_arrival(Some(later.realtime - 5_000), &moment(later)).unwrap();
        assert!((t2 - (later.realtime - 5_000) - HOUR).abs() < 100_000, "{t2}");
        let t3 = clock.now().unwrap();
        assert!(t3 >= t2 && t3 - t2 < 1_000_000_000);
        clock.smear_by(-250_000_000);
        let smeared = clock.at_arrival(Some(later.realtime - 5_000), &moment(later)).unwrap();
        assert_eq!(smeared, t2 - 250_000_000);
        assert!(clock.now().unwrap() < t3);
    }

    #[test]
    fn a_torn_page_leaves_the_one_before_in_force() {
        let file = file(&page_one_hour_ahead(Pair::read()).to_octets());
        let mut clock = ServedClock::new(Some(file.try_clone().unwrap().into()));
        clock.refresh();
        file.write_all_at(&[0xff; 8], 32).unwrap();
        clock.refresh();
        assert!(clock.now().is_some());
        let mut fresh = ServedClock::new(Some(file.into()));
        fresh.refresh();
        assert_eq!(fresh.now(), None);
    }

    #[test]
    fn the_last_bit_says_which_time_it_is() {
        for nanos in [0, 1, 1_800_000_000_123_456_789, i64::MAX] {
            let plain = Timestamp::from_unix_nanos(nanos);
            let (receive, transmit) = (receive_stamp(nanos), transmit_stamp(nanos));
            assert_eq!((receive.bits() & 1, transmit.bits() & 1), (1, 0));
            assert!(receive.since(plain).abs() <= 1 && transmit.since(plain).abs() <= 1);
        }
    }
}
