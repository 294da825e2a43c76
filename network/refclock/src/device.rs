//! What comes from one clock: how much of it is passed on, and what the engine is told of the rest.

use crate::sample::{LENGTH, NoSample, Said};
use ipc::message::refclock::{ClockSample, Discarded, LEAST_INTERVAL, LONGEST_AGE, TOLD};
use ipc::units::{RawInstant, Span, WallTime};
use network::clock::Pair;
use network::ending::Ending;
use nix::errno::Errno;
use nix::unistd::read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A sample may be ahead of our own reading of the clock by so much, because both are rounded.
const AHEAD: Span = Span::from_millis(1);

/// A clock.
#[derive(Debug)]
pub(crate) struct Device {
    number: u8,
    from: OwnedFd,
    /// When the last sample that was passed on was read.
    last: Option<RawInstant>,
    discarded: Discarded,
    /// When the engine was last told of what was discarded.
    told: Option<RawInstant>,
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.from.as_fd()
    }
}

fn nothing(number: u8) -> Discarded {
    Discarded { device: number, at: RawInstant::MIN, malformed: 0, untimely: 0, unsynchronised: 0, excess: 0 }
}

impl Device {
    pub(crate) fn new(number: u8, from: OwnedFd) -> Self {
        Self { number, from, last: None, discarded: nothing(number), told: None }
    }

    /// The next datagram; none: there is none now.
    pub(crate) fn read(&self) -> Result<Option<Result<Said, NoSample>>, Ending> {
        // One more than a sample has, so that a longer one is seen.
        let mut octets = [0; LENGTH + 1];
        match read(&self.from, &mut octets) {
            Ok(length) => Ok(Some(Said::read(octets.get(..length).unwrap_or_default()))),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(Ending::Kernel("a read from a reference clock", errno)),
        }
    }

    /// Judges what was read at the moment of this pair; none: it is counted, and that is all.
    pub(crate) fn take(&mut self, said: Result<Said, NoSample>, now: Pair) -> Option<ClockSample> {
        let count = match said {
            Err(NoSample::Malformed) => &mut self.discarded.malformed,
            Err(NoSample::Unsynchronised) => &mut self.discarded.unsynchronised,
            Ok(said) => match self.place(&said, now) {
                Ok(sample) => {
                    self.last = Some(sample.read);
                    return Some(sample);
                }
                Err(TooMany::Untimely) => &mut self.discarded.untimely,
                Err(TooMany::Soon) => &mut self.discarded.excess,
            },
        };
        *count = count.saturating_add(1);
        None
    }

    fn place(&self, said: &Said, now: Pair) -> Result<ClockSample, TooMany> {
        let age = now.realtime.saturating_sub(said.taken);
        if age < -AHEAD.nanos() || age > LONGEST_AGE.nanos() {
            return Err(TooMany::Untimely);
        }
        if self.last.is_some_and(|last| now.raw.since(last).nanos() < LEAST_INTERVAL.nanos()) {
            return Err(TooMany::Soon);
        }
        let at = RawInstant::try_new(now.raw.nanos().saturating_sub(age.max(0)));
        Ok(ClockSample {
            device: self.number,
            read: now.raw,
            at: at.map_err(|_| TooMany::Untimely)?,
            // Of what lies ahead of our reading, the whole sample is moved back.
            utc: WallTime::try_new(said.utc.saturating_add(age.min(0))).map_err(|_| TooMany::Untimely)?,
            is_pulse: said.is_pulse,
            leap: said.leap,
        })
    }

    /// When the engine is to be told of what was discarded; none: there was nothing.
    pub(crate) fn news_due(&self) -> Option<RawInstant> {
        let is_news = self.discarded != nothing(self.number);
        is_news.then(|| self.told.map_or(RawInstant::MIN, |told| told.after(TOLD)))
    }

    /// The counts since the engine was told, if it is time.
    pub(crate) fn news(&mut self, now: RawInstant) -> Option<Discarded> {
        self.news_due().filter(|due| *due <= now)?;
        self.told = Some(now);
        let counted = std::mem::replace(&mut self.discarded, nothing(self.number));
        Some(Discarded { at: now, ..counted })
    }
}

/// Why a sample is not passed on.
enum TooMany {
    /// It was taken too long before it was read, or after it.
    Untimely,
    /// It is too soon after the one before.
    Soon,
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::units::Leap;

    const TAKEN: i64 = 1_800_000_000_000_000_000;

    fn device() -> Device {
        let (from, _) = std::os::unix::net::UnixDatagram::pair().unwrap();
        Device::new(2, from.into())
    }

    fn at(millis: i64) -> Pair {
        let nanos = millis * 1_000_000;
        Pair { realtime: TAKEN + nanos, raw: RawInstant::saturating(50_000_000_000 + nanos) }
    }

    fn said() -> Said {
        Said { taken: TAKEN, utc: TAKEN + 250_000_000, is_pulse: false, leap: Leap::None }
    }

    #[test]
    fn a_sample_is_placed_where_the_clock_had_its_time() {
        let sample = device().take(Ok(said()), at(7)).unwrap();
        assert_eq!((sample.device, sample.read, sample.at), (2, at(7).raw, at(0).raw));
        assert_eq!(sample.utc.nanos(), TAKEN + 250_000_000);
        // Half a millisecond ahead of our own reading: offset and moment stay together.
        let ahead = Said { taken: TAKEN + 500_000, utc: TAKEN + 500_250, ..said() };
        let sample = device().take(Ok(ahead), at(0)).unwrap();
        assert_eq!((sample.at, sample.utc.nanos()), (at(0).raw, TAKEN + 250));
    }

    #[test]
    fn a227_what_comes_late_early_or_too_often_is_counted_and_told_of_every_ten_seconds() {
        let mut device = device();
        assert_eq!(device.news(at(0).raw), None);
        assert!(device.take(Ok(said()), at(2_001)).is_none());
        assert!(device.take(Ok(said()), at(-2)).is_none());
        assert!(device.take(Ok(said()), at(0)).is_some());
        assert!(device.take(Ok(said()), at(49)).is_none());
        assert!(device.take(Err(NoSample::Malformed), at(60)).is_none());
        assert!(device.take(Err(NoSample::Unsynchronised), at(60)).is_none());
        assert!(device.take(Ok(said()), at(60)).is_some(), "what is no sample takes no place of one");
        let told = device.news(at(60).raw).unwrap();
        assert_eq!(
            (told.malformed, told.untimely, told.unsynchronised, told.excess, told.at),
            (1, 2, 1, 1, at(60).raw)
        );
        assert!(device.take(Err(NoSample::Malformed), at(100)).is_none());
        assert_eq!(device.news_due(), Some(at(10_060).raw));
        assert_eq!(device.news(at(10_059).raw), None);
        assert_eq!(device.news(at(10_060).raw).unwrap().malformed, 1);
        assert_eq!(device.news(at(99_000).raw), None);
    }
}
