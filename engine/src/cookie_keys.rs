//! The keys that seal and open cookies: where they come from, and when they change.
//!
//! The ratchet never advances by an unsynchronised clock: it cannot be turned back, so a wrong clock would make the
//! keys unusable, and the servers of a fleet would disagree. Only the very first secret of a server may be made
//! earlier, for the day that the clock shows; if that was wrong, a new one is made.

use crate::configuration::Fleet;
use crate::keys::Origin;
use engine_core::io::Now;
use ipc::list::Bounded;
use ipc::message::server::{CookieKeys, EpochKey};
use ipc::secret::Secret;
use ipc::units::{RawInstant, Span, WallTime};
use protocol::nts::ratchet::{Ratchet, SECRET, State, TurnError, epoch_at};
use zeroize::Zeroizing;

/// How often the clock is looked at; the next day's key is known beforehand, so the exact time does not matter.
const LOOK: Span = Span::from_secs(60);

/// Keys, and their origin.
#[derive(Debug)]
pub struct CookieSource {
    fleet: Option<Fleet>,
    ratchet: Option<Ratchet>,
    /// The epoch was compared with a synchronised clock.
    settled: bool,
    next_look: RawInstant,
    trouble: Option<String>,
    /// The secret is one that no file has: made here, and not written yet.
    is_fresh: bool,
    /// It is not used, since it could not be written.
    is_withheld: bool,
    /// It can be used now, and nobody was told yet.
    is_released: bool,
}

/// Why there are no keys while a new secret is on no disk: a restart would leave all clients with cookies that nobody can open.
const WITHHELD: &str = "the new secret for cookies cannot be written (engine.keys): no keys are exchanged before it is on the disk";

/// The result of a check of the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turned {
    /// Nothing new.
    Same,
    /// There are other keys than before: a line for the log.
    New(String),
    /// There are no keys, or not those of today: a line for the log, once for each reason.
    Trouble(String),
}

impl CookieSource {
    /// Starts from the stored keys, as far as they match the configuration; returns a message if they do not.
    pub fn new(fleet: Option<Fleet>, kept: Option<&(Origin, State)>) -> (Self, Option<String>) {
        let mut complaint = None;
        let ratchet = kept.and_then(|(origin, state)| {
            let found = match (&fleet, origin) {
                (None, Origin::Own) => Ratchet::from_state(state).map_err(|error| error.to_string()),
                (Some(fleet), Origin::Fleet) => restore(fleet, state),
                _ => {
                    Err("cookie keys have another origin than before; the kept ones are not used".to_owned())
                }
            };
            found.map_err(|why| complaint = Some(why)).ok()
        });
        let next_look = RawInstant::MIN;
        let (settled, is_fresh, is_withheld, is_released) = (false, false, false, false);
        let trouble = None;
        (Self { fleet, ratchet, settled, next_look, trouble, is_fresh, is_withheld, is_released }, complaint)
    }

    /// Whether the next check of the clock is due.
    pub fn is_due(&self, now: RawInstant) -> bool {
        self.next_look <= now
    }

    /// The next check is due immediately.
    pub fn hurry(&mut self) {
        self.next_look = RawInstant::MIN;
    }

    /// Looks at the clock. `synchronised`: it is right. `floor`: no time before it is. Random octets come
    /// from `random`.
    pub fn look(
        &mut self,
        now: Now,
        synchronised: bool,
        floor: WallTime,
        random: impl Fn() -> Option<Zeroizing<[u8; SECRET]>>,
    ) -> Turned {
        self.next_look = now.raw.after(LOOK);
        let today = day(now.wall);
        if !synchronised && (self.ratchet.is_some() || self.fleet.is_some()) {
            return Turned::Same;
        }
        self.settled |= synchronised;
        let is_released = std::mem::take(&mut self.is_released);
        let outcome = self.turn(today, day(floor), random).map(|is_new| is_new || is_released);
        match outcome {
            Ok(false) => {
                self.trouble = None;
                Turned::Same
            }
            Ok(true) => {
                self.trouble = None;
                let epoch = self.ratchet.as_ref().map_or(0, Ratchet::epoch);
                Turned::New(format!("cookie keys of day {epoch} are in use"))
            }
            Err(why) if self.trouble.as_ref() == Some(&why) => Turned::Same,
            Err(why) => {
                self.trouble = Some(why.clone());
                Turned::Trouble(why)
            }
        }
    }

    /// Makes `today` the current epoch. True: the keys have changed.
    fn turn(
        &mut self,
        today: u32,
        floor: u32,
        random: impl Fn() -> Option<Zeroizing<[u8; SECRET]>>,
    ) -> Result<bool, String> {
        if let Some(ratchet) = &mut self.ratchet {
            let epoch = ratchet.epoch();
            // A step back over midnight: tomorrow's key is among today's.
            if epoch == today || epoch.checked_sub(1) == Some(today) {
                return Ok(false);
            }
            if ratchet.turn(today).is_ok() {
                return Ok(true);
            }
        }
        self.ratchet = Some(match &self.fleet {
            Some(fleet) => begin_fleet(fleet, today)?,
            None => {
                let secret =
                    random().ok_or("the kernel gives no random octets: there are no keys for cookies")?;
                self.is_fresh = true;
                Ratchet::from_random(&secret, today.max(floor))
            }
        });
        Ok(true)
    }

    /// The secret could not be written. One that a restart makes again, from what was written before or from the fleet's, is used all
    /// the same. Returns why this one is not.
    pub fn withhold(&mut self) -> Option<&'static str> {
        self.is_withheld = self.is_fresh;
        self.is_withheld.then_some(WITHHELD)
    }

    /// The secret was written, or no file will have it: keys are made from it.
    pub fn release(&mut self) {
        if std::mem::take(&mut self.is_withheld) {
            self.is_released = true;
            self.hurry();
        }
        self.is_fresh = false;
    }

    /// The keys that are valid now; `None` if there are none yet.
    pub fn keys(&self) -> Option<CookieKeys> {
        let ratchet = self.ratchet.as_ref().filter(|_| !self.is_withheld)?;
        let keys = ratchet.keys().map(|key| EpochKey { epoch: key.epoch(), key: Secret::new(key.octets()) });
        Some(CookieKeys { current: ratchet.epoch(), keys: Bounded::new(keys).ok()? })
    }

    /// The state to be saved.
    pub fn state(&self) -> Option<(Origin, State)> {
        let origin = if self.fleet.is_some() { Origin::Fleet } else { Origin::Own };
        Some((origin, self.ratchet.as_ref()?.state()))
    }

    /// The epochs whose keys are good, and which of them seals.
    pub fn epochs(&self) -> Option<(u32, Vec<u32>)> {
        let ratchet = self.ratchet.as_ref().filter(|_| !self.is_withheld)?;
        Some((ratchet.epoch(), ratchet.keys().map(|key| key.epoch()).collect()))
    }

    /// Whether the secret is a fleet's.
    pub fn is_fleet(&self) -> bool {
        self.fleet.is_some()
    }

    /// Whether the day of the keys was compared with a synchronised clock in this run.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// Why there are no keys, or not those of today.
    pub fn trouble(&self) -> Option<&str> {
        if self.is_withheld { Some(WITHHELD) } else { self.trouble.as_deref() }
    }
}

/// The kept secret, if it is the one that the configuration leads to on the same day.
fn restore(fleet: &Fleet, state: &State) -> Result<Ratchet, String> {
    const OTHER: &str = "the fleet's secret is another than before; the kept cookie keys are not used";
    let kept = Ratchet::from_state(state).map_err(|error| error.to_string())?;
    let mut made =
        Ratchet::from_fleet_secret(&fleet.secret, fleet.since).map_err(|error| error.to_string())?;
    made.turn(kept.epoch()).map_err(|_| OTHER.to_owned())?;
    match made.state().octets() == state.octets() {
        true => Ok(kept),
        false => Err(OTHER.to_owned()),
    }
}

fn begin_fleet(fleet: &Fleet, today: u32) -> Result<Ratchet, String> {
    let mut ratchet =
        Ratchet::from_fleet_secret(&fleet.secret, fleet.since).map_err(|error| error.to_string())?;
    match ratchet.turn(today) {
        Ok(()) => Ok(ratchet),
        Err(TurnError::Backward) => {
            Err("fleet-since lies in the future: there are no keys for cookies until \
                                         then; check the date in [server.nts], and the clock"
                .to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn day(wall: WallTime) -> u32 {
    epoch_at(u64::try_from(wall.nanos() / 1_000_000_000).unwrap_or(0))
}

#[cfg(test)]
mod tests;
