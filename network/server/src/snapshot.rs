//! The latest state from the engine, which all threads read without waiting: a sequence lock made of atomic words.

use ipc::message::server::ServerState;
use ipc::units::{Leap, RawInstant, Span, WallTime};
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, fence};

const WORDS: usize = 8;

/// The state, with one writer (a seqlock). The sequence is even when the state is complete, and 0 before the first one.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    sequence: AtomicU64,
    words: [AtomicU64; WORDS],
}

/// One reader's copy, and its sequence number.
#[derive(Clone, Debug, Default)]
pub(super) struct Copy {
    sequence: u64,
    state: Option<ServerState>,
}

impl Snapshot {
    /// Replaces the state. Only one thread may do so.
    pub(super) fn write(&self, state: &ServerState) {
        let sequence = self.sequence.load(Relaxed);
        self.sequence.store(sequence + 1, Relaxed);
        fence(Release);
        for (place, word) in self.words.iter().zip(to_words(state)) {
            place.store(word, Relaxed);
        }
        self.sequence.store(sequence + 2, Release);
    }

    /// Updates a copy and returns its state; the previous one if a write is in progress.
    pub(super) fn read<'c>(&self, copy: &'c mut Copy) -> Option<&'c ServerState> {
        let before = self.sequence.load(Acquire);
        if before != copy.sequence && before.is_multiple_of(2) {
            let words = std::array::from_fn(|at| self.words.get(at).map_or(0, |word| word.load(Relaxed)));
            fence(Acquire);
            if self.sequence.load(Relaxed) == before {
                *copy = Copy { sequence: before, state: from_words(words) };
            }
        }
        copy.state.as_ref()
    }
}

fn to_words(state: &ServerState) -> [u64; WORDS] {
    let leap = match state.leap {
        Leap::None => 0u8,
        Leap::Insert => 1,
        Leap::Delete => 2,
        Leap::Unknown => 3,
    };
    [
        u64::from_le_bytes([leap, state.stratum, state.precision as u8, 0, 0, 0, 0, 0]),
        state.root_delay.nanos() as u64,
        state.root_dispersion.nanos() as u64,
        state.as_of.nanos() as u64,
        u64::from(state.reference_id),
        state.reference_time.nanos() as u64,
        state.valid_until.nanos() as u64,
        0,
    ]
}

fn from_words(words: [u64; WORDS]) -> Option<ServerState> {
    let [small, root_delay, root_dispersion, as_of, reference_id, reference_time, valid_until, _] = words;
    let [leap, stratum, precision, ..] = small.to_le_bytes();
    Some(ServerState {
        leap: match leap {
            0 => Leap::None,
            1 => Leap::Insert,
            2 => Leap::Delete,
            _ => Leap::Unknown,
        },
        stratum,
        precision: precision as i8,
        root_delay: Span::try_new(root_delay as i64).ok()?,
        root_dispersion: Span::try_new(root_dispersion as i64).ok()?,
        as_of: RawInstant::try_new(as_of as i64).ok()?,
        reference_id: u32::try_from(reference_id).ok()?,
        reference_time: WallTime::try_new(reference_time as i64).ok()?,
        valid_until: RawInstant::try_new(valid_until as i64).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn state(n: i64) -> ServerState {
        ServerState {
            leap: [Leap::None, Leap::Insert, Leap::Delete, Leap::Unknown][n as usize % 4],
            stratum: (n % 17) as u8,
            precision: -((n % 30) as i8),
            root_delay: Span::saturating(n),
            root_dispersion: Span::saturating(n),
            as_of: RawInstant::saturating(n),
            reference_id: n as u32,
            reference_time: WallTime::saturating(n),
            valid_until: RawInstant::saturating(n),
        }
    }

    #[test]
    fn what_was_written_is_read_and_nothing_before_that() {
        let (snapshot, mut copy) = (Snapshot::default(), Copy::default());
        assert_eq!(snapshot.read(&mut copy), None);
        for n in 0..100 {
            snapshot.write(&state(n));
            assert_eq!(snapshot.read(&mut copy), Some(&state(n)));
            assert_eq!(snapshot.read(&mut copy), Some(&state(n)));
        }
    }

    #[test]
    fn a_reader_never_sees_half_a_state() {
        let snapshot = Arc::new(Snapshot::default());
        let writer = {
            let snapshot = Arc::clone(&snapshot);
            std::thread::spawn(move || (1..300_000).for_each(|n| snapshot.write(&state(n))))
        };
        let (mut copy, mut seen) = (Copy::default(), 0);
        while !writer.is_finished() {
            if let Some(read) = snapshot.read(&mut copy) {
                let n = read.root_delay.nanos();
                assert_eq!(*read, state(n));
                assert!(n >= seen, "time runs backwards");
                seen = n;
            }
        }
        writer.join().unwrap();
    }
}
