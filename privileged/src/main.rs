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
//! After the launch it holds CAP_SYS_TIME and the twenty system calls of `policies/rules/privileged.toml`; to read: one
//! link, signals and a timer; to write: record, audit log, service manager,
//! standard error (and a virtual clock's file). It parses no configuration, no packet and no text; the
//! frames that it reads are of fixed size and range.

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
use options::Asked;
use privileged::{audit, governor};
use std::process::exit;

fn main() {
    journal::reads_stderr();
    std::panic::set_hook(Box::new(|panic| {
        // The clock needs no farewell: a slew ends by itself, and the base frequency is in force.
        say(2, &format_args!("internal error, ending: {panic}"));
        exit(70);
    }));
    let asked = options::parse(std::env::args_os().skip(1));
    let ending = match asked {
        Ok(Asked::Help) => {
            println!("{}", options::HELP);
            exit(0);
        }
        Ok(Asked::Version) => {
            println!("truechimerd {}", env!("CARGO_PKG_VERSION"));
            exit(0);
        }
        Ok(Asked::Run(options)) => {
            // Whatever a careless parent left open is none of ours, nor of our children.
            if let Ok(nothing) = policies::Inherited::from_words([] as [&str; 0]) {
                nothing.close_others();
            }
            match launch::launch(&options) {
                Ok(keeper) => keeper.run(),
                Err(ending) => ending,
            }
        }
        Err(sentence) => Ending::Configuration(sentence),
    };
    let text = ending.to_string();
    if !text.is_empty() && !matches!(ending, Ending::Asked) {
        say(3, &text);
    }
    exit(ending.code());
}
