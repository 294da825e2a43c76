//! Recordings and their replay.

use super::{Sentence, Text};
use engine_core::notice::RecordingFailure;
use engine_core::recording::BUILD;
use engine_core::recording::replay::{Comparison, Damage, ReplayError};

/// Longest description of a difference, in characters.
const MAX_DIFFERENCE: usize = 2_000;

impl Sentence for RecordingFailure {
    fn sentence(&self) -> Text {
        match self {
            Self::NoEntropy => "there are no random numbers for the recording; it ends here",
            Self::Full => "the recording is full and ends here; a restart begins a new one",
            Self::Unwritable => {
                "the recording cannot be written and ends here; check whether its disk is full"
            }
        }
        .into()
    }
}

impl Sentence for ReplayError {
    fn sentence(&self) -> Text {
        match self {
            Self::NotARecording => "not a recording; truechimerd --record FILE makes one".into(),
            Self::Format(format) => format!(
                "a recording of format {format}, which this version cannot read; use the version that made it"
            )
            .into(),
            Self::Build(build) => format!(
                "a recording of truechimer {build}, and this is {BUILD}: another version may decide differently; replay \
                 it with the version that made it"
            )
            .into(),
            Self::NoStart => "the beginning of the recording is damaged: nothing can be replayed".into(),
        }
    }
}

impl Sentence for Comparison {
    /// The place and kind of a difference or damage; empty if there is none.
    fn sentence(&self) -> Text {
        match self {
            Self::Equal => "".into(),
            Self::Different { recorded, outputs } => {
                let text = format!(
                    "the recording has {recorded} outputs here, this engine gives {}: {outputs:?}",
                    outputs.len()
                );
                text.chars().take(MAX_DIFFERENCE).collect::<String>().into()
            }
            Self::Damaged { damage, at } => match damage {
                Damage::Checksum => format!("the octets from {at} on were changed"),
                Damage::Call => format!("the call at octet {at} is malformed"),
                Damage::End => format!("the end at octet {at} is malformed"),
                Damage::Order => format!("the frame at octet {at} is out of order"),
            }
            .into(),
        }
    }
}
