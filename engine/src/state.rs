//! The state file: one line of text in two slots of fixed length, written alternately, so that an interrupted write
//! destroys only the older one. The addresses of names follow it, in two slots of their own.

mod addresses;
mod slot;

use engine_core::io::Saved;
use ipc::units::{Frequency, WallTime};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// Length of a slot in octets, the line end included.
const SLOT: usize = 256;

/// First words of a slot; the number grows when the line changes.
const HEAD: &str = "truechimer-engine-state 1";

/// Standard deviation of a frequency that the configuration gives, ppm: that of another daemon on the same oscillator, which may
/// have been measured in another boot.
const INITIAL_ERROR_PPM: f64 = 5.0;

/// A frequency of the configuration, as what was saved.
pub fn initial(frequency: Frequency, at: WallTime) -> Saved {
    Saved { frequency, frequency_error_ppm: INITIAL_ERROR_PPM, at }
}

/// The state file.
#[derive(Debug)]
pub struct StateFile {
    file: File,
    sequence: u64,
    addresses_sequence: u64,
    counts: Counts,
}

/// How much there was in other files when this one was saved last, so that a start sees that they were lost; none: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records of the history of minutes.
    pub history: Option<u64>,
    /// Anchors.
    pub anchors: Option<u64>,
}

impl StateFile {
    /// Takes the file; [`Self::load`] comes first.
    pub fn new(fd: OwnedFd) -> Self {
        Self { file: File::from(fd), sequence: 0, addresses_sequence: 0, counts: Counts::default() }
    }

    /// The last saved state, and a message if something in the file was ignored. Reads at most the two slots.
    pub fn load(&mut self) -> (Option<Saved>, Option<String>) {
        let mut octets = [0; 2 * SLOT];
        let mut length = 0;
        while let Some(room) = octets.get_mut(length..).filter(|room| !room.is_empty()) {
            match self.file.read_at(room, length as u64) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return (
                        None,
                        Some(format!("the state file cannot be read ({error}); starting without")),
                    );
                }
            }
        }
        let mut best: Option<(u64, Saved, Counts)> = None;
        let mut complaint = None;
        for slot in octets.get(..length).unwrap_or_default().chunks(SLOT) {
            if slot::is_blank(slot) {
                continue;
            }
            match read_slot(slot) {
                Ok((sequence, saved, counts)) if best.is_none_or(|(newest, ..)| sequence > newest) => {
                    best = Some((sequence, saved, counts));
                }
                Ok(_) => {}
                Err(why) => complaint = Some(why),
            }
        }
        (self.sequence, self.counts) =
            best.map_or((0, Counts::default()), |(sequence, _, counts)| (sequence, counts));
        if best.is_none() && complaint.is_some() {
            // Else the slot that is written second would be complained about once more at the next start.
            let _ = self.file.write_all_at(&[0; 2 * SLOT], 0);
        }
        let saved = best.map(|(_, saved, _)| saved);
        let complaint = complaint.map(|why| match saved {
            Some(_) => format!("one slot of the state file is ignored ({why}); the other one is used"),
            None => format!("the state file is ignored ({why}); the frequency is learned anew"),
        });
        (saved, complaint)
    }

    /// Takes over the last saved state of the file in the other directory if it is the later one, and voids that file
    /// once it is saved here too; later saves count on from there. The addresses of names likewise, which
    /// [`Self::load_addresses`] then finds.
    pub fn continue_from(&mut self, mut aside: Self) -> Option<Saved> {
        let (saved, _) = aside.load();
        let later = saved.filter(|_| aside.sequence > self.sequence);
        if let Some(later) = &later {
            self.sequence = aside.sequence;
            self.note_counts(aside.counts.history, aside.counts.anchors);
            if self.save(later).is_err() {
                return Some(*later);
            }
        }
        self.load_addresses();
        let (names, _) = aside.load_addresses();
        if aside.addresses_sequence > self.addresses_sequence {
            self.addresses_sequence = aside.addresses_sequence;
            if self.save_addresses(&names).is_err() {
                return later;
            }
        }
        let _ = aside.file.write_all_at(&[0; addresses::END], 0);
        later
    }

    /// What was known of other files when it was saved last.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How much there is in other files now; of one of which nothing is known, what was known stays.
    pub fn note_counts(&mut self, history: Option<u64>, anchors: Option<u64>) {
        self.counts =
            Counts { history: history.or(self.counts.history), anchors: anchors.or(self.counts.anchors) };
    }

    /// Writes the older slot and waits until it is on the disk.
    ///
    /// # Errors
    /// Those of the file system; the newer slot is as it was.
    pub fn save(&mut self, saved: &Saved) -> std::io::Result<()> {
        let sequence = self.sequence.saturating_add(1);
        let place = (sequence.wrapping_sub(1) % 2) * SLOT as u64;
        self.file.write_all_at(&write_slot(sequence, saved, self.counts), place)?;
        self.file.sync_data()?;
        self.sequence = sequence;
        Ok(())
    }
}

fn write_slot(sequence: u64, saved: &Saved, counts: Counts) -> Vec<u8> {
    let mut body = format!(
        "{HEAD} sequence={sequence} at-ns={} frequency-ppm={:.6} frequency-error-ppm={:.6}",
        saved.at.nanos(),
        f64::from(saved.frequency.scaled()) / f64::from(Frequency::PER_PPM),
        saved.frequency_error_ppm
    );
    for (key, count) in [("history", counts.history), ("anchors", counts.anchors)] {
        if let Some(count) = count {
            body += &format!(" {key}={count}");
        }
    }
    slot::seal(&body, SLOT)
}

fn read_slot(slot: &[u8]) -> Result<(u64, Saved, Counts), &'static str> {
    let words = slot::open(slot, SLOT, HEAD)?;
    let word = |key: &str| {
        words
            .split(' ')
            .filter_map(|word| word.split_once('='))
            .find(|(name, _)| *name == key)
            .map(|(_, v)| v)
    };
    let sequence = word("sequence").and_then(|v| v.parse::<u64>().ok()).ok_or("no sequence number")?;
    let at = word("at-ns").and_then(|v| v.parse::<i64>().ok()).and_then(|at| WallTime::try_new(at).ok());
    let at = at.ok_or("a time out of range")?;
    let most = f64::from(Frequency::MAX.scaled() / Frequency::PER_PPM);
    let ppm = word("frequency-ppm").and_then(|v| v.parse::<f64>().ok()).filter(|ppm| ppm.abs() <= most);
    let ppm = ppm.ok_or("a frequency out of range")?;
    let error = word("frequency-error-ppm").and_then(|v| v.parse::<f64>().ok());
    let error =
        error.filter(|error| (0.0..=1000.0).contains(error)).ok_or("a frequency error out of range")?;
    let scaled = (ppm * f64::from(Frequency::PER_PPM)).round() as i32;
    let count = |key: &str| word(key).and_then(|v| v.parse::<u64>().ok());
    let counts = Counts { history: count("history"), anchors: count("anchors") };
    Ok((sequence, Saved { frequency: Frequency::saturating(scaled), frequency_error_ppm: error, at }, counts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::checksum::checksum;
    use std::path::{Path, PathBuf};

    pub struct Place(PathBuf);

    impl Place {
        pub fn path(&self) -> &Path {
            &self.0
        }

        pub fn new(name: &str, octets: &[u8]) -> Self {
            let path = std::env::temp_dir().join(format!("truechimer-state-{name}-{}", std::process::id()));
            std::fs::write(&path, octets).unwrap();
            Self(path)
        }

        pub fn open(&self) -> StateFile {
            StateFile::new(File::options().read(true).write(true).open(&self.0).unwrap().into())
        }

        pub fn edit(&self, edit: impl FnOnce(&mut Vec<u8>)) {
            let mut octets = std::fs::read(&self.0).unwrap();
            edit(&mut octets);
            std::fs::write(&self.0, octets).unwrap();
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn saved(scaled: i32) -> Saved {
        Saved {
            frequency: Frequency::try_new(scaled).unwrap(),
            frequency_error_ppm: 0.25,
            at: WallTime::try_new(1_800_000_000_123_456_789).unwrap(),
        }
    }

    #[test]
    fn what_was_saved_last_is_loaded() {
        let place = Place::new("last", b"");
        let mut state = place.open();
        assert_eq!(state.load(), (None, None));
        for scaled in [1, -2, 32_768_000, -32_768_000, 1_234_567] {
            state.save(&saved(scaled)).unwrap();
            assert_eq!(place.open().load(), (Some(saved(scaled)), None));
        }
        let text = String::from_utf8(std::fs::read(&place.0).unwrap()).unwrap();
        assert_eq!((text.len(), text.lines().count()), (2 * SLOT, 2), "two lines for people: {text}");
    }

    #[test]
    fn the_later_one_of_two_files_counts_and_is_void_once_it_was_saved() {
        for (here, there, expected) in
            [(0, 3, Some(3)), (2, 3, Some(3)), (3, 2, None), (2, 2, None), (0, 0, None)]
        {
            let (ours, theirs) = (Place::new("here", b""), Place::new("there", b""));
            for (place, count) in [(&ours, here), (&theirs, there)] {
                let mut file = place.open();
                (1..=count).for_each(|scaled| file.save(&saved(scaled)).unwrap());
            }
            let mut file = ours.open();
            let before = file.load().0;
            assert_eq!(file.continue_from(theirs.open()), expected.map(saved), "{here} {there}");
            assert_eq!(ours.open().load().0, expected.map(saved).or(before), "{here} {there}");
            assert_eq!(theirs.open().load().0, None, "{here} {there}");
            // What is saved next is later than either.
            file.save(&saved(9)).unwrap();
            assert_eq!(ours.open().load().0, Some(saved(9)), "{here} {there}");
        }
    }

    #[test]
    fn what_was_in_other_files_is_remembered_and_the_longest_line_has_room() {
        let place = Place::new("counts", b"");
        let mut state = place.open();
        (state.sequence, state.addresses_sequence) = (u64::MAX - 9, 0);
        state.note_counts(Some(u64::MAX), Some(u64::MAX));
        let longest = Saved {
            frequency: Frequency::try_new(-32_768_000).unwrap(),
            frequency_error_ppm: 1_000.0,
            at: WallTime::MAX,
        };
        state.save(&longest).unwrap();
        let mut state = place.open();
        assert_eq!(state.load().0.map(|saved| saved.at), Some(WallTime::MAX));
        let full = Counts { history: Some(u64::MAX), anchors: Some(u64::MAX) };
        assert_eq!(state.counts(), full);
        // A run without a history does not forget that there was one.
        state.note_counts(None, Some(3));
        assert_eq!(state.counts(), Counts { history: Some(u64::MAX), anchors: Some(3) });
    }

    #[test]
    fn a_restart_goes_on_counting() {
        let place = Place::new("count", b"");
        place.open().save(&saved(1)).unwrap();
        let mut state = place.open();
        state.load();
        state.save(&saved(2)).unwrap();
        assert_eq!(place.open().load().0, Some(saved(2)));
    }

    #[test]
    fn a_write_that_was_cut_short_leaves_the_one_before() {
        let (first, third) =
            (write_slot(1, &saved(1), Counts::default()), write_slot(3, &saved(3), Counts::default()));
        let differs = |at: &usize| first[*at] != third[*at];
        let (begin, end) = ((0..SLOT).find(differs).unwrap(), (0..SLOT).rfind(differs).unwrap());
        assert!(begin < end);
        for cut in [1, begin, begin + 1, 100, end, end + 1, SLOT - 1] {
            let place = Place::new(&format!("cut{cut}"), b"");
            let mut state = place.open();
            for scaled in 1..=3 {
                state.save(&saved(scaled)).unwrap();
            }
            // The third went into the first slot, over the first; only `cut` octets of it got there.
            place.edit(|octets| octets[cut..SLOT].copy_from_slice(&first[cut..]));
            let (found, complaint) = place.open().load();
            let newest = if cut > end { 3 } else { 2 };
            assert_eq!(found, Some(saved(newest)), "cut {cut}");
            assert_eq!(complaint.is_some(), (begin + 1..=end).contains(&cut), "cut {cut}: {complaint:?}");
        }
    }

    #[test]
    fn a148_whatever_else_the_file_holds_is_ignored_with_a_reason() {
        let slot = |body: &str| {
            let body = format!("{HEAD} {body}");
            let line = format!("{body} check={:016x}", checksum(body.as_bytes()));
            format!("{line:<255}\n").into_bytes()
        };
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("huge", slot("sequence=1 at-ns=1 frequency-ppm=1e308 frequency-error-ppm=1")),
            ("nan", slot("sequence=1 at-ns=1 frequency-ppm=NaN frequency-error-ppm=1")),
            ("inf", slot("sequence=1 at-ns=1 frequency-ppm=-inf frequency-error-ppm=1")),
            ("above", slot("sequence=1 at-ns=1 frequency-ppm=5000.01 frequency-error-ppm=1")),
            ("errornan", slot("sequence=1 at-ns=1 frequency-ppm=1 frequency-error-ppm=NaN")),
            ("negative", slot("sequence=1 at-ns=1 frequency-ppm=1 frequency-error-ppm=-1")),
            ("before", slot("sequence=1 at-ns=-1 frequency-ppm=1 frequency-error-ppm=1")),
            ("beyond", slot("sequence=1 at-ns=9223372036854775807 frequency-ppm=1 frequency-error-ppm=1")),
            ("missing", slot("at-ns=1 frequency-ppm=1 frequency-error-ppm=1")),
            ("binary", vec![0xff; 300]),
            ("short", b"12.5\n".to_vec()),
            ("large", vec![b'x'; 1 << 20]),
        ];
        for (name, octets) in cases {
            let (found, complaint) = Place::new(name, &octets).open().load();
            assert_eq!(found, None, "{name}");
            assert!(complaint.unwrap().contains("ignored"), "{name}");
        }
    }

    #[test]
    fn any_flipped_bit_of_a_slot_is_seen() {
        let whole = write_slot(7, &saved(5), Counts { history: Some(9), anchors: None });
        let end = whole.iter().rposition(|octet| *octet != b' ' && *octet != b'\n').unwrap();
        for at in 0..=end {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            assert!(read_slot(&bad).is_err(), "octet {at}");
        }
    }
}
