//! The addresses of names that worked, behind the frequency in the state file: again one line of text in two slots, written
//! alternately.

use super::slot::{self, TAIL, TORN};
use super::{SLOT, StateFile};
use engine_core::io::KeptAddresses;
use ipc::address::Address;
use ipc::message::exchange::HostName;
use ipc::units::WallTime;
use std::fmt::Write;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;

/// Length of a slot in octets, the line end included. Names for which there is no room are left out.
const LENGTH: usize = 4_096;

/// Where the first one begins.
const BEGIN: u64 = 2 * SLOT as u64;

/// Where the second one, and the file, ends.
pub(super) const END: usize = 2 * (SLOT + LENGTH);

/// First words of a slot; the number grows when the line changes.
const HEAD: &str = "truechimer-engine-addresses 1";

/// Most names: those of a configuration.
const MOST_NAMES: usize = 32;

impl StateFile {
    /// The addresses that were saved last, and a message if all that there was is damaged. Reads at most the two slots.
    pub fn load_addresses(&mut self) -> (Vec<KeptAddresses>, Option<String>) {
        let mut found: Option<(u64, Vec<KeptAddresses>)> = None;
        let mut complaint = None;
        for place in [BEGIN, BEGIN + LENGTH as u64] {
            let mut slot = vec![0; LENGTH];
            let length = match self.file.read_at(&mut slot, place) {
                Ok(length) => length,
                Err(error) => {
                    complaint = Some(error.to_string());
                    continue;
                }
            };
            slot.truncate(length);
            if slot::is_blank(&slot) {
                continue;
            }
            match read(&slot) {
                Some((sequence, names)) if found.as_ref().is_none_or(|(newest, _)| sequence > *newest) => {
                    found = Some((sequence, names));
                }
                Some(_) => {}
                None => complaint = Some(TORN.to_owned()),
            }
        }
        if found.is_none() && complaint.is_some() {
            // Else the slot that is written second would be complained about once more at the next start.
            let _ = self.file.write_all_at(&[0; 2 * LENGTH], BEGIN);
        }
        let complaint = complaint.filter(|_| found.is_none()).map(|why| {
            format!("the addresses of the last run in the state file are ignored ({why}); names are looked up as usual")
        });
        let (sequence, names) = found.unwrap_or_default();
        self.addresses_sequence = sequence;
        (names, complaint)
    }

    /// Writes the older slot, and waits until it is on the disk.
    ///
    /// # Errors
    /// Those of the file system; the newer slot is as it was.
    pub fn save_addresses(&mut self, names: &[KeptAddresses]) -> std::io::Result<()> {
        let sequence = self.addresses_sequence.saturating_add(1);
        let place = BEGIN + (sequence.wrapping_sub(1) % 2) * LENGTH as u64;
        self.file.write_all_at(&write(sequence, names), place)?;
        self.file.sync_data()?;
        self.addresses_sequence = sequence;
        Ok(())
    }
}

fn write(sequence: u64, names: &[KeptAddresses]) -> Vec<u8> {
    let mut line = format!("{HEAD} sequence={sequence}");
    for KeptAddresses { name, addresses, at } in names.iter().take(MOST_NAMES) {
        let mut words = format!(" name={} at-ns={}", name.as_str(), at.nanos());
        for address in addresses.iter().take(KeptAddresses::MOST) {
            let _ = write!(words, " address={}", address.socket_address());
        }
        if line.len() + words.len() + TAIL < LENGTH {
            line += &words;
        }
    }
    slot::seal(&line, LENGTH)
}

/// None: it is damaged, or of another version.
fn read(slot: &[u8]) -> Option<(u64, Vec<KeptAddresses>)> {
    let mut words = slot::open(slot, LENGTH, HEAD).ok()?.split_ascii_whitespace();
    let sequence = words.next()?.strip_prefix("sequence=")?.parse().ok()?;
    let mut names: Vec<KeptAddresses> = Vec::new();
    for word in words {
        let is_full = names.len() >= MOST_NAMES;
        match (word.split_once('=')?, names.last_mut()) {
            (("name", name), _) if !is_full => names.push(KeptAddresses {
                name: HostName::parse(name).ok()?,
                addresses: Vec::new(),
                at: WallTime::saturating(0),
            }),
            (("at-ns", at), Some(last)) => last.at = WallTime::try_new(at.parse().ok()?).ok()?,
            (("address", address), Some(last)) if last.addresses.len() < KeptAddresses::MOST => {
                last.addresses.push(Address::from(address.parse::<SocketAddr>().ok()?));
            }
            _ => return None,
        }
    }
    Some((sequence, names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::Place;
    use ipc::checksum::checksum;

    fn kept(name: &str, addresses: &[&str]) -> KeptAddresses {
        KeptAddresses {
            name: HostName::parse(name).unwrap(),
            addresses: addresses.iter().map(|it| it.parse::<SocketAddr>().unwrap().into()).collect(),
            at: WallTime::try_new(1_800_000_000_123_456_789).unwrap(),
        }
    }

    #[test]
    fn the_addresses_that_were_saved_last_are_loaded_and_a_torn_write_leaves_those_before() {
        let place = Place::new("addresses", b"");
        assert_eq!(place.open().load_addresses(), (Vec::new(), None));
        let first = [kept("a.example", &["192.0.2.1:123"])];
        let second = [
            kept("a.example", &["192.0.2.2:123", "[2001:db8::1]:123"]),
            kept("b.example", &["192.0.2.9:1123"]),
        ];
        let mut state = place.open();
        state.save_addresses(&first).unwrap();
        state.save_addresses(&second).unwrap();
        let mut again = place.open();
        assert_eq!(again.load(), (None, None), "beside the frequency");
        assert_eq!(again.load_addresses(), (second.to_vec(), None));
        again.save_addresses(&first).unwrap();
        assert_eq!(place.open().load_addresses(), (first.to_vec(), None));
        place.edit(|octets| octets[BEGIN as usize + 40] ^= 1);
        assert_eq!(place.open().load_addresses(), (second.to_vec(), None));
        place.edit(|octets| octets.truncate(BEGIN as usize + LENGTH + 30));
        let (names, complaint) = place.open().load_addresses();
        assert!(names.is_empty() && complaint.is_some_and(|text| text.contains("cut short or altered")));
    }

    #[test]
    fn names_without_room_are_left_out_and_no_more_is_read_than_is_written() {
        let long = format!("{}.example", "a".repeat(240));
        let of = ["[2001:db8:1111:2222:3333:4444:5555:6666]:65535"; 4];
        let many = vec![kept(&long, &of); 64];
        let place = Place::new("many", b"");
        place.open().save_addresses(&many).unwrap();
        let (names, complaint) = place.open().load_addresses();
        assert!((1..32).contains(&names.len()) && complaint.is_none(), "{}", names.len());
        assert_eq!(std::fs::metadata(place.path()).unwrap().len(), BEGIN + LENGTH as u64);
    }

    /// A line of names with so many addresses each, with the checksum and the length of one that was written.
    fn slot(addresses: &[usize]) -> Option<Vec<u8>> {
        let mut line = format!("{HEAD} sequence=1");
        for (at, count) in addresses.iter().enumerate() {
            let _ = write!(line, " name=n{at} at-ns=1");
            line += &" address=[::1]:1".repeat(*count);
        }
        let _ = write!(line, " check={:016x}", checksum(line.as_bytes()));
        let mut slot = line.into_bytes();
        slot.resize(slot.len().max(LENGTH - 1), b' ');
        slot.push(b'\n');
        Some(slot).filter(|slot| slot.len() == LENGTH)
    }

    #[test]
    fn a_line_has_no_more_names_and_addresses_than_a_configuration_has() {
        let most = [KeptAddresses::MOST; 16];
        let found = |addresses: &[usize]| read(&slot(addresses).unwrap()).map(|(_, names)| names.len());
        assert_eq!(found(&most), Some(16));
        assert_eq!(found(&[1; MOST_NAMES]), Some(MOST_NAMES));
        assert_eq!(found(&[1; MOST_NAMES + 1]), None);
        assert_eq!(found(&[0, KeptAddresses::MOST + 1]), None);
    }

    proptest::proptest! {
        #[test]
        fn no_words_are_read_as_more_than_a_configuration_has(
            names in 0..200_usize,
            addresses in proptest::collection::vec(0..=9_usize, 200),
            most in 0..=9_usize,
        ) {
            let counts: Vec<usize> = addresses.iter().take(names).map(|count| *count.min(&most)).collect();
            if let Some(slot) = slot(&counts) {
                let lawful = counts.len() <= MOST_NAMES && counts.iter().all(|count| *count <= KeptAddresses::MOST);
                let found = read(&slot);
                proptest::prop_assert_eq!(found.is_some(), lawful);
                if let Some((_, names)) = found {
                    proptest::prop_assert!(names.len() <= MOST_NAMES);
                    let is_short = |name: &KeptAddresses| name.addresses.len() <= KeptAddresses::MOST;
                    proptest::prop_assert!(names.iter().all(is_short));
                }
            }
        }
    }
}
