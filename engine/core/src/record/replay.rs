//! A record, replayed: the same engine once more, and whether it does the same.

use super::facts::{self, Fact};
use super::frame::{Frames, HeadError, Kind, Next};
use super::octets::{Malformed, cut};
use super::{BUILD, Digest, RecordEnd, spread, start};
use crate::Engine;
use crate::io::{Input, Now, Output};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use report::Replay;

/// Why octets can't be replayed at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// Not a record.
    NotARecord,
    /// A record of another format.
    Format(u16),
    /// A record of another build.
    Build(String),
    /// Its first frame, which says how the engine was made, is missing or damaged.
    NoStart,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARecord => f.write_str("not a record; truechimerd --record FILE makes one"),
            Self::Format(format) => {
                write!(
                    f,
                    "a record of format {format}, which this version can't read; use the one that made it"
                )
            }
            Self::Build(build) => write!(
                f,
                "a record of truechimer {build}, and this is {BUILD}: another version may decide otherwise; replay \
                 it with the one that made it"
            ),
            Self::NoStart => f.write_str("the beginning of the record is damaged: nothing can be replayed"),
        }
    }
}

impl core::error::Error for ReplayError {}

/// A line of output is cut there.
const LONGEST: usize = 2_000;

/// What a replay is asked to look at closely.
type Watch<'w> = &'w mut dyn FnMut(u64, &Now, &Input, &[Output]);

/// Replays a record.
///
/// # Errors
/// [`ReplayError`]: it can't be.
pub fn replay(octets: &[u8]) -> Result<Replay, ReplayError> {
    replay_with(octets, &mut |_, _, _, _| ())
}

/// As [`replay`]; `watch` sees each input, its number, and what came of it.
///
/// # Errors
/// [`ReplayError`].
pub fn replay_with(octets: &[u8], watch: Watch<'_>) -> Result<Replay, ReplayError> {
    let (mut frames, build) = Frames::open(octets).map_err(|error| match error {
        HeadError::Magic => ReplayError::NotARecord,
        HeadError::Format(format) => ReplayError::Format(format),
    })?;
    if build != BUILD {
        return Err(ReplayError::Build(build));
    }
    let Next::Frame(Kind::Start, first) = frames.next() else { return Err(ReplayError::NoStart) };
    let start = start::read(first).map_err(|Malformed| ReplayError::NoStart)?;
    let mut digest = Digest::new();
    digest.octets(first);
    let player = Player {
        engine: Engine::new(start),
        digest,
        begun: None,
        now: None,
        last: Vec::new(),
        number: 0,
        inputs: BTreeMap::new(),
        outputs: BTreeMap::new(),
    };
    Ok(player.play(frames, build, watch))
}

struct Player {
    engine: Engine,
    digest: Digest,
    begun: Option<Now>,
    now: Option<Now>,
    /// What came of the last input.
    last: Vec<Output>,
    number: u64,
    inputs: BTreeMap<&'static str, u64>,
    outputs: BTreeMap<&'static str, u64>,
}

impl Player {
    fn play(mut self, mut frames: Frames<'_>, build: String, watch: Watch<'_>) -> Replay {
        let mut end = "cut";
        // What the engine says of the last input, until the record says the same.
        let mut open: Option<Vec<u8>> = None;
        let (verdict, detail) = loop {
            let at = frames.at();
            match frames.next() {
                Next::End { .. } => break ("equal", String::new()),
                Next::Damaged => break ("damaged", format!("the octets from {at} on were changed")),
                Next::Frame(Kind::Fact, octets) if open.is_none() => {
                    let Ok(fact) = facts::read(octets) else {
                        break ("damaged", format!("the input at octet {at} makes no sense"));
                    };
                    self.digest.octets(octets);
                    open = Some(self.handle(fact, watch));
                }
                Next::Frame(Kind::Outcome, octets) if open.is_some() => {
                    if open.take().as_deref() != Some(octets) {
                        break ("different", self.describe(octets));
                    }
                }
                Next::Frame(Kind::End, octets) if open.is_none() => {
                    end = match end_of(octets) {
                        Some(RecordEnd::Orderly) => "orderly",
                        Some(RecordEnd::Full) => "full",
                        None => break ("damaged", format!("the end at octet {at} makes no sense")),
                    };
                    break ("equal", String::new());
                }
                Next::Frame(..) => break ("damaged", format!("the frame at octet {at} is out of order")),
            }
        };
        self.sum_up(verdict, detail, end, build)
    }

    fn handle(&mut self, fact: Fact, watch: Watch<'_>) -> Vec<u8> {
        let Fact { now, chance, input } = fact;
        self.number += 1;
        self.begun.get_or_insert(now);
        self.now = Some(now);
        *self.inputs.entry(kind_of_input(&input)).or_default() += 1;
        self.engine.reseed(spread(chance));
        self.engine.handle_input(now, input.clone());
        self.last.clear();
        while let Some(output) = self.engine.poll_output() {
            self.digest.output(&output);
            *self.outputs.entry(kind_of_output(&output)).or_default() += 1;
            self.last.push(output);
        }
        watch(self.number, &now, &input, &self.last);
        self.digest.close(&self.engine)
    }

    fn describe(&self, recorded: &[u8]) -> String {
        let count = recorded.first_chunk().map_or(0, |count| u16::from_le_bytes(*count));
        let text = format!(
            "the record has {count} outputs here, this engine gives {}: {:?}",
            self.last.len(),
            self.last
        );
        String::from(cut(&text, LONGEST))
    }

    fn sum_up(self, verdict: &'static str, detail: String, end: &'static str, build: String) -> Replay {
        let system = self.now.map(|now| self.engine.report(now).system);
        let seconds = self.begun.zip(self.now).map_or(0, |(begun, now)| now.raw.since(begun.raw).nanos());
        Replay {
            verdict,
            detail,
            at_input: if verdict == "equal" { 0 } else { self.number },
            end,
            build,
            begun_ns: self.begun.map_or(0, |now| now.wall.nanos()),
            seconds: seconds as f64 * 1e-9,
            inputs: self.inputs,
            outputs: self.outputs,
            state: system.as_ref().map_or("nothing was replayed", |system| system.state),
            reason: system.as_ref().map_or_else(String::new, |system| system.reason.clone()),
            offset_s: system.as_ref().map_or(0.0, |system| system.offset_s),
            frequency_ppm: system.as_ref().map_or(0.0, |system| system.frequency_ppm),
            digest: self.digest.chain.iter().map(|octet| format!("{octet:02x}")).collect(),
        }
    }
}

fn end_of(octets: &[u8]) -> Option<RecordEnd> {
    match octets {
        [0] => Some(RecordEnd::Orderly),
        [1] => Some(RecordEnd::Full),
        _ => None,
    }
}

fn kind_of_input(input: &Input) -> &'static str {
    match input {
        Input::Timeout => "timeout",
        Input::Welcome(_) => "welcome",
        Input::Applied(..) => "applied",
        Input::Refused(..) => "refused",
        Input::ClockEvent(_) => "clock event",
        Input::Sent(_) => "sent",
        Input::Reply(_) => "reply",
        Input::Protected(_) => "protected reply",
        Input::Unanswered(_) => "unanswered",
        Input::Resolved(_) => "resolved",
        Input::LookupFailed(_) => "look-up failed",
        Input::Cookie(_) => "cookie",
        Input::Exchanged(_) => "keys exchanged",
        Input::ExchangeFailed(_) => "key exchange failed",
        Input::Command(_) => "command",
        Input::OwnAddresses(_) => "own addresses",
    }
}

fn kind_of_output(output: &Output) -> &'static str {
    match output {
        Output::Query(_) => "query",
        Output::Cancel(_) => "cancel",
        Output::Resolve(_) => "resolve",
        Output::Exchange(_) => "key exchange",
        Output::Adjust(_) => "adjust",
        Output::Step(_) => "step",
        Output::SetStatus(_) => "status",
        Output::Serve(_) => "serve",
        Output::Save(_) => "save",
        Output::SaveAssociations => "save associations",
        Output::Log(_) => "log line",
        Output::Distrust(..) => "distrust",
    }
}
