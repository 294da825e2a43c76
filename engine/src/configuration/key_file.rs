//! The file of symmetric keys, in chrony's format: a line for each key, with its number, its type, and the key itself.
//!
//! ```text
//!   1 AES128 HEX:2B7E151628AED2A6ABF7158809CF4F3C
//!   2 SHA256 ASCII:a sentence has no room here, for blanks separate
//! ```

use super::document::{Fault, Section};
use super::texts::FileText;
use super::{Faults, keys};
use ipc::message::server::MAX_KEY_RING;
use ipc::symmetric_key::{MAX_SYMMETRIC_KEY, MacKind, SymmetricKey, written_octets};
use ipc::text::escape;
use protocol::mac::is_available;

/// The type of a key of which none is named, as in chrony.
const DEFAULT: &str = "MD5";

/// Octets of a key from which on it is not called weak: 80 bits.
const STRONG: usize = 10;

/// Why a key of the file is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Unused {
    /// It is one of MD5, which is not allowed.
    Md5,
    /// FIPS 140 does not approve its type, and this build has what it approves alone.
    Approval(&'static str),
    /// Its type is none of ours: which, if it is one at all.
    Kind(Option<&'static str>),
}

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyFile {
    /// Its path, escaped; none: there is no such file.
    name: Option<String>,
    keys: Vec<SymmetricKey>,
    unused: Vec<(u32, Unused)>,
    /// Lines with a fault, by the numbers that they begin with.
    faulty: Vec<(u32, usize)>,
}

/// A file that was read, with what is wrong or doubtful in it.
#[derive(Debug, Default)]
pub struct Reading {
    /// The keys.
    pub file: KeyFile,
    /// Each of them ends the reading of the configuration.
    pub faults: Vec<Fault>,
    /// Each of them is a line of the log.
    pub warnings: Vec<Fault>,
}

/// `[keys]`: whether keys of MD5 are allowed.
pub fn read_allowed(root: &Section<'_>, faults: &mut Faults<'_>) -> bool {
    let Some(section) = root.table("keys", "[keys]", faults) else { return false };
    section.refuse_unknown(&keys::KEYS, faults);
    section.boolean("allow-md5", faults).unwrap_or(false)
}

impl Reading {
    /// Reads the text of the file.
    pub fn of(text: &FileText, allows_md5: bool) -> Self {
        let mut reading = Self::default();
        reading.file.name = Some(escape(&text.name));
        for (line, number) in text.text.lines().zip(1..) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(['#', '%', ';', '!']) {
                continue;
            }
            if let Err(said) = reading.take(line, number, allows_md5) {
                reading.faults.push(reading.fault(number, said));
                let key = line.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
                reading.file.faulty.extend(key.map(|key: u32| (key, number)));
            }
        }
        if reading.file.keys.len() > MAX_KEY_RING {
            let said = format!("more than {MAX_KEY_RING} keys; leave out those that nobody uses");
            reading.faults.push(reading.fault(1, said));
        }
        reading
    }

    fn fault(&self, line: usize, text: String) -> Fault {
        Fault { name: self.file.name.clone().unwrap_or_default(), line, text: escape(&text) }
    }

    /// The key of this line and number is not used, which is told: nobody may name it, and a server takes all that it can.
    fn leave_out(&mut self, (at, number): (usize, u32), unused: Unused, why: &str) {
        self.warnings.push(self.fault(at, format!("key {number} is not used: {why}")));
        self.file.unused.push((number, unused));
    }

    /// One key. What is said of a fault never has the key in it.
    fn take(&mut self, line: &str, at: usize, allows_md5: bool) -> Result<(), String> {
        const FORM: &str =
            "expected a number, a type and a key, such as: 1 AES128 HEX: and 32 hexadecimal digits";
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (number, kind, secret) = match words.as_slice() {
            [number, secret] => (number, DEFAULT, secret),
            [number, kind, secret] => (number, *kind, secret),
            _ => return Err(FORM.to_owned()),
        };
        let number = number.parse::<u32>().ok().filter(|number| *number != 0);
        let number = number.ok_or_else(|| format!("the number is not one of 1 to {}; {FORM}", u32::MAX))?;
        let is_known = self.file.keys.iter().any(|key| key.number() == number)
            || self.file.unused.iter().any(|(other, _)| *other == number);
        if is_known {
            return Err(format!("key {number} is there already; leave one of the two out"));
        }
        let Some(kind) = MacKind::from_name(kind) else {
            let kind = MacKind::foreign(kind);
            let kinds = MacKind::ALL.map(MacKind::name).join(", ");
            // A word that is no type of anybody may be the key.
            let what = match kind {
                Some(kind) => format!("there is no type {kind} here"),
                None => "its second word is no type".to_owned(),
            };
            self.leave_out((at, number), Unused::Kind(kind), &format!("{what}; there are {kinds}"));
            return Ok(());
        };
        let octets = written_octets(secret).ok_or_else(|| {
            format!("key {number}: what follows HEX: is not a row of pairs of hexadecimal digits")
        })?;
        let length = octets.len();
        let key = SymmetricKey::new(number, kind, &octets).ok_or_else(|| match kind {
            MacKind::Aes128 => {
                format!("key {number}: AES128 has a key of 16 octets, and this one has {length}")
            }
            MacKind::Aes256 => {
                format!("key {number}: AES256 has a key of 32 octets, and this one has {length}")
            }
            _ => {
                format!("key {number}: a key has 1 to {MAX_SYMMETRIC_KEY} octets, and this one has {length}")
            }
        })?;
        if !is_available(kind) {
            let name = kind.name();
            let why = format!("FIPS 140 does not approve {name}; use AES128 or AES256");
            self.leave_out((at, number), Unused::Approval(name), &why);
            return Ok(());
        }
        if kind == MacKind::Md5 && !allows_md5 {
            let why =
                "MD5 can be forged in principle; use AES128, or allow it: allow-md5 = true under [keys]";
            self.leave_out((at, number), Unused::Md5, why);
            return Ok(());
        }
        if length < STRONG {
            let said = format!(
                "key {number} has {} bits, and can be guessed; make a longer one (openssl rand -hex 16)",
                8 * length
            );
            self.warnings.push(self.fault(at, said));
        }
        self.file.keys.push(key);
        Ok(())
    }
}

impl KeyFile {
    /// The key of a number.
    ///
    /// # Errors
    /// Why there is none, for the administrator.
    pub fn find(&self, number: u32) -> Result<SymmetricKey, String> {
        let Some(name) = &self.name else {
            return Err(
                "there is no file of keys; write one beside the configuration (truechimer.keys beside truechimer.toml), with \
                 mode 0600 and lines such as chrony's: 1 AES128 HEX: and 32 hexadecimal digits"
                    .to_owned(),
            );
        };
        if let Some(key) = self.keys.iter().find(|key| key.number() == number) {
            return Ok(key.clone());
        }
        Err(match self.unused.iter().find(|(other, _)| *other == number) {
            Some((_, Unused::Md5)) => format!(
                "key {number} of {name} is one of MD5, which can be forged in principle; use AES128, or allow it: allow-md5 = true \
                 under [keys]"
            ),
            Some((_, Unused::Approval(kind))) => format!(
                "key {number} of {name} is one of {kind}, which FIPS 140 does not approve, and this build has what it approves alone; \
                 use AES128 or AES256"
            ),
            Some((_, Unused::Kind(Some(kind)))) => {
                format!("key {number} of {name} has the type {kind}, which is not supported; use AES128")
            }
            Some((_, Unused::Kind(None))) => {
                format!(
                    "key {number} of {name} has no type: its line is a number, a type and the key; use AES128"
                )
            }
            None => match self.faulty.iter().find(|(other, _)| *other == number) {
                Some((_, line)) => {
                    format!("key {number} is not used while line {line} of {name} has a fault")
                }
                None => format!("there is no key {number} in {name}; add a line with it, or name another"),
            },
        })
    }

    /// All that may be used.
    pub fn keys(&self) -> &[SymmetricKey] {
        &self.keys
    }
}

#[cfg(test)]
mod tests;
