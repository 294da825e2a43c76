//! What the thread at the link knows of the others, and how it sleeps.

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

/// At the end: how long what has arrived may still be answered, how often that is looked at, and after how many looks at
/// nothing that is over.
const DRAIN: Span = Span::from_millis(200);
const LOOK: Span = Span::from_millis(10);
const QUIET: u32 = 3;

/// Threads that count so many kinds of things, and what else is shared with each of them.
#[derive(Debug)]
pub struct Workers<Own, const KINDS: usize> {
    threads: Box<[Thread<Own, KINDS>]>,
    /// Wakes the thread at the link.
    wakeup: Wakeup,
    /// That thread wants to be woken by the next count.
    is_asleep: AtomicBool,
    /// Why a thread can't go on.
    failures: (Sender<Ending>, Receiver<Ending>),
}

/// What is shared with one thread, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Thread<Own, const KINDS: usize> {
    /// It alone writes them.
    counts: [AtomicU64; KINDS],
    progress: Progress,
    own: Own,
}

impl<Own, const KINDS: usize> Workers<Own, KINDS> {
    /// A thread for each of these.
    ///
    /// # Errors
    /// The kernel's, where there are no descriptors.
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

    /// What else is shared with a thread.
    pub fn own(&self, number: usize) -> Option<&Own> {
        self.threads.get(number).map(|thread| &thread.own)
    }

    /// The same of all threads.
    pub fn all(&self) -> impl Iterator<Item = &Own> {
        self.threads.iter().map(|thread| &thread.own)
    }

    /// What is seen of each thread's work.
    pub fn progress(&self) -> impl Iterator<Item = u64> {
        self.threads.iter().map(|thread| thread.progress.seen())
    }

    /// A thread begins with a piece of work, or the next one.
    pub fn begin(&self, number: usize) {
        if let Some(thread) = self.threads.get(number) {
            thread.progress.begin();
        }
    }

    /// A thread waits for more.
    pub fn rest(&self, number: usize) {
        if let Some(thread) = self.threads.get(number) {
            thread.progress.rest();
        }
    }

    /// Makes these one thread's counts. Wakes the thread at the link, if it sleeps: a system call, but not more than one a
    /// second.
    pub fn publish(&self, number: usize, counts: [u64; KINDS]) {
        let Some(thread) = self.threads.get(number) else { return };
        for (place, count) in thread.counts.iter().zip(counts) {
            place.store(count, Relaxed);
        }
        if self.is_asleep.load(Relaxed) && self.is_asleep.swap(false, Relaxed) {
            self.wakeup.wake();
        }
    }

    /// All counts together.
    pub fn counts(&self) -> [u64; KINDS] {
        let mut sums = [0u64; KINDS];
        for thread in &self.threads {
            for (sum, count) in sums.iter_mut().zip(&thread.counts) {
                *sum = sum.saturating_add(count.load(Relaxed));
            }
        }
        sums
    }

    /// The thread at the link is about to sleep, or no longer.
    pub fn sleep(&self, is_asleep: bool) {
        self.is_asleep.store(is_asleep, SeqCst);
    }

    /// What wakes the thread at the link.
    pub const fn wakeup(&self) -> &Wakeup {
        &self.wakeup
    }

    /// A thread can't go on.
    pub fn fail(&self, ending: Ending) {
        // Both ends live as long as this does.
        let _ = self.failures.0.send(ending);
        self.wakeup.wake();
    }

    /// Why a thread can't go on, where one can't; each is told once, the first one first.
    pub fn failure(&self) -> Option<Ending> {
        self.failures.1.try_recv().ok()
    }

    /// The engine is gone. What has arrived before is still answered, as long as that takes and no longer than 200 ms; nobody
    /// else knows yet that this host's server ends.
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
