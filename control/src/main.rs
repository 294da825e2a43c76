//! chimerctl: shows and controls the daemon.
//!
//! ```text
//!   main     the command line
//!   process  what the kernel reports of each process, read from /proc
//!   status   status, as a table or as JSON
//!   reload   reload, of all or of the programs' sources
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
mod reload;
mod replay;
mod sources;
mod status;
mod text;
mod wait;

use clap::{Args, Parser, Subcommand, ValueEnum};
use daemon_paths::Wanted;
use ipc::audit_line;
use ipc::text::escape;
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
    /// Put the configuration's sources, clock settings, access rules and limits in force, and read certificate and
    /// key anew, without a restart (root)
    Reload {
        /// Only these; all else stays as it was read last
        #[arg(conflicts_with = "config")]
        what: Option<Part>,
        /// The file; otherwise the one that the daemon was started with
        #[arg(long, value_name = "F")]
        config: Option<PathBuf>,
    },
    /// Ask one more source, until a restart or a reload of a file without it (root)
    Add {
        /// Its name or address
        name: String,
        /// Keys of [[source]] with their values, as in truechimer.toml(5): mode=nts min-poll=4
        #[arg(value_name = "KEY=VALUE")]
        keys: Vec<String>,
    },
    /// Ask a source no longer, until a restart or a reload of a file that has it (root)
    Remove {
        /// Its name, as `sources` shows it
        name: String,
    },
    /// Poll all sources now, a few times (root)
    Burst,
    /// Poll again after `offline` (root)
    Online,
    /// Stop polling, for instance before the link goes down (root)
    Offline,
}

/// A part of the configuration.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    /// The sources that programs have left in sources.d of the run directory
    Sources,
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
        Command::Reload { what: Some(Part::Sources), .. } => reload::sources(&cli.socket, cli.json),
        Command::Reload { what: None, config } => named(config.as_ref(), Wanted::Configuration, &cli.socket)
            .and_then(|config| reload::all(&cli.socket, &config, cli.json)),
        Command::Add { name, keys } => add(&cli, name, keys),
        Command::Remove { name } => {
            let done = control_socket::remove(&cli.socket, name).map_err(Failure::from);
            done.map(|reply| said(&cli, &reply, &format!("removed {name}")))
        }
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
    Ok(said(cli, &reply, &format!("{verb}: done")))
}

fn said(cli: &Cli, reply: &serde_json::Value, text: &str) -> String {
    if cli.json { text::json(reply) } else { escape(text) + "\n" }
}

/// Asks one more source.
fn add(cli: &Cli, name: &str, keys: &[String]) -> Result<String, Failure> {
    let source = source_table(name, keys).map_err(|text| Failure { text, code: 2 })?;
    let reply = control_socket::add(&cli.socket, &source)?;
    Ok(said(cli, &reply, &format!("added {name}")))
}

/// The `[[source]]` of these words. What they mean, the engine judges.
fn source_table(name: &str, keys: &[String]) -> Result<String, String> {
    // A basic string of TOML may have all that one of JSON has.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut table = format!("[[source]]\naddress = {}\n", quoted(name));
    for word in keys {
        let is_key = |key: &str| {
            !key.is_empty() && key.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-')
        };
        let Some((key, value)) = word.split_once('=').filter(|(key, _)| is_key(key)) else {
            return Err(format!(
                "{word}: expected KEY=VALUE with a key of [[source]], such as mode=nts or min-poll=4"
            ));
        };
        let is_bare = matches!(value, "true" | "false") || value.parse::<f64>().is_ok_and(f64::is_finite);
        table += &format!("{key} = {}\n", if is_bare { value.to_owned() } else { quoted(value) });
    }
    Ok(table)
}

/// The user who runs this process, to whom `/proc/self` belongs.
fn own_uid() -> u32 {
    std::fs::metadata("/proc/self").map_or(0, |own| own.uid())
}
