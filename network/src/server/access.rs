//! Who is answered: the longest prefix that matches decides, and nobody is answered without one.

use ipc::message::server::{Access, Rule};
use std::fmt;
use std::net::IpAddr;

/// Access rules, longest prefix first; of two with the same prefix the one that denies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessList {
    v4: Vec<Entry<u32>>,
    v6: Vec<Entry<u128>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry<N> {
    prefix: N,
    mask: N,
    allow: bool,
}

/// More than 64 rules, or more bits than an address has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleError;

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("more than 64 access rules, or a prefix longer than an address")
    }
}

impl std::error::Error for RuleError {}

impl AccessList {
    /// No rule at all.
    pub const fn nobody() -> Self {
        Self { v4: Vec::new(), v6: Vec::new() }
    }

    /// Sorts the rules. Bits of a prefix beyond its length don't count; a rule for IPv4 addresses in IPv6
    /// clothes (::ffff:0:0/96 and longer) is one for IPv4.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn new(access: &Access) -> Result<Self, RuleError> {
        let mut rules: Vec<Rule> = access.rules.get(..usize::from(access.count)).ok_or(RuleError)?.to_vec();
        rules.sort_by_key(|rule| (std::cmp::Reverse(rule.bits), rule.allow));
        let mut list = Self::nobody();
        for rule in rules {
            let bits = u32::from(rule.bits);
            let whole = u128::from_be_bytes(rule.prefix);
            let allow = rule.allow;
            if !rule.ipv6 {
                let mask = mask(u128::from(u32::MAX), 32, bits)? as u32;
                let prefix = (whole >> 96) as u32 & mask;
                list.v4.push(Entry { prefix, mask, allow });
            } else if bits >= 96 && whole >> 32 == 0xffff {
                let mask = mask(u128::from(u32::MAX), 128, bits)? as u32;
                list.v4.push(Entry { prefix: whole as u32 & mask, mask, allow });
            } else {
                let mask = mask(u128::MAX, 128, bits)?;
                list.v6.push(Entry { prefix: whole & mask, mask, allow });
            }
        }
        // Clothed rules came in with 96 more bits than they have.
        list.v4.sort_by_key(|entry| (std::cmp::Reverse(entry.mask), entry.allow));
        Ok(list)
    }

    /// Whether this address is answered. An IPv4 address in IPv6 clothes is an IPv4 address.
    pub fn allows(&self, source: IpAddr) -> bool {
        match source.to_canonical() {
            IpAddr::V4(v4) => decide(&self.v4, u32::from(v4), |a, b| a & b),
            IpAddr::V6(v6) => decide(&self.v6, u128::from(v6), |a, b| a & b),
        }
    }
}

/// The highest `bits` of `width` bits, within `all`.
fn mask(all: u128, width: u32, bits: u32) -> Result<u128, RuleError> {
    let low = width.checked_sub(bits).ok_or(RuleError)?;
    Ok(all & u128::MAX.checked_shl(low).unwrap_or(0))
}

fn decide<N: Copy + PartialEq>(entries: &[Entry<N>], address: N, and: fn(N, N) -> N) -> bool {
    let found = entries.iter().find(|entry| and(address, entry.mask) == entry.prefix);
    found.is_some_and(|entry| entry.allow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::message::server::MAX_RULES;
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

    fn access(rules: &[Rule]) -> Access {
        let mut all = [Rule::NONE; MAX_RULES];
        all[..rules.len()].copy_from_slice(rules);
        Access { count: rules.len() as u8, rules: all }
    }

    fn list(allow: &[&str], deny: &[&str]) -> AccessList {
        let allow = allow.iter().map(|text| rule(text, true));
        let rules: Vec<Rule> = allow.chain(deny.iter().map(|text| rule(text, false))).collect();
        AccessList::new(&access(&rules)).unwrap()
    }

    fn allows(list: &AccessList, source: &str) -> bool {
        list.allows(source.parse().unwrap())
    }

    #[test]
    fn nobody_is_answered_without_a_rule() {
        for source in ["192.0.2.1", "127.0.0.1", "::1", "2001:db8::1", "::ffff:192.0.2.1"] {
            assert!(!allows(&AccessList::nobody(), source));
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
    fn of_the_same_prefix_the_denying_rule_counts() {
        let list = list(&["192.0.2.0/24"], &["192.0.2.0/24"]);
        assert!(!allows(&list, "192.0.2.1"));
    }

    #[test]
    fn impossible_numbers_are_refused() {
        assert!(AccessList::new(&access(&[Rule { bits: 32, ..Rule::NONE }])).is_ok());
        assert_eq!(AccessList::new(&access(&[Rule { bits: 33, ..Rule::NONE }])), Err(RuleError));
        assert!(AccessList::new(&access(&[Rule { bits: 128, ipv6: true, ..Rule::NONE }])).is_ok());
        assert_eq!(AccessList::new(&access(&[Rule { bits: 129, ipv6: true, ..Rule::NONE }])), Err(RuleError));
        assert_eq!(AccessList::new(&Access { count: 65, ..access(&[]) }), Err(RuleError));
        let mut clothed = rule("::ffff:0:0/96", true);
        clothed.bits = 129;
        assert_eq!(AccessList::new(&access(&[clothed])), Err(RuleError));
    }

    /// Numbers without a pattern, the same in every run.
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
            let count = numbers.below(MAX_RULES as u64 + 1) as usize;
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
            let list = AccessList::new(&access(&rules)).unwrap();
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
