//! The words of a page that one process writes while others read them.
//!
//! There are two slots and a count. The count says which slot is complete: the writer fills the other one and then counts on.
//! So a writer that is killed in the middle of a write has damaged nothing, and a reader never waits: what it copied is whole
//! if the count is the same afterwards.

use crate::page::WORDS;
use core::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, fence};

/// How many slots there are.
pub const SLOTS: usize = 2;

/// Octets of the file: a page of memory, of which the words take the beginning.
pub const LENGTH: usize = 4_096;

/// How often a reader begins anew while the writer is faster.
const TRIES: u32 = 1_000;

/// The count, and the slots from the next cache line on.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Shared {
    count: AtomicU64,
    unused: [u64; 7],
    slots: [[AtomicU64; WORDS]; SLOTS],
}

impl Shared {
    /// Nothing was written yet.
    pub const fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            unused: [0; 7],
            slots: [const { [const { AtomicU64::new(0) }; WORDS] }; SLOTS],
        }
    }

    /// Replaces the words. Only one thread of one process may do so.
    pub fn write(&self, words: &[u64; WORDS]) {
        let count = self.count.load(Relaxed).wrapping_add(1);
        // Whoever reads a word of the new slot's filling sees that the slot before is the complete one.
        fence(Release);
        for (place, word) in self.slot(count).iter().zip(words) {
            place.store(*word, Relaxed);
        }
        self.count.store(count, Release);
    }

    /// How many times it was written. What is read afterwards is at least as new.
    pub fn count(&self) -> u64 {
        self.count.load(Acquire)
    }

    /// A whole copy, with its number; none: nothing was ever written, or the writer is faster than any reader.
    pub fn read(&self) -> Option<(u64, [u64; WORDS])> {
        let mut count = self.count.load(Acquire);
        for _ in 0..TRIES {
            if count == 0 {
                return None;
            }
            let mut words = [0; WORDS];
            for (word, place) in words.iter_mut().zip(self.slot(count)) {
                *word = place.load(Relaxed);
            }
            fence(Acquire);
            match self.count.load(Relaxed) {
                same if same == count => return Some((count, words)),
                newer => count = newer,
            }
            // The words of a newer count are read after it.
            fence(Acquire);
        }
        None
    }

    fn slot(&self, count: u64) -> &[AtomicU64; WORDS] {
        let [even, odd] = &self.slots;
        if count.is_multiple_of(2) { even } else { odd }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

const _: () = assert!(size_of::<Shared>() <= LENGTH && size_of::<Shared>() == 64 + SLOTS * WORDS * 8);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    #[test]
    fn nothing_is_read_before_it_was_written_and_then_the_last() {
        let shared = Shared::new();
        assert_eq!(shared.read(), None);
        for value in 1..100 {
            shared.write(&[value; WORDS]);
            assert_eq!(shared.read(), Some((value, [value; WORDS])));
            assert_eq!(shared.count(), value);
        }
    }

    #[test]
    fn a_writer_that_is_killed_at_any_word_leaves_what_was_written_before() {
        for killed_after in 0..=WORDS {
            let shared = Shared::new();
            shared.write(&[7; WORDS]);
            shared.write(&[8; WORDS]);
            for place in shared.slot(3).iter().take(killed_after) {
                place.store(9, Relaxed);
            }
            assert_eq!(shared.read(), Some((2, [8; WORDS])), "{killed_after}");
            shared.write(&[10; WORDS]);
            assert_eq!(shared.read(), Some((3, [10; WORDS])), "{killed_after}");
        }
    }

    #[test]
    fn no_reader_beside_a_writer_sees_parts_of_two_writes_or_an_older_one() {
        let (shared, is_over) = (Shared::new(), AtomicBool::new(false));
        shared.write(&[1; WORDS]);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0;
                    while !is_over.load(Relaxed) {
                        let Some((count, words)) = shared.read() else { continue };
                        assert_eq!(count, words[0]);
                        assert!(words.iter().all(|word| *word == words[0]), "{words:?}");
                        assert!(words[0] >= last);
                        last = words[0];
                    }
                });
            }
            for value in 2..500_000 {
                shared.write(&[value; WORDS]);
            }
            is_over.store(true, Relaxed);
        });
    }
}
