//! The state that the thread at the link and the threads at the sockets share. The latter never block on it, except
//! for the moment in which a pointer is replaced while rules change.

use super::access::AccessList;
use super::clients::Clients;
use super::interleave::Departures;
use super::key_ring::KeyRing;
use super::limit::Limiter;
use super::snapshot::Snapshot;
use super::unsigned::Queue;
use ipc::message::server::{Counters, ServerPolicy};
use network::interfaces::Served;
use nix::errno::Errno;
use protocol::ntpv5::Filter;
use protocol::nts::cookie::CookieKeys;
use std::sync::{Arc, Mutex, PoisonError};
use threads::{Version, Versions, Workers};

/// Kinds of counters.
pub(super) const KINDS: usize = Counters::NAMES.len();

/// The server policy.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub access: AccessList,
    pub policy: ServerPolicy,
    pub limiter: Option<Arc<Limiter>>,
    pub departures: Option<Arc<Departures>>,
    /// Without them, requests with NTS fields are not answered.
    pub cookie_keys: Option<Arc<CookieKeys>>,
    /// Without them, requests with a MAC are not answered.
    pub key_ring: Option<Arc<KeyRing>>,
    /// The reference ids of version 5; none: not told yet.
    pub filter: Option<Arc<Filter>>,
}

/// All shared state.
#[derive(Debug)]
pub(super) struct Shared {
    /// The latest state from the engine.
    pub state: Snapshot,
    /// Which requests are answered, by interface.
    pub served: Served,
    /// Who asks how often, whatever the rules are.
    pub clients: Clients,
    /// Replies that wait for a signature; none: there is nobody who signs.
    pub unsigned: Option<Queue>,
    rules: Versions<Rules>,
    pub workers: Workers<Place, KINDS>,
}

/// The rules of a thread that waits for requests; while it works on a batch, it holds them itself. Old rules, cookie
/// keys above all, therefore do not survive in an idle thread.
#[derive(Debug)]
pub(super) struct Place(Mutex<Option<Arc<Version<Rules>>>>);

impl Place {
    /// Stores rules here; returns the previous ones.
    fn exchange(&self, rules: Option<Arc<Version<Rules>>>) -> Option<Arc<Version<Rules>>> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), rules)
    }

    /// Replaces rules that are stored here.
    fn renew(&self, rules: &Arc<Version<Rules>>) {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let old = place.as_mut().map(|old| std::mem::replace(old, Arc::clone(rules)));
        // The thread must not wait while a list is freed.
        drop(place);
        drop(old);
    }
}

impl Shared {
    /// For this number of threads, with one more place among those that count if there is somebody who signs; no client is
    /// answered yet.
    pub(super) fn new(threads: usize, served: Served, signs: bool) -> Result<Self, Errno> {
        let rules = Versions::new(Rules {
            access: AccessList::empty(),
            policy: ServerPolicy::DEFAULT,
            limiter: None,
            departures: None,
            cookie_keys: None,
            key_ring: None,
            filter: None,
        });
        let workers =
            Workers::new((0..threads + usize::from(signs)).map(|_| Place(Mutex::new(Some(rules.newest())))))?;
        let unsigned = signs.then(Queue::default);
        Ok(Self { state: Snapshot::default(), served, clients: Clients::new(), unsigned, rules, workers })
    }

    /// Replaces the rules, also those of threads that wait for requests. The previous ones are freed as soon as
    /// the batches in progress are done.
    pub(super) fn change_rules(&self, change: impl FnOnce(&mut Rules)) {
        let rules = self.rules.change(change);
        self.workers.all().for_each(|place| place.renew(&rules));
    }

    /// A thread begins a batch and takes its rules with it.
    pub(super) fn take_rules(&self, number: usize) -> Arc<Version<Rules>> {
        let left = self.workers.own(number).and_then(|place| place.exchange(None));
        left.unwrap_or_else(|| self.rules.newest())
    }

    /// The batch is done. A change of the rules in the meantime found this thread's place empty, so the thread itself
    /// checks for newer rules.
    pub(super) fn leave_rules(&self, number: usize, rules: Arc<Version<Rules>>) {
        let Some(place) = self.workers.own(number) else { return };
        let version = rules.number();
        place.exchange(Some(rules));
        if let Some(newer) = self.rules.other_than(version) {
            place.renew(&newer);
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
        let shared = Shared::new(3, Served::default(), false).unwrap();
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
        let shared = Shared::new(2, Served::default(), false).unwrap();
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
