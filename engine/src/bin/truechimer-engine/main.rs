//! The engine process: reads the configuration, decides what the time is, and orders corrections.
//!
//! ```text
//!   main           confinement first, then everything else
//!   configuration  the TOML file: checked key by key; settings, launch plan, access rules
//!   launch         the plan, the hellos of the other processes, the welcome
//!   loop           waits; passes facts into the engine and effects out of it
//!   reload         a changed file, while everything runs: what of it takes effect
//!   links          the four links: order of messages, queues that never block
//!   clock          the raw clock and the steered one, read next to each other
//!   state          what survives a restart
//!   control        the socket that chimerctl talks to; answers: what it is told
//!   log            one line for each event
//!   ending         why the process ends, and with which code
//! ```
//!
//! It holds no privilege, no network socket and no file but those that it was started with. What it decides
//! comes from the library of this crate, which reads neither clock nor socket.
#![forbid(unsafe_code)]

mod answers;
mod clock;
mod configuration;
mod control;
mod ending;
mod launch;
mod links;
mod log;
mod r#loop;
mod reload;
mod state;

use crate::answers::Surroundings;
use crate::clock::Clock;
use crate::configuration::{Configuration, profile_name};
use crate::control::Control;
use crate::ending::Ending;
use crate::launch::Launched;
use crate::links::{Ends, Links, Process};
use crate::log::{Log, Severity};
use crate::r#loop::Running;
use crate::reload::InForce;
use crate::state::StateFile;
use engine::Engine;
use engine::io::{Input, Start};
use ipc::message::Shortfall;
use policies::{ConfineError, Inherited, Role};
use std::fmt::Display;
use std::net::IpAddr;
use std::process::exit;

fn main() {
    end_on_panic();
    let words = Inherited::from_args().unwrap_or_else(|error| fail(error));
    words.close_others();
    let shortfall = confine(&words);
    let mut log = Log::from_words(&words).unwrap_or_else(|error| fail(error));
    let configuration = load_configuration(&words, &mut log);
    if words.flag("check") {
        println!("configuration is in order");
        exit(0);
    }
    exit(run(&words, log, configuration, shortfall));
}

fn confine(words: &Inherited) -> Shortfall {
    let policies::Shortfall { namespaces, file_view, landlock, write_execute, user, insecure } =
        match policies::confine(Role::Engine, words) {
            Ok(shortfall) => shortfall,
            // Root checks a file of its own before the package's users are there: nothing is lost by that.
            Err(ConfineError::NoUser) if words.flag("check") => policies::Shortfall::default(),
            Err(error) => fail(error),
        };
    Shortfall { namespaces, file_view, landlock, write_execute, user, insecure }
}

/// A panic is a fault of ours; it ends the process with one line, and with it the daemon.
fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let text = log::escape(&panic.to_string());
        log::write_to_stderr(&format!("truechimer-engine: a fault of its own: {text}\n"));
        exit(ending::ENGINE);
    }));
}

fn fail(error: impl Display) -> ! {
    log::write_to_stderr(&format!("truechimer-engine: {error}\n"));
    exit(ending::ENGINE)
}

fn load_configuration(words: &Inherited, log: &mut Log) -> Configuration {
    let file = words.fd("config").unwrap_or_else(|error| fail(error));
    let name = words.text("config-name").unwrap_or("the configuration file");
    match configuration::load(file, name) {
        Ok(configuration) => {
            for warning in &configuration.warnings {
                log.write(Severity::WARNING, warning);
            }
            configuration
        }
        Err(error) => {
            for line in error.to_string().lines() {
                log.write_for_person(Severity::ERROR, line);
            }
            exit(ending::CONFIGURATION)
        }
    }
}

/// From the configuration on; returns the exit code.
fn run(words: &Inherited, mut log: Log, configuration: Configuration, shortfall: Shortfall) -> i32 {
    let take = |key: &str| words.fd(key).unwrap_or_else(|error| fail(error));
    let ends = Ends {
        privileged: take("privileged"),
        client: take("client"),
        exchange: take("exchange"),
        server: take("server"),
    };
    // The pair was made by whoever started the daemon: that user may give orders on the control socket.
    let owner = control::peer_uid(&ends.privileged).unwrap_or(0);
    let mut links = Links::new(ends).unwrap_or_else(|errno| fail(errno));
    let control = Control::new(take("control"), owner).unwrap_or_else(|errno| fail(errno));
    let mut state = StateFile::new(take("state"));
    let mut clock = Clock::new(words.optional_fd("clock").unwrap_or_else(|error| fail(error)));

    let own_addresses = own_addresses(&configuration);
    let launched = match launch::launch(&mut links, &clock, &configuration, shortfall) {
        Ok(launched) => launched,
        Err(ending) => return end(&mut log, &mut links, &clock, &ending),
    };
    let in_force = InForce::of(&configuration);
    let engine = match make_engine(&mut log, &mut state, &mut clock, configuration, &launched) {
        Ok(engine) => engine,
        Err(ending) => return end(&mut log, &mut links, &clock, &ending),
    };
    let seen = match clock.now() {
        Ok(now) => now,
        Err(error) => return end(&mut log, &mut links, &clock, &error.into()),
    };
    let mut running = Running {
        surroundings: Surroundings {
            clock: launched.welcome.clock,
            processes: launched.welcome.processes,
            shortfalls: launched.shortfalls,
            counters: launched.counters,
        },
        clock,
        links,
        control,
        state,
        log,
        engine,
        in_force,
        seen,
        spoke: launched.at,
        pending: vec![Input::Welcome(launched.welcome), Input::OwnAddresses(own_addresses)],
    };
    let ending = running.run();
    end(&mut running.log, &mut running.links, &running.clock, &ending)
}

/// What this process can know of the host's addresses from its empty network: those that it serves on.
/// Loopback isn't one host's own name in the way that a loop of sources needs.
fn own_addresses(configuration: &Configuration) -> Vec<IpAddr> {
    let listen = configuration.plan.listen.iter().take(usize::from(configuration.plan.listen_count));
    listen.map(|address| address.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback()).collect()
}

fn make_engine(
    log: &mut Log,
    state: &mut StateFile,
    clock: &mut Clock,
    configuration: Configuration,
    launched: &Launched,
) -> Result<Engine, Ending> {
    let (saved, complaint) = state.load();
    if let Some(complaint) = complaint {
        log.write(Severity::WARNING, &complaint);
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| Ending::Kernel(nix::errno::Errno::ENOSYS))?;
    log.write(Severity::NOTICE, &summary(&configuration, launched));
    for line in missing(launched) {
        log.write(Severity::WARNING, &line);
    }
    let precision = clock.measure_precision()?;
    Ok(Engine::new(Start { settings: configuration.settings, saved, seed, precision }))
}

/// What runs now, in one line.
fn summary(configuration: &Configuration, launched: &Launched) -> String {
    let sources = match configuration.settings.sources.len() {
        0 => "no source".to_owned(),
        1 => "1 source".to_owned(),
        more => format!("{more} sources"),
    };
    let server = match configuration.plan.listen_count {
        0 => "serving nobody".to_owned(),
        1 => "serving on 1 address".to_owned(),
        more => format!("serving on {more} addresses"),
    };
    format!(
        "truechimer {} started: {sources}, {server}, clock {}, governor profile {}",
        env!("CARGO_PKG_VERSION"),
        answers::clock_name(launched.welcome.clock),
        profile_name(configuration.plan.profile),
    )
}

/// One line for each process that is confined less than it should be.
fn missing(launched: &Launched) -> Vec<String> {
    let heard = Process::ALL.iter().zip(launched.shortfalls);
    let short = heard.filter_map(|(process, shortfall)| Some((process, answers::missing(shortfall?))));
    short
        .filter(|(_, missing)| !missing.is_empty())
        .map(|(process, missing)| {
            let list = missing.join(", ");
            format!(
                "the {} process runs without: {list} (not offered by this system, or left out)",
                process.name()
            )
        })
        .collect()
}

/// Says why, tells privileged, and gives the exit code.
fn end(log: &mut Log, links: &mut Links, clock: &Clock, ending: &Ending) -> i32 {
    let severity = if ending.is_orderly() { Severity::INFO } else { Severity::ERROR };
    log.write(severity, &ending.to_string());
    if let (Some(farewell), Ok(now)) = (ending.farewell(), clock.raw()) {
        links.send_goodbye(now, farewell);
    }
    ending::ENGINE
}
