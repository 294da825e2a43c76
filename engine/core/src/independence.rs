//! Independence: sources of one operator, or of one upstream server, have one vote together.
//!
//! There are few indications of it. Two are facts of the configuration and of the network: a name that was configured,
//! and a network (the /24 or /48 of a global address). By them sources form *groups*. In a private network the /24 is no
//! indication, since it belongs to the administrator.
//!
//! The third is what a server of stratum 2 and above says of itself: the reference id names its own source, its
//! *upstream*. A server can say what it likes, for example what an honest one says. So sources with one upstream form no
//! group, in which one could speak for another or contradict it. Instead, votes are counted as the most sources that are
//! independent of each other: whatever one more source says, the others are not fewer for it.

use alloc::vec::Vec;
use core::net::IpAddr;
use ipc::message::exchange::is_one_name;

/// The indications for one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity<'a> {
    /// As configured.
    pub(crate) name: &'a str,
    /// Unspecified where no address is known.
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
    pub(crate) stratum: u8,
    pub(crate) reference_id: u32,
}

/// What a server of stratum 2 and above says of its own source: its own stratum, and the reference id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Upstream {
    stratum: u8,
    reference_id: u32,
}

impl Identity<'_> {
    fn is_kin(&self, other: &Self, names: bool) -> bool {
        let one_name = names && !self.name.is_empty() && is_one_name(self.name, other.name);
        // The servers of a test have the same loopback address and different ports.
        let one_host = self.ip == other.ip
            && !self.ip.is_unspecified()
            && (self.port == other.port || !self.ip.is_loopback());
        let one_network = network(self.ip).is_some_and(|network_| network(other.ip) == Some(network_));
        // Whoever feeds one of them, or reads them, can feed all: NMEA and PPS are of one receiver.
        let one_reader = self.is_reference_clock() && other.is_reference_clock();
        one_name || one_host || one_network || one_reader
    }

    /// Whether it is a reference clock of this host ([`ReferenceClock::place`](crate::settings::ReferenceClock::place)).
    pub(crate) fn is_reference_clock(&self) -> bool {
        self.port == 0 && !self.ip.is_unspecified()
    }

    /// None: it has a clock of its own, or has not said.
    pub(crate) fn upstream(&self) -> Option<Upstream> {
        let Self { stratum, reference_id, .. } = *self;
        (stratum > 1 && reference_id != 0).then_some(Upstream { stratum, reference_id })
    }
}

/// The network of a global address.
fn network(ip: IpAddr) -> Option<[u8; 6]> {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let own =
                v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_documentation() || shared;
            (!own).then_some([4, a, b, c, 0, 0])
        }
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            // Global unicast is 2000::/3; 2001:db8::/32 is for documents.
            let global = octets[0] >> 5 == 1 && v6.segments()[..2] != [0x2001, 0x0db8];
            global.then(|| [octets[0], octets[1], octets[2], octets[3], octets[4], octets[5]])
        }
    }
}

/// For each source the number of its group; a source related to a member of a group belongs to the group. With `names`,
/// one configured name is one operator.
pub(crate) fn group(identities: &[Identity<'_>], names: bool) -> Vec<usize> {
    let mut groups: Vec<usize> = (0..identities.len()).collect();
    for i in 0..identities.len() {
        for j in 0..i {
            if groups[i] != groups[j] && identities[i].is_kin(&identities[j], names) {
                let (from, to) = (groups[i].max(groups[j]), groups[i].min(groups[j]));
                groups.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
            }
        }
    }
    groups
}

/// A source as a vote counts it: its group, and what it says of its own source.
pub(crate) type Allegiance = (usize, Option<Upstream>);

/// The place of a source in its entry of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    /// The number of the entry.
    pub(crate) entry: u32,
    /// How many sources the entry is to have; at least 1.
    pub(crate) seats: usize,
    /// It is an address of an earlier run that the name server no longer gives.
    pub(crate) leaving: bool,
}

/// The same sources, with the groups changed so that those of one entry have no more groups than it is to have sources, and
/// those that leave have none beside those that take their places.
pub(crate) fn seated(sources: &[(Seat, Allegiance)]) -> Vec<Allegiance> {
    let of_entry = |seat: &Seat, leaving: bool| {
        let mut groups: Vec<usize> = Vec::new();
        for (_, (group, _)) in
            sources.iter().filter(|(it, _)| it.entry == seat.entry && it.leaving == leaving)
        {
            if !groups.contains(group) {
                groups.push(*group);
            }
        }
        groups
    };
    let seated = sources.iter().map(|(seat, (group, upstream))| {
        let (staying, mut leaving) = (of_entry(seat, false), of_entry(seat, true));
        leaving.retain(|group| !staying.contains(group));
        let among = |groups: &[usize]| groups.iter().position(|other| other == group);
        let place = among(&staying).or(among(&leaving)).unwrap_or(0) % seat.seats.max(1);
        (*staying.get(place).or(leaving.get(place)).unwrap_or(group), *upstream)
    });
    seated.collect()
}

/// The largest number of these sources of which no two have the same group or the same upstream.
pub(crate) fn independent(sources: &[Allegiance]) -> usize {
    let groups = groups_of(sources);
    let mut taken: Vec<(Upstream, usize)> = Vec::new();
    groups.into_iter().filter(|group| place(*group, sources, &mut Vec::new(), &mut taken)).count()
}

/// The groups of these sources, each once.
pub(crate) fn groups_of(sources: &[Allegiance]) -> Vec<usize> {
    let mut groups: Vec<usize> = sources.iter().map(|(group, _)| *group).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// Gives a group an upstream of its own, if need be by giving other groups another one (a maximum bipartite matching).
fn place(
    group: usize,
    sources: &[Allegiance],
    tried: &mut Vec<Upstream>,
    taken: &mut Vec<(Upstream, usize)>,
) -> bool {
    for (_, upstream) in sources.iter().filter(|(other, _)| *other == group) {
        let Some(upstream) = *upstream else { return true };
        if tried.contains(&upstream) {
            continue;
        }
        tried.push(upstream);
        let owner = taken.iter().find(|(other, _)| *other == upstream).map(|(_, owner)| *owner);
        if owner.is_none_or(|owner| place(owner, sources, tried, taken)) {
            taken.retain(|(other, _)| *other != upstream);
            taken.push((upstream, group));
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity<'a>(name: &'a str, ip: &str, stratum: u8, reference_id: u32) -> Identity<'a> {
        Identity { name, ip: ip.parse().unwrap(), port: 123, stratum, reference_id }
    }

    #[test]
    fn a038_one_network_or_one_name_is_one_group() {
        let all = [
            identity("a", "5.9.1.1", 1, 7),
            identity("b", "5.9.1.200", 1, 7),
            identity("c", "5.9.2.1", 2, 99),
            identity("d", "7.7.7.7", 2, 99),
            identity("e", "2a00:1:2::1", 1, 7),
            identity("f", "2a00:1:2:ffff::9", 1, 7),
            identity("e", "9.9.9.9", 1, 7),
        ];
        assert_eq!(group(&all, true), [0, 0, 2, 3, 4, 4, 4]);
        assert_eq!(group(&all, false), [0, 0, 2, 3, 4, 4, 6]);
    }

    #[test]
    fn hosts_of_a_private_network_and_clocks_of_one_kind_are_independent() {
        let gps = 0x4750_5300;
        let all = [
            identity("a", "10.0.0.1", 1, gps),
            identity("b", "10.0.0.2", 1, gps),
            identity("c", "127.0.0.1", 2, 1),
            Identity { port: 11_123, ..identity("d", "127.0.0.1", 2, 2) },
            identity("e", "fd00::1", 1, gps),
            identity("f", "fd00::2", 1, gps),
        ];
        assert_eq!(group(&all, true), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn kinship_reaches_over_several() {
        let all =
            [identity("a", "5.9.1.1", 2, 7), identity("b", "5.9.1.2", 2, 8), identity("b", "6.6.6.6", 2, 8)];
        assert_eq!(group(&all, true), [0, 0, 0]);
    }

    /// Sources with these groups and upstreams; 0: none.
    fn count(sources: &[(usize, u32)]) -> usize {
        let upstream = |id: u32| identity("", "192.0.2.1", 2, id).upstream();
        let all: Vec<Allegiance> = sources.iter().map(|(group, id)| (*group, upstream(*id))).collect();
        independent(&all)
    }

    #[test]
    fn a184_one_entry_counts_for_no_more_groups_than_it_is_to_have_sources() {
        let count = |all: &[(u32, usize, bool, usize)]| {
            let seat = |(entry, seats, leaving, group): &(u32, usize, bool, usize)| {
                (Seat { entry: *entry, seats: *seats, leaving: *leaving }, (*group, None))
            };
            independent(&seated(&all.iter().map(seat).collect::<Vec<_>>()))
        };
        let (stays, leaves) = (false, true);
        assert_eq!(count(&[(0, 1, leaves, 0), (0, 1, stays, 1)]), 1);
        assert_eq!(count(&[(0, 1, stays, 0), (0, 1, stays, 1), (1, 1, stays, 2)]), 2);
        assert_eq!(count(&[(0, 4, leaves, 0), (0, 4, stays, 1)]), 1);
        assert_eq!(count(&[(0, 4, leaves, 0), (0, 4, leaves, 1), (0, 4, stays, 2)]), 2);
        assert_eq!(count(&[(0, 2, stays, 0), (0, 2, stays, 1), (0, 2, stays, 2), (0, 2, leaves, 3)]), 2);
        // What else is configured loses nothing by it.
        assert_eq!(count(&[(0, 1, leaves, 0), (0, 1, stays, 1), (1, 1, stays, 0)]), 2);
        assert_eq!(count(&[(0, 3, stays, 0), (0, 3, stays, 1), (0, 3, stays, 2), (1, 1, stays, 2)]), 3);
    }

    #[test]
    fn a038_sources_of_one_upstream_or_of_one_group_count_once() {
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&[(0, 0), (1, 0), (2, 0)]), 3, "clocks of their own");
        assert_eq!(count(&[(0, 7), (1, 7), (2, 7), (3, 8)]), 2);
        assert_eq!(count(&[(0, 7), (0, 8), (0, 9)]), 1);
        // A group may be counted by any of its members.
        assert_eq!(count(&[(0, 7), (0, 8), (1, 7), (2, 8)]), 2);
        assert_eq!(count(&[(0, 7), (0, 8), (1, 7)]), 2);
        assert_eq!(count(&[(1, 7), (0, 7), (0, 0)]), 2);
        let one = identity("a", "5.9.1.1", 1, 0x4750_5300);
        assert_eq!(one.upstream(), None, "two receivers of one satellite system are two clocks");
    }

    #[test]
    fn a038_whatever_one_more_source_says_the_others_count_for_no_less() {
        let honest = [(0, 7), (1, 8), (2, 0), (3, 9), (3, 10), (4, 9)];
        for group in 0..6 {
            for id in [0, 7, 8, 9, 10, 11] {
                let mut all = honest.to_vec();
                all.insert(0, (group, id));
                let found = count(&all);
                assert!((5..=6).contains(&found), "{group} {id}: {found}");
            }
        }
    }
}
