//! `[nts]`, and the files of root certificates that sources name.

use super::document::{Faults, Section};
use super::keys;
use super::words::shorten;
use engine_core::settings::NtsSettings;
use ipc::file_path::FilePath;
use ipc::message::launch::MAX_ROOT_SETS;

/// Where the system's root certificates stand unless the file says something else.
pub const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The number of the system's root certificates in a source's settings.
pub const SYSTEM: u8 = 0;

/// Files with root certificates, each once, in the order in which sources name them.
#[derive(Clone, Debug, Default)]
pub struct RootSets {
    files: Vec<FilePath>,
    full: bool,
}

impl RootSets {
    /// The number under which sources ask for this file; a fault if there are too many.
    pub fn number(&mut self, at: usize, file: FilePath, faults: &mut Faults<'_>) -> u8 {
        let known = self.files.iter().position(|other| *other == file);
        let place = known.unwrap_or_else(|| {
            if self.files.len() < MAX_ROOT_SETS {
                self.files.push(file);
            } else if !std::mem::replace(&mut self.full, true) {
                let text = format!(
                    "roots: more than {MAX_ROOT_SETS} different files; put the certificates of several \
                     authorities one after the other into one file"
                );
                faults.add(at, text);
            }
            self.files.len().saturating_sub(1)
        });
        u8::try_from(place.saturating_add(1)).unwrap_or(SYSTEM)
    }

    /// Leaves out what no source names any more, and gives these their new numbers.
    pub fn keep_used<'s>(&mut self, sources: impl Iterator<Item = &'s mut NtsSettings>) {
        let mut sources: Vec<&mut NtsSettings> = sources.collect();
        let known = std::mem::take(&mut self.files);
        for (file, number) in known.into_iter().zip(1_u8..) {
            let mut users = sources.iter_mut().filter(|source| source.roots == number).peekable();
            if users.peek().is_some() {
                let place = self.files.len().saturating_add(1);
                users.for_each(|source| source.roots = u8::try_from(place).unwrap_or(SYSTEM));
                self.files.push(file);
            }
        }
    }

    /// In their places of the launch plan.
    pub fn places(&self) -> [Option<FilePath>; MAX_ROOT_SETS] {
        let mut places = [None; MAX_ROOT_SETS];
        for (place, file) in places.iter_mut().zip(&self.files) {
            *place = Some(*file);
        }
        places
    }
}

/// Reads `[nts]`: the file with the system's root certificates.
pub fn read(root: &Section<'_>, faults: &mut Faults<'_>) -> Option<FilePath> {
    let usual = FilePath::parse(SYSTEM_ROOTS).ok();
    let Some(section) = root.table("nts", "[nts]", faults) else { return usual };
    section.refuse_unknown(&keys::NTS, faults);
    read_path(&section, "system-roots", SYSTEM_ROOTS, faults).map(|(_, file)| file).or(usual)
}

/// An absolute path, `None` if the key is absent.
pub fn read_path(
    section: &Section<'_>,
    key: &str,
    example: &str,
    faults: &mut Faults<'_>,
) -> Option<(usize, FilePath)> {
    let (at, text) = section.text(key, example, faults)?;
    match FilePath::parse(text) {
        Ok(file) => Some((at, file)),
        Err(_) => {
            let text = format!(
                "{key}: \"{}\" is not the whole path of a file, without \"..\" and at most 255 octets long; \
                 write {key} = \"{example}\"",
                shorten(text)
            );
            faults.add(at, text);
            None
        }
    }
}
