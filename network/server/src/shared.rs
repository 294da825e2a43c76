//! What the thread at the link and the threads at the sockets share. The latter wait here for nothing but, while rules
//! change, the moment in which a pointer is replaced.

use super::access::AccessList;
use super::interleave::Departures;
use super::limit::Limiter;
use super::snapshot::Snapshot;
use ipc::message::server::{Counters, ServerPolicy};
use network::ending::Ending;
use network::progress::Progress;
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::{read, write};
use protocol::nts::cookie::CookieKeys;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

const COUNTERS: usize = Counters::NAMES.len();

/// Who is answered, and how. Never changed: a change is a new value.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Grows with each change.
    edition: u64,
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
    /// That of `rules`.
    edition: AtomicU64,
    /// Locked by whoever changes them, and by a thread whose own are older, once.
    rules: Mutex<Arc<Rules>>,
    threads: Box<[Thread]>,
    /// Wakes the thread at the link.
    bell: EventFd,
    /// That thread wants to be woken by the next traffic.
    is_asleep: AtomicBool,
    /// Why a thread at the sockets can't go on.
    failed: Mutex<Option<Ending>>,
    gate: (Mutex<bool>, Condvar),
}

/// What is shared with one thread, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Thread {
    /// It alone writes them.
    counts: [AtomicU64; COUNTERS],
    /// What it answers by, while it waits for requests; with a batch at work it has them itself. So nothing old,
    /// cookie keys above all, lives on in a thread that nobody asks anything.
    rules: Mutex<Option<Arc<Rules>>>,
    progress: Progress,
}

impl Thread {
    fn read(&self) -> [u64; COUNTERS] {
        std::array::from_fn(|at| self.counts.get(at).map_or(0, |count| count.load(Relaxed)))
    }

    /// Leaves rules here; returns those that were.
    fn exchange(&self, rules: Option<Arc<Rules>>) -> Option<Arc<Rules>> {
        std::mem::replace(&mut *self.rules.lock().unwrap_or_else(PoisonError::into_inner), rules)
    }

    /// Replaces rules that wait here.
    fn renew(&self, rules: &Arc<Rules>) {
        let mut place = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let old = place.as_mut().map(|old| std::mem::replace(old, Arc::clone(rules)));
        // The thread must not wait while a list is freed.
        drop(place);
        drop(old);
    }
}

impl Shared {
    /// For so many threads; nobody is answered yet.
    pub(super) fn new(threads: usize) -> Result<Self, Errno> {
        let rules = Arc::new(Rules {
            edition: 0,
            access: AccessList::nobody(),
            policy: ServerPolicy::DEFAULT,
            limiter: None,
            departures: None,
            cookie_keys: None,
        });
        let thread = || Thread {
            counts: Default::default(),
            rules: Mutex::new(Some(Arc::clone(&rules))),
            progress: Progress::default(),
        };
        Ok(Self {
            state: Snapshot::default(),
            edition: AtomicU64::new(0),
            threads: (0..threads).map(|_| thread()).collect(),
            rules: Mutex::new(rules),
            bell: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            is_asleep: AtomicBool::new(false),
            failed: Mutex::new(None),
            gate: (Mutex::new(false), Condvar::new()),
        })
    }

    /// Replaces the rules, also those of threads that wait for requests. What was before is then forgotten as soon as
    /// the batches that are at work are done.
    pub(super) fn change_rules(&self, change: impl FnOnce(&mut Rules)) {
        let mut place = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rules = Rules::clone(&place);
        change(&mut rules);
        rules.edition = place.edition.wrapping_add(1);
        let rules = Arc::new(rules);
        *place = Arc::clone(&rules);
        self.edition.store(rules.edition, Release);
        drop(place);
        self.threads.iter().for_each(|thread| thread.renew(&rules));
    }

    /// The rules in force.
    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is seen of each thread's work.
    pub(super) fn progress(&self) -> impl Iterator<Item = u64> {
        self.threads.iter().map(|thread| thread.progress.seen())
    }

    /// A thread begins with a batch.
    pub(super) fn begin(&self, number: usize) {
        if let Some(thread) = self.threads.get(number) {
            thread.progress.begin();
        }
    }

    /// A thread is done with it.
    pub(super) fn rest(&self, number: usize) {
        if let Some(thread) = self.threads.get(number) {
            thread.progress.rest();
        }
    }

    /// A thread has a batch and takes its rules with it.
    pub(super) fn take_rules(&self, number: usize) -> Arc<Rules> {
        let left = self.threads.get(number).and_then(|thread| thread.exchange(None));
        left.unwrap_or_else(|| self.rules())
    }

    /// The batch is done. Whoever changed the rules meanwhile found nothing to renew at this thread, so it looks
    /// whether there are newer ones, after the place was seen empty.
    pub(super) fn leave_rules(&self, number: usize, rules: Arc<Rules>) {
        let Some(thread) = self.threads.get(number) else { return };
        let edition = rules.edition;
        thread.exchange(Some(rules));
        if self.edition.load(Acquire) != edition {
            thread.renew(&self.rules());
        }
    }

    /// Makes these one thread's counters.
    pub(super) fn publish(&self, number: usize, counters: &Counters) {
        let Some(thread) = self.threads.get(number) else { return };
        for (place, count) in thread.counts.iter().zip(counters.list()) {
            place.store(count, Relaxed);
        }
    }

    /// All counters together.
    pub(super) fn counters(&self) -> Counters {
        let sum = self.threads.iter().map(Thread::read).fold([0; COUNTERS], |sum, counts| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::nts::ratchet::EpochKey;
    use std::sync::Weak;

    fn change_keys(shared: &Shared, epoch: u32) -> Weak<CookieKeys> {
        let key = EpochKey::from_octets(epoch, &[9; 32]);
        let keys = Arc::new(CookieKeys::new(epoch, [key]).unwrap());
        let seen = Arc::downgrade(&keys);
        shared.change_rules(|rules| rules.cookie_keys = Some(keys));
        seen
    }

    #[test]
    fn threads_that_wait_for_requests_keep_no_old_keys() {
        let shared = Shared::new(3).unwrap();
        let old = change_keys(&shared, 1);
        for number in 0..3 {
            let rules = shared.take_rules(number);
            shared.leave_rules(number, rules);
        }
        let new = change_keys(&shared, 2);
        assert!(old.upgrade().is_none() && new.upgrade().is_some());
    }

    #[test]
    fn a_thread_at_work_keeps_its_keys_for_that_batch_and_no_longer() {
        let shared = Shared::new(2).unwrap();
        let old = change_keys(&shared, 1);
        let at_work = shared.take_rules(0);
        let new = change_keys(&shared, 2);
        assert!(old.upgrade().is_some() && at_work.cookie_keys.is_some());
        shared.leave_rules(0, at_work);
        assert!(old.upgrade().is_none());
        let next = shared.take_rules(0);
        assert_eq!(next.cookie_keys.as_ref().map(Arc::as_ptr), Some(new.as_ptr()));
    }
}
