//! What the thread at the links and the threads at the sockets share.

use super::certificate::Certificate;
use super::limit::Limits;
use ipc::message::key_service::{KeyCounters, KeyPolicy};
use network::ending::Ending;
use network::progress::Progress;
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::{read, write};
use protocol::nts::cookie::CookieKeys;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Kinds of counts.
const KINDS: usize = KeyCounters::NAMES.len();

/// What exchanges are made with. Never changed: a change is a new value.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub policy: KeyPolicy,
    pub cookies: Option<Arc<CookieKeys>>,
    pub certificate: Option<Arc<Certificate>>,
}

/// Everything that is shared.
#[derive(Debug)]
pub(super) struct Shared {
    pub limits: Limits,
    /// Grows with each change of `settings`.
    edition: AtomicU64,
    /// Locked by whoever changes them, and by a thread that sees a new edition, once.
    settings: Mutex<Arc<Settings>>,
    threads: Box<[Thread]>,
    /// Wakes the thread at the links.
    bell: EventFd,
    /// That thread wants to be woken by the next count.
    is_asleep: AtomicBool,
    /// Why a thread can't go on.
    failed: Mutex<Option<Ending>>,
    gate: (Mutex<bool>, Condvar),
}

/// What is shared with one thread, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Thread {
    /// It alone writes them.
    counts: [AtomicU64; KINDS],
    /// The edition that it works with.
    edition: AtomicU64,
    /// Wakes it.
    alarm: EventFd,
    progress: Progress,
}

impl Thread {
    fn new() -> Result<Self, Errno> {
        Ok(Self {
            counts: Default::default(),
            edition: AtomicU64::new(0),
            alarm: alarm()?,
            progress: Progress::default(),
        })
    }
}

fn alarm() -> Result<EventFd, Errno> {
    EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
}

fn ring(alarm: &EventFd) {
    // It can't be full, and is read before anybody sleeps again.
    let _ = write(alarm, &1u64.to_ne_bytes());
}

impl Shared {
    /// For so many threads.
    pub(super) fn new(threads: usize) -> Result<Self, Errno> {
        let settings = Settings { policy: KeyPolicy::DEFAULT, cookies: None, certificate: None };
        Ok(Self {
            limits: Limits::new(),
            edition: AtomicU64::new(0),
            settings: Mutex::new(Arc::new(settings)),
            threads: (0..threads).map(|_| Thread::new()).collect::<Result<_, _>>()?,
            bell: alarm()?,
            is_asleep: AtomicBool::new(false),
            failed: Mutex::new(None),
            gate: (Mutex::new(false), Condvar::new()),
        })
    }

    /// Replaces the settings, and wakes all threads so that what was before is forgotten.
    pub(super) fn change(&self, change: impl FnOnce(&mut Settings)) {
        let mut place = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut settings = Settings::clone(&place);
        change(&mut settings);
        *place = Arc::new(settings);
        self.edition.fetch_add(1, Release);
        drop(place);
        self.threads.iter().for_each(|thread| ring(&thread.alarm));
    }

    /// The settings in force.
    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The settings and their edition, where that isn't `edition`.
    pub(super) fn newer(&self, edition: u64) -> Option<(u64, Arc<Settings>)> {
        // Read before the settings: these may then be newer than it says, and are looked at once more.
        let now = self.edition.load(Acquire);
        (now != edition).then(|| (now, self.settings()))
    }

    /// A thread works with this edition from here on.
    pub(super) fn adopt(&self, number: usize, edition: u64) {
        if let Some(thread) = self.threads.get(number) {
            thread.edition.store(edition, Release);
            ring(&self.bell);
        }
    }

    /// Whether all threads work with the newest edition.
    pub(super) fn is_adopted(&self) -> bool {
        let now = self.edition.load(Acquire);
        self.threads.iter().all(|thread| thread.edition.load(Acquire) == now)
    }

    /// What is seen of each thread's work.
    pub(super) fn progress(&self) -> impl Iterator<Item = u64> {
        self.threads.iter().map(|thread| thread.progress.seen())
    }

    /// A thread begins with a client, or with what else it does between waiting.
    pub(super) fn begin(&self, number: usize) {
        if let Some(thread) = self.threads.get(number) {
            thread.progress.begin();
        }
    }

    /// A thread waits for clients.
    pub(super) fn rest(&self, number: usize) {
        if let Some(thread) = self.threads.get(number) {
            thread.progress.rest();
        }
    }

    /// What wakes a thread.
    pub(super) fn alarm(&self, number: usize) -> Option<BorrowedFd<'_>> {
        self.threads.get(number).map(|thread| thread.alarm.as_fd())
    }

    /// A thread was woken.
    pub(super) fn silence_alarm(&self, number: usize) {
        if let Some(thread) = self.threads.get(number) {
            let _ = read(&thread.alarm, &mut [0; 8]);
        }
    }

    /// Makes these a thread's counts.
    pub(super) fn publish(&self, number: usize, counters: &KeyCounters) {
        let Some(thread) = self.threads.get(number) else { return };
        for (place, count) in thread.counts.iter().zip(counters.list()) {
            place.store(count, Relaxed);
        }
        if self.is_asleep.load(Relaxed) && self.is_asleep.swap(false, Relaxed) {
            ring(&self.bell);
        }
    }

    /// All counts together.
    pub(super) fn counters(&self) -> KeyCounters {
        let mut sums = [0u64; KINDS];
        for thread in &self.threads {
            for (sum, count) in sums.iter_mut().zip(&thread.counts) {
                *sum = sum.saturating_add(count.load(Relaxed));
            }
        }
        KeyCounters::from_list(sums)
    }

    /// The thread at the links is about to sleep, or no longer.
    pub(super) fn sleep(&self, is_asleep: bool) {
        self.is_asleep.store(is_asleep, std::sync::atomic::Ordering::SeqCst);
    }

    /// What wakes the thread at the links.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// The bell was heard.
    pub(super) fn silence_bell(&self) {
        let _ = read(&self.bell, &mut [0; 8]);
    }

    /// A thread can't go on.
    pub(super) fn fail(&self, ending: Ending) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(ending);
        ring(&self.bell);
    }

    /// Why a thread can't go on, where one can't.
    pub(super) fn failure(&self) -> Option<Ending> {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the threads at the sockets begin.
    pub(super) fn open_gate(&self) {
        *self.gate.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.gate.1.notify_all();
    }

    /// Waits until the gate is open.
    pub(super) fn pass_gate(&self) {
        let mut is_open = self.gate.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_open {
            is_open = self.gate.1.wait(is_open).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
