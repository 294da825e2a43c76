//! Keys become sources: when they are exchanged, and what an exchange leads to.

use super::Engine;
use crate::io::{Now, Output, SavedAssociation};
use crate::names::may_serve;
use crate::notice::EntryNews;
use crate::nts::{Association, Deferral, Trouble};
use crate::settings::Place;
use alloc::vec::Vec;
use core::net::IpAddr;
use ipc::address::Address;
use ipc::message::exchange::{Cookie, ExchangeFailed, ExchangeId, Exchanged};
use ipc::units::RawInstant;

/// Most look-ups and key exchanges under way at once (the exchange role's own limit).
pub(super) const MOST_OPEN: usize = 8;

impl Engine {
    /// An entry with NTS begins: with what was kept of an earlier run, or with a key exchange.
    pub(super) fn begin_association(&mut self, entry: usize, saved: &[SavedAssociation], now: Now) {
        let settings = &self.settings.sources[entry];
        let twin = self.settings.sources[..entry]
            .iter()
            .any(|other| other.nts.is_some() && other.place == settings.place);
        if twin {
            self.tell_of_entry(entry, EntryNews::Twice);
            return;
        }
        let kept = saved.iter().find_map(|saved| {
            Association::restore(saved, settings, now).map(|association| (association, saved.address))
        });
        match kept {
            Some((association, address)) => {
                self.associations[entry] = Some(association);
                self.add_source(entry, address, now.raw);
            }
            None => self.associations[entry] = Some(Association::new(now.raw)),
        }
    }

    /// Look-ups and key exchanges that are under way.
    pub(super) fn open_children(&self) -> usize {
        let lookups = self.lookups.iter().flatten().filter(|lookup| lookup.open.is_some());
        let exchanges = self.associations.iter().flatten().filter(|a| a.schedule.open().is_some());
        lookups.count() + exchanges.count()
    }

    /// Begins the key exchanges that are due.
    pub(super) fn exchange_keys(&mut self, now: Now) {
        if self.offline {
            return;
        }
        let mut open = self.open_children();
        let floor = self.floor();
        for (association, settings) in self.associations.iter_mut().zip(&self.settings.sources) {
            let (Some(association), Some(nts)) = (association, settings.nts) else { continue };
            if open < MOST_OPEN && association.due().is_some_and(|due| due <= now.raw) {
                let id = ExchangeId(self.next_lookup);
                self.next_lookup += 1;
                open += 1;
                let exchange = association.begin(id, &settings.place, nts, now.wall, floor);
                self.outputs.push_back(Output::Exchange(exchange));
            }
        }
    }

    pub(super) fn next_key_exchange(&self) -> Option<RawInstant> {
        if self.offline || self.open_children() >= MOST_OPEN {
            return None;
        }
        self.associations.iter().flatten().filter_map(Association::due).min()
    }

    fn association_of(&mut self, id: ExchangeId) -> Option<(usize, &mut Association)> {
        self.associations
            .iter_mut()
            .enumerate()
            .filter_map(|(entry, association)| Some((entry, association.as_mut()?)))
            .find(|(_, association)| association.schedule.open() == Some(id))
    }

    pub(super) fn cookie(&mut self, cookie: &Cookie) {
        if let Some((_, association)) = self.association_of(cookie.id) {
            association.take_cookie(cookie);
        }
    }

    pub(super) fn exchanged(&mut self, now: Now, exchanged: &Exchanged) {
        let is_provisional = self.is_unjudged(exchanged, now);
        let Some((entry, association)) = self.association_of(exchanged.id) else { return };
        if is_provisional && exchanged.deferred && association.deferral == Deferral::Strict {
            association.begin_again(now.raw);
            return;
        }
        let Some(address) = self.choose(entry, exchanged) else {
            return self.keys_failed(entry, Trouble::NoAddress, now);
        };
        let Some(association) = &mut self.associations[entry] else { return };
        let was_provisional = association.is_provisional();
        association.succeed(exchanged, is_provisional, now);
        self.give_source(entry, address, is_provisional, was_provisional, now.raw);
        if is_provisional {
            self.tell_of_entry(entry, EntryNews::KeysUnjudged);
        } else {
            self.tell_of_entry(entry, EntryNews::KeysExchanged);
            self.save_associations();
        }
    }

    /// The address of an answer that is queried: the one that is in use, unless it is silent; else the first
    /// that no other NTS source has; else the first.
    fn choose(&self, entry: usize, exchanged: &Exchanged) -> Option<Address> {
        let written = match &self.settings.sources[entry].place {
            Place::Address(address) => Some(address.ip()),
            // By its definition that name leads nowhere else (RFC 6761 section 6.3).
            Place::Name(name, _) if is_localhost(name.as_str()) => Some(IpAddr::from([127, 0, 0, 1])),
            Place::Name(..) => None,
        };
        let offered: Vec<Address> = exchanged
            .addresses
            .iter()
            .filter(|address| may_serve(address, written, &self.own))
            .copied()
            .collect();
        let own = self.sources.iter().find(|source| source.entry == entry);
        if let Some(own) = own
            && offered.contains(&own.address)
            && (!own.is_silent() || offered.len() == 1)
        {
            return Some(own.address);
        }
        let silent = own.map(|own| own.address);
        let is_free = |address: &&Address| {
            let taken = |s: &crate::source::Source| s.authenticated && s.address == **address;
            Some(**address) != silent && !self.sources.iter().any(taken)
        };
        offered.iter().find(is_free).or(offered.first()).copied()
    }

    /// New keys for a source: it stays the same where its address does.
    fn give_source(&mut self, entry: usize, address: Address, provisional: bool, was: bool, now: RawInstant) {
        let at = self.sources.iter().position(|source| source.entry == entry);
        match at {
            // A reply to the old keys could not be verified any more.
            Some(at) if self.sources[at].address == address && provisional == was => {
                self.abandon(self.sources[at].key);
                if self.sources[at].reach == 0 {
                    self.sources[at].start_burst(now);
                }
            }
            _ => {
                self.drop_source(entry);
                self.add_source(entry, address, now);
                if let Some(newest) = self.sources.last_mut() {
                    newest.provisional = provisional;
                }
            }
        }
    }

    /// Takes an NTS source out; its vote stays missing until it comes back.
    pub(super) fn drop_source(&mut self, entry: usize) {
        if let Some(at) = self.sources.iter().position(|source| source.entry == entry) {
            let gone = self.sources.remove(at);
            self.abandon(gone.key);
        }
    }

    /// Gives up the queries of a source that are under way.
    pub(super) fn abandon(&mut self, source: u32) {
        for id in self.exchanges.abandon(source) {
            self.outputs.push_back(Output::Cancel(id));
        }
    }

    pub(super) fn exchange_failed(&mut self, now: Now, failed: &ExchangeFailed) {
        let Some((entry, _)) = self.association_of(failed.id) else { return };
        self.keys_failed(entry, Trouble::Failed(failed.reason), now);
    }

    fn keys_failed(&mut self, entry: usize, trouble: Trouble, now: Now) {
        if self.may_defer(entry, trouble) {
            if let Some(association) = &mut self.associations[entry] {
                association.defer(now.raw);
            }
            return;
        }
        let after_setting = self.is_alarming(trouble);
        let Some(association) = &mut self.associations[entry] else { return };
        let (is_news, keeps) = (association.fail(trouble, now.raw), association.cookies() > 0);
        if is_news {
            self.tell_of_entry(entry, EntryNews::NoKeys { trouble, keeps, after_setting });
        }
    }

    /// The file of keys is to be written, before whatever is decided next.
    pub(super) fn save_associations(&mut self) {
        if !self.outputs.contains(&Output::SaveAssociations) {
            self.outputs.push_back(Output::SaveAssociations);
        }
    }

    pub(super) fn saved_associations(&self) -> Vec<SavedAssociation> {
        self.associations
            .iter()
            .zip(&self.settings.sources)
            .enumerate()
            .filter_map(|(entry, (association, settings))| {
                let source = self.sources.iter().find(|source| source.entry == entry)?;
                association.as_ref()?.save(settings, source.address)
            })
            .collect()
    }

    /// Earlier failures to exchange keys say nothing about what comes now.
    pub(super) fn hurry_keys(&mut self, now: RawInstant) {
        self.associations.iter_mut().flatten().for_each(|association| association.schedule.hurry(now));
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
}
