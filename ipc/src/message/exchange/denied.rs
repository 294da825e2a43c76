//! Which time servers a key exchange server is asked not to name. It shares its clients out among several (draft-venhoek-nts-pool), and
//! has named these before.

use super::{HostName, is_host};
use crate::codec::{Decode, Encode};
use crate::units::OutOfRange;
use core::fmt;

/// Longest list in octets: in a request each name takes four more, and of a request of 1024 octets, which each server takes (RFC 8915
/// section 4), there is room for all the rest.
pub const MAX_DENIED: usize = 896;

bounded! {
    /// Host names, separated by single spaces, in the letters in which the server wrote them: such servers compare octets.
    Denied, RawDenied, DeniedOctets, MAX_DENIED, is_list, "([a-z0-9][a-zA-Z0-9.-]{0,30}( [a-z0-9][a-zA-Z0-9.-]{0,30}){0,9})?"
}

fn is_list(text: &[u8]) -> bool {
    text.is_empty()
        || text
            .split(|octet| *octet == b' ')
            .all(|name| HostName::from_octets(name).is_ok_and(|_| is_host(name)))
}

impl Denied {
    /// None.
    pub const NONE: Self = Self(RawDenied { length: 0, octets: DeniedOctets([0; MAX_DENIED]) });

    /// As many of these as there is room for, each once.
    pub fn of<'a>(names: impl Iterator<Item = &'a HostName>) -> Self {
        names.fold(Self::NONE, |list, name| list.with(name).unwrap_or(list))
    }

    /// With one more; none: there is no room for it.
    fn with(self, name: &HostName) -> Option<Self> {
        if self.iter().any(|listed| listed == name.as_str()) {
            return None;
        }
        let mut octets = self.0.octets.0;
        let length = usize::from(self.0.length);
        let start = if length == 0 { 0 } else { length + 1 };
        let end = start + name.octets().len();
        octets.get_mut(start..end)?.copy_from_slice(name.octets());
        if length > 0 {
            *octets.get_mut(length)? = b' ';
        }
        Self::from_octets(octets.get(..end)?).ok()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        core::str::from_utf8(self.octets()).unwrap_or("").split(' ').filter(|name| !name.is_empty())
    }
}

impl fmt::Debug for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn names_are_listed_once_as_they_were_written_and_as_many_as_there_is_room_for() {
        let long = "a".repeat(253);
        let names = [
            "T1.example",
            "192.0.2.7",
            "T1.example",
            &long,
            "b",
            &long.replace('a', "c"),
            &long.replace('a', "d"),
            &long.replace('a', "e"),
            "f",
        ];
        let names: Vec<HostName> = names.iter().map(|name| HostName::parse(name).unwrap()).collect();
        let list = Denied::of(names.iter());
        let listed: Vec<&str> = list.iter().collect();
        let all: Vec<&str> = [0, 1, 3, 4, 5, 6, 8].iter().map(|at| names[*at].as_str()).collect();
        assert_eq!(listed, all);
        assert_eq!(Denied::of(names[..0].iter()), Denied::NONE);
        assert_eq!(Denied::NONE.iter().count(), 0);
        for bad in [&b"a  b"[..], b"a ", b" a", b"-a", b"a:b", b"fe80::1%eth0", b"a\n"] {
            assert!(Denied::from_octets(bad).is_err(), "{bad:?}");
        }
    }
}
