//! The link to the key exchange service.

use super::counting::Counting;
use super::interfaces::Interfaces;
use super::queued_link::QueuedLink;
use super::{Breach, Fact, Process};
use engine_core::io::Now;
use ipc::message::key_service::{FromKeyService, KeyCounters, KeyPolicy, Loaded, Request, ToKeyService};
use ipc::message::server::CookieKeys;
use ipc::served_at::{ServedAt, Service};
use ipc::units::RawInstant;
use std::os::fd::OwnedFd;

/// How many counts [`KeyCounters`] has.
const COUNTS: usize = KeyCounters::NAMES.len();

/// Our end, and what may come next on it.
#[derive(Debug)]
pub struct KeyServiceLink {
    pub(super) link: QueuedLink<ToKeyService, FromKeyService>,
    holder_greeted: bool,
    /// Certificates that may still be reported: each once at the start, and for each reload.
    certificates: u32,
    /// Pairs of certificate and key.
    pairs: u8,
    counting: Counting<COUNTS>,
    pub(super) interfaces: Interfaces,
}

impl KeyServiceLink {
    /// Takes the end.
    pub fn new(fd: OwnedFd) -> Result<Self, nix::Error> {
        Ok(Self {
            link: QueuedLink::new(Process::KeyService, fd)?,
            holder_greeted: false,
            certificates: 1,
            pairs: 1,
            counting: Counting::of(Process::KeyService),
            interfaces: Interfaces::of(Process::KeyService),
        })
    }

    /// How many pairs of certificate and key it has; 1 unless it is said. To be said before it is heard.
    pub fn expect_pairs(&mut self, pairs: usize) {
        self.pairs = u8::try_from(pairs).unwrap_or(u8::MAX);
        self.certificates = u32::from(self.pairs);
    }

    /// Sends keys for cookies; such as still wait are replaced.
    pub fn send_cookie_keys(&mut self, now: RawInstant, keys: CookieKeys) -> Result<(), Breach> {
        self.link.replace_waiting(|waiting| matches!(waiting, ToKeyService::CookieKeys(_)));
        self.link.send_surely(now, ToKeyService::CookieKeys(keys))
    }

    /// Sends how it answers.
    pub fn send_policy(&mut self, now: RawInstant, policy: KeyPolicy) -> Result<(), Breach> {
        self.link.send_surely(now, ToKeyService::Policy(policy))
    }

    /// Has certificates and keys read anew, and judged by the steered clock. `drops_names`: names may go
    /// that the ones in use have.
    pub fn send_reload(&mut self, now: Now, drops_names: bool) -> Result<(), Breach> {
        self.link.send_surely(now.raw, ToKeyService::Reload(Request { now: now.wall, drops_names }))?;
        self.certificates = self.certificates.saturating_add(u32::from(self.pairs));
        Ok(())
    }

    /// One record, checked. `listen`: its entries.
    pub fn receive(&mut self, now: RawInstant, listen: &[ServedAt]) -> Result<Option<Fact>, Breach> {
        let Some(message) = self.link.receive_greeted()? else { return Ok(None) };
        let breach = |violation: &str| Breach::new(Process::KeyService, violation);
        Ok(Some(match message {
            FromKeyService::Hello(shortfall) => Fact::Hello(Process::KeyService, shortfall),
            FromKeyService::HolderHello(shortfall) => {
                if std::mem::replace(&mut self.holder_greeted, true) {
                    return Err(breach("said the key holder's hello twice"));
                }
                Fact::Hello(Process::KeyHolder, shortfall)
            }
            FromKeyService::Certificate(number, loaded) => {
                if number >= self.pairs {
                    return Err(breach("read a certificate that there is not"));
                }
                self.certificates = self
                    .certificates
                    .checked_sub(1)
                    .ok_or_else(|| breach("read its certificate without being asked"))?;
                if let Loaded::InUse { not_before, not_after } = loaded
                    && not_before > not_after
                {
                    return Err(breach("uses a certificate that ends before it begins"));
                }
                Fact::Certificate(number, loaded)
            }
            FromKeyService::Pong => Fact::Alive(Process::KeyService),
            FromKeyService::HolderPong => Fact::Alive(Process::KeyHolder),
            FromKeyService::Counters(counters) => {
                self.counting.take(now, counters.list())?;
                Fact::KeyCounters(counters)
            }
            FromKeyService::Interface(said) => {
                let name = self.interfaces.take(now, listen, said)?;
                Fact::Interface(Service::Keys, name, said.is_there)
            }
        }))
    }
}
