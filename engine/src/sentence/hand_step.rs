//! What became of a step that an administrator asked for, and what would permit it.

use super::{Sentence, Text};
use engine_core::hand_step::{HandStep, NoStep};
use ipc::message::privileged::Refusal;

/// Why the clock was not stepped; none: it was.
pub fn hand_step(outcome: &HandStep) -> Option<Text> {
    Some(match outcome {
        HandStep::Made { .. } => return None,
        HandStep::Refused { code, .. } => {
            // What to do about it is said beside: the leave that it takes.
            let sentence = code.sentence();
            let why = sentence.split(';').next().unwrap_or_default();
            format!("the governor refused the step ({}): {why}", code.name()).into()
        }
        HandStep::Impossible(why) => match why {
            NoStep::NoClock => "there is no clock to steer here".into(),
            NoStep::Early => "the first correction is not made yet; where a step is due, it is one".into(),
            NoStep::Foreign => {
                "another program has set the clock, and the sources are being asked about that; ask again"
                    .into()
            }
            NoStep::NoTime => "there is no time to step to: chimerctl why has what each source lacks; where all of them are before the last good time, or no \
                 certificate can be judged, restart with --approve-step SECONDS".into(),
            NoStep::Near { .. } => "a slew takes care of that within seconds".into(),
        },
    })
}

/// Whether a step that this row refused is made if an operator permits it. What it lacks otherwise, no leave gives.
pub fn may_be_permitted(code: Refusal) -> bool {
    match code {
        Refusal::Floor
        | Refusal::StartBack
        | Refusal::StartForward
        | Refusal::StartWindow
        | Refusal::RunStep
        | Refusal::Forward
        | Refusal::TooSoon
        | Refusal::Evidence
        | Refusal::Budget => true,
        Refusal::Latest
        | Refusal::Band
        | Refusal::Total
        | Refusal::Rate
        | Refusal::Stale
        | Refusal::StaleEpoch
        | Refusal::Range
        | Refusal::LeapDate
        | Refusal::LeapTooSoon
        | Refusal::Tai
        | Refusal::NoPersist
        | Refusal::Clock
        | Refusal::NoClock
        | Refusal::Unproven => false,
    }
}

/// The leave in whole seconds that a step by this offset in seconds takes, with a margin for the drift until it is given.
pub fn leave_for(offset: f64) -> u32 {
    (offset.abs() * 1.01 + 1.0).ceil() as u32
}
