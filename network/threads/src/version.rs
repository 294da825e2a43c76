//! Settings shared by all threads: immutable, each change makes a new version.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, PoisonError};

/// Settings and their version number.
#[derive(Clone, Debug)]
pub struct Version<T> {
    number: u64,
    settings: T,
}

impl<T> Version<T> {
    /// Increases with each change.
    pub const fn number(&self) -> u64 {
        self.number
    }
}

impl<T> Deref for Version<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.settings
    }
}

/// The newest version of the settings.
#[derive(Debug)]
pub struct Versions<T> {
    /// The version number of `newest`, readable without the lock.
    number: AtomicU64,
    /// Locked to change the settings, and once by each thread whose own are older.
    newest: Mutex<Arc<Version<T>>>,
}

impl<T: Clone> Versions<T> {
    /// The first version.
    pub fn new(settings: T) -> Self {
        let first = Arc::new(Version { number: 0, settings });
        Self { number: AtomicU64::new(0), newest: Mutex::new(first) }
    }

    /// Creates a new version and returns it.
    pub fn change(&self, change: impl FnOnce(&mut T)) -> Arc<Version<T>> {
        let mut place = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut settings = place.settings.clone();
        change(&mut settings);
        let version = Arc::new(Version { number: place.number.wrapping_add(1), settings });
        *place = Arc::clone(&version);
        self.number.store(version.number, Release);
        version
    }

    /// The settings in force.
    pub fn newest(&self) -> Arc<Version<T>> {
        Arc::clone(&self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The version number in force.
    pub fn number(&self) -> u64 {
        self.number.load(Acquire)
    }

    /// The settings in force, if their version number differs from `number`.
    pub fn other_than(&self, number: u64) -> Option<Arc<Version<T>>> {
        (self.number() != number).then(|| self.newest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_another_edition_and_those_before_stay_as_they_were() {
        let versions = Versions::new(1);
        let first = versions.newest();
        assert!(versions.other_than(first.number()).is_none());
        let second = versions.change(|number| *number += 1);
        assert_eq!((**first, **second), (1, 2));
        let seen = versions.other_than(first.number()).unwrap();
        assert!(Arc::ptr_eq(&seen, &second) && versions.number() == second.number());
    }
}
