//! chrony's own way to keep rules, written again from its documentation, beside ours.

use super::*;
use proptest::prelude::*;

/// A table of sixteen entries for four bits of an address, as chrony.conf(5) describes it.
#[derive(Clone, Default)]
struct Node {
    says: Option<bool>,
    table: Option<Vec<Node>>,
}

impl Node {
    fn open(&mut self) -> &mut Vec<Self> {
        self.table.get_or_insert_with(|| vec![Self::default(); 16])
    }

    fn set(&mut self, address: u128, bits: u8, allow: bool, all: bool) {
        let nibble = usize::try_from(address >> 124).unwrap();
        match bits {
            0 => {
                if all {
                    self.table = None;
                }
                self.says = Some(allow);
            }
            1..4 => {
                let count = 1usize << (4 - bits);
                let first = nibble & !(count - 1);
                for entry in &mut self.open()[first..first + count] {
                    entry.set(0, 0, allow, all);
                }
            }
            _ => self.open()[nibble].set(address << 4, bits - 4, allow, all),
        }
    }

    fn allows(&self, address: u128, before: bool) -> bool {
        let said = self.says.unwrap_or(before);
        match &self.table {
            None => said,
            Some(table) => table[usize::try_from(address >> 124).unwrap()].allows(address << 4, said),
        }
    }
}

/// What the server does: the longest prefix decides, and an address without a match has no answer.
fn verdict(rules: &Rules, address: Network) -> bool {
    let matching = rules.0.iter().filter(|(network, _)| network.contains(&address));
    matching.max_by_key(|(network, _)| network.bits).is_some_and(|(_, allow)| *allow)
}

fn network(text: &str) -> Network {
    parse(text).unwrap().unwrap()
}

#[test]
fn the_manuals_two_examples_say_what_it_says_of_them() {
    let of = |lists: &[(&str, bool, bool)]| {
        let mut rules = ChronyRules::default();
        lists.iter().for_each(|(text, allow, all)| rules.set(network(text), *allow, *all));
        rules.rules()
    };
    let first = of(&[("1.2.3.4", true, false), ("1.2.3.0/24", false, false), ("1.2.0.0/16", true, false)]);
    for (address, allow) in [("1.2.3.4", true), ("1.2.3.5", false), ("1.2.9.9", true), ("1.3.0.0", false)] {
        assert_eq!(verdict(&first, network(address)), allow, "{address}");
    }
    let second = of(&[("1.2.3.4", true, false), ("1.2.3.0/24", false, false), ("1.2.0.0/16", true, true)]);
    assert_eq!(second.0.len(), 1, "{second:?}");
    // 1.2.3.0/25 and 1.2.3.0/28 are in one table: the later one counts.
    let third = of(&[("1.2.3.0/28", false, false), ("1.2.3.0/25", true, false)]);
    assert!(verdict(&third, network("1.2.3.1")));
    let other = of(&[("1.2.3.0/25", true, false), ("1.2.3.0/28", false, false)]);
    assert!(!verdict(&other, network("1.2.3.1")) && verdict(&other, network("1.2.3.17")));
}

#[test]
fn networks_are_read_as_chrony_reads_them() {
    for (text, expected) in [
        ("3.4.5", "3.4.5.0/24"),
        ("3.4", "3.4.0.0/16"),
        ("3", "3.0.0.0/8"),
        ("0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("192.0.2.1/24", "192.0.2.0/24"),
        ("2001:db8::1", "2001:db8::1/128"),
    ] {
        assert_eq!(network(text).to_string(), expected);
    }
    assert_eq!(parse("host.example.org"), Ok(None));
    for bad in ["1.2.3.4/33", "host/24", "1.2.3.4.5", "2001:db8::/129", "1.2.3.256", ":", "1.2.3.4/x"] {
        assert_eq!(parse(bad), Err(()), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Networks close to each other, so that they overlap; addresses at their borders too.
    #[test]
    fn any_list_of_chrony_means_the_same_here(
        lines in prop::collection::vec((0u32..2048, 16u8..=32, any::<bool>(), any::<bool>(), any::<bool>()), 0..24),
        addresses in prop::collection::vec(0u32..4096, 64),
    ) {
        let (mut theirs, mut ours) = (Node::default(), ChronyRules::default());
        for (low, bits, allow, all, is_wide) in lines {
            // Twelve low bits matter, at two places of the address.
            let address = 0x0a00_0000 | if is_wide { low << 12 } else { low };
            let bits = if is_wide { bits % 21 } else { bits };
            let whole = Network::new(Ipv4Addr::from_bits(address).into(), bits).unwrap();
            theirs.set(whole.prefix, bits, allow, all);
            ours.set(whole, allow, all);
        }
        let rules = ours.rules();
        for low in addresses {
            for address in [0x0a00_0000 | low, 0x0a00_0000 | low << 12, low << 20] {
                let host = Network::new(Ipv4Addr::from_bits(address).into(), 32).unwrap();
                prop_assert_eq!(verdict(&rules, host), theirs.allows(host.prefix, false), "{}: {:?}", host, rules);
            }
        }
    }
}
