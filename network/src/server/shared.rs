//! What the thread at the link and the threads at the sockets share. The latter never wait for anything here.

use super::access::AccessList;
use super::interleave::Departures;
use super::limit::Limiter;
use super::snapshot::Snapshot;
use crate::ending::Ending;
use ipc::message::server::{Counters, ServerPolicy};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::{read, write};
use protocol::nts::cookie::CookieKeys;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

const COUNTERS: usize = Counters::NAMES.len();

/// Who is answered, and how.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub access: AccessList,
    pub policy: ServerPolicy,
    pub limiter: Option<Arc<Limiter>>,
    pub departures: Option<Arc<Departures>>,
    /// Without them, requests with NTS fields aren't answered.
    pub cookie_keys: Option<Arc<CookieKeys>>,
}

/// Everything that is shared.
#[derive(Debug)]
pub(super) struct Shared {
    /// What the engine said last.
    pub state: Snapshot,
    /// Grows with each change of `rules`.
    edition: AtomicU64,
    /// Locked by whoever changes them, and by a thread that sees a new edition, once.
    rules: Mutex<Arc<Rules>>,
    /// One for each thread.
    counts: Box<[Counts]>,
    /// Wakes the thread at the link.
    bell: EventFd,
    /// That thread wants to be woken by the next traffic.
    is_asleep: AtomicBool,
    /// Why a thread at the sockets can't go on.
    failed: Mutex<Option<Ending>>,
    gate: (Mutex<bool>, Condvar),
}

/// Counters of one thread, which alone writes them. On cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counts([AtomicU64; COUNTERS]);

impl Counts {
    /// Makes these the thread's counters.
    pub(super) fn publish(&self, counters: &Counters) {
        for (place, count) in self.0.iter().zip(counters.list()) {
            place.store(count, Relaxed);
        }
    }

    fn read(&self) -> [u64; COUNTERS] {
        std::array::from_fn(|at| self.0.get(at).map_or(0, |count| count.load(Relaxed)))
    }
}

impl Shared {
    /// For so many threads; nobody is answered yet.
    pub(super) fn new(threads: usize) -> Result<Self, Errno> {
        let rules = Rules {
            access: AccessList::nobody(),
            policy: ServerPolicy::DEFAULT,
            limiter: None,
            departures: None,
            cookie_keys: None,
        };
        Ok(Self {
            state: Snapshot::default(),
            edition: AtomicU64::new(0),
            rules: Mutex::new(Arc::new(rules)),
            counts: (0..threads).map(|_| Counts::default()).collect(),
            bell: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            is_asleep: AtomicBool::new(false),
            failed: Mutex::new(None),
            gate: (Mutex::new(false), Condvar::new()),
        })
    }

    /// Replaces the rules.
    pub(super) fn change_rules(&self, change: impl FnOnce(&mut Rules)) {
        let mut place = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rules = Rules::clone(&place);
        change(&mut rules);
        *place = Arc::new(rules);
        self.edition.fetch_add(1, Release);
    }

    /// The rules, where they are newer than `edition`.
    pub(super) fn newer_rules(&self, edition: &mut u64) -> Option<Arc<Rules>> {
        let now = self.edition.load(Acquire);
        if now == *edition {
            return None;
        }
        *edition = now;
        Some(Arc::clone(&self.rules.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The rules in force.
    pub(super) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One thread's counters.
    pub(super) fn counts(&self, thread: usize) -> Option<&Counts> {
        self.counts.get(thread)
    }

    /// All counters together.
    pub(super) fn counters(&self) -> Counters {
        let sum = self.counts.iter().map(Counts::read).fold([0; COUNTERS], |sum, counts| {
            std::array::from_fn(|at| {
                let one = |list: &[u64; COUNTERS]| list.get(at).copied().unwrap_or(0);
                one(&sum).saturating_add(one(&counts))
            })
        });
        Counters::from_list(sum)
    }

    /// The thread at the link is about to sleep, or no longer.
    pub(super) fn sleep(&self, is_asleep: bool) {
        self.is_asleep.store(is_asleep, std::sync::atomic::Ordering::SeqCst);
    }

    /// Wakes the thread at the link, if it sleeps: a system call, but not more than one a second.
    pub(super) fn wake(&self) {
        if self.is_asleep.load(Relaxed) && self.is_asleep.swap(false, Relaxed) {
            self.ring();
        }
    }

    fn ring(&self) {
        // It can't be full, and is read before anybody sleeps again.
        let _ = write(&self.bell, &1u64.to_ne_bytes());
    }

    /// What to wait for to be woken.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// The bell was heard.
    pub(super) fn silence_bell(&self) {
        let _ = read(&self.bell, &mut [0; 8]);
    }

    /// A thread can't go on.
    pub(super) fn fail(&self, ending: Ending) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending);
        self.ring();
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
