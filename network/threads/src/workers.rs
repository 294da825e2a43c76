//! State that the link's thread shares with the serving threads, and how it is woken.

use crate::progress::Progress;
use crate::wakeup::Wakeup;
use crossbeam_channel::{Receiver, Sender, unbounded};
use ipc::units::Span;
use network::clock;
use network::ending::Ending;
use nix::errno::Errno;
use nix::poll::ppoll;
use nix::sys::time::TimeSpec;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

/// At the end: how long requests that have arrived may still be answered, how often progress is checked, and after how
/// many checks without progress the drain ends.
const DRAIN: Span = Span::from_millis(200);
const LOOK: Span = Span::from_millis(10);
const QUIET: u32 = 3;

/// The serving threads, each with `KINDS` counters and other shared state.
#[derive(Debug)]
pub struct Workers<Own, const KINDS: usize> {
    threads: Box<[Thread<Own, KINDS>]>,
    /// Wakes the link's thread.
    wakeup: Wakeup,
    /// The link's thread wants to be woken by the next count.
    is_asleep: AtomicBool,
    /// Why a thread cannot continue.
    failures: (Sender<Ending>, Receiver<Ending>),
}

/// The state shared with one thread, on its own cache lines.
#[derive(Debug)]
#[repr(align(128))]
struct Thread<Own, const KINDS: usize> {
    /// Written only by this thread.
    counts: [AtomicU64; KINDS],
    progress: Progress,
    own: Own,
}

impl<Own, const KINDS: usize> Workers<Own, KINDS> {
    /// One thread for each item.
    ///
    /// # Errors
    /// The kernel's error if no descriptor is available.
    pub fn new(each: impl IntoIterator<Item = Own>) -> Result<Self, Errno> {
        let thread = |own| Thread {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            progress: Progress::default(),
            own,
        };
        Ok(Self {
            threads: each.into_iter().map(thread).collect(),
            wakeup: Wakeup::new()?,
            is_asleep: AtomicBool::new(false),
            failures: unbounded(),
        })
    }

    /// The other state shared with a thread.
    pub fn own(&self, number: usize) -> Option<&Own> {
        self.threads.get(number).map(|thread| &thread.own)
    }

    /// The other state of all threads.
    pub fn all(&self) -> impl Iterator<Item = &Own> {
        self.threads.iter().map(|thread| &thread.own)
    }

    /// The progress of each thread.
    pub fn progress(&self) -> impl Iterator<Item = u64> {
        self.threads.iter().map(|thread| thread.progress.seen())
    }

    /// A thread starts a piece of work.
    pub fn begin(&self, number: usize) {
        if let Some(thread) = self.threads.get(number) {
            thread.progress.begin();
        }
    }

    /// A thread waits for work.
    pub fn rest(&self, number: usize) {
        if let Some(thread) = self.threads.get(number) {
            thread.progress.rest();
        }
    }

    /// Publishes one thread's counters. Wakes the link's thread if it sleeps: one system call, at most once a second.
    pub fn publish(&self, number: usize, counts: [u64; KINDS]) {
        let Some(thread) = self.threads.get(number) else { return };
        for (place, count) in thread.counts.iter().zip(counts) {
            place.store(count, Relaxed);
        }
        if self.is_asleep.load(Relaxed) && self.is_asleep.swap(false, Relaxed) {
            self.wakeup.wake();
        }
    }

    /// The sums of all counters.
    pub fn counts(&self) -> [u64; KINDS] {
        let mut sums = [0u64; KINDS];
        for thread in &self.threads {
            for (sum, count) in sums.iter_mut().zip(&thread.counts) {
                *sum = sum.saturating_add(count.load(Relaxed));
            }
        }
        sums
    }

    /// Marks the link's thread as asleep or awake.
    pub fn sleep(&self, is_asleep: bool) {
        self.is_asleep.store(is_asleep, SeqCst);
    }

    /// The wake-up of the link's thread.
    pub const fn wakeup(&self) -> &Wakeup {
        &self.wakeup
    }

    /// Reports that a thread cannot continue.
    pub fn fail(&self, ending: Ending) {
        // Both ends live as long as `self`.
        let _ = self.failures.0.send(ending);
        self.wakeup.wake();
    }

    /// The next failure of a thread, if any; each is returned once, in order.
    pub fn failure(&self) -> Option<Ending> {
        self.failures.1.try_recv().ok()
    }

    /// The engine is gone. Requests that have already arrived are still answered, for at most 200 ms, since clients do
    /// not know yet that this server ends.
    pub fn drain(&self) {
        let end = clock::raw().after(DRAIN);
        let mut before = self.counts();
        let mut quiet = 0;
        while quiet < QUIET && clock::raw() < end {
            let _ = ppoll(&mut [], Some(TimeSpec::new(0, LOOK.nanos())), None);
            let now = self.counts();
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
        }
    }
}
