//! How an entry of the configuration begins.

use super::Engine;
use crate::entries::{Authentication, Entry, EntryId, Phase};
use crate::io::{Now, SavedAssociation};
use crate::names::Lookup;
use crate::nts::Association;
use crate::settings::Place;
use alloc::format;

impl Engine {
    /// An entry begins: it is asked, its name looked up, or its keys exchanged; with NTS, with what was kept of an earlier
    /// run. One that names the same server as another one stands back.
    pub(super) fn begin_entry(&mut self, id: EntryId, kept: &[SavedAssociation], now: Now) {
        let Some(entry) = self.entries.get(id) else { return };
        if self.entries.iter().any(|other| is_same_server(other, entry)) {
            let line = format!("source {} is configured twice; it has one vote", entry.settings.name);
            if let Some(entry) = self.entries.get_mut(id) {
                entry.phase = Phase::Duplicate;
            }
            return self.say(4, line);
        }
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.phase = Phase::Running;
        let address = match (&mut entry.authentication, &entry.settings.place) {
            (Authentication::Nts(association), _) => {
                let restored = kept.iter().find_map(|saved| {
                    let restored = Association::restore(saved, &entry.settings, now)?;
                    Some((restored, saved.address))
                });
                let (begun, address) = match restored {
                    Some((restored, address)) => (restored, Some(address)),
                    None => (Association::new(now.raw), None),
                };
                **association = begun;
                address
            }
            (Authentication::Plain, Place::Address(address)) => Some(*address),
            (Authentication::Plain, Place::Name(..)) => {
                entry.lookup = Some(Lookup::new(now.raw));
                None
            }
        };
        if let Some(address) = address {
            self.entries.add_source(id, address, now.raw);
        }
    }
}

/// Whether `running` makes another entry for the same server superfluous. Two names may lead to the same addresses and
/// to others: that is seen when they are resolved.
fn is_same_server(running: &Entry, entry: &Entry) -> bool {
    let is_named_so = match (&entry.authentication, &entry.settings.place) {
        (Authentication::Plain, Place::Name(..)) => false,
        (Authentication::Plain, Place::Address(_)) | (Authentication::Nts(_), _) => {
            running.settings.place == entry.settings.place
        }
    };
    let is_alike = running.settings.nts.is_some() == entry.settings.nts.is_some();
    running.phase == Phase::Running && running.id != entry.id && is_named_so && is_alike
}
