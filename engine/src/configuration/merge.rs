//! Several files as one: the configuration, then its drop-ins in the order of their names. What a drop-in says of a key takes the
//! place of what was said before; tables `[[source]]` are added.

use super::document::{Faults, parse};
use toml::de::{DeTable, DeValue};

/// What several files say together.
#[derive(Debug)]
pub struct Merged<'t> {
    /// As if it were one file.
    pub root: DeTable<'t>,
    /// The numbers of the files with a secret in them.
    pub secrets: Vec<usize>,
}

/// Reads so many files, the configuration first. A fault in any of them is one of the whole; none: there were faults.
pub fn merge<'t>(files: usize, faults: &mut Faults<'t>) -> Option<Merged<'t>> {
    let mut all: Vec<Option<DeTable<'t>>> = (0..files).map(|file| parse(file, faults)).collect();
    if all.iter().any(Option::is_none) {
        return None;
    }
    let is_secret = |(_, table): &(usize, &Option<DeTable<'t>>)| table.as_ref().is_some_and(holds_secret);
    let secrets = all.iter().enumerate().filter(is_secret).map(|(file, _)| file).collect();
    let mut tables = all.drain(..).flatten();
    let mut root = tables.next()?;
    tables.for_each(|table| put(&mut root, table, "", faults));
    if root.is_empty() {
        faults.add(0, "the file says nothing; add at least a [[source]] with address = \"ntp.example.org\"");
        return None;
    }
    Some(Merged { root, secrets })
}

fn holds_secret(root: &DeTable<'_>) -> bool {
    let server = root.get("server").and_then(|value| value.get_ref().as_table());
    let nts = server.and_then(|server| server.get("nts")).and_then(|value| value.get_ref().as_table());
    nts.is_some_and(|nts| nts.contains_key("fleet-secret"))
}

/// Puts the keys of a later table into one that is known; `path`: what messages call it.
fn put<'t>(known: &mut DeTable<'t>, later: DeTable<'t>, path: &str, faults: &mut Faults<'t>) {
    for (key, value) in later {
        let name = key.get_ref().clone().into_owned();
        let Some((first, old)) = known.get_key_value(name.as_str()) else {
            known.insert(key, value);
            continue;
        };
        let (first, is_source) = (first.span().start, path.is_empty() && name == "source");
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match (old.get_ref(), value.get_ref()) {
            (DeValue::Table(_), DeValue::Table(_)) | (DeValue::Array(_), DeValue::Array(_))
                if is_source || value.get_ref().is_table() =>
            {
                let Some(old) = known.get_mut(name.as_str()) else { continue };
                match (old.get_mut(), value.into_inner()) {
                    (DeValue::Table(old), DeValue::Table(new)) => put(old, new, &path, faults),
                    (DeValue::Array(old), DeValue::Array(new)) => {
                        new.into_iter().for_each(|one| old.push(one))
                    }
                    _ => {}
                }
            }
            // What is no table where one belongs stays, and is named as the fault that it is.
            (old, _) if is_source && !old.is_array() => {}
            (old, new) if !is_source && new.is_table() && !old.is_table() => {}
            _ => {
                // Of two drop-ins neither is the one that an administrator knows to be changed by the other.
                if faults.file_of(first) > 0 {
                    let text = format!("{path}: {} says it too; this one counts", faults.place(first));
                    faults.warn(key.span().start, text);
                }
                known.remove(name.as_str());
                known.insert(key, value);
            }
        }
    }
}
