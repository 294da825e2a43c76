//! Whether threads get on with their work: only then does their process answer a ping.
//!
//! A thread may wait for work indefinitely. A working thread counts each piece of work; it hangs if two consecutive
//! pings find it at the same piece.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What one thread shows: odd while it is at work, another number for each piece. It alone writes it.
#[derive(Debug, Default)]
pub(crate) struct Progress(AtomicU64);

impl Progress {
    /// It begins a piece of work, or the next one.
    pub(crate) fn begin(&self) {
        let now = self.0.load(Relaxed);
        self.0.store((now | 1).wrapping_add(if now % 2 == 1 { 2 } else { 0 }), Relaxed);
    }

    /// It waits for more.
    pub(crate) fn rest(&self) {
        let now = self.0.load(Relaxed);
        self.0.store(now.wrapping_add(now % 2), Relaxed);
    }

    /// What is seen now.
    pub(crate) fn seen(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What the thread that answers pings knows of the others.
#[derive(Debug, Default)]
pub struct Watch {
    before: Vec<u64>,
    owed: u32,
}

impl Watch {
    /// Called for each ping, with the progress of the threads: returns how many answers to send. None while a thread
    /// hangs; the outstanding ones once it continues.
    pub fn answers(&mut self, threads: impl Iterator<Item = u64>) -> u32 {
        self.owed = self.owed.saturating_add(1);
        let now: Vec<u64> = threads.collect();
        let hangs = |(now, before): (&u64, &u64)| now % 2 == 1 && now == before;
        let does_one_hang = now.iter().zip(&self.before).any(hangs);
        self.before = now;
        if does_one_hang { 0 } else { std::mem::take(&mut self.owed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_waits_or_gets_on_is_answered_for_and_one_that_hangs_is_not() {
        let (idle, busy, other) = (Progress::default(), Progress::default(), Progress::default());
        let mut watch = Watch::default();
        let mut ping = || watch.answers([&idle, &busy, &other].into_iter().map(Progress::seen));
        assert_eq!(ping(), 1);
        other.begin();
        other.rest();
        for _ in 0..3 {
            busy.begin();
            assert_eq!(ping(), 1);
        }
        // At the same piece as before: nothing, and then all that is owed.
        assert_eq!((ping(), ping()), (0, 0));
        busy.begin();
        assert_eq!((ping(), ping()), (3, 0));
        busy.rest();
        assert_eq!((ping(), ping(), ping()), (2, 1, 1));
    }
}
