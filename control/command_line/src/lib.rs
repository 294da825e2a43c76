//! The command line of chimerctl: [`parse`] for chimerctl itself, [`definition`] for what is made from it when the package is
//! built (the completions of shells, `xtask/src/completions.rs`).
#![forbid(unsafe_code)]

mod evidence;
mod span;

pub use evidence::{Activity, ErrorFigure, EvidenceArguments, RuleName};
pub use span::Time;
use span::{parse_interval, parse_span, parse_time, parse_whole_span};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

/// The control socket as the package is delivered.
pub const SOCKET: &str = "/run/truechimer/control.sock";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "chimerctl",
    version,
    about = "Shows and controls the truechimer time daemon",
    max_term_width = 80
)]
pub struct Cli {
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,
    /// The daemon's control socket
    #[arg(long, global = true, value_name = "PATH", default_value = SOCKET)]
    pub socket: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What chimerctl can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The clock, the processes, and what the kernel says each of them may do
    Status,
    /// One line for each source
    Sources {
        /// Everything that is measured, and the whole reason
        #[arg(long, short)]
        verbose: bool,
    },
    /// Everything about one source, and its last measurements
    Source {
        /// Its name or address, as `sources` shows it
        name: String,
    },
    /// Why each source is used or not, and what would change that
    Why {
        /// Only this source: its name or address, as `sources` shows it
        name: Option<String>,
    },
    /// How many sources are asked, and how many are not
    Activity,
    /// What the server answered
    Server,
    /// NTS: keys and cookies of the sources; cookie keys, certificate and key exchanges of the server
    Keys,
    /// True time with how wrong it can be, from the daemon's page in shared memory: exit 0; 1: not known now; 2: no page
    Now,
    /// Whether the time is known well enough, for scripts and units: exit 0; 1: no; 2: no page
    Assert(AssertArguments),
    /// Wait until the clock is synchronised: exit 0; 1: not in time; 2: no daemon
    WaitSync(WaitArguments),
    /// Show the governor's audit log: each change of the clock and each refusal
    Audit(AuditArguments),
    /// Replay a recording of `truechimerd --record`; exit 0: equal, 1: different or damaged, 2: it cannot be replayed
    Replay {
        /// The recording
        #[arg(value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Put the configuration's sources, clock settings, access rules and limits in force, and read certificate and
    /// key anew, without a restart (root)
    Reload {
        /// Only these; all else stays as it was read last
        #[arg(conflicts_with_all = ["config", "drop_names"])]
        what: Option<Part>,
        /// Take a certificate also if it lacks a name of the one in use
        #[arg(long)]
        drop_names: bool,
        /// The file; otherwise the one that the daemon was started with
        #[arg(long, value_name = "F", value_hint = clap::ValueHint::FilePath)]
        config: Option<PathBuf>,
    },
    /// Ask one more source, until a restart or a reload of a file without it (root)
    Add {
        /// Its name or address
        name: String,
        /// Keys of [[source]] with their values, as in truechimer.toml(5): mode=nts min-poll=4 aead=gcm-siv,siv
        #[arg(value_name = "KEY=VALUE")]
        keys: Vec<String>,
    },
    /// Ask a source no longer, until a restart or a reload of a file that has it (root)
    Remove {
        /// Its name, as `sources` shows it
        name: String,
    },
    /// Poll now, a few times (root)
    Burst(Whom),
    /// Poll again after `offline` (root)
    Online(Whom),
    /// Stop polling, for instance before the link goes down (root)
    Offline(Whom),
    /// Step the clock to the time of its sources, instead of slewing it there (root)
    Step {
        /// Where the governor refuses: permit one step of at most this (root). Without this, whoever sits at a terminal
        /// is asked
        #[arg(long, value_name = "SPAN", value_parser = parse_whole_span)]
        approve: Option<u32>,
    },
    /// Which lines the daemon's log has, until a restart (root)
    Log {
        /// Lines of this severity, and of a worse one; `info` is what a start begins with
        level: Level,
    },
    /// Which clients ask the server how often, and which of them too often
    Clients(ClientsArguments),
    /// Whether the server answers this address, by which rule, and how often
    Access {
        /// An IPv4 or IPv6 address; of an IPv6 client, as `clients` shows it, its /64 too
        #[arg(value_parser = parse_client)]
        address: IpAddr,
    },
    /// Show the history of minutes: how far the clock was off, by which sources, and what happened to it
    History(HistoryArguments),
    /// What the history shows of the sentences of a rule, for auditors: exit 0: all of them that it can show; 1: not so; 2: no report
    Evidence(EvidenceArguments),
    /// Draw what the clock did since the start of the daemon: an SVG, or a page
    Plot(PlotArguments),
    /// Make a configuration of another time daemon's: of chrony, ntpd, NTPsec, systemd-timesyncd, OpenNTPD or ntpd-rs
    Import(ImportArguments),
    /// A live screen: the clock, its last hour, its sources, the daemon's processes
    Top {
        /// Ask the daemon so often
        #[arg(long, value_name = "SPAN", default_value = "2", value_parser = parse_interval)]
        interval: f64,
    },
}

/// The options of `clients`.
#[derive(Args, Debug)]
pub struct ClientsArguments {
    /// Which come first: with the most requests, the most dropped ones, the shortest interval, or the latest request
    #[arg(long, value_name = "BY", value_enum, default_value_t = ClientOrder::Requests)]
    pub sort: ClientOrder,
    /// Only the first N, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
}

/// Orders of clients.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ClientOrder {
    /// Those with the most requests
    Requests,
    /// Those of whom the most requests were dropped
    Dropped,
    /// Those who ask in the shortest intervals
    Interval,
    /// Those who asked last
    Last,
}

/// A severity of lines of the log.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Level {
    /// Something has ended, or does not work
    Error,
    /// Something will not work, or looks like an attack
    Warning,
    /// Significant, but normal
    Notice,
    /// Ordinary
    Info,
    /// Each query and each order too
    Debug,
}

/// The sources that a command is about.
#[derive(Debug, Args)]
pub struct Whom {
    /// Their names, as `sources` shows them; none: all
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// A part of the configuration.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Part {
    /// The sources that programs have left in sources.d of the run directory
    Sources,
}

/// The options of `plot`.
#[derive(Args, Debug)]
pub struct PlotArguments {
    /// How much of the past
    #[arg(long, value_enum, default_value_t = Past::Hour)]
    pub span: Past,
    /// A page for a browser, which needs nothing else
    #[arg(long)]
    pub html: bool,
    /// Write it to this file; otherwise to standard output
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

/// The options of `history`.
#[derive(Args, Debug)]
pub struct HistoryArguments {
    /// Only what was later: a time of UTC such as 2026-11-30 or 2026-11-30T12:00, or 90s, 30min, 12h or 7d before the end of the file
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub since: Option<Time>,
    /// Only what was earlier
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub until: Option<Time>,
    /// Each minute; without --since, those of the last day
    #[arg(long)]
    pub minutes: bool,
    /// A picture
    #[arg(long, conflicts_with_all = ["json", "minutes"])]
    pub svg: bool,
    /// The history; otherwise the one that the daemon writes
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: Option<PathBuf>,
}

/// The options of `import`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("targets").args(["output", "keys"]).multiple(true))]
pub struct ImportArguments {
    /// The other daemon's file, and others of it; without, the one that is in a usual place
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Whose configuration it is; without, that is found from its name and what is in it
    #[arg(long, value_name = "DAEMON", value_enum)]
    pub from: Option<Daemon>,
    /// Write it to this file, which must not be there; otherwise to standard output
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Write the symmetric keys to this file, which must not be there: truechimer.keys beside truechimer.toml
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub keys: Option<PathBuf>,
    /// Write nothing but the file of --keys
    #[arg(long, requires = "keys", conflicts_with = "output")]
    pub keys_only: bool,
    /// Replace the files of --output and --keys, which keep their owners and modes
    #[arg(long, requires = "targets")]
    pub force: bool,
    /// Write [server] as a comment, whatever the other daemon serves: as an installation does
    #[arg(long)]
    pub no_server: bool,
    /// Read all files below this folder, as if it were /
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub root: Option<PathBuf>,
}

/// A daemon whose configuration can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Daemon {
    /// chrony.conf
    Chrony,
    /// ntp.conf of ntpd, and of NTPsec
    Ntp,
    /// timesyncd.conf
    Timesyncd,
    /// ntpd.conf of OpenNTPD
    Openntpd,
    /// ntp.toml of ntpd-rs
    NtpdRs,
}

/// How much of the past is drawn.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Past {
    /// In points of 15 s
    Hour,
    /// In points of 6 minutes
    Day,
    /// In points of an hour
    Week,
}

/// The options of `wait-sync`.
#[derive(Args, Debug)]
pub struct WaitArguments {
    /// Give up after this: seconds, or a number with ms, s, min or h; 0: never
    #[arg(long, value_name = "SPAN", default_value = "0", value_parser = parse_span)]
    pub timeout: f64,
    /// The clock's error bound must be below this too: seconds, or a number with ms or us
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub max_error: Option<f64>,
}

/// The options of `assert`.
#[derive(Args, Debug)]
pub struct AssertArguments {
    /// True time must be known to this: seconds, or a number with s, ms, us or ns
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub max_error: Option<f64>,
    /// All sources that the time is from must prove by NTS or by a symmetric key that it is theirs
    #[arg(long)]
    pub authenticated: bool,
    /// And the daemon's profile must be attested: authenticated sources of at least two operators decide, and nothing else
    #[arg(long)]
    pub attested: bool,
    /// Sources must answer and agree now
    #[arg(long)]
    pub synchronised: bool,
    /// The system's clock must follow them, and be as near to true time as --max-error says
    #[arg(long)]
    pub system_clock: bool,
    /// Wait up to this until it holds: seconds, or a number with s, min or h
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub wait: Option<f64>,
    /// Wait until it holds, tell the service manager, and end with 1 as soon as it holds no longer
    #[arg(long, conflicts_with = "wait")]
    pub watch: bool,
}

/// The options of `audit`.
#[derive(Args, Debug)]
pub struct AuditArguments {
    /// Check that no record was changed, moved, taken out or cut off, and what is proven up to when; exit 1 if one was
    #[arg(long)]
    pub verify: bool,
    /// The history of minutes to verify; otherwise engine.history beside the audit log, if it is there
    #[arg(long, value_name = "F", requires = "verify", value_hint = clap::ValueHint::FilePath)]
    pub history: Option<PathBuf>,
    /// The anchors to verify; otherwise engine.anchors beside the audit log, if it is there
    #[arg(long, value_name = "F", requires = "verify", value_hint = clap::ValueHint::FilePath)]
    pub anchors: Option<PathBuf>,
    /// The governor's record; otherwise the file governor beside the audit log, if it is there
    #[arg(long, value_name = "F", requires = "verify", value_hint = clap::ValueHint::FilePath)]
    pub governor: Option<PathBuf>,
    /// A list of Roughtime servers with their public keys (JSON): signatures of others are not believed
    #[arg(long, value_name = "F", requires = "verify", value_hint = clap::ValueHint::FilePath)]
    pub keys: Option<PathBuf>,
    /// Only the steps, which are kept apart: the last 2048, however many other records came after them
    #[arg(long, conflicts_with = "verify")]
    pub steps: bool,
    /// The audit log; otherwise the one that the daemon writes
    #[arg(long, value_name = "F", value_hint = clap::ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Only the last N records, 1 or more
    #[arg(long, value_name = "N", value_parser = parse_count, conflicts_with = "verify")]
    pub last: Option<usize>,
}

/// The word that stands for a value on the command line, by which the daemon knows it too.
pub fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The command line of this process.
///
/// # Errors
/// It is wrong, or asks for help or the version: `Display` is what is to be shown.
pub fn parse() -> Result<Cli, clap::Error> {
    Cli::try_parse()
}

/// Its definition.
pub fn definition() -> clap::Command {
    Cli::command()
}

/// A number of records.
fn parse_count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| "expected a whole number of 1 or more; all are shown without it".to_owned())
}

/// An address; of a network that `clients` shows, its first one.
fn parse_client(text: &str) -> Result<IpAddr, String> {
    let wrong =
        || "expected an address such as 192.0.2.1 or 2001:db8::1, without a port or a network".to_owned();
    let network = text.strip_suffix("/64").and_then(|network| network.parse::<Ipv6Addr>().ok());
    network.map(IpAddr::V6).or_else(|| text.parse().ok()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_one_that_can_be_parsed_by() {
        definition().debug_assert();
    }

    #[test]
    fn what_makes_no_sense_together_or_at_all_is_refused_before_anything_is_read() {
        let is_taken = |line: &str| {
            Cli::try_parse_from(["chimerctl"].into_iter().chain(line.split(' ')))
                .map(drop)
                .map_err(|error| error.to_string())
        };
        for line in [
            "audit --last 1",
            "import --keys k --keys-only",
            "import --keys k --keys-only --force",
            "import --keys k --force",
            "import --output o --keys k --force",
        ] {
            assert_eq!(is_taken(line), Ok(()), "{line}");
        }
        for (line, said) in [
            ("audit --last 0", "a whole number of 1 or more"),
            ("audit --last -1", "unexpected argument"),
            ("audit --last many", "a whole number of 1 or more"),
            ("audit --verify --last 3", "cannot be used with"),
            ("import --keys-only", "--keys <FILE>"),
            ("import --output o --keys k --keys-only", "cannot be used with"),
            ("import --force", "required"),
        ] {
            let refused = is_taken(line).expect_err(line);
            assert!(refused.contains(said), "{line}: {refused}");
        }
    }

    #[test]
    fn what_clients_shows_is_an_address_and_another_network_is_none() {
        for (text, address) in
            [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1"), ("2001:db8::/64", "2001:db8::")]
        {
            assert_eq!(parse_client(text), Ok(address.parse().unwrap()));
        }
        for bad in ["192.0.2.0/24", "192.0.2.1/64", "2001:db8::/48", "192.0.2.1:123", "fe80::1%lo", ""] {
            assert!(parse_client(bad).is_err(), "{bad}");
        }
    }
}
