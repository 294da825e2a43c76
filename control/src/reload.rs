//! `chimerctl reload`: the configuration file is read here, with the rights of whoever asks, and its text given to the engine.

use crate::screen::Form;
use crate::{Failure, done, exit, file, keys};
use ipc::permissions::{Changeable, Permissions};
use report::read::ReloadedReply;
use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// More octets than a configuration may have. What lies behind them would be missing.
const MAX_FILE: u64 = 300 * 1024;

/// The user who runs this process, to whom `/proc/self` belongs.
pub fn own_uid() -> u32 {
    std::fs::metadata("/proc/self").map_or(0, |own| own.uid())
}

/// Whether only its owner may read or change the file. A start would refuse it too: a user who can change the file
/// controls the time.
fn judge(facts: &Metadata, config: &Path) -> Result<bool, Failure> {
    let permissions = Permissions { owner: facts.uid(), mode: facts.mode() };
    let ours = own_uid();
    let path = config.display().to_string();
    let why = if !facts.is_file() {
        format!("{path}: is no regular file and was not read; name the file itself")
    } else if permissions.is_changeable(ours) {
        Changeable(&path, permissions).to_string()
    } else {
        return Ok(permissions.is_private());
    };
    Err(Failure { text: format!("{why}; what is in force stays in force"), code: exit::NO })
}

/// Puts the file in force, and reports what that did.
pub fn reload(socket: &Path, config: &Path, form: Form) -> Result<String, Failure> {
    let name = config.display().to_string();
    let unreadable = |error: std::io::Error| Failure { text: format!("{name}: {error}"), code: exit::NO };
    let mut octets = Vec::new();
    let file = file::open(config).map_err(unreadable)?;
    let facts = file.metadata().map_err(unreadable)?;
    let is_private = judge(&facts, config)?;
    file.take(MAX_FILE).read_to_end(&mut octets).map_err(unreadable)?;
    if octets.len() as u64 == MAX_FILE {
        return Err(Failure {
            text: format!("{name}: longer than a configuration may be; is it the right file?"),
            code: exit::NO,
        });
    }
    let text = String::from_utf8(octets).map_err(|error| unreadable(std::io::Error::other(error)))?;
    let mut answer = control_socket::reload(socket, &text, is_private).map_err(|error| match error {
        control_socket::AskError::Refused(_) => {
            Failure { text: format!("read {name}: {error}"), code: error.exit_code() }
        }
        _ => error.into(),
    })?;
    let reply: ReloadedReply = control_socket::read(&answer)?;
    let certificate = match reply.reads_certificate {
        Some(true) => Some(keys::await_certificate(socket, &reply)?),
        _ => None,
    };
    let report = report_of(&name, &reply, certificate.as_ref().map(|(text, _)| text.as_str()));
    if certificate.as_ref().is_some_and(|(_, is_done)| !is_done) {
        return Err(Failure { text: report, code: exit::NO });
    }
    if let Some(object) = answer.as_object_mut() {
        object.insert("file".to_owned(), name.into());
        if let Some((text, _)) = certificate {
            object.insert("certificate".to_owned(), text.into());
        }
    }
    Ok(done(&answer, &report, form))
}

/// What a reload of this file did, in one line.
fn report_of(name: &str, reply: &ReloadedReply, certificate: Option<&str>) -> String {
    let list = |names: &Option<Vec<String>>| names.as_deref().unwrap_or_default().join(", ");
    let parts = [
        ("sources added: ", list(&reply.added_sources)),
        ("sources changed: ", list(&reply.changed_sources)),
        ("sources removed: ", list(&reply.removed_sources)),
        ("[clock]: ", list(&reply.changed_clock)),
    ];
    let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
    let mut parts: Vec<String> = parts.map(|(what, names)| format!("{what}{names}")).collect();
    if reply.changed == Some(true) {
        parts.push("access rules and limits".to_owned());
    }
    let done = match parts.as_slice() {
        [] => "nothing new".to_owned(),
        parts => format!("in force now: {}", parts.join("; ")),
    };
    let rest = match reply.waiting.as_deref().unwrap_or_default() {
        [] if reply.needs_restart == Some(true) => "; other changes in the file take a restart".to_owned(),
        [] => String::new(),
        waiting => format!("; not in force before a restart: {}", waiting.join("; ")),
    };
    let certificate = certificate.map_or(String::new(), |text| format!("; certificate: {text}"));
    format!("reload: read {name}: {done}{rest}{certificate}")
}
