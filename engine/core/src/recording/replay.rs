//! The replay of a recording: the same engine is run again, and its effects are compared.

use super::facts::{self, Call, Fact};
use super::frame::{Frames, HeadError, Kind, Next};
use super::octets::Malformed;
use super::{BUILD, Digest, RecordingEnd, spread, start};
use crate::Engine;
use crate::io::{Input, Now, Output};
use crate::status::SystemStatus;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// Why octets cannot be replayed at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// Not a recording.
    NotARecording,
    /// A recording of another format.
    Format(u16),
    /// A recording of another build.
    Build(String),
    /// The first frame, which describes how the engine was created, is missing or damaged.
    NoStart,
}

/// The result of a replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// The result of the comparison.
    pub comparison: Comparison,
    /// Number of calls that were replayed.
    pub calls: u64,
    /// How the recording ends; none: it is cut off.
    pub end: Option<RecordingEnd>,
    /// The build that made it.
    pub build: String,
    /// The time of the first call and of the last; none: there was no call.
    pub period: Option<(Now, Now)>,
    /// Number of calls, by kind.
    pub inputs: BTreeMap<&'static str, u64>,
    /// Number of outputs, by kind.
    pub outputs: BTreeMap<&'static str, u64>,
    /// State of the clock after the last call; none: there was no call.
    pub system: Option<SystemStatus>,
    /// Digest of all effects.
    pub digest: [u8; 32],
}

/// The comparison of a replay with its recording.
#[derive(Clone, Debug, PartialEq)]
pub enum Comparison {
    /// All effects are the same.
    Equal,
    /// The effects of the last call that was replayed differ.
    Different {
        /// Number of outputs in the recording.
        recorded: u16,
        /// The outputs of the replay.
        outputs: Vec<Output>,
    },
    /// The recording is damaged.
    Damaged {
        /// The kind of damage.
        damage: Damage,
        /// The place, in octets from the beginning.
        at: usize,
    },
}

/// How a recording is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A checksum is wrong.
    Checksum,
    /// A call is malformed.
    Call,
    /// The end is malformed.
    End,
    /// A frame is out of order.
    Order,
}

/// Called with the number of each call, its time, the call and its outputs.
type Watch<'w> = &'w mut dyn FnMut(u64, &Now, &Call<'_>, &[Output]);

/// Replays a recording.
///
/// # Errors
/// [`ReplayError`]: it cannot be replayed.
pub fn replay(octets: &[u8]) -> Result<Replayed, ReplayError> {
    replay_with(octets, &mut |_, _, _, _| ())
}

/// As [`replay`]. `watch` is called after each call.
///
/// # Errors
/// As [`replay`].
pub fn replay_with(octets: &[u8], watch: Watch<'_>) -> Result<Replayed, ReplayError> {
    let (mut frames, build) = Frames::open(octets).map_err(|error| match error {
        HeadError::Magic => ReplayError::NotARecording,
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
        period: None,
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
    period: Option<(Now, Now)>,
    /// Outputs of the last call.
    last: Vec<Output>,
    number: u64,
    inputs: BTreeMap<&'static str, u64>,
    outputs: BTreeMap<&'static str, u64>,
}

impl Player {
    fn play(mut self, mut frames: Frames<'_>, build: String, watch: Watch<'_>) -> Replayed {
        let mut end = None;
        // The outcome of the last call, until it has been compared with the recording.
        let mut open: Option<Vec<u8>> = None;
        let comparison = loop {
            let at = frames.at();
            let damaged = |damage| Comparison::Damaged { damage, at };
            match frames.next() {
                Next::End { .. } => break Comparison::Equal,
                Next::Damaged => break damaged(Damage::Checksum),
                Next::Frame(Kind::Fact, octets) if open.is_none() => {
                    let Ok(fact) = facts::read(octets) else { break damaged(Damage::Call) };
                    self.digest.octets(octets);
                    open = Some(self.handle(fact, watch));
                }
                Next::Frame(Kind::Outcome, octets) if open.is_some() => {
                    if open.take().as_deref() != Some(octets) {
                        let recorded = octets.first_chunk().map_or(0, |count| u16::from_le_bytes(*count));
                        break Comparison::Different { recorded, outputs: core::mem::take(&mut self.last) };
                    }
                }
                Next::Frame(Kind::End, octets) if open.is_none() => {
                    end = end_of(octets);
                    break if end.is_some() { Comparison::Equal } else { damaged(Damage::End) };
                }
                Next::Frame(..) => break damaged(Damage::Order),
            }
        };
        Replayed {
            comparison,
            calls: self.number,
            end,
            build,
            period: self.period,
            system: self.period.map(|(_, now)| self.engine.status(now).system),
            inputs: self.inputs,
            outputs: self.outputs,
            digest: self.digest.chain,
        }
    }

    fn handle(&mut self, fact: Fact, watch: Watch<'_>) -> Vec<u8> {
        let Fact { now, entropy, call } = fact;
        self.number += 1;
        self.period = Some((self.period.map_or(now, |(begun, _)| begun), now));
        *self.inputs.entry(kind_of_call(&call)).or_default() += 1;
        self.engine.reseed(spread(entropy));
        // An error is a result like any other: what matters are the effects.
        match call.clone() {
            Call::Input(input) => self.engine.handle_input(now, input.into_owned()),
            Call::AddEntry(settings) => {
                let _ = self.engine.add_entry(now, settings.into_owned());
            }
            Call::RemoveEntry(id) => {
                let _ = self.engine.remove_entry(now, id);
            }
            Call::ChangeEntry(id, settings) => {
                let _ = self.engine.change_entry(now, id, settings.into_owned());
            }
            Call::ChangeClock(clock) => self.engine.change_clock(now, &clock),
            Call::ChangeLocalTime(local) => self.engine.change_local_time(now, local),
            Call::ChangeVersion5(is_served) => self.engine.change_version5(now, is_served),
            Call::ChangeLeapList(list) => self.engine.change_leap_list(now, list),
        }
        self.last.clear();
        while let Some(output) = self.engine.poll_output() {
            self.digest.output(&output);
            *self.outputs.entry(kind_of_output(&output)).or_default() += 1;
            self.last.push(output);
        }
        watch(self.number, &now, &call, &self.last);
        self.digest.close(&self.engine)
    }
}

fn end_of(octets: &[u8]) -> Option<RecordingEnd> {
    match octets {
        [0] => Some(RecordingEnd::Orderly),
        [1] => Some(RecordingEnd::Full),
        _ => None,
    }
}

fn kind_of_call(call: &Call<'_>) -> &'static str {
    match call {
        Call::Input(input) => kind_of_input(input),
        Call::AddEntry(_) => "entry added",
        Call::RemoveEntry(_) => "entry removed",
        Call::ChangeEntry(..) => "entry changed",
        Call::ChangeClock(_) => "clock changed",
        Call::ChangeLocalTime(_) => "local time changed",
        Call::ChangeVersion5(_) => "version 5 for clients changed",
        Call::ChangeLeapList(_) => "list of leap seconds changed",
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
        Input::Version5(_) => "reply of version 5",
        Input::Cookie(_) => "cookie",
        Input::Exchanged(_) => "keys exchanged",
        Input::ExchangeFailed(_) => "key exchange failed",
        Input::Signed(_) => "signed time",
        Input::Measured(_) => "round ended",
        Input::MeasureFailed(_) => "round failed",
        Input::HistoryNoted(_) => "history noted",
        Input::Command(_) => "command",
        Input::Clock(_) => "a sample of a reference clock",
        Input::ClockDiscarded(_) => "what was no sample of a reference clock",
        Input::OwnAddresses(_) => "own addresses",
    }
}

fn kind_of_output(output: &Output) -> &'static str {
    match output {
        Output::Query(_) => "query",
        Output::Cancel(_) => "cancel",
        Output::Resolve(_) => "resolve",
        Output::Exchange(_) => "key exchange",
        Output::Measure(_) => "round",
        Output::Malfeasance(_) => "report",
        Output::Anchor(_) => "anchor",
        Output::Adjust(_) => "adjust",
        Output::Step(_) => "step",
        Output::SetStatus(_) => "status",
        Output::SetTai(_) => "tai",
        Output::Serve(_) => "serve",
        Output::ServeReferenceIds(_) => "serve reference ids",
        Output::Page(_) => "page",
        Output::Save(_) => "save",
        Output::SaveAssociations => "save associations",
        Output::Log(_) => "log line",
        Output::Distrust(..) => "distrust",
    }
}
