//! What the thread at the links and the threads at the sockets share.

use super::certificate::Certificate;
use super::limit::Limits;
use ipc::message::key_service::{KeyCounters, KeyPolicy};
use nix::errno::Errno;
use protocol::nts::cookie::CookieKeys;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};
use threads::{Bell, Crew, Editions};

/// Kinds of counts.
pub(super) const KINDS: usize = KeyCounters::NAMES.len();

/// What exchanges are made with.
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
    pub settings: Editions<Settings>,
    pub crew: Crew<Adopted, KINDS>,
}

/// What else is shared with one thread.
#[derive(Debug)]
pub(super) struct Adopted {
    /// The edition that it works with.
    edition: AtomicU64,
    /// Wakes it.
    pub alarm: Bell,
}

impl Shared {
    /// For so many threads.
    pub(super) fn new(threads: usize) -> Result<Self, Errno> {
        let settings = Settings { policy: KeyPolicy::DEFAULT, cookies: None, certificate: None };
        let own = |_| Ok(Adopted { edition: AtomicU64::new(0), alarm: Bell::new()? });
        Ok(Self {
            limits: Limits::new(),
            settings: Editions::new(settings),
            crew: Crew::new((0..threads).map(own).collect::<Result<Vec<_>, _>>()?)?,
        })
    }

    /// Replaces the settings, and wakes all threads so that what was before is forgotten.
    pub(super) fn change(&self, change: impl FnOnce(&mut Settings)) {
        self.settings.change(change);
        self.crew.all().for_each(|thread| thread.alarm.ring());
    }

    /// A thread works with this edition from here on.
    pub(super) fn adopt(&self, number: usize, edition: u64) {
        if let Some(thread) = self.crew.own(number) {
            thread.edition.store(edition, Release);
            self.crew.bell().ring();
        }
    }

    /// Whether all threads work with the newest edition.
    pub(super) fn is_adopted(&self) -> bool {
        let now = self.settings.number();
        self.crew.all().all(|thread| thread.edition.load(Acquire) == now)
    }
}
