//! The texts that a configuration is made from: one file, its drop-ins, and what programs have left.

use super::{ConfigurationError, MAX_FILE};
use std::fmt;
use zeroize::Zeroizing;

/// Most drop-ins.
pub const MAX_DROP_INS: usize = 64;

/// Most files of programs.
const MAX_PROGRAMS: usize = 32;

/// Octets of a file of a program.
const MAX_PROGRAM: usize = 4 * 1024;

/// One file. Its text may hold secrets and is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct FileText {
    /// Its path, for messages.
    pub name: String,
    /// What is in it.
    pub text: Zeroizing<String>,
    /// Only its owner may read or change it; of the file of keys: only its group may read it too.
    pub is_private: bool,
}

impl fmt::Debug for FileText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileText({}, {} octets)", self.name, self.text.len())
    }
}

impl FileText {
    /// One that nobody else can read.
    pub fn private(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: Zeroizing::new(text.to_owned()), is_private: true }
    }

    /// The name without its folder.
    pub fn base(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// The configuration.
    pub main: FileText,
    /// The administrator's, in order.
    pub drop_ins: Vec<FileText>,
    /// Those of programs, in order.
    pub programs: Vec<FileText>,
    /// Symmetric keys; none: there is no such file.
    pub keys: Option<FileText>,
    /// The list of leap seconds; none: there is none on this host.
    pub leap_list: Option<FileText>,
}

impl Texts {
    /// A configuration alone.
    pub fn only(main: FileText) -> Self {
        Self { main, drop_ins: Vec::new(), programs: Vec::new(), keys: None, leap_list: None }
    }

    /// The administrator's files, the configuration first.
    pub fn administrators(&self) -> impl Iterator<Item = &FileText> {
        std::iter::once(&self.main).chain(&self.drop_ins)
    }

    /// SHA-256 of the administrator's files, one behind the other in their order: as `cat` gives them.
    pub fn digest(&self) -> [u8; 32] {
        ipc::history::digest(self.administrators().map(|file| file.text.as_str()))
    }

    /// Whoever has read them has bounded them; here nothing is read beyond the bounds all the same.
    ///
    /// # Errors
    /// The configuration, or its drop-ins together, are longer than it may be.
    pub fn bound(&mut self) -> Result<(), ConfigurationError> {
        self.programs.truncate(MAX_PROGRAMS);
        self.programs.retain(|file| file.text.len() <= MAX_PROGRAM);
        if self.main.text.len() > MAX_FILE {
            return Err(ConfigurationError::TooLong(ipc::text::escape(&self.main.name)));
        }
        if let Some(keys) = self.keys.as_ref().filter(|keys| keys.text.len() > MAX_FILE) {
            return Err(ConfigurationError::TooLong(ipc::text::escape(&keys.name)));
        }
        let mut total = 0;
        for (count, file) in self.drop_ins.iter().enumerate() {
            total += file.text.len();
            if total > MAX_FILE || count >= MAX_DROP_INS {
                return Err(ConfigurationError::TooLong(ipc::text::escape(&file.name)));
            }
        }
        Ok(())
    }
}
