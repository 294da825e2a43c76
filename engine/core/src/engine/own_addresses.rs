//! The addresses of this host, as far as they are known.
//!
//! They are what the client process says. It may say of any source's address that it is this host's, so this takes no
//! authenticated source out of the electorate, and is not believed at all of one that this host could not answer as: only
//! of one at a port where the configuration has this host serve NTS.

use super::Engine;
use crate::entries::{Authentication, Group};
use crate::io::Now;
use alloc::vec::Vec;
use core::net::IpAddr;
use ipc::address::Address;
use ipc::message::client::Sent;

/// Most addresses of this host that are stored.
const MOST_OWN: usize = 64;

impl Engine {
    /// The network of the host has changed. Cookies that were received under a removed address are no longer used.
    pub(super) fn change_own(&mut self, now: Now, addresses: Vec<IpAddr>) {
        // Of a host with more addresses than are told, one that is missing may still be there.
        let are_all = addresses.len() < MOST_OWN;
        let gone = |ip: IpAddr| are_all && self.own.contains(&ip) && !addresses.contains(&ip);
        let lost = self.entries.all_associations_mut().filter_map(|a| a.lose(gone).then_some(())).count();
        let is_any_gone = self.own.iter().any(|ip| gone(*ip));
        if lost > 0 {
            self.save_associations();
        }
        if is_any_gone {
            self.entries.all_sources_mut().for_each(|source| source.interleaving.forget(now.raw));
        }
        self.own_told = addresses.len().min(MOST_OWN);
        self.learn_own(addresses);
        self.changes.note();
    }

    fn learn_own(&mut self, mut addresses: Vec<IpAddr>) {
        addresses.truncate(MOST_OWN);
        self.own_ids = addresses.iter().map(|ip| protocol::reference_id::of_address(*ip)).collect();
        self.own = addresses;
        self.know_oneself();
    }

    /// Whether a query to this address would be answered by our own server.
    fn is_served_here(&self, address: Address) -> bool {
        let (ip, port) = (address.ip(), address.port());
        let is_here = ip.is_loopback() || self.own.contains(&ip);
        let listen = self.settings.server.iter().flat_map(|server| &server.listen);
        listen.filter(|at| at.port() == port).any(|at| at.ip() == ip || (at.ip().is_unspecified() && is_here))
    }

    /// Finds out which sources are this host: what a name server gave and is an address of ours, or what the configuration
    /// names and our own server answers. On another port it may be another program's time server. One with NTS, or
    /// with a key, is this host only where our own server may answer it so.
    pub(super) fn know_oneself(&mut self) {
        let serves_nts = self.settings.server.as_ref().is_some_and(|server| server.nts);
        let found: Vec<(Group, bool)> = self
            .entries
            .all_members()
            .map(|(entry, source)| {
                let address = source.address();
                if source.authenticated {
                    // Which keys clients may use is not known here.
                    let serves = serves_nts || entry.settings.key.is_some();
                    return (entry.group(), serves && self.is_served_here(address));
                }
                let is_ours = entry.written_address().is_none() && self.own.contains(&address.ip());
                (entry.group(), is_ours || self.is_served_here(address))
            })
            .collect();
        for (source, (group, oneself)) in self.entries.all_sources_mut().zip(found) {
            self.system.dirty |= source.oneself != oneself && group == Group::Deciding;
            source.oneself = oneself;
        }
    }

    /// Learns an address from which a query was sent. It may displace the oldest one learned in this way, but none that is known
    /// otherwise, since the client may be malicious. Loopback is ignored: every host has it.
    pub(super) fn learn_own_address(&mut self, now: Now, sent: &Sent) {
        let ip = sent.local.ip();
        let found = self.exchanges.protected_source(sent.id).and_then(|id| self.entries.source_mut(id));
        if let Some((_, Authentication::Nts(association), _)) = found
            && association.leave_from(ip)
        {
            self.save_associations();
        }
        // Which addresses are learned depends on those only that decide.
        if self.exchanges.is_observed(sent.id) {
            return;
        }
        if ip.is_loopback() || ip.is_unspecified() || self.own.contains(&ip) {
            return;
        }
        let mut addresses = core::mem::take(&mut self.own);
        if addresses.len() == MOST_OWN && self.own_told < MOST_OWN {
            addresses.remove(self.own_told);
        }
        addresses.push(ip);
        self.learn_own(addresses);
        self.find_network(self.need(), now.raw);
    }
}
