//! The file of symmetric keys of chrony and of ntpd, in the form in which the daemon reads it. What of a key is said in notes is never
//! the key.

use crate::files::{FileError, Reader};
use crate::plan::{Part, Plan};
use ipc::symmetric_key::{MacKind, SymmetricKey, hexadecimal_octets, written_octets};
use std::fmt::Write as _;
use zeroize::Zeroizing;

/// Most keys that the daemon takes.
const MOST: usize = ipc::message::server::MAX_KEY_RING;

/// Most lines that are named each.
const MOST_LINES: usize = 8;

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `chrony.keys`: a type that may be missing, `ASCII:` or `HEX:` before the key.
    Chrony,
    /// `ntp.keys`: a key of more than 20 characters is hexadecimal.
    Ntp,
}

/// A file of keys that the other configuration names.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its path.
    pub path: String,
    /// The line that names it.
    pub item: usize,
    /// Whose it is.
    pub format: Format,
    /// Numbers that may be used; none: all.
    pub trusted: Option<Vec<u32>>,
}

/// What was found in it.
#[derive(Debug, Default)]
struct Found {
    keys: Vec<SymmetricKey>,
    /// Numbers of keys that cannot be carried, and why.
    refused: Vec<(u32, String)>,
    /// Numbers of keys that are carried without something that was said of them.
    wider: Vec<u32>,
    /// Lines that are no keys, counted from 1.
    strange: Vec<usize>,
}

/// Decides about the sources with a key, and about the clients'.
pub fn settle(plan: &mut Plan, reader: &mut Reader<'_>) {
    let before = plan.losses();
    carry(plan, reader);
    plan.key_losses = plan.losses().into_iter().filter(|loss| !before.contains(loss)).collect();
}

fn carry(plan: &mut Plan, reader: &mut Reader<'_>) {
    let wanted: Vec<u32> = plan.sources.iter().filter_map(|source| source.key).collect();
    let mut found = Found::default();
    let mut missing = "no file of keys is named".to_owned();
    if let Some(named) = plan.key_file.clone() {
        match reader.text(&named.path) {
            Ok(text) => {
                let text = Zeroizing::new(text);
                found = Found::of(&text, &named);
                missing = format!("{} has no such key", named.path);
                tell(plan, &named, &found);
            }
            Err(FileError::Absent) => {
                missing = format!("there is no file {}", named.path);
                let why = "there is no such file";
                match wanted.is_empty() {
                    true => plan.note(named.item, "", why),
                    false => plan.loss(named.item, "", why),
                }
            }
            Err(FileError::Other(why)) => {
                missing = format!("{} was not read", named.path);
                plan.loss(named.item, "", &why);
            }
        }
    }
    for at in 0..plan.sources.len() {
        let Some((item, number)) = plan.sources.get(at).and_then(|it| Some((it.item, it.key?))) else {
            continue;
        };
        if plan.sources.get(at).is_some_and(|source| source.nts) {
            plan.loss(item, &format!("key {number}"), "not carried: NTS has keys of its own");
            plan.sources.iter_mut().skip(at).take(1).for_each(|source| source.key = None);
            continue;
        }
        if found.keys.iter().any(|key| key.number() == number) {
            continue;
        }
        let refused = found.refused.iter().find(|(other, _)| *other == number).map(|(_, why)| why.clone());
        plan.loss(item, &format!("key {number}"), &refused.unwrap_or_else(|| missing.clone()));
        if let Some(source) = plan.sources.get_mut(at) {
            // A key that is nowhere would be one fault more for whoever takes the signs away.
            source.key = None;
            source.out = Some(
                "without its key it would be believed without authentication; remove the signs # if that is acceptable"
                    .to_owned(),
            );
        }
    }
    if found.keys.iter().any(|key| key.kind() == MacKind::Md5) {
        let item = plan.key_file.as_ref().map_or(0, |named| named.item);
        plan.set(Part::Keys, "allow-md5", "true".to_owned(), item);
        plan.loss(item, "", "keys of MD5 are carried, as they were used before, but can be forged in principle: change to AES128");
    }
    plan.symmetric_keys = found.keys;
}

/// What becomes of the file as a whole.
fn tell(plan: &mut Plan, named: &Named, found: &Found) {
    let what = match found.keys.len() {
        0 => "there is no key in it".to_owned(),
        1 => "its key goes into truechimer.keys, beside truechimer.toml".to_owned(),
        count => format!("its {count} keys go into truechimer.keys, beside truechimer.toml"),
    };
    plan.note(named.item, "", &what);
    for number in &found.wider {
        let why = "carried, and without its list of addresses: here it is taken from whoever knows it";
        plan.loss(named.item, &format!("key {number}"), why);
    }
    if let [first, rest @ ..] = found.strange.as_slice() {
        let lines = match rest.len() {
            0 => format!("line {first} of {} is", named.path),
            1..MOST_LINES => {
                let rest: Vec<String> = rest.iter().map(ToString::to_string).collect();
                format!("lines {first}, {} of {} are", rest.join(", "), named.path)
            }
            more => format!("line {first} of {} and {more} others are", named.path),
        };
        let form = match named.format {
            Format::Chrony => "a number, a type that may be missing, and a key",
            Format::Ntp => "a number, a type and a key",
        };
        plan.loss(named.item, "", &format!("{lines} not carried: a key is {form}"));
    }
    for (number, why) in &found.refused {
        // Of a source it is said there.
        if plan.sources.iter().all(|source| source.key != Some(*number)) {
            plan.loss(named.item, &format!("key {number}"), why);
        }
    }
}

impl Found {
    fn of(text: &str, named: &Named) -> Self {
        let mut found = Self::default();
        for (line, at) in text.lines().zip(1..) {
            let words: Vec<&str> = match named.format {
                Format::Chrony if line.trim_ascii().starts_with(['#', '%', ';', '!']) => continue,
                Format::Chrony => line.split_ascii_whitespace().collect(),
                Format::Ntp => line.split('#').next().unwrap_or_default().split_ascii_whitespace().collect(),
            };
            // Behind the key ntpd takes a list of the addresses from which it is believed.
            let (number, kind, secret, is_bound) = match (words.as_slice(), named.format) {
                ([], _) => continue,
                ([number, secret], Format::Chrony) => (number, "MD5", secret, false),
                ([number, kind, secret], _) => (number, *kind, secret, false),
                ([number, kind, secret, _, ..], Format::Ntp) => (number, *kind, secret, true),
                _ => {
                    found.strange.push(at);
                    continue;
                }
            };
            let Some(number) = number.parse::<u32>().ok().filter(|number| *number != 0) else {
                found.strange.push(at);
                continue;
            };
            if named.trusted.as_ref().is_some_and(|trusted| !trusted.contains(&number)) {
                found.refused.push((number, "trustedkey does not have it".to_owned()));
                continue;
            }
            let is_there = found.keys.iter().any(|key| key.number() == number);
            match convert(number, kind, secret, named.format) {
                _ if is_there => {
                    found.refused.push((number, "it is there twice; the first one is carried".to_owned()))
                }
                Ok(_) if found.keys.len() == MOST => {
                    found
                        .refused
                        .push((number, format!("there are {MOST} keys before it, which is the limit")));
                }
                Ok(key) => {
                    found.wider.extend(is_bound.then_some(number));
                    found.keys.push(key);
                }
                Err(why) => found.refused.push((number, why)),
            }
        }
        found
    }
}

fn convert(number: u32, kind: &str, secret: &str, format: Format) -> Result<SymmetricKey, String> {
    // A word that is no type of anybody may be the key.
    let found = kind_of(kind, format).ok_or_else(|| match MacKind::foreign(kind) {
        Some(kind) => format!("there is no type {kind} here; change to AES128"),
        None => "its second word is no type".to_owned(),
    })?;
    let octets = match format {
        Format::Chrony => written_octets(secret),
        Format::Ntp if secret.len() > 20 => hexadecimal_octets(secret),
        Format::Ntp => Some(Zeroizing::new(secret.as_bytes().to_vec())),
    };
    let octets = octets.ok_or(match format {
        Format::Chrony => "what follows HEX: is not a row of pairs of hexadecimal digits",
        Format::Ntp => "it is not hexadecimal, as a key of more than 20 characters has to be",
    })?;
    SymmetricKey::new(number, found, &octets)
        .ok_or_else(|| format!("a key of {} octets is none of {}", octets.len(), found.name()))
}

/// ntpd has several names for most types.
fn kind_of(word: &str, format: Format) -> Option<MacKind> {
    if format == Format::Chrony {
        return MacKind::from_name(word);
    }
    let plain: String = word.chars().filter(|letter| *letter != '-').collect::<String>().to_ascii_uppercase();
    match plain.as_str() {
        "M" => Some(MacKind::Md5),
        "SHA" => Some(MacKind::Sha1),
        "AES" | "AES128CMAC" => Some(MacKind::Aes128),
        "AES256CMAC" => Some(MacKind::Aes256),
        name => MacKind::from_name(name),
    }
}

/// The file of the daemon.
pub fn render(keys: &[SymmetricKey]) -> Zeroizing<String> {
    // Made as long as it gets, so that no copy is left behind when it grows.
    let length = keys.iter().map(|key| 32 + 2 * key.octets().len()).sum();
    let mut text = Zeroizing::new(String::with_capacity(length));
    for key in keys {
        let _ = write!(text, "{} {} HEX:", key.number(), key.kind().name());
        for octet in key.octets() {
            let _ = write!(text, "{octet:02X}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, format: Format, trusted: Option<Vec<u32>>) -> (String, Vec<(u32, String)>) {
        let named = Named { path: "/etc/keys".to_owned(), item: 0, format, trusted };
        let found = Found::of(text, &named);
        (render(&found.keys).to_string(), found.refused)
    }

    #[test]
    fn keys_of_chrony_are_those_of_the_daemon() {
        let text = "# 9 MD5 nothing\n1 MD5 abc\n2 abc\n3 SHA256 HEX:00ff\n4 AES128 ASCII:secretkey0123456\n5 TIGER abc\n\
            6 AES128 short\nnothing\n7 SHA1 HEX:0g\n3 SHA1 twice\n";
        let (keys, refused) = read(text, Format::Chrony, None);
        assert_eq!(
            keys,
            "1 MD5 HEX:616263\n2 MD5 HEX:616263\n3 SHA256 HEX:00FF\n4 AES128 HEX:7365637265746B657930313233343536\n"
        );
        assert_eq!(refused.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [5, 6, 7, 3]);
        let why = &refused.iter().find(|(number, _)| *number == 7).unwrap().1;
        assert_eq!(why, "what follows HEX: is not a row of pairs of hexadecimal digits");
    }

    #[test]
    fn no_line_of_a_file_is_lost_in_silence() {
        let of = |text: &str, format| {
            let named = Named { path: "/etc/keys".to_owned(), item: 0, format, trusted: None };
            let found = Found::of(text, &named);
            let numbers = found.keys.iter().map(SymmetricKey::number).collect::<Vec<_>>();
            (numbers, found.wider, found.strange)
        };
        let text = "1 SHA1 abc\n\n# 2 SHA1 abc\nnothing\n0 SHA1 abc\n70000000000 SHA1 abc\n3 SHA1 abc 192.0.2.1,192.0.2.2\n4 SHA1 abc # later\n";
        assert_eq!(of(text, Format::Ntp), (vec![1, 3, 4], vec![3], vec![4, 5, 6]));
        // chronyd takes no line with more than a key.
        assert_eq!(of(text, Format::Chrony), (vec![1], vec![], vec![4, 5, 6, 7, 8]));
    }

    #[test]
    fn keys_of_ntpd_are_hexadecimal_from_21_characters_on_and_have_names_of_their_own() {
        let text = "1 M abc # a comment\n2 SHA1 0123456789abcdef0123456789abcdef01234567\n3 AES-128 2B7E151628AED2A6ABF7158809CF4F3C\n\
            4 AES128CMAC secretkey0123456\n5 SHA-256 12345678901234567890\n6 SHA1 notquitehexadecimaltext\n7 MD5 only-for-others\n";
        let (keys, refused) = read(text, Format::Ntp, Some(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(
            keys,
            "1 MD5 HEX:616263\n2 SHA1 HEX:0123456789ABCDEF0123456789ABCDEF01234567\n3 AES128 HEX:2B7E151628AED2A6ABF7158809CF4F3C\n\
             4 AES128 HEX:7365637265746B657930313233343536\n5 SHA256 HEX:3132333435363738393031323334353637383930\n"
        );
        assert_eq!(refused.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [6, 7]);
        assert!(refused.iter().all(|(_, why)| !why.contains("notquite") && !why.contains("only-for")));
        assert!(refused[0].1.contains("more than 20 characters"), "{refused:?}");
    }
}
