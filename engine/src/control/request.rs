//! What can be asked: one line of JSON.

use super::MAX_REQUEST;
use crate::configuration::FileText;
use crate::log::Severity;
use ipc::message::server::{ClientOrder, ClientsWanted, MAX_WANTED};
use report::HistorySpan;
use serde::Deserialize;
use std::fmt;
use std::net::IpAddr;

/// A request that may be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// The clock, the processes, what is missing of their confinement.
    Status,
    /// Each source.
    Sources,
    /// The last measurements of each source.
    Measurements,
    /// Measurements of all sources with a higher number.
    Measured(u64),
    /// Counts of the server.
    Server,
    /// What is known of keys, without the keys.
    Keys,
    /// How sources are polled from now on: that of this name, or all.
    Change(Change, Option<String>),
    /// Texts that are to be put in force.
    Reload(Reload),
    /// The text of a `[[source]]` that is asked from now on, until a restart or a reload of a file without it.
    Add(String),
    /// The name of a source, as configured, that is no longer asked.
    Remove(String),
    /// How severe lines of the log have to be to be written from now on.
    Log(Severity),
    /// Clients of the server.
    Clients(ClientsWanted),
    /// Whether the server answers this address.
    Access(IpAddr),
    /// The course of the clock.
    History(HistorySpan),
    /// A step to the time that is followed; `true`: it was asked for, and its outcome is awaited.
    Step(bool),
}

/// A change of how sources are polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Now, a few times.
    Burst,
    /// No longer.
    Offline,
    /// Again.
    Online,
}

/// The texts of a reload; what is absent stays as it was read last. One of them is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// The configuration.
    pub main: Option<FileText>,
    /// Its drop-ins; none without a configuration.
    pub drop_ins: Option<Vec<FileText>>,
    /// What programs have left.
    pub programs: Option<Vec<FileText>>,
    /// The symmetric keys that belong to the configuration; none: there are none.
    pub keys: Option<FileText>,
}

/// Why a request is not followed; `Display` is what the peer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// No line end within [`MAX_REQUEST`] octets.
    TooLong,
    /// Not `{"verb":"…"}` with a verb that exists.
    NotUnderstood,
    /// The peer may not change things.
    Forbidden,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "a request is one line of at most {MAX_REQUEST} octets"),
            Self::NotUnderstood => f.write_str(
                "not understood; send {\"verb\":\"status\"}, sources, measurements, measured with the number \"after\", \
                 server, keys, burst, offline, online, add, remove, reload, log, step, clients, access, or history with a \"span\" of hour, day or week",
            ),
            Self::Forbidden => {
                f.write_str("only root, or the user who started the daemon, may change things; try with sudo")
            }
        }
    }
}

impl std::error::Error for RequestError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    verb: &'a str,
    file: Option<String>,
    #[serde(default)]
    private: bool,
    source: Option<String>,
    drop_ins: Option<Vec<Part>>,
    programs: Option<Vec<Part>>,
    keys: Option<Part>,
    level: Option<String>,
    sort: Option<&'a str>,
    limit: Option<u16>,
    address: Option<IpAddr>,
    span: Option<HistorySpan>,
    after: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    name: String,
    private: bool,
    text: String,
}

impl From<Part> for FileText {
    fn from(Part { name, private, text }: Part) -> Self {
        Self { is_private: private, ..Self::private(&name, &text) }
    }
}

/// Of the configuration, in messages: who asks knows its path.
const NEW: &str = "the new file";

/// Reads one line, without its end.
///
/// # Errors
/// [`RequestError`].
pub fn parse(line: &[u8], may_change: bool) -> Result<Verb, RequestError> {
    let document: Document<'_> = serde_json::from_slice(line).map_err(|_| RequestError::NotUnderstood)?;
    let is_reload = document.file.is_some() || document.programs.is_some();
    let lacks_file = document.private || document.drop_ins.is_some() || document.keys.is_some();
    if is_reload != (document.verb == "reload") || (lacks_file && document.file.is_none()) {
        return Err(RequestError::NotUnderstood);
    }
    let (needs_source, takes_source) = match document.verb {
        "add" | "remove" => (true, true),
        "burst" | "offline" | "online" => (false, true),
        _ => (false, false),
    };
    if document.source.is_some() && !takes_source || document.source.is_none() && needs_source {
        return Err(RequestError::NotUnderstood);
    }
    let level = document.level.as_deref().map(Severity::from_name);
    let is_of_clients = document.sort.is_some() || document.limit.is_some();
    if level.is_some() != (document.verb == "log")
        || is_of_clients && document.verb != "clients"
        || document.address.is_some() != (document.verb == "access")
        || document.span.is_some() != (document.verb == "history")
        || document.after.is_some() != (document.verb == "measured")
    {
        return Err(RequestError::NotUnderstood);
    }
    let of = document.source;
    let verb = match document.verb {
        "add" => Verb::Add(of.unwrap_or_default()),
        "remove" => Verb::Remove(of.unwrap_or_default()),
        "reload" => {
            let all = |parts: Vec<Part>| parts.into_iter().map(FileText::from).collect();
            let main = document
                .file
                .map(|text| FileText { is_private: document.private, ..FileText::private(NEW, &text) });
            let (drop_ins, programs) = (document.drop_ins.map(all), document.programs.map(all));
            Verb::Reload(Reload { main, drop_ins, programs, keys: document.keys.map(FileText::from) })
        }
        "status" => Verb::Status,
        "sources" => Verb::Sources,
        "measurements" => Verb::Measurements,
        "measured" => Verb::Measured(document.after.ok_or(RequestError::NotUnderstood)?),
        "server" => Verb::Server,
        "keys" => Verb::Keys,
        "burst" => Verb::Change(Change::Burst, of),
        "offline" => Verb::Change(Change::Offline, of),
        "online" => Verb::Change(Change::Online, of),
        "step" => Verb::Step(false),
        "log" => Verb::Log(level.flatten().ok_or(RequestError::NotUnderstood)?),
        "clients" => Verb::Clients(clients_wanted(document.sort, document.limit)?),
        "access" => Verb::Access(document.address.ok_or(RequestError::NotUnderstood)?),
        "history" => Verb::History(document.span.ok_or(RequestError::NotUnderstood)?),
        _ => return Err(RequestError::NotUnderstood),
    };
    match verb {
        Verb::Change(..)
        | Verb::Reload(_)
        | Verb::Add(_)
        | Verb::Remove(_)
        | Verb::Log(_)
        | Verb::Step(_)
            if !may_change =>
        {
            Err(RequestError::Forbidden)
        }
        verb => Ok(verb),
    }
}

/// The most requests first, and as many as can be, unless something else is said.
fn clients_wanted(sort: Option<&str>, limit: Option<u16>) -> Result<ClientsWanted, RequestError> {
    let by = match sort {
        None | Some("requests") => ClientOrder::Requests,
        Some("dropped") => ClientOrder::Dropped,
        Some("interval") => ClientOrder::Interval,
        Some("last") => ClientOrder::Last,
        Some(_) => return Err(RequestError::NotUnderstood),
    };
    let most = limit.unwrap_or(MAX_WANTED);
    if (1..=MAX_WANTED).contains(&most) {
        Ok(ClientsWanted { by, most })
    } else {
        Err(RequestError::NotUnderstood)
    }
}

/// The reply to a request that is not followed.
pub fn refusal(error: RequestError) -> String {
    crate::answers::refused(&error)
}
