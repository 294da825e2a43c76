//! The state that the thread at the links and the threads at the sockets share.

use super::certificate::Certificate;
use super::limit::Limits;
use ipc::message::key_service::{KeyCounters, KeyPolicy};
use network::interfaces::Served;
use nix::errno::Errno;
use protocol::nts::cookie::CookieKeys;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};
use threads::{Versions, Wakeup, Workers};

/// Kinds of counters.
pub(super) const KINDS: usize = KeyCounters::NAMES.len();

/// The settings of exchanges.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub policy: KeyPolicy,
    pub cookies: Option<Arc<CookieKeys>>,
    /// Of each pair the one in use.
    pub certificates: Vec<Option<Arc<Certificate>>>,
}

/// All shared state.
#[derive(Debug)]
pub(super) struct Shared {
    pub limits: Limits,
    /// Where clients may come in.
    pub served: Served,
    pub settings: Versions<Settings>,
    pub workers: Workers<Adopted, KINDS>,
}

/// The other state shared with one thread.
#[derive(Debug)]
pub(super) struct Adopted {
    /// The version of the settings that it uses.
    version: AtomicU64,
    /// Wakes it.
    pub alarm: Wakeup,
}

impl Shared {
    /// For this number of threads, and of pairs of certificate and key.
    pub(super) fn new(threads: usize, pairs: usize, served: Served) -> Result<Self, Errno> {
        let settings =
            Settings { policy: KeyPolicy::DEFAULT, cookies: None, certificates: vec![None; pairs] };
        let own = |_| Ok(Adopted { version: AtomicU64::new(0), alarm: Wakeup::new()? });
        Ok(Self {
            limits: Limits::new(),
            served,
            settings: Versions::new(settings),
            workers: Workers::new((0..threads).map(own).collect::<Result<Vec<_>, _>>()?)?,
        })
    }

    /// Replaces the settings, and wakes all threads so that they drop the previous ones.
    pub(super) fn change(&self, change: impl FnOnce(&mut Settings)) {
        self.settings.change(change);
        self.workers.all().for_each(|thread| thread.alarm.wake());
    }

    /// A thread uses this version from now on.
    pub(super) fn adopt(&self, number: usize, version: u64) {
        if let Some(thread) = self.workers.own(number) {
            thread.version.store(version, Release);
            self.workers.wakeup().wake();
        }
    }

    /// Whether all threads use the newest version.
    pub(super) fn is_adopted(&self) -> bool {
        let now = self.settings.number();
        self.workers.all().all(|thread| thread.version.load(Acquire) == now)
    }
}
