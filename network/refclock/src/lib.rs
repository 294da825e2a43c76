//! The role of the process that reads reference clocks.
//!
//! It has a link to the engine and a descriptor for each clock, all of which the launch has opened; no network, no file, no
//! thread, and no call that would make more of them. What it reads was written by another program, or by somebody in its place:
//! it says when that came and what it says, within the bounds of the link, and decides nothing.
//!
//! ```text
//!   sample   the 40 octets of chrony's SOCK
//!   device   what comes from one clock: how much of it is passed on, and what the engine is told of the rest
//! ```
#![forbid(unsafe_code)]

mod device;
mod sample;

pub use sample::{LENGTH, MAGIC, NoSample, Said};

use device::Device;
use ipc::message::Shortfall;
use ipc::message::refclock::{FromRefclock, ToRefclock};
use ipc::plan::MAX_REFCLOCKS;
use ipc::units::RawInstant;
use ipc_link::Link;
use network::clock::{self, Pair};
use network::ending::Ending;
use network::outbox::Outbox;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};

/// So much is read of one clock before the others, and the engine, have their turn.
const BURST: usize = 16;

/// Runs until the link ends; sends the hello first.
pub fn run(engine: Link<FromRefclock, ToRefclock>, clocks: Vec<OwnedFd>, shortfall: Shortfall) -> Ending {
    let devices = (0..MAX_REFCLOCKS as u8).zip(clocks).map(|(number, clock)| Device::new(number, clock));
    let mut work = Work { engine: Outbox::new(engine), devices: devices.collect() };
    match work.serve(shortfall) {
        Ok(never) => match never {},
        Err(ending) => ending,
    }
}

struct Work {
    engine: Outbox<FromRefclock, ToRefclock>,
    devices: Vec<Device>,
}

impl Work {
    fn serve(&mut self, shortfall: Shortfall) -> Result<Infallible, Ending> {
        self.engine.push(FromRefclock::Hello(shortfall))?;
        loop {
            let ready = self.wait()?;
            self.engine.flush()?;
            while let Some(ToRefclock::Ping) = self.engine.receive()? {
                self.engine.push(FromRefclock::Pong)?;
            }
            for (device, _) in self.devices.iter_mut().zip(ready).filter(|(_, is_ready)| *is_ready) {
                for _ in 0..BURST {
                    if self.engine.is_congested() {
                        break;
                    }
                    let Some(said) = device.read()? else { break };
                    // After the octets: what is older than them was not yet there.
                    if let Some(sample) = device.take(said, Pair::read()) {
                        self.engine.push(FromRefclock::Sample(sample))?;
                    }
                }
            }
            let now = clock::raw();
            for device in &mut self.devices {
                if let Some(discarded) = device.news(now) {
                    self.engine.push(FromRefclock::Discarded(discarded))?;
                }
            }
        }
    }

    /// Which clocks have something to read.
    fn wait(&self) -> Result<Vec<bool>, Ending> {
        let of_clocks = if self.engine.is_congested() { PollFlags::empty() } else { PollFlags::POLLIN };
        let mut polled = vec![PollFd::new(self.engine.as_fd(), self.engine.interest())];
        polled.extend(self.devices.iter().map(|device| PollFd::new(device.as_fd(), of_clocks)));
        let due = self.devices.iter().filter_map(Device::news_due).min();
        match ppoll(&mut polled, due.map(left), None) {
            Ok(_) => Ok(polled.iter().skip(1).map(|place| place.any().unwrap_or(true)).collect()),
            Err(Errno::EINTR) => Ok(Vec::new()),
            Err(errno) => Err(Ending::Kernel("to wait for samples", errno)),
        }
    }
}

fn left(due: RawInstant) -> TimeSpec {
    let left = due.since(clock::raw()).nanos().max(0);
    TimeSpec::new(left / 1_000_000_000, left % 1_000_000_000)
}

#[cfg(test)]
mod tests;
