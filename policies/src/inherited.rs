//! What a child process receives at its start: arguments of the form `key=value` or `key`.
//!
//! A child has no environment and opens nothing by name: it works only on descriptors that its parent opened, whose
//! numbers are arguments. Call [`Inherited::from_args`] and then [`Inherited::close_others`] first thing in `main`,
//! before anything else is opened.

use crate::kernel;
use std::fmt;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::parent_id;
use std::sync::Mutex;

/// Keys whose value is a number but not a descriptor.
const PLAIN_NUMBERS: [&str; 9] = [
    "uid",
    "gid",
    "keeper-uid",
    "parent",
    "heartbeat",
    "state-needs-kib",
    "state-needs-files",
    "state-mount",
    "state-looks",
];

/// The first descriptor that can be inherited by number: 0, 1 and 2 are the standard streams.
const FIRST: RawFd = 3;

/// Descriptors already handed out in this process: each has one owner, even if the arguments are parsed twice.
static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// The arguments of a child, each key at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inherited {
    words: Vec<(String, Option<String>)>,
    /// The parent when the arguments were read.
    first_parent: u32,
}

/// Why the command line is invalid. These programs are started by `truechimerd`; the messages are for a user who starts
/// one by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InheritError {
    /// A key is given twice.
    Repeated(String),
    /// A required key is missing.
    Missing(String),
    /// The value is not a number in range.
    NotANumber {
        /// The argument's key.
        key: String,
        /// The argument's value.
        value: String,
    },
    /// The number is not that of an open descriptor above the standard streams.
    NotOpen {
        /// The argument's key.
        key: String,
        /// The descriptor's number.
        fd: RawFd,
    },
    /// The descriptor was already handed out.
    Taken {
        /// The argument's key.
        key: String,
        /// The descriptor's number.
        fd: RawFd,
    },
}

impl fmt::Display for InheritError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated(key) => write!(f, "the word {key} is given twice")?,
            Self::Missing(key) => write!(f, "the word {key}=… is missing")?,
            Self::NotANumber { key, value } => {
                write!(f, "the word {key}={} is not a number that fits", ipc::text::escape(value))?;
            }
            Self::NotOpen { key, fd } => {
                write!(f, "the word {key}={fd} does not name an open descriptor of 3 or above")?;
            }
            Self::Taken { key, fd } => write!(f, "the word {key}={fd} names a descriptor that is in use")?,
        }
        f.write_str("; this program is started by truechimerd, not by hand")
    }
}

impl std::error::Error for InheritError {}

impl Inherited {
    /// Reads the command line of this process.
    ///
    /// # Errors
    /// [`InheritError::Repeated`].
    pub fn from_args() -> Result<Self, InheritError> {
        Self::from_words(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()))
    }

    /// Reads arguments.
    ///
    /// # Errors
    /// [`InheritError::Repeated`].
    pub fn from_words<I>(words: I) -> Result<Self, InheritError>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let mut inherited = Self { words: Vec::new(), first_parent: parent_id() };
        for word in words {
            let word = word.into();
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (word, None),
            };
            if inherited.words.iter().any(|(known, _)| *known == key) {
                return Err(InheritError::Repeated(key));
            }
            inherited.words.push((key, value));
        }
        Ok(inherited)
    }

    /// The value of `key=value`.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.words.iter().find(|(known, _)| known == key)?.1.as_deref()
    }

    /// The values of each `key=value` whose key is this, or begins with it if it ends with `*`.
    pub(crate) fn texts<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let is_meant = move |known: &str| match key.strip_suffix('*') {
            Some(start) => known.starts_with(start),
            None => known == key,
        };
        self.words.iter().filter(move |(known, _)| is_meant(known)).filter_map(|(_, value)| value.as_deref())
    }

    /// Whether the argument `key` is present.
    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        self.words.iter().any(|(known, value)| known == key && value.is_none())
    }

    /// The value of `key=value` as a number, `None` if the argument is absent.
    ///
    /// # Errors
    /// [`InheritError::NotANumber`].
    pub fn number(&self, key: &str) -> Result<Option<u32>, InheritError> {
        self.text(key).map(|value| parse(key, value)).transpose()
    }

    /// The user and group that this process is to become: `uid=N gid=N`, both or neither.
    ///
    /// # Errors
    /// [`InheritError::NotANumber`]; [`InheritError::Missing`] where only one is there.
    pub fn identity(&self) -> Result<Option<(u32, u32)>, InheritError> {
        match (self.number("uid")?, self.number("gid")?) {
            (Some(uid), Some(gid)) => Ok(Some((uid, gid))),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(InheritError::Missing("uid".to_owned())),
            (Some(_), None) => Err(InheritError::Missing("gid".to_owned())),
        }
    }

    /// Whether the process that started this one is gone: `parent=PID` if that argument is present (which leaves no
    /// race), otherwise the parent when the arguments were read.
    ///
    /// # Errors
    /// [`InheritError::NotANumber`].
    pub fn is_orphaned(&self) -> Result<bool, InheritError> {
        Ok(self.number("parent")?.unwrap_or(self.first_parent) != parent_id())
    }

    /// Takes the descriptor of `key=FD`. It is closed on exec.
    ///
    /// # Errors
    /// [`InheritError::Missing`], `NotANumber`, `NotOpen`, or `Taken` if it was already taken.
    pub fn fd(&self, key: &str) -> Result<OwnedFd, InheritError> {
        self.optional_fd(key)?.ok_or_else(|| InheritError::Missing(key.to_owned()))
    }

    /// Takes the descriptor of `key=FD`, `None` if the argument is absent. It is closed on exec.
    ///
    /// # Errors
    /// [`InheritError::NotANumber`], `NotOpen`, or `Taken` if it was already taken.
    pub fn optional_fd(&self, key: &str) -> Result<Option<OwnedFd>, InheritError> {
        self.text(key).map(|value| take(key, parse(key, value)?)).transpose()
    }

    /// Takes the descriptors of `key=FD,FD,…` in their order, empty if the argument is absent or empty.
    ///
    /// # Errors
    /// [`InheritError::NotANumber`], `NotOpen`, or `Taken` if one was already taken.
    pub fn fds(&self, key: &str) -> Result<Vec<OwnedFd>, InheritError> {
        match self.text(key) {
            None | Some("") => Ok(Vec::new()),
            Some(list) => list.split(',').map(|value| take(key, parse(key, value)?)).collect(),
        }
    }

    /// Closes every descriptor from 3 on that no argument names, so that a descriptor leaked by the parent is not
    /// inherited further. The named ones are marked close-on-exec; they can be taken before or after
    /// [`crate::confine`]. Call this before the process opens anything itself.
    pub fn close_others(&self) {
        let mut kept: Vec<RawFd> = self
            .words
            .iter()
            .filter(|(key, _)| !PLAIN_NUMBERS.contains(&key.as_str()))
            .filter_map(|(_, value)| value.as_deref())
            .flat_map(|value| value.split(','))
            .filter_map(|number| number.parse().ok())
            .filter(|fd| *fd >= FIRST)
            .collect();
        kept.sort_unstable();
        let mut from = FIRST;
        for fd in kept {
            kernel::close_on_exec(fd);
            kernel::close_range(from, fd.saturating_sub(1));
            from = from.max(fd.saturating_add(1));
        }
        kernel::close_range(from, RawFd::MAX);
    }
}

fn parse<N: std::str::FromStr>(key: &str, value: &str) -> Result<N, InheritError> {
    let is_plain = !value.is_empty() && value.bytes().all(|octet| octet.is_ascii_digit());
    let number = if is_plain { value.parse().ok() } else { None };
    number.ok_or_else(|| InheritError::NotANumber { key: key.to_owned(), value: value.to_owned() })
}

fn take(key: &str, fd: RawFd) -> Result<OwnedFd, InheritError> {
    let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if taken.contains(&fd) {
        return Err(InheritError::Taken { key: key.to_owned(), fd });
    }
    if fd < FIRST || !kernel::close_on_exec(fd) {
        return Err(InheritError::NotOpen { key: key.to_owned(), fd });
    }
    taken.push(fd);
    // SAFETY: the descriptor is open (its flags were just set), it was opened by the parent for this process
    // and named on our command line, so nothing else here owns it, and TAKEN hands each number out once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    use std::os::fd::{AsRawFd, IntoRawFd};

    fn words(words: &[&str]) -> Inherited {
        Inherited::from_words(words.iter().copied()).unwrap()
    }

    /// A descriptor with a unique number, so that concurrent tests do not share one.
    fn open_at(number: RawFd) -> RawFd {
        let null = std::fs::File::open("/dev/null").unwrap();
        let fd = fcntl(&null, FcntlArg::F_DUPFD(number)).unwrap();
        assert_eq!(fd, number);
        fd
    }

    #[test]
    fn a_descriptor_is_taken_once_and_does_not_survive_an_exec() {
        let fd = open_at(301);
        let inherited = words(&["link=301"]);
        let link = inherited.fd("link").unwrap();
        assert_eq!(link.as_raw_fd(), fd);
        assert_eq!(fcntl(&link, FcntlArg::F_GETFD), Ok(FdFlag::FD_CLOEXEC.bits()));
        let again = InheritError::Taken { key: "link".to_owned(), fd };
        assert_eq!(inherited.fd("link").unwrap_err(), again);
        assert_eq!(words(&["link=301"]).fd("link").unwrap_err(), again);
    }

    #[test]
    fn a_list_keeps_its_order_and_an_absent_one_is_empty() {
        open_at(311);
        open_at(310);
        let sockets = words(&["sockets=311,310"]).fds("sockets").unwrap();
        assert_eq!(sockets.into_iter().map(IntoRawFd::into_raw_fd).collect::<Vec<_>>(), [311, 310]);
        assert!(words(&["role=server"]).fds("sockets").unwrap().is_empty());
        assert!(words(&["sockets="]).fds("sockets").unwrap().is_empty());
    }

    #[test]
    fn numbers_that_are_not_open_descriptors_are_refused() {
        for (word, fd) in [("link=399", 399), ("link=0", 0), ("link=2", 2), ("link=2147483647", i32::MAX)] {
            let refused = InheritError::NotOpen { key: "link".to_owned(), fd };
            assert_eq!(words(&[word]).fd("link").unwrap_err(), refused);
        }
        for word in ["link=", "link=-1", "link=+5", "link=4294967296", "link=3,4", "link= 3", "link=٣"] {
            assert!(matches!(words(&[word]).fd("link"), Err(InheritError::NotANumber { .. })), "{word}");
        }
        assert_eq!(words(&[]).fd("link").unwrap_err(), InheritError::Missing("link".to_owned()));
        assert!(words(&["link"]).optional_fd("link").unwrap().is_none());
    }

    #[test]
    fn words_are_read_as_flags_text_and_numbers() {
        let inherited = words(&["check", "config-name=/etc/a=b.toml", "uid=12", "gid=13"]);
        assert!(inherited.flag("check") && !inherited.flag("uid") && !inherited.flag("insecure"));
        assert_eq!(inherited.text("config-name"), Some("/etc/a=b.toml"));
        assert_eq!(inherited.number("uid"), Ok(Some(12)));
        assert_eq!(inherited.texts("uid").chain(inherited.texts("?id*")).collect::<Vec<_>>(), ["12"]);
        assert_eq!(words(&["a-1=x", "b=y", "a-2=z", "a-3"]).texts("a-*").collect::<Vec<_>>(), ["x", "z"]);
        assert_eq!(inherited.number("state"), Ok(None));
        assert_eq!(inherited.identity(), Ok(Some((12, 13))));
        assert_eq!(words(&[]).is_orphaned(), Ok(false));
        assert_eq!(words(&[&format!("parent={}", parent_id())]).is_orphaned(), Ok(false));
        assert_eq!(words(&["parent=4294967295"]).is_orphaned(), Ok(true));
        assert_eq!(words(&[]).identity(), Ok(None));
        assert_eq!(words(&["uid=1"]).identity(), Err(InheritError::Missing("gid".to_owned())));
        assert_eq!(Inherited::from_words(["uid=1", "uid=1"]), Err(InheritError::Repeated("uid".to_owned())));
    }
}
