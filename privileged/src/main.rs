//! truechimerd: starts the other processes and becomes the keeper of the clock.
//!
//! ```text
//!   options    the command line
//!   launch     in order: files, engine, plan, sockets, network, lock-down, keeper
//! ```
//!
//! It reads nothing from a network. What it knows of the host (paths, users, the command line) ends with it: the keeper
//! (`privileged/keeper`) is another program, which this process executes when everything runs.

mod launch;
mod options;

use keeper::ending::{Ending, for_the_journal, say};
use keeper::notify::Notify;
use keeper::start::end_on_panic;
use launch::{journal, service_manager};
use options::Asked;
use policies::Inherited;
use std::os::fd::OwnedFd;
use std::process::exit;

fn main() {
    for_the_journal(journal::reads_stderr());
    policies::reset_signals();
    let asked = options::parse(std::env::args_os().skip(1));
    let ready = ready_fd(&asked);
    let is_check = matches!(&asked, Ok(Asked::Run(options)) if options.check);
    let notify = if is_check { Notify::to(None) } else { service_manager::connect() };
    end_on_panic(notify.clone());
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
            let launched = ready.map_err(Ending::Configuration);
            let Err(ending) = launched.and_then(|ready| launch::launch(&options, &notify, ready.as_ref()));
            not_started(&notify, ending)
        }
        Err(message) => not_started(&notify, Ending::Configuration(message)),
    };
    let text = ending.to_string();
    if !text.is_empty() && !matches!(ending, Ending::Asked) {
        say(3, &text);
    }
    exit(ending.code());
}

/// Takes the descriptor of `--ready-fd` and closes all others, so that what the parent leaked reaches neither this process nor
/// its children.
fn ready_fd(asked: &Result<Asked, String>) -> Result<Option<OwnedFd>, String> {
    let number = match asked {
        // A check is asked for with the options of the service, and without its descriptors.
        Ok(Asked::Run(options)) if !options.check => options.ready_fd,
        _ => None,
    };
    let words = number.map(|fd| format!("ready-fd={fd}"));
    let Ok(inherited) = Inherited::from_words(words) else { return Ok(None) };
    inherited.close_others();
    inherited.optional_fd("ready-fd").map_err(|_| {
        format!(
            "--ready-fd {}: nothing is open there; the service manager opens it (s6: the file notification-fd)",
            number.unwrap_or_default()
        )
    })
}

/// Tells the service manager, whose status would otherwise stay at the last step of the start.
fn not_started(notify: &Notify, ending: Ending) -> Ending {
    match ending.to_string() {
        // The engine has logged each fault with its line.
        text if text.is_empty() => {
            notify.say_end(
                "the configuration is not in order; the log says what, and truechimerd --check does",
            );
        }
        text => notify.say_end(&text),
    }
    ending
}
