//! The access list: the longest matching prefix decides, and an address without a match is not answered.

use ipc::message::server::{MAX_LIST, Rule};
use std::fmt;
use std::net::IpAddr;

/// Access rules as a sorted list of the addresses at which the verdict changes. A look-up is a binary search: at most
/// 13 steps for thousands of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessList {
    v4: Flat<u32>,
    /// For each first octet of an IPv4 address: the last start at or before its first address.
    v4_index: Box<[u16; 256]>,
    v6: Flat<u128>,
}

/// Each verdict applies from its start to the next one. The first start is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flat<N> {
    starts: Vec<N>,
    allows: Vec<bool>,
}

/// More rules than a list may have, or a prefix longer than an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleError;

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {MAX_LIST} access rules, or a prefix longer than an address")
    }
}

impl std::error::Error for RuleError {}

/// A rule as a range of addresses, both ends included.
#[derive(Clone, Copy)]
struct Range {
    start: u128,
    end: u128,
    bits: u32,
    allow: bool,
}

impl AccessList {
    /// No rule at all: no address is answered.
    pub fn empty() -> Self {
        let v4 = Flat { starts: vec![0], allows: vec![false] };
        let v6 = Flat { starts: vec![0], allows: vec![false] };
        Self { v4, v4_index: Box::new([0; 256]), v6 }
    }

    /// Builds the list. Bits of a prefix beyond its length are ignored; a rule for IPv4-mapped IPv6 addresses
    /// (::ffff:0:0/96 and longer) is one for IPv4; of two rules with the same prefix, the one that denies applies.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn new(rules: &[Rule]) -> Result<Self, RuleError> {
        if rules.len() > MAX_LIST {
            return Err(RuleError);
        }
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for rule in rules {
            let bits = u32::from(rule.bits);
            let whole = u128::from_be_bytes(rule.prefix);
            if !rule.ipv6 {
                v4.push(range(whole >> 96, 32, bits, rule.allow)?);
            } else if bits >= 96 && whole >> 32 == 0xffff {
                v4.push(range(whole & u128::from(u32::MAX), 32, bits - 96, rule.allow)?);
            } else {
                v6.push(range(whole, 128, bits, rule.allow)?);
            }
        }
        let (starts, allows) = flatten(v4, u128::from(u32::MAX));
        // Sorted by the width of the range.
        let v4 = Flat { starts: starts.into_iter().map(|start| start as u32).collect(), allows };
        let mut v4_index = Box::new([0; 256]);
        for (octet, place) in (0u32..).zip(v4_index.iter_mut()) {
            // At most two changes a rule, so it fits.
            *place = v4.place(octet << 24).min(usize::from(u16::MAX)) as u16;
        }
        let (starts, allows) = flatten(v6, u128::MAX);
        Ok(Self { v4, v4_index, v6: Flat { starts, allows } })
    }

    /// Whether this address is answered. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn allows(&self, source: IpAddr) -> bool {
        match source.to_canonical() {
            IpAddr::V4(v4) => {
                let [octet, ..] = v4.octets();
                let at = |octet: u8| self.v4_index.get(usize::from(octet)).map_or(0, |at| usize::from(*at));
                let end = octet.checked_add(1).map_or(self.v4.starts.len(), |next| at(next) + 1);
                self.v4.decide(u32::from(v4), at(octet), end)
            }
            IpAddr::V6(v6) => self.v6.decide(u128::from(v6), 0, self.v6.starts.len()),
        }
    }
}

impl<N: PartialOrd + Copy> Flat<N> {
    /// The last start that is not above this address.
    fn place(&self, address: N) -> usize {
        self.starts.partition_point(|start| *start <= address).saturating_sub(1)
    }

    /// The verdict, searched among the starts between two places.
    fn decide(&self, address: N, from: usize, to: usize) -> bool {
        let after = self.starts.get(from..to).unwrap_or_default().partition_point(|start| *start <= address);
        self.allows.get((from + after).wrapping_sub(1)).copied().unwrap_or(false)
    }
}

fn range(prefix: u128, width: u32, bits: u32, allow: bool) -> Result<Range, RuleError> {
    let low = width.checked_sub(bits).ok_or(RuleError)?;
    let free = u128::MAX.checked_shr(128 - low).unwrap_or(0);
    Ok(Range { start: prefix & !free, end: prefix | free, bits, allow })
}

/// The addresses at which the verdict changes: in each range, that of the narrowest enclosing rule applies.
fn flatten(mut ranges: Vec<Range>, last: u128) -> (Vec<u128>, Vec<bool>) {
    // Wider ones first, and the one that denies after the one that allows, so that it covers it.
    ranges.sort_by_key(|range| (range.start, range.bits, !range.allow));
    let mut changes: Vec<(u128, bool)> = vec![(0, false)];
    let mut open: Vec<Range> = Vec::new();
    let mut change = |at: u128, allow: bool| match changes.last_mut() {
        Some(before) if before.0 == at => before.1 = allow,
        _ => changes.push((at, allow)),
    };
    let close = |open: &mut Vec<Range>, until: Option<u128>, change: &mut dyn FnMut(u128, bool)| {
        while let Some(inner) = open.last().copied() {
            if until.is_some_and(|start| inner.end >= start) {
                break;
            }
            open.pop();
            if inner.end < last {
                change(inner.end + 1, open.last().is_some_and(|outer| outer.allow));
            }
        }
    };
    for range in ranges {
        close(&mut open, Some(range.start), &mut change);
        change(range.start, range.allow);
        open.push(range);
    }
    close(&mut open, None, &mut change);
    changes.dedup_by_key(|(_, allow)| *allow);
    changes.into_iter().unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    fn rule(text: &str, allow: bool) -> Rule {
        let (ip, bits) = text.split_once('/').unwrap();
        let bits = bits.parse().unwrap();
        let mut prefix = [0; 16];
        match ip.parse().unwrap() {
            IpAddr::V4(v4) => prefix[..4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => prefix = v6.octets(),
        }
        Rule { prefix, bits, ipv6: ip.contains(':'), allow }
    }

    fn list(allow: &[&str], deny: &[&str]) -> AccessList {
        let allow = allow.iter().map(|text| rule(text, true));
        let rules: Vec<Rule> = allow.chain(deny.iter().map(|text| rule(text, false))).collect();
        AccessList::new(&rules).unwrap()
    }

    fn allows(list: &AccessList, source: &str) -> bool {
        list.allows(source.parse().unwrap())
    }

    #[test]
    fn no_client_is_answered_without_a_rule() {
        for source in ["192.0.2.1", "127.0.0.1", "::1", "2001:db8::1", "::ffff:192.0.2.1"] {
            assert!(!allows(&AccessList::empty(), source));
        }
    }

    #[test]
    fn a094_the_longest_prefix_decides_whatever_the_order() {
        let list =
            list(&["0.0.0.0/0", "192.0.2.64/26", "2001:db8::/32"], &["192.0.2.0/24", "2001:db8:1::/127"]);
        for (source, expected) in [
            ("198.51.100.1", true),
            ("192.0.2.1", false),
            ("192.0.2.65", true),
            ("192.0.2.128", false),
            ("2001:db8::1", true),
            ("2001:db8:1::1", false),
            ("2001:db8:1::2", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(allows(&list, source), expected, "{source}");
        }
    }

    #[test]
    fn a094_an_ipv4_address_in_ipv6_clothes_is_an_ipv4_address() {
        let denied = list(&["0.0.0.0/0", "::/0"], &["192.0.2.1/32"]);
        assert!(!allows(&denied, "::ffff:192.0.2.1"));
        assert!(allows(&denied, "::ffff:192.0.2.2"));
        let v6_only = list(&["::/0"], &[]);
        assert!(!allows(&v6_only, "::ffff:192.0.2.1"));
        let clothed = list(&["0.0.0.0/0"], &["::ffff:192.0.2.0/120"]);
        assert!(!allows(&clothed, "192.0.2.7"));
        assert!(allows(&clothed, "192.0.3.7"));
    }

    #[test]
    fn neighbours_nested_rules_and_both_ends_of_the_addresses_are_laid_out_right() {
        let list = list(
            &["0.0.0.0/1", "255.255.255.255/32", "10.0.0.0/8", "10.0.0.0/25", "::/0"],
            &["10.0.0.0/24", "10.255.255.255/32", "11.0.0.0/8", "ffff::/16"],
        );
        for (source, expected) in [
            ("0.0.0.0", true),
            ("10.0.0.0", true),
            ("10.0.0.128", false),
            ("10.0.1.0", true),
            ("10.255.255.255", false),
            ("11.255.255.255", false),
            ("12.0.0.0", true),
            ("128.0.0.0", false),
            ("255.255.255.254", false),
            ("255.255.255.255", true),
            ("::", true),
            ("fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false),
        ] {
            assert_eq!(allows(&list, source), expected, "{source}");
        }
    }

    #[test]
    fn of_the_same_prefix_the_denying_rule_counts() {
        let list = list(&["192.0.2.0/24"], &["192.0.2.0/24"]);
        assert!(!allows(&list, "192.0.2.1"));
    }

    #[test]
    fn impossible_numbers_are_refused() {
        assert!(AccessList::new(&[Rule { bits: 32, ..Rule::NONE }]).is_ok());
        assert_eq!(AccessList::new(&[Rule { bits: 33, ..Rule::NONE }]), Err(RuleError));
        assert!(AccessList::new(&[Rule { bits: 128, ipv6: true, ..Rule::NONE }]).is_ok());
        assert_eq!(AccessList::new(&[Rule { bits: 129, ipv6: true, ..Rule::NONE }]), Err(RuleError));
        assert_eq!(AccessList::new(&[Rule::NONE; MAX_LIST + 1]), Err(RuleError));
        let mut clothed = rule("::ffff:0:0/96", true);
        clothed.bits = 129;
        assert_eq!(AccessList::new(&[clothed]), Err(RuleError));
    }

    /// Pseudo-random numbers, the same in every run.
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().hash_one(self.0)
        }

        fn below(&mut self, limit: u64) -> u64 {
            self.next() % limit
        }
    }

    /// Bit by bit, rule by rule.
    fn slow_reference(rules: &[Rule], source: IpAddr) -> bool {
        let (octets, ipv6) = match source.to_canonical() {
            IpAddr::V4(v4) => (v4.octets().to_vec(), false),
            IpAddr::V6(v6) => (v6.octets().to_vec(), true),
        };
        let bit = |octets: &[u8], at: usize| octets[at / 8] >> (7 - at % 8) & 1;
        let mut best: Option<(u8, bool)> = None;
        for rule in rules.iter().filter(|rule| rule.ipv6 == ipv6) {
            let matches = (0..usize::from(rule.bits)).all(|at| bit(&octets, at) == bit(&rule.prefix, at));
            let better = match best {
                None => true,
                Some((bits, _)) if rule.bits > bits => true,
                Some((bits, allow)) => rule.bits == bits && allow && !rule.allow,
            };
            if matches && better {
                best = Some((rule.bits, rule.allow));
            }
        }
        best.is_some_and(|(_, allow)| allow)
    }

    #[test]
    fn a094_a_million_decisions_equal_a_slow_reference() {
        let mut numbers = Numbers(94);
        let mut allowed = 0u32;
        for _ in 0..2_000 {
            let count = numbers.below(65) as usize;
            let rules: Vec<Rule> = (0..count)
                .map(|_| {
                    let ipv6 = numbers.below(2) == 1;
                    let width = if ipv6 { 128 } else { 32 };
                    let bits = match numbers.below(4) {
                        0 => [0, 1, width - 1, width][numbers.below(4) as usize],
                        _ => numbers.below(width + 1),
                    };
                    // Few bits of an address ever differ, so that prefixes and addresses meet.
                    let octets: [u8; 16] =
                        std::array::from_fn(
                            |_| if numbers.below(6) == 0 { 1 << numbers.below(8) } else { 0 },
                        );
                    Rule { prefix: octets, bits: bits as u8, ipv6, allow: numbers.below(2) == 1 }
                })
                .collect();
            let list = AccessList::new(&rules).unwrap();
            for _ in 0..500 {
                let octets: [u8; 16] =
                    std::array::from_fn(|_| if numbers.below(6) == 0 { 1 << numbers.below(8) } else { 0 });
                let four = [octets[0], octets[1], octets[2], octets[3]];
                let source = match numbers.below(3) {
                    0 => IpAddr::from(four),
                    1 => std::net::Ipv4Addr::from(four).to_ipv6_mapped().into(),
                    _ => IpAddr::from(octets),
                };
                let decision = list.allows(source);
                allowed += u32::from(decision);
                assert_eq!(decision, slow_reference(&rules, source), "{source} {rules:?}");
            }
        }
        assert!((100_000..900_000).contains(&allowed), "both answers are tried: {allowed}");
    }
}
