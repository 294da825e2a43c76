//! truechimerd: starts the other processes, governs the clock, and does nothing else.
//!
//! ```text
//!   options    the command line
//!   launch     in order: files, engine, plan, sockets, network, lock-down
//!   keeper     the loop: hear an order, judge it, write it down, do it, answer
//!   governor   what may be done to a clock: limits, record, budget, judgement (pure)
//!   clock      the kernel's, a virtual one, or none
//!   audit      each change and each refusal, in a chain of lines
//!   signals    what it is asked to do, and which process has ended
//!   notify     the service manager; condition: the sentence for it
//!   ending     one sentence and one exit code for each cause; journal: who reads it
//! ```
//!
//! After the launch it holds CAP_SYS_TIME and the system calls of `policies/rules/privileged.toml`; to read: one link,
//! signals and a timer; to write: record, audit log, service manager, standard error (and a virtual clock's file). It
//! parses no configuration, no packet and no text; the frames that it reads are of fixed size and range.

mod clock;
mod condition;
mod ending;
mod journal;
mod keeper;
mod launch;
mod notify;
mod options;
mod signals;

use ending::{Ending, say};
use notify::Notify;
use options::Asked;
use privileged::{audit, governor};
use std::process::exit;

fn main() {
    journal::reads_stderr();
    // Whatever a careless parent left open is none of ours, nor of our children.
    if let Ok(nothing) = policies::Inherited::from_words([] as [&str; 0]) {
        nothing.close_others();
    }
    let asked = options::parse(std::env::args_os().skip(1));
    let is_check = matches!(&asked, Ok(Asked::Run(options)) if options.check);
    let notify = if is_check { Notify::none() } else { Notify::from_environment() };
    let last = notify.clone();
    std::panic::set_hook(Box::new(move |panic| {
        // The clock needs no farewell: a slew ends by itself, and the base frequency is in force.
        let sentence = format!("internal error, ending: {panic}");
        last.say_end(&sentence);
        say(2, &sentence);
        exit(70);
    }));
    let ending = match asked {
        Ok(Asked::Help) => {
            println!("{}", options::HELP);
            exit(0);
        }
        Ok(Asked::Version) => {
            println!("truechimerd {}", env!("CARGO_PKG_VERSION"));
            exit(0);
        }
        Ok(Asked::Run(options)) => match launch::launch(&options, notify.clone()) {
            Ok(keeper) => keeper.run(),
            Err(ending) => not_started(&notify, ending),
        },
        Err(sentence) => not_started(&notify, Ending::Configuration(sentence)),
    };
    let text = ending.to_string();
    if !text.is_empty() && !matches!(ending, Ending::Asked) {
        say(3, &text);
    }
    exit(ending.code());
}

/// Tells the service manager, which would go on showing what was awaited last.
fn not_started(notify: &Notify, ending: Ending) -> Ending {
    match ending.to_string() {
        // The engine has said what, line by line.
        text if text.is_empty() => {
            notify.say_end(
                "the configuration is not in order; the log says what, and truechimerd --check does",
            );
        }
        text => notify.say_end(&text),
    }
    ending
}
