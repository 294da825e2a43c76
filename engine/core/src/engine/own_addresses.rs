//! The addresses of this host, as far as they are known.

use super::{Engine, MOST_OWN};
use crate::entries::Authentication;
use crate::io::Now;
use alloc::vec::Vec;
use core::net::IpAddr;
use ipc::message::client::Sent;

impl Engine {
    /// The addresses of the host have changed. Cookies that were received under a removed address are no longer used.
    pub(super) fn change_own(&mut self, now: Now, addresses: Vec<IpAddr>) {
        let gone = |ip: IpAddr| self.own.contains(&ip) && !addresses.contains(&ip);
        let lost = self.entries.associations_mut().filter_map(|a| a.lose(gone).then_some(())).count();
        if lost > 0 {
            self.save_associations();
        }
        self.own_told = addresses.len().min(MOST_OWN);
        self.learn_own(addresses);
        self.hurry_names(now.raw);
        self.find_network(self.need(), now.raw);
    }

    fn learn_own(&mut self, mut addresses: Vec<IpAddr>) {
        addresses.truncate(MOST_OWN);
        self.own_ids = addresses.iter().map(|ip| protocol::reference_id::of_address(*ip)).collect();
        self.own = addresses;
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
