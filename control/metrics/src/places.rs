//! The places of connections: eight, and who gives way when all of them are taken.

use crate::listener::Stream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Connections at a time.
pub const PLACES: usize = 8;

/// A connection that has lived for so long gives way to a new one even while it is answered.
const OLD: Duration = Duration::from_secs(1);

/// How long the end of a connection that gives way is waited for.
const LEAVING: Duration = Duration::from_millis(500);

/// All places.
#[derive(Debug, Default)]
pub struct Places {
    taken: Mutex<Vec<Place>>,
    left: Condvar,
}

#[derive(Debug)]
struct Place {
    number: u64,
    since: Instant,
    stream: Stream,
    has_asked: bool,
}

impl Places {
    /// Gives the connection with this number a place. If all are taken, the oldest one that has not sent its request gives
    /// way, else one that is older than [`OLD`]: who holds places open without asking keeps nobody out. `false`: there is no
    /// place.
    pub fn take(&self, number: u64, stream: Stream) -> bool {
        let begun = Instant::now();
        let mut taken = self.locked();
        let mut is_leaving = false;
        while taken.len() >= PLACES {
            if !is_leaving {
                let Some(place) = giving_way(&taken) else { return false };
                place.stream.end();
                is_leaving = true;
            }
            let left = LEAVING.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return false;
            }
            taken = self.left.wait_timeout(taken, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        taken.push(Place { number, since: Instant::now(), stream, has_asked: false });
        true
    }

    /// The connection has sent its request.
    pub fn has_asked(&self, number: u64) {
        if let Some(place) = self.locked().iter_mut().find(|place| place.number == number) {
            place.has_asked = true;
        }
    }

    /// The connection is over.
    pub fn leave(&self, number: u64) {
        self.locked().retain(|place| place.number != number);
        self.left.notify_all();
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Place>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The places are in the order in which they were taken.
fn giving_way(taken: &[Place]) -> Option<&Place> {
    let silent = taken.iter().find(|place| !place.has_asked);
    silent.or_else(|| taken.first().filter(|place| place.since.elapsed() > OLD))
}
