//! Sources whose certificates show one operator: told once, shown in the status, and nothing else.

use super::Engine;
use crate::entries::{Entry, EntryId};
use crate::notice::EntryNotice;
use crate::nts::{Kinship, kinship};
use alloc::string::String;
use alloc::vec::Vec;
use ipc::message::exchange::{Operator, is_one_name};

impl Engine {
    /// Tells of sources whose certificates show the operator of this one, unless its certificate `before` did.
    pub(super) fn tell_of_operator(&mut self, id: EntryId, before: Option<Operator>) {
        let Some(entry) = self.entries.get(id) else { return };
        let Some(shown) = entry.association().and_then(|association| association.operator) else { return };
        let old = before.map(|before| self.kin(entry, &before)).unwrap_or_default();
        let mut new = self.kin(entry, &shown);
        new.retain(|one| !old.contains(one));
        for kinship in [Kinship::Organisation, Kinship::Certificate] {
            let names =
                new.iter().filter(|(_, by)| *by == kinship).filter_map(|(id, _)| self.entries.get(*id));
            let names: Vec<String> = names.map(|other| other.settings.name.clone()).collect();
            if !names.is_empty() {
                let notice =
                    EntryNotice::OneOperator { with: names, kinship, organisation: shown.organisation };
                self.tell_of_entry(id, notice);
            }
        }
    }

    /// Other sources whose certificates show the same operator as this one if its certificate says this. What the
    /// configuration shows already, that two have one name or address, is left out.
    fn kin(&self, entry: &Entry, shown: &Operator) -> Vec<(EntryId, Kinship)> {
        let host = entry.host();
        let related = |other: &Entry| {
            let theirs = other.association()?.operator?;
            let other_host = other.host();
            if other.id == entry.id || (!host.is_empty() && is_one_name(&host, &other_host)) {
                return None;
            }
            Some((other.id, kinship((&host, shown), (&other_host, &theirs))?))
        };
        self.entries.iter().filter_map(related).collect()
    }

    /// The numbers of the entries whose certificates show the operator of this one, where that is asked for.
    pub(super) fn kin_of(&self, entry: &Entry) -> Vec<u32> {
        let association = entry.association().filter(|_| self.settings.clock.attested);
        let shown = association.and_then(|association| association.operator);
        let kin = shown.map(|shown| self.kin(entry, &shown)).unwrap_or_default();
        kin.into_iter().map(|(id, _)| id.number()).collect()
    }

    /// The names of other sources whose certificates show the operator of this one.
    pub(super) fn one_operator(&self, entry: &Entry) -> Vec<String> {
        let shown = entry.association().and_then(|association| association.operator);
        let kin = shown.map(|shown| self.kin(entry, &shown)).unwrap_or_default();
        let others = kin.iter().filter_map(|(id, _)| self.entries.get(*id));
        others.map(|other| other.settings.name.clone()).collect()
    }

    /// The names of all sources whose certificates show the operator of another one.
    pub(super) fn related(&self) -> Vec<String> {
        let entries = self.entries.iter().filter(|entry| !self.one_operator(entry).is_empty());
        entries.map(|entry| entry.settings.name.clone()).collect()
    }
}
