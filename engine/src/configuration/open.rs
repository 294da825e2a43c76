//! The files that truechimerd has opened for this process: the configuration, its drop-ins, the symmetric keys, and what programs have
//! left.

use super::texts::{FileText, Texts};
use super::{ConfigurationError, read_text};
use ipc::permissions::Permissions;
use nix::sys::stat::fstat;
use policies::Inherited;
use policies::inherited::InheritError;
use std::fs::File;
use std::os::fd::OwnedFd;

/// One of them.
#[derive(Debug)]
struct Open {
    file: File,
    name: String,
    is_private: bool,
}

/// All of them.
#[derive(Debug)]
pub struct OpenFiles {
    main: Open,
    drop_ins: Vec<Open>,
    programs: Vec<Open>,
    keys: Option<Open>,
    leap_list: Option<Open>,
}

impl Open {
    /// Asks about the file what the filter does not let be asked later.
    fn of(fd: OwnedFd, name: String) -> Self {
        let is_private =
            fstat(&fd).is_ok_and(|stat| Permissions { owner: stat.st_uid, mode: stat.st_mode }.is_private());
        Self { file: fd.into(), name, is_private }
    }

    /// The file of keys, which its group may read too.
    fn of_keys(fd: OwnedFd, name: String) -> Self {
        let is_private =
            fstat(&fd).is_ok_and(|stat| !Permissions { owner: stat.st_uid, mode: stat.st_mode }.is_exposed());
        Self { file: fd.into(), name, is_private }
    }

    fn read(&self) -> Result<FileText, ConfigurationError> {
        let text = read_text(&self.file, &self.name)?;
        Ok(FileText { name: self.name.clone(), text, is_private: self.is_private })
    }
}

impl OpenFiles {
    /// Those that the words name: `config`, `key-file`, `leap-list`, `drop-ins` and `programs`, the latter two with `-names` and `-folder`.
    ///
    /// # Errors
    /// [`InheritError`].
    pub fn take(words: &Inherited) -> Result<Self, InheritError> {
        let name = words.text("config-name").unwrap_or("the configuration file").to_owned();
        let main = Open::of(words.fd("config")?, name);
        let list = |key: &str| -> Result<Vec<Open>, InheritError> {
            let folder = words.text(&format!("{key}-folder")).unwrap_or_default();
            let names = words.text(&format!("{key}-names")).unwrap_or_default().split(',');
            let files = words.fds(key)?.into_iter().zip(names);
            Ok(files.map(|(fd, name)| Open::of(fd, format!("{folder}/{name}"))).collect())
        };
        let name = words.text("key-file-name").unwrap_or("the file of keys").to_owned();
        let keys = words.optional_fd("key-file")?.map(|fd| Open::of_keys(fd, name));
        let name = words.text("leap-list-name").unwrap_or("the list of leap seconds").to_owned();
        let leap_list = words.optional_fd("leap-list")?.map(|fd| Open::of(fd, name));
        Ok(Self { main, drop_ins: list("drop-ins")?, programs: list("programs")?, keys, leap_list })
    }

    /// Their texts, a line for each file of a program that cannot be read, and the configuration's file, to be read again later.
    ///
    /// # Errors
    /// A file of the administrator's cannot be read, is too long, or is not text.
    pub fn read(self) -> Result<(Texts, Vec<String>, File), ConfigurationError> {
        let main = self.main.read()?;
        let drop_ins = self.drop_ins.iter().map(Open::read).collect::<Result<_, _>>()?;
        let (mut programs, mut unread) = (Vec::new(), Vec::new());
        for file in &self.programs {
            match file.read() {
                Ok(text) => programs.push(text),
                Err(error) => unread.push(format!("{error}; the file is left out")),
            }
        }
        let keys = self.keys.as_ref().map(Open::read).transpose()?;
        // The system's own, without which sources are believed as ever.
        let leap_list = self.leap_list.as_ref().and_then(|file| {
            file.read().map_err(|error| unread.push(format!("{error}; it is not used"))).ok()
        });
        Ok((Texts { main, drop_ins, programs, keys, leap_list }, unread, self.main.file))
    }
}
