//! Recording and replay: everything that an engine is told is written to a file, so that its behaviour can be
//! reproduced on another machine. A bug report can be a file.
//!
//! The engine is a function of its start and of the calls that change it. These are recorded, each call *before* it is
//! carried out, so that a call that makes the engine panic is in its recording. The effects of each call are recorded as
//! a digest, which also covers everything before the call. A replay compares the digests and reports the first call
//! whose effects differ.
//!
//! ```text
//!   octets     the encoding of values
//!   start      how the engine was created    facts    one call    effects  one output, for comparison
//!   redaction  substitutes for keys and cookies
//!   frame      the frames of a recording; damage is distinguished from a difference
//!   replay     the other direction
//! ```
//!
//! A recording contains the configured sources, addresses and times. It contains neither keys nor cookies (a substitute
//! takes the place of each), nor random numbers that are still to be used: an engine that is recorded is seeded anew
//! with each call, so the recording of a running daemon does not reveal its next query.
//!
//! A recording begins and ends with its engine, or ends when it is full ([`MAX_OCTETS`]). There is no snapshot of an
//! engine from which a later part could begin. Floating-point arithmetic is that of IEEE 754 and, for the functions of
//! `libm`, done in software, so the same build replays a recording identically on any machine of the same architecture.

mod effects;
mod facts;
mod frame;
mod octets;
mod redaction;
pub mod replay;
mod start;
#[cfg(test)]
mod tests;

use crate::Engine;
use crate::entries::{EntryError, EntryId};
use crate::io::{Input, Now, Output, Start};
use crate::minutes::Lasting;
use crate::notice::{Notice, RecordingFailure, SystemNotice};
use crate::settings::{ClockSettings, LocalTime, SourceSettings};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Deref;
pub use facts::Call;
use facts::ENTROPY;
use frame::Kind;
use hmac_sha256::Hash;
use ipc::units::RawInstant;
use octets::Writer;
use protocol::leap_list::LeapList;
use redaction::Redaction;

/// The largest recording, in octets: months of four sources at their usual poll intervals.
pub const MAX_OCTETS: usize = 64 << 20;

/// Reserved for the last frames, in octets.
const RESERVE: usize = 4096;

/// The build that a recording belongs to. Another build may decide differently.
pub const BUILD: &str = env!("CARGO_PKG_VERSION");

/// Octets of the digest that are written to the recording.
const DIGEST: usize = 8;

/// Where a recording is written, and the source of random numbers. The engine itself has neither.
pub trait Tape {
    /// Writes the next octets. False: they are lost, and the recording ends. Must not block.
    fn write(&mut self, octets: &[u8]) -> bool;

    /// Fresh random octets. None: there are none, and the recording ends.
    fn entropy(&mut self) -> Option<[u8; 16]>;
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingEnd {
    /// With its engine.
    Orderly,
    /// It was full; the engine continued.
    Full,
}

/// An engine that can be recorded. It is used like an [`Engine`], whose other methods it has too.
pub struct Recorder {
    engine: Engine,
    outputs: VecDeque<Output>,
    writer: Option<RecordingWriter>,
}

impl Recorder {
    /// As [`Engine::take_history`]. It is not recorded: nothing depends on it.
    pub fn take_history(&mut self, is_last: bool) -> VecDeque<Lasting> {
        self.engine.take_history(is_last)
    }

    /// As [`Engine::was_away`]. It is not recorded either.
    pub fn was_away(&mut self, from: RawInstant, until: RawInstant) {
        self.engine.was_away(from, until);
    }

    /// Creates an engine. If there is a tape, the engine is recorded.
    pub fn new(mut start: Start, tape: Option<Box<dyn Tape>>) -> Self {
        let writer = tape.and_then(|tape| RecordingWriter::begin(tape, &mut start));
        Self { engine: Engine::new(start), outputs: VecDeque::new(), writer }
    }

    /// As [`Engine::handle_input`].
    pub fn handle_input(&mut self, now: Now, input: Input) {
        self.begin_call(now, &Call::Input(Cow::Borrowed(&input)));
        self.engine.handle_input(now, input);
        self.end_call();
    }

    /// As [`Engine::add_entry`].
    ///
    /// # Errors
    /// As [`Engine::add_entry`].
    pub fn add_entry(&mut self, now: Now, settings: SourceSettings) -> Result<EntryId, EntryError> {
        self.begin_call(now, &Call::AddEntry(Cow::Borrowed(&settings)));
        let added = self.engine.add_entry(now, settings);
        self.end_call();
        added
    }

    /// As [`Engine::remove_entry`].
    ///
    /// # Errors
    /// As [`Engine::remove_entry`].
    pub fn remove_entry(&mut self, now: Now, id: EntryId) -> Result<(), EntryError> {
        self.begin_call(now, &Call::RemoveEntry(id));
        let removed = self.engine.remove_entry(now, id);
        self.end_call();
        removed
    }

    /// As [`Engine::change_entry`].
    ///
    /// # Errors
    /// As [`Engine::change_entry`].
    pub fn change_entry(
        &mut self,
        now: Now,
        id: EntryId,
        settings: SourceSettings,
    ) -> Result<(), EntryError> {
        self.begin_call(now, &Call::ChangeEntry(id, Cow::Borrowed(&settings)));
        let changed = self.engine.change_entry(now, id, settings);
        self.end_call();
        changed
    }

    /// As [`Engine::change_clock`].
    pub fn change_clock(&mut self, now: Now, clock: &ClockSettings) {
        self.begin_call(now, &Call::ChangeClock(*clock));
        self.engine.change_clock(now, clock);
        self.end_call();
    }

    /// As [`Engine::change_local_time`].
    pub fn change_local_time(&mut self, now: Now, local: Option<LocalTime>) {
        self.begin_call(now, &Call::ChangeLocalTime(local));
        self.engine.change_local_time(now, local);
        self.end_call();
    }

    /// As [`Engine::change_version5`].
    pub fn change_version5(&mut self, now: Now, is_served: bool) {
        self.begin_call(now, &Call::ChangeVersion5(is_served));
        self.engine.change_version5(now, is_served);
        self.end_call();
    }

    /// As [`Engine::change_leap_list`].
    pub fn change_leap_list(&mut self, now: Now, list: Option<LeapList>) {
        self.begin_call(now, &Call::ChangeLeapList(list));
        self.engine.change_leap_list(now, list);
        self.end_call();
    }

    /// Records a call and seeds the engine for it.
    fn begin_call(&mut self, now: Now, call: &Call<'_>) {
        let seed = self.writer.as_mut().and_then(|writer| writer.fact(now, call));
        if let Some(seed) = seed {
            self.engine.reseed(seed);
        }
    }

    /// Records the effects of the call. They are fetched immediately, so that a replay does not depend on when the process
    /// fetched them.
    fn end_call(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            if let Some(writer) = &mut self.writer {
                writer.digest.output(&output);
            }
            self.outputs.push_back(output);
        }
        if let Some(writer) = &mut self.writer {
            writer.outcome(&self.engine);
            if let Some(failure) = writer.check() {
                self.writer = None;
                let notice = Notice::System(SystemNotice::RecordingEnded(failure));
                self.outputs.push_back(Output::Log(notice));
            }
        }
    }

    /// As [`Engine::poll_output`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Ends the recording, if there is one. If it is dropped instead, the recording lacks the effects of the last call.
    pub fn finish(&mut self) {
        if let Some(mut writer) = self.writer.take() {
            writer.end(RecordingEnd::Orderly);
        }
    }
}

/// The engine can be read freely. All changes pass through the recording.
impl Deref for Recorder {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

/// Writes a recording.
struct RecordingWriter {
    tape: Box<dyn Tape>,
    redaction: Redaction,
    digest: Digest,
    /// Not written yet: the outcome of a call is written with the next call.
    unwritten: Writer,
    written: usize,
    failure: Option<RecordingFailure>,
}

impl RecordingWriter {
    fn begin(mut tape: Box<dyn Tape>, start: &mut Start) -> Option<Self> {
        // Not used for any query: the first call brings another seed.
        start.seed = spread(tape.entropy()?);
        let mut salt = [0; 32];
        for half in salt.chunks_mut(ENTROPY) {
            half.copy_from_slice(&tape.entropy()?);
        }
        let mut writer = Self {
            tape,
            redaction: Redaction::new(salt),
            digest: Digest::new(),
            unwritten: Writer::default(),
            written: 0,
            failure: None,
        };
        let mut octets = Writer::default();
        start::write(&mut octets, start, &mut writer.redaction);
        writer.digest.octets(&octets.0);
        frame::head(&mut writer.unwritten, BUILD);
        writer.put(Kind::Start, &octets.0);
        writer.flush();
        Some(writer)
    }

    /// Records a call that is about to be carried out, and returns the seed for it.
    fn fact(&mut self, now: Now, call: &Call<'_>) -> Option<[u8; 32]> {
        let Some(entropy) = self.tape.entropy() else {
            self.failure = Some(RecordingFailure::NoEntropy);
            return None;
        };
        let mut octets = Writer::default();
        facts::write(&mut octets, now, &entropy, call, &mut self.redaction);
        self.digest.octets(&octets.0);
        self.put(Kind::Fact, &octets.0);
        self.flush();
        Some(spread(entropy))
    }

    fn outcome(&mut self, engine: &Engine) {
        let digest = self.digest.close(engine);
        self.put(Kind::Outcome, &digest);
    }

    /// Why the recording cannot continue; none: it can. Ends it if it is full.
    fn check(&mut self) -> Option<RecordingFailure> {
        if self.failure.is_none() && self.written + self.unwritten.0.len() + RESERVE > MAX_OCTETS {
            self.end(RecordingEnd::Full);
            self.failure = Some(RecordingFailure::Full);
        }
        self.failure
    }

    fn end(&mut self, end: RecordingEnd) {
        let octets = match end {
            RecordingEnd::Orderly => [0],
            RecordingEnd::Full => [1],
        };
        self.put(Kind::End, &octets);
        self.flush();
    }

    fn put(&mut self, kind: Kind, octets: &[u8]) {
        frame::put(&mut self.unwritten, kind, octets);
    }

    fn flush(&mut self) {
        if self.failure.is_some() {
            return;
        }
        let octets = core::mem::take(&mut self.unwritten.0);
        self.written += octets.len();
        if !self.tape.write(&octets) {
            self.failure = Some(RecordingFailure::Unwritable);
        }
    }
}

/// A running digest of the octets of each call, of its effects, and of everything before it.
struct Digest {
    chain: [u8; 32],
    hash: Hash,
    outputs: u16,
}

impl Digest {
    fn new() -> Self {
        Self { chain: [0; 32], hash: Hash::new(), outputs: 0 }
    }

    fn octets(&mut self, octets: &[u8]) {
        self.hash.update((octets.len() as u64).to_le_bytes());
        self.hash.update(octets);
    }

    fn output(&mut self, output: &Output) {
        let mut octets = Writer::default();
        effects::write(&mut octets, output);
        self.octets(&octets.0);
        self.outputs = self.outputs.saturating_add(1);
    }

    /// What is recorded of a call's effects: how many outputs, and the digest.
    fn close(&mut self, engine: &Engine) -> Vec<u8> {
        let due = engine.poll_timeout().map_or(-1, |due| due.nanos());
        self.hash.update(due.to_le_bytes());
        self.hash.update(self.chain);
        self.chain = core::mem::take(&mut self.hash).finalize();
        let mut octets = Writer::default();
        octets.u16(core::mem::take(&mut self.outputs));
        octets.octets(self.chain.get(..DIGEST).unwrap_or_default());
        octets.0
    }
}

/// A seed from fewer octets.
fn spread(entropy: [u8; ENTROPY]) -> [u8; 32] {
    Hash::hash(&entropy)
}
