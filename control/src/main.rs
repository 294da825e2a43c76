//! chimerctl: shows and controls the daemon.
//!
//! ```text
//!   main     what each command does; the command line itself is control/command_line
//!   screen   standard output: its width, its characters, and that it was written
//!   process  what the kernel reports of each process, read from /proc
//!   status   status, as a table or as JSON
//!   keys     keys, and the certificate's part of reload
//!   add      add: the [[source]] of the words on the command line
//!   reload   reload, of all or of the programs' sources
//!   sources  sources, source NAME
//!   server   server
//!   clients  clients, access
//!   why      why
//!   activity  activity
//!   wait     wait-sync
//!   now      now;  assert  assert
//!   step     step; the operator's leave for it goes through control/leave
//!   daemon_paths  where the daemon's files are, as its launch has left it beside the socket
//!   audit    the governor's audit log: shown, and verified with history and anchors
//!   minutes  history: what was true of the clock in each minute, from the engine's file or a copy
//!   evidence  evidence: what the history shows of a rule, for auditors
//!   replay   replays a recording of the engine in a separate process
//!   file     the files that the command line names: regular ones only
//!   import   import: another daemon's configuration, as one of ours
//!   plot     plot: what the clock did, as a picture
//!   top      top: a live screen
//!   text     escapes, tables, durations
//! ```
//!
//! Questions go through `control/socket`: one line out, one line in, thirty seconds at most.
//!
//! It has no privilege of its own: the mode of the socket decides which users may read, and the engine checks the
//! peer's credentials before it changes anything. The engine's output is treated as untrusted text: bounded in size and
//! time, and never printed unescaped. Run as root it stays root, because only root may read the namespaces of the
//! daemon's processes. It opens nothing for writing but the file that `plot --output` or
//! `import --output` names, and the folder that `evidence --out` names, and never a path that the engine names.
#![forbid(unsafe_code)]

mod activity;
mod add;
mod assert;
mod audit;
mod clients;
mod daemon_paths;
mod evidence;
mod file;
mod import;
mod keys;
mod minutes;
mod now;
mod plot;
mod process;
mod reload;
mod replay;
mod screen;
mod server;
mod sources;
mod status;
mod step;
mod text;
mod top;
mod wait;
mod why;

use command_line::{AuditArguments, Cli, Command, Part, word};
use daemon_paths::Wanted;
use ipc::audit_line;
use screen::{Form, Screen, complain, print};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit codes beside 0, as chimerctl(1) has them.
mod exit {
    /// The answer is no.
    pub const NO: u8 = 1;
    /// There is no answer: no daemon, a file that cannot be read or is none of its kind, or a command that cannot be followed.
    pub const UNABLE: u8 = 2;
    /// There is one, but it cannot be written.
    pub const UNWRITTEN: u8 = 3;
}

/// How a command ends when it did not do what was requested: a sentence, and the exit code.
struct Failure {
    text: String,
    code: u8,
}

impl From<control_socket::AskError> for Failure {
    fn from(error: control_socket::AskError) -> Self {
        Self { text: error.to_string(), code: error.exit_code() }
    }
}

fn main() -> ExitCode {
    let done = match command_line::parse() {
        Ok(cli) => {
            let form = if cli.json { Form::Json } else { Form::Text(Screen::of_standard_output()) };
            follow(&cli, form).and_then(|text| print(&text))
        }
        // Help was asked for, or the version.
        Err(said) if !said.use_stderr() => print(&said.to_string()),
        Err(wrong) => {
            // With its own lines, and nothing in it that did not come from whoever runs this.
            let _ = wrong.print();
            return ExitCode::from(exit::UNABLE);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { text, code }) => {
            complain(&text);
            ExitCode::from(code)
        }
    }
}

fn follow(cli: &Cli, form: Form) -> Result<String, Failure> {
    let socket = &cli.socket;
    match &cli.command {
        Command::Status => status::show(socket, form),
        Command::Sources { verbose } => sources::list(socket, *verbose, form),
        Command::Source { name } => sources::show(socket, name, form),
        Command::Why { name } => why::show(socket, name.as_deref(), form),
        Command::Activity => activity::show(socket, form),
        Command::Keys => keys::show(socket, form),
        Command::Server => server::show(socket, form),
        Command::Now => now::show(socket, form),
        Command::Assert(asked) => assert::assert(socket, asked, form),
        Command::WaitSync(wait) => wait::wait(socket, wait.timeout, wait.max_error, form),
        Command::Audit(asked) => show_audit(socket, asked, form),
        Command::Replay { file } => replay::show(file, form),
        Command::Reload { what: Some(Part::Sources), .. } => reload::sources(socket, form),
        Command::Reload { what: None, drop_names, config } => {
            let config = named(config.as_ref(), Wanted::Configuration, socket)?;
            reload::all(socket, &config, *drop_names, form)
        }
        Command::Add { name, keys } => add::add(socket, name, keys, form),
        Command::Remove { name } => {
            let reply = control_socket::remove(socket, name)?;
            Ok(done(&reply, &format!("removed {name}"), form))
        }
        Command::Burst(whom) => change(socket, "burst", &whom.names, form),
        Command::Online(whom) => change(socket, "online", &whom.names, form),
        Command::Offline(whom) => change(socket, "offline", &whom.names, form),
        Command::Step { approve } => step::step(socket, *approve, form),
        Command::Log { level } => {
            let level = word(level);
            let reply = control_socket::log(socket, &level)?;
            Ok(done(&reply, &format!("log: {level} and worse"), form))
        }
        Command::Clients(asked) => clients::list(socket, asked, form),
        Command::Access { address } => clients::access(socket, *address, form),
        Command::History(asked) => minutes::show(socket, asked, form),
        Command::Evidence(asked) => evidence::show(socket, asked, form),
        Command::Plot(asked) => plot::show(socket, asked, form),
        Command::Import(asked) => import::show(asked, form),
        Command::Top { interval } => top::show(socket, *interval, form),
    }
}

fn show_audit(socket: &Path, asked: &AuditArguments, form: Form) -> Result<String, Failure> {
    let ring = if asked.steps { audit_line::STEPS } else { audit_line::ORDERS };
    let file = named(asked.file.as_ref(), Wanted::Audit, socket)?;
    match asked.verify {
        true => audit::verify(&file, asked, form),
        false => audit::show(&file, ring, asked.last, form),
    }
}

/// The file of the command line, or else the daemon's.
fn named(file: Option<&PathBuf>, wanted: Wanted, socket: &Path) -> Result<PathBuf, Failure> {
    file.map_or_else(|| wanted.of(socket), |file| Ok(file.clone()))
}

fn change(socket: &Path, verb: &str, names: &[String], form: Form) -> Result<String, Failure> {
    let mut reply = None;
    for name in names {
        reply = Some(control_socket::change(socket, verb, name)?);
    }
    let reply = reply.map_or_else(|| control_socket::ask(socket, verb), Ok)?;
    Ok(done(&reply, &format!("{verb}: done"), form))
}

/// The reply to a command that was followed, or the words for it.
fn done(reply: &Value, words: &str, form: Form) -> String {
    if form == Form::Json { text::json(reply) } else { text::said(words, form) }
}
