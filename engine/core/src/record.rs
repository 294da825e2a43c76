//! Record and replay: all that an engine was told, so that what it did can be repeated elsewhere. A bug report is
//! a file.
//!
//! The engine is a function of its start and its inputs, so these are what is recorded, each input *before* it is
//! handled: the one that kills the engine is in its record. What comes out is recorded as a digest for each input
//! (over everything before it too); a replay compares, and names the first input at which it differs.
//!
//! ```text
//!   octets    values as octets
//!   start     how the engine was made    facts    one input    effects  one output, for comparison
//!   disguise  stand-ins for keys and cookies
//!   frame     what a record is made of; damage is told from difference
//!   replay    the other direction
//! ```
//!
//! What a record holds: the sources of the configuration, addresses, times. What it doesn't hold: keys and
//! cookies (stand-ins are in their place), and random numbers that are still to be used: an engine that is recorded
//! gets fresh chance with each input, so who reads the record of a running daemon can't foretell its next query.
//!
//! A record begins with its engine and ends with it, or where it is full ([`MOST_OCTETS`]); there is no state of an
//! engine from which a later part could begin. Floating-point arithmetic is that of IEEE 754 and of `libm` in
//! software, so a replay by the same build is the same on any machine of the same architecture.

mod disguise;
mod effects;
mod facts;
mod frame;
mod octets;
pub mod replay;
mod start;
#[cfg(test)]
mod tests;

use crate::Engine;
use crate::io::{Input, Now, Output, Start};
use crate::notice::{Notice, WholeNews};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Deref;
use disguise::Disguise;
use facts::CHANCE;
use frame::Kind;
use hmac_sha256::Hash;
use octets::Writer;

/// A record is no longer than this: months of four sources at their usual polls.
pub const MOST_OCTETS: usize = 64 << 20;

/// Kept for the last frames.
const RESERVE: usize = 4096;

/// The build that a record belongs to: another one may decide otherwise.
pub const BUILD: &str = env!("CARGO_PKG_VERSION");

/// Octets of the digest that stand in the record.
const DIGEST: usize = 8;

/// Where a record goes, and where chance comes from. The engine itself has neither.
pub trait Tape {
    /// Takes the next octets; false: they are lost, and the record ends here. Must not wait.
    fn write(&mut self, octets: &[u8]) -> bool;

    /// Fresh random octets; none: there are no more, and the record ends here.
    fn chance(&mut self) -> Option<[u8; 16]>;
}

/// How a record ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordEnd {
    /// With its engine.
    Orderly,
    /// It was full.
    Full,
}

/// An engine that may be recorded. Fed and read as the [`Engine`] itself, whose other methods it has too.
pub struct Recorded {
    engine: Engine,
    outputs: VecDeque<Output>,
    scribe: Option<Scribe>,
}

impl Recorded {
    /// An engine; with a tape, it is recorded.
    pub fn new(mut start: Start, tape: Option<Box<dyn Tape>>) -> Self {
        let scribe = tape.and_then(|tape| Scribe::begin(tape, &mut start));
        Self { engine: Engine::new(start), outputs: VecDeque::new(), scribe }
    }

    /// As [`Engine::handle_input`].
    pub fn handle_input(&mut self, now: Now, input: Input) {
        let seed = self.scribe.as_mut().and_then(|scribe| scribe.fact(now, &input));
        if let Some(seed) = seed {
            self.engine.reseed(seed);
        }
        self.engine.handle_input(now, input);
        // At once, so that a replay need not know when the process fetched them.
        while let Some(output) = self.engine.poll_output() {
            if let Some(scribe) = &mut self.scribe {
                scribe.digest.output(&output);
            }
            self.outputs.push_back(output);
        }
        if let Some(scribe) = &mut self.scribe {
            scribe.outcome(&self.engine);
            if let Some(line) = scribe.complaint() {
                self.scribe = None;
                self.outputs.push_back(Output::Log(Notice::Whole(WholeNews::Unrecorded(line))));
            }
        }
    }

    /// As [`Engine::poll_output`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Ends the record, where there is one. Dropped without it, a record lacks what the last input brought.
    pub fn finish(&mut self) {
        if let Some(mut scribe) = self.scribe.take() {
            scribe.end(RecordEnd::Orderly);
        }
    }
}

/// Reading is free; changing goes through the record.
impl Deref for Recorded {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

/// Writes a record.
struct Scribe {
    tape: Box<dyn Tape>,
    disguise: Disguise,
    digest: Digest,
    /// What isn't written yet: the outcome of the last input goes with the next one.
    unwritten: Writer,
    written: usize,
    trouble: Option<&'static str>,
}

impl Scribe {
    fn begin(mut tape: Box<dyn Tape>, start: &mut Start) -> Option<Self> {
        // Spent before the first query: with the first input comes other chance.
        start.seed = spread(tape.chance()?);
        let mut salt = [0; 32];
        for half in salt.chunks_mut(CHANCE) {
            half.copy_from_slice(&tape.chance()?);
        }
        let mut scribe = Self {
            tape,
            disguise: Disguise::new(salt),
            digest: Digest::new(),
            unwritten: Writer::default(),
            written: 0,
            trouble: None,
        };
        let mut octets = Writer::default();
        start::write(&mut octets, start, &mut scribe.disguise);
        scribe.digest.octets(&octets.0);
        frame::head(&mut scribe.unwritten, BUILD);
        scribe.put(Kind::Start, &octets.0);
        scribe.flush();
        Some(scribe)
    }

    /// Notes an input that is about to be handled; gives the seed for it.
    fn fact(&mut self, now: Now, input: &Input) -> Option<[u8; 32]> {
        let Some(chance) = self.tape.chance() else {
            self.trouble = Some("there are no random numbers for the record; it ends here");
            return None;
        };
        let mut octets = Writer::default();
        facts::write(&mut octets, now, &chance, input, &mut self.disguise);
        self.digest.octets(&octets.0);
        self.put(Kind::Fact, &octets.0);
        self.flush();
        Some(spread(chance))
    }

    fn outcome(&mut self, engine: &Engine) {
        let digest = self.digest.close(engine);
        self.put(Kind::Outcome, &digest);
    }

    /// Why the record can't go on, once. Ends it where it is full.
    fn complaint(&mut self) -> Option<&'static str> {
        if self.trouble.is_none() && self.written + self.unwritten.0.len() + RESERVE > MOST_OCTETS {
            self.end(RecordEnd::Full);
            self.trouble = Some("the record is full and ends here; a restart begins a new one");
        }
        self.trouble
    }

    fn end(&mut self, end: RecordEnd) {
        let octets = match end {
            RecordEnd::Orderly => [0],
            RecordEnd::Full => [1],
        };
        self.put(Kind::End, &octets);
        self.flush();
    }

    fn put(&mut self, kind: Kind, octets: &[u8]) {
        frame::put(&mut self.unwritten, kind, octets);
    }

    fn flush(&mut self) {
        if self.trouble.is_some() {
            return;
        }
        let octets = core::mem::take(&mut self.unwritten.0);
        self.written += octets.len();
        if !self.tape.write(&octets) {
            self.trouble = Some("the record can't be written and ends here; see whether its disk is full");
        }
    }
}

/// A running digest: over the octets of each input, what came of it, and all before.
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

    /// What the record says of this input: how many outputs, and the digest.
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
fn spread(chance: [u8; CHANCE]) -> [u8; 32] {
    Hash::hash(&chance)
}
