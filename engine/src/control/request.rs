//! What can be asked: one line of JSON.

use super::MAX_REQUEST;
use crate::configuration::FileText;
use crate::log::Severity;
use ipc::message::server::{ClientOrder, ClientsWanted, MAX_WANTED};
use report::HistorySpan;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt;
use std::net::IpAddr;
use zeroize::Zeroizing;

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
    /// Whether a certificate may be taken that lacks a name of the one in use; never without a configuration.
    pub drops_names: bool,
    /// The system's list of leap seconds; none: there is none.
    pub leap_list: Option<FileText>,
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
    #[serde(borrow)]
    file: Option<&'a RawValue>,
    #[serde(default)]
    private: bool,
    source: Option<String>,
    #[serde(borrow)]
    drop_ins: Option<Vec<Part<'a>>>,
    #[serde(borrow)]
    programs: Option<Vec<Part<'a>>>,
    #[serde(borrow)]
    keys: Option<Part<'a>>,
    #[serde(borrow)]
    leap_list: Option<Part<'a>>,
    level: Option<String>,
    sort: Option<&'a str>,
    limit: Option<u16>,
    address: Option<IpAddr>,
    span: Option<HistorySpan>,
    after: Option<u64>,
    #[serde(default)]
    drops_names: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part<'a> {
    name: String,
    private: bool,
    #[serde(borrow)]
    text: &'a RawValue,
}

impl TryFrom<Part<'_>> for FileText {
    type Error = RequestError;

    fn try_from(Part { name, private, text }: Part<'_>) -> Result<Self, RequestError> {
        Ok(Self { name, text: text_of(text)?, is_private: private })
    }
}

/// The text of a string of JSON (RFC 8259 section 7), which was found to be one. There may be keys in it, and serde_json leaves copies of
/// what it unescapes.
fn text_of(value: &RawValue) -> Result<Zeroizing<String>, RequestError> {
    let quoted = value.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let mut rest = quoted.ok_or(RequestError::NotUnderstood)?;
    // No character is longer than what it is written as.
    let mut text = Zeroizing::new(String::with_capacity(rest.len()));
    while let Some((plain, escaped)) = rest.split_once('\\') {
        text.push_str(plain);
        let (letter, behind) = unescape(escaped).ok_or(RequestError::NotUnderstood)?;
        text.push(letter);
        rest = behind;
    }
    text.push_str(rest);
    Ok(text)
}

/// What follows a backslash as a character, and what is behind it.
fn unescape(escaped: &str) -> Option<(char, &str)> {
    let mut letters = escaped.chars();
    let letter = match letters.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let unit = |text: &str| u16::from_str_radix(text.get(..4)?, 16).ok();
            let (high, behind) = (unit(letters.as_str())?, letters.as_str().get(4..)?);
            let low = behind.strip_prefix("\\u").and_then(unit).filter(|_| (0xd800..0xdc00).contains(&high));
            let units = [high, low.unwrap_or_default()];
            let letter =
                char::decode_utf16(units.into_iter().take(1 + usize::from(low.is_some()))).next()?.ok()?;
            return Some((letter, if low.is_some() { behind.get(6..)? } else { behind }));
        }
        letter @ ('"' | '\\' | '/') => letter,
        _ => return None,
    };
    Some((letter, letters.as_str()))
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
    let lacks_file = document.private
        || document.drop_ins.is_some()
        || document.keys.is_some()
        || document.leap_list.is_some()
        || document.drops_names;
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
            let all = |parts: Option<Vec<Part<'_>>>| -> Result<Option<Vec<FileText>>, RequestError> {
                parts.map(|parts| parts.into_iter().map(FileText::try_from).collect()).transpose()
            };
            let main = document.file.map(text_of).transpose()?;
            let main = main.map(|text| FileText { name: NEW.to_owned(), text, is_private: document.private });
            let (drop_ins, programs) = (all(document.drop_ins)?, all(document.programs)?);
            let keys = document.keys.map(FileText::try_from).transpose()?;
            let leap_list = document.leap_list.map(FileText::try_from).transpose()?;
            let drops_names = document.drops_names;
            Verb::Reload(Reload { main, drop_ins, programs, keys, leap_list, drops_names })
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reload(text: &str) -> Result<String, RequestError> {
        let line = format!("{{\"verb\":\"reload\",\"file\":{text}}}");
        match parse(line.as_bytes(), true)? {
            Verb::Reload(Reload { main: Some(main), .. }) => Ok(main.text.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_text_is_what_json_says_it_is() {
        for (written, text) in [
            (r#""""#, ""),
            (r#""a\nb\t\"c\" \\ \/ \b\f\r""#, "a\nb\t\"c\" \\ / \u{8}\u{c}\r"),
            (r#""\u00e4 \uD83D\uDE00 x""#, "ä 😀 x"),
            (r#""ä😀""#, "ä😀"),
        ] {
            assert_eq!(reload(written).as_deref(), Ok(text), "{written}");
        }
        for bad in [
            r#""\uD83D""#,
            r#""\uDE00\uD83D""#,
            r#""\uD83D\u0041""#,
            r#""\u12""#,
            r#""\x""#,
            "1",
            "[]",
            "{}",
            r#""a"#,
        ] {
            assert_eq!(reload(bad), Err(RequestError::NotUnderstood), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_as_it_was_sent(text in "(?s).{0,60}") {
            let written = serde_json::Value::from(text.as_str()).to_string();
            prop_assert_eq!(reload(&written), Ok(text));
        }

        #[test]
        fn what_serde_takes_for_a_text_is_the_same_here(written in "[\\\\u\"0-9a-fD\u{e4}nx/ ]{0,16}") {
            let quoted = format!("\"{written}\"");
            let known = serde_json::from_str::<String>(&quoted).map_err(|_| RequestError::NotUnderstood);
            prop_assert_eq!(reload(&quoted), known);
        }
    }
}
