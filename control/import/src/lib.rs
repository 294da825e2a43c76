//! The configuration of another time daemon, as one of ours. Pure: files come through [`Files`].
//!
//! ```text
//!   kind       which daemon's file it is, by its name and what is in it
//!   files      files within their bounds, with what they include
//!   words      a line, its words, and that each of them was looked at
//!   plan       what our configuration is to have, and what is said of each line of theirs
//!   place      the address of a source
//!   access     rules of access: chrony's and ntpd's, as the longest prefix decides here
//!   serving    where time is served, and to whom
//!   key_file   symmetric keys
//!   finish     what the daemon would refuse is taken out of the plan, and said
//!   render     the text
//!   drift      the frequency that the other daemon has learned
//!   chrony, ntp, timesyncd, openntpd, ntpd_rs    a file of each daemon
//! ```
//!
//! Nothing is lost in silence: each line of the other configuration stands in a comment of ours, with the place where it was
//! found, and what is not carried has a note there. Access is never wider than it was; a source is never asked with less
//! authentication than it was: what cannot be carried so is written as a comment, and counts as a loss.
#![forbid(unsafe_code)]

mod access;
mod chrony;
mod drift;
mod files;
mod finish;
mod key_file;
mod kind;
mod ntp;
mod ntpd_rs;
mod openntpd;
mod place;
mod plan;
mod render;
mod serving;
mod timesyncd;
mod words;

pub use access::Network;
pub use files::{FileError, Files, MAX_FILE};
pub use kind::{Kind, USUAL};

use files::Reader;
use plan::Plan;
use zeroize::Zeroizing;

/// A configuration that was made of another one. Its keys are never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Imported {
    /// What goes into truechimer.toml.
    pub text: String,
    /// What matters and was not carried, or has to be done by hand: a line each, with file and line.
    pub losses: Vec<String>,
    /// Those of them that are about symmetric keys.
    pub key_losses: Vec<String>,
    /// How many sources decide in it; without any, and without DHCP, the daemon does not take it.
    pub sources: usize,
    /// What goes into truechimer.keys, readable for nobody but root; none: there are no symmetric keys.
    pub keys: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for Imported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Imported")
            .field("text", &self.text)
            .field("losses", &self.losses)
            .field("sources", &self.sources)
            .field("has_keys", &self.keys.is_some())
            .finish()
    }
}

/// Why nothing was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportError {
    /// This file cannot be read: which, and why.
    Unreadable(String),
    /// It is nobody's configuration that is known.
    Unknown(String),
    /// With its comments the new one would be longer than the daemon reads.
    TooLong,
}

impl std::fmt::Display for ImportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(why) => f.write_str(why),
            Self::Unknown(path) => write!(
                f,
                "{path}: neither its name nor what is in it says whose configuration it is; name the daemon with --from"
            ),
            Self::TooLong => write!(
                f,
                "the configuration would be longer than the {} KiB that the daemon reads; shorten the old one",
                render::MAX_TEXT / 1024
            ),
        }
    }
}

impl std::error::Error for ImportError {}

/// The most sources that are looked at; the daemon takes far fewer.
const MOST_SOURCES: usize = 1_000;

/// Makes a configuration of these files, in this order, of one daemon; none: found from the first one.
///
/// # Errors
/// [`ImportError`].
pub fn import(paths: &[String], kind: Option<Kind>, files: &mut dyn Files) -> Result<Imported, ImportError> {
    import_for(paths, kind, files, None)
}

/// The same; `no_server`: why time is served to nobody, whatever the other daemon did: `[server]` is a comment then.
///
/// # Errors
/// [`ImportError`].
pub fn import_for(
    paths: &[String],
    kind: Option<Kind>,
    files: &mut dyn Files,
    no_server: Option<&str>,
) -> Result<Imported, ImportError> {
    let mut reader = Reader::new(files);
    let mut plan = Plan::default();
    let mut found = kind;
    for path in paths {
        let text = reader.first(path).map_err(|why| ImportError::Unreadable(format!("{path}: {why}")))?;
        let kind = match found {
            Some(kind) => kind,
            None => Kind::of(path, &text).ok_or_else(|| ImportError::Unknown(path.clone()))?,
        };
        found = Some(kind);
        match kind {
            Kind::Chrony => chrony::read(&mut plan, &mut reader, path, &text),
            Kind::Ntp => ntp::read(&mut plan, &mut reader, path, &text),
            Kind::Timesyncd => timesyncd::read(&mut plan, &mut reader, path, &text),
            Kind::OpenNtpd => openntpd::read(&mut plan, &mut reader, path, &text),
            Kind::NtpdRs => ntpd_rs::read(&mut plan, path, &text),
        }
    }
    let Some(kind) = found else { return Err(ImportError::Unknown(String::new())) };
    reader.complaints.iter().for_each(|complaint| plan.lose(complaint));
    if plan.sources.len() > MOST_SOURCES {
        return Err(ImportError::TooLong);
    }
    if let Some(why) = no_server {
        plan.serving.block(why);
    }
    finish::finish(&mut plan);
    let text = render::render(&plan, kind, paths);
    if text.len() > render::MAX_TEXT {
        return Err(ImportError::TooLong);
    }
    let sources = plan.sources.iter().filter(|source| finish::decides(source)).count();
    let keys = Some(key_file::render(&plan.symmetric_keys)).filter(|keys| !keys.is_empty());
    Ok(Imported { text, losses: plan.losses(), key_losses: plan.key_losses, sources, keys })
}

#[cfg(test)]
mod tests;
