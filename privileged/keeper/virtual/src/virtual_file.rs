//! A virtual clock in a file: a page that behaves as CLOCK_REALTIME does ([`ipc::clock_page`]).

use ipc::clock_page::{ClockPage, PAGE};
use ipc::message::privileged::{ClockKind, ClockReading, Status};
use ipc::units::{Frequency, Offset, TimeConstant};
use ipc_clock::raw;
use keeper::clock::{Clock, read_pair};
use keeper::kernel::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// EINVAL: it is no clock.
const INVALID: Errno = Errno(22);

/// The file, and what we left in it.
#[derive(Debug)]
pub struct VirtualClock {
    file: File,
    left: ClockPage,
}

fn read_page(file: &File) -> Result<ClockPage, Errno> {
    for _ in 0..100 {
        let mut octets = [0; PAGE];
        match file.read_exact_at(&mut octets, 0) {
            Ok(()) => {
                if let Ok(page) = ClockPage::from_octets(&octets) {
                    return Ok(page);
                }
            }
            // Too short for one: that is another file.
            Err(error) => return Err(error.raw_os_error().map_or(INVALID, Errno)),
        }
    }
    Err(INVALID)
}

impl VirtualClock {
    /// Takes a virtual clock in hand; an empty file becomes a clock that shows this host's time.
    ///
    /// # Errors
    /// The file's error; EINVAL if it does not contain a clock.
    pub fn take(file: File) -> Result<Self, Errno> {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let page = if length == 0 {
            let (wall, since) = read_pair();
            ClockPage::free_running(wall, since)
        } else {
            read_page(&file)?
        };
        let mut clock = Self { file, left: page };
        clock.write(ClockPage { slew: Offset::ZERO, ..page.advanced_to(raw()) })?;
        Ok(clock)
    }

    fn write(&mut self, page: ClockPage) -> Result<(), Errno> {
        let page = ClockPage { generation: page.generation.wrapping_add(1), ..page };
        self.file.write_all_at(&page.to_octets(), 0).map_err(Errno::from)?;
        self.left = page;
        Ok(())
    }

    fn now(&self) -> Result<ClockPage, Errno> {
        Ok(read_page(&self.file)?.advanced_to(raw()))
    }
}

impl Clock for VirtualClock {
    fn kind(&self) -> ClockKind {
        ClockKind::Virtual
    }

    fn read(&self) -> Result<ClockReading, Errno> {
        let page = self.now()?;
        Ok(ClockReading {
            wall: page.wall,
            raw: page.since,
            frequency: page.frequency,
            slew_left: page.slew,
            tai: page.tai.min(255) as u8,
        })
    }

    fn adjust(&mut self, base: Frequency, slew: Offset, pace: TimeConstant) -> Result<(), Errno> {
        let page = self.now()?;
        self.write(page.adjusted(base, slew, pace))
    }

    fn step(&mut self, delta: Offset) -> Result<(), Errno> {
        let page = self.now()?;
        let wall = page.wall.checked_add(delta).ok_or(INVALID)?;
        self.write(page.set_to(wall).without_leap())
    }

    fn set_status(&mut self, status: &Status) -> Result<(), Errno> {
        let page = self.now()?;
        self.write(page.told(status))
    }

    fn set_tai(&mut self, seconds: u8) -> Result<(), Errno> {
        let page = self.now()?;
        self.write(page.with_tai(seconds))
    }

    fn reclaim(&mut self) -> Result<bool, Errno> {
        let page = self.now()?;
        if page.generation == self.left.generation && page.frequency == self.left.frequency {
            return Ok(false);
        }
        self.write(ClockPage { frequency: self.left.frequency, ..page })?;
        Ok(true)
    }

    fn release(&mut self) -> Result<(), Errno> {
        let page = self.now()?;
        self.write(ClockPage { slew: Offset::ZERO, ..page })
    }
}
