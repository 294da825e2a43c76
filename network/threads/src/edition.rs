//! Settings that all threads work by: never changed, a change is a new value and another edition.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, PoisonError};

/// Settings and the number of their edition.
#[derive(Clone, Debug)]
pub struct Edition<T> {
    number: u64,
    settings: T,
}

impl<T> Edition<T> {
    /// Grows with each change.
    pub const fn number(&self) -> u64 {
        self.number
    }
}

impl<T> Deref for Edition<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.settings
    }
}

/// The newest edition.
#[derive(Debug)]
pub struct Editions<T> {
    /// That of `newest`, to be looked at without a lock.
    number: AtomicU64,
    /// Locked by whoever changes them, and by a thread whose own are older, once.
    newest: Mutex<Arc<Edition<T>>>,
}

impl<T: Clone> Editions<T> {
    /// The first edition.
    pub fn new(settings: T) -> Self {
        let first = Arc::new(Edition { number: 0, settings });
        Self { number: AtomicU64::new(0), newest: Mutex::new(first) }
    }

    /// Makes another edition and returns it.
    pub fn change(&self, change: impl FnOnce(&mut T)) -> Arc<Edition<T>> {
        let mut place = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut settings = place.settings.clone();
        change(&mut settings);
        let edition = Arc::new(Edition { number: place.number.wrapping_add(1), settings });
        *place = Arc::clone(&edition);
        self.number.store(edition.number, Release);
        edition
    }

    /// The one in force.
    pub fn newest(&self) -> Arc<Edition<T>> {
        Arc::clone(&self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The number of the one in force.
    pub fn number(&self) -> u64 {
        self.number.load(Acquire)
    }

    /// The one in force, where it has another number than this.
    pub fn other_than(&self, number: u64) -> Option<Arc<Edition<T>>> {
        (self.number() != number).then(|| self.newest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_another_edition_and_those_before_stay_as_they_were() {
        let editions = Editions::new(1);
        let first = editions.newest();
        assert!(editions.other_than(first.number()).is_none());
        let second = editions.change(|number| *number += 1);
        assert_eq!((**first, **second), (1, 2));
        let seen = editions.other_than(first.number()).unwrap();
        assert!(Arc::ptr_eq(&seen, &second) && editions.number() == second.number());
    }
}
