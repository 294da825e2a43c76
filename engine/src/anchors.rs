//! The file of anchors ([`ipc::anchor`]): a ring of slots, which an earlier run has left or not. Each is synchronised: it proves what
//! others signed, and nobody signs it again.

use ipc::anchor::{Anchor, FORM, SLOT, SLOTS, place};
use ipc::history::NUMBERS;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// Octets of a slot that say which one it is: its form and its number.
const HEAD: usize = FORM.len() + 8;

/// See the module's head.
#[derive(Debug)]
pub struct Anchors {
    file: File,
    /// The number of the next one.
    next: u64,
}

impl Anchors {
    /// In this file, behind those that are there.
    ///
    /// # Errors
    /// The kernel's.
    pub fn begin(file: OwnedFd) -> io::Result<Self> {
        let file = File::from(file);
        let mut next = 0;
        for slot in 0..SLOTS {
            let mut head = [0; HEAD];
            match file.read_at(&mut head, slot * SLOT as u64) {
                Ok(HEAD) => {}
                Ok(_) => break,
                Err(error) => return Err(error),
            }
            let number = head.strip_prefix(&FORM).and_then(|octets| octets.try_into().ok());
            // Whatever stands in a place that is not its own is none.
            let number =
                number.map(u64::from_le_bytes).filter(|number| number % SLOTS == slot && *number < NUMBERS);
            next = next.max(number.map_or(0, |number| number.saturating_add(1)));
        }
        Ok(Self { file, next })
    }

    /// Writes this one, with its number.
    ///
    /// # Errors
    /// The kernel's.
    pub fn keep(&mut self, anchor: &Anchor) -> io::Result<()> {
        let sequence = self.next;
        let mut numbered = Anchor { sequence, ..anchor.clone() };
        numbered.fit();
        let octets = numbered.encode().ok_or(io::ErrorKind::InvalidData)?;
        self.file.write_all_at(&octets, place(sequence, SLOTS))?;
        self.file.sync_data()?;
        self.next = sequence.saturating_add(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::anchor::Exchange;
    use ipc::audit_line::End;
    use ipc::units::WallTime;

    fn anchor(lines: u64) -> Anchor {
        let exchange = Exchange { public_key: [1; 32], rand: [0; 32], version: 1, response: vec![2; 416] };
        Anchor {
            sequence: 0,
            wall: WallTime::MIN,
            audit: End { lines, hash: [3; 32] },
            history: End::NONE,
            random: [4; 32],
            exchanges: vec![exchange; 6],
        }
    }

    #[test]
    fn anchors_are_numbered_through_all_runs_and_the_oldest_gives_way() {
        let path = std::env::temp_dir().join(format!("truechimer-anchors-{}", std::process::id()));
        let open = || {
            let file =
                File::options().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
            Anchors::begin(file.into()).unwrap()
        };
        let read = |slot: u64| {
            let mut octets = [0; SLOT];
            File::open(&path).unwrap().read_exact_at(&mut octets, slot * SLOT as u64).unwrap();
            Anchor::decode(&octets)
        };
        for run in 0..3 {
            open().keep(&anchor(run)).unwrap();
            let kept = read(run).expect("it is whole");
            assert_eq!((kept.sequence, kept.audit.lines, kept.exchanges.len()), (run, run, 6));
        }
        // The last slot is torn, and one stands in a place that is not its own.
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&[9; 100], 2 * SLOT as u64 + 1_000).unwrap();
        let stray = Anchor { sequence: 77, ..anchor(9) }.encode().unwrap();
        file.write_all_at(&stray, 3 * SLOT as u64).unwrap();
        let mut anchors = open();
        assert_eq!((anchors.next, read(2)), (3, None), "its number is not given again");
        anchors.next = SLOTS;
        anchors.keep(&anchor(5)).unwrap();
        assert_eq!(read(0).unwrap().sequence, SLOTS);
        assert_eq!(open().next, SLOTS + 1);
        std::fs::remove_file(&path).unwrap();
    }
}
