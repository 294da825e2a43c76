//! chimerctl: shows and controls the daemon.
//!
//! ```text
//!   main     the command line
//!   process  what the kernel reports of each process, read from /proc
//!   status   status, as a table or as JSON
//!   keys     keys, and the certificate's part of reload
//!   sources  sources, source NAME, server
//!   wait     wait-sync
//!   daemon_paths  where the daemon's files are, as its launch has left it beside the socket
//!   audit    the governor's audit log: shown, and its chain verified
//!   replay   replays a recording of the engine in a separate process
//!   file     the files that the command line names: regular ones only
//!   text     escapes, tables, durations
//! ```
//!
//! Questions go through `control/socket`: one line out, one line in, thirty seconds at most.
//!
//! It has no privilege of its own: the mode of the socket decides which users may read, and the engine checks the
//! peer's credentials before it changes anything. The engine's output is treated as untrusted text: bounded in size and
//! time, and never printed unescaped. Run as root it stays root, because only root may read the namespaces of the
//! daemon's processes. It opens nothing for writing and never opens a path that the engine names.
#![forbid(unsafe_code)]

mod audit;
mod daemon_paths;
mod file;
mod keys;
mod process;
mod replay;
mod sources;
mod status;
mod text;
mod wait;

use clap::{Args, Parser, Subcommand};
use daemon_paths::Wanted;
use ipc::audit_line;
use ipc::permissions::{Changeable, Permissions};
use ipc::text::escape;
use report::read::ReloadedReply;
use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "chimerctl", version, about = "Shows and controls the truechimer time daemon")]
struct Cli {
    /// Print JSON, for programs
    #[arg(long, global = true)]
    json: bool,
    /// The daemon's control socket
    #[arg(long, global = true, value_name = "PATH", default_value = daemon_paths::SOCKET)]
    socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The clock, the processes, and what the kernel says each of them may do
    Status,
    /// One line for each source
    Sources,
    /// Everything about one source
    Source {
        /// Its name or address, as `sources` shows it
        name: String,
    },
    /// What the server answered
    Server,
    /// NTS: keys and cookies of the sources; cookie keys, certificate and key exchanges of the server
    Keys,
    /// Wait until the clock is synchronised: exit 0; 1: not in time; 2: no daemon
    WaitSync(WaitArguments),
    /// Show the governor's audit log: each change of the clock and each refusal
    Audit(AuditArguments),
    /// Replay a recording of `truechimerd --record`; exit 0: equal, 1: different or damaged, 2: it cannot be replayed
    Replay {
        /// The recording
        file: PathBuf,
    },
    /// Put the configuration file's access rules and rate limits in force, and read certificate and key anew,
    /// without a restart (root)
    Reload {
        /// The file; otherwise the one that the daemon was started with
        #[arg(long, value_name = "F")]
        config: Option<PathBuf>,
    },
    /// Poll all sources now, a few times (root)
    Burst,
    /// Poll again after `offline` (root)
    Online,
    /// Stop polling, for instance before the link goes down (root)
    Offline,
}

#[derive(Args)]
struct WaitArguments {
    /// Give up after this many seconds; 0: never
    #[arg(long, value_name = "S", default_value_t = 0.0, value_parser = text::parse_seconds)]
    timeout: f64,
    /// The clock's error bound must be below this many seconds too
    #[arg(long, value_name = "S", value_parser = text::parse_seconds)]
    max_error: Option<f64>,
}

#[derive(Args)]
struct AuditArguments {
    /// Check that no record was changed, moved or taken out; exit 1 if one was. Records cut off at the end
    /// are seen by the daemon at its next start
    #[arg(long)]
    verify: bool,
    /// Only the steps, which are kept apart: the last 2048, however many other records came after them
    #[arg(long, conflicts_with = "verify")]
    steps: bool,
    /// The audit log; otherwise the one that the daemon writes
    #[arg(long, value_name = "F")]
    file: Option<PathBuf>,
    /// Only the last N records
    #[arg(long, value_name = "N")]
    last: Option<usize>,
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
    let cli = Cli::parse();
    let outcome = match &cli.command {
        Command::Status => status::show(&cli.socket, cli.json),
        Command::Sources => sources::list(&cli.socket, cli.json),
        Command::Source { name } => sources::show(&cli.socket, name, cli.json),
        Command::Keys => keys::show(&cli.socket, cli.json),
        Command::Server => sources::server(&cli.socket, cli.json),
        Command::WaitSync(wait) => wait::wait(&cli.socket, wait.timeout, wait.max_error, cli.json),
        Command::Audit(asked) => {
            let ring = if asked.steps { audit_line::STEPS } else { audit_line::ORDERS };
            named(asked.file.as_ref(), Wanted::Audit, &cli.socket).and_then(|file| match asked.verify {
                true => audit::verify_file(&file, cli.json),
                false => audit::show(&file, ring, asked.last, cli.json),
            })
        }
        Command::Replay { file } => replay::show(file, cli.json),
        Command::Reload { config } => named(config.as_ref(), Wanted::Configuration, &cli.socket)
            .and_then(|config| reload(&cli, &config)),
        Command::Burst => change(&cli, "burst"),
        Command::Online => change(&cli, "online"),
        Command::Offline => change(&cli, "offline"),
    };
    match outcome {
        Ok(text) => {
            text::print(&text);
            ExitCode::SUCCESS
        }
        Err(Failure { text, code }) => {
            eprintln!("chimerctl: {}", escape(&text));
            ExitCode::from(code)
        }
    }
}

/// The file of the command line, or else the daemon's.
fn named(file: Option<&PathBuf>, wanted: Wanted, socket: &Path) -> Result<PathBuf, Failure> {
    file.map_or_else(|| wanted.of(socket), |file| Ok(file.clone()))
}

fn change(cli: &Cli, verb: &str) -> Result<String, Failure> {
    let reply = control_socket::ask(&cli.socket, verb)?;
    Ok(if cli.json { text::json(&reply) } else { format!("{verb}: done\n") })
}

/// More octets than a configuration may have. What lies behind them would be missing.
const MAX_FILE: u64 = 300 * 1024;

/// The user who runs this process, to whom `/proc/self` belongs.
fn own_uid() -> u32 {
    std::fs::metadata("/proc/self").map_or(0, |own| own.uid())
}

/// Whether only its owner may read or change the file. A start would refuse it too: a user who can change the file
/// controls the time.
fn judge(facts: &Metadata, config: &Path) -> Result<bool, Failure> {
    let permissions = Permissions { owner: facts.uid(), mode: facts.mode() };
    let ours = own_uid();
    let path = config.display().to_string();
    let why = if !facts.is_file() {
        format!("{path}: is no regular file and was not read; name the file itself")
    } else if permissions.is_changeable(ours) {
        Changeable(&path, permissions).to_string()
    } else {
        return Ok(permissions.is_private());
    };
    Err(Failure { text: format!("{why}; what is in force stays in force"), code: 1 })
}

fn reload(cli: &Cli, config: &Path) -> Result<String, Failure> {
    let name = config.display().to_string();
    let unreadable = |error: std::io::Error| Failure { text: format!("{name}: {error}"), code: 1 };
    let mut octets = Vec::new();
    let file = file::open(config).map_err(unreadable)?;
    let facts = file.metadata().map_err(unreadable)?;
    let is_private = judge(&facts, config)?;
    file.take(MAX_FILE).read_to_end(&mut octets).map_err(unreadable)?;
    if octets.len() as u64 == MAX_FILE {
        return Err(Failure {
            text: format!("{name}: longer than a configuration may be; is it the right file?"),
            code: 1,
        });
    }
    let text = String::from_utf8(octets).map_err(|error| unreadable(std::io::Error::other(error)))?;
    let mut answer = control_socket::reload(&cli.socket, &text, is_private).map_err(|error| match error {
        control_socket::AskError::Refused(_) => {
            Failure { text: format!("read {name}: {error}"), code: error.exit_code() }
        }
        _ => error.into(),
    })?;
    let reply: ReloadedReply = control_socket::read(&answer)?;
    let certificate = match reply.reads_certificate {
        Some(true) => Some(keys::await_certificate(&cli.socket, &reply)?),
        _ => None,
    };
    let report = report_of(&name, &reply, certificate.as_ref().map(|(text, _)| text.as_str()));
    if certificate.as_ref().is_some_and(|(_, is_done)| !is_done) {
        return Err(Failure { text: report, code: 1 });
    }
    if cli.json {
        if let Some(object) = answer.as_object_mut() {
            object.insert("file".to_owned(), name.into());
            if let Some((text, _)) = certificate {
                object.insert("certificate".to_owned(), text.into());
            }
        }
        return Ok(text::json(&answer));
    }
    Ok(escape(&report) + "\n")
}

/// What a reload of this file did, in one line.
fn report_of(name: &str, reply: &ReloadedReply, certificate: Option<&str>) -> String {
    let done = if reply.changed == Some(true) { "in force now" } else { "nothing new for the server" };
    let rest = match reply.waiting.as_deref().unwrap_or_default() {
        [] if reply.needs_restart == Some(true) => "; other changes in the file take a restart".to_owned(),
        [] => String::new(),
        waiting => format!("; not in force before a restart: {}", waiting.join("; ")),
    };
    let certificate = certificate.map_or(String::new(), |text| format!("; certificate: {text}"));
    format!("reload: read {name}: {done}{rest}{certificate}")
}
