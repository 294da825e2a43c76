//! The configuration: TOML from descriptors, checked key by key, turned into settings, a launch plan and access rules. It is
//! one file with its drop-ins (`merge`), and what programs have left (`programs`).
//!
//! Each fault is reported with file, line, key, what was expected and what to write instead, all at once, so that one
//! round of editing is enough. The daemon does not start with a faulty file.

mod aead;
mod clock;
mod departure;
mod document;
mod history;
mod key_file;
mod key_service;
mod keys;
mod local_time;
mod merge;
mod nts;
mod open;
mod place;
mod programs;
mod refclock;
mod roughtime;
mod server;
mod smearing;
mod source;
mod texts;
mod unquoted;
mod words;

pub use document::Fault;
pub use key_service::{Fleet, KeySettings};
pub use open::OpenFiles;
pub use programs::Offered;
pub use texts::{FileText, Texts};

use crate::configuration::document::{Faults, Section};
use crate::configuration::key_file::{KeyFile, Reading};
use crate::configuration::nts::RootSets;
pub use crate::configuration::nts::SYSTEM;
use engine_core::settings::{Place, Settings, SourceSettings};
use ipc::list::Bounded;
use ipc::message::launch::LaunchPlan;
use ipc::message::privileged::Profile;
use ipc::message::server::{Rule, ServerPolicy, Smear};
use ipc::permissions::{Changeable, Permissions};
use ipc::symmetric_key::SymmetricKey;
use ipc::units::{Frequency, Span};
use nix::errno::Errno;
use protocol::leap_list::LeapList;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use zeroize::Zeroizing;

/// The longest file that is read, in octets.
pub const MAX_FILE: usize = 256 * 1024;

/// Octets that are read at first.
const SHORT_FILE: usize = 8 * 1024;

/// Most sources, members of pools counted.
pub const MAX_SOURCES: usize = 32;

/// How many faults are printed before the rest is only counted.
const MAX_FAULTS: usize = 20;

/// The largest run-time step in the governor's table: what an engine that may step at all asks for.
const RUN_STEP: Span = Span::from_secs(1);

/// A file in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// For the engine.
    pub settings: Settings,
    /// For the privileged process.
    pub plan: LaunchPlan,
    /// For the server: which clients are answered. Unused without one.
    pub access: Vec<Rule>,
    /// For the server: how.
    pub policy: ServerPolicy,
    /// For the server: the symmetric keys that clients may use.
    pub client_keys: Vec<SymmetricKey>,
    /// For the key exchange service, and for the keys of cookies; none: no NTS for clients.
    pub keys: Option<KeySettings>,
    /// Whether the system's list of leap seconds is used.
    pub uses_leap_list: bool,
    /// What is lawful but probably not meant, each a sentence with file and line.
    pub warnings: Vec<String>,
    /// What programs have left; their sources are the last ones of `settings`.
    pub offered: Offered,
    /// Whether sources of DHCP are wanted.
    pub uses_dhcp: bool,
    /// The frequency correction to begin with where this host has learned none.
    pub initial_frequency: Option<Frequency>,
    /// How many days of history are kept; 0: none is written.
    pub history_days: u16,
}

impl Configuration {
    /// The sources of the administrator's files.
    pub fn configured(&self) -> &[SourceSettings] {
        let count = self.settings.sources.len().saturating_sub(self.offered.sources.len());
        self.settings.sources.get(..count).unwrap_or_default()
    }

    fn add_offered(&mut self, offered: Offered) {
        self.settings.sources.extend(offered.sources.iter().map(|(source, _)| source.clone()));
        self.plan.exchange |= offered.sources.iter().any(|(source, _)| needs_exchange(source));
        self.offered = offered;
    }
}

/// Why there is no configuration; `Display` has one line for each fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigurationError {
    /// The kernel would not give the file's octets.
    Unreadable(String, Errno),
    /// The file that was opened at the start has no name any more.
    Replaced(String),
    /// More than [`MAX_FILE`] octets.
    TooLong(String),
    /// There is a secret in it, and others than its owner may read or change it.
    Exposed(String),
    /// It is the file of symmetric keys, and others than its owner and its group may read it, or others than its owner change it.
    ExposedKeys(String),
    /// A user other than the one who started the daemon may change it.
    Changeable {
        /// The file.
        name: String,
        /// Its owner and mode.
        permissions: Permissions,
    },
    /// The file has a fault.
    Faults(String, Vec<Fault>),
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(name, errno) => {
                write!(f, "{name}: cannot be read ({}); give the path of a regular file", errno.desc())
            }
            Self::Replaced(name) => write!(
                f,
                "{name}: another file has taken the place of the one that was opened at the start; chimerctl reload reads that one"
            ),
            Self::TooLong(name) => write!(
                f,
                "{name}: longer than {MAX_FILE} octets; is it the right file? A configuration has a few dozen lines"
            ),
            Self::Exposed(name) => write!(
                f,
                "{name}: it holds fleet-secret, and others than its owner may read or change it; make the secret \
                 anew if they shouldn't know it, and: chmod 600 {name}"
            ),
            Self::ExposedKeys(name) => write!(
                f,
                "{name}: can be read or changed by others, and holds keys; make the keys anew if they shouldn't know them, and: \
                 chmod 640 {name}"
            ),
            Self::Changeable { name, permissions } => Changeable(name, *permissions).fmt(f),
            Self::Faults(name, faults) => {
                for (place, fault) in faults.iter().take(MAX_FAULTS).enumerate() {
                    let separator = if place == 0 { "" } else { "\n" };
                    write!(f, "{separator}{}:{}: {}", fault.name, fault.line, fault.text)?;
                }
                match faults.len().saturating_sub(MAX_FAULTS) {
                    0 => Ok(()),
                    more => write!(f, "\n{name}: and {more} more"),
                }
            }
        }
    }
}

impl std::error::Error for ConfigurationError {}

/// Checks the text of a file as at a start; `name` is only used in messages, `is_private` says that only its owner may read
/// or change it.
///
/// # Errors
/// The text is longer than a file may be, or not a configuration in order, or a secret in it is open to others.
#[cfg(test)]
pub fn read_whole(text: &str, name: &str, is_private: bool) -> Result<Configuration, ConfigurationError> {
    read(&mut Texts::only(FileText { is_private, ..FileText::private(name, text) }))
}

/// Checks the texts of all files as at a start.
///
/// # Errors
/// What the administrator has written is longer than it may be, or not a configuration in order, or a secret in it is open to
/// others. Of the programs' files a faulty one is left out.
pub fn read(texts: &mut Texts) -> Result<Configuration, ConfigurationError> {
    texts.bound()?;
    if let Some(keys) = texts.keys.as_ref().filter(|keys| !keys.is_private) {
        return Err(ConfigurationError::ExposedKeys(ipc::text::escape(&keys.name)));
    }
    let (mut found, secrets) = parse_all(texts)?;
    let exposed = texts.administrators().zip(0..).find(|(file, at)| secrets.contains(at) && !file.is_private);
    match exposed {
        Some((file, _)) if found.keys.as_ref().is_some_and(|keys| keys.fleet.is_some()) => {
            Err(ConfigurationError::Exposed(ipc::text::escape(&file.name)))
        }
        _ => {
            // What a program has left is not authenticated.
            let may_ask = !found.plan.attested;
            let offered = Offered::read(&texts.programs, found.configured(), found.uses_dhcp, |_| may_ask);
            found.add_offered(offered);
            Ok(found)
        }
    }
}

/// The current text of a file, from its beginning; `name` is only used in messages.
///
/// # Errors
/// It cannot be read, is too long, or is not text.
pub fn read_text(file: &File, name: &str) -> Result<Zeroizing<String>, ConfigurationError> {
    let name = || ipc::text::escape(name);
    // Most files are short, and what was read is wiped to the end of its room.
    let mut octets = Zeroizing::new(vec![0; SHORT_FILE]);
    let mut length = read_from_start(file, &mut octets).map_err(|errno| unreadable(name(), errno))?;
    if length == SHORT_FILE {
        octets = Zeroizing::new(vec![0; MAX_FILE + 1]);
        length = read_from_start(file, &mut octets).map_err(|errno| unreadable(name(), errno))?;
    }
    if length > MAX_FILE {
        return Err(ConfigurationError::TooLong(name()));
    }
    let text = std::str::from_utf8(octets.get(..length).unwrap_or_default()).map_err(|error| {
        let before = octets.iter().take(error.valid_up_to()).filter(|octet| **octet == b'\n').count();
        let text = "not text in UTF-8; save the file as UTF-8, or write comments in plain letters".to_owned();
        ConfigurationError::Faults(name(), vec![Fault { name: name(), line: before + 1, text }])
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn unreadable(name: String, errno: Errno) -> ConfigurationError {
    ConfigurationError::Unreadable(name, errno)
}

/// Fills the room with octets of the file, as far as there are any; how many.
fn read_from_start(file: &File, room: &mut [u8]) -> Result<usize, Errno> {
    let mut length = 0;
    while let Some(rest) = room.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, length as u64) {
            Ok(0) => break,
            Ok(count) => length = length.saturating_add(count),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Errno::from_raw(error.raw_os_error().unwrap_or(0))),
        }
    }
    Ok(length)
}

/// Whether only its owner may read or change a file, by the rules of truechimerd at a start; `starter` is the user who
/// started the daemon.
///
/// # Errors
/// Others than root and that user may change it, or the kernel says nothing of it.
pub fn judge(file: &File, name: &str, starter: u32) -> Result<bool, ConfigurationError> {
    let escaped = || ipc::text::escape(name);
    let facts = policies::owner_and_mode(file);
    let (owner, mode) = facts.map_err(|errno| ConfigurationError::Unreadable(escaped(), errno))?;
    let permissions = Permissions { owner, mode };
    if permissions.is_changeable(starter) {
        return Err(ConfigurationError::Changeable { name: escaped(), permissions });
    }
    Ok(permissions.is_private())
}

/// Checks the text of one file.
///
/// # Errors
/// [`ConfigurationError::Faults`].
#[cfg(test)]
pub fn parse(text: &str, name: &str) -> Result<Configuration, ConfigurationError> {
    parse_all(&Texts::only(FileText::private(name, text))).map(|(found, _)| found)
}

/// What the administrator's files say, and the numbers of those with a secret in them.
fn parse_all(texts: &Texts) -> Result<(Configuration, Vec<usize>), ConfigurationError> {
    let mut faults = Faults::new(texts.administrators().map(|file| (file.name.as_str(), file.text.as_str())));
    let merged = merge::merge(1 + texts.drop_ins.len(), &mut faults);
    let mut reading = Reading::default();
    let found = merged.and_then(|merged| {
        let allows_md5 = key_file::read_allowed(&Section::root(&merged.root), &mut faults);
        reading = texts.keys.as_ref().map(|keys| Reading::of(keys, allows_md5)).unwrap_or_default();
        let mut found = read_root(&merged.root, &reading.file, &mut faults)?;
        read_leap_list(&mut found, texts.leap_list.as_ref(), &mut faults);
        Some((found, merged.secrets.clone()))
    });
    let (mut rest, mut warnings) = faults.into_lists();
    // First, since a source whose key has a fault has one too.
    let mut list = std::mem::take(&mut reading.faults);
    list.append(&mut rest);
    warnings.append(&mut reading.warnings);
    match found {
        Some((found, secrets)) if list.is_empty() => {
            let warnings = warnings
                .iter()
                .map(|fault| format!("{}:{}: {}", fault.name, fault.line, fault.text))
                .collect();
            Ok((Configuration { warnings, ..found }, secrets))
        }
        _ => Err(ConfigurationError::Faults(ipc::text::escape(&texts.main.name), list)),
    }
}

fn read_root(
    root: &toml::de::DeTable<'_>,
    key_file: &KeyFile,
    faults: &mut Faults<'_>,
) -> Option<Configuration> {
    let root = Section::root(root);
    root.refuse_unknown(
        &["source", "refclock", "clock", "nts", "governor", "server", "dhcp", "history", "roughtime", "keys"],
        faults,
    );
    let mut roots = RootSets::default();
    let mut sources = source::read(&root, key_file, &mut roots, faults);
    let (clocks, refclocks) = refclock::read(&root, faults);
    if sources.iter().map(|source| usize::from(source.members)).sum::<usize>() + clocks.len() > MAX_SOURCES {
        let text =
            format!("[[refclock]]: more than {MAX_SOURCES} sources and reference clocks; leave some out");
        faults.add(root.place_of("refclock"), text);
    }
    sources.extend(clocks);
    let system_roots = nts::read(&root, faults);
    let (profile, is_attested) = clock::read_governor(&root, faults);
    let uses_dhcp = programs::read_dhcp(&root, faults);
    let history_days = history::read(&root, faults);
    let deciding: Vec<_> = sources.iter().filter(|source| !source.noselect).cloned().collect();
    if is_attested {
        clock::refuse_unattested(&root, (&deciding, uses_dhcp), faults);
    }
    let clock = clock::read_clock(&root, (profile, is_attested), (&deciding, uses_dhcp), faults);
    let server = server::read(&root, key_file, &sources, faults);
    let roughtime = roughtime::read(&root, faults);

    if !root.has("source") && !root.has("refclock") && !root.has("server") && !uses_dhcp {
        faults.add(
            0,
            "nothing to do: add a [[source]] with address = \"ntp.example.org\" to set the clock by, \
             or a [server] with listen and allow to serve time",
        );
    } else if deciding.is_empty()
        && !uses_dhcp
        && let Some(server) = &server
        && server.settings.local.is_none()
        && faults.is_empty()
    {
        faults.add(
            server.at,
            "[server]: without a [[source]] that decides (noselect = true is none) it would always say \"unsynchronised\"; add a [[source]], \
             or local-stratum = 10 to serve this host's own time",
        );
    }

    if let Some(server) = server.as_ref().filter(|server| is_attested && server.settings.local.is_some()) {
        let text = "local-stratum: in the profile attested this host does not serve a time that is not authenticated; leave it out";
        faults.add(server.at, text);
    }
    let smears = server.as_ref().filter(|server| server.policy.smear != Smear::Off);
    if deciding.is_empty() && !sources.is_empty() && !uses_dhcp {
        let text =
            "[[source]]: each has noselect = true: they are measured, and the clock is set by none of them";
        faults.warn(root.place_of("source"), text);
    }
    smearing::warn(&deciding, root.place_of("source"), smears.map(|server| server.at), faults);
    if let Some(server) = smears.filter(|_| !clock.leap_seconds) {
        let text = "leap-smear: without leap seconds there is nothing to smear; add leap-seconds = true under [clock] \
                    (the strict profile has false), or leave leap-smear out";
        faults.warn(server.at, text);
    }

    let listen = server.as_ref().map_or(&[][..], |server| &server.listen);
    let plan = LaunchPlan {
        listen: Bounded::new(listen.iter().copied()).ok()?,
        threads: server.as_ref().map_or(0, |server| server.threads),
        dscp: server.as_ref().map_or(0, |server| server.dscp),
        profile,
        leap_seconds: clock.leap_seconds,
        run_step: if clock.settings.run_step_threshold.is_some() { RUN_STEP } else { Span::ZERO },
        forward_step: clock.forward_step.unwrap_or(Span::ZERO),
        // A lease may name a server, or an address of its link.
        exchange: uses_dhcp || roughtime.is_some() || sources.iter().any(needs_exchange),
        // A file that no source needs is not shown to any process.
        system_roots: system_roots
            .filter(|_| sources.iter().filter_map(|source| source.nts).any(|nts| nts.roots == SYSTEM)),
        roots: roots.places(),
        attested: is_attested,
        key_service: server.as_ref().and_then(|server| server.keys.as_ref()?.service),
        samba: server.as_ref().and_then(|server| server.samba),
        refclocks,
    };
    let access = server.as_ref().map_or_else(Vec::new, |server| server.access.clone());
    let policy = server.as_ref().map_or(ServerPolicy::DEFAULT, |server| server.policy);
    let keys = server.as_ref().and_then(|server| server.keys.clone());
    let client_keys = server.as_ref().map_or_else(Vec::new, |server| server.client_keys.clone());
    let settings = Settings {
        sources,
        clock: clock.settings,
        forward_step: clock.forward_step,
        strict_quorum: profile == Profile::Strict,
        leap_seconds: clock.leap_seconds,
        leap_list: None,
        server: server.map(|server| server.settings),
        roughtime,
    };
    // Sources that smear announce no leap second, and make none.
    let is_smeared = smearing::is_smeared(&deciding);
    if clock.leap_list == Some(true) && is_smeared {
        let text = "leap-seconds-list: a source smears leap seconds, and the list would make one beside that; leave it out";
        faults.warn(root.place_of("clock"), text);
    }
    let uses_leap_list = clock.leap_list.unwrap_or(false);
    let (warnings, offered) = (Vec::new(), Offered::default());
    let initial_frequency = clock.initial_frequency;
    Some(Configuration {
        settings,
        plan,
        access,
        policy,
        client_keys,
        keys,
        warnings,
        offered,
        uses_dhcp,
        initial_frequency,
        history_days,
        uses_leap_list,
    })
}

/// Takes the system's list of leap seconds, if it is used and in order. One that is not is left out: then the sources are believed.
fn read_leap_list(found: &mut Configuration, file: Option<&FileText>, faults: &mut Faults<'_>) {
    let Some(file) = file.filter(|_| found.uses_leap_list) else { return };
    match LeapList::parse(&file.text) {
        Ok(list) => found.settings.leap_list = Some(list),
        Err(error) => {
            let text =
                format!("{}: {error}; the list of leap seconds is not used", ipc::text::escape(&file.name));
            faults.warn(0, text);
        }
    }
}

/// Whether its name is looked up, or its keys exchanged.
fn needs_exchange(source: &SourceSettings) -> bool {
    source.nts.is_some() || matches!(source.place, Place::Name(..))
}

/// The name of a profile in the file.
pub fn profile_name(profile: Profile, is_attested: bool) -> &'static str {
    match (profile, is_attested) {
        (Profile::Standard, _) => "standard",
        (Profile::Strict, false) => "strict",
        (Profile::Strict, true) => "attested",
    }
}

#[cfg(test)]
mod tests;
