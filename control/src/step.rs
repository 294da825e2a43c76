//! `step`: asks for a step; where the governor's rows end, an operator may permit it.

use crate::screen::{Form, complain, print};
use crate::{Failure, exit, text};
use control_socket::AskError;
use ipc::text::escape;
use report::read::StepReply;
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::path::Path;

/// The sign of an offset in words.
fn measured(offset: f64) -> String {
    format!("{} {}", text::seconds(Some(offset.abs()), false), if offset > 0.0 { "slow" } else { "fast" })
}

/// Steps the clock, or says why not.
pub fn step(socket: &Path, permitted: Option<u32>, form: Form) -> Result<String, Failure> {
    let (answer, reply) = ask(socket)?;
    let Some(needed) = reply.approve_s.filter(|_| reply.moved_s.is_none()) else {
        return told(&answer, &reply, form);
    };
    match permitted {
        Some(most) if most >= needed => with_leave(socket, most, form),
        Some(_) => {
            let text = format!(
                "{}; that is more than was permitted: --approve {needed} permits a step of this size",
                why(&reply)
            );
            Err(Failure { text, code: exit::NO })
        }
        None if form != Form::Json && std::io::stdin().is_terminal() && agrees(&reply, needed) => {
            with_leave(socket, needed, form)
        }
        None => told(&answer, &reply, form),
    }
}

fn ask(socket: &Path) -> Result<(Value, StepReply), AskError> {
    let answer = control_socket::ask(socket, "step")?;
    let reply = control_socket::read(&answer)?;
    Ok((answer, reply))
}

/// Permits a step of at most this size, and asks again. What was not used is taken back.
fn with_leave(socket: &Path, most: u32, form: Form) -> Result<String, Failure> {
    let permit = |most| {
        leave::permit(socket, most).map_err(|error| Failure { text: error.to_string(), code: exit::UNABLE })
    };
    permit(most)?;
    let outcome = ask(socket);
    if !outcome.as_ref().is_ok_and(|(_, reply)| reply.moved_s.is_some()) {
        // It ends by itself within a minute.
        let _ = permit(0);
    }
    let (answer, reply) = outcome?;
    told(&answer, &reply, form)
}

/// Asks whoever sits at the terminal.
fn agrees(reply: &StepReply, needed: u32) -> bool {
    complain(&why(reply));
    let mut said = std::io::stderr();
    let _ = write!(said, "permit one step of at most {needed} s now? [y/N] ");
    let _ = said.flush();
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes")
}

fn why(reply: &StepReply) -> String {
    let reason = escape(reply.reason.as_deref().unwrap_or("the clock was not stepped"));
    match reply.offset_s {
        Some(offset) => format!("the clock is {}; {reason}", measured(offset)),
        None => reason,
    }
}

fn told(answer: &Value, reply: &StepReply, form: Form) -> Result<String, Failure> {
    // Near its sources, or moved: there is nothing left to do.
    let is_right = reply.moved_s.is_some() || (reply.offset_s.is_some() && reply.refused.is_none());
    if form == Form::Json {
        print(&text::json(answer))?;
        return if is_right { Ok(String::new()) } else { Err(Failure { text: why(reply), code: exit::NO }) };
    }
    match reply.moved_s {
        Some(moved) => {
            let direction = if moved > 0.0 { "forward" } else { "back" };
            Ok(text::said(&format!("stepped {} {direction}", text::seconds(Some(moved.abs()), false)), form))
        }
        None if is_right => Ok(text::said(&format!("nothing to step: {}", why(reply)), form)),
        None => {
            let leave = reply.approve_s.map_or(String::new(), |needed| {
                format!("; to permit it (root): chimerctl step --approve {needed}")
            });
            Err(Failure { text: format!("{}{leave}", why(reply)), code: exit::NO })
        }
    }
}
