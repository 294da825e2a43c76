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
    /// What is there; none: it could not be read yet.
    found: Option<Found>,
    /// One that could not be written yet: a later one proves more, and takes its place.
    waiting: Option<Anchor>,
    is_lack_told: bool,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    /// The number of the next one.
    next: u64,
    /// Slots in which there is something else than an anchor.
    foreign: u64,
}

impl Anchors {
    /// In this file, behind those that are there.
    pub fn new(file: OwnedFd) -> Self {
        Self { file: file.into(), found: None, waiting: None, is_lack_told: false }
    }

    /// Writes this one, with its number; one that cannot be written waits for [`Self::retry`].
    ///
    /// # Errors
    /// The kernel's.
    pub fn keep(&mut self, anchor: Anchor) -> io::Result<()> {
        self.waiting = Some(anchor);
        self.write()
    }

    /// Looks into the file and writes what waits, if that is still to be done.
    pub fn retry(&mut self) -> Option<io::Result<()>> {
        (self.found.is_none() || self.waiting.is_some()).then(|| self.write())
    }

    /// How many there have been; none: it could not be read yet.
    pub fn count(&self) -> Option<u64> {
        self.found.map(|found| found.next)
    }

    /// What is missing in the file, of which it was `known` that so many anchors had been written; once.
    pub fn take_lack(&mut self, known: Option<u64>) -> Option<String> {
        let Found { next, foreign } = self.found?;
        if std::mem::replace(&mut self.is_lack_told, true) {
            return None;
        }
        let lost = known.filter(|known| *known > next);
        match lost {
            Some(known) => Some(format!(
                "engine.anchors has lost what was in it: {known} anchors had been written, and {next} are there; what they proved of \
                 audit log and history is proven no more, except by copies"
            )),
            None if foreign > 0 => Some(format!(
                "engine.anchors was altered: something else than an anchor stands in {foreign} of its places; chimerctl audit \
                 --verify says what is still proven"
            )),
            None => None,
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let found = match self.found {
            Some(found) => found,
            None => find(&self.file)?,
        };
        self.found = Some(found);
        let Some(anchor) = &self.waiting else { return Ok(()) };
        let sequence = found.next;
        let mut numbered = Anchor { sequence, ..anchor.clone() };
        numbered.fit();
        let octets = numbered.encode().ok_or(io::ErrorKind::InvalidData)?;
        self.file.write_all_at(&octets, place(sequence, SLOTS))?;
        self.file.sync_data()?;
        self.waiting = None;
        self.found = Some(Found { next: sequence.saturating_add(1), ..found });
        Ok(())
    }
}

fn find(file: &File) -> io::Result<Found> {
    let mut found = Found { next: 0, foreign: 0 };
    for slot in 0..SLOTS {
        let mut head = [0; HEAD];
        match file.read_at(&mut head, slot * SLOT as u64)? {
            HEAD => {}
            _ => break,
        }
        let number = head.strip_prefix(&FORM).and_then(|octets| octets.try_into().ok());
        // Whatever stands in a place that is not its own is none.
        let number =
            number.map(u64::from_le_bytes).filter(|number| number % SLOTS == slot && *number < NUMBERS);
        match number {
            Some(number) => found.next = found.next.max(number.saturating_add(1)),
            // A power cut may leave a hole.
            None if head == [0; HEAD] => {}
            None => found.foreign += 1,
        }
    }
    Ok(found)
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
            let mut anchors = Anchors::new(file.into());
            anchors.retry().expect("it looks").unwrap();
            anchors
        };
        let read = |slot: u64| {
            let mut octets = [0; SLOT];
            File::open(&path).unwrap().read_exact_at(&mut octets, slot * SLOT as u64).unwrap();
            Anchor::decode(&octets)
        };
        for run in 0..3 {
            open().keep(anchor(run)).unwrap();
            let kept = read(run).expect("it is whole");
            assert_eq!((kept.sequence, kept.audit.lines, kept.exchanges.len()), (run, run, 6));
        }
        // The last slot is torn, and one stands in a place that is not its own.
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&[9; 100], 2 * SLOT as u64 + 1_000).unwrap();
        let stray = Anchor { sequence: 77, ..anchor(9) }.encode().unwrap();
        file.write_all_at(&stray, 3 * SLOT as u64).unwrap();
        let mut anchors = open();
        assert_eq!((anchors.count(), read(2)), (Some(3), None), "its number is not given again");
        assert!(anchors.take_lack(Some(3)).is_some_and(|text| text.contains("1 of its places")));
        assert_eq!(anchors.take_lack(Some(3)), None, "it is told once");
        anchors.found = Some(Found { next: SLOTS, foreign: 0 });
        anchors.keep(anchor(5)).unwrap();
        assert_eq!(read(0).unwrap().sequence, SLOTS);
        assert_eq!(open().count(), Some(SLOTS + 1));
        std::fs::write(&path, b"").unwrap();
        let lack = open().take_lack(Some(SLOTS + 1)).unwrap();
        assert!(lack.contains(&format!("{} anchors had been written, and 0 are there", SLOTS + 1)), "{lack}");
        assert_eq!(open().take_lack(None), None, "of a first start nothing is known");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_that_can_neither_be_read_nor_written_is_tried_again_and_its_last_anchor_is_kept() {
        let path = std::env::temp_dir().join(format!("truechimer-anchors-full-{}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        let swap = |anchors: &mut Anchors, file: &File| anchors.file = file.try_clone().unwrap();
        let unreadable = File::options().write(true).open(&path).unwrap();
        let mut anchors = Anchors::new(unreadable.into());
        assert!(anchors.retry().is_some_and(|tried| tried.is_err()), "it is not given up");
        assert!(anchors.keep(anchor(1)).is_err());
        swap(&mut anchors, &file);
        anchors.retry().expect("it waits").unwrap();
        let full = File::options().read(true).write(true).open("/dev/full").unwrap();
        swap(&mut anchors, &full);
        assert!(anchors.keep(anchor(2)).is_err() && anchors.keep(anchor(3)).is_err());
        assert!(anchors.retry().is_some_and(|tried| tried.is_err()));
        swap(&mut anchors, &file);
        anchors.retry().expect("it waits").unwrap();
        assert!(anchors.retry().is_none(), "nothing is left to be done");
        let octets = std::fs::read(&path).unwrap();
        let kept: Vec<_> = octets
            .chunks_exact(SLOT)
            .filter_map(|slot| Anchor::decode(slot.try_into().unwrap()))
            .map(|anchor| (anchor.sequence, anchor.audit.lines))
            .collect();
        assert_eq!(kept, [(0, 1), (1, 3)]);
        std::fs::remove_file(&path).unwrap();
    }
}
