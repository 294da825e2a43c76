//! `step`: asks for a step; where the governor's rows end, an operator may permit it.

use crate::screen::{Form, complain, print};
use crate::{Failure, exit, text};
use control_socket::AskError;
use ipc::leave::HOLDS;
use ipc::text::escape;
use leave::Keeper;
use report::read::StepReply;
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::path::Path;

/// Steps the clock, or says why not.
pub fn step(socket: &Path, permitted: Option<u32>, form: Form) -> Result<String, Failure> {
    // Before anything: whoever fills the socket meanwhile keeps nobody from taking a leave back.
    let keeper = Keeper::of(socket);
    let (answer, reply) = ask(socket)?;
    let Some(needed) = needed(&reply) else { return told(&answer, &reply, form) };
    let is_asked = permitted.is_none()
        && form != Form::Json
        && std::io::stdin().is_terminal()
        && std::io::stderr().is_terminal();
    let agreed = match permitted {
        Some(most) => most >= needed,
        None => is_asked && agrees(&reply, needed),
    };
    if !agreed {
        return told(&answer, &reply, form);
    }
    let keeper = keeper.map_err(|error| Failure { text: error.to_string(), code: exit::NO })?;
    with_leave(socket, &keeper, needed, form)
}

fn ask(socket: &Path) -> Result<(Value, StepReply), AskError> {
    let answer = control_socket::ask(socket, "step")?;
    let reply = control_socket::read(&answer)?;
    Ok((answer, reply))
}

/// The size, in whole seconds, that has to be permitted for this offset, with a margin for the drift until then; none: nothing
/// has to be, or that would not help. What the engine says of the size is not asked: it is the one that would use it.
fn needed(reply: &StepReply) -> Option<u32> {
    let offset = reply.offset_s.filter(|_| reply.moved_s.is_none() && reply.approve_s.is_some())?;
    Some((offset.abs() * 1.01 + 1.0).ceil() as u32)
}

/// Permits a step of at most this size, asks again, and takes back what was not used, whatever is said of it.
fn with_leave(socket: &Path, keeper: &Keeper, most: u32, form: Form) -> Result<String, Failure> {
    keeper.permit(most).map_err(|error| Failure { text: error.to_string(), code: exit::NO })?;
    let outcome = ask(socket);
    if let Err(error) = keeper.take_back() {
        complain(&format!(
            "a leave that was not used ends by itself within {} s: {error}",
            HOLDS.nanos() / 1_000_000_000
        ));
    }
    let (answer, reply) = outcome?;
    told(&answer, &reply, form)
}

/// Asks whoever sits at the terminal.
fn agrees(reply: &StepReply, needed: u32) -> bool {
    complain(&why(reply));
    let mut said = std::io::stderr();
    let _ = write!(said, "permit one step of at most {} now? [y/N] ", in_words(needed));
    let _ = said.flush();
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes")
}

/// `42 s`, `90000 s (25.0 hours)`.
fn in_words(seconds: u32) -> String {
    let count = f64::from(seconds);
    match seconds {
        0..3_600 => format!("{seconds} s"),
        3_600..172_800 => format!("{seconds} s ({:.1} hours)", count / 3_600.0),
        _ => format!("{seconds} s ({:.1} days)", count / 86_400.0),
    }
}

fn why(reply: &StepReply) -> String {
    let reason = escape(reply.reason.as_deref().unwrap_or("the clock was not stepped"));
    match reply.offset_s {
        Some(offset) => {
            let direction = if offset > 0.0 { "slow" } else { "fast" };
            format!("the clock is {} {direction}; {reason}", text::seconds(Some(offset.abs()), false))
        }
        None => reason,
    }
}

fn told(answer: &Value, reply: &StepReply, form: Form) -> Result<String, Failure> {
    // Near its sources, or moved: there is nothing left to do.
    let is_right = reply.moved_s.is_some() || (reply.offset_s.is_some() && reply.refused.is_none());
    if form == Form::Json {
        print(&text::json(answer))?;
    }
    match reply.moved_s {
        _ if is_right && form == Form::Json => Ok(String::new()),
        Some(moved) => {
            let direction = if moved > 0.0 { "forward" } else { "back" };
            Ok(text::said(&format!("stepped {} {direction}", text::seconds(Some(moved.abs()), false)), form))
        }
        None if is_right => Ok(text::said(&format!("nothing to step: {}", why(reply)), form)),
        None => {
            let leave = needed(reply).map_or(String::new(), |needed| {
                format!(
                    "; to permit one of at most {}, as root: chimerctl step --approve {needed}",
                    in_words(needed)
                )
            });
            Err(Failure { text: format!("{}{leave}", why(reply)), code: exit::NO })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_ours_and_not_what_the_engine_would_like() {
        let reply =
            |offset_s, approve_s, moved_s| StepReply { offset_s, approve_s, moved_s, ..StepReply::default() };
        assert_eq!(needed(&reply(Some(-2.0), Some(63_072_000), None)), Some(4));
        assert_eq!(needed(&reply(Some(2.0), None, None)), None);
        assert_eq!(needed(&reply(Some(2.0), Some(4), Some(2.0))), None);
        assert_eq!(needed(&reply(None, Some(4), None)), None);
        assert_eq!(needed(&reply(Some(1e300), Some(4), None)), Some(u32::MAX));
    }

    #[test]
    fn a_size_is_said_in_words_that_people_notice() {
        assert_eq!(in_words(42), "42 s");
        assert_eq!(in_words(90_000), "90000 s (25.0 hours)");
        assert_eq!(in_words(63_072_000), "63072000 s (730.0 days)");
    }
}
