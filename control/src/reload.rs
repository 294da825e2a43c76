//! `chimerctl reload`: reads what a start would read, by the same rules, and has the daemon put it in force.

use crate::screen::Form;
use crate::{Failure, done, exit, file, keys};
use control_socket::{Administrators, AskError, FileText};
use drop_ins::{Found, Limits, Refused};
use ipc::permissions::{Changeable, ExposedKeys, Permissions};
use report::read::ReloadedReply;
use serde_json::Value;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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
    let path = config.display().to_string();
    if permissions.is_changeable(own_uid()) {
        return Err(unchanged(Changeable(&path, permissions), exit::NO));
    }
    Ok(permissions.is_private())
}

/// `code`: [`exit::NO`] where a start would refuse a file that can be read, and [`exit::UNABLE`] where one cannot be.
fn unchanged(why: impl std::fmt::Display, code: u8) -> Failure {
    Failure { text: format!("{why}; what is in force stays in force"), code }
}

fn refused(refused: Refused) -> Failure {
    let code = if refused.errno.is_some() { exit::UNABLE } else { exit::NO };
    unchanged(refused, code)
}

fn unread(name: &str, error: impl std::fmt::Display) -> Failure {
    unchanged(format_args!("{name}: {error}"), exit::UNABLE)
}

fn failed(text: String) -> Failure {
    Failure { text, code: exit::NO }
}

/// Reads configuration, drop-ins, symmetric keys and the programs' files. `drops_names`: a certificate may lack a name of the one in
/// use.
pub fn all(socket: &Path, config: &Path, drops_names: bool, form: Form) -> Result<String, Failure> {
    let name = config.display().to_string();
    let unreadable = |error: io::Error| unread(&name, error);
    let file = file::open(config).map_err(unreadable)?;
    let is_private = judge(&file.metadata().map_err(unreadable)?, config)?;
    let text = read_text(file, MAX_FILE).map_err(unreadable)?;
    let main = FileText { name: name.clone(), is_private, text };
    let drop_ins = match drop_ins::beside(config) {
        None => Vec::new(),
        Some(folder) => {
            let found = drop_ins::open(&folder, Limits::DROP_INS).map_err(refused)?;
            let texts = found.into_iter().map(|found| {
                let found = found.map_err(refused)?;
                let path = folder.join(&found.name).display().to_string();
                read(found, path.clone(), Limits::DROP_INS).map_err(|error| unread(&path, error))
            });
            texts.collect::<Result<_, Failure>>()?
        }
    };
    let symmetric_keys = drop_ins::keys_beside(config).and_then(|path| read_keys(&path).transpose());
    let symmetric_keys = symmetric_keys.transpose()?;
    let leap_list = read_leap_list(config);
    // A folder that cannot be trusted takes nothing away.
    let (programs, mut left_out) = match of_programs(socket) {
        Ok((programs, left_out)) => (Some(programs), left_out),
        Err(refused) => (None, vec![format!("{refused}; what programs had left before stays")]),
    };
    let (drop_in_count, program_count) = (drop_ins.len(), programs.as_ref().map_or(0, Vec::len));
    let mut answer = control_socket::reload(
        socket,
        Some(Administrators {
            main: &main,
            drop_ins: &drop_ins,
            keys: symmetric_keys.as_ref(),
            leap_list: leap_list.as_ref(),
            drops_names,
        }),
        programs.as_deref(),
    )
    .map_err(|error| match error {
        AskError::Refused(_) => Failure { text: format!("read {name}: {error}"), code: error.exit_code() },
        _ => error.into(),
    })?;
    let reply: ReloadedReply = control_socket::read(&answer)?;
    let certificate = match reply.reads_certificate {
        Some(true) => Some(keys::await_certificate(socket, &reply)?),
        _ => None,
    };
    left_out.extend(reply.left_out.clone().unwrap_or_default());
    let counts =
        [(drop_in_count, "drop-in", "drop-ins"), (program_count, "file of a program", "files of programs")];
    let counts = counts.into_iter().filter(|(count, ..)| *count > 0);
    let counts =
        counts.map(|(count, one, more)| format!(", {count} {}", if count == 1 { one } else { more }));
    let what = format!("{name}{}", counts.collect::<String>());
    let report = report_of(&what, &reply, certificate.as_ref().map(|(text, _)| text.as_str()), &left_out);
    if certificate.as_ref().is_some_and(|(_, is_done)| !is_done) {
        return Err(failed(report));
    }
    if let Some(object) = answer.as_object_mut() {
        object.insert("file".to_owned(), name.into());
        if let Some((text, _)) = certificate {
            object.insert("certificate".to_owned(), text.into());
        }
    }
    Ok(said(answer, &report, &left_out, form))
}

/// The symmetric keys beside a configuration; none: there is no such file.
fn read_keys(path: &Path) -> Result<Option<FileText>, Failure> {
    if std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let name = path.display().to_string();
    let unreadable = |error: io::Error| unread(&name, error);
    let file = file::open(path).map_err(unreadable)?;
    let facts = file.metadata().map_err(unreadable)?;
    // Its group may read it.
    let permissions = Permissions { owner: facts.uid(), mode: facts.mode() };
    if permissions.is_changeable(own_uid()) || permissions.is_exposed() {
        return Err(unchanged(ExposedKeys(&name, permissions), exit::NO));
    }
    let text = read_text(file, MAX_FILE).map_err(unreadable)?;
    Ok(Some(FileText { name, is_private: true, text }))
}

/// The list of leap seconds that a start would take; none: there is none, or a start would leave it out and say so.
fn read_leap_list(config: &Path) -> Option<FileText> {
    let is_there = |path: &PathBuf| std::fs::symlink_metadata(path).is_ok();
    let path = drop_ins::leap_lists(config).into_iter().find(is_there)?;
    let name = path.display().to_string();
    let read = || -> Result<FileText, Failure> {
        let unreadable = |error: io::Error| unread(&name, error);
        let file = file::open(&path).map_err(unreadable)?;
        let is_private = judge(&file.metadata().map_err(unreadable)?, &path)?;
        Ok(FileText { name: name.clone(), is_private, text: read_text(file, MAX_FILE).map_err(unreadable)? })
    };
    read()
        .map_err(|failure| eprintln!("chimerctl: {}; the list of leap seconds is not used", failure.text))
        .ok()
}

/// Reads the programs' files alone.
pub fn sources(socket: &Path, form: Form) -> Result<String, Failure> {
    let (programs, mut left_out) = of_programs(socket).map_err(refused)?;
    let answer = control_socket::reload(socket, None, Some(&programs))?;
    let reply: ReloadedReply = control_socket::read(&answer)?;
    left_out.extend(reply.left_out.clone().unwrap_or_default());
    let what = match programs.len() {
        1 => "1 file of a program".to_owned(),
        count => format!("{count} files of programs"),
    };
    let report = report_of(&what, &reply, None, &left_out);
    Ok(said(answer, &report, &left_out, form))
}

fn said(mut answer: Value, report: &str, left_out: &[String], form: Form) -> String {
    if let Some(object) = answer.as_object_mut() {
        object.insert("left_out".to_owned(), left_out.to_vec().into());
        object.entry("file").or_insert(Value::Null);
    }
    done(&answer, report, form)
}

/// What programs have left in the run directory, and a line for each file that is not read.
fn of_programs(socket: &Path) -> Result<(Vec<FileText>, Vec<String>), Refused> {
    let folder = socket.parent().unwrap_or(Path::new(".")).join(drop_ins::PROGRAMS);
    let (mut texts, mut left_out) = (Vec::new(), Vec::new());
    let mut leave_out = |why: String| left_out.push(format!("{why}; it is left out"));
    for found in drop_ins::open(&folder, Limits::PROGRAMS)? {
        let read = found.map_err(|refused: Refused| refused.to_string()).and_then(|found| {
            let path = folder.join(&found.name).display().to_string();
            read(found, path.clone(), Limits::PROGRAMS).map_err(|error| format!("{path}: {error}"))
        });
        match read {
            Ok(text) => texts.push(text),
            Err(why) => leave_out(why),
        }
    }
    Ok((texts, left_out))
}

fn read(found: Found, name: String, limits: Limits) -> io::Result<FileText> {
    let Found { file, is_private, .. } = found;
    // One more, so that a file which has grown since is not cut.
    read_text(file, limits.each + 1).map(|text| FileText { name, is_private, text })
}

/// The text of a file with fewer octets than this.
fn read_text(file: File, most: u64) -> io::Result<String> {
    let mut octets = Vec::new();
    file.take(most).read_to_end(&mut octets)?;
    if octets.len() as u64 == most {
        return Err(io::Error::other("longer than a configuration may be (is it the right file?)"));
    }
    String::from_utf8(octets).map_err(|_| io::Error::other("is not text in UTF-8 (is it the right file?)"))
}

/// What a reload of this did, in one line.
fn report_of(name: &str, reply: &ReloadedReply, certificate: Option<&str>, left_out: &[String]) -> String {
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
        parts.push("access rules, limits, keys or stratum of the server".to_owned());
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
    let left_out = match left_out {
        [] => String::new(),
        lines => format!("; of programs: {}", lines.join("; ")),
    };
    format!("reload: read {name}: {done}{rest}{certificate}{left_out}")
}
